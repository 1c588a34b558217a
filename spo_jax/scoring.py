"""Log-probabilities and entropies of completion tokens: the only log-softmax gather in the project.

Letters: R rows, L row length, n completions per row, T completion tokens, B = R * n sequences,
X token slots of a row in J chunks of C, D model, V vocabulary, in J blocks of t * u.

Only scored tokens meet the vocabulary, and the backward pass recomputes logits piece by piece, so
float32 [B, T, V] never exists. A piece is a chunk of tokens with the whole vocabulary. Where a mesh
splits the tokens it is a block of the vocabulary with all tokens: then each block's parameters are
gathered once, as a layer's are, and its gradient is summed over devices once.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from spo_jax.packing import PackedRows
from spo_jax.sharding import num_parts

_NO_LOGIT = -1e30

__all__ = ["PackedRows", "TokenScores", "score_rows", "value_rows"]


class RowModel(Protocol):
    """What scoring needs of a value model: one number at every position of packed rows."""

    def apply(self, variables: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any: ...


class LanguageModel(Protocol):
    """What scoring needs of a model: hidden states, and logits of some of them.

    `head` is read, and `logits` takes some of its rows, only where a mesh splits the tokens.
    """

    def apply(self, variables: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any: ...

    def head(self, params: Any) -> jax.Array: ...

    def logits(self, hidden_XD: jax.Array, head_VD: jax.Array | None = None) -> jax.Array: ...


class TokenScores(NamedTuple):
    """Per completion token, float32 [B, T], 0 where masked, at temperature 1.

    Attributes:
      logprobs_BT: log-probability of the token, in nats.
      entropy_BT: entropy of the distribution it was predicted from, in nats.
    """

    logprobs_BT: jax.Array
    entropy_BT: jax.Array


def score_rows(
    model: LanguageModel, params: Any, rows: PackedRows, *, chunk_tokens: int = 1024
) -> TokenScores:
    """Scores the completion tokens of packed rows, differentiably in `params`.

    Args:
      model: gives `__call__` (hidden states) and `logits`.
      params: its parameters.
      rows: where each completion token's predicting state lies.
      chunk_tokens: completion tokens whose logits a device holds at once, over all its rows (at
        least one per row), or as many logits of a block of the vocabulary; they take
        chunk_tokens * V * 4 bytes.

    Returns:
      `TokenScores`; differentiable in both parts.
    """
    hidden_RLD = model.apply(
        {"params": params},
        rows.tokens_RL,
        rows.positions_RL,
        rows.segment_ids_RL,
        rows.prefix_ids_RL,
    )
    R, n, T = rows.index_RnT.shape
    # A position predicts one token, but for the prompt's last, which predicts n first ones.
    X = min(n * T, hidden_RLD.shape[1] + n)
    is_split = num_parts("batch", "scored") > 1
    X += -X % num_parts("scored")
    mask_RX = nn.with_logical_constraint(jnp.reshape(rows.mask_RnT, (R, -1)), ("batch", None))
    slot_RX, back_RX = _scored_first(mask_RX)

    def compact(x_RnT: jax.Array) -> jax.Array:
        x_RX = jnp.take_along_axis(jnp.reshape(x_RnT, (R, -1)), slot_RX[:, :X], axis=1)
        return jnp.pad(x_RX, ((0, 0), (0, X - x_RX.shape[1])))

    def dense(x_RX: jax.Array) -> jax.Array:
        x_RX = nn.with_logical_constraint(x_RX, ("batch", None))
        x_RX = jnp.pad(x_RX[:, : n * T], ((0, 0), (0, max(0, n * T - X))))
        x_BT = jnp.take_along_axis(x_RX, back_RX, axis=1).reshape(R * n, T)
        return nn.with_logical_constraint(x_BT, ("batch", None))

    score = _score_blocks if is_split else _score_chunks
    slots = _Slots(compact(rows.index_RnT), compact(rows.targets_RnT), compact(rows.mask_RnT))
    return TokenScores(*map(dense, score(model, params, hidden_RLD, slots, chunk_tokens)))


def value_rows(model: RowModel, params: Any, rows: PackedRows) -> jax.Array:
    """A value model's prediction before each completion token: where the token is predicted from.

    Returns:
      float32 [B, T], 0 where masked; differentiable in `params`.
    """
    values_RL = model.apply(
        {"params": params},
        rows.tokens_RL,
        rows.positions_RL,
        rows.segment_ids_RL,
        rows.prefix_ids_RL,
    )
    R, n, T = rows.index_RnT.shape
    values_RL = nn.with_logical_constraint(values_RL, ("batch", None))
    values_RX = jnp.take_along_axis(values_RL, jnp.reshape(rows.index_RnT, (R, -1)), axis=1)
    return jnp.where(jnp.reshape(rows.mask_RnT, (R, -1)), values_RX, 0.0).reshape(R * n, T)


class _Slots(NamedTuple):
    """`PackedRows`' index, targets and mask by row, [R, X], the scored ones first."""

    index_RX: jax.Array
    targets_RX: jax.Array
    mask_RX: jax.Array


def _score_chunks(
    model: LanguageModel,
    params: Any,
    hidden_RLD: jax.Array,
    slots: _Slots,
    chunk_tokens: int,
) -> tuple[jax.Array, jax.Array]:
    """Returns log-probabilities and entropies [R, X], holding one chunk's logits at a time."""
    R, X = slots.mask_RX.shape
    C = min(max(1, chunk_tokens // R), X)
    zeros_RC = jnp.zeros((R, C))

    def in_chunks(x_RX: jax.Array) -> jax.Array:
        return jnp.pad(x_RX, ((0, 0), (0, -X % C))).reshape(R, -1, C).swapaxes(0, 1)

    def score(hidden_RCD: jax.Array, targets_RC: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits_RCV = model.apply({"params": params}, hidden_RCD, method=model.logits)
        return _logprobs_and_entropy(logits_RCV.astype(jnp.float32), targets_RC)

    def skip(hidden_RCD: jax.Array, targets_RC: jax.Array) -> tuple[jax.Array, jax.Array]:
        return zeros_RC, zeros_RC

    @jax.checkpoint
    def body(carry: None, chunk: tuple[jax.Array, ...]) -> tuple[None, tuple[jax.Array, ...]]:
        hidden_RCD, targets_RC, mask_RC = chunk
        # Scored tokens come first, so the last chunks are often empty.
        scores = jax.lax.cond(mask_RC.any(), score, skip, hidden_RCD, targets_RC)
        logprobs_RC, entropy_RC = (jnp.where(mask_RC, score_RC, 0.0) for score_RC in scores)
        return carry, (logprobs_RC, entropy_RC)

    hidden_JRCD = jax.vmap(_gather_rows, in_axes=(None, 0))(hidden_RLD, in_chunks(slots.index_RX))
    chunks = (hidden_JRCD, in_chunks(slots.targets_RX), in_chunks(slots.mask_RX))
    scores_JRC = jax.lax.scan(body, None, chunks)[1]
    logprobs_RX, entropy_RX = (x.swapaxes(0, 1).reshape(R, -1)[:, :X] for x in scores_JRC)
    return logprobs_RX, entropy_RX


class _BlockSums(NamedTuple):
    """Sums over the blocks so far, float32 [R, X]; exponentials are relative to `max_RX`.

    Attributes:
      max_RX: of the logits; no gradient. norm_RX: sum of their exponentials.
      weighted_RX: sum of logit times exponential. target_RX: the target's logit, or 0.
    """

    max_RX: jax.Array
    norm_RX: jax.Array
    weighted_RX: jax.Array
    target_RX: jax.Array


def _score_blocks(
    model: LanguageModel,
    params: Any,
    hidden_RLD: jax.Array,
    slots: _Slots,
    chunk_tokens: int,
) -> tuple[jax.Array, jax.Array]:
    """As `_score_chunks`, holding one vocabulary block's logits of all tokens at a time."""
    # The whole row once, then each device picks the scored positions that are its own.
    hidden_RLD = nn.with_logical_constraint(hidden_RLD, ("batch", None, "activation_embed"))
    index_RX = nn.with_logical_constraint(slots.index_RX, ("batch", "scored"))
    hidden_RXD = _gather_rows(hidden_RLD, index_RX)
    hidden_RXD = nn.with_logical_constraint(hidden_RXD, ("batch", "scored", "activation_embed"))
    # Gradients of the blocks add up in float32.
    dtype, hidden_RXD = hidden_RLD.dtype, hidden_RXD.astype(jnp.float32)
    mask_RX = slots.mask_RX
    tokens_of_one_device = mask_RX.size // num_parts("batch", "scored")
    head_VD = model.head(params)
    # In the compute dtype before it is gathered, block by block.
    blocks = _vocabulary_blocks(head_VD.astype(dtype), -(-tokens_of_one_device // chunk_tokens))

    @jax.checkpoint
    def body(sums: _BlockSums, block: tuple[jax.Array, ...]) -> tuple[_BlockSums, None]:
        head_tuD, ids_tu = block
        head_VD = head_tuD.reshape(-1, head_tuD.shape[-1])
        logits_RXV: Any = model.apply(
            {"params": params}, hidden_RXD.astype(dtype), head_VD, method=model.logits
        )
        axes = ("batch", "scored", "activation_vocab")
        logits_RXV = nn.with_logical_constraint(logits_RXV.astype(jnp.float32), axes)
        return _add_block(sums, logits_RXV, ids_tu.reshape(-1), slots.targets_RX), None

    zeros_RX = jnp.zeros(mask_RX.shape)
    sums = _BlockSums(jnp.full(mask_RX.shape, -jnp.inf), zeros_RX, zeros_RX, zeros_RX)
    sums = jax.lax.scan(body, sums, blocks)[0]
    log_norm_RX = sums.max_RX + jnp.log(sums.norm_RX)
    entropy_RX = log_norm_RX - sums.weighted_RX / sums.norm_RX
    return (
        jnp.where(mask_RX, sums.target_RX - log_norm_RX, 0.0),
        jnp.where(mask_RX, entropy_RX, 0.0),
    )


def _vocabulary_blocks(head_VD: jax.Array, at_least: int) -> tuple[jax.Array, jax.Array]:
    """Cuts the vocabulary so that every block is split over devices as the whole is.

    Returns:
      rows of the head [J, t, u, D], with zeros where J does not divide V / t; and the tokens they
      stand for, int32 [J, t, u], -1 for those zeros.
    """
    V, D = head_VD.shape
    t = num_parts("vocab")
    width = V // t
    at_least = min(max(1, at_least), width)
    J = next((j for j in range(at_least, min(2 * at_least, width) + 1) if width % j == 0), at_least)
    pad = -width % J

    def cut(x_tw: jax.Array, filler: int) -> jax.Array:
        pads = ((0, 0), (0, pad)) + ((0, 0),) * (x_tw.ndim - 2)
        x_tw = jnp.pad(x_tw, pads, constant_values=filler) if pad else x_tw
        return x_tw.reshape(t, J, -1, *x_tw.shape[2:]).swapaxes(0, 1)

    blocks_JtuD = cut(head_VD.reshape(t, width, D), 0)
    axes = (None, "vocab", None, "embed")
    blocks_JtuD = nn.with_logical_constraint(blocks_JtuD, axes)
    return blocks_JtuD, cut(jnp.arange(V).reshape(t, width), -1)


def _add_block(
    sums: _BlockSums, logits_RXV: jax.Array, ids_V: jax.Array, targets_RX: jax.Array
) -> _BlockSums:
    logits_RXV = jnp.where((ids_V >= 0)[None, None], logits_RXV, _NO_LOGIT)
    highest_RX = jax.lax.stop_gradient(jnp.maximum(sums.max_RX, logits_RXV.max(axis=-1)))
    shrink_RX = jnp.exp(sums.max_RX - highest_RX)
    weights_RXV = jnp.exp(logits_RXV - highest_RX[..., None])
    weighted_RXV = jnp.where(weights_RXV > 0, weights_RXV * logits_RXV, 0.0)
    is_target_RXV = targets_RX[..., None] == ids_V[None, None]
    return _BlockSums(
        max_RX=highest_RX,
        norm_RX=sums.norm_RX * shrink_RX + weights_RXV.sum(axis=-1),
        weighted_RX=sums.weighted_RX * shrink_RX + weighted_RXV.sum(axis=-1),
        target_RX=sums.target_RX + jnp.where(is_target_RXV, logits_RXV, 0.0).sum(axis=-1),
    )


def _scored_first(mask_RX: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the order that puts a row's scored slots first, and the way back."""
    slot_RX = jnp.argsort(~mask_RX, axis=1, stable=True)
    slot_RX = nn.with_logical_constraint(slot_RX, ("batch", None))
    back_RX = jnp.argsort(slot_RX, axis=1)
    return slot_RX, nn.with_logical_constraint(back_RX, ("batch", None))


def _gather_rows(hidden_RLD: jax.Array, index_RC: jax.Array) -> jax.Array:
    """Row-local, so that a mesh that shards rows moves nothing."""
    return jnp.take_along_axis(hidden_RLD, index_RC[:, :, None], axis=1)


def _logprobs_and_entropy(
    logits_RCV: jax.Array, targets_RC: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Log-softmax at the targets, and entropy = logsumexp - E[logit]."""
    log_norm_RC = jax.nn.logsumexp(logits_RCV, axis=-1)
    # A sum over a one-hot selection instead of a gather: it fuses, its transpose is no scatter,
    # and it needs no collective but a sum when the vocabulary is sharded.
    is_target_RCV = targets_RC[..., None] == jnp.arange(logits_RCV.shape[-1])[None, None]
    target_RC = jnp.sum(jnp.where(is_target_RCV, logits_RCV, 0.0), axis=-1)
    probs_RCV = jnp.exp(logits_RCV - log_norm_RC[..., None])
    # A vocabulary entry at -inf has probability 0 and adds nothing.
    weighted_RCV = jnp.where(probs_RCV > 0, probs_RCV * logits_RCV, 0.0)
    return target_RC - log_norm_RC, log_norm_RC - weighted_RCV.sum(axis=-1)
