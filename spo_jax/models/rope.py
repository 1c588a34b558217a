"""Rotary position embeddings: default, linear, llama3 and yarn frequencies.

Sources: arXiv 2104.09864 (RoPE), 2306.15595 (linear), 2309.00071 (YaRN) and the Llama 3.1
reference code; keys and defaults are those of Hugging Face configurations.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from spo_jax.models.config import Rope


def inverse_frequencies(rope: Rope, head_dim: int) -> np.ndarray:
    """Returns float32 [H / 2], radians per position."""
    plain = rope.theta ** -(np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    if rope.rope_type == "linear":
        plain = plain / rope.factor
    elif rope.rope_type == "llama3":
        plain = _llama3(plain, rope)
    elif rope.rope_type == "yarn":
        plain = _yarn(plain, rope, head_dim)
    return plain.astype(np.float32)


def _llama3(plain: np.ndarray, rope: Rope) -> np.ndarray:
    """Slow dimensions are slowed by `factor`, fast ones kept, those between interpolated."""
    turns = rope.original_max_position * plain / (2 * math.pi)
    keep = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    keep = np.clip(keep, 0.0, 1.0)
    return keep * plain + (1 - keep) * plain / rope.factor


def _yarn(plain: np.ndarray, rope: Rope, head_dim: int) -> np.ndarray:
    """As `_llama3`, with a ramp that is linear in the index of the dimension."""

    def dimension(rotations: float) -> float:
        context = rope.original_max_position / (rotations * 2 * math.pi)
        return head_dim * math.log(context) / (2 * math.log(rope.theta))

    low, high = dimension(rope.beta_fast), dimension(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    width = high - low if high != low else 0.001
    slow = np.clip((np.arange(head_dim // 2) - low) / width, 0.0, 1.0)
    return slow * plain / rope.factor + (1 - slow) * plain


def rope_angles(rope: Rope, head_dim: int, positions_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns cos and sin, float32 [B, T, H / 2]."""
    frequencies = jnp.asarray(inverse_frequencies(rope, head_dim))
    angles = positions_BT[..., None].astype(jnp.float32) * frequencies[None, None, :]
    return jnp.cos(angles) * rope.attention_factor, jnp.sin(angles) * rope.attention_factor


def rotate(x_BTNH: jax.Array, angles: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Rotates the pairs (i, i + H / 2) in float32; returns the input's dtype."""
    cos, sin = angles[0][:, :, None, :], angles[1][:, :, None, :]
    first, second = jnp.split(x_BTNH.astype(jnp.float32), 2, axis=-1)
    rotated = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return rotated.astype(x_BTNH.dtype)
