"""Rows of a JSON Lines file, plain or compressed, with complaints that name the line."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spo_jax.errors import UserError


def read_json_rows(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields ('file:line', object) of every line that is not blank.

    Raises:
      UserError: no such file, not UTF-8, or a line is no JSON object.
    """
    try:
        data = Path(path).expanduser().read_bytes()
        text = (gzip.decompress(data) if str(path).endswith(".gz") else data).decode("utf-8")
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}") from error
    # Not splitlines: JSON strings may hold other line separators unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise UserError(f"{where}: a row must be a JSON object, got {line.strip()[:40]}")
        yield where, row


def field_of(row: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    """The value of a field.

    Raises:
      UserError: it is missing or of another type.
    """
    if name not in row:
        raise UserError(f"{where}: field '{name}' is missing (there are: {', '.join(row)})")
    value = row[name]
    if not isinstance(value, kind):
        raise UserError(
            f"{where}: field '{name}' must be {kind.__name__}, not {type(value).__name__}"
        )
    return value


def data_file(data_dir: str, names: tuple[str, ...]) -> Path:
    """The file that a source reads: `data_dir` itself, or the first of these names below it.

    Raises:
      UserError: there is none.
    """
    root = Path(data_dir).expanduser()
    if root.is_file():
        return root
    for name in names:
        if (root / name).is_file():
            return root / name
    raise UserError(f"data_dir='{data_dir}' is no file and holds none of {', '.join(names)}")
