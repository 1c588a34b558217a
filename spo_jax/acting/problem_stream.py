"""Which problems an update asks: a shuffle of the set for every epoch."""

from collections.abc import Sequence

import numpy as np

from spo_jax.errors import UserError
from spo_jax.types import Problem


class ProblemStream:
    """Problems by update, a pure function of (seed, update): resuming needs no state.

    Args:
      problems: the set, in a fixed order.
      num_per_update: how many an update asks, all different.
      seed: of the shuffles.
    """

    def __init__(self, problems: Sequence[Problem], num_per_update: int, seed: int):
        if not 1 <= num_per_update <= len(problems):
            raise UserError(
                f"problems_per_update={num_per_update} must be between 1 and the "
                f"{len(problems)} problems there are"
            )
        self._problems = problems
        self._num_per_update = num_per_update
        self._seed = seed

    def at(self, update: int) -> list[Problem]:
        """The problems of one update. Leftovers of an epoch that fill no update are skipped."""
        per_epoch = len(self._problems) // self._num_per_update
        epoch, index = divmod(update, per_epoch)
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._problems))
        chosen = order[index * self._num_per_update : (index + 1) * self._num_per_update]
        return [self._problems[i] for i in chosen]

    def between(self, first: int, last: int) -> list[Problem]:
        """The problems of updates `first` to `last` - 1, each once."""
        asked = [problem for update in range(first, last) for problem in self.at(update)]
        return list({problem.id: problem for problem in asked}.values())
