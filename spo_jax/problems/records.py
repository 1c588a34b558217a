"""Problems as JSON in the schema of DeepMind CodeContests, and back.

The columns are those of the published parquet files (lists inside structs, numbers for languages
and sources), plus `id` and TACO's `fn_name` for call-style problems. Sources and languages that
the numbers do not cover are written as words.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spo_jax.errors import UserError
from spo_jax.types import Problem, Solution, TestCase

LANGUAGES = ("unknown", "python2", "cpp", "python3", "java")
SOURCES = ("unknown", "codechef", "codeforces", "hackerearth", "codejam", "atcoder", "aizu")
_TESTS = ("public_tests", "private_tests", "generated_tests")
_SOLUTIONS = ("solutions", "incorrect_solutions")
_ADDED_SOURCE = ("prologue", "epilogue")

# Columns that have no counterpart in `Problem`, with the values they take when unknown.
_UNUSED_COLUMNS: dict[str, Any] = {
    "cf_contest_id": 0,
    "cf_index": "",
    "cf_points": 0.0,
    "cf_rating": 0,
    "is_description_translated": False,
    "untranslated_description": "",
    "input_file": "",
    "output_file": "",
}


class _Fields:
    """Reads the fields of one record; complaints name the record and the field."""

    def __init__(self, record: Mapping[str, Any], where: str):
        self._record = record
        self._where = where

    def error(self, field: str, rule: str) -> UserError:
        return UserError(f"{self._where}: field '{field}' {rule}")

    def take(self, field: str, kinds: type | tuple[type, ...], default: Any) -> Any:
        value = self._record.get(field)
        if value is None:
            return default
        wrong_bool = isinstance(value, bool) and kinds is not bool
        if not isinstance(value, kinds) or wrong_bool:
            names = kinds if isinstance(kinds, tuple) else (kinds,)
            wanted = " or ".join(_JSON_NAMES[kind] for kind in names)
            raise self.error(field, f"must be {wanted}, not {json.dumps(value)[:60]}")
        return value

    def columns(self, field: str, names: tuple[str, str], kinds: tuple[Any, Any]) -> list[tuple]:
        """Rows of a struct of two lists of equal length, such as {"input": [], "output": []}."""
        struct = self.take(field, dict, {})
        parts = _Fields(struct, f"{self._where}: {field}")
        first, second = (parts.take(name, list, []) for name in names)
        for name, values, kind in zip(names, (first, second), kinds, strict=True):
            for place, value in enumerate(values):
                if not isinstance(value, kind) or isinstance(value, bool):
                    raise parts.error(f"{name}[{place}]", f"has a wrong type: {value!r:.60}")
        if len(first) != len(second):
            raise self.error(
                field,
                f"needs as many '{names[0]}' as '{names[1]}': {len(first)} and {len(second)}",
            )
        return list(zip(first, second, strict=True))


_JSON_NAMES: dict[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "an object",
    bool: "true or false",
}


def record_from_problem(problem: Problem) -> dict[str, Any]:
    """The record of a problem; `problem_from_record` reads it back unchanged."""
    record: dict[str, Any] = {
        "id": problem.id,
        "name": problem.name,
        "description": problem.description,
        "fn_name": problem.fn_name,
        "source": _number_or_word(problem.source, SOURCES),
        "difficulty": problem.difficulty,
        "cf_tags": list(problem.tags),
        "time_limit": _seconds_and_nanos(problem.time_limit_secs),
        "memory_limit_bytes": problem.memory_limit_bytes or 0,
    }
    for field in _TESTS:
        tests: Sequence[TestCase] = getattr(problem, field)
        record[field] = {
            "input": [test.input for test in tests],
            "output": [test.output for test in tests],
        }
    for field in _SOLUTIONS:
        solutions: Sequence[Solution] = getattr(problem, field)
        record[field] = {
            "language": [_number_or_word(item.language, LANGUAGES) for item in solutions],
            "solution": [item.code for item in solutions],
        }
    if problem.checker is not None:
        record["checker"] = problem.checker
    for field in _ADDED_SOURCE:
        if getattr(problem, field):
            record[field] = getattr(problem, field)
    return record | _UNUSED_COLUMNS


def problem_from_record(record: Any, *, where: str) -> Problem:
    """The problem of a record.

    Args:
      record: a JSON object; missing and null fields take their defaults.
      where: names the record in messages, for example its file.

    Raises:
      UserError: a field has the wrong type, there is no name or no test, a test of a call-style
        problem is not JSON, or the problem reads or writes files.
    """
    if not isinstance(record, Mapping):
        raise UserError(f"{where}: a problem must be a JSON object, not {json.dumps(record)[:60]}")
    fields = _Fields(record, where)
    name = fields.take("name", str, "")
    problem_id = fields.take("id", str, f"file/{name}")
    if not name and problem_id == "file/":
        raise fields.error("name", "is missing")
    for field in ("input_file", "output_file"):
        if fields.take(field, str, ""):
            raise fields.error(field, "must be empty: programs use standard input and output")
    problem = Problem(
        id=problem_id,
        name=name or problem_id,
        description=fields.take("description", str, ""),
        time_limit_secs=_time_limit(fields),
        memory_limit_bytes=fields.take("memory_limit_bytes", int, 0) or None,
        fn_name=fields.take("fn_name", str, None),
        source=_word(fields, "source", SOURCES),
        difficulty=fields.take("difficulty", int, 0),
        tags=tuple(str(tag) for tag in fields.take("cf_tags", list, [])),
        public_tests=_tests(fields, "public_tests"),
        private_tests=_tests(fields, "private_tests"),
        generated_tests=_tests(fields, "generated_tests"),
        solutions=_solutions(fields, "solutions"),
        incorrect_solutions=_solutions(fields, "incorrect_solutions"),
        checker=fields.take("checker", str, None),
        prologue=fields.take("prologue", str, ""),
        epilogue=fields.take("epilogue", str, ""),
    )
    if not problem.tests:
        raise UserError(f"{where}: a problem needs a test in one of {', '.join(_TESTS)}")
    _check_call_tests(problem, where)
    return problem


def read_problem_file(path: str | Path) -> Problem:
    """Reads one problem from a JSON file in the schema of CodeContests.

    Raises:
      UserError: there is no such file, it is not JSON, or a field is wrong (the file is named).
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read the problem {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error.reason}") from error
    return problem_from_record(_parse(text, str(path)), where=str(path))


def problem_from_line(line: str, *, where: str) -> Problem:
    """Like `problem_from_record`, from the text of one JSON object.

    Raises:
      UserError: the line is not JSON, or a field is wrong.
    """
    return problem_from_record(_parse(line, where), where=where)


def line_from_problem(problem: Problem) -> str:
    """The record as one line of JSON, with its fields in a fixed order."""
    return json.dumps(record_from_problem(problem), ensure_ascii=False, separators=(",", ":"))


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error


def _tests(fields: _Fields, field: str) -> tuple[TestCase, ...]:
    rows = fields.columns(field, ("input", "output"), (str, str))
    return tuple(TestCase(input=given, output=wanted) for given, wanted in rows)


def _solutions(fields: _Fields, field: str) -> tuple[Solution, ...]:
    rows = fields.columns(field, ("language", "solution"), ((int, str), str))
    solutions = []
    for place, (language, code) in enumerate(rows):
        if isinstance(language, int):
            if not 0 <= language < len(LANGUAGES):
                rule = f"must be 0 to {len(LANGUAGES) - 1}, not {language}"
                raise fields.error(f"{field}.language[{place}]", rule)
            language = LANGUAGES[language]
        solutions.append(Solution(language=language, code=code))
    return tuple(solutions)


def _check_call_tests(problem: Problem, where: str) -> None:
    if problem.fn_name is None:
        return
    for place, test in enumerate(problem.tests):
        for field, text in (("input", test.input), ("output", test.output)):
            try:
                value = json.loads(text)
            except json.JSONDecodeError as error:
                raise UserError(
                    f"{where}: the {field} of test {place} must be JSON because field 'fn_name' "
                    f"is set, not {text!r:.60}"
                ) from error
            if field == "input" and not isinstance(value, list):
                raise UserError(
                    f"{where}: the input of test {place} must be a JSON list of arguments because "
                    f"field 'fn_name' is set, not {text!r:.60}"
                )


def _time_limit(fields: _Fields) -> float | None:
    limit = fields.take("time_limit", dict, None)
    if limit is None:
        return None
    try:
        seconds = float(limit.get("seconds") or 0) + float(limit.get("nanos") or 0) / 1e9
    except (TypeError, ValueError) as error:
        rule = f"must hold the numbers 'seconds' and 'nanos', not {limit}"
        raise fields.error("time_limit", rule) from error
    if seconds <= 0:
        raise fields.error("time_limit", f"must be positive, not {seconds} seconds")
    return seconds


def _seconds_and_nanos(secs: float | None) -> dict[str, int] | None:
    if secs is None:
        return None
    nanos = round(secs * 1e9)
    return {"seconds": nanos // 10**9, "nanos": nanos % 10**9}


def _number_or_word(word: str, known: Sequence[str]) -> int | str:
    return known.index(word) if word in known else word


def _word(fields: _Fields, field: str, known: Sequence[str]) -> str:
    value = fields.take(field, (int, str), 0)
    if isinstance(value, str):
        return value
    if not 0 <= value < len(known):
        raise fields.error(field, f"must be 0 to {len(known) - 1} or a word, not {value}")
    return known[value]
