"""Sums and means over the tokens that count: the only division by a token count in the project.

A masked entry is replaced before it is used, so NaN or infinity there reaches neither the value nor
the gradient.
"""

import jax
import jax.numpy as jnp


def masked_sum(values: jax.Array, mask: jax.Array, axis: int | None = None) -> jax.Array:
    """Sums `values` where `mask` is True, in float32 or better.

    Args:
      values: any shape. mask: bool, the same shape. axis: to sum over, or None for all.
    """
    if values.shape != mask.shape:
        raise ValueError(f"values {values.shape} and mask {mask.shape} must have one shape")
    return jnp.sum(at_least_float32(jnp.where(mask, values, 0)), axis=axis)


def masked_mean(values: jax.Array, mask: jax.Array, axis: int | None = None) -> jax.Array:
    """Means of `values` where `mask` is True; 0 where nothing is."""
    counts = jnp.sum(mask, axis=axis)
    return masked_sum(values, mask, axis) / jnp.maximum(counts, 1)


def at_least_float32(values: jax.Array) -> jax.Array:
    """Widens bfloat16 and float16 to float32; leaves float32 and float64 alone."""
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))
