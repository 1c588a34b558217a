"""Files of problems that are left out: JSON lines with 'id' and 'reason'."""

import json
from collections.abc import Mapping
from pathlib import Path

from spo_jax.errors import UserError


def read_exclusions(path: str | Path) -> dict[str, str]:
    """Problem id to the reason.

    Raises:
      UserError: the file is missing, or a line is no object with an 'id'.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"cannot read the exclusions {path}: {error.strerror}") from error
    reasons = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            reasons[str(row["id"])] = str(row.get("reason", ""))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}, line {number}: must be an object with 'id', not {line[:60]!r}"
            ) from error
    return reasons


def write_exclusions(path: str | Path, reasons: Mapping[str, str]) -> None:
    """Writes what `read_exclusions` reads, in the order of the ids."""
    rows = (
        json.dumps({"id": problem_id, "reason": reason}, ensure_ascii=False) + "\n"
        for problem_id, reason in sorted(reasons.items())
    )
    Path(path).write_text("".join(rows), encoding="utf-8")
