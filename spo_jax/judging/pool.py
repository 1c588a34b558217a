"""The judge: worker threads that supervise sandboxes. Starts processes without forking this one.

Threads suffice: programs run in processes of their own, and supervising means waiting. Nothing
here imports jax, and sandboxes are started by exec, so a judge may live beside jax.
"""

import collections
import concurrent.futures
import os
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

from spo_jax.errors import UserError, nearest
from spo_jax.judging.checkers import find_checker
from spo_jax.judging.comparison import OutputComparison, parse_json
from spo_jax.judging.compilation import find_compiler
from spo_jax.judging.limits import Limits
from spo_jax.judging.pending import PendingJudgement
from spo_jax.judging.probe import choose_backend
from spo_jax.judging.trial import Rules, Trial
from spo_jax.judging.turns import Turns
from spo_jax.types import Judgement, Problem, TestResult, Verdict

LANGUAGES = ("python3", "cpp")


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
      backend: 'zygote' (a fork of a warm interpreter per test), 'exec' (a fresh interpreter per
        test), or None for the first of these that works here.
      packages: installed packages that Python programs may import besides the standard library,
        for example ('numpy',); what they need has to be named too.
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
        backend: str | None = None,
        packages: Sequence[str] = (),
    ):
        if num_workers is None:
            num_workers = len(os.sched_getaffinity(0))
        if num_workers < 1:
            raise UserError(f"judge num_workers={num_workers} must be at least 1")
        backend_in_use = choose_backend(
            python=python, allow_unsandboxed=allow_unsandboxed, name=backend, packages=packages
        )
        self._packages = tuple(packages)
        self._rules = Rules(
            backend=backend_in_use,
            limits=limits or Limits(),
            comparison=comparison or OutputComparison(),
            stop_at_first_failure=stop_at_first_failure,
            turns=Turns(),
        )
        self._free_slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(num_workers):
            self._free_slots.put(slot)
        self._num_workers = num_workers
        self._running: set[Trial] = set()
        self._lock = threading.Lock()
        self._is_aborted = False
        self._executor = concurrent.futures.ThreadPoolExecutor(num_workers, "judge")

    @property
    def backend(self) -> str:
        """Name of the sandbox in use."""
        return self._rules.backend.name

    @property
    def layers(self) -> tuple[str, ...]:
        """Protections in use."""
        return self._rules.backend.layers

    @property
    def identity(self) -> str:
        """Names all that verdicts depend on besides problem and program."""
        rules, interpreter = self._rules, self._rules.backend.interpreter
        parts = [
            self.backend,
            f"{interpreter.executable} {interpreter.version}",
            rules.limits,
            rules.comparison,
            f"packages={','.join(self._packages)}",
            f"stop_at_first_failure={rules.stop_at_first_failure}",
        ]
        return "; ".join(str(part) for part in parts)

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
                running = list(self._running)
            for trial in running:
                trial.stop()
        self._executor.shutdown(wait=True, cancel_futures=abort)
        self._rules.backend.close()

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
        self,
        problem: Problem,
        code: str | None,
        language: str = "python3",
        *,
        deadline_secs: float | None = None,
    ) -> concurrent.futures.Future[Judgement]:
        """Queues a program; None stands for an answer without a program and is CE.

        `cancel()` of the future ends the program, also while it runs. Until the judgement is there
        the future does not say `running()`.

        Args:
          problem: whose tests are run.
          code: the program's source.
          language: 'python3' or 'cpp' (C++17, for problems on standard input).
          deadline_secs: wall seconds from now. After them the program is ended, and the judgement
            is IE: a busy host must not decide a verdict.
        Raises:
          UserError: the problem cannot be judged (no tests, bad JSON), or not in this language.
        """
        check_judgeable(problem)
        self._check_language(language, problem)
        if deadline_secs is not None and not deadline_secs > 0:
            raise UserError(f"deadline_secs={deadline_secs} must be above 0")
        trial = Trial(problem, code, language, self._rules)
        future = PendingJudgement()
        future.add_done_callback(lambda done: trial.stop() if done.cancelled() else None)
        queued = self._executor.submit(self._run, trial, future)
        queued.add_done_callback(
            lambda done: future.settle_cancelled() if done.cancelled() else None
        )
        if deadline_secs is not None:
            self._set_deadline(deadline_secs, trial, future)
        return future

    def _run(self, trial: Trial, future: PendingJudgement) -> None:
        slot = self._free_slots.get()
        with self._lock:
            self._running.add(trial)
            is_aborted = self._is_aborted
        try:
            if is_aborted:
                trial.stop()
            future.settle(trial.run(slot))
        except concurrent.futures.CancelledError:
            future.settle_cancelled()
        except BaseException as error:
            future.settle(error)
        finally:
            with self._lock:
                self._running.discard(trial)
            self._free_slots.put(slot)

    def _set_deadline(self, secs: float, trial: Trial, future: PendingJudgement) -> None:
        def end() -> None:
            message = f"not judged within the deadline of {secs:g} s"
            failed = TestResult(verdict=Verdict.IE, message=message)
            future.settle(trial.judgement(Verdict.IE, [failed], message))
            trial.stop()

        timer = threading.Timer(secs, end)
        timer.daemon = True
        timer.start()
        future.add_done_callback(lambda _: timer.cancel())

    def _check_language(self, language: str, problem: Problem) -> None:
        if language not in LANGUAGES:
            raise UserError(
                f"language '{language}' is not among {list(LANGUAGES)}"
                f"{nearest(language, LANGUAGES)}"
            )
        if language == "python3":
            return
        if problem.fn_name is not None:
            raise UserError(
                f"problem '{problem.id}' calls the function '{problem.fn_name}': language "
                f"'{language}' works for problems on standard input only"
            )
        if self.backend == "none":
            raise UserError(f"language '{language}' needs a sandbox, and there is none")
        find_compiler()


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
