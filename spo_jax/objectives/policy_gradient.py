"""What the policy-gradient baselines share: ratios, clipping, weights, KL estimates and metrics.

Equations (Pn) are those of docs/objectives.md, section "Policy-gradient baselines".
"""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from spo_jax.errors import UserError
from spo_jax.objectives.diagnostics import moments_by_source, split_by_source
from spo_jax.objectives.interface import Metrics, ObjectiveInputs
from spo_jax.objectives.masked import at_least_float32
from spo_jax.objectives.soft_q import log_ratios

KlEstimator = Literal["k1", "k2", "k3"]

# Nats. A ratio beyond e^20 is an accident, not a weight: its square must still fit in float32.
MAX_LOG_RATIO = 20.0


class Rows(NamedTuple):
    """A micro-batch with empty slots taken out of every mask, and nothing but zeros in them.

    Attributes:
      mask_BT: bool, tokens the policy chose. lengths_B: their number, float.
      weights_B, reward_B: float32 or better.
      is_real_B, is_online_B: bool.
    """

    mask_BT: jax.Array
    lengths_B: jax.Array
    weights_B: jax.Array
    reward_B: jax.Array
    is_real_B: jax.Array
    is_online_B: jax.Array


def real_rows(inputs: ObjectiveInputs) -> Rows:
    """Widens what is narrow and replaces whatever the empty slots held."""
    is_real_B = inputs.weights_B > 0
    mask_BT = inputs.mask_BT & is_real_B[:, None]
    weights_B = at_least_float32(jnp.where(is_real_B, inputs.weights_B, 0))
    return Rows(
        mask_BT=mask_BT,
        lengths_B=jnp.sum(mask_BT, axis=1).astype(weights_B.dtype),
        weights_B=weights_B,
        reward_B=at_least_float32(jnp.where(is_real_B, inputs.reward_B, 0)),
        is_real_B=is_real_B,
        is_online_B=inputs.is_online_B,
    )


def required(array: jax.Array | None, objective: object, name: str) -> jax.Array:
    """The optional input `name`, which the pipeline supplies because `needs` asks for it."""
    if array is None:
        raise ValueError(f"{type(objective).__name__} needs {name}")
    return array


def proximal_logprobs(inputs: ObjectiveInputs) -> jax.Array:
    """Logprobs as this update began; in its first pass the present ones, as constants. [B, T]"""
    if inputs.proximal_logprobs_BT is None:
        return jax.lax.stop_gradient(inputs.logprobs_BT)
    return inputs.proximal_logprobs_BT


def token_ratios(
    logprobs_BT: jax.Array, old_logprobs_BT: jax.Array, mask_BT: jax.Array
) -> jax.Array:
    """Equation (P1): pi(a_t) / pi_old(a_t), and 1 where masked; no gradient into pi_old. [B, T]"""
    return bounded_exp(log_ratios(logprobs_BT, old_logprobs_BT, mask_BT))


def sequence_ratios(
    logprobs_BT: jax.Array,
    old_logprobs_BT: jax.Array,
    mask_BT: jax.Array,
    *,
    length_normalized: bool = False,
) -> jax.Array:
    """Equation (P2): the product of `token_ratios` over a sequence, or its geometric mean. [B]"""
    sums_B = jnp.sum(log_ratios(logprobs_BT, old_logprobs_BT, mask_BT), axis=1)
    if length_normalized:
        sums_B = sums_B / jnp.maximum(jnp.sum(mask_BT, axis=1), 1)
    return bounded_exp(sums_B)


def bounded_exp(log_ratio: jax.Array) -> jax.Array:
    """e^x for |x| up to `MAX_LOG_RATIO`, constant beyond, so that no square overflows."""
    return jnp.exp(jnp.clip(log_ratio, -MAX_LOG_RATIO, MAX_LOG_RATIO))


def clipped_surrogate(
    ratios: jax.Array, advantages: jax.Array, clip_low: float, clip_high: float
) -> jax.Array:
    """Equation (P3): -min(ratio A, clip(ratio, 1 - clip_low, 1 + clip_high) A), to be minimised.

    Its gradient at ratio 1 is -A grad log pi; it is zero where `is_clipped`.
    Source: Proximal Policy Optimization, arXiv 1707.06347; two bounds: DAPO, arXiv 2503.14476.
    """
    inside = jnp.clip(ratios, 1.0 - clip_low, 1.0 + clip_high)
    return -jnp.minimum(ratios * advantages, inside * advantages)


def is_clipped(
    ratios: jax.Array, advantages: jax.Array, clip_low: float, clip_high: float
) -> jax.Array:
    """Where `clipped_surrogate` is flat: the ratio has already moved far the way A points."""
    too_high = (advantages > 0) & (ratios > 1.0 + clip_high)
    return too_high | ((advantages < 0) & (ratios < 1.0 - clip_low))


def truncated_weights(ratios: jax.Array, cap: float) -> jax.Array:
    """Equation (P4): min(ratio, cap) as a constant; `math.inf` leaves the ratio whole.

    Source: Truncated importance sampling, Ionides, J. Comput. Graph. Stat. 17 (2008).
    """
    return jax.lax.stop_gradient(jnp.minimum(ratios, cap))


def kl_estimate(deltas: jax.Array, estimator: KlEstimator) -> jax.Array:
    """Equation (P5): per-token estimates of KL(policy || reference) from Delta of equation (1).

    k1 = Delta and k3 = e^{-Delta} - 1 + Delta have the right mean over the policy's own samples,
    k2 = Delta^2 / 2 nearly so near the reference. As a *loss* they differ: the expected gradient
    of k1 is zero, that of k2 is the gradient of KL(policy || reference), and that of k3 is the
    gradient of KL(reference || policy).

    Source: Schulman, http://joschu.net/blog/kl-approx.html.
    """
    if estimator == "k1":
        return deltas
    if estimator == "k2":
        return 0.5 * deltas**2
    bounded = jnp.clip(deltas, -MAX_LOG_RATIO, MAX_LOG_RATIO)
    return jnp.expm1(-bounded) + bounded


def kl_penalised_reward(inputs: ObjectiveInputs, rows: Rows, coefficient: float) -> jax.Array:
    """Equation (P6): reward - coefficient * S, a constant; the reward itself where that is 0. [B]

    Raises:
      ValueError: the coefficient is above 0 and there are no reference logprobs.
    """
    if coefficient == 0:
        return rows.reward_B
    if inputs.ref_logprobs_BT is None:
        raise ValueError(f"kl_coefficient={coefficient} needs ref_logprobs_BT")
    deltas_BT = log_ratios(inputs.logprobs_BT, inputs.ref_logprobs_BT, rows.mask_BT)
    sums_B = jnp.sum(kl_estimate(deltas_BT, "k1"), axis=1)
    return rows.reward_B - coefficient * jax.lax.stop_gradient(sums_B)


def behavior_metrics(logprobs_BT: jax.Array, behavior_BT: jax.Array, rows: Rows) -> Metrics:
    """How far the policy is from the one that sampled, by token and summed over sequences.

    `policy/kl_to_behavior` is the mean of log(behaviour / policy) summed over a sequence: an
    unbiased estimate of KL(behaviour || policy) whatever the samples' age, in nats.
    """
    deltas_BT = jax.lax.stop_gradient(log_ratios(logprobs_BT, behavior_BT, rows.mask_BT))
    sums_B = -jnp.sum(deltas_BT, axis=1)
    kl = split_by_source("policy/kl_to_behavior", sums_B, rows.is_real_B, rows.is_online_B)
    return kl | token_moments("policy/importance_ratio", bounded_exp(deltas_BT), rows)


def token_moments(name: str, values_BT: jax.Array, rows: Rows) -> Metrics:
    """`moments_by_source` over chosen tokens."""
    return moments_by_source(name, values_BT, rows.mask_BT, rows.is_online_B[:, None])


def row_moments(name: str, values_B: jax.Array, rows: Rows) -> Metrics:
    """`moments_by_source` over sequences."""
    return moments_by_source(name, values_B, rows.is_real_B, rows.is_online_B)


def check_limit(name: str, value: float) -> None:
    """Refuses what is not a number above 0; infinity means "no limit"."""
    if math.isnan(value) or value <= 0:
        raise UserError(f"{name} must be above 0, got {value}")


def check_share(name: str, value: float) -> None:
    """Refuses what is not a number from 0 to 1."""
    if not 0 <= value <= 1:
        raise UserError(f"{name} must be from 0 to 1, got {value}")
