"""The rules by which published rows become problems, and the count of what they leave out."""

import collections
import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping

from spo_jax.errors import UserError
from spo_jax.judging import find_checker
from spo_jax.types import Solution, TestCase

_MIB = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContestRules:
    """How rows of CodeContests and TACO become problems.

    Limits were set for compiled programs on the original judges: a stated time limit is multiplied
    and kept within bounds, a missing one is the judge's default. Tests and solutions are capped,
    because whole sets do not fit into memory; a left out test is never cut, and all is counted.

    Attributes:
      time_factor: times a stated time limit, in seconds; then within min_ and max_time_secs.
      min_memory_bytes, max_memory_bytes: bounds of a stated memory limit.
      max_tests: of a problem, in the order public, private, generated.
      max_test_bytes: of all its tests together; tests that do not fit are passed over.
      max_solutions: right ones, and as many wrong ones.
      max_solution_bytes: longer programs are left out.
      languages: of the solutions that are kept ('python3', 'cpp', 'java').
      checkers: problem id to the name of its checker, for problems with many right answers.

    Raises:
      UserError: a number is not positive, bounds are crossed, or a checker is unknown.
    """

    time_factor: float = 2.0
    min_time_secs: float = 2.0
    max_time_secs: float = 20.0
    min_memory_bytes: int = 256 * _MIB
    max_memory_bytes: int = 1024 * _MIB
    max_tests: int = 100
    max_test_bytes: int = _MIB
    max_solutions: int = 20
    max_solution_bytes: int = 64 * 1024
    languages: tuple[str, ...] = ("python3",)
    checkers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            is_number = isinstance(value, int | float)
            if is_number and not (value > 0 and math.isfinite(value)):
                raise UserError(f"contest rule {field.name}={value} must be positive and finite")
        for low, high in (
            ("min_time_secs", "max_time_secs"),
            ("min_memory_bytes", "max_memory_bytes"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise UserError(
                    f"contest rule {low}={getattr(self, low)} exceeds {high}={getattr(self, high)}"
                )
        for name in self.checkers.values():
            find_checker(name)

    def time_limit(self, secs: float | None) -> float | None:
        """The limit of CPU seconds for a stated one."""
        if secs is None or secs <= 0:
            return None
        return min(max(secs * self.time_factor, self.min_time_secs), self.max_time_secs)

    def memory_limit(self, num_bytes: int | None) -> int | None:
        """The limit of bytes for a stated one."""
        if not num_bytes or num_bytes < 0:
            return None
        return min(max(num_bytes, self.min_memory_bytes), self.max_memory_bytes)


class UnusableRowError(Exception):
    """A row that no problem can be made of; the message is the reason, a few fixed words."""


@dataclasses.dataclass
class Tally:
    """What reading rows left out.

    Attributes:
      unusable: (problem id, reason) of rows that are no problem.
      dropped: kind of thing to number: tests and solutions left out of problems that stay.
    """

    unusable: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    dropped: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def lines(self) -> Iterator[str]:
        """For a person: one line for each reason."""
        reasons = collections.Counter(reason for _, reason in self.unusable)
        for reason, count in reasons.most_common():
            yield f"{count} rows are no usable problems: {reason}"
        for what, count in self.dropped.most_common():
            yield f"{count} {what} left out"


class TestBudget:
    """Takes the tests of one problem, as many as the rules allow."""

    __test__ = False  # not a test of pytest's

    def __init__(self, rules: ContestRules, tally: Tally):
        self._num_left = rules.max_tests
        self._bytes_left = rules.max_test_bytes
        self._tally = tally

    def take(self, pairs: Iterable[tuple[bytes, bytes]]) -> tuple[TestCase, ...]:
        """The tests that fit and are UTF-8."""
        return tuple(test for test in map(self._take_one, pairs) if test is not None)

    def _take_one(self, pair: tuple[bytes, bytes]) -> TestCase | None:
        size = len(pair[0]) + len(pair[1])
        if not self._num_left or size > self._bytes_left:
            self._tally.dropped["tests beyond max_tests or max_test_bytes"] += 1
            return None
        try:
            test = TestCase(*(text.decode("utf-8") for text in pair))
        except UnicodeDecodeError:
            self._tally.dropped["tests that are not UTF-8"] += 1
            return None
        self._num_left -= 1
        self._bytes_left -= size
        return test


def take_solutions(
    pairs: Iterable[tuple[str, bytes]], rules: ContestRules, tally: Tally
) -> tuple[Solution, ...]:
    """The written programs that the rules keep, of (language, source)."""
    kept: list[Solution] = []
    for language, source in pairs:
        if language not in rules.languages:
            tally.dropped[f"solutions in {language}"] += 1
        elif len(source) > rules.max_solution_bytes or len(kept) >= rules.max_solutions:
            tally.dropped["solutions beyond max_solutions or max_solution_bytes"] += 1
        else:
            try:
                kept.append(Solution(language, source.decode("utf-8")))
            except UnicodeDecodeError:
                tally.dropped["solutions that are not UTF-8"] += 1
    return tuple(kept)
