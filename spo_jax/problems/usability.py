"""Which problems of a set can be trusted? Its own solutions are judged again, and say.

The rule: a problem is unusable when the judge fails on it, when it has right solutions and not one
is accepted, or when a wrong solution is accepted (its tests are too weak). A problem without a
solution that could be judged is unverified, not unusable.
"""

import collections
import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterator, Sequence

from spo_jax.judging import SubmitsPrograms
from spo_jax.types import Judgement, Problem, Verdict

_MAX_PENDING = 64

JUDGE_FAILED = "the judge failed"
NONE_ACCEPTED = "no right solution is accepted"
WRONG_ACCEPTED = "a wrong solution is accepted"


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProblemCheck:
    """What judging its own solutions says of a problem.

    Attributes:
      problem_id: of the problem.
      num_right, num_wrong: programs judged of each list.
      num_right_accepted, num_wrong_accepted: of these, accepted ones.
      mislabels: programs whose verdict contradicts their list.
      reason: why the problem is unusable; '' where it is usable or unverified.
    """

    problem_id: str
    num_right: int
    num_wrong: int
    num_right_accepted: int
    num_wrong_accepted: int
    mislabels: tuple[Mislabel, ...]
    reason: str

    @property
    def is_verified(self) -> bool:
        """At least one right solution was accepted, and nothing speaks against the problem."""
        return not self.reason and self.num_right_accepted > 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetCheck:
    """Checks in the order of the problems, and programs that were not judged, by language."""

    problems: tuple[ProblemCheck, ...]
    skipped: dict[str, int]

    @property
    def num_programs(self) -> int:
        return sum(check.num_right + check.num_wrong for check in self.problems)

    @property
    def mislabels(self) -> list[Mislabel]:
        return [mislabel for check in self.problems for mislabel in check.mislabels]

    @property
    def unusable(self) -> dict[str, str]:
        """Problem id to the reason."""
        return {check.problem_id: check.reason for check in self.problems if check.reason}


_Item = tuple[Problem, bool, int, str, str]  # is it right, its place in its list, language, code


def check_problems(
    problems: Sequence[Problem],
    judge: SubmitsPrograms,
    *,
    languages: Sequence[str] = ("python3",),
    max_solutions: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> SetCheck:
    """Judges the written programs of problems.

    Args:
      problems: with unique ids.
      judge: a started judge that knows `languages`.
      languages: programs in others are skipped and counted.
      max_solutions: judged of each list of a problem; the rest is skipped and counted.
      progress: told how many programs have been judged.
    """
    chosen, skipped = _choose(problems, languages, max_solutions)
    pending: collections.deque = collections.deque()
    mislabels: dict[str, list[Mislabel]] = collections.defaultdict(list)
    counts: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    num_judged = 0

    def take() -> None:
        nonlocal num_judged
        (problem, is_right, place, _, code), future = pending.popleft()
        judgement = future.result()
        accepted = judgement.verdict is Verdict.AC
        counts[problem.id][is_right, accepted] += 1
        counts[problem.id][Verdict.IE] += judgement.verdict is Verdict.IE
        if accepted != is_right or judgement.verdict is Verdict.IE:
            mislabels[problem.id].append(Mislabel(problem.id, is_right, place, code, judgement))
        num_judged += 1
        if progress is not None:
            progress(num_judged)

    try:
        for item in chosen:
            problem, _, _, language, code = item
            future: concurrent.futures.Future = judge.submit(problem, code, language)
            pending.append((item, future))
            if len(pending) >= _MAX_PENDING:
                take()
        while pending:
            take()
    finally:
        for _, future in pending:
            future.cancel()
    checks = (
        _verdict(problem.id, counts[problem.id], mislabels[problem.id]) for problem in problems
    )
    return SetCheck(problems=tuple(checks), skipped=dict(skipped))


def num_programs(
    problems: Sequence[Problem],
    languages: Sequence[str] = ("python3",),
    max_solutions: int | None = None,
) -> int:
    """How many programs `check_problems` judges."""
    return len(_choose(problems, languages, max_solutions)[0])


def _choose(
    problems: Sequence[Problem], languages: Sequence[str], most: int | None
) -> tuple[list[_Item], collections.Counter[str]]:
    chosen, skipped = [], collections.Counter[str]()
    for problem in problems:
        for is_right in (True, False):
            kept = 0
            for place, language, code in _programs(problem, is_right):
                if language not in languages:
                    skipped[language] += 1
                elif language == "cpp" and problem.fn_name is not None:
                    skipped["cpp for a problem that calls a function"] += 1
                elif most is not None and kept >= most:
                    skipped["beyond max_solutions"] += 1
                else:
                    kept += 1
                    chosen.append((problem, is_right, place, language, code))
    return chosen, skipped


def _programs(problem: Problem, is_right: bool) -> Iterator[tuple[int, str, str]]:
    written = problem.solutions if is_right else problem.incorrect_solutions
    for place, solution in enumerate(written):
        yield place, solution.language, solution.code


def _verdict(
    problem_id: str, counts: collections.Counter, mislabels: Sequence[Mislabel]
) -> ProblemCheck:
    right = counts[True, True] + counts[True, False]
    if counts[Verdict.IE]:
        reason = JUDGE_FAILED
    elif right and not counts[True, True]:
        reason = NONE_ACCEPTED
    elif counts[False, True]:
        reason = WRONG_ACCEPTED
    else:
        reason = ""
    return ProblemCheck(
        problem_id=problem_id,
        num_right=right,
        num_wrong=counts[False, True] + counts[False, False],
        num_right_accepted=counts[True, True],
        num_wrong_accepted=counts[False, True],
        mislabels=tuple(mislabels),
        reason=reason,
    )
