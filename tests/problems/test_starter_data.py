import collections
import gzip

import pytest

from spo_jax.judging import Judge
from spo_jax.problems import find_problem, load_problems
from spo_jax.problems.records import line_from_problem
from spo_jax.problems.starter.assembly import assemble
from spo_jax.problems.starter.build import write_data
from spo_jax.problems.starter.template import all_templates
from spo_jax.problems.verification import find_mislabels, num_written

SPLITS = ("train", "test")


@pytest.fixture(scope="module")
def by_split():
    return {split: load_problems("starter", split) for split in SPLITS}


@pytest.fixture(scope="module")
def everything(by_split):
    return [problem for split in SPLITS for problem in by_split[split]]


def test_the_set_is_large_enough(everything):
    assert len(everything) >= 420
    assert len({problem.tags[0] for problem in everything}) >= 70
    assert len({problem.id for problem in everything}) == len(everything)
    assert len({problem.description for problem in everything}) == len(everything)


def test_every_problem_has_enough_programs_and_tests(everything):
    for problem in everything:
        correct = {solution.code for solution in problem.solutions}
        incorrect = {solution.code for solution in problem.incorrect_solutions}
        assert len(correct) >= 4, problem.id
        assert len(incorrect) >= 4, problem.id
        assert not correct & incorrect, problem.id
        assert len({test.input for test in problem.tests}) >= 10, problem.id
        assert len(problem.public_tests) == 2, problem.id


def test_splits_differ_by_template(by_split):
    templates = {split: {p.tags[0] for p in by_split[split]} for split in SPLITS}
    assert not templates["train"] & templates["test"]
    share = len(templates["test"]) / (len(templates["train"]) + len(templates["test"]))
    assert 0.2 <= share <= 0.3


@pytest.mark.parametrize("split", SPLITS)
def test_difficulties_and_styles_are_spread(by_split, split):
    problems = by_split[split]
    levels = collections.Counter(problem.difficulty for problem in problems)
    assert set(levels) == {1, 2, 3, 4, 5}
    assert levels[1] + levels[2] >= len(problems) / 2
    call = sum(problem.fn_name is not None for problem in problems) / len(problems)
    assert 0.4 <= call <= 0.65


def test_the_files_hold_what_the_templates_make(by_split):
    assembled = assemble(all_templates())
    for split in SPLITS:
        made = [line_from_problem(problem) for problem in assembled[split]]
        stored = [line_from_problem(problem) for problem in by_split[split]]
        assert made == stored, "run python -m spo_jax.problems.starter.build"


def test_the_beginning_of_a_split_is_a_sample_of_its_templates(by_split):
    for problems in by_split.values():
        templates = {problem.tags[0] for problem in problems}
        assert {problem.tags[0] for problem in problems[: len(templates)]} == templates


def test_the_same_problems_give_the_same_bytes(by_split, tmp_path):
    for name in ("once", "again"):
        write_data(by_split, tmp_path / name)
    for split in SPLITS:
        once, again = (tmp_path / n / f"{split}.jsonl.gz" for n in ("once", "again"))
        assert once.read_bytes() == again.read_bytes()
        assert len(gzip.decompress(once.read_bytes()).splitlines()) == len(by_split[split])


def test_written_programs_deserve_their_labels():
    problems = [
        find_problem("starter/extreme-of-numbers-larger"),
        find_problem("starter/number-line-plus-five"),
    ]
    seen = []
    with Judge() as judge:
        assert find_mislabels(problems, judge, seen.append) == []
    assert (
        seen[-1]
        == num_written(problems)
        == sum(len(problem.solutions) + len(problem.incorrect_solutions) for problem in problems)
    )


@pytest.mark.slow
def test_one_problem_of_every_template_is_verified(everything):
    sample = list({problem.tags[0]: problem for problem in everything}.values())
    with Judge() as judge:
        assert [str(mislabel) for mislabel in find_mislabels(sample, judge)] == []
