"""Regression of per-token advantages A_t = beta Delta_t on four different targets.

Source: Soft Policy Optimization, arXiv 2503.05453, which compares an advantage regression with its
Q-regressions; the forms here are reconstructions. Equations (n) are those of docs/objectives.md.
"""

import dataclasses
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from spo_jax.objectives.checks import (
    check_choice,
    check_finite_rewards,
    check_not_negative,
    check_positive,
)
from spo_jax.objectives.diagnostics import (
    common_metrics,
    mean_of,
    moments_by_source,
    q_metrics,
)
from spo_jax.objectives.interface import Metrics, ObjectiveInputs, ObjectiveOutput
from spo_jax.objectives.links import CrossEntropyLink, SquaredLink
from spo_jax.objectives.masked import at_least_float32, masked_mean, masked_sum
from spo_jax.objectives.schedules import Schedule
from spo_jax.objectives.soft_q import soft_q_values
from spo_jax.objectives.terminal import (
    Baseline,
    Terminal,
    baseline_needs,
    check_beta_and_baseline,
    terminal,
)

Target = Literal["sequence", "local", "uniform", "values"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdvantageRegression:
    """Squared regression of advantages, in nats; mean over tokens where it is per token.

    Attributes:
      beta: in units of reward per nat, a number or a schedule; see `SoftPolicyOptimization`.
      target: 'sequence', equation (19): the sum of the advantages on reward - Q_0, which is the
        terminal squared regression. 'local', (20): each advantage on reward - Q_{t-1}; 'uniform',
        (21): on an equal share of reward - Q_0; both biased. 'values', (22): on the difference of
        a critic's values before this token and before the next one the policy chooses (the reward
        after the last), which leads to the optimum if these are the soft values V*.
      baseline: where Q_0 comes from; see `SoftPolicyOptimization`.
      critic_weight: with 'values', of the critic's own loss: cross-entropy between e^{V_t/beta}
        and e^{reward/beta}, rewards at most 0. It makes V_t the *soft* value of the continuations
        in the data: V* where those are the reference's, too high where the data are better. A
        critic trained as PPO does it, on expected returns, has no soft values: it is none for this.
      margin: of that cross-entropy, in nats.
      success_reward: at least this much counts as right, in metrics only.
    """

    beta: float | Schedule = 0.2
    target: Target = "sequence"
    baseline: Baseline = "group"
    critic_weight: float = 1.0
    margin: float = 0.5
    success_reward: float = 0.0

    def __post_init__(self):
        check_beta_and_baseline(self.beta, self.baseline)
        check_choice("target", self.target, get_args(Target))
        check_not_negative("critic_weight", self.critic_weight)
        check_positive("margin", self.margin)

    @property
    def needs(self) -> frozenset[str]:
        """Optional inputs it reads; see `Objective.needs`."""
        needs = baseline_needs(self.baseline)
        return needs | {"values"} if self.target == "values" else needs

    def check_rewards(self, rewards: np.ndarray) -> None:
        """Raises UserError for rewards that are not finite, or above 0 where a critic learns."""
        if self.target == "values" and self.critic_weight:
            CrossEntropyLink(self.margin).check_rewards(rewards)
        else:
            check_finite_rewards(rewards)

    def __call__(self, inputs: ObjectiveInputs) -> ObjectiveOutput:
        """Sums over the micro-batch of w sum_t stop_gradient(kappa_t) Delta_t.

        The gradient is that of the regression, whose value is reported as `loss/true`.
        """
        t = terminal(inputs, beta=self.beta, baseline=self.baseline, link=SquaredLink())
        errors_BT = self._errors(inputs, t)
        lengths_B1 = jnp.maximum(jnp.sum(t.mask_BT, axis=1, keepdims=True), 1)
        # One residual of the whole sequence stands on every token: its mean is itself.
        per_token_BT = 1.0 / lengths_B1 if self.target != "sequence" else 1.0
        loss_B = t.weights_B * masked_sum(per_token_BT * errors_BT * t.deltas_BT, t.mask_BT, axis=1)
        true_B = masked_sum(0.5 * errors_BT**2 / lengths_B1, t.mask_BT, axis=1)
        weight_sum = jnp.sum(t.weights_B)
        metrics = self._metrics(inputs, t, errors_BT)
        metrics["loss/true"] = (jnp.sum(t.weights_B * true_B), weight_sum)
        if self.target == "values" and self.critic_weight:
            critic_B = t.weights_B * self._critic_loss(inputs, t)
            loss_B = loss_B + self.critic_weight * critic_B
            metrics["loss/critic"] = (jnp.sum(critic_B), weight_sum)
        metrics["loss/total"] = (jnp.sum(loss_B), weight_sum)
        return ObjectiveOutput(jnp.sum(loss_B), weight_sum, loss_B, metrics, t.seen_B)

    def _errors(self, inputs: ObjectiveInputs, t: Terminal) -> jax.Array:
        """Delta_t less its target in nats, constants; masked entries mean nothing. [B, T]"""
        deltas_BT = jax.lax.stop_gradient(t.deltas_BT)
        if self.target == "values":
            before_BT, after_BT = self._values_around(inputs, t)
            return deltas_BT - (after_BT - before_BT) / t.beta
        if self.target == "uniform":
            lengths_B = jnp.maximum(jnp.sum(t.mask_BT, axis=1), 1)
            target_B = (t.reward_B - t.initial_B) / (t.beta * lengths_B)
            return deltas_BT - target_B[:, None]
        if self.target == "local":
            q_BT = soft_q_values(deltas_BT, t.initial_B, t.beta)
            return (q_BT - t.reward_B[:, None]) / t.beta
        return jnp.broadcast_to((t.q_B - t.rho_B)[:, None], deltas_BT.shape)

    def _values_around(self, inputs: ObjectiveInputs, t: Terminal) -> tuple[jax.Array, jax.Array]:
        """The critic's values before each chosen token and before the next, constants. [B, T]"""
        values_BT = jax.lax.stop_gradient(self._values(inputs, t))
        padded_BT = jnp.concatenate(
            [values_BT, t.reward_B[:, None].astype(values_BT.dtype)], axis=1
        )
        return values_BT, jnp.take_along_axis(padded_BT, next_chosen(t.mask_BT), axis=1)

    def _values(self, inputs: ObjectiveInputs, t: Terminal) -> jax.Array:
        if inputs.values_BT is None:
            raise ValueError("target='values' needs values_BT")
        return at_least_float32(jnp.where(t.mask_BT, inputs.values_BT, 0))

    def _critic_loss(self, inputs: ObjectiveInputs, t: Terminal) -> jax.Array:
        """Mean over tokens of the cross-entropy between e^{V/beta} and e^{reward/beta}. [B]"""
        v_BT = self._values(inputs, t) / t.beta
        rho_BT = jnp.broadcast_to(t.rho_B[:, None], v_BT.shape)
        return masked_mean(CrossEntropyLink(self.margin).loss(v_BT, rho_BT), t.mask_BT, axis=1)

    def _metrics(self, inputs: ObjectiveInputs, t: Terminal, errors_BT: jax.Array) -> Metrics:
        metrics = common_metrics(inputs) | q_metrics(
            inputs, t.deltas_BT, t.initial_B, beta=t.beta, success_reward=self.success_reward
        )
        online_B1 = inputs.is_online_B[:, None]
        metrics |= moments_by_source("q/advantage_error", t.beta * errors_BT, t.mask_BT, online_B1)
        error_B = masked_mean(jnp.abs(errors_BT), t.mask_BT, axis=1)
        metrics["q/coefficient_abs"] = mean_of(error_B, t.weights_B > 0)
        if self.target == "values":
            residual_BT = jax.lax.stop_gradient(self._values(inputs, t)) - t.reward_B[:, None]
            return_BT = jnp.broadcast_to(t.reward_B[:, None], residual_BT.shape)
            metrics |= moments_by_source("value/residual", residual_BT, t.mask_BT, online_B1)
            metrics |= moments_by_source("value/return", return_BT, t.mask_BT, online_B1)
        return metrics


def next_chosen(mask_BT: jax.Array) -> jax.Array:
    """Index of the first chosen token after each position, T where there is none. [B, T]"""
    num_tokens = mask_BT.shape[1]
    indices_BT = jnp.where(mask_BT, jnp.arange(num_tokens)[None], num_tokens)
    from_here_BT = jax.lax.cummin(indices_BT, axis=1, reverse=True)
    end_B1 = jnp.full_like(from_here_BT[:, :1], num_tokens)
    return jnp.concatenate([from_here_BT[:, 1:], end_B1], axis=1)
