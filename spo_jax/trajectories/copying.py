"""Rows from anywhere into a store, each id once; stores into one; a store without doubles."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from spo_jax.errors import UserError
from spo_jax.trajectories.pool import ONLINE_SOURCES
from spo_jax.trajectories.store import TrajectoryStore
from spo_jax.types import ReferenceLogprobs, Trajectory

_ANNOTATIONS_PER_OBJECT = 4096


class RowWriter:
    """Appends trajectories whose ids the store does not hold, many to an object.

    A process that dies loses what was not yet flushed; doing it again adds just that.

    Attributes:
      num_added: appended so far; durable after `flush`. num_known: were there already.
    """

    def __init__(self, store: TrajectoryStore, *, rows_per_object: int = 8192) -> None:
        self.num_added = 0
        self.num_known = 0
        self._store = store
        self._rows_per_object = rows_per_object
        self._ids = set(store.index().ids())
        self._rows: list[Trajectory] = []

    def add(self, item: Trajectory) -> bool:
        """False if the store holds the id."""
        if item.trajectory_id in self._ids:
            self.num_known += 1
            return False
        self._ids.add(item.trajectory_id)
        self._rows.append(item)
        self.num_added += 1
        if len(self._rows) >= self._rows_per_object:
            self._commit()
        return True

    def flush(self) -> None:
        """Commits what is waiting; a big local store then keeps its index for the next opening."""
        self._commit()
        self._store.index()

    def _commit(self) -> None:
        if self._rows:
            self._store.append(self._rows)
            self._rows = []


def as_run(item: Trajectory, name: str | None) -> Trajectory:
    """A run's own samples as offline data of that run; rows of other sources as they are."""
    if name is None or item.source not in ONLINE_SOURCES:
        return item
    return dataclasses.replace(item, source=f"run:{name}")


def copy_store(source: TrajectoryStore, writer: RowWriter, *, run_name: str | None = None) -> None:
    """Adds the rows of a store; with `run_name` its samples become source 'run:<name>'."""
    for item in source.read():
        writer.add(as_run(item, run_name))
    writer.flush()


def copy_annotations(source: TrajectoryStore, target: TrajectoryStore) -> int:
    """Adds annotations of one store that another lacks; returns how many.

    Reference logprobs are copied of rows that the target holds; of several initial values of one
    problem, reference and beta the target's readers choose the best-sampled as ever.
    """
    count = 0
    for reference_id in source.reference_ids():
        wanted = target.missing_ref_logprobs(reference_id)
        for start in range(0, len(wanted), _ANNOTATIONS_PER_OBJECT):
            ids = wanted[start : start + _ANNOTATIONS_PER_OBJECT]
            found = source.ref_logprobs(reference_id, ids)
            items = [
                ReferenceLogprobs(
                    trajectory_id=name, reference_id=reference_id, ref_logprobs=logprobs
                )
                for name, logprobs in zip(ids, found, strict=True)
                if logprobs is not None
            ]
            if items:
                target.annotate(items)
                count += len(items)
        known = set(target.all_initial_values(reference_id))
        values = [item for item in source.all_initial_values(reference_id) if item not in known]
        if values:
            target.annotate(values)
            count += len(values)
    return count


def merge_stores(sources: Iterable[TrajectoryStore], target: TrajectoryStore) -> dict[str, int]:
    """All rows and annotations of several stores in one, each id once; the first store's row wins.

    Raises:
      UserError: one of the sources is the target.
    """
    writer, annotations, damaged = RowWriter(target), 0, 0
    for source in sources:
        if source.url.rstrip("/") == target.url.rstrip("/"):
            raise UserError(f"'{source.url}' cannot be merged into itself")
        copy_store(source, writer)
        annotations += copy_annotations(source, target)
        damaged += len(source.damaged)
    return {
        "num_added": writer.num_added,
        "num_known": writer.num_known,
        "num_annotations": annotations,
        "num_damaged": damaged,
    }


def dedup(store: TrajectoryStore, target: TrajectoryStore | None = None) -> dict[str, Any]:
    """Counts rows that repeat an earlier row's prompt and completion; writes the rest if asked.

    Samples of one policy may well repeat: the repetition says how likely the answer is. Leaving
    repeats out is for written and imported data.

    Args:
      store: read; never changed.
      target: receives the first row of every (problem, prompt, completion), and annotations.

    Returns:
      Counts: rows, repeats by source, repeats whose reward differs from the first one's.
    """
    writer = RowWriter(target) if target is not None else None
    rewards: dict[bytes, float | None] = {}
    repeats: Counter[str] = Counter()
    num_rows = conflicts = 0
    for item in store.read():
        num_rows += 1
        key = _content(item)
        if key in rewards:
            repeats[item.source] += 1
            conflicts += rewards[key] != item.reward
            continue
        rewards[key] = item.reward
        if writer is not None:
            writer.add(item)
    if writer is not None and target is not None:
        writer.flush()
        copy_annotations(store, target)
    return {
        "num_rows": num_rows,
        "num_distinct": len(rewards),
        "num_repeats": sum(repeats.values()),
        "repeats_by_source": dict(sorted(repeats.items())),
        "num_reward_conflicts": conflicts,
    }


def _content(item: Trajectory) -> bytes:
    name = hashlib.blake2b(digest_size=16)
    for tokens, text in (
        (item.prompt_tokens, item.prompt_text),
        (item.completion_tokens, item.completion_text),
    ):
        part = (text or "").encode() if tokens is None else np.asarray(tokens, "<i4").tobytes()
        name.update(len(part).to_bytes(8, "little") + part)
    name.update(f"{item.problem_id}\0{item.tokenizer_hash}".encode())
    return name.digest()
