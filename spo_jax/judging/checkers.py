"""Special judges: problems with many right answers name a checker that decides about an output.

A checker is a pure function in the judge, on bytes the program cannot reach any more. Like a
comparison it must never execute what it is given, and should take time linear in its length.
"""

import collections
import dataclasses
import json
from typing import Protocol

from spo_jax.errors import UserError, nearest
from spo_jax.judging.comparison import OutputComparison
from spo_jax.judging.interface import SandboxError
from spo_jax.types import Problem, TestCase

_MAX_OUTPUT_RATIO = 4


class Checker(Protocol):
    """Decides about one output."""

    def __call__(self, problem: Problem, test: TestCase, output: bytes) -> bool:
        """Whether `output` is right: standard output, or the returned value as JSON."""


class Compares(Protocol):
    """What the judge asks: '' when an output is right, else what is wrong."""

    def explain_stdout(self, test: TestCase, output: bytes) -> str: ...

    def explain_result(self, test: TestCase, result: bytes) -> str: ...


def tokens_in_any_order(problem: Problem, test: TestCase, output: bytes) -> bool:
    """The expected tokens, each as often, in any order."""
    if _is_flood(test, output):
        return False
    return collections.Counter(test.output.encode().split()) == collections.Counter(output.split())


def lines_in_any_order(problem: Problem, test: TestCase, output: bytes) -> bool:
    """The expected lines, each as often, in any order; blank lines do not count."""
    if _is_flood(test, output):
        return False
    lines = [
        collections.Counter(tuple(line.split()) for line in text.split(b"\n") if line.strip())
        for text in (test.output.encode(), output)
    ]
    return lines[0] == lines[1]


def value_or_wrapped(problem: Problem, test: TestCase, output: bytes) -> bool:
    """The expected value, or the only element of it: TACO wraps returned values in a list."""
    comparison = OutputComparison()
    if not comparison.explain_result(test, output):
        return True
    value = json.loads(test.output)
    if not (isinstance(value, list) and len(value) == 1):
        return False
    inner = TestCase(test.input, json.dumps(value[0]))
    return not comparison.explain_result(inner, output)


def _is_flood(test: TestCase, output: bytes) -> bool:
    """So much longer than expected that counting its words is not worth the memory."""
    return len(output) > _MAX_OUTPUT_RATIO * (len(test.output) + 1000)


_CHECKERS: dict[str, Checker] = {
    function.__name__: function
    for function in (lines_in_any_order, tokens_in_any_order, value_or_wrapped)
}


def register_checker(name: str, checker: Checker) -> None:
    """Makes a checker known under the name that `Problem.checker` gives.

    Raises:
      UserError: the name is taken by another checker.
    """
    if _CHECKERS.setdefault(name, checker) is not checker:
        raise UserError(f"checker '{name}' is registered already")


def find_checker(name: str) -> Checker:
    """The checker of this name.

    Raises:
      UserError: there is none.
    """
    if name not in _CHECKERS:
        hint = nearest(name, _CHECKERS)
        raise UserError(f"unknown checker '{name}'{hint} (known: {', '.join(sorted(_CHECKERS))})")
    return _CHECKERS[name]


def comparison_of(problem: Problem, default: OutputComparison) -> Compares:
    """How outputs for `problem` are compared: by its checker, or by `default`."""
    if problem.checker is None:
        return default
    return _CheckerComparison(problem, find_checker(problem.checker))


@dataclasses.dataclass(frozen=True)
class _CheckerComparison:
    problem: Problem
    checker: Checker

    def explain_stdout(self, test: TestCase, output: bytes) -> str:
        try:
            is_right = self.checker(self.problem, test, output)
        except Exception as error:  # The judge's failure, not the program's.
            raise SandboxError(f"checker '{self.problem.checker}' failed: {error!r}") from error
        return "" if is_right else f"not accepted by checker '{self.problem.checker}'"

    def explain_result(self, test: TestCase, result: bytes) -> str:
        return self.explain_stdout(test, result)
