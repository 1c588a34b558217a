"""Log-probabilities and entropies of completion tokens: the only log-softmax gather in the project.

Letters: R rows, L row length, n completions per row, T completion tokens, B = R * n sequences,
X = n * T token slots of a row in J chunks of C, D model, V vocabulary.

Only scored tokens meet the vocabulary, a chunk at a time, and the backward pass recomputes each
chunk's logits, so float32 [B, T, V] never exists.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from spo_jax.packing import PackedRows

__all__ = ["PackedRows", "TokenScores", "score_rows", "value_rows"]


class RowModel(Protocol):
    """What scoring needs of a value model: one number at every position of packed rows."""

    def apply(self, variables: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any: ...


class LanguageModel(Protocol):
    """What scoring needs of a model: hidden states, and logits of some of them."""

    def apply(self, variables: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any: ...

    def logits(self, hidden_XD: jax.Array) -> jax.Array: ...


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
      chunk_tokens: completion tokens whose logits are held at once, over all rows (at least one
        per row); float32 logits take chunk_tokens * V * 4 bytes.

    Returns:
      `TokenScores`; differentiable in both parts.
    """
    variables = {"params": params}
    hidden_RLD = model.apply(
        variables, rows.tokens_RL, rows.positions_RL, rows.segment_ids_RL, rows.prefix_ids_RL
    )
    R, n, T = rows.index_RnT.shape
    C = min(max(1, chunk_tokens // R), n * T)
    slot_RX, back_RX = _scored_first(jnp.reshape(rows.mask_RnT, (R, -1)))

    def in_chunks(x_RnT: jax.Array) -> jax.Array:
        x_RX = jnp.take_along_axis(jnp.reshape(x_RnT, (R, -1)), slot_RX, axis=1)
        return jnp.pad(x_RX, ((0, 0), (0, -n * T % C))).reshape(R, -1, C).swapaxes(0, 1)

    def dense(x_JRC: jax.Array) -> jax.Array:
        x_RX = x_JRC.swapaxes(0, 1).reshape(R, -1)
        return jnp.take_along_axis(x_RX, back_RX, axis=1).reshape(R * n, T)

    hidden_JRCD = jax.vmap(_gather_rows, in_axes=(None, 0))(hidden_RLD, in_chunks(rows.index_RnT))
    targets_JRC, mask_JRC = in_chunks(rows.targets_RnT), in_chunks(rows.mask_RnT)
    scores = _score_chunks(model, variables, hidden_JRCD, targets_JRC, mask_JRC)
    return TokenScores(*map(dense, scores))


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
    values_RX = jnp.take_along_axis(values_RL, jnp.reshape(rows.index_RnT, (R, -1)), axis=1)
    return jnp.where(jnp.reshape(rows.mask_RnT, (R, -1)), values_RX, 0.0).reshape(R * n, T)


def _score_chunks(
    model: LanguageModel,
    variables: Mapping[str, Any],
    hidden_JRCD: jax.Array,
    targets_JRC: jax.Array,
    mask_JRC: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Returns log-probabilities and entropies [J, R, C], holding one chunk's logits at a time."""
    zeros_RC = jnp.zeros(mask_JRC.shape[1:])

    def score(hidden_RCD: jax.Array, targets_RC: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits_RCV = model.apply(variables, hidden_RCD, method=model.logits)
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

    return jax.lax.scan(body, None, (hidden_JRCD, targets_JRC, mask_JRC))[1]


def _scored_first(mask_RX: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the order that puts a row's scored slots first, and the way back."""
    slot_RX = jnp.argsort(~mask_RX, axis=1, stable=True)
    return slot_RX, jnp.argsort(slot_RX, axis=1)


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
