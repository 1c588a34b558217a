import dataclasses

import pytest

from spo_jax.errors import UserError
from spo_jax.judging import ExactMatch, RewardMap, VerifierJudge, judged
from spo_jax.types import Problem, TestCase, Verdict

PROBLEM = Problem(
    id="set/p",
    name="p",
    description="6 times 7?",
    public_tests=(TestCase("", " 42\n"), TestCase("", "43")),
)


@dataclasses.dataclass(frozen=True)
class Failing:
    def verify(self, problem, answer):
        return judged(int(answer) == 42)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [("42", "AC"), ("\t42 \n", "AC"), ("4 2", "WA"), ("43", "WA"), ("", "WA")],
)
def test_exact_match_compares_with_the_first_test(answer, verdict):
    judgement = VerifierJudge(ExactMatch()).submit(PROBLEM, answer).result()
    assert judgement.verdict == verdict
    assert (judgement.num_tests, judgement.num_passed) == (1, verdict == "AC")


def test_trap_a_failing_verifier_is_a_wrong_answer_it_is_no_answer_at_all():
    judge = VerifierJudge(Failing())
    judgement = judge.submit(PROBLEM, "forty-two").result()
    assert judgement.verdict is Verdict.IE
    assert judgement.message.startswith("the verifier failed: ValueError: invalid literal")
    assert RewardMap().reward(judgement) is None
    assert RewardMap().reward(judge.submit(PROBLEM, "42").result()) == 0


def test_many_answers_are_judged_in_order():
    done = []
    judgements = VerifierJudge(ExactMatch()).judge_many(
        [(PROBLEM, "42"), (PROBLEM, "7")], progress=done.append
    )
    assert [judgement.verdict for judgement in judgements] == ["AC", "WA"]
    assert done == [1, 2]


@pytest.mark.parametrize("given", [ExactMatch, lambda problem, answer: True, RewardMap()])
def test_what_is_no_verifier_is_refused(given):
    with pytest.raises(UserError, match=r"an instance of a frozen dataclass with a method verify"):
        VerifierJudge(given)


@dataclasses.dataclass(frozen=True)
class Careless:
    def verify(self, problem, answer):
        return answer == "42"


def test_a_verdict_that_is_no_judgement_stops_the_run():
    with pytest.raises(UserError, match=r"Careless\.verify must return a Judgement.*got True"):
        VerifierJudge(Careless()).submit(PROBLEM, "42")


def test_the_first_failure_of_a_verifier_is_told(caplog):
    judge = VerifierJudge(Failing())
    for _ in range(2):
        judge.submit(PROBLEM, "forty-two")
    (record,) = caplog.records
    assert "the verifier failed: ValueError" in record.message and "set/p" in record.message


@dataclasses.dataclass
class Mutable:
    def verify(self, problem, answer):
        return judged(True)


def test_a_verifier_must_be_frozen():
    with pytest.raises(UserError, match="an instance of a frozen dataclass"):
        VerifierJudge(Mutable())
