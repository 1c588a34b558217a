"""Questions with one right answer each, from JSON Lines or Parquet files.

A directory has files whose names or folders begin with train, valid or test. Of a single file,
every tenth row, beginning with the tenth, is 'test' and the others are 'train'.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spo_jax.errors import UserError
from spo_jax.problems.contests.files import local_files
from spo_jax.problems.json_rows import read_json_rows
from spo_jax.types import Problem, Solution, TestCase

_TEST_EVERY = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptColumns:
    """Which columns hold what.

    Attributes:
      prompt: the question, a text.
      answer: the right answer, a text or a number.
      id: of the problem; '' numbers the rows of each file.
      answer_marker: what stands before the answer itself in its column, such as GSM8K's '####';
        '' takes all of it.
    """

    prompt: str = "prompt"
    answer: str = "answer"
    id: str = ""
    answer_marker: str = ""


def prompt_answer_problems(split: str, data_dir: str, columns: PromptColumns) -> Iterator[Problem]:
    """The problems of a split, in the order of the files.

    Raises:
      UserError: there are no such files, none of the split, or a row lacks a column.
    """
    path = Path(data_dir).expanduser()
    if not data_dir:
        raise UserError("task 'prompt_answer' needs data_dir: a file or a directory")
    if path.is_file():
        if split == "validation":
            raise UserError(f"{path} is one file, with splits 'train' and 'test'")
        files = [str(path)]
    else:
        by_split = local_files(data_dir)
        if split not in by_split:
            known = ", ".join(by_split)
            raise UserError(f"{path} holds no file of split '{split}' (it has: {known})")
        files = by_split[split]
    seen: dict[str, str] = {}
    for file in files:
        for number, (where, row) in enumerate(_rows(file), start=1):
            is_test = number % _TEST_EVERY == 0
            if path.is_file() and is_test != (split == "test"):
                continue
            problem = _problem(row, columns, where, f"{Path(file).stem}-{number}")
            if problem.id in seen:
                raise UserError(f"{where}: id '{problem.id}' is that of {seen[problem.id]} too")
            seen[problem.id] = where
            yield problem
    if not seen:
        raise UserError(f"{data_dir} holds no row of split '{split}'")


def _rows(file: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if file.endswith((".jsonl", ".jsonl.gz", ".json")):
        yield from read_json_rows(file)
    elif file.endswith(".parquet"):
        try:
            with pq.ParquetFile(file) as table:
                number = 0
                for batch in table.iter_batches():
                    for row in batch.to_pylist():
                        number += 1
                        yield f"{file}, row {number}", row
        except (pa.ArrowException, ValueError) as error:
            raise UserError(f"{file} is not a valid Parquet file: {error}") from error
    else:
        raise UserError(f"{file} must end with .jsonl, .jsonl.gz, .json (lines) or .parquet")


def _problem(row: dict[str, Any], columns: PromptColumns, where: str, number: str) -> Problem:
    prompt = _text(row, columns.prompt, where)
    answer = _text(row, columns.answer, where)
    if columns.answer_marker:
        _, found, answer = answer.rpartition(columns.answer_marker)
        if not found:
            rule = f"holds no answer_marker '{columns.answer_marker}'"
            raise UserError(f"{where}: column '{columns.answer}' {rule}")
    if not answer.strip():
        raise UserError(f"{where}: column '{columns.answer}' is empty")
    name = _text(row, columns.id, where) if columns.id else number
    return Problem(
        id=f"prompt_answer/{name}",
        name=name,
        description=prompt,
        public_tests=(TestCase(input="", output=answer.strip()),),
        solutions=(Solution("text", answer.strip()),),
        source="prompt_answer",
    )


def _text(row: dict[str, Any], column: str, where: str) -> str:
    if column not in row:
        raise UserError(f"{where}: there is no column '{column}' (there are: {', '.join(row)})")
    value = row[column]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        kind = type(value).__name__
        raise UserError(f"{where}: column '{column}' must be a text or a number, not {kind}")
    return str(value)
