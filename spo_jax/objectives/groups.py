"""Means over the completions of one prompt.

Groups are given by a number in [0, B) for each sequence; empty slots have weight 0 and so never
count, whatever group they name.
"""

import jax
import jax.numpy as jnp


def group_sum(values_B: jax.Array, group_B: jax.Array) -> jax.Array:
    """For each sequence, the sum of `values_B` over its group. [B]"""
    sums_B = jax.ops.segment_sum(values_B, group_B, num_segments=values_B.shape[0])
    return sums_B[group_B]


def group_mean(values_B: jax.Array, weights_B: jax.Array, group_B: jax.Array) -> jax.Array:
    """Weighted mean over the group of each sequence; 0 in a group without weight. [B]"""
    totals_B = group_sum(weights_B, group_B)
    return group_sum(weights_B * values_B, group_B) / jnp.where(totals_B > 0, totals_B, 1.0)


def group_range(
    values_B: jax.Array, weights_B: jax.Array, group_B: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Lowest and highest value in the group of each sequence; 0 and 0 where none counts. [B]"""
    num_groups = values_B.shape[0]
    is_real_B = weights_B > 0
    lowest_B = jnp.where(is_real_B, values_B, jnp.inf)
    highest_B = jnp.where(is_real_B, values_B, -jnp.inf)
    low_B = jax.ops.segment_min(lowest_B, group_B, num_segments=num_groups)[group_B]
    high_B = jax.ops.segment_max(highest_B, group_B, num_segments=num_groups)[group_B]
    is_empty_B = low_B > high_B
    return jnp.where(is_empty_B, 0.0, low_B), jnp.where(is_empty_B, 0.0, high_B)


def leave_one_out_mean(values_B: jax.Array, weights_B: jax.Array, group_B: jax.Array) -> jax.Array:
    """Weighted mean over the *other* members of the group; its own value where it is alone. [B]"""
    counts_B = group_sum((weights_B > 0).astype(values_B.dtype), group_B)
    others_B = group_sum(weights_B, group_B) - weights_B
    sums_B = group_sum(weights_B * values_B, group_B) - weights_B * values_B
    is_alone_B = counts_B < 2
    return jnp.where(is_alone_B, values_B, sums_B / jnp.where(is_alone_B, 1.0, others_B))
