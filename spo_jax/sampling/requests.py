"""What is asked of the sampler, and the checks before any work."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spo_jax.errors import UserError
from spo_jax.types import SamplerSettings

MAX_SEED = 2**64 - 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SampleRequest:
    """A prompt and how many completions of it to draw.

    Attributes:
      prompt_tokens: at least one.
      seeds: one per sample, 0 to 2**64 - 1. A sample's tokens depend on its seed, the prompt, the
        weights and the settings only.
      settings: how to draw, and how much.
      request_id: for error messages.
    """

    prompt_tokens: Sequence[int] | np.ndarray
    seeds: Sequence[int]
    settings: SamplerSettings = dataclasses.field(default_factory=SamplerSettings)
    request_id: str = ""


class SamplingProgress(NamedTuple):
    """How far a call is: samples finished, samples in all, tokens drawn so far."""

    num_finished: int
    num_samples: int
    num_tokens: int


def check_requests(
    requests: Sequence[SampleRequest],
    *,
    vocab_size: int,
    max_prompt_tokens: int,
    max_completion_tokens: int,
) -> None:
    """Raises UserError naming the first request, rule and values that do not fit."""
    for i, request in enumerate(requests):
        name = f"request '{request.request_id}'" if request.request_id else f"request {i}"
        _check_prompt(name, request, vocab_size, max_prompt_tokens)
        for seed in request.seeds:
            if not 0 <= seed <= MAX_SEED:
                raise UserError(f"{name}: seed {seed} must be from 0 to 2**64 - 1")
        check_settings(request.settings, name)
        wanted = request.settings.max_completion_tokens
        if wanted > max_completion_tokens:
            raise UserError(
                f"{name} asks for max_completion_tokens={wanted}, more than the sampler's "
                f"max_completion_tokens={max_completion_tokens}"
            )


def check_settings(settings: SamplerSettings, name: str = "sampler settings") -> None:
    """Raises UserError if a setting is outside its range."""
    rules = (
        ("temperature", settings.temperature >= 0, "at least 0 (0 is greedy)"),
        ("top_p", 0 < settings.top_p <= 1, "above 0 and at most 1 (1 is off)"),
        ("top_k", settings.top_k >= 0, "at least 0 (0 is off)"),
        ("max_completion_tokens", settings.max_completion_tokens >= 1, "at least 1"),
    )
    for field, holds, rule in rules:
        if not holds:
            raise UserError(f"{name}: {field}={getattr(settings, field)} must be {rule}")


def _check_prompt(
    name: str, request: SampleRequest, vocab_size: int, max_prompt_tokens: int
) -> None:
    num_tokens = len(request.prompt_tokens)
    if num_tokens == 0:
        raise UserError(f"{name} has an empty prompt; it must have at least one token")
    if num_tokens > max_prompt_tokens:
        raise UserError(
            f"{name} has a prompt of {num_tokens} tokens, more than the sampler's "
            f"max_prompt_tokens={max_prompt_tokens}"
        )
    low, high = int(np.min(request.prompt_tokens)), int(np.max(request.prompt_tokens))
    if low < 0 or high >= vocab_size:
        bad = low if low < 0 else high
        raise UserError(
            f"{name} has prompt token {bad}, outside the model's vocabulary of {vocab_size}"
        )
