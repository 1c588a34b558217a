"""The three device programs of the sampler: prefill, insert, generate.

Letters: B slots, P prompts of one prefill, W padded prompt tokens, T steps of one generate call,
I insertions of one insert call (padded to B).

The first new token of a sample is drawn by `generate` too: a slot starts at the last prompt
token, whose key and value are written once more. So one program does all drawing, and prefill
needs no logits.
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from spo_jax.models.caches import Cache, CacheType, LayerCache
from spo_jax.models.transformer import Params, Transformer, init_cache
from spo_jax.sampling.draw import DrawSettings, draw_tokens

# Seeds are 64 bits wide whatever `jax_enable_x64` and `jax_default_prng_impl` say.
_PRNG = "threefry2x32"


class Slots(NamedTuple):
    """Everything about the sequences being generated; one slot each, [B].

    Attributes:
      cache: keys and values, batch axis 0 in every leaf.
      token_B: int32, the newest token, not yet in the cache. position_B: int32, its position.
      drawn_B: int32, tokens drawn so far. limit_B: int32, tokens to draw at most.
      seed_B2: uint32, the high and the low word.
      settings: how to draw.
      active_B: bool; the others compute along and are ignored.
    """

    cache: Cache
    token_B: jax.Array
    position_B: jax.Array
    drawn_B: jax.Array
    limit_B: jax.Array
    seed_B2: jax.Array
    settings: DrawSettings
    active_B: jax.Array


class Insertions(NamedTuple):
    """Samples to start. Fields are [I]; entries from `count` on are ignored.

    Attributes:
      count: int32 scalar.
      slot_I: int32, where to. prompt_I: int32, row of the prefilled cache.
      token_I, position_I: int32, the last prompt token. limit_I: int32.
      seed_I2: uint32. settings: how to draw.
    """

    count: Any
    slot_I: Any
    prompt_I: Any
    token_I: Any
    position_I: Any
    limit_I: Any
    seed_I2: Any
    settings: DrawSettings


class Generated(NamedTuple):
    """What one generate call made; numpy arrays once fetched to the host.

    A slot that was active at the start has `count_B` new tokens.

    Attributes:
      tokens_BT: int32. logprobs_BT: float32, behaviour log-probabilities.
      count_B: int32. stopped_B: bool, the last token is an end token.
      active_B: bool, still going.
    """

    tokens_BT: Any
    logprobs_BT: Any
    count_B: Any
    stopped_B: Any
    active_B: Any


def empty_slots(
    model: Transformer, num_slots: int, length: int, cache_dtype: str, cache_type: CacheType
) -> Slots:
    """Returns idle slots with room for `length` tokens each, prompt included."""

    def zeros() -> jax.Array:  # not one shared array: each is donated
        return jnp.zeros(num_slots, jnp.int32)

    settings = DrawSettings(jnp.ones(num_slots), jnp.ones(num_slots), zeros())
    return Slots(
        cache=init_cache(model.config, num_slots, length, cache_dtype, cache_type),
        token_B=zeros(),
        position_B=zeros(),
        drawn_B=zeros(),
        limit_B=zeros(),
        seed_B2=jnp.zeros((num_slots, 2), jnp.uint32),
        settings=settings,
        active_B=jnp.zeros(num_slots, bool),
    )


@functools.partial(jax.jit, static_argnames=("model", "chunk", "cache_dtype", "cache_type"))
def prefill(
    params: Params,
    tokens_PW: jax.Array,
    num_tokens: jax.Array,
    *,
    model: Transformer,
    chunk: int,
    cache_dtype: str,
    cache_type: CacheType,
) -> Cache:
    """Returns the prompts' keys and values for positions below `num_tokens` (and some pads).

    Args:
      params: of the model.
      tokens_PW: int32, padded on the right; W must be divisible by `chunk`.
      num_tokens: int32 scalar, at least the longest prompt; only its chunks are computed.
      model, chunk, cache_dtype, cache_type: static.
    """
    P, W = tokens_PW.shape
    if W % chunk:
        raise ValueError(f"padded prompt length {W} must be divisible by chunk={chunk}")

    def step(state: tuple[jax.Array, Cache]) -> tuple[jax.Array, Cache]:
        start, cache = state
        chunk_PC = jax.lax.dynamic_slice_in_dim(tokens_PW, start, chunk, axis=1)
        positions_PC = jnp.broadcast_to((start + jnp.arange(chunk))[None], (P, chunk))
        _, cache = _decode(model, params, chunk_PC, positions_PC, cache)
        return start + chunk, _split(cache)

    start = (jnp.int32(0), _split(init_cache(model.config, P, W, cache_dtype, cache_type)))
    return jax.lax.while_loop(lambda state: state[0] < num_tokens, step, start)[1]


@functools.partial(jax.jit, donate_argnames=("slots",))
def insert(slots: Slots, prompts: Cache, insertions: Insertions) -> Slots:
    """Starts samples: copies their prompts' cache rows into slots and sets the slots' fields."""
    B = slots.active_B.shape[0]
    entries = jnp.arange(insertions.slot_I.shape[0])
    # Ignored entries point past the end and are dropped.
    slot_I = jnp.where(entries < insertions.count, insertions.slot_I, B)

    def copy_row(i: jax.Array, cache: Cache) -> Cache:
        def copy(to: jax.Array, source: jax.Array) -> jax.Array:
            row = jax.lax.dynamic_index_in_dim(source, insertions.prompt_I[i], 0)
            begin = (insertions.slot_I[i],) + (0,) * (to.ndim - 1)
            return jax.lax.dynamic_update_slice(to, row, begin)

        return jax.tree.map(copy, cache, prompts)

    def put(to: jax.Array, value: jax.Array) -> jax.Array:
        return to.at[slot_I].set(value, mode="drop")

    return Slots(
        cache=_split(jax.lax.fori_loop(0, insertions.count, copy_row, slots.cache)),
        token_B=put(slots.token_B, insertions.token_I),
        position_B=put(slots.position_B, insertions.position_I),
        drawn_B=put(slots.drawn_B, jnp.zeros_like(insertions.limit_I)),
        limit_B=put(slots.limit_B, insertions.limit_I),
        seed_B2=put(slots.seed_B2, insertions.seed_I2),
        settings=jax.tree.map(put, slots.settings, insertions.settings),
        active_B=put(slots.active_B, jnp.ones(insertions.slot_I.shape, bool)),
    )


@functools.partial(
    jax.jit, static_argnames=("model", "eos_ids", "num_steps"), donate_argnames=("slots",)
)
def generate(
    params: Params,
    slots: Slots,
    enough_idle: jax.Array,
    *,
    model: Transformer,
    eos_ids: tuple[int, ...],
    num_steps: int,
) -> tuple[Slots, Generated]:
    """Draws up to `num_steps` tokens for every active slot.

    Stops early when no slot is active, or `enough_idle` slots are not: then the host had better
    refill them. (Pass B to go on until all are idle.)

    Args:
      params: of the model.
      slots: donated.
      enough_idle: int32 scalar, at least 1.
      model, eos_ids, num_steps: static.
    """
    B = slots.active_B.shape[0]
    tokens_BT = jnp.zeros((B, num_steps), jnp.int32)
    nothing = Generated(
        tokens_BT=tokens_BT,
        logprobs_BT=jnp.zeros((B, num_steps)),
        count_B=jnp.zeros(B, jnp.int32),
        stopped_B=jnp.zeros(B, bool),
        active_B=slots.active_B,
    )

    def unfinished(state: tuple[jax.Array, Slots, Generated]) -> jax.Array:
        step, slots, _ = state
        num_idle = B - slots.active_B.sum()
        return (step < num_steps) & (num_idle < jnp.minimum(enough_idle, B))

    def advance(
        state: tuple[jax.Array, Slots, Generated],
    ) -> tuple[jax.Array, Slots, Generated]:
        step, slots, made = state
        was_active_B = slots.active_B
        slots, logprob_B, stopped_B = _draw_next(params, slots, model, eos_ids)
        made = Generated(
            tokens_BT=made.tokens_BT.at[:, step].set(slots.token_B),
            logprobs_BT=made.logprobs_BT.at[:, step].set(logprob_B),
            count_B=made.count_B + was_active_B,
            stopped_B=made.stopped_B | (was_active_B & stopped_B),
            active_B=slots.active_B,
        )
        return step + 1, slots, made

    _, slots, made = jax.lax.while_loop(unfinished, advance, (jnp.int32(0), slots, nothing))
    return slots, made


def _draw_next(
    params: Params, slots: Slots, model: Transformer, eos_ids: tuple[int, ...]
) -> tuple[Slots, jax.Array, jax.Array]:
    """One model step and one draw; returns the slots, the draws' log-probabilities and 'stopped'.

    The noise of a draw depends on the sample's seed and the token's index alone, so a sample does
    not depend on its slot, its neighbours or when it was started.
    """
    hidden_B1D, cache = _decode(
        model, params, slots.token_B[:, None], slots.position_B[:, None], slots.cache
    )
    logits_BV: Any = model.apply({"params": params}, hidden_B1D[:, 0], method=model.logits)
    # Computed where the vocabulary lies; each slot's draw is then made in one place, so that a mesh
    # adds the same numbers in one order.
    for vocab in ("activation_vocab", None):
        logits_BV = nn.with_logical_constraint(logits_BV, ("batch", vocab))
    uniforms_B2 = jax.vmap(_uniforms)(slots.seed_B2, slots.drawn_B)
    token_B, logprob_B = draw_tokens(logits_BV, uniforms_B2, slots.settings)
    is_end_B = (token_B[:, None] == jnp.asarray(eos_ids, jnp.int32)[None]).any(axis=-1)
    active_B = slots.active_B
    drawn_B = slots.drawn_B + active_B
    return (
        slots._replace(
            cache=_split(cache),
            token_B=jnp.where(active_B, token_B, slots.token_B),
            position_B=slots.position_B + active_B,
            drawn_B=drawn_B,
            active_B=active_B & ~is_end_B & (drawn_B < slots.limit_B),
        ),
        logprob_B,
        is_end_B,
    )


def _decode(
    model: Transformer, params: Params, tokens_BT: jax.Array, positions_BT: jax.Array, cache: Cache
) -> tuple[jax.Array, Cache]:
    result: Any = model.apply(
        {"params": params}, tokens_BT, positions_BT, cache, method=model.decode
    )
    return result


def _split(cache: Cache) -> Cache:
    """Keeps a cache where `cache_shardings` puts it; nothing without a mesh."""

    def split(layer: LayerCache) -> LayerCache:
        axes = layer.axes("activation_kv_heads")
        return jax.tree.map(lambda x: nn.with_logical_constraint(x, axes), layer)

    return tuple(map(split, cache))


def _uniforms(seed_2: jax.Array, index: jax.Array) -> jax.Array:
    key = jax.random.wrap_key_data(seed_2, impl=_PRNG)
    return jax.random.uniform(jax.random.fold_in(key, index), (2,))
