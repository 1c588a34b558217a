"""Group Relative Policy Optimization, with and without its normalisations.

Source: GRPO (DeepSeekMath), arXiv 2402.03300; without normalisations: Dr. GRPO, arXiv 2503.20783;
token mean and two clips: DAPO, arXiv 2503.14476; ratio of the sequence: GSPO, arXiv 2507.18071.
Equations (Pn) are those of docs/objectives.md.
"""

import dataclasses
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from spo_jax.objectives.advantages import group_advantages
from spo_jax.objectives.checks import check_choice, check_finite_rewards, check_not_negative
from spo_jax.objectives.diagnostics import clip_fraction, common_metrics
from spo_jax.objectives.interface import ObjectiveInputs, ObjectiveOutput
from spo_jax.objectives.masked import masked_sum
from spo_jax.objectives.policy_gradient import (
    Rows,
    behavior_metrics,
    check_limit,
    clipped_surrogate,
    is_clipped,
    kl_estimate,
    proximal_logprobs,
    real_rows,
    required,
    row_moments,
    sequence_ratios,
    token_ratios,
)
from spo_jax.objectives.soft_q import log_ratios

Aggregation = Literal["sequence_mean", "token_mean", "sequence_sum"]
Importance = Literal["token", "sequence", "none"]
KlLoss = Literal["k2", "k3"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GRPO:
    """Clipped policy gradient with the group's mean reward as baseline and no critic.

    The defaults are the original. Dr. GRPO is `normalize_std=False, aggregation='sequence_sum'`.

    Attributes:
      clip: how far below 1 a ratio is pushed down, and above 1 pushed up unless `clip_high` is
        given; `math.inf` turns clipping off.
      clip_high: the bound above 1, or None for `clip`.
      normalize_std: divide advantages by the group's standard deviation: groups that are nearly
        all right or all wrong then count for more.
      aggregation: 'sequence_mean' averages tokens in a sequence and then sequences, 'token_mean'
        averages over all tokens, 'sequence_sum' sums tokens and averages sequences: only the last
        is the gradient of the expected reward.
      kl_coefficient: of a KL term to the reference, averaged as the rest; units of reward per nat.
      kl_estimator: 'k3' as published, whose gradient is that of KL(reference || policy), or 'k2',
        whose gradient is that of KL(policy || reference).
      importance: 'token' ratios to the policy that sampled, the 'sequence' ratio's geometric mean,
        or 'none': rows are treated as fresh samples, written ones too. That is biased on all but
        fresh samples, without a bound on how far.
    """

    clip: float = 0.2
    clip_high: float | None = None
    normalize_std: bool = True
    aggregation: Aggregation = "sequence_mean"
    kl_coefficient: float = 0.0
    kl_estimator: KlLoss = "k3"
    importance: Importance = "token"

    def __post_init__(self):
        check_limit("clip", self.clip)
        if self.clip_high is not None:
            check_limit("clip_high", self.clip_high)
        check_choice("aggregation", self.aggregation, get_args(Aggregation))
        check_not_negative("kl_coefficient", self.kl_coefficient)
        check_choice("kl_estimator", self.kl_estimator, get_args(KlLoss))
        check_choice("importance", self.importance, get_args(Importance))

    @property
    def needs(self) -> frozenset[str]:
        """Optional inputs it reads; see `Objective.needs`."""
        needed = {"groups"}
        if self.importance != "none":
            needed.add("behavior_logprobs")
        if self.kl_coefficient > 0:
            needed.add("ref_logprobs")
        return frozenset(needed)

    def check_rewards(self, rewards: np.ndarray) -> None:
        """Raises UserError for NaN and infinite rewards."""
        check_finite_rewards(rewards)

    def __call__(self, inputs: ObjectiveInputs) -> ObjectiveOutput:
        """Equation (P12), as sums over the micro-batch.

        The denominator counts (weighted) sequences, or tokens with aggregation='token_mean'.

        Raises:
          ValueError: an array that `needs` names is missing.
        """
        rows = real_rows(inputs)
        advantages_B = group_advantages(
            rows.reward_B, rows.weights_B, inputs.group_B, normalize_std=self.normalize_std
        )
        ratios_BT = self._ratios(inputs, rows)
        bounds = (self.clip, self.clip if self.clip_high is None else self.clip_high)
        policy_BT = clipped_surrogate(ratios_BT, advantages_B[:, None], *bounds)
        clipped_BT = is_clipped(ratios_BT, advantages_B[:, None], *bounds)
        policy_B = self._scale(rows) * masked_sum(policy_BT, rows.mask_BT, axis=1)
        penalty_B = self._penalty(inputs, rows)
        loss_B = policy_B + penalty_B
        weight_sum = self._weight_sum(rows)
        metrics = common_metrics(inputs) | row_moments("policy/advantage", advantages_B, rows)
        metrics |= clip_fraction("policy/clip_fraction", clipped_BT, rows.mask_BT, rows.is_online_B)
        if self.importance != "none":
            behavior_BT = required(inputs.behavior_logprobs_BT, self, "behavior_logprobs_BT")
            metrics |= behavior_metrics(inputs.logprobs_BT, behavior_BT, rows)
        metrics["loss/total"] = (jnp.sum(loss_B), weight_sum)
        metrics["loss/policy"] = (jnp.sum(policy_B), weight_sum)
        if self.kl_coefficient > 0:
            metrics["loss/kl"] = (jnp.sum(penalty_B), weight_sum)
        return ObjectiveOutput(jnp.sum(loss_B), weight_sum, loss_B, metrics)

    def _ratios(self, inputs: ObjectiveInputs, rows: Rows) -> jax.Array:
        """Of each token, [B, T]: (P1), or the sequence's (P2) on all its tokens."""
        if self.importance == "none":
            return token_ratios(inputs.logprobs_BT, proximal_logprobs(inputs), rows.mask_BT)
        behavior_BT = required(inputs.behavior_logprobs_BT, self, "behavior_logprobs_BT")
        if self.importance == "token":
            return token_ratios(inputs.logprobs_BT, behavior_BT, rows.mask_BT)
        ratios_B = sequence_ratios(
            inputs.logprobs_BT, behavior_BT, rows.mask_BT, length_normalized=True
        )
        return jnp.broadcast_to(ratios_B[:, None], rows.mask_BT.shape)

    def _penalty(self, inputs: ObjectiveInputs, rows: Rows) -> jax.Array:
        """The KL term of each sequence, scaled as its policy term. [B]"""
        if self.kl_coefficient == 0:
            return jnp.zeros_like(rows.weights_B)
        ref_BT = required(inputs.ref_logprobs_BT, self, "ref_logprobs_BT")
        kl_BT = kl_estimate(log_ratios(inputs.logprobs_BT, ref_BT, rows.mask_BT), self.kl_estimator)
        return self.kl_coefficient * self._scale(rows) * jnp.sum(kl_BT, axis=1)

    def _scale(self, rows: Rows) -> jax.Array:
        """What a sequence's sum over tokens is multiplied by. [B]"""
        if self.aggregation == "sequence_mean":
            return rows.weights_B / jnp.maximum(rows.lengths_B, 1)
        return rows.weights_B

    def _weight_sum(self, rows: Rows) -> jax.Array:
        if self.aggregation == "token_mean":
            return jnp.sum(rows.weights_B * rows.lengths_B)
        return jnp.sum(rows.weights_B)
