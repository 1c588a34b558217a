"""Plain policy gradient over whole answers: REINFORCE with a choice of baseline, and RLOO.

Source: Williams, Machine Learning 8 (1992); RLOO: arXiv 2402.14740. Equations (Pn) are those of
docs/objectives.md.
"""

import dataclasses
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from spo_jax.objectives.advantages import group_advantages
from spo_jax.objectives.checks import check_choice, check_finite_rewards, check_not_negative
from spo_jax.objectives.diagnostics import common_metrics, split_by_source
from spo_jax.objectives.groups import group_mean
from spo_jax.objectives.interface import Metrics, ObjectiveInputs, ObjectiveOutput
from spo_jax.objectives.masked import at_least_float32, masked_sum
from spo_jax.objectives.policy_gradient import (
    Rows,
    behavior_metrics,
    check_limit,
    kl_penalised_reward,
    real_rows,
    required,
    row_moments,
    sequence_ratios,
    truncated_weights,
)

Baseline = Literal["none", "group", "running"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RLOO:
    """REINFORCE whose baseline is the mean over the *other* completions of the prompt.

    Attributes:
      kl_coefficient: of S, the summed log-ratio to the reference, taken from the reward; in units
        of reward per nat. With it the objective is the KL-regularised one that SPO solves.
      importance_cap: largest weight pi/behaviour of a sequence, `math.inf` for no limit, or None to
        take every row for a fresh sample: biased on stale and on written ones.
    """

    kl_coefficient: float = 0.0
    importance_cap: float | None = None

    def __post_init__(self):
        _check_coefficients(self)

    @property
    def needs(self) -> frozenset[str]:
        """Optional inputs it reads; see `Objective.needs`."""
        return _common_needs(self) | {"groups"}

    def check_rewards(self, rewards: np.ndarray) -> None:
        """Raises UserError for NaN and infinite rewards."""
        check_finite_rewards(rewards)

    def __call__(self, inputs: ObjectiveInputs) -> ObjectiveOutput:
        """Equation (P13) with the leave-one-out advantage of (P8); sums over the micro-batch.

        Raises:
          ValueError: an array that `needs` names is missing.
        """
        rows = real_rows(inputs)
        score_B = kl_penalised_reward(inputs, rows, self.kl_coefficient)
        advantages_B = group_advantages(score_B, rows.weights_B, inputs.group_B, leave_one_out=True)
        return _policy_gradient(self, inputs, rows, advantages_B)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reinforce:
    """The plain policy gradient of the expected reward of a sequence.

    Attributes:
      baseline: what is taken from the reward: 'none', the mean of the 'group' (its own member
        included: the gradient is (n - 1) / n of RLOO's), or a 'running' mean of the prompt, kept
        between batches; the group's mean while there is none.
      importance_cap: as in `RLOO`.
      kl_coefficient: as in `RLOO`.
    """

    baseline: Baseline = "group"
    importance_cap: float | None = None
    kl_coefficient: float = 0.0

    def __post_init__(self):
        check_choice("baseline", self.baseline, get_args(Baseline))
        _check_coefficients(self)

    @property
    def needs(self) -> frozenset[str]:
        """Optional inputs it reads; see `Objective.needs`."""
        names = {"none": (), "group": ("groups",), "running": ("running_initial_value",)}
        return _common_needs(self) | frozenset(names[self.baseline])

    def check_rewards(self, rewards: np.ndarray) -> None:
        """Raises UserError for NaN and infinite rewards."""
        check_finite_rewards(rewards)

    def __call__(self, inputs: ObjectiveInputs) -> ObjectiveOutput:
        """Equation (P13), as sums over the micro-batch.

        With baseline='running' the output reports the group's mean of reward - kl_coefficient * S
        as `initial_value_B`.

        Raises:
          ValueError: an array that `needs` names is missing.
        """
        rows = real_rows(inputs)
        score_B = kl_penalised_reward(inputs, rows, self.kl_coefficient)
        if self.baseline == "running":
            mean_B = group_mean(score_B, rows.weights_B, inputs.group_B)
            expected_B = self._running_mean(inputs, rows, mean_B)
            output = _policy_gradient(self, inputs, rows, score_B - expected_B)
            return output._replace(initial_value_B=mean_B)
        if self.baseline == "group":
            score_B = group_advantages(score_B, rows.weights_B, inputs.group_B)
        return _policy_gradient(self, inputs, rows, score_B)

    def _running_mean(self, inputs: ObjectiveInputs, rows: Rows, mean_B: jax.Array) -> jax.Array:
        known_B = at_least_float32(required(inputs.initial_value_B, self, "initial_value_B"))
        return jnp.where(rows.is_real_B & ~jnp.isnan(known_B), known_B, mean_B)


def _policy_gradient(
    objective: RLOO | Reinforce, inputs: ObjectiveInputs, rows: Rows, advantages_B: jax.Array
) -> ObjectiveOutput:
    """Equation (P13): -w * A * sum_t log pi(a_t), with A times the weight of (P4) where asked for.

    Only the gradient of this surrogate means something, not its value.
    """
    metrics = common_metrics(inputs) | row_moments("policy/advantage", advantages_B, rows)
    if objective.importance_cap is not None:
        behavior_BT = required(inputs.behavior_logprobs_BT, objective, "behavior_logprobs_BT")
        ratios_B = sequence_ratios(inputs.logprobs_BT, behavior_BT, rows.mask_BT)
        importance_B = truncated_weights(ratios_B, objective.importance_cap)
        advantages_B = importance_B * advantages_B
        metrics |= behavior_metrics(inputs.logprobs_BT, behavior_BT, rows)
        metrics |= _weight_metrics(importance_B, ratios_B, objective.importance_cap, rows)
    sums_B = masked_sum(inputs.logprobs_BT, rows.mask_BT, axis=1)
    loss_B = -rows.weights_B * jax.lax.stop_gradient(advantages_B) * sums_B
    weight_sum = jnp.sum(rows.weights_B)
    metrics["loss/total"] = (jnp.sum(loss_B), weight_sum)
    metrics["loss/policy"] = metrics["loss/total"]
    return ObjectiveOutput(jnp.sum(loss_B), weight_sum, loss_B, metrics)


def _weight_metrics(
    importance_B: jax.Array, ratios_B: jax.Array, cap: float, rows: Rows
) -> Metrics:
    is_truncated_B = (jax.lax.stop_gradient(ratios_B) > cap).astype(jnp.float32)
    truncated = split_by_source(
        "policy/truncated_fraction", is_truncated_B, rows.is_real_B, rows.is_online_B
    )
    return truncated | row_moments("policy/importance_weight", importance_B, rows)


def _common_needs(objective: RLOO | Reinforce) -> frozenset[str]:
    needed = set()
    if objective.kl_coefficient > 0:
        needed.add("ref_logprobs")
    if objective.importance_cap is not None:
        needed.add("behavior_logprobs")
    return frozenset(needed)


def _check_coefficients(objective: RLOO | Reinforce) -> None:
    check_not_negative("kl_coefficient", objective.kl_coefficient)
    if objective.importance_cap is not None:
        check_limit("importance_cap", objective.importance_cap)
