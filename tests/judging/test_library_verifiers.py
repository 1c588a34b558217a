"""math-verify and reasoning-gym as verifiers, in their processes."""

import dataclasses
import importlib.util
import os
from pathlib import Path

import pytest

from spo_jax.errors import UserError
from spo_jax.judging import MathVerify, ReasoningGymVerifier, RewardMap, VerifierJudge
from spo_jax.judging.scoring_process import ScoringError, ScoringProcess, scoring_process
from spo_jax.types import Judgement, Problem, TestCase, Verdict


def problem(answer):
    return Problem(
        id="own/1", name="1", description="", public_tests=(TestCase(input="", output=answer),)
    )


@pytest.mark.parametrize(
    ("expected", "answer", "verdict"),
    [
        ("\\frac{1}{2}", "0.5", "AC"),
        ("\\frac{1}{2}", "so it is \\boxed{\\frac{2}{4}}.", "AC"),
        ("72", "The answer is $72$.", "AC"),
        ("72", "71", "WA"),
        ("72", "", "WA"),
        ("72", "\\boxed{\ud800", "WA"),
    ],
)
def test_math_verify_compares_values(expected, answer, verdict):
    assert MathVerify().verify(problem(expected), answer).verdict == verdict


def test_an_answer_that_takes_too_long_is_wrong_and_the_next_is_judged():
    judgement = MathVerify(limit_secs=1.0).verify(problem("1"), "9**9**9**9")
    assert (judgement.verdict, judgement.message) == ("WA", "scoring took more than 1 s")
    assert MathVerify().verify(problem("1"), "1").verdict == "AC"


def test_an_expected_answer_that_cannot_be_read_is_the_judges_failure():
    judgement = VerifierJudge(MathVerify()).submit(problem(""), "1").result()
    assert judgement.verdict == "IE"
    assert "cannot read the expected answer" in judgement.message


def test_a_process_that_is_gone_is_replaced():
    process = scoring_process("math_verify")
    assert process.score("2", 10.0, expected="2") == (1.0, "")
    process.close()
    assert process.score("2", 10.0, expected="2") == (1.0, "")


def test_what_a_process_does_not_know_is_an_error_and_not_a_hang():
    with pytest.raises(ScoringError, match="KeyError"):
        scoring_process("math_verify").ask("nothing")


def test_no_network_and_no_writing():
    process = ScoringProcess("math_verify", allow_unsandboxed=False)
    process.score("1", 10.0, expected="1")
    (child,) = [pid for pid in _descendants(process._process.pid) if _is_python(pid)]
    assert os.stat(f"/proc/{child}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino
    mounts = Path(f"/proc/{child}/mountinfo").read_text().splitlines()
    root = next(line.split() for line in mounts if line.split()[4] == "/")
    assert "ro" in root[5].split(",")
    process.close()


def _is_python(pid):
    return b"scoring_program" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"bwrap")[-1]


def _descendants(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(other for child in children for other in _descendants(int(child)))][-1:]


@pytest.mark.parametrize("verifier", [MathVerify, ReasoningGymVerifier])
def test_a_missing_package_is_named(verifier, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'spo-jax\[eval\]'"):
        verifier()


def test_a_limit_must_be_positive():
    with pytest.raises(UserError, match=r"limit_secs=0 must be above 0"):
        MathVerify(limit_secs=0)


@pytest.mark.parametrize(
    ("score", "partial", "reward"),
    [(0.25, True, -0.75), (0.25, False, -1.0), (None, True, -1.0), (0.0, True, -1.0)],
)
def test_scores_are_partial_credit(score, partial, reward):
    judgement = Judgement(verdict=Verdict.WA, num_tests=1, score=score)
    assert RewardMap(partial_credit=partial).reward(judgement) == reward
    right = dataclasses.replace(judgement, verdict=Verdict.AC, score=1.0)
    assert RewardMap(partial_credit=partial).reward(right) == 0.0
