"""Reference logprobs and initial values: computed once, when a trajectory is first drawn.

The reference is frozen, so both are constants. They are stored as annotations under the
reference's id; an annotation of another reference is never used.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from spo_jax.acting.actor import Actor
from spo_jax.errors import UserError
from spo_jax.learning import RowBucket, make_batch
from spo_jax.models import Transformer
from spo_jax.objectives.soft_q import initial_value_log_mean_exp
from spo_jax.scoring import score_rows
from spo_jax.trajectories import DrawnGroup, TrajectoryStore
from spo_jax.types import InitialValue, Problem, ReferenceLogprobs, SamplerSettings, Trajectory


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """The frozen policy: its parameters and the hash of everything its logprobs depend on."""

    params: Any
    reference_id: str


class ReferenceScorer:
    """Scores trajectories under the reference, in the same row layout as the update.

    Args:
      model: of the reference.
      reference: its parameters and id.
      buckets: row shapes, those of the update.
      pad_id: the token of unused positions.
      chunk_tokens: completion tokens whose logits are held at once.
    """

    def __init__(
        self,
        model: Transformer,
        reference: Reference,
        buckets: Sequence[RowBucket],
        *,
        pad_id: int,
        chunk_tokens: int = 1024,
    ):
        self.reference_id = reference.reference_id
        self._params = reference.params
        self._buckets = buckets
        self._pad_id = pad_id
        self._score = jax.jit(
            lambda params, rows: (
                score_rows(model, params, rows, chunk_tokens=chunk_tokens).logprobs_BT
            )
        )

    def score(self, groups: Sequence[DrawnGroup]) -> list[ReferenceLogprobs]:
        """Reference logprobs of all rows of the groups, but for those too long for any bucket."""
        batch = make_batch(groups, self._buckets, pad_id=self._pad_id, needs=frozenset())
        trajectories = [row.trajectory for group in groups for row in group.rows]
        lengths = {t.trajectory_id: len(np.asarray(t.completion_tokens)) for t in trajectories}
        scored = []
        for micro_batch, ids in zip(batch.micro_batches, batch.trajectory_ids, strict=True):
            logprobs_BT = np.asarray(self._score(self._params, micro_batch.rows))
            scored += [
                ReferenceLogprobs(
                    trajectory_id=name,
                    reference_id=self.reference_id,
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

    def complete(self, groups: Sequence[DrawnGroup]) -> list[DrawnGroup]:
        """Returns the groups with reference logprobs on every row.

        Rows too long for every bucket cannot be learned from either and are left out.
        """
        lacking = [
            dataclasses.replace(group, rows=missing)
            for group in groups
            if (missing := tuple(row for row in group.rows if row.ref_logprobs is None))
        ]
        if not lacking:
            return list(groups)
        scored = self._scorer.score(lacking)
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


class InitialValues:
    """Estimates Q_0 of problems when they are first drawn, from samples of the reference.

    The samples are trajectories of the store (source 'reference') like any other.

    Args:
      actor: samples and stores.
      store: keeps the estimates.
      reference: what is sampled from, at temperature 1 without truncation.
      beta: the objective's.
      num_samples: reference samples of each problem.
      max_completion_tokens: of a sample.
    """

    def __init__(
        self,
        actor: Actor,
        store: TrajectoryStore,
        reference: Reference,
        *,
        beta: float,
        num_samples: int,
        max_completion_tokens: int,
    ):
        self._actor = actor
        self._store = store
        self._reference = reference
        self._beta = beta
        self._num_samples = num_samples
        self._settings = SamplerSettings(max_completion_tokens=max_completion_tokens)

    def ensure(self, problems: Sequence[Problem], *, round_id: str) -> dict[str, InitialValue]:
        """Returns the estimate of every problem, sampling for those that have none yet."""
        known = self._store.initial_values(self._reference.reference_id, self._beta)
        lacking = [problem for problem in problems if problem.id not in known]
        if lacking:
            estimates = self._estimate(lacking, round_id)
            self._store.annotate(estimates)
            known |= {estimate.problem_id: estimate for estimate in estimates}
        return {problem.id: known[problem.id] for problem in problems}

    def _estimate(self, problems: Sequence[Problem], round_id: str) -> list[InitialValue]:
        samples = self._actor.collect(
            self._reference.params,
            problems,
            num_samples=self._num_samples,
            policy_version=0,
            round_id=round_id,
            source="reference",
            settings=self._settings,
        ).trajectories
        return [self._estimate_one(problem, samples) for problem in problems]

    def _estimate_one(self, problem: Problem, samples: Sequence[Trajectory]) -> InitialValue:
        rewards = [s.reward for s in samples if s.problem_id == problem.id and s.reward is not None]
        if not rewards:
            raise UserError(
                f"no initial value of problem '{problem.id}': the judge failed on all "
                f"{self._num_samples} reference samples"
            )
        estimate = initial_value_log_mean_exp(np.asarray(rewards), self._beta)
        return InitialValue(
            problem_id=problem.id,
            reference_id=self._reference.reference_id,
            beta=self._beta,
            value=estimate.value,
            standard_error=estimate.standard_error,
            num_samples=estimate.num_samples,
            estimator=estimate.estimator,
        )
