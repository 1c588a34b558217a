"""What judges elsewhere have in common with the judge here: how they are asked."""

import abc
import collections
import concurrent.futures
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from spo_jax.errors import UserError, nearest
from spo_jax.judging.pending import PendingJudgement
from spo_jax.judging.pool import LANGUAGES, check_judgeable
from spo_jax.types import Judgement, Problem


class RemoteJudge(abc.ABC):
    """Answers like `Judge`; the programs run elsewhere. Use as a context manager."""

    backend: str
    layers: tuple[str, ...]
    identity: str

    @abc.abstractmethod
    def submit(
        self,
        problem: Problem,
        code: str | None,
        language: str = "python3",
        *,
        deadline_secs: float | None = None,
    ) -> concurrent.futures.Future[Judgement]:
        """Queues a program, as `Judge.submit` does."""

    @abc.abstractmethod
    def close(self, *, abort: bool = False) -> None:
        """Waits for what was submitted; with `abort`, cancels it."""

    @property
    @abc.abstractmethod
    def num_ahead(self) -> int:
        """How many submissions `judge_many` keeps under way."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(abort=kind is not None)

    def judge(self, problem: Problem, code: str | None, language: str = "python3") -> Judgement:
        """Judges one program and waits for it."""
        return self.submit(problem, code, language).result()

    def judge_many(
        self,
        items: Iterable[tuple[Problem, str | None]],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[Judgement]:
        """Judges (problem, program) pairs; results in the order of `items`."""
        pending: collections.deque[concurrent.futures.Future[Judgement]] = collections.deque()
        judgements: list[Judgement] = []

        def take_first() -> None:
            judgements.append(pending.popleft().result())
            if progress is not None:
                progress(len(judgements))

        try:
            for problem, code in items:
                pending.append(self.submit(problem, code))
                if len(pending) >= self.num_ahead:
                    take_first()
            while pending:
                take_first()
        finally:
            for future in pending:
                future.cancel()
        return judgements


def check_submission(problem: Problem, language: str, deadline_secs: float | None) -> None:
    """What `Judge.submit` refuses at once, as far as it can be told from here.

    Raises:
      UserError: the problem cannot be judged, or not in this language; a bad deadline.
    """
    check_judgeable(problem)
    if language not in LANGUAGES:
        raise UserError(
            f"language '{language}' is not among {list(LANGUAGES)}{nearest(language, LANGUAGES)}"
        )
    if language != "python3" and problem.fn_name is not None:
        raise UserError(
            f"problem '{problem.id}' calls the function '{problem.fn_name}': language "
            f"'{language}' works for problems on standard input only"
        )
    if deadline_secs is not None and not deadline_secs > 0:
        raise UserError(f"deadline_secs={deadline_secs} must be above 0")


def wait_for_all(futures: Iterable[PendingJudgement]) -> None:
    """Returns once each has a result, an error or was cancelled."""
    concurrent.futures.wait(list(futures))
