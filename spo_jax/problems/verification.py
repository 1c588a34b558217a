"""Do the written solutions of problems deserve their labels? Asked of the judge."""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from spo_jax.judging import Judge
from spo_jax.types import Judgement, Problem, Verdict


@dataclasses.dataclass(frozen=True, slots=True)
class Mislabel:
    """A written program whose verdict contradicts the list it stands in."""

    problem_id: str
    is_correct: bool
    index: int
    code: str
    judgement: Judgement

    def __str__(self) -> str:
        field = "solutions" if self.is_correct else "incorrect_solutions"
        return (
            f"{self.problem_id}: {field}[{self.index}] got {self.judgement.verdict} "
            f"{self.judgement.message}\n{self.code}"
        )


def num_written(problems: Sequence[Problem]) -> int:
    """How many programs `find_mislabels` judges."""
    return sum(1 for _ in _written(problems))


def progress_line(total: int, every_secs: float = 2.0) -> Callable[[int], None]:
    """A callback that writes progress, rate and time left to standard error now and then."""
    started = last = time.monotonic()

    def progress(num_judged: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < every_secs and num_judged < total:
            return
        last = now
        rate = num_judged / max(now - started, 1e-9)
        left = (total - num_judged) / rate
        print(
            f"judged {num_judged}/{total} programs, {rate:.0f}/s, {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )

    return progress


def find_mislabels(
    problems: Sequence[Problem],
    judge: Judge,
    progress: Callable[[int], None] | None = None,
) -> list[Mislabel]:
    """Judges every written Python 3 program: right ones must pass, wrong ones must fail a test.

    Args:
      problems: whose programs are judged.
      judge: a started judge.
      progress: told how many programs have been judged.
    """
    written = list(_written(problems))
    items = [(problem, code) for problem, _, _, code in written]
    judgements = judge.judge_many(items, progress=progress)
    mislabels = []
    for (problem, is_correct, index, code), judgement in zip(written, judgements, strict=True):
        accepted = judgement.verdict is Verdict.AC
        if accepted != is_correct or judgement.verdict is Verdict.IE:
            mislabels.append(Mislabel(problem.id, is_correct, index, code, judgement))
    return mislabels


def _written(problems: Sequence[Problem]) -> Iterator[tuple[Problem, bool, int, str]]:
    for problem in problems:
        for is_correct in (True, False):
            programs = problem.solutions if is_correct else problem.incorrect_solutions
            for index, solution in enumerate(programs):
                if solution.language == "python3":
                    yield problem, is_correct, index, solution.code
