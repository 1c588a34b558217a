"""Splash attention, JAX's Pallas kernel for TPUs, on packed rows that share prompts.

Letters are defined in `layers.py`; Q = R * L queries and S' = R * S keys lie in one flat sequence,
i and j count their blocks.

The kernel compares one id of a query with one of a key, so a union such as "my own segment or the
one I name as prefix" takes a pass each. A softmax over a union is the passes' outputs weighted by
exp(logsumexp); its gradient is the sum of the passes' gradients, each computed with the output and
the logsumexp of the union (FlashAttention-2, arXiv 2307.08691, section 3.1). Which blocks a pass
visits is found from the ids at run time: blocks of other rows, other segments, pads and the future
cost no arithmetic. Rows need no loop, and queries may be any part of a row (a shard of it).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernel
from jax.experimental.pallas.ops.tpu.splash_attention.splash_attention_mask_info import MaskInfo

BLOCKS = (512, 384, 256, 128)
_PADDING_LIMIT = 1.125
_MASK_VALUE = kernel.DEFAULT_MASK_VALUE
# A logsumexp below this is of masked scores only.
_NOTHING_SEEN = 0.5 * _MASK_VALUE
_FAR = 2**30
_NO_QUERY, _NO_KEY = -1, -2


class RowIds(NamedTuple):
    """Who may attend to whom: queries are L positions of rows of S keys.

    Attributes:
      index_RL: int32, where in its row a query stands.
      segments_RL: int32, of the queries, 0 on pads.
      key_segments_RS: int32, of the keys, 0 on pads.
      prefixes_RL: int32 or None, another segment that a query may attend to; 0 for none.
      after_prefix_RL: int32 or None, where in the row a query would stand if its own segment
        followed its prefix at once; needed where both a window and prefixes are given.
    """

    index_RL: jax.Array
    segments_RL: jax.Array
    key_segments_RS: jax.Array
    prefixes_RL: jax.Array | None
    after_prefix_RL: jax.Array | None


class _Rule(NamedTuple):
    """A static part of a mask: keys at most up to the query, and fewer than `window` before it."""

    causal: bool
    window: int | None


@dataclasses.dataclass(frozen=True)
class _Settings:
    """What is static, hashable: the rule of every pass, and the kernel's own settings."""

    rules: tuple[_Rule, ...]
    blocks: kernel.BlockSizes
    soft_cap: float | None
    interpret: bool


class _Pass(NamedTuple):
    """One call of the kernel: which ids must be equal, and which blocks it visits."""

    ids: kernel.SegmentIds
    by_query: MaskInfo
    by_key: MaskInfo


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
    rules, passes = _passes(_padded_ids(ids, block_q, block_kv), window, block_q, block_kv)
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


def _passes(
    ids: RowIds, window: int | None, block_q: int, block_kv: int
) -> tuple[tuple[_Rule, ...], tuple[_Pass, ...]]:
    """Own segment, and the prefix if there are any."""
    make = functools.partial(_make_pass, ids.key_segments_RS, block_q=block_q, block_kv=block_kv)
    rule = _Rule(causal=True, window=window)
    own = make(ids.segments_RL, ids.index_RL, rule)
    if ids.prefixes_RL is None:
        return (rule,), (own,)
    # A prefix stands before all that name it: `after_prefix` measures the window and only that.
    if window is None:
        return (rule, rule), (own, make(ids.prefixes_RL, ids.index_RL, rule))
    assert ids.after_prefix_RL is not None
    prefix_rule = _Rule(causal=False, window=window)
    return (rule, prefix_rule), (own, make(ids.prefixes_RL, ids.after_prefix_RL, prefix_rule))


def _make_pass(
    key_ids_RS: jax.Array,
    query_ids_RL: jax.Array,
    index_RL: jax.Array,
    rule: _Rule,
    *,
    block_q: int,
    block_kv: int,
) -> _Pass:
    """Ids of 0 match nothing."""
    R, S = key_ids_RS.shape
    visited_Rij = _visited_blocks(key_ids_RS, query_ids_RL, index_RL, rule, block_q, block_kv)
    _, num_i, num_j = visited_Rij.shape
    rows_R = jnp.arange(R, dtype=jnp.int32)
    # The kernel's indices are those of the flat sequence; a query's is that of the same key.
    flat_index = (index_RL + S * rows_R[:, None]).reshape(-1)
    next_j = _next_visited(visited_Rij, 2) + num_j * rows_R[:, None, None]
    next_i = _next_visited(visited_Rij, 1) + num_i * rows_R[:, None, None]
    return _Pass(
        ids=kernel.SegmentIds(
            q=jnp.where(query_ids_RL > 0, query_ids_RL, _NO_QUERY).reshape(-1),
            kv=jnp.where(key_ids_RS > 0, key_ids_RS, _NO_KEY).reshape(-1),
        ),
        by_query=_mask_info(
            next_j.reshape(1, R * num_i, num_j),
            visited_Rij.reshape(1, R * num_i, num_j),
            flat_index,
        ),
        by_key=_mask_info(
            next_i.transpose(1, 0, 2).reshape(1, num_i, R * num_j),
            visited_Rij.transpose(1, 0, 2).reshape(1, num_i, R * num_j),
            flat_index,
        ),
    )


def _mask_info(data_next: jax.Array, visited: jax.Array, q_sequence: jax.Array) -> MaskInfo:
    return MaskInfo(
        data_next=data_next,  # type: ignore[arg-type]
        mask_next=None,
        block_mask=visited.astype(jnp.int32),  # type: ignore[arg-type]
        partial_mask_blocks=None,
        q_sequence=q_sequence,  # type: ignore[arg-type]
    )


def _visited_blocks(
    key_ids_RS: jax.Array,
    query_ids_RL: jax.Array,
    index_RL: jax.Array,
    rule: _Rule,
    block_q: int,
    block_kv: int,
) -> jax.Array:
    """bool [R, i, j]: False only where no query of the block may attend to any key of the other."""
    valid = query_ids_RL > 0
    first_query, last_query = _block_range(query_ids_RL, valid, block_q)
    first_key, last_key = _block_range(key_ids_RS, key_ids_RS > 0, block_kv)
    visited = first_query[:, :, None] <= last_key[:, None, :]
    visited &= first_key[:, None, :] <= last_query[:, :, None]
    first_index, last_index = _block_range(index_RL, valid, block_q)
    start_j = block_kv * jnp.arange(first_key.shape[1], dtype=jnp.int32)[None, None, :]
    if rule.causal:
        visited &= start_j <= last_index[:, :, None]
    if rule.window is not None:
        visited &= start_j + block_kv > first_index[:, :, None] - rule.window + 1
    return visited


def _block_range(x_RL: jax.Array, valid_RL: jax.Array, block: int) -> tuple[jax.Array, jax.Array]:
    """Least and greatest valid value of every block; an empty range where none is valid."""
    shape = (x_RL.shape[0], -1, block)
    least = jnp.where(valid_RL, x_RL, _FAR).reshape(shape).min(-1)
    return least, jnp.where(valid_RL, x_RL, -_FAR).reshape(shape).max(-1)


def _next_visited(visited_Rij: jax.Array, axis: int) -> jax.Array:
    """int32: the block to have at hand at each step; the last one again when no more will come.

    A step that visits nothing then copies nothing either.
    """
    size = visited_Rij.shape[axis]
    index = jax.lax.broadcasted_iota(jnp.int32, visited_Rij.shape, axis)
    to_come = jax.lax.cummin(jnp.where(visited_Rij, index, size), axis, reverse=True)
    so_far = jax.lax.cummax(jnp.where(visited_Rij, index, 0), axis)
    return jnp.where(to_come < size, to_come, so_far)


@functools.cache
def _mask_function(rule: _Rule) -> Callable[[jax.Array, jax.Array], jax.Array]:
    def mask(q_index: jax.Array, k_index: jax.Array) -> jax.Array:
        inside = k_index <= q_index if rule.causal else None
        if rule.window is None:
            assert inside is not None
            return inside
        near = q_index - k_index < rule.window
        return near if inside is None else inside & near

    return mask


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _attend(
    q_NQH: jax.Array,
    k_KSH: jax.Array,
    v_KSH: jax.Array,
    passes: tuple[_Pass, ...],
    settings: _Settings,
) -> jax.Array:
    return _attend_forward(q_NQH, k_KSH, v_KSH, passes, settings)[0]


def _attend_forward(
    q_NQH: jax.Array,
    k_KSH: jax.Array,
    v_KSH: jax.Array,
    passes: tuple[_Pass, ...],
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
            mask_function=_mask_function(rule),
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
            mask_function=_mask_function(rule),
            attn_logits_soft_cap=settings.soft_cap,
            interpret=settings.interpret,
            res=kept,
            do=grad_NQH,
        )
        grads.append(all_grads[3:6])
    summed = [functools.reduce(jnp.add, of_one) for of_one in zip(*grads, strict=True)]
    return (*summed, None)


_attend.defvjp(_attend_forward, _attend_backward)
