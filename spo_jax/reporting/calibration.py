"""Does the policy's Q tell right answers from wrong ones? Predicted against observed reward.

Of every online answer the store has the sampling policy's logprobs and the reference's, so its
soft Q is known as it was when the answer was sampled, before anything was learned from it. Q_0 is
common to the answers to a problem, so both sides are taken relative to their mean over the group:
beta (S_i - mean S) against r_i - mean r, S being the sum of log-ratios. A policy equal to the
reference predicts 0 for all; one that solves the regression lies on the diagonal.
"""

import os
from collections.abc import Sequence

import numpy as np

from spo_jax.errors import UserError
from spo_jax.reporting.charts import Bin
from spo_jax.trajectories import DamagedObjectError, TrajectoryStore
from spo_jax.types import Trajectory

_MAX_ROWS = 8192  # online answers read, half from the beginning and half from the end
_ROWS_AT_ONCE = 512
_NUM_BINS = 6
_LEAST_IN_BIN = 8


def q_calibration(run_dir: str | os.PathLike[str], beta: float) -> dict[str, list[Bin]]:
    """Bins of answers of equal number by predicted Q, for both halves of training.

    Args:
      run_dir: of the run, which holds the store.
      beta: of the objective, in units of reward per nat.

    Returns:
      Name of the half to its bins; empty where the store has too few answers that were sampled at
      temperature 1 without truncation, rewarded, and scored by the reference.
    """
    try:
        store = TrajectoryStore(str(run_dir), create=False)
        groups = _groups(store)
    except (UserError, DamagedObjectError):
        return {}
    middle = len(groups) // 2
    halves = {"first half": groups[:middle], "second half": groups[middle:]}
    bins = {name: _bins(half, beta) for name, half in halves.items()}
    return {name: each for name, each in bins.items() if each}


def _groups(store: TrajectoryStore) -> list[np.ndarray]:
    """[n, 2] (sum of log-ratios, reward) of the online answers of each group, in time order."""
    index = store.index()
    codes, sources = index.codes("source")
    if "online" not in sources:
        return []
    rows = np.flatnonzero((codes == sources.index("online")) & np.isfinite(index.rewards))
    if len(rows) > _MAX_ROWS:
        rows = np.concatenate([rows[: _MAX_ROWS // 2], rows[-_MAX_ROWS // 2 :]])
    groups: dict[str, list[tuple[float, float]]] = {}
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        answers = store.fetch(index, rows[start : start + _ROWS_AT_ONCE])
        for answer, ref_logprobs in zip(answers, _ref_logprobs(store, answers), strict=True):
            total = _log_ratio_sum(answer, ref_logprobs)
            if total is not None and answer.reward is not None:
                groups.setdefault(answer.group_id, []).append((total, answer.reward))
    return [np.array(group) for group in groups.values() if len(group) > 1]


def _ref_logprobs(store: TrajectoryStore, answers: Sequence[Trajectory]) -> list[np.ndarray | None]:
    """Of the reference that has scored most of these answers."""
    ids = [answer.trajectory_id for answer in answers]
    found = [store.ref_logprobs(reference, ids) for reference in store.reference_ids()]
    unknown: list[np.ndarray | None] = [None] * len(ids)
    return max(found, key=lambda each: sum(x is not None for x in each), default=unknown)


def _log_ratio_sum(answer: Trajectory, ref_logprobs: np.ndarray | None) -> float | None:
    sampler = answer.sampler
    if ref_logprobs is None or answer.behavior_logprobs is None or sampler is None:
        return None
    if (sampler.temperature, sampler.top_p, sampler.top_k) != (1.0, 1.0, 0):
        return None  # sampled from another distribution than the policy's own
    mask = answer.completion_mask
    deltas = answer.behavior_logprobs.astype(np.float64) - ref_logprobs
    return float(deltas.sum() if mask is None else deltas[mask].sum())


def _bins(groups: Sequence[np.ndarray], beta: float) -> list[Bin]:
    if not groups:
        return []
    relative = np.concatenate([group - group.mean(axis=0) for group in groups])
    ordered = relative[np.argsort(relative[:, 0], kind="stable")]
    count = min(_NUM_BINS, len(ordered) // _LEAST_IN_BIN)
    return [
        Bin(
            predicted=float(beta * part[:, 0].mean()),
            observed=float(part[:, 1].mean()),
            standard_error=float(part[:, 1].std(ddof=1) / np.sqrt(len(part))),
            count=len(part),
        )
        for part in (np.array_split(ordered, count) if count else [])
    ]
