"""Draws one token per slot from logits: temperature, top-k, top-p, greedy.

Letters: B slots, V vocabulary, M blocks of the vocabulary, E entries of a block.

Nothing here sorts the vocabulary or makes noise for every entry: a token is drawn by inverting
the cumulative distribution (first of blocks, then within one), and truncation finds the smallest
kept weight by bisection. Both cost a few passes over the logits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

# Weights are relative to the heaviest entry's; below this one an entry is never drawn.
_LIGHTEST = 1e-30

# low, high, measure(low), measure(high)
_Bounds = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


class DrawSettings(NamedTuple):
    """How to draw, per slot; numpy arrays on the host, jax arrays on the device.

    Top-k is applied before top-p; tokens tied with the last kept one are kept.

    Attributes:
      temperature_B: float32, 0 is greedy.
      top_p_B: float32, 1 is off. top_k_B: int32, 0 is off.
    """

    temperature_B: Any
    top_p_B: Any
    top_k_B: Any


def draw_tokens(
    logits_BV: jax.Array, uniforms_B2: jax.Array, settings: DrawSettings
) -> tuple[jax.Array, jax.Array]:
    """Draws a token per slot.

    Args:
      logits_BV: float32, of the model at temperature 1.
      uniforms_B2: float32 in [0, 1), independent of each other and of the logits.
      settings: per slot.

    Returns:
      Tokens, int32 [B], and their log-probabilities under the distribution really drawn from,
      float32 [B]; greedy slots draw from a point mass, whose log-probability is 0.
    """
    greedy_B = settings.temperature_B == 0
    inverse_B = 1 / jnp.where(greedy_B, 1.0, settings.temperature_B)
    highest_B = logits_BV.max(axis=-1)
    # Unnormalised probabilities, at most 1, so that their sums stay finite.
    weights_BV = jnp.exp((logits_BV - highest_B[:, None]) * inverse_B[:, None])
    # Work that no slot asks for is skipped: a pass over the logits is not free.
    tokens_B, logprobs_B = jax.lax.cond(
        (settings.top_p_B < 1).any() | (settings.top_k_B > 0).any(),
        lambda: _draw_by_weight(_truncate(weights_BV, settings), uniforms_B2),
        lambda: _draw_by_weight(weights_BV, uniforms_B2),
    )
    return jax.lax.cond(
        greedy_B.any(),
        lambda: (
            jnp.where(greedy_B, _first_index_of(logits_BV, highest_B), tokens_B),
            jnp.where(greedy_B, 0.0, logprobs_B),
        ),
        lambda: (tokens_B, logprobs_B),
    )


def _draw_by_weight(weights_BV: jax.Array, uniforms_B2: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Draws a block by its mass, then an entry of the block by its weight."""
    weights_BME = _in_blocks(weights_BV)
    mass_BM = weights_BME.sum(axis=-1)
    block_B = _invert(mass_BM, uniforms_B2[:, 0])
    weights_BE = jnp.take_along_axis(weights_BME, block_B[:, None, None], axis=1)[:, 0]
    entry_B = _invert(weights_BE, uniforms_B2[:, 1])
    chosen_B = jnp.take_along_axis(weights_BE, entry_B[:, None], axis=1)[:, 0]
    logprobs_B = jnp.log(chosen_B) - jnp.log(mass_BM.sum(axis=-1))
    return block_B * weights_BME.shape[-1] + entry_B, logprobs_B


def _in_blocks(weights_BV: jax.Array) -> jax.Array:
    """Reshapes to [B, M, E] with M and E near the square root of V; pads weigh nothing."""
    B, V = weights_BV.shape
    E = 1 << ((V - 1).bit_length() + 1) // 2
    return jnp.pad(weights_BV, ((0, 0), (0, -V % E))).reshape(B, -1, E)


def _invert(mass_BM: jax.Array, uniform_B: jax.Array) -> jax.Array:
    """Returns the index at which the cumulative mass passes the uniform's share of the total.

    Rounding never selects an entry without mass: such entries are passed over, and if the
    uniform lies beyond every sum the heaviest entry is taken.
    """
    cumulative_BM = jnp.cumsum(mass_BM, axis=-1)
    target_B = uniform_B * cumulative_BM[:, -1]
    passed_BM = (cumulative_BM > target_B[:, None]) & (mass_BM > 0)
    index_B = jnp.where(passed_BM.any(axis=-1), passed_BM.argmax(axis=-1), mass_BM.argmax(axis=-1))
    return index_B.astype(jnp.int32)


def _first_index_of(logits_BV: jax.Array, value_B: jax.Array) -> jax.Array:
    """Returns the first entry equal to the value. (XLA's argmax is slower on CPU.)"""
    V = logits_BV.shape[-1]
    index_BV = jnp.where(logits_BV == value_B[:, None], jnp.arange(V)[None], V)
    return index_BV.min(axis=-1).astype(jnp.int32)


def _truncate(weights_BV: jax.Array, settings: DrawSettings) -> jax.Array:
    """Sets the weights that top-k and top-p cut to 0."""
    B, V = weights_BV.shape
    use_k_B, use_p_B = settings.top_k_B > 0, settings.top_p_B < 1
    nothing_cut_B = jnp.zeros(B)

    def count(threshold_B: jax.Array) -> jax.Array:
        return jnp.where(weights_BV >= threshold_B[:, None], 1.0, 0.0).sum(axis=-1)

    def mass(threshold_B: jax.Array) -> jax.Array:
        return jnp.where(weights_BV >= threshold_B[:, None], weights_BV, 0.0).sum(axis=-1)

    def cut_by_count() -> jax.Array:
        needed_B = settings.top_k_B.astype(jnp.float32)
        lowest_B = jnp.full(B, _LIGHTEST)
        found_B = _bisect(count, needed_B, lowest_B, jnp.ones_like, use_k_B)
        return jnp.where(use_k_B, found_B, 0.0)

    by_count_B = jax.lax.cond(use_k_B.any(), cut_by_count, lambda: nothing_cut_B)

    def cut_by_mass() -> jax.Array:
        total_B = mass(by_count_B)
        # All entries lighter than this together weigh less than what top-p may cut.
        lowest_B = jnp.maximum(0.5 * (1 - settings.top_p_B) * total_B / V, _LIGHTEST)
        needed_B = settings.top_p_B * total_B
        found_B = _bisect(mass, needed_B, lowest_B, lambda low_B: low_B, use_p_B)
        return jnp.where(use_p_B, jnp.maximum(found_B, by_count_B), by_count_B)

    threshold_B = jax.lax.cond(use_p_B.any(), cut_by_mass, lambda: by_count_B)
    return jnp.where(weights_BV >= threshold_B[:, None], weights_BV, 0.0)


def _bisect(
    measure: Callable[[jax.Array], jax.Array],
    needed_B: jax.Array,
    lowest_B: jax.Array,
    least_measure: Callable[[jax.Array], jax.Array],
    used_B: jax.Array,
) -> jax.Array:
    """Returns the largest threshold at which `measure` of the weights above it is enough.

    Halves the interval [low, high) of the logarithm, `measure(low) >= needed > measure(high)`,
    until at most one weight lies in it (then `low` keeps exactly the right ones) or no float
    does. `least_measure(low)` bounds from below what one weight of at least `low` measures.
    """

    def middle(low_B: jax.Array, high_B: jax.Array) -> jax.Array:
        return jnp.sqrt(low_B * high_B)

    def unsettled(bounds: _Bounds) -> jax.Array:
        low_B, high_B, above_low_B, above_high_B = bounds
        several_B = above_low_B - above_high_B >= 2 * least_measure(low_B)
        middle_B = middle(low_B, high_B)
        return used_B & several_B & (middle_B > low_B) & (middle_B < high_B)

    def halve(bounds: _Bounds) -> _Bounds:
        low_B, high_B, above_low_B, above_high_B = bounds
        open_B = unsettled(bounds)
        middle_B = middle(low_B, high_B)
        above_B = measure(middle_B)
        up_B = open_B & (above_B >= needed_B)
        down_B = open_B & (above_B < needed_B)
        return (
            jnp.where(up_B, middle_B, low_B),
            jnp.where(down_B, middle_B, high_B),
            jnp.where(up_B, above_B, above_low_B),
            jnp.where(down_B, above_B, above_high_B),
        )

    beyond_B = jnp.full_like(lowest_B, 1.0 + 1e-6)  # the heaviest weight is 1
    start = (lowest_B, beyond_B, measure(lowest_B), jnp.zeros_like(lowest_B))
    return jax.lax.while_loop(lambda bounds: unsettled(bounds).any(), halve, start)[0]
