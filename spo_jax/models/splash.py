"""Splash attention, JAX's Pallas kernel for TPUs, on packed rows that share prompts.

Letters are defined in `layers.py`; rows lie in one flat sequence of Q queries and as many keys.

The kernel compares one id of a query with one of a key, so a union such as "my own segment or the
one I name as prefix" takes a pass each. A softmax over a union is the passes' outputs weighted by
exp(logsumexp); its gradient is the sum of the passes' gradients, each computed with the output and
the logsumexp of the union (FlashAttention-2, arXiv 2307.08691, section 3.1). JAX's public function
takes no such output and logsumexp: the two private ones below are what it calls itself.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernel

from spo_jax.models.splash_masks import (
    ID_AXES,
    Pass,
    RowIds,
    Rule,
    make_passes,
    mask_function,
    row_ids,
)

BLOCKS = (512, 384, 256, 128)
_PADDING_LIMIT = 1.125
_MASK_VALUE = kernel.DEFAULT_MASK_VALUE
# A logsumexp below this is of masked scores only.
_NOTHING_SEEN = 0.5 * _MASK_VALUE

__all__ = ["ID_AXES", "RowIds", "row_ids", "splash_attention"]


@dataclasses.dataclass(frozen=True)
class _Settings:
    """What is static, hashable: the rule of every pass, and the kernel's own settings."""

    rules: tuple[Rule, ...]
    blocks: kernel.BlockSizes
    soft_cap: float | None
    interpret: bool


def splash_attention(
    q_RLNH: jax.Array,
    k_RSKH: jax.Array,
    v_RSKH: jax.Array,
    ids: RowIds,
    *,
    scale: float,
    soft_cap: float | None,
    window: int | None,
    interpret: bool = False,
) -> jax.Array:
    """Returns [R, L, N, H] in q's dtype; 0 for a query that may attend to nothing.

    Args:
      q_RLNH, k_RSKH, v_RSKH: N divisible by K.
      ids: with a window, the tokens of a segment stand together and their positions count by one.
      scale: multiplies q.
      soft_cap: of the scores, or None.
      window: how many positions a query sees back, itself included, or None.
      interpret: run in JAX instead of Mosaic: any platform, slowly.
    """
    length, block_q = q_RLNH.shape[1], block_size(q_RLNH.shape[1])
    block_kv = block_size(k_RSKH.shape[1])
    q_RLNH = _padded(q_RLNH * jnp.asarray(scale, q_RLNH.dtype), block_q)
    k_RSKH, v_RSKH = _padded(k_RSKH, block_kv), _padded(v_RSKH, block_kv)
    rules, passes = make_passes(_padded_ids(ids, block_q, block_kv), window, block_q, block_kv)
    settings = _Settings(rules, _block_sizes(block_q, block_kv), soft_cap, interpret)
    out_NQH = _attend(_flat(q_RLNH), _flat(k_RSKH), _flat(v_RSKH), passes, settings)
    R, L, N, H = q_RLNH.shape
    return out_NQH.reshape(N, R, L, H).transpose(1, 2, 0, 3)[:, :length]


def block_size(length: int) -> int:
    """Returns the largest block that pads a row by no more than an eighth over the least."""
    padded = {block: -(-length // block) * block for block in BLOCKS}
    least = min(padded.values())
    return next(block for block in BLOCKS if padded[block] <= _PADDING_LIMIT * least)


def _block_sizes(block_q: int, block_kv: int) -> kernel.BlockSizes:
    return kernel.BlockSizes(
        block_q=block_q,
        block_kv=block_kv,
        block_q_dkv=block_q,
        block_kv_dkv=block_kv,
        block_q_dq=block_q,
        block_kv_dq=block_kv,
    )


def _padded(x_RL: jax.Array, block: int) -> jax.Array:
    """Zeros after the end of axis 1, up to a multiple of the block."""
    missing = -x_RL.shape[1] % block
    widths = [(0, 0)] * x_RL.ndim
    widths[1] = (0, missing)
    return jnp.pad(x_RL, widths) if missing else x_RL


def _padded_ids(ids: RowIds, block_q: int, block_kv: int) -> RowIds:
    padded = jax.tree.map(lambda x: _padded(x, block_q), ids)
    return padded._replace(key_segments_RS=_padded(ids.key_segments_RS, block_kv))


def _flat(x_RLNH: jax.Array) -> jax.Array:
    """[N, R * L, H]."""
    R, L, N, H = x_RLNH.shape
    return x_RLNH.transpose(2, 0, 1, 3).reshape(N, R * L, H)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _attend(
    q_NQH: jax.Array,
    k_KSH: jax.Array,
    v_KSH: jax.Array,
    passes: tuple[Pass, ...],
    settings: _Settings,
) -> jax.Array:
    return _attend_forward(q_NQH, k_KSH, v_KSH, passes, settings)[0]


def _attend_forward(
    q_NQH: jax.Array,
    k_KSH: jax.Array,
    v_KSH: jax.Array,
    passes: tuple[Pass, ...],
    settings: _Settings,
) -> tuple[jax.Array, Any]:
    parts = []
    for one, rule in zip(passes, settings.rules, strict=True):
        out, (logsumexp,) = kernel._splash_attention_forward(
            one.by_query,
            q_NQH,
            k_KSH,
            v_KSH,
            one.ids,
            None,
            mask_value=_MASK_VALUE,
            is_mqa=False,
            block_sizes=settings.blocks,
            residual_checkpoint_name=None,
            save_residuals=True,
            mask_function=mask_function(rule),
            attn_logits_soft_cap=settings.soft_cap,
            interpret=settings.interpret,
        )
        parts.append((out, logsumexp))
    out_NQH, logsumexp_NQ = _union(parts)
    return out_NQH, (q_NQH, k_KSH, v_KSH, passes, out_NQH, logsumexp_NQ)


def _union(parts: list[tuple[jax.Array, jax.Array]]) -> tuple[jax.Array, jax.Array]:
    """Outputs [N, Q, H] and logsumexps [N, Q] of disjoint sets of keys to those of their union.

    A part that saw nothing has an arbitrary or NaN output; a query that saw nothing at all gets 0,
    and a logsumexp of 0, with which its masked scores weigh nothing in the backward pass.
    """
    seen = [logsumexp > _NOTHING_SEEN for _, logsumexp in parts]
    peak = functools.reduce(
        jnp.maximum,
        [jnp.where(s, lse, _NOTHING_SEEN) for s, (_, lse) in zip(seen, parts, strict=True)],
    )
    weights = [
        jnp.where(s, jnp.exp(lse - peak), 0.0) for s, (_, lse) in zip(seen, parts, strict=True)
    ]
    total = functools.reduce(jnp.add, weights)
    any_seen = total > 0
    total = jnp.where(any_seen, total, 1.0)
    terms = [
        (weight / total)[..., None] * jnp.where(s[..., None], out.astype(jnp.float32), 0.0)
        for s, weight, (out, _) in zip(seen, weights, parts, strict=True)
    ]
    out = functools.reduce(jnp.add, terms).astype(parts[0][0].dtype)
    return out, jnp.where(any_seen, peak + jnp.log(total), 0.0)


def _attend_backward(settings: _Settings, residuals: Any, grad_NQH: jax.Array) -> Any:
    q_NQH, k_KSH, v_KSH, passes, out_NQH, logsumexp_NQ = residuals
    grads = []
    for one, rule in zip(passes, settings.rules, strict=True):
        kept = (
            *(q_NQH, k_KSH, v_KSH, one.ids, None),
            *(out_NQH, logsumexp_NQ, one.by_query, one.by_key),
        )
        all_grads = kernel._splash_attention_bwd(
            save_residuals=False,
            mask_value=_MASK_VALUE,
            is_mqa=False,
            block_sizes=settings.blocks,
            residual_checkpoint_name=None,
            mask_function=mask_function(rule),
            attn_logits_soft_cap=settings.soft_cap,
            interpret=settings.interpret,
            res=kept,
            do=grad_NQH,
        )
        grads.append(all_grads[3:6])
    summed = [functools.reduce(jnp.add, of_one) for of_one in zip(*grads, strict=True)]
    return (*summed, None)


_attend.defvjp(_attend_forward, _attend_backward)
