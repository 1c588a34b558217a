"""Answers that are data and not programs: a pure function decides, in this process."""

import concurrent.futures
import dataclasses
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from spo_jax.errors import UserError
from spo_jax.types import Judgement, Problem, TestResult, Verdict

_log = logging.getLogger(__name__)


class Verifier(Protocol):
    """Decides about answers: a frozen dataclass with this one method.

    `verify` must be quick, and a function of its arguments alone: a resumed run asks again and has
    to hear the same. It runs in this process without any protection, so it must never execute an
    answer; programs belong into the sandbox (`Judge`).
    """

    def verify(self, problem: Problem, answer: str) -> Judgement:
        """What the answer to the problem is worth. `judged` makes the usual judgement."""


class SubmitsAnswers(Protocol):
    """What samples are handed to: a judge of programs, or a verifier behind `VerifierJudge`."""

    def submit(self, problem: Problem, answer: str, /) -> concurrent.futures.Future[Judgement]: ...


def judged(is_right: bool, message: str = "") -> Judgement:
    """The judgement of an answer that is either right (AC) or wrong (WA), as of a single test."""
    verdict = Verdict.AC if is_right else Verdict.WA
    return Judgement(
        verdict=verdict,
        tests=(TestResult(verdict=verdict, message=message),),
        num_tests=1,
        backend="verifier",
        message=message,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExactMatch:
    """Right is the output of the problem's first test, but for white space around it."""

    def verify(self, problem: Problem, answer: str) -> Judgement:
        expected = problem.tests[0].output.strip()
        return judged(answer.strip() == expected)


class VerifierJudge:
    """A verifier in the place of a judge.

    An exception of the verifier is a failure of the judge (IE): such an answer gets no reward.

    Raises:
      UserError: what was given is no verifier; later, if it returns no judgement.
    """

    def __init__(self, verifier: Verifier):
        params = getattr(type(verifier), "__dataclass_params__", None)
        if params is None or not params.frozen or not hasattr(verifier, "verify"):
            raise UserError(
                "a verifier must be an instance of a frozen dataclass with a method "
                f"verify(problem, answer), got {verifier!r}"
            )
        self._verifier = verifier
        self._has_failed = False

    def submit(self, problem: Problem, answer: str) -> concurrent.futures.Future[Judgement]:
        """Verifies at once; the future is done."""
        future: concurrent.futures.Future[Judgement] = concurrent.futures.Future()
        future.set_result(self._judge(problem, answer))
        return future

    def judge_many(
        self,
        items: Iterable[tuple[Problem, str]],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[Judgement]:
        """Judgements of (problem, answer) pairs in order; `progress` gets how many are done."""
        judgements = []
        for problem, answer in items:
            judgements.append(self._judge(problem, answer))
            if progress is not None:
                progress(len(judgements))
        return judgements

    def _judge(self, problem: Problem, answer: str) -> Judgement:
        try:
            judgement = self._verifier.verify(problem, answer)
        except Exception as error:
            message = f"the verifier failed: {type(error).__name__}: {error}"
            if not self._has_failed:
                _log.warning("%s (problem '%s'; told once)", message, problem.id)
                self._has_failed = True
            return Judgement(verdict=Verdict.IE, backend="verifier", message=message)
        if not isinstance(judgement, Judgement):
            raise UserError(
                f"{type(self._verifier).__name__}.verify must return a Judgement, for example "
                f"judged(True), got {judgement!r}"
            )
        return judgement
