"""OpenAI's completions protocol with token ids in and out, as vLLM and SGLang extend it.

Requests and answers: docs.vllm.ai, "OpenAI-Compatible Server" (Completions API, extra parameters),
and docs.sglang.io, "OpenAI APIs - Completions". What both take: a list of ids as `prompt`,
`return_token_ids`, `stop_token_ids`, `top_k`, `seed`, and the penalties spelled out here, which a
server would otherwise read from the checkpoint's generation_config.json.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from spo_jax.acting.engines.connection import ServerFailure
from spo_jax.errors import UserError
from spo_jax.sampling import SampleRequest
from spo_jax.types import Completion, SamplerSettings

ServerLogprobs = Literal["raw", "processed", "none"]
_MAX_SEED = 2**63 - 1  # vLLM takes 64-bit signed integers
_TOKEN_ID = "token_id:"


@dataclasses.dataclass(frozen=True, slots=True)
class Protocol:
    """How one run talks to its servers.

    Attributes:
      model: name that the servers know the policy by.
      end_ids: tokens that end an answer.
      vocab_size: of the policy; greater ids are refused.
      logprobs: what the servers' log-probabilities are of: 'raw' (the model's own, the default of
        vLLM), 'processed' (after temperature, top-p and top-k: `--logprobs-mode
        processed_logprobs`), or 'none' (not to be asked for).
      encode: turns text into ids where a server gives no ids; None refuses such a server.
    """

    model: str
    end_ids: tuple[int, ...]
    vocab_size: int
    logprobs: ServerLogprobs = "raw"
    encode: Callable[[str], Sequence[int]] | None = None

    def body(self, request: SampleRequest, seed: int) -> dict[str, Any]:
        """What is asked for one sample."""
        settings = request.settings
        body: dict[str, Any] = {
            "model": self.model,
            "prompt": [int(token) for token in request.prompt_tokens],
            "n": 1,  # every sample has its own seed; servers share the prompt by their prefix cache
            "max_tokens": settings.max_completion_tokens,
            "seed": seed & _MAX_SEED,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "top_k": settings.top_k or -1,
            "min_p": 0.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "repetition_penalty": 1.0,
            "stop_token_ids": list(self.end_ids),
            "skip_special_tokens": False,
            "return_token_ids": True,
        }
        if self._asks_logprobs(settings):
            body["logprobs"] = 1
            body["return_tokens_as_token_ids"] = True
        return body

    def completion(self, answer: Any, request: SampleRequest, seed: int) -> Completion:
        """Reads the answer to `body(request, seed)`.

        Raises:
          ServerFailure: it is malformed or unfinished. UserError: it can never be what we need.
        """
        choice = _only_choice(answer)
        reason = choice.get("finish_reason")
        if reason not in ("stop", "length"):
            raise ServerFailure(f"a completion that ended by {reason!r}")
        tokens = _exact_tokens(choice)
        if tokens is None:
            return self._retokenized(choice, request, seed)
        logprobs = _logprobs(choice, len(tokens)) if self._asks_logprobs(request.settings) else None
        if reason == "stop" and (not tokens or tokens[-1] not in self.end_ids):
            tokens, logprobs = [*tokens, self._missing_end(tokens, choice)], None
        self._check(tokens, request)
        if request.settings.temperature == 0:  # a point mass, whatever the server reports
            logprobs = np.zeros(len(tokens), np.float32)
        return _completion(tokens, logprobs, self.end_ids, seed)

    def gives_logprobs(self, settings: SamplerSettings) -> bool:
        """Whether completions carry `behavior_logprobs` with these settings."""
        return settings.temperature == 0 or self._asks_logprobs(settings)

    def _asks_logprobs(self, settings: SamplerSettings) -> bool:
        """Only where they are of the distribution that is really sampled from."""
        is_plain = (settings.temperature, settings.top_p, settings.top_k) == (1.0, 1.0, 0)
        return self.logprobs == "processed" or (self.logprobs == "raw" and is_plain)

    def _missing_end(self, tokens: list[int], choice: dict[str, Any]) -> int:
        """The end token that a server left out of its token ids, but names."""
        matched = choice.get("stop_reason", choice.get("matched_stop"))
        if matched in self.end_ids:
            return int(matched)
        last = tokens[-1] if tokens else None
        raise UserError(
            f"the engine ended a completion at token {last} (stop reason {matched!r}), which is "
            f"none of this run's end tokens {list(self.end_ids)}: the server has another "
            "end-of-sequence token or stop string"
        )

    def _check(self, tokens: list[int], request: SampleRequest) -> None:
        limit = request.settings.max_completion_tokens
        if not 1 <= len(tokens) <= limit:
            raise ServerFailure(f"{len(tokens)} tokens where 1 to {limit} were asked for")
        if not 0 <= min(tokens) <= max(tokens) < self.vocab_size:
            raise UserError(
                f"the engine drew token {max(tokens)}, outside the policy's vocabulary of "
                f"{self.vocab_size}: it serves another model"
            )
        if len(tokens) < limit and tokens[-1] not in self.end_ids:
            raise UserError(
                f"the engine stopped after {len(tokens)} tokens of max_completion_tokens={limit} "
                f"for want of room after a prompt of {len(request.prompt_tokens)}: give it a "
                "longer context"
            )

    def _retokenized(self, choice: dict[str, Any], request: SampleRequest, seed: int) -> Completion:
        """Of text alone: probably what was sampled, but not for sure, so without logprobs."""
        if self.encode is None:
            raise UserError(
                "the engine answers with text alone, without token ids: what was sampled cannot be "
                "known for sure. Use a server that takes return_token_ids (vLLM, SGLang), or set "
                "EngineSettings.retokenize = True to learn from the text tokenized again, without "
                "behavior_logprobs"
            )
        tokens = list(self.encode(str(choice.get("text", ""))))
        if choice["finish_reason"] == "stop" and (not tokens or tokens[-1] not in self.end_ids):
            tokens.append(self.end_ids[0])
        tokens = tokens[: request.settings.max_completion_tokens]
        if not tokens:
            raise ServerFailure("a completion without text")
        return _completion(tokens, None, self.end_ids, seed)


def _completion(
    tokens: list[int], logprobs: np.ndarray | None, end_ids: tuple[int, ...], seed: int
) -> Completion:
    return Completion(
        tokens=np.asarray(tokens, np.int32),
        behavior_logprobs=logprobs,
        finish_reason="stop" if tokens[-1] in end_ids else "length",
        seed=seed,
    )


def _only_choice(answer: Any) -> dict[str, Any]:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise ServerFailure(f"an answer without one choice: {str(answer)[:200]!r}")
    return choices[0]


def _exact_tokens(choice: dict[str, Any]) -> list[int] | None:
    """The ids that were drawn, or None where the answer has none.

    Older servers give them as 'token_id:123' beside the log-probabilities.
    """
    ids = choice.get("token_ids")
    if ids is None:
        words = [str(word) for word in (choice.get("logprobs") or {}).get("tokens") or ()]
        if not words or not all(word.startswith(_TOKEN_ID) for word in words):
            return None
        ids = [int(word.removeprefix(_TOKEN_ID)) for word in words]
    if not isinstance(ids, list) or not all(isinstance(token, int) for token in ids):
        raise ServerFailure(f"token_ids that are no integers: {ids!r:.100}")
    return ids


def _logprobs(choice: dict[str, Any], num_tokens: int) -> np.ndarray:
    values = (choice.get("logprobs") or {}).get("token_logprobs")
    if (
        not isinstance(values, list)
        or len(values) != num_tokens
        or not all(isinstance(value, int | float) for value in values)
    ):
        raise ServerFailure(f"no log-probability for each of {num_tokens} tokens: {values!r:.100}")
    return np.asarray(values, np.float32)
