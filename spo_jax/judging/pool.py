"""The judge: worker threads that supervise sandboxes. Starts processes without forking this one.

Threads suffice: programs run in processes of their own, and supervising means waiting. Nothing
here imports jax, and sandboxes are started by exec, so a judge may live beside jax.
"""

import concurrent.futures
import os
import queue
import threading
from collections.abc import Sequence

from spo_jax.errors import UserError
from spo_jax.judging.asking import ProgramJudge, check_submission
from spo_jax.judging.comparison import OutputComparison
from spo_jax.judging.compilation import find_compiler
from spo_jax.judging.limits import Limits
from spo_jax.judging.pending import PendingJudgement
from spo_jax.judging.probe import choose_backend
from spo_jax.judging.trial import Rules, Trial
from spo_jax.judging.turns import Turns
from spo_jax.types import Judgement, Problem, TestResult, Verdict


class Judge(ProgramJudge):
    """Judges programs in parallel, on this machine. Use as a context manager.

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
        self._rules = Rules(
            backend=backend_in_use,
            limits=limits or Limits(),
            comparison=comparison or OutputComparison(),
            stop_at_first_failure=stop_at_first_failure,
            turns=Turns(),
        )
        self.backend = backend_in_use.name
        self.layers = backend_in_use.layers
        self._packages = tuple(packages)
        self._free_slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(num_workers):
            self._free_slots.put(slot)
        self._num_workers = num_workers
        self._running: set[Trial] = set()
        self._lock = threading.Lock()
        self._is_aborted = False
        self._executor = concurrent.futures.ThreadPoolExecutor(num_workers, "judge")

    @property
    def identity(self) -> str:
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

    @property
    def num_ahead(self) -> int:
        return 16 * self._num_workers

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

    def submit(
        self,
        problem: Problem,
        code: str | None,
        language: str = "python3",
        *,
        deadline_secs: float | None = None,
    ) -> concurrent.futures.Future[Judgement]:
        """As of every judge; cancellation and deadline also end a program that runs.

        Until the judgement is there the future does not say `running()`.
        """
        check_submission(problem, language, deadline_secs)
        self._check_compiler(language)
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

    def _check_compiler(self, language: str) -> None:
        if language == "python3":
            return
        if self.backend == "none":
            raise UserError(f"language '{language}' needs a sandbox, and there is none")
        find_compiler()
