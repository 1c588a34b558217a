"""Metrics that every objective reports, as (numerator, denominator) pairs that add up.

All `q/` metrics are in units of reward, all `policy/` metrics in nats.
"""

import jax
import jax.numpy as jnp

from spo_jax.objectives.interface import Metrics, ObjectiveInputs
from spo_jax.objectives.masked import masked_sum
from spo_jax.objectives.soft_q import log_ratios


def mean_of(values_B: jax.Array, select_B: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The pair whose quotient is the mean of `values_B` where `select_B`."""
    return masked_sum(values_B, select_B), jnp.sum(select_B).astype(jnp.float32)


def split_by_source(
    name: str, values_B: jax.Array, select_B: jax.Array, is_online_B: jax.Array
) -> Metrics:
    """`name` over all selected sequences, and `name`_online and `name`_offline."""
    return {
        name: mean_of(values_B, select_B),
        f"{name}_online": mean_of(values_B, select_B & is_online_B),
        f"{name}_offline": mean_of(values_B, select_B & ~is_online_B),
    }


def common_metrics(inputs: ObjectiveInputs) -> Metrics:
    """Rewards, lengths, entropy and, where a reference is given, log-ratios."""
    is_real_B = inputs.weights_B > 0
    is_online_B = inputs.is_online_B
    mask_BT = inputs.mask_BT & is_real_B[:, None]
    lengths_B = jnp.sum(mask_BT, axis=1).astype(jnp.float32)
    entropy_B = masked_sum(jax.lax.stop_gradient(inputs.entropy_BT), mask_BT, axis=1)
    metrics: Metrics = {
        "reward/mean": mean_of(inputs.reward_B, is_real_B),
        "reward/online_mean": mean_of(inputs.reward_B, is_real_B & is_online_B),
        "reward/offline_mean": mean_of(inputs.reward_B, is_real_B & ~is_online_B),
        "data/offline_fraction": mean_of((~is_online_B).astype(jnp.float32), is_real_B),
        "policy/entropy": (jnp.sum(entropy_B), jnp.sum(lengths_B)),
    }
    for source, select_B in (("online", is_online_B), ("offline", ~is_online_B)):
        metrics[f"policy/entropy_{source}"] = (
            masked_sum(entropy_B, select_B),
            masked_sum(lengths_B, select_B),
        )
    metrics |= split_by_source("data/completion_tokens", lengths_B, is_real_B, is_online_B)
    if inputs.ref_logprobs_BT is not None:
        metrics |= _reference_metrics(inputs, inputs.ref_logprobs_BT, mask_BT)
    return metrics


def _reference_metrics(
    inputs: ObjectiveInputs, ref_logprobs_BT: jax.Array, mask_BT: jax.Array
) -> Metrics:
    """Sums of log-ratios; over fresh samples their mean estimates KL(policy || reference)."""
    deltas_BT = log_ratios(inputs.logprobs_BT, ref_logprobs_BT, mask_BT)
    sums_B = jax.lax.stop_gradient(jnp.sum(deltas_BT, axis=1))
    is_real_B = inputs.weights_B > 0
    return {
        "policy/kl_to_reference": mean_of(sums_B, is_real_B & inputs.is_online_B),
        "policy/log_ratio_offline": mean_of(sums_B, is_real_B & ~inputs.is_online_B),
        "policy/log_ratio_abs": mean_of(jnp.abs(sums_B), is_real_B),
    }
