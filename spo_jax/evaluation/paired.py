"""Differences between two evaluations of the same problems."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from spo_jax.errors import UserError
from spo_jax.evaluation.pass_at_k import ProblemScore


@dataclasses.dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean of after - before over problems, with a bootstrap interval over problems.

    Attributes:
      mean: of the differences.
      low, high: bounds of the 95% percentile interval.
      num_problems: how many problems were paired.
    """

    mean: float
    low: float
    high: float
    num_problems: int


def paired_difference(
    before: Sequence[ProblemScore],
    after: Sequence[ProblemScore],
    k: int,
    *,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> PairedDifference:
    """pass@k after minus before, paired by problem.

    Pairing removes the spread between easy and hard problems, which is far larger than the
    difference looked for. The interval is over problems: it speaks of new problems of this kind.

    Raises:
      UserError: if the two evaluations are not of the same problems.
    """
    old, new = _by_problem(before), _by_problem(after)
    if old.keys() != new.keys():
        odd = sorted(old.keys() ^ new.keys())
        raise UserError(
            f"a paired comparison needs the same problems: before has {len(old)}, "
            f"after has {len(new)}, '{odd[0]}' is in one only"
        )
    differences = np.array([new[name].pass_at(k) - old[name].pass_at(k) for name in sorted(old)])
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(differences), size=(num_resamples, len(differences)))
    low, high = np.quantile(differences[picks].mean(axis=1), [0.025, 0.975])
    return PairedDifference(float(differences.mean()), float(low), float(high), len(differences))


def _by_problem(scores: Sequence[ProblemScore]) -> Mapping[str, ProblemScore]:
    return {score.problem_id: score for score in scores}
