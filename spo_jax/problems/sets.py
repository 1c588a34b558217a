"""Bundled problem sets, read without TensorFlow."""

import functools
import gzip
import importlib.resources
from collections.abc import Callable, Collection, Sequence

from spo_jax.errors import UserError, nearest
from spo_jax.problems.letters import letter_problems
from spo_jax.problems.records import problem_from_line
from spo_jax.types import Problem


def _from_package(package: str, split: str) -> list[Problem]:
    """The problems in `data/<split>.jsonl.gz` of a package."""
    path = importlib.resources.files(package).joinpath("data", f"{split}.jsonl.gz")
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").rstrip("\n").split("\n")
    return [
        problem_from_line(line, where=f"{package}/{split} line {number}")
        for number, line in enumerate(lines, start=1)
    ]


_SPLITS = ("train", "test")
# Set -> the problems of one of its splits.
_SETS: dict[str, Callable[[str], Sequence[Problem]]] = {
    "starter": functools.partial(_from_package, "spo_jax.problems.starter"),
    "letters": letter_problems,
}


def problem_sets() -> dict[str, tuple[str, ...]]:
    """The bundled sets and their splits."""
    return dict.fromkeys(_SETS, _SPLITS)


def load_problems(name: str = "starter", split: str = "train") -> list[Problem]:
    """The problems of one split of a bundled set, in a fixed order.

    Raises:
      UserError: there is no such set or split.
    """
    _require(name, problem_sets(), "problem set")
    _require(split, problem_sets()[name], f"split of '{name}'")
    return list(_read(name, split))


def find_problem(problem_id: str) -> Problem:
    """The problem of a bundled set with this id, '<set>/<name>'.

    Raises:
      UserError: there is no such problem.
    """
    name, _, _ = problem_id.partition("/")
    sets = problem_sets()
    searched = [name] if name in sets else list(sets)
    by_id = {
        problem.id: problem
        for each in searched
        for split in sets[each]
        for problem in _read(each, split)
    }
    if problem_id not in by_id:
        hint = nearest(problem_id, by_id)
        raise UserError(f"unknown problem '{problem_id}'{hint} (spo problems list shows all)")
    return by_id[problem_id]


def _require(value: str, known: Collection[str], what: str) -> None:
    if value not in known:
        hint = nearest(value, known)
        raise UserError(f"unknown {what} '{value}'{hint} (known: {', '.join(known)})")


@functools.cache
def _read(name: str, split: str) -> tuple[Problem, ...]:
    return tuple(_SETS[name](split))
