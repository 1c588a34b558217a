"""What regressions of soft Q-values share: the log-ratios of a batch and its initial values.

Source: Soft Policy Optimization, arXiv 2503.05453. Equations (n) are those of docs/objectives.md.
"""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from spo_jax.errors import UserError
from spo_jax.objectives.checks import check_choice, check_positive
from spo_jax.objectives.interface import ObjectiveInputs
from spo_jax.objectives.links import Link
from spo_jax.objectives.masked import at_least_float32
from spo_jax.objectives.schedules import Schedule, extremes, value_at
from spo_jax.objectives.soft_q import (
    Scalar,
    group_initial_value,
    log_ratios,
    profiled_initial_value,
)

Baseline = Literal["group", "leave_one_out", "profiled", "initial_value", "running"]

_NEEDS: dict[str, str] = {
    "group": "groups",
    "leave_one_out": "groups",
    "profiled": "groups",
    "initial_value": "initial_value",
    "running": "running_initial_value",
}


def baseline_needs(baseline: Baseline) -> frozenset[str]:
    """What an objective with this baseline reads of the pipeline."""
    return frozenset({"ref_logprobs", _NEEDS[baseline]})


def check_beta_and_baseline(beta: float | Schedule, baseline: Baseline) -> None:
    """Raises UserError for an unknown baseline, a beta that is not above 0, or a bad pair."""
    check_choice("baseline", baseline, get_args(Baseline))
    check_positive("beta", extremes(beta)[0])
    if baseline == "initial_value" and not isinstance(beta, int | float):
        raise UserError(
            f"baseline='initial_value' stores estimates that belong to one beta, got beta={beta}; "
            "use a number, or baseline='group' or 'running'"
        )


class Terminal(NamedTuple):
    """A micro-batch as the regression sees it; float32 or better, 0 in empty slots.

    Attributes:
      beta: of this update, in units of reward per nat.
      mask_BT: bool, chosen tokens of sequences that count.
      deltas_BT: log-ratios; the gradient flows through these and `sums_B`, their sums.
      weights_B, reward_B: as given.
      initial_B: Q_0 used, in units of reward.
      seen_B: what this batch says Q_0 is, where the baseline is a running estimate, else None.
    """

    beta: Scalar
    mask_BT: jax.Array
    deltas_BT: jax.Array
    sums_B: jax.Array
    weights_B: jax.Array
    reward_B: jax.Array
    initial_B: jax.Array
    seen_B: jax.Array | None

    @property
    def q_B(self) -> jax.Array:
        """Q_T in nats, a constant. [B]"""
        return self.initial_B / self.beta + jax.lax.stop_gradient(self.sums_B)

    @property
    def rho_B(self) -> jax.Array:
        """The reward in nats. [B]"""
        return self.reward_B / self.beta


def terminal(
    inputs: ObjectiveInputs, *, beta: float | Schedule, baseline: Baseline, link: Link
) -> Terminal:
    """Log-ratios, rewards and initial values of a micro-batch.

    Raises:
      ValueError: an array is missing that `baseline_needs` names.
    """
    if inputs.ref_logprobs_BT is None:
        raise ValueError("a regression of soft Q-values needs ref_logprobs_BT")
    beta_now = value_at(beta, inputs.step)
    is_real_B = inputs.weights_B > 0
    mask_BT = inputs.mask_BT & is_real_B[:, None]
    deltas_BT = log_ratios(inputs.logprobs_BT, inputs.ref_logprobs_BT, mask_BT)
    sums_B = jnp.sum(deltas_BT, axis=1)
    weights_B = at_least_float32(inputs.weights_B)
    reward_B = at_least_float32(jnp.where(is_real_B, inputs.reward_B, 0))
    group = (jax.lax.stop_gradient(sums_B), reward_B, weights_B, inputs.group_B)
    seen_B = None
    if baseline == "initial_value":
        initial_B = _given_value(inputs, baseline)
    elif baseline in ("group", "leave_one_out"):
        leave_one_out = baseline == "leave_one_out"
        initial_B = group_initial_value(*group, beta=beta_now, leave_one_out=leave_one_out)
    else:
        initial_B = profiled_initial_value(*group, beta=beta_now, link=link)
    if baseline == "running":
        given_B, seen_B = _given_value(inputs, baseline), initial_B
        initial_B = jnp.where(jnp.isnan(given_B), seen_B, given_B)
    return Terminal(beta_now, mask_BT, deltas_BT, sums_B, weights_B, reward_B, initial_B, seen_B)


def _given_value(inputs: ObjectiveInputs, baseline: Baseline) -> jax.Array:
    if inputs.initial_value_B is None:
        raise ValueError(f"baseline='{baseline}' needs initial_value_B")
    return at_least_float32(jnp.where(inputs.weights_B > 0, inputs.initial_value_B, 0))
