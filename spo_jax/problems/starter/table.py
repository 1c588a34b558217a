"""Variants from a table: one text with `$name` holes, one row of values for each problem.

Programs stand in one string, separated by lines that hold only `---`. A table stands in one string
too: a line of column names, then rows of cells separated by ` | `; an indented line goes on with
the row above it.
"""

import random
import string
from collections.abc import Callable, Mapping, Sequence

from spo_jax.problems.starter.template import Variant

Row = Mapping[str, str]
Inputs = Sequence[str | list]


def expand(
    table: str,
    *,
    description: str,
    correct: str,
    incorrect: str,
    inputs: Inputs | Callable[[Row], Inputs],
    more_correct: Mapping[str, str] | None = None,
    more_incorrect: Mapping[str, str] | None = None,
) -> Callable[[random.Random], list[Variant]]:
    """A `Template.variants` that fills the holes of its texts once per row.

    Args:
      table: the columns `name` or `fn` (the function's name; `name` defaults to it) and one for
        each hole. A cell may have holes for other cells of its row.
      description: the statement, with holes.
      correct, incorrect: programs, with holes.
      inputs: of every row, or a function of the row.
      more_correct, more_incorrect: programs of single rows, by name.

    Raises:
      KeyError: a hole has no value in a row.
      ValueError: a row's number of cells differs from the header's.
    """
    rows = parse_table(table)

    def variants(rng: random.Random) -> list[Variant]:
        del rng  # Tables are written out: nothing is drawn.
        return [
            Variant(
                name=row["name"],
                description=_fill(description, row),
                correct=_programs(correct, (more_correct or {}).get(row["name"], ""), row),
                incorrect=_programs(incorrect, (more_incorrect or {}).get(row["name"], ""), row),
                inputs=tuple(inputs(row) if callable(inputs) else inputs),
                fn_name=row.get("fn"),
            )
            for row in rows
        ]

    return variants


def parse_table(table: str) -> list[dict[str, str]]:
    """Rows of a table as dictionaries; `name` is made from `fn` where the table has no such column.

    Raises:
      ValueError: a row's number of cells differs from the header's.
    """
    lines: list[str] = []
    for line in table.strip("\n").split("\n"):
        if line.startswith(" "):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    header, *rows = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    for cells in rows:
        if len(cells) != len(header):
            raise ValueError(f"row {cells} has {len(cells)} cells, the header has {len(header)}")
    parsed = [dict(zip(header, cells, strict=True)) for cells in rows]
    return [{"name": row.get("fn", "").replace("_", "-"), **row} for row in parsed]


def read_rows(text: str) -> list[list[int]]:
    """Lists of integers from text such as '1 2; 3 4'."""
    return [[int(word) for word in part.split()] for part in text.split(";")]


def read_lines(text: str) -> list[str]:
    """Standard inputs of one line each, from text such as '1 2; 3 4'."""
    return [part.strip() + "\n" for part in text.split(";")]


def _programs(shared: str, own: str, row: Row) -> tuple[str, ...]:
    parts = f"{shared}\n---\n{own}".split("\n---\n")
    return tuple(_fill(part, row).strip("\n") + "\n" for part in parts if part.strip())


def _fill(text: str, row: Row) -> str:
    once = string.Template(text).substitute(row)
    return string.Template(once).substitute(row)
