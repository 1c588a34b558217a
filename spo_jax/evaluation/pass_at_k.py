"""pass@k: the chance that at least one of k samples solves a problem."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from spo_jax.errors import UserError


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Unbiased estimate of pass@k of one problem (Chen et al. 2021, arXiv 2107.03374, equation 1).

    Args:
      num_samples: samples drawn, at least k.
      num_correct: how many of them were accepted.
      k: the budget.

    Returns:
      1 - C(num_samples - num_correct, k) / C(num_samples, k), in [0, 1].

    Raises:
      UserError: if k is larger than the number of samples or not positive.
    """
    if not 1 <= k <= num_samples:
        raise UserError(f"pass@{k} needs 1 <= k <= num_samples, but num_samples={num_samples}")
    num_wrong = num_samples - num_correct
    if num_wrong < k:
        return 1.0
    factors = 1.0 - k / np.arange(num_wrong + 1, num_samples + 1)
    return float(1.0 - np.prod(factors))


@dataclasses.dataclass(frozen=True, slots=True)
class ProblemScore:
    """Samples and accepted samples of one problem."""

    problem_id: str
    num_samples: int
    num_correct: int

    def pass_at(self, k: int) -> float:
        return pass_at_k(self.num_samples, self.num_correct, k)


def mean_pass_at_k(scores: Sequence[ProblemScore], k: int) -> float:
    """Mean of pass@k over problems: every problem counts the same."""
    if not scores:
        raise UserError(f"pass@{k} needs at least one problem, got 0")
    return float(np.mean([score.pass_at(k) for score in scores]))
