"""Reads JSON Lines with errors that name the file and the line."""

import json
from pathlib import Path
from typing import Any

from spo_jax.errors import UserError


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
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}") from error
    rows = []
    # Not splitlines: JSON strings may hold other line separators unescaped.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            rows.append((f"{path}:{number}", _parse(f"{path}:{number}", line)))
    if not rows:
        raise UserError(f"{path} has no rows")
    return rows


def _parse(place: str, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise UserError(f"{place}: a row must be a JSON object, got {line.strip()[:40]}")
    return row
