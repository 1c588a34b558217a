"""Plain likelihood of the sequences that were good enough, or of all: the control for RL."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from spo_jax.objectives.checks import check_finite_rewards
from spo_jax.objectives.diagnostics import common_metrics
from spo_jax.objectives.interface import ObjectiveInputs, ObjectiveOutput
from spo_jax.objectives.masked import masked_sum
from spo_jax.objectives.policy_gradient import real_rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Supervised:
    """Mean negative log-likelihood per token over sequences with reward >= `reward_threshold`.

    With a threshold also known as filtered behaviour cloning or rejection-sampling fine-tuning;
    with None it is supervised fine-tuning on every row. It reads no reference; log-ratios are
    still reported where one is given.

    Attributes:
      reward_threshold: sequences below it carry no gradient; None keeps all.
    """

    reward_threshold: float | None = 0.0

    @property
    def needs(self) -> frozenset[str]:
        """Nothing beyond tokens and rewards."""
        return frozenset()

    def check_rewards(self, rewards: np.ndarray) -> None:
        """Raises UserError for NaN and infinite rewards: they have no place below or above."""
        check_finite_rewards(rewards)

    def __call__(self, inputs: ObjectiveInputs) -> ObjectiveOutput:
        """Sums over the micro-batch; the denominator counts (weighted) tokens."""
        rows = real_rows(inputs)
        weights_B = rows.weights_B
        if self.reward_threshold is not None:
            weights_B = jnp.where(rows.reward_B >= self.reward_threshold, weights_B, 0.0)
        loss_B = -weights_B * masked_sum(inputs.logprobs_BT, rows.mask_BT, axis=1)
        weight_sum = jnp.sum(weights_B * rows.lengths_B)
        metrics = common_metrics(inputs)
        metrics["loss/total"] = (jnp.sum(loss_B), weight_sum)
        metrics["loss/true"] = metrics["loss/total"]
        return ObjectiveOutput(jnp.sum(loss_B), weight_sum, loss_B, metrics)
