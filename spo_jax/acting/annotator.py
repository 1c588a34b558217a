"""Reference logprobs: computed once, when a trajectory is first drawn.

A reference is frozen, so they are constants. They are stored as annotations under the reference's
id; an annotation of another reference is never used.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from spo_jax.learning import RowBucket, make_batch
from spo_jax.learning.batch import empty_micro_batch
from spo_jax.models import Transformer
from spo_jax.models.transformer import logical_axes, param_shapes
from spo_jax.packing import PackedRows
from spo_jax.placement import from_host
from spo_jax.scoring import score_rows
from spo_jax.sharding import (
    AxisRules,
    axis_rules,
    batch_sharding,
    on_mesh,
    param_shardings,
    replicated,
)
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
      mesh: the learner's, where the reference's parameters lie on it (of several processes, all
        score together and get the same bits); None where they lie on one device.
    """

    def __init__(
        self,
        model: Transformer,
        buckets: Sequence[RowBucket],
        *,
        pad_id: int,
        chunk_tokens: int = 1024,
        mesh: Mesh | None = None,
    ):
        self._buckets = buckets
        self._pad_id = pad_id
        self._mesh = mesh
        self._config = config = model.config
        self._rules: AxisRules = ()
        if mesh is not None:
            self._rules = axis_rules(mesh, logical_axes(config), param_shapes(config))

        def score(params: Any, rows: PackedRows) -> jax.Array:
            return score_rows(model, params, rows, chunk_tokens=chunk_tokens).logprobs_BT

        self._score = jax.jit(score, out_shardings=None if mesh is None else replicated(mesh))

    def score(self, groups: Sequence[DrawnGroup], reference: Reference) -> list[ReferenceLogprobs]:
        """Reference logprobs of all rows of the groups, but for those too long for any bucket."""
        batch = make_batch(groups, self._buckets, pad_id=self._pad_id, needs=frozenset())
        trajectories = [row.trajectory for group in groups for row in group.rows]
        lengths = {t.trajectory_id: len(np.asarray(t.completion_tokens)) for t in trajectories}
        scored = []
        for micro_batch, ids in zip(batch.micro_batches, batch.trajectory_ids, strict=True):
            logprobs_BT = self._scored(reference.params, micro_batch.rows)
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

    def lowered(self, bucket: RowBucket) -> jax.stages.Lowered:
        """The program for rows of the bucket, traced from shapes alone; the mesh must be given."""
        assert self._mesh is not None
        rows_sharding = batch_sharding(self._mesh)
        rows = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=rows_sharding),
            empty_micro_batch(bucket, frozenset()).rows,
        )
        params = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            param_shapes(self._config),
            param_shardings(self._mesh, logical_axes(self._config), param_shapes(self._config)),
        )
        with on_mesh(self._mesh, self._rules):
            return self._score.lower(params, rows)

    def _scored(self, params: Any, rows: PackedRows) -> np.ndarray:
        if self._mesh is None:
            return np.asarray(self._score(params, rows))
        sharding = batch_sharding(self._mesh)
        placed = jax.tree.map(lambda array: from_host(array, sharding), rows)
        with on_mesh(self._mesh, self._rules):
            return np.asarray(self._score(params, placed))


class Annotator:
    """Completes drawn groups: scores what has no reference logprobs yet and stores the result.

    Args:
      store: keeps the annotations. scorer: makes them.
      writes: whether this process stores them: one of several that score together.
    """

    def __init__(self, store: TrajectoryStore, scorer: ReferenceScorer, *, writes: bool = True):
        self._store = store
        self._scorer = scorer
        self._writes = writes

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
        if self._writes:
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
