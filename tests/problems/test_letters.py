"""The tiny task: what is right, and that its written answers are those of a uniform policy."""

import itertools

import pytest

from spo_jax.problems import load_problems
from spo_jax.problems.letters import ALPHABET, MAX_LETTERS, NamedLetters
from spo_jax.problems.tasks import load_task_problems

SPLITS = {split: load_problems("letters", split) for split in ("train", "test")}
PROBLEMS = [problem for problems in SPLITS.values() for problem in problems]


def is_right(problem, answer):
    return NamedLetters().verify(problem, answer).verdict == "AC"


def test_right_are_one_to_four_of_the_named_letters():
    problem = next(p for p in PROBLEMS if p.name == "bdf")
    answers = ["b", "fd", "dbbf", "", "a", "bda", "dbbfb", " b", "B"]
    assert [is_right(problem, answer) for answer in answers] == 3 * [True] + 6 * [False]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_labels_are_what_the_verifier_says_and_both_outcomes_are_there(problem):
    assert all(is_right(problem, solution.code) for solution in problem.solutions)
    assert not any(is_right(problem, solution.code) for solution in problem.incorrect_solutions)
    assert len(problem.solutions) >= 4 and len(problem.incorrect_solutions) >= 4


def test_splits_share_no_set_of_letters_and_hold_all_of_them():
    names = [{problem.name for problem in problems} for problems in SPLITS.values()]
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 20 + 15  # 3 of 6, 4 of 6
    assert {len(name) for name in names[1]} == {3, 4}


def test_the_registered_task_holds_the_same_problems():
    assert load_task_problems("spo_letters", "test") == SPLITS["test"]


def test_a_uniform_policy_is_right_now_and_then():
    """Exact, by enumeration: every letter and the end are equally likely at every place."""
    chance = {3: 0.0, 4: 0.0}
    for size, named in ((3, "abc"), (4, "abcd")):
        problem = next(p for p in PROBLEMS if p.name == named)
        for length in range(1, MAX_LETTERS + 1):
            for letters in itertools.product(ALPHABET, repeat=length):
                chance[size] += is_right(problem, "".join(letters)) * (1 / 7) ** (length + 1)
    assert chance[3] == pytest.approx(0.1035, abs=1e-4)
    assert chance[4] == pytest.approx(0.1701, abs=1e-4)
