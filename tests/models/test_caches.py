"""Attention over a cache is the same in every order that the cache can lie in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.models.caches import HeadsFirst, HeadsTogether
from spo_jax.models.masked_attention import attend
from spo_jax.sharding import AXIS_RULES, make_mesh, on_mesh

BATCH, LENGTH, HEADS, HEAD_DIM = 3, 12, 8, 4
RNG = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(RNG.standard_normal(shape), jnp.float32)


def attended(cache_type, num_kv_heads, num_tokens, soft_cap, writes, queries):
    """After two writes: of all positions but the last, then of one of them again."""
    cache = cache_type.empty((BATCH, LENGTH, num_kv_heads, HEAD_DIM), "float32")
    for keys, values, positions in writes:
        cache = cache.written(keys, values, positions)
    mask = jnp.arange(LENGTH)[None, None] < 7 - jnp.arange(BATCH)[:, None, None]
    mask = jnp.broadcast_to(mask, (BATCH, num_tokens, LENGTH))
    return attend(queries, cache, mask, scale=0.5, soft_cap=soft_cap)


def inputs(num_kv_heads, num_tokens):
    writes = [
        (
            normal(BATCH, count, num_kv_heads, HEAD_DIM),
            normal(BATCH, count, num_kv_heads, HEAD_DIM),
            jnp.broadcast_to(jnp.arange(first, first + count), (BATCH, count)),
        )
        for first, count in ((0, LENGTH - 1), (2, 1))
    ]
    return writes, normal(BATCH, num_tokens, HEADS, HEAD_DIM)


@pytest.mark.parametrize("num_kv_heads", [1, 2, 8])
@pytest.mark.parametrize("num_tokens", [1, 3])
@pytest.mark.parametrize("soft_cap", [None, 2.0])
def test_the_order_of_a_cache_changes_nothing(num_kv_heads, num_tokens, soft_cap):
    given = inputs(num_kv_heads, num_tokens)
    one, two = (
        attended(cache_type, num_kv_heads, num_tokens, soft_cap, *given)
        for cache_type in (HeadsFirst, HeadsTogether)
    )
    np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("num_kv_heads", "tensor"), [(2, 2), (2, 4), (4, 2), (8, 4)])
def test_a_mesh_that_splits_heads_changes_nothing(num_kv_heads, tensor):
    """`tensor` = 4 divides the heads, not the two key-value heads, which then stay whole."""
    writes, queries = inputs(num_kv_heads, 1)
    expected = attended(HeadsFirst, num_kv_heads, 1, None, writes, queries)
    whole = ("kv_heads", "activation_kv_heads") if num_kv_heads % tensor else ()
    rules = tuple((name, None if name in whole else target) for name, target in AXIS_RULES)

    @jax.jit
    def compiled(writes, queries):
        return attended(HeadsTogether, num_kv_heads, 1, None, writes, queries)

    with on_mesh(make_mesh(data=1, tensor=tensor), rules):
        split = jax.sharding.PartitionSpec(None, None, "tensor", None)
        placed = jax.device_put(queries, split)
        np.testing.assert_allclose(compiled(writes, placed), expected, rtol=1e-5, atol=1e-6)
