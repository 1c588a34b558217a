"""One submission on its way through a sandbox: compiled, run test by test, judged."""

import concurrent.futures
import dataclasses
import threading

from spo_jax.judging.checkers import comparison_of
from spo_jax.judging.classification import classify, printable
from spo_jax.judging.comparison import OutputComparison
from spo_jax.judging.interface import (
    Backend,
    CompileError,
    Outcome,
    RunnerLostError,
    SandboxError,
    SandboxLostError,
    Session,
    Submission,
)
from spo_jax.judging.limits import Limits
from spo_jax.judging.turns import Turns
from spo_jax.types import Judgement, Problem, TestCase, TestResult, Verdict

_NUM_TRIES = 2  # a failure of the judge itself is retried once
_MAX_LOSSES = 4  # so often may a sandbox be lost in one test before the program is suspected
_NEAR_LIMIT = 1.25  # programs may run for so many times their CPU limit; above it they are TLE
_MIN_STARVED = 0.25  # of the CPU limit: who used less by the wall limit waited, was not starved


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What verdicts depend on besides problem and program."""

    backend: Backend
    limits: Limits
    comparison: OutputComparison
    stop_at_first_failure: bool
    turns: Turns


class Trial:
    """Judges one program once. `stop` may be called by any thread."""

    def __init__(self, problem: Problem, code: str | None, language: str, rules: Rules):
        self._problem = problem
        self._code = code
        self._language = language
        self._rules = rules
        self._comparison = comparison_of(problem, rules.comparison)
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._is_stopped = False

    def stop(self) -> None:
        """Ends the running program; `run` then raises CancelledError."""
        with self._lock:
            self._is_stopped = True
            session = self._session
        if session is not None:
            session.kill()

    def run(self, slot: int) -> Judgement:
        """Raises CancelledError when stopped. Tests that were judged before a loss stay judged."""
        unusable = why_unusable(self._code)
        if self._code is None or unusable:
            return self.judgement(Verdict.CE, [], unusable)
        submission = Submission(
            language=self._language,
            source=whole_source(self._problem, self._code).encode("utf-8"),
            fn_name=self._problem.fn_name,
            limits=self._rules.limits.of_problem(self._problem),
        )
        losses: list[tuple[int, Exception]] = []
        results: list[TestResult] = []
        while True:
            try:
                self._run_tests(submission, slot, results)
            except CompileError as error:
                return self.judgement(Verdict.CE, [], str(error))
            except (SandboxError, OSError) as error:
                if self._is_stopped:
                    raise concurrent.futures.CancelledError from None
                losses.append((len(results), error))
                if _is_hopeless(losses):
                    return self._failure(losses, results)
                continue
            failing = [result for result in results if result.verdict is not Verdict.AC]
            first = failing[0] if failing else results[0]
            return self.judgement(first.verdict, results, first.message)

    def judgement(self, verdict: Verdict, results: list[TestResult], message: str) -> Judgement:
        return Judgement(
            verdict=verdict,
            tests=tuple(results),
            num_tests=len(self._problem.tests),
            backend=self._rules.backend.name,
            layers=self._rules.backend.layers,
            message=printable(message),
        )

    def _failure(self, losses: list[tuple[int, Exception]], results: list[TestResult]) -> Judgement:
        """The program that ends its supervisor at the same test every time did it on purpose."""
        here = [error for test_index, error in losses if test_index == len(results)]
        if all(isinstance(error, RunnerLostError) for error in here):
            verdict, message = Verdict.SV, "the process that watches the program was ended"
        else:
            verdict, message = Verdict.IE, f"the judge failed: {here[-1]}"
        results.append(TestResult(verdict=verdict, message=message))
        failing = [result for result in results if result.verdict is not Verdict.AC]
        if verdict is Verdict.SV:
            verdict, message = failing[0].verdict, failing[0].message
        return self.judgement(verdict, results, message)

    def _run_tests(self, submission: Submission, slot: int, results: list[TestResult]) -> None:
        if self._is_stopped:
            raise SandboxError("stopped")
        compiled = self._rules.backend.compile(submission, slot)
        try:
            for test in self._problem.tests[len(results) :]:
                results.append(self._run_test(test, compiled, slot))
                is_failed = results[-1].verdict is not Verdict.AC
                if is_failed and self._rules.stop_at_first_failure:
                    return
        finally:
            self._close()

    def _run_test(self, test: TestCase, submission: Submission, slot: int) -> TestResult:
        """Whoever is TLE by little or for want of a processor is run once more, alone."""
        cpu_secs = submission.limits.cpu_secs
        with self._rules.turns.shared():
            outcome = self._run_once(test, submission, slot, _NEAR_LIMIT * cpu_secs)
        result = classify(outcome, test, submission, self._comparison)
        if result.verdict is Verdict.TLE and is_near_limit(outcome, submission.limits):
            with self._rules.turns.alone():
                outcome = self._run_once(test, submission, slot, cpu_secs)
            result = classify(outcome, test, submission, self._comparison)
        return result

    def _run_once(
        self, test: TestCase, submission: Submission, slot: int, cpu_secs: float
    ) -> Outcome:
        session = self._session or self._open(submission, slot)
        outcome = session.run(test.input.encode("utf-8", "surrogatepass"), cpu_secs)
        if outcome.is_spent:
            self._close()
        return outcome

    def _open(self, submission: Submission, slot: int) -> Session:
        session = self._rules.backend.open(submission, slot)
        with self._lock:
            self._session = session
            is_stopped = self._is_stopped
        if is_stopped:
            raise SandboxError("stopped")
        return session

    def _close(self) -> None:
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()


def is_near_limit(outcome: Outcome, limits: Limits) -> bool:
    """Whether a program that is TLE could have ended in time on an idle machine.

    It ended by itself within 1.25 times its CPU limit; or it met the wall limit though it had used
    a quarter of its CPU limit, as one does that waits for a processor and not for ever.
    """
    if outcome.stopped_by == "wall":
        return outcome.cpu_secs >= _MIN_STARVED * limits.cpu_secs
    return outcome.stopped_by == ""


def _is_hopeless(losses: list[tuple[int, Exception]]) -> bool:
    """Whether the test that was lost last has had its tries."""
    here = [error for test_index, error in losses if test_index == losses[-1][0]]
    num_lost = sum(isinstance(error, SandboxLostError) for error in here)
    return len(here) - num_lost >= _NUM_TRIES or num_lost >= _MAX_LOSSES


def whole_source(problem: Problem, code: str) -> str:
    """The program between the problem's own sources; alone, it stays as it is to the byte."""
    return problem.prologue + code + (f"\n{problem.epilogue}" if problem.epilogue else "")


def why_unusable(code: str | None) -> str:
    """Why a source is CE before any sandbox sees it, or ''."""
    if code is None or not code.strip():
        return "the answer holds no program"
    if "\0" in code:
        return "the source holds a NUL byte"
    try:
        code.encode("utf-8")
    except UnicodeEncodeError:
        return "the source holds a lone surrogate"
    return ""
