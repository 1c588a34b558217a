"""Do the written solutions of problems deserve their labels? Asked of the judge."""

import sys
import time
from collections.abc import Callable, Sequence

from spo_jax.judging import Judge
from spo_jax.problems.usability import Mislabel, check_problems, num_programs
from spo_jax.types import Problem


def num_written(problems: Sequence[Problem]) -> int:
    """How many programs `find_mislabels` judges."""
    return num_programs(problems)


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
    return check_problems(problems, judge, progress=progress).mislabels
