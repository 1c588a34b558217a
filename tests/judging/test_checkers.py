"""Special judges decide about the outputs of problems with many right answers."""

import pytest

from spo_jax.errors import UserError
from spo_jax.judging import find_checker, register_checker
from spo_jax.types import TestCase, Verdict


def sums_up(problem, test, output):
    """Any two numbers with the right sum."""
    return sum(map(int, output.split())) == int(test.input)


def fails(problem, test, output):
    raise RuntimeError("a mistake in the checker")


register_checker("test_sums_up", sums_up)
register_checker("test_fails", fails)


@pytest.mark.parametrize(
    ("name", "wanted", "got", "right"),
    [
        ("tokens_in_any_order", "1 2 2", "2\n1 2\n", True),
        ("tokens_in_any_order", "1 2 2", "1 1 2", False),
        ("tokens_in_any_order", "1", "1" + " " * 10_000, False),  # a flood
        ("lines_in_any_order", "a b\nc", "c\n\na  b", True),
        ("lines_in_any_order", "a b\nc", "a\nb c", False),
        ("value_or_wrapped", "[5]", "5", True),
        ("value_or_wrapped", "[5]", "[5]", True),
        ("value_or_wrapped", "[[1, 2]]", "[1, 2]", True),
        ("value_or_wrapped", "[5]", "[[5]]", False),
        ("value_or_wrapped", "[1000000000000000000]", "1000000000000000001", False),
        ("value_or_wrapped", "[1]", "true", False),
    ],
)
def test_checkers_of_the_project(make_problem, name, wanted, got, right):
    assert find_checker(name)(make_problem(), TestCase("", wanted), got.encode()) is right


def test_the_judge_asks_the_checker_of_the_problem(judge, make_problem):
    problem = make_problem(("5", "2 3"), checker="test_sums_up")
    verdicts = [judge.judge(problem, f"print({text})").verdict for text in ("1, 4", "2, 2")]
    assert verdicts == [Verdict.AC, Verdict.WA]
    wrapped = make_problem(("[2]", "[4]"), checker="value_or_wrapped", fn_name="f")
    assert judge.judge(wrapped, "def f(n):\n    return n * 2").verdict is Verdict.AC


def test_a_checker_that_fails_is_the_judges_failure(judge, make_problem):
    judgement = judge.judge(make_problem(("5", "5"), checker="test_fails"), "print(5)")
    assert judgement.verdict is Verdict.IE and "a mistake in the checker" in judgement.message


def test_unknown_checkers_are_refused(judge, make_problem):
    with pytest.raises(UserError, match="unknown checker 'test_sum_up'; did you mean 'test_sums_u"):
        judge.submit(make_problem(("5", "5"), checker="test_sum_up"), "print(5)")
    with pytest.raises(UserError, match="checker 'test_fails' is registered already"):
        register_checker("test_fails", sums_up)
