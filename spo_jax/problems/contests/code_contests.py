"""Rows of DeepMind CodeContests (Hugging Face `deepmind/code_contests`, CC BY 4.0) as problems.

The numbers of the published parquet files differ from those of the original protocol buffers.
Source: https://arxiv.org/abs/2203.07814.
"""

from collections.abc import Mapping
from typing import Any

from spo_jax.problems.contests.rules import (
    ContestRules,
    Tally,
    TestBudget,
    UnusableRowError,
    take_solutions,
)
from spo_jax.problems.records import LANGUAGES, SOURCES
from spo_jax.types import Problem

DIFFICULTIES = (
    *("unknown", "easy", "medium", "hard", "harder", "hardest", "external"),
    *"ABCDEFGHIJKLMNOPQRSTUV",
)


def code_contests_problem(
    row: Mapping[str, Any], problem_id: str, rules: ContestRules, tally: Tally
) -> Problem:
    """The problem of a row in the schema of the published parquet files; texts are bytes.

    Raises:
      UnusableRowError: it reads or writes files, its tests do not pair up, or none is left.
    """
    if row["input_file"] or row["output_file"]:
        raise UnusableRowError("reads or writes files")
    budget = TestBudget(rules, tally)
    public, private, generated = (
        budget.take(_pairs(row[name], "input", "output"))
        for name in ("public_tests", "private_tests", "generated_tests")
    )
    if not (public or private or generated):
        raise UnusableRowError("no tests")
    right, wrong = (
        take_solutions(
            (
                (LANGUAGES[int(language)], source)
                for language, source in _pairs(row[name], "language", "solution")
            ),
            rules,
            tally,
        )
        for name in ("solutions", "incorrect_solutions")
    )
    return Problem(
        id=problem_id,
        name=_text(row["name"]),
        description=_text(row["description"]),
        public_tests=public,
        private_tests=private,
        generated_tests=generated,
        solutions=right,
        incorrect_solutions=wrong,
        time_limit_secs=rules.time_limit(_secs(row["time_limit"])),
        memory_limit_bytes=rules.memory_limit(int(row["memory_limit_bytes"])),
        source=SOURCES[int(row["source"])],
        difficulty=int(row["difficulty"]),
        tags=tuple(_text(tag) for tag in row["cf_tags"] if tag),
        checker=rules.checkers.get(problem_id),
    )


def _pairs(struct: Mapping[str, Any], first: str, second: str) -> list[tuple[Any, Any]]:
    if len(struct[first]) != len(struct[second]):
        raise UnusableRowError(f"lists of '{first}' and '{second}' of different lengths")
    return list(zip(struct[first], struct[second], strict=True))


def _secs(limit: Mapping[str, Any]) -> float | None:
    """The builder stores a limit as a list: of none where the row has null."""
    if not len(limit["seconds"]):
        return None
    return float(limit["seconds"][0]) + float(limit["nanos"][0]) / 1e9


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
