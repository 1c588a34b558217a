import dataclasses

import pytest

from spo_jax.errors import UserError
from spo_jax.judging import ReasoningGymVerifier, VerifierJudge, scoring_process
from spo_jax.problems.contests.rules import ContestRules
from spo_jax.problems.reasoning_gym import ReasoningGymSet
from spo_jax.problems.tasks import load_task_problems

pytest.importorskip("reasoning_gym")


def load(split="train", **changes):
    rules = ReasoningGymSet(**({"size": 5, "test_size": 3} | changes))
    return load_task_problems("reasoning_gym", split, rules=rules)


def test_the_written_answers_are_right_and_others_are_not():
    verifier = ReasoningGymVerifier()
    for problem in load():
        right = problem.solutions[0].code
        assert verifier.verify(problem, f" {right}\n").verdict == "AC"
        assert verifier.verify(problem, f"2 <answer>{right}</answer>").verdict == "AC"
        assert verifier.verify(problem, "no number").verdict == "WA"


def test_splits_and_seeds_are_apart_and_stay():
    train, test = load(), load("test")
    assert (len(train), len(test)) == (5, 3)
    assert not {p.description for p in train} & {p.description for p in test}
    assert train != load(seed=1000)
    scoring_process("reasoning_gym").close()  # as after a restart
    assert (load(), load("test")) == (train, test)


def test_held_out_questions_that_training_holds_too_are_dropped():
    options = {"min_animals": 1, "max_animals": 1, "min_instances": 1, "max_instances": 9}
    train = load(size=200, options=options)
    test = load("test", size=200, test_size=100, options=options)
    assert 0 < len(test) < 100
    assert not {p.description for p in train} & {p.description for p in test}


def test_part_of_a_score_is_kept():
    (problem, *_) = load(name="word_sorting")
    words = problem.solutions[0].code.split(", ")
    judgement = ReasoningGymVerifier().verify(problem, ", ".join(reversed(words)))
    assert judgement.verdict == "WA"
    assert 0 < judgement.score < 1


def test_questions_of_another_version_are_not_judged():
    (problem, *_) = load()
    other = dataclasses.replace(problem, description="another question")
    judgement = VerifierJudge(ReasoningGymVerifier()).submit(other, "1").result()
    assert judgement.verdict == "IE"
    assert "makes other questions" in judgement.message


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "leg_countin"}, "unknown reasoning-gym data set 'leg_countin'.*leg_counting"),
        ({"options": {"legs": 3}}, "data set 'leg_counting'.*legs"),
        ({"size": 0}, "size=0 must be at least 1"),
    ],
)
def test_complaints_name_what_is_wrong(changes, complaint):
    with pytest.raises(UserError, match=complaint):
        load(**changes)


def test_rules_of_another_set_are_refused():
    with pytest.raises(UserError, match="rules of task 'reasoning_gym' must be ReasoningGymSet"):
        load_task_problems("reasoning_gym", "train", rules=ContestRules())
    with pytest.raises(UserError, match="rules of task 'taco' must be ContestRules"):
        load_task_problems("taco", "train", rules=ReasoningGymSet())


def test_other_options_have_other_ids():
    plain, changed = load(), load(options={"max_instances": 3})
    assert not {p.id for p in plain} & {p.id for p in changed}
