"""Plain likelihood of the sequences that were good enough: the control for RL."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from spo_jax.objectives.diagnostics import common_metrics
from spo_jax.objectives.interface import ObjectiveInputs, ObjectiveOutput
from spo_jax.objectives.masked import at_least_float32, masked_sum


@dataclasses.dataclass(frozen=True, kw_only=True)
class Supervised:
    """Mean negative log-likelihood per token over sequences with reward >= `reward_threshold`.

    Also known as filtered behaviour cloning or rejection-sampling fine-tuning. It reads no
    reference; log-ratios are still reported where one is given.

    Attributes:
      reward_threshold: sequences below it carry no gradient.
    """

    reward_threshold: float = 0.0

    @property
    def needs(self) -> frozenset[str]:
        """Nothing beyond tokens and rewards."""
        return frozenset()

    def check_rewards(self, rewards: np.ndarray) -> None:
        """Any reward is meaningful: it is only compared with the threshold."""

    def __call__(self, inputs: ObjectiveInputs) -> ObjectiveOutput:
        """Sums over the micro-batch; the denominator counts (weighted) tokens."""
        is_chosen_B = (inputs.weights_B > 0) & (inputs.reward_B >= self.reward_threshold)
        weights_B = jnp.where(is_chosen_B, at_least_float32(inputs.weights_B), 0.0)
        loss_B = -weights_B * masked_sum(inputs.logprobs_BT, inputs.mask_BT, axis=1)
        weight_sum = jnp.sum(weights_B * jnp.sum(inputs.mask_BT, axis=1))
        metrics = common_metrics(inputs)
        metrics["loss/total"] = (jnp.sum(loss_B), weight_sum)
        metrics["loss/true"] = metrics["loss/total"]
        return ObjectiveOutput(jnp.sum(loss_B), weight_sum, loss_B, metrics)
