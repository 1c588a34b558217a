"""Rows of TACO (Hugging Face `BAAI/TACO`) as problems: standard input, or calls of a function.

Source: https://arxiv.org/abs/2312.14852.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from spo_jax.problems.contests.rules import (
    ContestRules,
    Tally,
    TestBudget,
    UnusableRowError,
    take_solutions,
)
from spo_jax.types import Problem

DIFFICULTIES = ("UNKNOWN_DIFFICULTY", "EASY", "MEDIUM", "MEDIUM_HARD", "HARD", "VERY_HARD")

_LIMIT = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([a-zA-Z]+)", re.ASCII)
_SECS = {"s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0}
_SECS |= {"ms": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3}
_BYTES = {"b": 1, "byte": 1, "bytes": 1, "k": 1 << 10, "kb": 1 << 10, "kilobytes": 1 << 10}
_BYTES |= {"m": 1 << 20, "mb": 1 << 20, "mib": 1 << 20, "megabyte": 1 << 20, "megabytes": 1 << 20}
_BYTES |= {"g": 1 << 30, "gb": 1 << 30, "gib": 1 << 30, "gigabyte": 1 << 30, "gigabytes": 1 << 30}

# Not a parser: a program that matches is taken for Python 2. The set calls all of them "Python".
_PYTHON2 = re.compile(
    r"^[ \t]*print[ \t]+[^\s(=,.]|^[ \t]*print[ \t]*$|\braw_input\s*\(|\bxrange\s*\("
    r"|\.has_key\s*\(|^[ \t]*except [\w.]+, *\w+ *:|^[ \t]*exec[ \t]+[\"']",
    re.MULTILINE,
)
_DEFINES = re.compile(r"^\s*(?:def\s+)?(?:raw_input|xrange)\b\s*(?:=|\()", re.MULTILINE)


def taco_problem(
    row: Mapping[str, Any], problem_id: str, rules: ContestRules, tally: Tally, is_special: bool
) -> Problem:
    """The problem of a row in the published schema; texts are bytes, empty where null.

    Args:
      is_special: the set's list of special judges says that it has many right answers.

    Raises:
      UnusableRowError: `input_output` is no usable JSON, no test is left, or a special judge is
        needed and `rules.checkers` names none.
    """
    checker = rules.checkers.get(problem_id)
    if is_special and checker is None:
        raise UnusableRowError("needs a special judge, and no checker is known")
    tests = _json(row["input_output"], "input_output")
    if not isinstance(tests, dict):
        raise UnusableRowError("no tests")
    name = tests.get("fn_name")
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        raise UnusableRowError("fn_name is not a name")
    given, wanted = tests.get("inputs"), tests.get("outputs")
    if not (isinstance(given, list) and isinstance(wanted, list) and len(given) == len(wanted)):
        raise UnusableRowError("inputs and outputs of different lengths")
    encode = _lines if name is None else _value
    encoded = ((_arguments(x, name), encode(y)) for x, y in zip(given, wanted, strict=True))
    kept = TestBudget(rules, tally).take(encoded)
    if not kept:
        raise UnusableRowError("no tests")
    if name is not None and checker is None and all(_is_wrapped(value) for value in wanted):
        checker = "value_or_wrapped"
    return Problem(
        id=problem_id,
        name=_text(row["name"]) or problem_id.partition("/")[2],
        description=_description(row),
        private_tests=kept,
        solutions=take_solutions(_programs(row), rules, tally),
        time_limit_secs=rules.time_limit(_limit(row["time_limit"], _SECS, tally)),
        memory_limit_bytes=rules.memory_limit(int(_limit(row["memory_limit"], _BYTES, tally) or 0)),
        fn_name=name,
        source=_text(row["source"]) or "unknown",
        difficulty=_difficulty(row["difficulty"]),
        tags=tuple(_tags(row)),
        checker=checker,
    )


def _arguments(value: Any, fn_name: str | None) -> bytes:
    if fn_name is None:
        return _lines(value)
    if not isinstance(value, list):
        raise UnusableRowError("arguments of a call are no list")
    return _value(value)


def _lines(value: Any) -> bytes:
    """Text of a test: a string, or a list of lines; other values are printed as Python would."""
    return b"\n".join(map(_line, value)) if isinstance(value, list) else _line(value)


def _line(value: Any) -> bytes:
    if isinstance(value, list):
        return b" ".join(map(_line, value))
    return str(value).encode("utf-8", "surrogateescape")


def _value(value: Any) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise UnusableRowError("a test is not JSON") from error


def _is_wrapped(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1


def _json(text: bytes, column: str) -> Any:
    if not text.strip():
        return None
    try:
        return json.loads(text.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:  # also integers of thousands of digits
        raise UnusableRowError(f"{column} is not usable JSON") from error


def _programs(row: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    try:
        programs = _json(row["solutions"], "solutions") or []
    except UnusableRowError:
        programs = []  # The tests judge without them.
    for program in programs if isinstance(programs, list) else []:
        if isinstance(program, str):
            language = "python2" if is_python2(program) else "python3"
            yield language, program.encode("utf-8", "surrogatepass")


def is_python2(program: str) -> bool:
    """A guess from statements and names that Python 3 does not have."""
    return bool(_PYTHON2.search(program)) and not _DEFINES.search(program)


def _description(row: Mapping[str, Any]) -> str:
    """The statement, and the code it begins with, which names the function's arguments."""
    question, starter = _text(row["question"]).rstrip(), _text(row["starter_code"]).rstrip()
    return f"{question}\n\nStarter code:\n{starter}\n" if starter else question


def _limit(text: bytes, units: Mapping[str, float], tally: Tally) -> float | None:
    if not text.strip():
        return None
    match = _LIMIT.match(_text(text))
    unit = units.get(match[2].lower()) if match else None
    if match is None or unit is None:
        tally.dropped["limits that were not understood"] += 1
        return None
    return float(match[1]) * unit


def _difficulty(word: bytes) -> int:
    text = _text(word).strip().upper()
    return DIFFICULTIES.index(text) if text in DIFFICULTIES else 0


def _tags(row: Mapping[str, Any]) -> list[str]:
    """Words of `tags`, or of `raw_tags` where there are none: texts of Python lists."""
    for column in ("tags", "raw_tags"):
        try:
            words = ast.literal_eval(_text(row[column]) or "[]")
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(words, list) and words:
            return [str(word) for word in words]
    return []


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
