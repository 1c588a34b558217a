"""Verifiers that ask a library, in a process of its own with a limit of time.

An answer on which the library hangs, crashes or complains is wrong. The limit is one of wall time:
an answer that needs about as long may be judged otherwise the next time.
"""

import dataclasses
import importlib.util
import json
import re

from spo_jax.errors import UserError
from spo_jax.judging.scoring_process import scoring_process
from spo_jax.judging.verifiers import judged
from spo_jax.types import Judgement, Problem

_FULL = 1.0 - 1e-9


def require_package(module: str, package: str, what: str) -> None:
    """Raises UserError when an optional package is missing; does not import it."""
    if importlib.util.find_spec(module) is None:
        raise UserError(f"{what} needs the package {package}: pip install 'spo-jax[eval]'")


def _check_limit(limit_secs: float) -> None:
    if not limit_secs > 0:
        raise UserError(f"limit_secs={limit_secs} must be above 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MathVerify:
    """Right is what math-verify finds equal to the output of the problem's first test.

    It looks for boxed or bare LaTeX and plain expressions in the whole answer.

    Attributes:
      limit_secs: wall time for one answer.
      allow_unsandboxed: also where bubblewrap does not work.

    Raises:
      UserError: math-verify is not installed, or the limit is not positive.
    """

    limit_secs: float = 10.0
    allow_unsandboxed: bool = False

    def __post_init__(self) -> None:
        _check_limit(self.limit_secs)
        require_package("math_verify", "math-verify", "MathVerify")

    def verify(self, problem: Problem, answer: str) -> Judgement:
        process = scoring_process("math_verify", self.allow_unsandboxed)
        score, message = process.score(answer, self.limit_secs, expected=problem.tests[0].output)
        return judged(score >= _FULL, message)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReasoningGymVerifier:
    """The verifier of the reasoning-gym data set that the question comes from.

    Right is a score of 1. Others are `Judgement.score`, which `RewardMap.partial_credit` rewards.

    Attributes:
      answer_tag: of an answer with `<answer_tag>...</answer_tag>` the last such part is scored;
        of others, and with '', the whole.
      limit_secs: wall time for one answer.
      allow_unsandboxed: also where bubblewrap does not work.

    Raises:
      UserError: reasoning-gym is not installed, or the limit is not positive.
    """

    answer_tag: str = "answer"
    limit_secs: float = 10.0
    allow_unsandboxed: bool = False

    def __post_init__(self) -> None:
        _check_limit(self.limit_secs)
        require_package("reasoning_gym", "reasoning-gym", "ReasoningGymVerifier")

    def verify(self, problem: Problem, answer: str) -> Judgement:
        process = scoring_process("reasoning_gym", self.allow_unsandboxed)
        made = json.loads(problem.tests[0].input)
        score, message = process.score(
            self._scored_part(answer), self.limit_secs, question=problem.description, **made
        )
        judgement = judged(score >= _FULL, message or f"score {score:g}")
        return dataclasses.replace(judgement, score=score)

    def _scored_part(self, answer: str) -> str:
        if self.answer_tag:
            tag = re.escape(self.answer_tag)
            parts = re.findall(rf"<{tag}>(.*?)</{tag}>", answer, re.DOTALL)
            answer = parts[-1] if parts else answer
        return answer.strip()
