"""Which keys the queries of packed rows meet, in the terms of splash attention's kernel.

Letters are defined in `layers.py`; Q = R * L queries and R * S keys lie in one flat sequence, i and
j count their blocks. The kernel takes a pair where one id of the query equals one of the key and a
static function of their indices agrees, and visits the blocks it is told to: `Pass` holds all that.
Blocks are found from the ids at run time, so other rows, other segments, pads and the future cost
no arithmetic, and queries may be any part of a row (a shard of it).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernel
from jax.experimental.pallas.ops.tpu.splash_attention.splash_attention_mask_info import MaskInfo

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


# Where the arrays of `RowIds` lie, in logical axes.
_ID = ("batch", "length")
ID_AXES = RowIds(_ID, _ID, ("batch", "key_length"), _ID, _ID)  # type: ignore[arg-type]


class Rule(NamedTuple):
    """A static part of a mask: keys at most up to the query, and fewer than `window` before it."""

    causal: bool
    window: int | None


class Pass(NamedTuple):
    """One call of the kernel: which ids must be equal, and which blocks it visits."""

    ids: kernel.SegmentIds
    by_query: MaskInfo
    by_key: MaskInfo


def row_ids(
    positions_RL: jax.Array,
    segment_ids_RL: jax.Array,
    prefix_ids_RL: jax.Array | None,
    window: int | None,
) -> RowIds:
    """Returns the ids of whole rows, each token a query and a key; see `Transformer.__call__`."""
    index = jnp.arange(segment_ids_RL.shape[1], dtype=jnp.int32)
    after_prefix = None
    if prefix_ids_RL is not None:  # no key counts twice
        prefix_ids_RL = jnp.where(prefix_ids_RL == segment_ids_RL, 0, prefix_ids_RL)
    if window is not None and prefix_ids_RL is not None:
        after_prefix = positions_RL + _prefix_offsets(positions_RL, segment_ids_RL, prefix_ids_RL)
    return RowIds(
        index_RL=jnp.broadcast_to(index[None, :], segment_ids_RL.shape),
        segments_RL=segment_ids_RL,
        key_segments_RS=segment_ids_RL,
        prefixes_RL=prefix_ids_RL,
        after_prefix_RL=after_prefix,
    )


def _prefix_offsets(
    positions_RL: jax.Array, segment_ids_RL: jax.Array, prefix_ids_RL: jax.Array
) -> jax.Array:
    """int32 [R, L]: of the prefix that each token names, its tokens' row index less position."""

    def of_row(positions_L: jax.Array, segments_L: jax.Array, prefixes_L: jax.Array) -> jax.Array:
        order = jnp.argsort(segments_L)
        first = jnp.searchsorted(segments_L[order], prefixes_L)
        index = order[jnp.minimum(first, order.size - 1)]
        return index - positions_L[index]

    return jax.vmap(of_row)(positions_RL, segment_ids_RL, prefix_ids_RL)


def make_passes(
    ids: RowIds, window: int | None, block_q: int, block_kv: int
) -> tuple[tuple[Rule, ...], tuple[Pass, ...]]:
    """Own segment, and the prefix if there are any."""
    make = functools.partial(_make_pass, ids.key_segments_RS, block_q=block_q, block_kv=block_kv)
    rule = Rule(causal=True, window=window)
    own = make(ids.segments_RL, ids.index_RL, rule)
    if ids.prefixes_RL is None:
        return (rule,), (own,)
    # A prefix stands before all that name it: `after_prefix` measures the window and only that.
    if window is None:
        return (rule, rule), (own, make(ids.prefixes_RL, ids.index_RL, rule))
    assert ids.after_prefix_RL is not None
    prefix_rule = Rule(causal=False, window=window)
    return (rule, prefix_rule), (own, make(ids.prefixes_RL, ids.after_prefix_RL, prefix_rule))


def _make_pass(
    key_ids_RS: jax.Array,
    query_ids_RL: jax.Array,
    index_RL: jax.Array,
    rule: Rule,
    *,
    block_q: int,
    block_kv: int,
) -> Pass:
    """Ids of 0 match nothing."""
    R, S = key_ids_RS.shape
    visited_Rij = _visited_blocks(key_ids_RS, query_ids_RL, index_RL, rule, block_q, block_kv)
    _, num_i, num_j = visited_Rij.shape
    rows_R = jnp.arange(R, dtype=jnp.int32)
    # The kernel's indices are those of the flat sequence; a query's is that of the same key.
    flat_index = (index_RL + S * rows_R[:, None]).reshape(-1)
    next_j = next_visited(visited_Rij, 2) + num_j * rows_R[:, None, None]
    next_i = next_visited(visited_Rij, 1) + num_i * rows_R[:, None, None]
    return Pass(
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
    rule: Rule,
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


def next_visited(visited_Rij: jax.Array, axis: int) -> jax.Array:
    """int32: the block to have at hand at each step; the last one again when no more will come.

    A step that visits nothing then copies nothing either.
    """
    size = visited_Rij.shape[axis]
    index = jax.lax.broadcasted_iota(jnp.int32, visited_Rij.shape, axis)
    to_come = jax.lax.cummin(jnp.where(visited_Rij, index, size), axis, reverse=True)
    so_far = jax.lax.cummax(jnp.where(visited_Rij, index, 0), axis)
    return jnp.where(to_come < size, to_come, so_far)


@functools.cache
def mask_function(rule: Rule) -> Callable[[jax.Array, jax.Array], jax.Array]:
    def mask(q_index: jax.Array, k_index: jax.Array) -> jax.Array:
        inside = k_index <= q_index if rule.causal else None
        if rule.window is None:
            assert inside is not None
            return inside
        near = q_index - k_index < rule.window
        return near if inside is None else inside & near

    return mask
