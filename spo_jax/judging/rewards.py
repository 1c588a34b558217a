"""What a verdict is worth."""

import dataclasses
import math

from spo_jax.errors import UserError
from spo_jax.types import Judgement, Verdict


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RewardMap:
    """Verdict to reward. The default is binary: 0 for an accepted program, else -1.

    Rewards at or below zero suit the cross-entropy form of the objective; any numbers suit the
    squared form. A failure of the judge itself (IE) is worth nothing at all: None, never learned
    from.

    Attributes:
      accepted: reward of AC.
      rejected: reward of every other verdict.
      no_program: reward of CE (no program, or one that does not compile); None is `rejected`.
      partial_credit: the share of tests passed moves the reward linearly from `rejected` to
        `accepted`. Needs a judge that does not stop at the first failing test. `Judgement.score`,
        where there is one, takes the place of that share.
    """

    accepted: float = 0.0
    rejected: float = -1.0
    no_program: float | None = None
    partial_credit: bool = False

    def __post_init__(self) -> None:
        for name in ("accepted", "rejected", "no_program"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise UserError(f"reward {name}={value} must be finite")
        if self.accepted <= self.rejected:
            raise UserError(
                f"reward accepted={self.accepted} must be above rejected={self.rejected}"
            )

    def reward(self, judgement: Judgement) -> float | None:
        """Returns the reward as a float, or None when the sample must not be learned from."""
        if judgement.verdict is Verdict.IE:
            return None
        if judgement.verdict is Verdict.AC:
            return float(self.accepted)
        if judgement.verdict is Verdict.CE and self.no_program is not None:
            return float(self.no_program)
        if self.partial_credit and (judgement.score is not None or judgement.num_tests):
            share = judgement.score
            if share is None:
                share = judgement.num_passed / judgement.num_tests
            return self.rejected + share * (self.accepted - self.rejected)
        return float(self.rejected)
