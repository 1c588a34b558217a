"""Soft Policy Optimization: terminal Q-regression.

Source: Soft Policy Optimization, arXiv 2503.05453. The policy *is* the value function: its summed
log-ratio to a frozen reference is a soft Q-value, and that of the last token is regressed on the
reward. Equations (n) are those of docs/objectives.md. The regression is in nats: q = Q / beta and
rho = reward / beta.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from spo_jax.objectives.checks import check_not_negative, check_positive
from spo_jax.objectives.diagnostics import (
    clip_fraction,
    common_metrics,
    mean_of,
    moments_by_source,
    q_metrics,
)
from spo_jax.objectives.groups import group_mean, leave_one_out_mean
from spo_jax.objectives.interface import Metrics, ObjectiveInputs, ObjectiveOutput
from spo_jax.objectives.links import Link, LinkName, make_link
from spo_jax.objectives.masked import masked_sum
from spo_jax.objectives.policy_gradient import (
    clipped_surrogate,
    is_clipped,
    proximal_logprobs,
    token_ratios,
    truncated_weights,
)
from spo_jax.objectives.schedules import Schedule
from spo_jax.objectives.terminal import (
    Baseline,
    Terminal,
    baseline_needs,
    check_beta_and_baseline,
    terminal,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoftPolicyOptimization:
    """Terminal Q-regression with a choice of link and of the initial value.

    Attributes:
      beta: strength of the pull towards the reference, in units of reward per nat; a number or a
        schedule. Rewards 0 and -R give success odds of at most e^{R/beta} times the reference's;
        R/beta of 4 to 8 is the useful range.
      link: 'squared', or 'cross_entropy' between e^q and e^{reward/beta} (rewards <= 0 only).
      baseline: where Q_0 comes from: 'group' or 'leave_one_out' (mean over the completions of the
        prompt in the batch), 'profiled' (the minimiser of the link's own loss over them: 'group' if
        the link is squared), 'running' (an estimate per problem that moves towards the profiled one
        of every batch; that one itself while there is none), or 'initial_value' (estimated
        beforehand from reference samples; for one beta only).
      residual_clip: largest |residual| in nats with the squared link, or None.
      margin: of the cross-entropy link in nats; see `cross_entropy_coefficient`.
      policy_gradient: lambda of equation (15): adds lambda times a clipped policy gradient of the
        plain reward, from online sequences only. With the squared link and fresh samples it is the
        same as beta / (1 + lambda): a knob towards the mean reward. 0 leaves it out.
      clip_range: epsilon of the policy gradient's ratio, which stays within 1 +- epsilon of the
        policy at the beginning of the update.
      importance_cap: largest weight of a token in the policy gradient for having been sampled by an
        older policy.
      success_reward: at least this much counts as right, in metrics only.
    """

    beta: float | Schedule = 0.2
    link: LinkName = "squared"
    baseline: Baseline = "group"
    residual_clip: float | None = None
    margin: float = 0.5
    policy_gradient: float = 0.0
    clip_range: float = 0.2
    importance_cap: float = 2.0
    success_reward: float = 0.0

    def __post_init__(self):
        check_beta_and_baseline(self.beta, self.baseline)
        self._link()
        check_not_negative("policy_gradient", self.policy_gradient)
        check_positive("clip_range", self.clip_range)
        check_positive("importance_cap", self.importance_cap)

    @property
    def needs(self) -> frozenset[str]:
        """Optional inputs it reads; see `Objective.needs`."""
        needs = baseline_needs(self.baseline)
        return needs | {"online_behavior_logprobs", "groups"} if self.policy_gradient else needs

    def check_rewards(self, rewards: np.ndarray) -> None:
        """Raises UserError for rewards that are not finite, or above 0 with cross-entropy."""
        self._link().check_rewards(rewards)

    def __call__(self, inputs: ObjectiveInputs) -> ObjectiveOutput:
        """Sums over the micro-batch of w * stop_gradient(kappa) * S, equation (3).

        The gradient is that of the loss named by `link`; the value is not, so the loss itself is
        reported as `loss/true`.
        """
        link = self._link()
        t = terminal(inputs, beta=self.beta, baseline=self.baseline, link=link)
        kappa_B = link.coefficient(t.q_B, t.rho_B)
        loss_B = t.weights_B * kappa_B * t.sums_B
        metrics = common_metrics(inputs) | q_metrics(
            inputs, t.deltas_BT, t.initial_B, beta=t.beta, success_reward=self.success_reward
        )
        if self.policy_gradient:
            added_B, added_metrics = self._policy_gradient(inputs, t)
            loss_B, metrics = loss_B + added_B, metrics | added_metrics
        weight_sum = jnp.sum(t.weights_B)
        is_real_B = t.weights_B > 0
        is_above_B = (t.q_B > -self.margin).astype(jnp.float32)
        metrics["q/above_margin"] = mean_of(is_above_B, is_real_B)
        metrics["q/coefficient_abs"] = mean_of(jnp.abs(kappa_B), is_real_B)
        metrics["loss/total"] = (jnp.sum(loss_B), weight_sum)
        metrics["loss/true"] = (jnp.sum(t.weights_B * link.loss(t.q_B, t.rho_B)), weight_sum)
        return ObjectiveOutput(jnp.sum(loss_B), weight_sum, loss_B, metrics, t.seen_B)

    def _link(self) -> Link:
        return make_link(self.link, residual_clip=self.residual_clip, margin=self.margin)

    def _policy_gradient(self, inputs: ObjectiveInputs, t: Terminal) -> tuple[jax.Array, Metrics]:
        """Equation (15): lambda / beta times the clipped loss of each online sequence, in nats.

        The advantage is the reward less the mean of the group's online members: all of them where
        the regression's own baseline includes the sequence itself, else the others.
        """
        if inputs.behavior_logprobs_BT is None:
            raise ValueError("policy_gradient > 0 needs behavior_logprobs_BT")
        mean = group_mean if self.baseline in ("group", "profiled") else leave_one_out_mean
        weights_B = jnp.where(inputs.is_online_B, t.weights_B, 0.0)
        advantage_B = t.reward_B - mean(t.reward_B, weights_B, inputs.group_B)
        mask_BT = t.mask_BT & inputs.is_online_B[:, None]
        proximal_BT = proximal_logprobs(inputs)
        ratio_BT = token_ratios(inputs.logprobs_BT, proximal_BT, mask_BT)
        stale_BT = truncated_weights(
            token_ratios(proximal_BT, inputs.behavior_logprobs_BT, mask_BT), self.importance_cap
        )
        clip = (advantage_B[:, None], self.clip_range, self.clip_range)
        losses_BT = stale_BT * clipped_surrogate(ratio_BT, *clip)
        scale = self.policy_gradient / t.beta
        loss_B = scale * weights_B * masked_sum(losses_BT, mask_BT, axis=1)
        metrics = clip_fraction(
            "policy/clip_fraction", is_clipped(ratio_BT, *clip), mask_BT, inputs.is_online_B
        )
        metrics |= moments_by_source(
            "policy/importance_weight", stale_BT, mask_BT, inputs.is_online_B[:, None]
        )
        metrics["loss/policy_gradient"] = (jnp.sum(loss_B), jnp.sum(weights_B))
        if self.link == "squared":
            effective_B = jnp.full_like(t.weights_B, 1 / (1 + self.policy_gradient)) * t.beta
            metrics["q/effective_beta"] = mean_of(effective_B, t.weights_B > 0)
        return loss_B, metrics
