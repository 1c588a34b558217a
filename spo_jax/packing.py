"""Lays prompts and completions into rows for `spo_jax.scoring`. Numpy only.

Letters: R rows, L row length, n completions per row, T completion tokens. B = R * n sequences.

A completion of T tokens takes T - 1 positions: its last token is predicted but never an input.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from spo_jax.errors import UserError

Tokens = Sequence[int] | np.ndarray

_PROMPT_SEGMENT = 1


class PackedRows(NamedTuple):
    """How sequences lie in rows; a pytree of numpy or jax arrays. Sequence b = r * n + i.

    Attributes:
      tokens_RL: int32, inputs.
      positions_RL: int32; every completion continues the count of its own prompt.
      segment_ids_RL: int32, 0 on pads.
      prefix_ids_RL: int32, one more segment a token may attend to; 0 for none.
      index_RnT: int32, the row position whose hidden state predicts a completion token (0 where
        masked).
      targets_RnT: int32, the completion tokens (0 where masked).
      mask_RnT: bool, True on the completion tokens to score.
    """

    tokens_RL: Any
    positions_RL: Any
    segment_ids_RL: Any
    prefix_ids_RL: Any
    index_RnT: Any
    targets_RnT: Any
    mask_RnT: Any


def shared_row_length(prompt: Tokens, completions: Sequence[Tokens]) -> int:
    """Returns the row positions one prompt with its completions takes in `pack_prompt_groups`."""
    return len(prompt) + sum(max(len(completion) - 1, 0) for completion in completions)


def pack_prompt_groups(
    prompts: Sequence[Tokens],
    completions: Sequence[Sequence[Tokens]],
    *,
    num_rows: int,
    row_length: int,
    completions_per_row: int,
    max_completion_tokens: int,
    pad_id: int,
    completion_masks: Sequence[Sequence[Sequence[bool] | np.ndarray]] | None = None,
) -> PackedRows:
    """Lays one prompt per row and its completions after it: the prompt is computed once.

    The prompt is segment 1; completion i is segment 2 + i with the prompt as its prefix, so
    completions do not see each other. Rows and slots without a sequence are masked.

    Args:
      prompts: at most `num_rows`, each of at least one token.
      completions: for each prompt at most `completions_per_row`, each of at most
        `max_completion_tokens`.
      num_rows: R. row_length: L. completions_per_row: n. max_completion_tokens: T.
      pad_id: the input token of unused positions.
      completion_masks: True on tokens to score, in the shape of `completions`; None for all.

    Raises:
      UserError: something is longer or more than its limit, or a prompt is empty.
    """
    if completion_masks is None:
        completion_masks = [[np.ones(len(c), bool) for c in group] for group in completions]
    _check_count("prompts", len(prompts), "num_rows", num_rows)
    rows = _empty_rows(num_rows, row_length, completions_per_row, max_completion_tokens, pad_id)
    for r, (prompt, group) in enumerate(zip(prompts, completions, strict=True)):
        _check_group(r, prompt, group, completions_per_row, max_completion_tokens)
        used = shared_row_length(prompt, group)
        _check_count(f"tokens of prompt {r} with its completions", used, "row_length", row_length)
        _put_segment(rows, r, 0, prompt, first_position=0, segment=_PROMPT_SEGMENT, prefix=0)
        start = len(prompt)
        for i, completion in enumerate(group):
            inputs = completion[:-1]
            segment = _PROMPT_SEGMENT + 1 + i
            _put_segment(rows, r, start, inputs, len(prompt), segment, _PROMPT_SEGMENT)
            _put_targets(rows, r, i, completion, completion_masks[r][i], len(prompt) - 1, start)
            start += len(inputs)
    return rows


def pack_separately(
    prompts: Sequence[Tokens],
    completions: Sequence[Tokens],
    *,
    num_rows: int,
    row_length: int,
    max_completion_tokens: int,
    pad_id: int,
    completion_masks: Sequence[Sequence[bool] | np.ndarray] | None = None,
) -> PackedRows:
    """Lays one sequence per row (n = 1), prompt and completion in one segment: the plain layout.

    Arguments and errors as of `pack_prompt_groups`, with one completion for each prompt.
    """
    rows = pack_prompt_groups(
        prompts,
        [[completion] for completion in completions],
        num_rows=num_rows,
        row_length=row_length,
        completions_per_row=1,
        max_completion_tokens=max_completion_tokens,
        pad_id=pad_id,
        completion_masks=None if completion_masks is None else [[m] for m in completion_masks],
    )
    return rows._replace(
        segment_ids_RL=np.minimum(rows.segment_ids_RL, _PROMPT_SEGMENT),
        prefix_ids_RL=np.zeros_like(rows.prefix_ids_RL),
    )


def _empty_rows(R: int, L: int, n: int, T: int, pad_id: int) -> PackedRows:
    return PackedRows(
        tokens_RL=np.full((R, L), pad_id, np.int32),
        positions_RL=np.zeros((R, L), np.int32),
        segment_ids_RL=np.zeros((R, L), np.int32),
        prefix_ids_RL=np.zeros((R, L), np.int32),
        index_RnT=np.zeros((R, n, T), np.int32),
        targets_RnT=np.zeros((R, n, T), np.int32),
        mask_RnT=np.zeros((R, n, T), bool),
    )


def _put_segment(
    rows: PackedRows,
    r: int,
    start: int,
    tokens: Tokens,
    first_position: int,
    segment: int,
    prefix: int,
) -> None:
    span = slice(start, start + len(tokens))
    rows.tokens_RL[r, span] = tokens
    rows.positions_RL[r, span] = first_position + np.arange(len(tokens))
    rows.segment_ids_RL[r, span] = segment
    rows.prefix_ids_RL[r, span] = prefix


def _put_targets(
    rows: PackedRows,
    r: int,
    i: int,
    completion: Tokens,
    mask: Sequence[bool] | np.ndarray,
    last_prompt_position: int,
    start: int,
) -> None:
    """The first token is predicted from the prompt's last position, the others from their left."""
    if len(mask) != len(completion):
        raise UserError(
            f"completion_masks[{r}][{i}] has {len(mask)} entries, "
            f"must have one for each of the {len(completion)} completion tokens"
        )
    T = len(completion)
    mask = np.asarray(mask, bool)
    index = np.concatenate([[last_prompt_position], start + np.arange(max(T - 1, 0))])[:T]
    rows.index_RnT[r, i, :T] = np.where(mask, index, 0)
    rows.targets_RnT[r, i, :T] = np.where(mask, completion, 0)
    rows.mask_RnT[r, i, :T] = mask


def _check_group(
    r: int, prompt: Tokens, group: Sequence[Tokens], max_completions: int, max_tokens: int
) -> None:
    if len(prompt) == 0:
        raise UserError(f"prompt {r} is empty; it must have at least one token to predict from")
    _check_count(f"completions of prompt {r}", len(group), "completions_per_row", max_completions)
    for i, completion in enumerate(group):
        name = f"tokens of completion {i} of prompt {r}"
        _check_count(name, len(completion), "max_completion_tokens", max_tokens)


def _check_count(name: str, count: int, limit_name: str, limit: int) -> None:
    if count > limit:
        raise UserError(f"the {name} are {count}, more than {limit_name}={limit}")
