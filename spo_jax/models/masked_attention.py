"""Attention under a mask that says for every query and key whether they meet.

Letters are defined in `layers.py`.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from spo_jax.models.caches import HeadsTogether, LayerCache
from spo_jax.sharding import num_parts

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
    cache: LayerCache,
    mask_BTS: jax.Array,
    *,
    scale: float,
    soft_cap: float | None,
) -> jax.Array:
    """Grouped-query attention with a float32 softmax; returns [B, T, N, H] in q's dtype.

    A query that may attend to nothing averages all values: meaningless but finite.
    """
    q_BTNH = q_BTNH * jnp.asarray(scale, q_BTNH.dtype)
    if isinstance(cache, HeadsTogether) and q_BTNH.shape[1] == 1:
        return _attend_together(q_BTNH, cache, mask_BTS, soft_cap)
    B, T, N, H = q_BTNH.shape
    keys_BKHS, values_BKSH = cache.heads_first(H)
    K = keys_BKHS.shape[1]
    # Queries of one key-value head lie together, so both products are plain batched matmuls.
    q_BKMH = q_BTNH.reshape(B, T, K, N // K, H).transpose(0, 2, 1, 3, 4).reshape(B, K, -1, H)
    scores = jnp.einsum(
        "bkmh,bkhs->bkms",
        q_BKMH,
        keys_BKHS.astype(q_BKMH.dtype),
        preferred_element_type=jnp.float32,
    ).reshape(B, K, T, N // K, -1)
    weights = _weights(scores, mask_BTS[:, None, :, None, :], soft_cap)
    weights = weights.astype(q_BTNH.dtype).reshape(B, K, T * (N // K), -1)
    out = jnp.einsum("bkms,bksh->bkmh", weights, values_BKSH.astype(q_BTNH.dtype))
    return out.reshape(B, K, T, N // K, H).transpose(0, 2, 1, 3, 4).reshape(B, T, N, H)


def _attend_together(
    q_B1NH: jax.Array, cache: HeadsTogether, mask_B1S: jax.Array, soft_cap: float | None
) -> jax.Array:
    """Of one token of each sequence, without taking the heads of its keys and values apart.

    A query meets the keys of all heads on its device, zeros in the place of others' (and its
    output is cut out of as many): more operations, but a decoding step waits for memory.
    """
    B, _, N, H = q_B1NH.shape
    P = num_parts("activation_kv_heads")  # C below: what one part has of keys and values
    keys_BSPC, values_BSPC = (x.astype(q_B1NH.dtype).reshape(B, cache.length, P, -1) for x in cache)
    K = keys_BSPC.shape[-1] // H
    own_KK = jnp.eye(K, dtype=q_B1NH.dtype)
    q_BPKGH = q_B1NH.reshape(B, P, K, -1, H)
    q_BPMC = jnp.einsum("bpkgh,kj->bpkgjh", q_BPKGH, own_KK).reshape(B, P, N // P, K * H)
    scores_BPMS = jnp.einsum(
        "bpmc,bspc->bpms", q_BPMC, keys_BSPC, preferred_element_type=jnp.float32
    )
    weights_BPMS = _weights(scores_BPMS, mask_B1S[:, None], soft_cap).astype(q_B1NH.dtype)
    out_BPMC = jnp.einsum("bpms,bspc->bpmc", weights_BPMS, values_BSPC)
    out_BPKGJH = out_BPMC.reshape(B, P, K, -1, K, H)
    return jnp.einsum("bpkgjh,kj->bpkgh", out_BPKGJH, own_KK).reshape(B, 1, N, H)


def _weights(scores: jax.Array, mask: jax.Array, soft_cap: float | None) -> jax.Array:
    """Softmax over the last axis of float32 scores, where the mask allows it."""
    if soft_cap is not None:
        scores = soft_cap * jnp.tanh(scores / soft_cap)
    return jax.nn.softmax(jnp.where(mask, scores, _MASKED), axis=-1)


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
