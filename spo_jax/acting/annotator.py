"""Reference logprobs: computed once, when a trajectory is first drawn.

A reference is frozen, so they are constants. They are stored as annotations under the reference's
id; an annotation of another reference is never used.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from spo_jax.learning import RowBucket, make_batch
from spo_jax.models import Transformer
from spo_jax.scoring import score_rows
from spo_jax.trajectories import DrawnGroup, TrajectoryStore
from spo_jax.types import ReferenceLogprobs


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """The frozen policy: its parameters and the hash of everything its logprobs depend on."""

    params: Any
    reference_id: str


class ReferenceScorer:
    """Scores trajectories under a reference, in the same row layout as the update.

    Args:
      model: of the reference.
      buckets: row shapes, those of the update.
      pad_id: the token of unused positions.
      chunk_tokens: completion tokens whose logits are held at once.
    """

    def __init__(
        self,
        model: Transformer,
        buckets: Sequence[RowBucket],
        *,
        pad_id: int,
        chunk_tokens: int = 1024,
    ):
        self._buckets = buckets
        self._pad_id = pad_id
        self._score = jax.jit(
            lambda params, rows: (
                score_rows(model, params, rows, chunk_tokens=chunk_tokens).logprobs_BT
            )
        )

    def score(self, groups: Sequence[DrawnGroup], reference: Reference) -> list[ReferenceLogprobs]:
        """Reference logprobs of all rows of the groups, but for those too long for any bucket."""
        batch = make_batch(groups, self._buckets, pad_id=self._pad_id, needs=frozenset())
        trajectories = [row.trajectory for group in groups for row in group.rows]
        lengths = {t.trajectory_id: len(np.asarray(t.completion_tokens)) for t in trajectories}
        scored = []
        for micro_batch, ids in zip(batch.micro_batches, batch.trajectory_ids, strict=True):
            logprobs_BT = np.asarray(self._score(reference.params, micro_batch.rows))
            scored += [
                ReferenceLogprobs(
                    trajectory_id=name,
                    reference_id=reference.reference_id,
                    ref_logprobs=np.array(logprobs_T[: lengths[name]], np.float32),
                )
                for name, logprobs_T in zip(ids, logprobs_BT, strict=True)
                if name
            ]
        return scored


class Annotator:
    """Completes drawn groups: scores what has no reference logprobs yet and stores the result."""

    def __init__(self, store: TrajectoryStore, scorer: ReferenceScorer):
        self._store = store
        self._scorer = scorer

    def complete(self, groups: Sequence[DrawnGroup], reference: Reference) -> list[DrawnGroup]:
        """Returns the groups with logprobs of the reference on every row.

        Rows too long for every bucket cannot be learned from either and are left out.
        """
        lacking = [
            dataclasses.replace(group, rows=missing)
            for group in groups
            if (missing := tuple(row for row in group.rows if row.ref_logprobs is None))
        ]
        if not lacking:
            return list(groups)
        scored = self._scorer.score(lacking, reference)
        self._store.annotate(scored)
        new = {item.trajectory_id: item.ref_logprobs for item in scored}
        return [_filled(group, new) for group in groups]


def _filled(group: DrawnGroup, new: dict[str, np.ndarray]) -> DrawnGroup:
    rows = (
        row
        if row.ref_logprobs is not None
        else dataclasses.replace(row, ref_logprobs=new.get(row.trajectory.trajectory_id))
        for row in group.rows
    )
    return dataclasses.replace(group, rows=tuple(r for r in rows if r.ref_logprobs is not None))
