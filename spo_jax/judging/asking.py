"""How judges of programs are asked, wherever the programs run."""

import abc
import collections
import concurrent.futures
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from spo_jax.errors import UserError, nearest
from spo_jax.judging.checkers import find_checker
from spo_jax.judging.comparison import parse_json
from spo_jax.types import Judgement, Problem

LANGUAGES = ("python3", "cpp")


class ProgramJudge(abc.ABC):
    """Judges programs in parallel, here or elsewhere. Use as a context manager.

    Attributes:
      backend: name of the sandbox in use. layers: protections in use.
    """

    backend: str
    layers: tuple[str, ...]

    @property
    @abc.abstractmethod
    def identity(self) -> str:
        """Names all that verdicts depend on besides problem and program."""

    @abc.abstractmethod
    def submit(
        self,
        problem: Problem,
        code: str | None,
        language: str = "python3",
        *,
        deadline_secs: float | None = None,
    ) -> concurrent.futures.Future[Judgement]:
        """Queues a program; None stands for an answer without a program and is CE.

        Args:
          problem: whose tests are run.
          code: the program's source.
          language: 'python3' or 'cpp' (C++17, for problems on standard input).
          deadline_secs: wall seconds from now. After them the judgement is IE: a busy host must
            not decide a verdict.
        Raises:
          UserError: the problem cannot be judged (no tests, bad JSON), or not in this language.
        """

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
