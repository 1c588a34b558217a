"""Soft Policy Optimization: terminal Q-regression.

Source: Soft Policy Optimization, arXiv 2503.05453. The policy *is* the value function: its summed
log-ratio to a frozen reference is a soft Q-value, and that of the last token is regressed on the
reward. Equations (n) are those of docs/objectives.md. The regression is in nats: q = Q / beta and
rho = reward / beta.
"""

import dataclasses
import math
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from spo_jax.errors import UserError, nearest
from spo_jax.objectives.diagnostics import common_metrics, mean_of, split_by_source
from spo_jax.objectives.interface import Metrics, ObjectiveInputs, ObjectiveOutput
from spo_jax.objectives.links import (
    cross_entropy_coefficient,
    cross_entropy_loss,
    squared_coefficient,
    squared_loss,
)
from spo_jax.objectives.masked import at_least_float32
from spo_jax.objectives.soft_q import group_initial_value, log_ratios

Link = Literal["squared", "cross_entropy"]
Baseline = Literal["group", "leave_one_out", "initial_value"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoftPolicyOptimization:
    """Terminal Q-regression with a choice of link and of the initial value.

    Attributes:
      beta: strength of the pull towards the reference, in units of reward per nat. Rewards 0 and
        -R give success odds of at most e^{R/beta} times the reference's; R/beta of 4 to 8 is the
        useful range.
      link: 'squared', or 'cross_entropy' between e^q and e^{reward/beta} (rewards <= 0 only).
      baseline: where Q_0 comes from: 'group' or 'leave_one_out' (mean over the completions of the
        prompt in the batch), or 'initial_value' (estimated beforehand from reference samples).
      residual_clip: largest |residual| in nats with the squared link, or None.
      margin: of the cross-entropy link in nats; see `cross_entropy_coefficient`.
      success_reward: at least this much counts as right, in metrics only.
    """

    beta: float = 0.2
    link: Link = "squared"
    baseline: Baseline = "group"
    residual_clip: float | None = None
    margin: float = 0.5
    success_reward: float = 0.0

    def __post_init__(self):
        _check_choice("link", self.link, get_args(Link))
        _check_choice("baseline", self.baseline, get_args(Baseline))
        _check_positive("beta", self.beta)
        _check_positive("margin", self.margin)
        if self.residual_clip is not None:
            _check_positive("residual_clip", self.residual_clip)
            if self.link != "squared":
                raise UserError(
                    f"residual_clip={self.residual_clip} belongs to link='squared', not to "
                    f"link='{self.link}', whose coefficient `margin` bounds"
                )

    @property
    def needs(self) -> frozenset[str]:
        """Optional inputs it reads; see `Objective.needs`."""
        baseline = "initial_value" if self.baseline == "initial_value" else "groups"
        return frozenset({"ref_logprobs", baseline})

    def check_rewards(self, rewards: np.ndarray) -> None:
        """Raises UserError for rewards above 0 under the cross-entropy link."""
        if self.link == "cross_entropy" and rewards.size and rewards.max() > 0:
            raise UserError(
                "link='cross_entropy' reads e^(reward/beta) as a probability: rewards must be "
                f"<= 0, got {rewards.max():g}; shift them or use link='squared'"
            )

    def __call__(self, inputs: ObjectiveInputs) -> ObjectiveOutput:
        """Sums over the micro-batch of w * stop_gradient(kappa) * S, equation (3).

        The gradient is that of the loss named by `link`; the value is not, so the loss itself is
        reported as `loss/true`.
        """
        if inputs.ref_logprobs_BT is None:
            raise ValueError("SoftPolicyOptimization needs ref_logprobs_BT")
        deltas_BT = log_ratios(inputs.logprobs_BT, inputs.ref_logprobs_BT, inputs.mask_BT)
        sums_B = jnp.sum(deltas_BT, axis=1)
        weights_B = at_least_float32(inputs.weights_B)
        reward_B = at_least_float32(jnp.where(weights_B > 0, inputs.reward_B, 0))
        initial_B = self._initial_value(inputs, jax.lax.stop_gradient(sums_B), reward_B)
        q_B = initial_B / self.beta + jax.lax.stop_gradient(sums_B)
        true_B, kappa_B = self._regression(q_B, reward_B / self.beta)
        loss_B = weights_B * kappa_B * sums_B
        weight_sum = jnp.sum(weights_B)
        metrics = common_metrics(inputs)
        metrics |= self._q_metrics(inputs, initial_B, q_B, kappa_B)
        metrics["loss/total"] = (jnp.sum(loss_B), weight_sum)
        metrics["loss/true"] = (jnp.sum(weights_B * true_B), weight_sum)
        return ObjectiveOutput(jnp.sum(loss_B), weight_sum, loss_B, metrics)

    def _initial_value(
        self, inputs: ObjectiveInputs, sums_B: jax.Array, reward_B: jax.Array
    ) -> jax.Array:
        if self.baseline == "initial_value":
            if inputs.initial_value_B is None:
                raise ValueError("baseline='initial_value' needs initial_value_B")
            return at_least_float32(jnp.where(inputs.weights_B > 0, inputs.initial_value_B, 0))
        return group_initial_value(
            sums_B,
            reward_B,
            at_least_float32(inputs.weights_B),
            inputs.group_B,
            beta=self.beta,
            leave_one_out=self.baseline == "leave_one_out",
        )

    def _regression(self, q_B: jax.Array, rho_B: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The loss and its derivative in q, both of the chosen link."""
        if self.link == "squared":
            return (
                squared_loss(q_B, rho_B, self.residual_clip),
                squared_coefficient(q_B, rho_B, self.residual_clip),
            )
        return (
            cross_entropy_loss(q_B, rho_B, self.margin),
            cross_entropy_coefficient(q_B, rho_B, self.margin),
        )

    def _q_metrics(
        self, inputs: ObjectiveInputs, initial_B: jax.Array, q_B: jax.Array, kappa_B: jax.Array
    ) -> Metrics:
        is_real_B = inputs.weights_B > 0
        is_right_B = inputs.reward_B >= self.success_reward
        final_B = self.beta * q_B
        residual_B = final_B - inputs.reward_B
        is_above_B = (q_B > -self.margin).astype(jnp.float32)
        return {
            **split_by_source("q/residual_mean", residual_B, is_real_B, inputs.is_online_B),
            **split_by_source("q/residual_abs", jnp.abs(residual_B), is_real_B, inputs.is_online_B),
            "q/residual_square": mean_of(residual_B**2, is_real_B),
            "q/initial_value": mean_of(initial_B, is_real_B),
            "q/final_right": mean_of(final_B, is_real_B & is_right_B),
            "q/final_wrong": mean_of(final_B, is_real_B & ~is_right_B),
            "q/above_margin": mean_of(is_above_B, is_real_B),
            "q/coefficient_abs": mean_of(jnp.abs(kappa_B), is_real_B),
        }


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UserError(f"{name}='{value}' must be one of {known}{nearest(str(value), known)}")


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{name} must be finite and above 0, got {value}")
