"""Per-token Monte-Carlo targets for the soft Q-values, beside or instead of the terminal one.

Source: Soft Policy Optimization, arXiv 2503.05453; the per-token form is reconstructed. Equations
(n) are those of docs/objectives.md. Q_t of every token is regressed on the reward of the whole
completion. What that converges to is a mean over continuations, so whose continuations matters:
those of the *reference* give the optimum, with the cross-entropy link only.
"""

import dataclasses
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from spo_jax.errors import UserError
from spo_jax.objectives.checks import check_choice, check_positive
from spo_jax.objectives.diagnostics import common_metrics, mean_of, moments_by_source, q_metrics
from spo_jax.objectives.interface import Metrics, ObjectiveInputs, ObjectiveOutput
from spo_jax.objectives.links import Link, LinkName, make_link
from spo_jax.objectives.masked import masked_mean, masked_sum
from spo_jax.objectives.schedules import Schedule, extremes, value_at
from spo_jax.objectives.soft_q import log_ratios, soft_q_values
from spo_jax.objectives.terminal import (
    Baseline,
    Terminal,
    baseline_needs,
    check_beta_and_baseline,
    terminal,
)

Importance = Literal["none", "reference"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenQRegression:
    """Mean over tokens t of omega_t * link(Q_t, reward), equation (16).

    Only 'cross_entropy' with untruncated 'reference' weights has the optimum that the terminal loss
    has; everything else trades bias for earlier credit. Hence `weight`: annealed from 1 to 0 it
    starts with per-token targets and ends with the exact terminal loss.

    Attributes:
      beta: in units of reward per nat, a number or a schedule; see `SoftPolicyOptimization`.
      link: 'cross_entropy' (rewards <= 0 only), or 'squared', which is biased (Jensen) whatever the
        weights.
      baseline: where Q_0 comes from; see `SoftPolicyOptimization`.
      importance: 'none', or 'reference': omega_t = prod over i > t of pi_ref / mu, for which
        behaviour logprobs are needed.
      importance_cap: omega_t is at most this. Its variance grows exponentially with the length, so
        1 to 2 is the useful range; what is learned then is the value of the continuation
        proportional to min(pi_ref, cap mu).
      weight: share in [0, 1] of the per-token loss, a number or a schedule; the rest is the
        terminal loss with the same link.
      residual_clip: largest |residual| in nats with the squared link, or None.
      margin: of the cross-entropy link in nats.
      success_reward: at least this much counts as right, in metrics only.
    """

    beta: float | Schedule = 0.2
    link: LinkName = "cross_entropy"
    baseline: Baseline = "profiled"
    importance: Importance = "none"
    importance_cap: float = 1.0
    weight: float | Schedule = 1.0
    residual_clip: float | None = None
    margin: float = 0.5
    success_reward: float = 0.0

    def __post_init__(self):
        check_beta_and_baseline(self.beta, self.baseline)
        check_choice("importance", self.importance, get_args(Importance))
        check_positive("importance_cap", self.importance_cap)
        self._link()
        low, high = extremes(self.weight)
        if not 0 <= low <= high <= 1:
            raise UserError(f"weight must stay between 0 and 1, got {self.weight}")

    @property
    def needs(self) -> frozenset[str]:
        """Optional inputs it reads; see `Objective.needs`."""
        needs = baseline_needs(self.baseline)
        return needs | {"behavior_logprobs"} if self.importance == "reference" else needs

    def check_rewards(self, rewards: np.ndarray) -> None:
        """Raises UserError for rewards that are not finite, or above 0 with cross-entropy."""
        self._link().check_rewards(rewards)

    def __call__(self, inputs: ObjectiveInputs) -> ObjectiveOutput:
        """Sums over the micro-batch of w sum_t stop_gradient(kappa_t) Delta_t, equation (17).

        The gradient is that of (16); its value is reported as `loss/true`.
        """
        link = self._link()
        t = terminal(inputs, beta=self.beta, baseline=self.baseline, link=link)
        omega_BT = self._importance_weights(inputs, t.mask_BT)
        share = value_at(self.weight, inputs.step)
        weights_BT = share * omega_BT / jnp.maximum(jnp.sum(t.mask_BT, axis=1, keepdims=True), 1)
        q_BT = soft_q_values(jax.lax.stop_gradient(t.deltas_BT), t.initial_B, t.beta) / t.beta
        rho_BT = jnp.broadcast_to(t.rho_B[:, None], q_BT.shape)
        slope_BT = jnp.where(t.mask_BT, weights_BT * link.coefficient(q_BT, rho_BT), 0.0)
        kappa_BT = jnp.cumsum(slope_BT[:, ::-1], axis=1)[:, ::-1]
        kappa_BT = kappa_BT + (1 - share) * link.coefficient(t.q_B, t.rho_B)[:, None]
        loss_B = t.weights_B * masked_sum(kappa_BT * t.deltas_BT, t.mask_BT, axis=1)
        true_B = masked_sum(weights_BT * link.loss(q_BT, rho_BT), t.mask_BT, axis=1)
        true_B = true_B + (1 - share) * link.loss(t.q_B, t.rho_B)
        weight_sum = jnp.sum(t.weights_B)
        metrics = self._metrics(inputs, t, kappa_BT, omega_BT)
        metrics["loss/total"] = (jnp.sum(loss_B), weight_sum)
        metrics["loss/true"] = (jnp.sum(t.weights_B * true_B), weight_sum)
        return ObjectiveOutput(jnp.sum(loss_B), weight_sum, loss_B, metrics, t.seen_B)

    def _link(self) -> Link:
        return make_link(self.link, residual_clip=self.residual_clip, margin=self.margin)

    def _importance_weights(self, inputs: ObjectiveInputs, mask_BT: jax.Array) -> jax.Array:
        """Equation (18), or ones. [B, T]"""
        if self.importance == "none":
            return jnp.ones(mask_BT.shape, jnp.float32)
        if inputs.behavior_logprobs_BT is None or inputs.ref_logprobs_BT is None:
            raise ValueError(
                "importance='reference' needs behavior_logprobs_BT and ref_logprobs_BT"
            )
        return continuation_weights(
            inputs.ref_logprobs_BT, inputs.behavior_logprobs_BT, mask_BT, cap=self.importance_cap
        )

    def _metrics(
        self, inputs: ObjectiveInputs, t: Terminal, kappa_BT: jax.Array, omega_BT: jax.Array
    ) -> Metrics:
        is_real_B = t.weights_B > 0
        is_above_B = (t.q_B > -self.margin).astype(jnp.float32)
        metrics = common_metrics(inputs) | q_metrics(
            inputs, t.deltas_BT, t.initial_B, beta=t.beta, success_reward=self.success_reward
        )
        metrics["q/above_margin"] = mean_of(is_above_B, is_real_B)
        kappa_B = masked_mean(jnp.abs(kappa_BT), t.mask_BT, axis=1)
        metrics["q/coefficient_abs"] = mean_of(kappa_B, is_real_B)
        if self.importance == "reference":
            metrics |= moments_by_source(
                "q/importance_weight", omega_BT, t.mask_BT, inputs.is_online_B[:, None]
            )
        return metrics


def continuation_weights(
    ref_logprobs_BT: jax.Array, behavior_logprobs_BT: jax.Array, mask_BT: jax.Array, *, cap: float
) -> jax.Array:
    """Equation (18): omega_t = min(cap, prod over chosen i > t of pi_ref(a_i) / mu(a_i)). [B, T]

    That of the last token is 1 (or the cap, if lower). Truncated in the logarithm: nothing
    overflows.
    """
    log_weights_BT = log_ratios(ref_logprobs_BT, behavior_logprobs_BT, mask_BT)
    from_here_BT = jnp.cumsum(log_weights_BT[:, ::-1], axis=1)[:, ::-1]
    after_BT = from_here_BT - log_weights_BT
    return jax.lax.stop_gradient(jnp.exp(jnp.minimum(after_BT, jnp.log(cap))))
