"""From drawn groups to micro-batches: where time is shifted and where padding is decided, once.

Letters: R rows of a micro-batch, n completions per row, B = R * n sequences, T completion tokens.
A row holds one prompt and some of its completions (`packing.pack_prompt_groups`). A group, all
completions of one problem in the draw, may take several rows but never crosses a micro-batch.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from spo_jax.errors import UserError
from spo_jax.learning.layout import Group, Item, PackedRow, Row, RowBucket, fit, place
from spo_jax.packing import PackedRows, pack_prompt_groups
from spo_jax.types import Trajectory, source_weight

_BEHAVIOR = frozenset({"behavior_logprobs", "online_behavior_logprobs"})
_INITIAL_VALUE = frozenset({"initial_value", "running_initial_value"})


class MicroBatch(NamedTuple):
    """Arrays of one forward and backward pass; a pytree. Empty slots have weight 0.

    Attributes:
      rows: where the tokens lie; targets, mask and the [B, T] arrays below align.
      reward_B, weights_B: float32. group_B: int32. is_online_B: bool.
      ref_logprobs_BT, behavior_logprobs_BT, initial_value_B: float32, or None where not needed. A
        running initial value that is not known yet is NaN.
      proximal_logprobs_BT, proximal_values_BT: the learner's, in later passes over the batch.
    """

    rows: PackedRows
    reward_B: Any
    weights_B: Any
    group_B: Any
    is_online_B: Any
    ref_logprobs_BT: Any = None
    behavior_logprobs_BT: Any = None
    initial_value_B: Any = None
    proximal_logprobs_BT: Any = None
    proximal_values_BT: Any = None


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """All micro-batches of one update, on the host.

    Attributes:
      micro_batches: each in the shape of one bucket.
      trajectory_ids, problem_ids: for each micro-batch, B ids, '' in empty slots.
      num_dropped: completions left out because they were too long; see `make_batch`.
    """

    micro_batches: tuple[MicroBatch, ...]
    trajectory_ids: tuple[tuple[str, ...], ...]
    problem_ids: tuple[tuple[str, ...], ...]
    num_dropped: int = 0

    @property
    def rewards(self) -> np.ndarray:
        """float32, of the real slots."""
        return np.concatenate([m.reward_B[m.weights_B > 0] for m in self.micro_batches])

    def metrics(self) -> dict[str, float]:
        """What was packed, and how well."""
        positions = sum(m.rows.tokens_RL.size for m in self.micro_batches)
        used = sum(int((m.rows.segment_ids_RL > 0).sum()) for m in self.micro_batches)
        return {
            "data/sequences": float(len(self.rewards)),
            "data/micro_batches": float(len(self.micro_batches)),
            "data/row_positions": float(positions),
            "data/padding_fraction": 1.0 - used / positions,
            "data/dropped_too_long": float(self.num_dropped),
        }


def make_batch(
    groups: Sequence[Group],
    buckets: Sequence[RowBucket],
    *,
    pad_id: int,
    needs: frozenset[str],
    reference_id: str | None = None,
    loss_weights: Mapping[str, float] | None = None,
) -> Batch:
    """Packs drawn groups into micro-batches of the given shapes.

    A group goes to the bucket in which its rows take the fewest positions. While it fits none, its
    longest completion is dropped and counted; nothing is ever cut short, since the reward belongs
    to the whole answer.

    Args:
      groups: from the replay.
      buckets: the shapes that may be used.
      pad_id: the token of unused positions.
      needs: of the objective; other optional arrays are left out.
      reference_id: of the present reference. Annotations of another one are refused.
      loss_weights: of a sequence's loss, by source ('run:a') or its first word ('run'); 1 where
        not given.

    Raises:
      UserError: a trajectory lacks what is needed, holds numbers that are not finite (by name), or
        is annotated by another reference; or nothing fits any bucket.
    """
    open_batches: dict[RowBucket, list[list[PackedRow]]] = {bucket: [] for bucket in buckets}
    num_dropped = 0
    for number, group in enumerate(groups):
        _check_reference(group, reference_id, needs)
        items = [_checked_item(row, group, number, needs) for row in group.rows]
        bucket, rows = fit(items, buckets)
        num_dropped += len(items) - sum(len(row) for row in rows)
        if bucket is not None and rows:
            place(rows, open_batches[bucket], bucket.num_rows)
    packed = [(bucket, rows) for bucket, lots in open_batches.items() for rows in lots]
    if not packed:
        raise UserError(
            f"no completion fits a row: {num_dropped} too long for the buckets "
            f"{[(b.row_length, b.max_completion_tokens) for b in buckets]} (row_length, "
            "max_completion_tokens)"
        )
    return Batch(
        micro_batches=tuple(
            _micro_batch(b, rows, pad_id, needs, loss_weights or {}) for b, rows in packed
        ),
        trajectory_ids=tuple(
            _named(b, rows, lambda item: item.row.trajectory.trajectory_id) for b, rows in packed
        ),
        problem_ids=tuple(
            _named(b, rows, lambda item: item.group.problem_id) for b, rows in packed
        ),
        num_dropped=num_dropped,
    )


def empty_micro_batch(bucket: RowBucket, needs: frozenset[str]) -> MicroBatch:
    """Returns a micro-batch of no sequences: its shapes are those of every batch of the bucket."""
    return _micro_batch(bucket, [], 0, needs, {})


def _check_reference(group: Group, reference_id: str | None, needs: frozenset[str]) -> None:
    """After the reference has moved, what the one before said of a trajectory is wrong."""
    reads = needs & {"ref_logprobs", "initial_value"}
    if reference_id is not None and reads and group.reference_id != reference_id:
        raise UserError(
            f"problem '{group.problem_id}' is annotated under reference '{group.reference_id}', "
            f"the present reference is '{reference_id}': {sorted(reads)} must be made anew"
        )


def _checked_item(row: Row, group: Group, number: int, needs: frozenset[str]) -> Item:
    t = row.trajectory
    name = f"trajectory '{t.trajectory_id}' of problem '{group.problem_id}'"
    if t.prompt_tokens is None or t.completion_tokens is None:
        raise UserError(f"{name} has no tokens; tokenize it before learning from it")
    if t.reward is None or not np.isfinite(t.reward):
        raise UserError(f"{name} has reward {t.reward}; a finite number is needed")
    if "ref_logprobs" in needs:
        _check_per_token("ref_logprobs", row.ref_logprobs, t, name)
    if "behavior_logprobs" in needs or (row.is_online and needs & _BEHAVIOR):
        _check_per_token("behavior_logprobs", t.behavior_logprobs, t, name)
    if "initial_value" in needs and not _is_finite(group.initial_value):
        raise UserError(
            f"problem '{group.problem_id}' has initial_value {group.initial_value}; the objective "
            "needs a finite one: estimate it from reference samples, or use baseline='group'"
        )
    prompt, completion = np.asarray(t.prompt_tokens), np.asarray(t.completion_tokens)
    return Item(row, group, number, prompt, completion)


def _check_per_token(field: str, values: np.ndarray | None, t: Trajectory, name: str) -> None:
    assert t.completion_tokens is not None
    if values is None:
        raise UserError(f"{name} (source '{t.source}') has no {field}, which the objective needs")
    if len(values) != len(t.completion_tokens):
        raise UserError(
            f"{name} has {len(values)} {field} for {len(t.completion_tokens)} completion tokens"
        )
    mask = np.ones(len(values), bool) if t.completion_mask is None else t.completion_mask
    if not np.isfinite(np.asarray(values)[mask]).all():
        raise UserError(f"{name} has {field} that are not finite")


def _is_finite(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))


def _slots(bucket: RowBucket, rows: Sequence[PackedRow]) -> Iterable[tuple[int, Item]]:
    """(b, item) for every real sequence."""
    for r, row in enumerate(rows):
        for i, item in enumerate(row):
            yield r * bucket.completions_per_row + i, item


def _named(
    bucket: RowBucket, rows: Sequence[PackedRow], name: Callable[[Item], str]
) -> tuple[str, ...]:
    names = [""] * (bucket.num_rows * bucket.completions_per_row)
    for b, item in _slots(bucket, rows):
        names[b] = name(item)
    return tuple(names)


def _micro_batch(
    bucket: RowBucket,
    rows: Sequence[PackedRow],
    pad_id: int,
    needs: frozenset[str],
    loss_weights: Mapping[str, float],
) -> MicroBatch:
    B, T = bucket.num_rows * bucket.completions_per_row, bucket.max_completion_tokens
    batch = MicroBatch(
        rows=_pack(bucket, rows, pad_id),
        reward_B=np.zeros(B, np.float32),
        weights_B=np.zeros(B, np.float32),
        group_B=np.zeros(B, np.int32),
        is_online_B=np.zeros(B, bool),
        ref_logprobs_BT=np.zeros((B, T), np.float32) if "ref_logprobs" in needs else None,
        behavior_logprobs_BT=np.zeros((B, T), np.float32) if needs & _BEHAVIOR else None,
        initial_value_B=np.zeros(B, np.float32) if needs & _INITIAL_VALUE else None,
    )
    numbers: dict[int, int] = {}
    for b, item in _slots(bucket, rows):
        t, length = item.row.trajectory, len(item.completion)
        batch.reward_B[b] = t.reward
        batch.weights_B[b] = source_weight(t.source, loss_weights)
        batch.group_B[b] = numbers.setdefault(item.group_number, len(numbers))
        batch.is_online_B[b] = item.row.is_online
        if batch.ref_logprobs_BT is not None:
            batch.ref_logprobs_BT[b, :length] = item.row.ref_logprobs
        if batch.behavior_logprobs_BT is not None and t.behavior_logprobs is not None:
            batch.behavior_logprobs_BT[b, :length] = t.behavior_logprobs
        if batch.initial_value_B is not None:
            value = item.group.initial_value
            batch.initial_value_B[b] = np.nan if value is None else value
    return batch


def _pack(bucket: RowBucket, rows: Sequence[PackedRow], pad_id: int) -> PackedRows:
    def mask(item: Item) -> np.ndarray:
        given = item.row.trajectory.completion_mask
        return np.ones(len(item.completion), bool) if given is None else np.asarray(given, bool)

    return pack_prompt_groups(
        [row[0].prompt for row in rows],
        [[item.completion for item in row] for row in rows],
        num_rows=bucket.num_rows,
        row_length=bucket.row_length,
        completions_per_row=bucket.completions_per_row,
        max_completion_tokens=bucket.max_completion_tokens,
        pad_id=pad_id,
        completion_masks=[[mask(item) for item in row] for row in rows],
    )
