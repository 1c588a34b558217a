"""How drawn groups come to lie in rows: shapes of micro-batches, and which group goes where.

Letters: R rows of a micro-batch, n completions per row, T completion tokens. A row holds one prompt
and some of its completions. A group may take several rows but never crosses a micro-batch.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from spo_jax.errors import UserError
from spo_jax.types import Trajectory


class Row(Protocol):
    """One drawn trajectory; `ref_logprobs` float32 [T] or None."""

    @property
    def trajectory(self) -> Trajectory: ...
    @property
    def ref_logprobs(self) -> np.ndarray | None: ...
    @property
    def is_online(self) -> bool: ...


class Group(Protocol):
    """The drawn trajectories of one problem.

    `initial_value` is in units of reward, or None; `reference_id` is of the reference that it and
    the rows' `ref_logprobs` belong to, or None where neither is there.
    """

    @property
    def problem_id(self) -> str: ...
    @property
    def initial_value(self) -> float | None: ...
    @property
    def reference_id(self) -> str | None: ...
    @property
    def rows(self) -> Sequence[Any]: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowBucket:
    """One shape of micro-batch: each bucket compiles the update once.

    Attributes:
      num_rows: R. row_length: positions of a row. completions_per_row: n.
      max_completion_tokens: T; masked slots are cheap, positions of a row are not.
    """

    num_rows: int
    row_length: int
    completions_per_row: int
    max_completion_tokens: int

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise UserError(f"{field.name}={value} of a row bucket must be at least 1")


def row_buckets(
    row_lengths: Iterable[int],
    *,
    tokens_per_micro_batch: int,
    completions_per_row: int,
    max_completion_tokens: int,
    row_multiple: int = 1,
) -> tuple[RowBucket, ...]:
    """Returns a bucket for each length, with as many rows as the token budget holds.

    Args:
      row_lengths: in positions, few: each compiles the update once.
      tokens_per_micro_batch: rows * row_length stays within it, but for one lot of rows.
      completions_per_row, max_completion_tokens: of every bucket.
      row_multiple: rows come in this many: the batch shards of the mesh.
    """
    return tuple(
        RowBucket(
            num_rows=row_multiple * max(1, tokens_per_micro_batch // length // row_multiple),
            row_length=length,
            completions_per_row=completions_per_row,
            max_completion_tokens=max_completion_tokens,
        )
        for length in sorted(set(row_lengths))
    )


@dataclasses.dataclass(frozen=True)
class Item:
    """One sequence on its way into a row."""

    row: Row
    group: Group
    group_number: int
    prompt: np.ndarray
    completion: np.ndarray

    @property
    def num_positions(self) -> int:
        return max(len(self.completion) - 1, 0)


PackedRow = list[Item]  # completions of one prompt, in one row


def fit(
    items: Sequence[Item], buckets: Sequence[RowBucket]
) -> tuple[RowBucket | None, list[PackedRow]]:
    """Rows of the longest-trimmed group that fits, in the bucket where they take least."""
    kept = sorted(items, key=lambda item: len(item.prompt) + len(item.completion), reverse=True)
    while kept:
        fits = [(b, rows) for b in buckets if (rows := _lay_out(kept, b)) is not None]
        if fits:
            return min(fits, key=lambda fit: len(fit[1]) * fit[0].row_length)
        kept = kept[1:]
    return None, []


def _lay_out(items: Sequence[Item], bucket: RowBucket) -> list[PackedRow] | None:
    """First fit, longest first; None where the bucket is too small."""
    rows: list[PackedRow] = []
    for item in items:
        if len(item.completion) > bucket.max_completion_tokens:
            return None
        row = next((row for row in rows if _has_room(row, item, bucket)), None)
        if row is None:
            if len(item.prompt) + item.num_positions > bucket.row_length:
                return None
            rows.append([item])
        else:
            row.append(item)
    return rows if len(rows) <= bucket.num_rows else None


def _has_room(row: PackedRow, item: Item, bucket: RowBucket) -> bool:
    used = len(row[0].prompt) + sum(other.num_positions for other in row)
    return (
        len(row) < bucket.completions_per_row
        and used + item.num_positions <= bucket.row_length
        and np.array_equal(row[0].prompt, item.prompt)
    )


def place(rows: list[PackedRow], lots: list[list[PackedRow]], num_rows: int) -> None:
    """Adds a whole group to the first micro-batch with room, or opens another."""
    for lot in lots:
        if len(lot) + len(rows) <= num_rows:
            lot.extend(rows)
            return
    lots.append(list(rows))
