"""The judge: worker threads that supervise sandboxes. Starts processes without forking this one.

Threads suffice: programs run in processes of their own, and supervising means waiting. Nothing
here imports jax, and sandboxes are started by exec, so a judge may live beside jax.
"""

import collections
import concurrent.futures
import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterable
from types import TracebackType

from spo_jax.errors import UserError, nearest
from spo_jax.judging.checkers import comparison_of, find_checker
from spo_jax.judging.classification import classify, printable
from spo_jax.judging.comparison import OutputComparison, parse_json
from spo_jax.judging.interface import (
    CompileError,
    RunnerLostError,
    SandboxError,
    Session,
    Submission,
)
from spo_jax.judging.limits import Limits
from spo_jax.judging.probe import choose_backend
from spo_jax.types import Judgement, Problem, TestResult, Verdict

_LANGUAGES = ("python3",)
_NUM_TRIES = 2  # a failure of the judge itself is retried once


class Judge:
    """Judges programs in parallel. Use as a context manager.

    Args:
      num_workers: sandboxes at the same time; default: the CPUs this process may use.
      stop_at_first_failure: leave out the tests after a failing one.
      allow_unsandboxed: run without a sandbox where none works. Programs can then read and change
        whatever this user can; results say backend 'none'.
      limits: per test; a problem's own limits take precedence.
      comparison: how outputs are compared.
      python: the interpreter programs run under; default: ours, or the system's where ours cannot
        be read inside the sandbox.
    Raises:
      UserError: no working sandbox (the message says what to install), or a bad argument.
    """

    def __init__(
        self,
        *,
        num_workers: int | None = None,
        stop_at_first_failure: bool = True,
        allow_unsandboxed: bool = False,
        limits: Limits | None = None,
        comparison: OutputComparison | None = None,
        python: str | None = None,
    ):
        if num_workers is None:
            num_workers = len(os.sched_getaffinity(0))
        if num_workers < 1:
            raise UserError(f"judge num_workers={num_workers} must be at least 1")
        self._backend = choose_backend(python=python, allow_unsandboxed=allow_unsandboxed)
        self._stop_at_first_failure = stop_at_first_failure
        self._limits = limits or Limits()
        self._comparison = comparison or OutputComparison()
        self._free_slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(num_workers):
            self._free_slots.put(slot)
        self._num_workers = num_workers
        self._open_sessions: set[Session] = set()
        self._lock = threading.Lock()
        self._is_aborted = False
        self._executor = concurrent.futures.ThreadPoolExecutor(num_workers, "judge")

    @property
    def backend(self) -> str:
        """Name of the sandbox in use."""
        return self._backend.name

    @property
    def layers(self) -> tuple[str, ...]:
        """Protections in use."""
        return self._backend.layers

    def __enter__(self) -> "Judge":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(abort=kind is not None)

    def close(self, *, abort: bool = False) -> None:
        """Waits for what was submitted; with `abort`, cancels it and ends running programs."""
        if abort:
            with self._lock:
                self._is_aborted = True
                running = list(self._open_sessions)
            for session in running:
                session.kill()
        self._executor.shutdown(wait=True, cancel_futures=abort)

    def judge(self, problem: Problem, code: str | None, language: str = "python3") -> Judgement:
        """Judges one program and waits for it."""
        return self.submit(problem, code, language).result()

    def judge_many(
        self,
        items: Iterable[tuple[Problem, str | None]],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[Judgement]:
        """Judges (problem, program) pairs in parallel; results in the order of `items`.

        `items` is read as workers become free. `progress` gets the number of finished items.
        """
        pending: collections.deque[concurrent.futures.Future[Judgement]] = collections.deque()
        judgements: list[Judgement] = []

        def take_first() -> None:
            judgements.append(pending.popleft().result())
            if progress is not None:
                progress(len(judgements))

        try:
            for problem, code in items:
                pending.append(self.submit(problem, code))
                if len(pending) >= 16 * self._num_workers:
                    take_first()
            while pending:
                take_first()
        finally:
            for future in pending:
                future.cancel()
        return judgements

    def submit(
        self, problem: Problem, code: str | None, language: str = "python3"
    ) -> concurrent.futures.Future[Judgement]:
        """Queues a program; None stands for an answer without a program and is CE.

        Raises:
          UserError: the problem cannot be judged (no tests, bad JSON), or an unknown language.
        """
        if language not in _LANGUAGES:
            raise UserError(
                f"language '{language}' is not among {list(_LANGUAGES)}"
                f"{nearest(language, _LANGUAGES)}"
            )
        check_judgeable(problem)
        return self._executor.submit(self._judge_in_slot, problem, code)

    def _judge_in_slot(self, problem: Problem, code: str | None) -> Judgement:
        slot = self._free_slots.get()
        try:
            return self._judge(problem, code, slot)
        finally:
            self._free_slots.put(slot)

    def _judge(self, problem: Problem, code: str | None, slot: int) -> Judgement:
        unusable = _why_unusable(code)
        if code is None or unusable:
            return self._judgement(problem, Verdict.CE, [], unusable)
        submission = Submission(
            source=code.encode("utf-8"),
            fn_name=problem.fn_name,
            limits=self._limits.of_problem(problem),
        )
        losses: list[tuple[int, Exception]] = []
        for _ in range(_NUM_TRIES):
            results: list[TestResult] = []
            try:
                self._run_tests(problem, submission, slot, results)
            except CompileError as error:
                return self._judgement(problem, Verdict.CE, [], str(error))
            except (SandboxError, OSError) as error:
                if self._is_aborted:
                    raise concurrent.futures.CancelledError from None
                losses.append((len(results), error))
                continue
            failing = [result for result in results if result.verdict is not Verdict.AC]
            first = failing[0] if failing else results[0]
            return self._judgement(problem, first.verdict, results, first.message)
        return self._judge_failure(problem, losses, results)

    def _judge_failure(
        self, problem: Problem, losses: list[tuple[int, Exception]], results: list[TestResult]
    ) -> Judgement:
        """The program that ends its supervisor at the same test every time did it on purpose."""
        is_deliberate = all(isinstance(error, RunnerLostError) for _, error in losses)
        if is_deliberate and len({test_index for test_index, _ in losses}) == 1:
            verdict, message = Verdict.SV, "the process that watches the program was ended"
        else:
            verdict, message = Verdict.IE, f"the judge failed: {losses[-1][1]}"
        results.append(TestResult(verdict=verdict, message=message))
        return self._judgement(problem, verdict, results, message)

    def _run_tests(
        self, problem: Problem, submission: Submission, slot: int, results: list[TestResult]
    ) -> None:
        session: Session | None = None
        comparison = comparison_of(problem, self._comparison)
        try:
            for test in problem.tests:
                if session is None:
                    session = self._open(submission, slot)
                outcome = session.run(test.input.encode("utf-8", "surrogatepass"))
                results.append(classify(outcome, test, submission, comparison))
                if results[-1].verdict is not Verdict.AC and self._stop_at_first_failure:
                    return
                if outcome.is_spent:
                    self._close(session)
                    session = None
        finally:
            if session is not None:
                self._close(session)

    def _open(self, submission: Submission, slot: int) -> Session:
        session = self._backend.open(submission, slot)
        with self._lock:
            self._open_sessions.add(session)
            is_aborted = self._is_aborted
        if is_aborted:
            self._close(session)
            raise SandboxError("the judge was closed")
        return session

    def _close(self, session: Session) -> None:
        session.close()
        with self._lock, contextlib.suppress(KeyError):
            self._open_sessions.remove(session)

    def _judgement(
        self, problem: Problem, verdict: Verdict, results: list[TestResult], message: str
    ) -> Judgement:
        return Judgement(
            verdict=verdict,
            tests=tuple(results),
            num_tests=len(problem.tests),
            backend=self._backend.name,
            layers=self._backend.layers,
            message=printable(message),
        )


def check_judgeable(problem: Problem) -> None:
    """Raises UserError when no program could be judged on `problem`."""
    if not problem.tests:
        raise UserError(f"problem '{problem.id}' has no tests: every program would be accepted")
    if problem.checker is not None:
        find_checker(problem.checker)
    if problem.fn_name is None:
        return
    if not problem.fn_name.isidentifier():
        raise UserError(f"problem '{problem.id}': fn_name '{problem.fn_name}' is not a name")
    for index, test in enumerate(problem.tests):
        for kind, text in (("input", test.input), ("output", test.output)):
            try:
                value = parse_json(text)
            except ValueError as error:
                raise UserError(
                    f"problem '{problem.id}', test {index}: the {kind} of a call-style problem "
                    f"must be JSON: {error}"
                ) from error
            if kind == "input" and not isinstance(value, list):
                raise UserError(
                    f"problem '{problem.id}', test {index}: the input of a call-style problem "
                    f"must be a JSON list of arguments, got {text[:60]!r}"
                )


def _why_unusable(code: str | None) -> str:
    if code is None or not code.strip():
        return "the answer holds no program"
    if "\0" in code:
        return "the source holds a NUL byte"
    try:
        code.encode("utf-8")
    except UnicodeEncodeError:
        return "the source holds a lone surrogate"
    return ""
