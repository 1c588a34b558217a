"""Files of problems that are left out: JSON lines with 'id' and 'reason'."""

import json
from collections.abc import Mapping
from pathlib import Path

from spo_jax.problems.json_rows import field_of, read_json_rows


def read_exclusions(path: str | Path) -> dict[str, str]:
    """Problem id to the reason.

    Raises:
      UserError: the file is missing, or a line is no object with an 'id'.
    """
    return {
        field_of(row, "id", str, where): str(row.get("reason", ""))
        for where, row in read_json_rows(path)
    }


def write_exclusions(path: str | Path, reasons: Mapping[str, str]) -> None:
    """Writes what `read_exclusions` reads, in the order of the ids."""
    rows = (
        json.dumps({"id": problem_id, "reason": reason}, ensure_ascii=False) + "\n"
        for problem_id, reason in sorted(reasons.items())
    )
    Path(path).write_text("".join(rows), encoding="utf-8")
