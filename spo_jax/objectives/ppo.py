"""Proximal Policy Optimization with a critic, plain or decoupled for stale data.

Source: PPO, arXiv 1707.06347; advantages: arXiv 1506.02438; decoupled: arXiv 2110.00641 and, for
language models, AReaL, arXiv 2505.24298. Equations (Pn) are those of docs/objectives.md.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from spo_jax.errors import UserError
from spo_jax.objectives.advantages import (
    TokenAdvantages,
    generalized_advantages,
    on_last_token,
)
from spo_jax.objectives.checks import check_finite_rewards, check_not_negative
from spo_jax.objectives.diagnostics import clip_fraction, common_metrics
from spo_jax.objectives.interface import Metrics, ObjectiveInputs, ObjectiveOutput
from spo_jax.objectives.masked import at_least_float32, masked_sum
from spo_jax.objectives.policy_gradient import (
    Rows,
    behavior_metrics,
    check_limit,
    check_share,
    clipped_surrogate,
    is_clipped,
    kl_estimate,
    proximal_logprobs,
    real_rows,
    required,
    token_moments,
    token_ratios,
    truncated_weights,
)
from spo_jax.objectives.soft_q import log_ratios


@dataclasses.dataclass(frozen=True, kw_only=True)
class PPO:
    """Clipped policy gradient by token, with advantages from a critic, and the critic's own loss.

    Policy and critic share one sum over tokens. Advantages are not whitened: that would take
    statistics of the whole batch, which sums over micro-batches do not have.

    Attributes:
      clip: how far below 1 a ratio is pushed down, and above 1 pushed up unless `clip_high` is
        given; `math.inf` turns clipping off.
      clip_high: the bound above 1, or None for `clip`.
      gae_lambda: 1 takes the whole return, 0 the critic's one-step error.
      discount: per token that the policy chose.
      value_coefficient: of the critic's loss.
      value_clip: how far the critic may move from its values at the start of the update before its
        loss goes flat, in units of reward, or None.
      kl_coefficient: of log(policy / reference), taken from the reward of every token; in units of
        reward per nat.
      decoupled: clip the ratio to the policy at the start of the update instead of the one that
        sampled, and weight tokens by the ratio between these two.
      importance_cap: largest such weight, or None for no limit; only with `decoupled`.
    """

    clip: float = 0.2
    clip_high: float | None = None
    gae_lambda: float = 1.0
    discount: float = 1.0
    value_coefficient: float = 0.5
    value_clip: float | None = None
    kl_coefficient: float = 0.0
    decoupled: bool = False
    importance_cap: float | None = None

    def __post_init__(self):
        for name in ("clip", "clip_high", "value_clip", "importance_cap"):
            value = getattr(self, name)
            if value is not None:
                check_limit(name, value)
        for name in ("gae_lambda", "discount"):
            check_share(name, getattr(self, name))
        for name in ("value_coefficient", "kl_coefficient"):
            check_not_negative(name, getattr(self, name))
        if self.importance_cap is not None and not self.decoupled:
            raise UserError(
                f"importance_cap={self.importance_cap} limits the weights of decoupled=True, "
                "got decoupled=False"
            )

    @property
    def needs(self) -> frozenset[str]:
        """Optional inputs it reads; see `Objective.needs`."""
        needed = {"behavior_logprobs", "values"}
        if self.kl_coefficient > 0:
            needed.add("ref_logprobs")
        return frozenset(needed)

    def check_rewards(self, rewards: np.ndarray) -> None:
        """Raises UserError for NaN and infinite rewards."""
        check_finite_rewards(rewards)

    def __call__(self, inputs: ObjectiveInputs) -> ObjectiveOutput:
        """Sums over the micro-batch; the denominator counts (weighted) tokens.

        Raises:
          ValueError: an array that `needs` names is missing.
        """
        rows = real_rows(inputs)
        values_BT = _chosen(required(inputs.values_BT, self, "values_BT"), rows)
        old_values_BT = values_BT
        if inputs.proximal_values_BT is not None:
            old_values_BT = _chosen(inputs.proximal_values_BT, rows)
        targets = generalized_advantages(
            self._token_rewards(inputs, rows),
            old_values_BT,
            rows.mask_BT,
            discount=self.discount,
            gae_lambda=self.gae_lambda,
        )
        policy_BT, metrics = self._policy_loss(inputs, rows, targets.advantages_BT)
        critic_BT = value_loss(values_BT, old_values_BT, targets.returns_BT, self.value_clip)
        policy_B = rows.weights_B * masked_sum(policy_BT, rows.mask_BT, axis=1)
        critic_B = rows.weights_B * masked_sum(critic_BT, rows.mask_BT, axis=1)
        loss_B = policy_B + self.value_coefficient * critic_B
        weight_sum = jnp.sum(rows.weights_B * rows.lengths_B)
        metrics |= common_metrics(inputs) | _critic_metrics(values_BT, targets, rows)
        metrics["loss/total"] = (jnp.sum(loss_B), weight_sum)
        metrics["loss/policy"] = (jnp.sum(policy_B), weight_sum)
        metrics["loss/value"] = (jnp.sum(critic_B), weight_sum)
        return ObjectiveOutput(jnp.sum(loss_B), weight_sum, loss_B, metrics)

    def _token_rewards(self, inputs: ObjectiveInputs, rows: Rows) -> jax.Array:
        """Equation (P9): the reward on the last token, less the estimate k1 of the KL on each."""
        rewards_BT = on_last_token(rows.reward_B, rows.mask_BT)
        if self.kl_coefficient == 0:
            return rewards_BT
        ref_BT = required(inputs.ref_logprobs_BT, self, "ref_logprobs_BT")
        deltas_BT = log_ratios(proximal_logprobs(inputs), ref_BT, rows.mask_BT)
        return rewards_BT - self.kl_coefficient * kl_estimate(deltas_BT, "k1")

    def _policy_loss(
        self, inputs: ObjectiveInputs, rows: Rows, advantages_BT: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Equation (P3) by token; (P10) if decoupled. [B, T]"""
        behavior_BT = required(inputs.behavior_logprobs_BT, self, "behavior_logprobs_BT")
        metrics = behavior_metrics(inputs.logprobs_BT, behavior_BT, rows)
        anchor_BT = proximal_logprobs(inputs) if self.decoupled else behavior_BT
        ratios_BT = token_ratios(inputs.logprobs_BT, anchor_BT, rows.mask_BT)
        bounds = (self.clip, self.clip if self.clip_high is None else self.clip_high)
        loss_BT = clipped_surrogate(ratios_BT, advantages_BT, *bounds)
        clipped_BT = is_clipped(ratios_BT, advantages_BT, *bounds)
        metrics |= clip_fraction("policy/clip_fraction", clipped_BT, rows.mask_BT, rows.is_online_B)
        metrics |= token_moments("policy/advantage", advantages_BT, rows)
        if self.decoupled:
            stale_BT = token_ratios(anchor_BT, behavior_BT, rows.mask_BT)
            cap = jnp.inf if self.importance_cap is None else self.importance_cap
            weights_BT = truncated_weights(stale_BT, cap)
            loss_BT = weights_BT * loss_BT
            metrics |= token_moments("policy/importance_weight", weights_BT, rows)
        return loss_BT, metrics


def value_loss(
    values_BT: jax.Array, old_values_BT: jax.Array, returns_BT: jax.Array, clip: float | None
) -> jax.Array:
    """Equation (P11): (V - return)^2 / 2, or the larger of that and the same of V held near V_old.

    No gradient flows into the old values or the returns. [B, T]
    """
    old_values_BT = jax.lax.stop_gradient(old_values_BT)
    returns_BT = jax.lax.stop_gradient(returns_BT)
    loss_BT = 0.5 * (values_BT - returns_BT) ** 2
    if clip is None:
        return loss_BT
    near_BT = old_values_BT + jnp.clip(values_BT - old_values_BT, -clip, clip)
    return jnp.maximum(loss_BT, 0.5 * (near_BT - returns_BT) ** 2)


def _chosen(values_BT: jax.Array, rows: Rows) -> jax.Array:
    """Zeros where masked: a square of NaN there would reach the gradient through its own slope."""
    return at_least_float32(jnp.where(rows.mask_BT, values_BT, 0))


def _critic_metrics(values_BT: jax.Array, targets: TokenAdvantages, rows: Rows) -> Metrics:
    """Spreads whose quotient is the share of the returns that the critic does not explain."""
    residual_BT = targets.returns_BT - jax.lax.stop_gradient(values_BT)
    return {
        **token_moments("value/residual", residual_BT, rows),
        **token_moments("value/return", targets.returns_BT, rows),
    }
