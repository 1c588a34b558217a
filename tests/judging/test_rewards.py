import pytest

from spo_jax.errors import UserError
from spo_jax.judging import RewardMap
from spo_jax.types import Judgement, TestResult, Verdict


def judgement(verdict: str, num_passed: int = 0, num_tests: int = 4) -> Judgement:
    passed = (TestResult(verdict=Verdict.AC),) * num_passed
    return Judgement(verdict=Verdict(verdict), tests=passed, num_tests=num_tests)


def test_default_is_binary():
    rewards = RewardMap()
    assert rewards.reward(judgement("AC", 4)) == 0.0
    for verdict in ("WA", "RE", "TLE", "MLE", "OLE", "SV", "CE"):
        assert rewards.reward(judgement(verdict, 3)) == -1.0


def test_judge_failure_is_never_a_reward():
    assert RewardMap(partial_credit=True).reward(judgement("IE", 3)) is None


def test_partial_credit_is_fractional():
    rewards = RewardMap(accepted=1, rejected=-1, partial_credit=True)
    assert rewards.reward(judgement("WA", 3)) == 0.5
    assert rewards.reward(judgement("AC", 4)) == 1.0
    assert rewards.reward(judgement("CE", 0)) == -1.0
    assert isinstance(RewardMap(accepted=1, rejected=-1).reward(judgement("WA")), float)


def test_no_program_has_its_own_reward():
    assert RewardMap(no_program=-0.2).reward(judgement("CE")) == -0.2


def test_bad_maps_are_refused():
    with pytest.raises(UserError, match=r"accepted=-1\.0 must be above rejected=-1\.0"):
        RewardMap(accepted=-1.0)
    with pytest.raises(UserError, match="reward no_program=nan must be finite"):
        RewardMap(no_program=float("nan"))
