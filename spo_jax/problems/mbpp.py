"""MBPP, mostly basic Python problems (https://arxiv.org/abs/2108.07732; CC BY 4.0).

Its file has one JSON object a line: `task_id`, `text`, `code`, `test_list`, `test_setup_code` and
`challenge_test_list`. The published splits are ranges of ids.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from spo_jax.errors import UserError
from spo_jax.problems.assertions import EPILOGUE, HARNESS, assertion_test
from spo_jax.problems.json_rows import data_file, field_of, read_json_rows
from spo_jax.types import Problem, Solution

# The paper's: 'prompt' are the examples of its few-shot prompt.
MBPP_SPLITS = {
    "train": range(601, 975),
    "validation": range(511, 601),
    "test": range(11, 511),
    "prompt": range(1, 11),
}
_FILES = ("mbpp.jsonl", "mbpp_train_val.jsonl")


def mbpp_problems(split: str, data_dir: str) -> Iterator[Problem]:
    """The problems of a published split, in the order of the file.

    Args:
      split: a key of `MBPP_SPLITS`.
      data_dir: the file, or the directory it is in.

    Raises:
      UserError: there is no such file, it holds nothing of the split, or a line is wrong.
    """
    if not data_dir:
        raise UserError(
            "task 'mbpp' needs data_dir: the path of mbpp.jsonl, from "
            "https://github.com/google-research/google-research/tree/master/mbpp"
        )
    path = data_file(data_dir, _FILES)
    found = False
    for where, row in read_json_rows(path):
        if field_of(row, "task_id", int, where) in MBPP_SPLITS[split]:
            found = True
            yield _problem(row, where)
    if not found:
        ids = MBPP_SPLITS[split]
        raise UserError(
            f"{path} holds no problem of MBPP's split '{split}' (task_id {ids[0]} to {ids[-1]})"
        )


def _problem(row: Mapping[str, Any], where: str) -> Problem:
    """The statement is the paper's prompt: the text and the assertions, which are all tests."""
    asserts = field_of(row, "test_list", list, where)
    if not asserts or not all(isinstance(source, str) for source in asserts):
        raise UserError(f"{where}: field 'test_list' must be a list of texts and not empty")
    setup = row.get("test_setup_code") or ""
    shown = "\n".join(asserts)
    text = field_of(row, "text", str, where)
    number = row["task_id"]
    return Problem(
        id=f"mbpp/{number}",
        name=f"MBPP {number}",
        description=f"{text} Your code should pass these tests:\n\n{shown}\n",
        public_tests=tuple(assertion_test(f"{setup}\n{source}".lstrip()) for source in asserts),
        solutions=(Solution("python3", _unix_lines(field_of(row, "code", str, where))),),
        fn_name=HARNESS,
        source="mbpp",
        epilogue=EPILOGUE,
    )


def _unix_lines(code: str) -> str:
    """The file's programs have the line ends of DOS."""
    return code.replace("\r\n", "\n").replace("\r", "\n")
