"""Attention under a mask that says for every query and key whether they meet.

Letters are defined in `layers.py`.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from spo_jax.models.caches import HeadsFirst

_MASKED = -1e30


def row_mask(
    positions_RL: jax.Array,
    segment_ids_RL: jax.Array,
    prefix_ids_RL: jax.Array | None,
    window: int | None,
) -> jax.Array:
    """Returns bool [R, L, L]: token t (axis 1) may attend to token s (axis 2).

    It may when s is not after t in the row, s belongs to t's segment or to the segment t names
    as its prefix, s is no pad (segment 0), and s is within the window measured by positions.
    """
    index = jnp.arange(segment_ids_RL.shape[1])
    query, key = segment_ids_RL[:, :, None], segment_ids_RL[:, None, :]
    same = query == key
    if prefix_ids_RL is not None:
        same |= prefix_ids_RL[:, :, None] == key
    mask = same & (key > 0) & (index[:, None] >= index[None, :])[None]
    if window is not None:
        mask &= positions_RL[:, :, None] - positions_RL[:, None, :] < window
    return mask


def attend(
    q_BTNH: jax.Array,
    cache: HeadsFirst,
    mask_BTS: jax.Array,
    *,
    scale: float,
    soft_cap: float | None,
) -> jax.Array:
    """Grouped-query attention with a float32 softmax; returns [B, T, N, H] in q's dtype.

    A query that may attend to nothing averages all values: meaningless but finite.
    """
    B, T, N, H = q_BTNH.shape
    K = cache.keys.shape[1]
    # Queries of one key-value head lie together, so both products are plain batched matmuls.
    q_BKMH = q_BTNH.reshape(B, T, K, N // K, H).transpose(0, 2, 1, 3, 4).reshape(B, K, -1, H)
    scores = jnp.einsum(
        "bkmh,bkhs->bkms",
        q_BKMH * jnp.asarray(scale, q_BKMH.dtype),
        cache.keys.astype(q_BKMH.dtype),
        preferred_element_type=jnp.float32,
    )
    if soft_cap is not None:
        scores = soft_cap * jnp.tanh(scores / soft_cap)
    scores = scores.reshape(B, K, T, N // K, -1)
    scores = jnp.where(mask_BTS[:, None, :, None, :], scores, _MASKED)
    weights = jax.nn.softmax(scores, axis=-1).astype(q_BTNH.dtype).reshape(B, K, T * (N // K), -1)
    out = jnp.einsum("bkms,bksh->bkmh", weights, cache.values.astype(q_BTNH.dtype))
    return out.reshape(B, K, T, N // K, H).transpose(0, 2, 1, 3, 4).reshape(B, T, N, H)


def cudnn_attention(
    q_RLNH: jax.Array,
    k_RSKH: jax.Array,
    v_RSKH: jax.Array,
    mask_RLS: jax.Array,
    *,
    scale: float,
    implementation: Literal["cudnn", "xla"] = "cudnn",
) -> jax.Array:
    """Returns [R, L, N, H]. The mask becomes a bias without heads, [R, 1, L, S] in q's dtype."""
    whole = q_RLNH.shape[1] == k_RSKH.shape[1]
    return jax.nn.dot_product_attention(
        q_RLNH,
        k_RSKH,
        v_RSKH,
        mask=mask_RLS[:, None],
        scale=scale,
        is_causal=whole,  # already in the mask; lets cuDNN leave out the future
        implementation=implementation,
    )
