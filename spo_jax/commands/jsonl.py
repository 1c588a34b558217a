"""JSON Lines that a flag names."""

from pathlib import Path
from typing import Any

from spo_jax.errors import UserError
from spo_jax.problems.json_rows import read_json_rows


def read_jsonl(flag: str, name: str) -> list[tuple[str, dict[str, Any]]]:
    """Returns ('file:line', object) of every line that is not blank.

    Args:
      flag: the command-line flag that named the file, for messages.
      name: of the file.

    Raises:
      UserError: the file is absent, empty or not UTF-8, or a line is not a JSON object.
    """
    path = Path(name)
    if not path.is_file():
        raise UserError(f"{flag}={name} is not a file")
    rows = list(read_json_rows(path))
    if not rows:
        raise UserError(f"{path} has no rows")
    return rows
