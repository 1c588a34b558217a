"""Sample completions from a model.

The prompt is taken as it stands, or with --chat as a user's message in the model's chat template.
--input reads one JSON object per line: {"prompt": "..."}, or {"messages": [{"role": "user",
"content": "..."}, ...]} for a conversation. A seed fixes every sample.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from spo_jax.commands.jsonl import read_jsonl
from spo_jax.errors import UserError

if TYPE_CHECKING:
    from spo_jax.models.config import ModelConfig
    from spo_jax.sampling import Sampler, SampleRequest
    from spo_jax.sampling.requests import SamplingProgress
    from spo_jax.tokenizers import Tokenizer
    from spo_jax.types import Completion

HELP = "sample completions from a model"

_PROGRESS_SECS = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    source = "a model directory, .gguf file, hub id or 'smollm2'"
    add("--model", required=True, metavar="DIR", help=source)
    prompts = parser.add_mutually_exclusive_group(required=True)
    prompts.add_argument("--prompt", metavar="TEXT", help="one prompt")
    prompts.add_argument("--input", metavar="FILE.jsonl", help="many prompts, one per line")
    add("--chat", action="store_true", help="prompts are messages to the assistant")
    add("--add_bos", action="store_true", help="put the beginning token before a plain prompt")
    add("--num_samples", type=int, default=1, help="completions of each prompt (default 1)")
    add("--temperature", type=float, default=1.0, help="0 is greedy (default 1)")
    add("--top_p", type=float, default=1.0, help="1 is off (default)")
    add("--top_k", type=int, default=0, help="0 is off (default)")
    add("--max_tokens", type=int, default=256, help="of a completion (default 256)")
    add("--seed", type=int, default=0, help="default 0")
    add("--num_slots", type=int, default=64, help="samples computed side by side (default 64)")
    add("--compute_dtype", default="float32", help="of matrix products (default float32)")
    add("--json", action="store_true", help="print one JSON object per completion")


def run(args: argparse.Namespace) -> int:
    from spo_jax.models.pretrained import load_config, load_pretrained, resolve
    from spo_jax.sampling.requests import check_settings
    from spo_jax.tokenizers import load_tokenizer
    from spo_jax.types import SamplerSettings

    if args.num_samples < 1:
        raise UserError(f"--num_samples={args.num_samples} must be at least 1")
    if args.seed < 0:
        raise UserError(f"--seed={args.seed} must be at least 0")
    settings = SamplerSettings(
        temperature=args.temperature,
        top_p=args.top_p,
        top_k=args.top_k,
        max_completion_tokens=args.max_tokens,
    )
    check_settings(settings)
    prompts = _read_prompts(args)
    tokenizer = load_tokenizer(resolve(args.model))
    requests = list(_requests(args, prompts, tokenizer, settings))
    config = load_config(args.model).replace(compute_dtype=args.compute_dtype)
    sampler = _sampler(args, config, tokenizer, requests)
    params = load_pretrained(args.model, compute_dtype=args.compute_dtype).params
    finished = sampler.sample(params, requests, progress=_Progress())
    for r, s, completion in _in_order(finished, requests):
        _print(args, tokenizer, r, s, completion)
    return 0


def _read_prompts(args: argparse.Namespace) -> list[tuple[str, Any]]:
    """Returns (place, text or messages) of every prompt."""
    if args.prompt is not None:
        return [("--prompt", args.prompt)]
    return [(place, _prompt_of_row(place, row)) for place, row in read_jsonl("--input", args.input)]


def _prompt_of_row(place: str, row: dict[str, Any]) -> Any:
    if isinstance(row.get("prompt"), str):
        return row["prompt"]
    messages = row.get("messages")
    if isinstance(messages, list) and messages and all(map(_is_message, messages)):
        return messages
    raise UserError(
        f'{place}: a row must have "prompt" (a string) or "messages" (a list of objects with '
        '"role" and "content")'
    )


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and all(
        isinstance(message.get(field), str) for field in ("role", "content")
    )


def _requests(
    args: argparse.Namespace,
    prompts: list[tuple[str, Any]],
    tokenizer: "Tokenizer",
    settings: Any,
) -> Iterator["SampleRequest"]:
    import numpy as np

    from spo_jax.sampling import SampleRequest

    for i, (place, prompt) in enumerate(prompts):
        if isinstance(prompt, list):
            tokens = tokenizer.chat_prompt(prompt)
        elif args.chat:
            tokens = tokenizer.chat_prompt([{"role": "user", "content": prompt}])
        else:
            tokens = tokenizer.encode(prompt)
            if args.add_bos:
                if tokenizer.bos_id is None:
                    raise UserError("--add_bos: the tokenizer has no beginning-of-sequence token")
                tokens = [tokenizer.bos_id, *tokens]
        if not tokens:
            raise UserError(f"{place}: the prompt has no tokens; it must have at least one")
        # Seeds of different runs, prompts and samples do not coincide.
        seeds = [
            int(np.random.SeedSequence([args.seed, i, s]).generate_state(1, np.uint64)[0])
            for s in range(args.num_samples)
        ]
        yield SampleRequest(prompt_tokens=tokens, seeds=seeds, settings=settings, request_id=place)


def _sampler(
    args: argparse.Namespace,
    config: "ModelConfig",
    tokenizer: "Tokenizer",
    requests: list["SampleRequest"],
) -> "Sampler":
    from spo_jax.models.transformer import Transformer
    from spo_jax.sampling import Sampler

    return Sampler(
        Transformer(config),
        eos_ids=tuple(dict.fromkeys([*tokenizer.eos_ids, *config.eos_ids])),
        num_slots=min(args.num_slots, len(requests) * args.num_samples),
        max_prompt_tokens=max(len(request.prompt_tokens) for request in requests),
        max_completion_tokens=args.max_tokens,
        prefill_batch=min(4, len(requests)),
    )


class _Progress:
    """A line on stderr every few seconds."""

    def __init__(self) -> None:
        self._started = self._printed = time.monotonic()

    def __call__(self, progress: "SamplingProgress") -> None:
        now = time.monotonic()
        if now - self._printed < _PROGRESS_SECS:
            return
        self._printed = now
        rate = progress.num_tokens / (now - self._started)
        print(
            f"{progress.num_finished}/{progress.num_samples} samples, "
            f"{progress.num_tokens} tokens, {rate:.0f} tokens/s",
            file=sys.stderr,
            flush=True,
        )


def _in_order(
    finished: Iterable[tuple[int, int, "Completion"]], requests: list["SampleRequest"]
) -> Iterator[tuple[int, int, "Completion"]]:
    """Passes completions on in the order of prompts and samples, each as early as it can be."""
    order = ((r, s) for r, request in enumerate(requests) for s in range(len(request.seeds)))
    early: dict[tuple[int, int], Completion] = {}
    expected = next(order, None)
    for r, s, completion in finished:
        early[r, s] = completion
        while expected in early:
            yield *expected, early.pop(expected)
            expected = next(order, None)


def _print(
    args: argparse.Namespace, tokenizer: "Tokenizer", r: int, s: int, completion: "Completion"
) -> None:
    text = tokenizer.decode(completion.tokens)
    if not args.json:
        title = (
            f"prompt {r + 1}, sample {s + 1} ({completion.finish_reason}, seed {completion.seed})"
        )
        print(f"--- {title}\n{text}", flush=True)
        return
    logprobs = completion.behavior_logprobs
    row = {
        "prompt_index": r,
        "sample_index": s,
        "text": text,
        "token_ids": completion.tokens.tolist(),
        "behavior_logprobs": None if logprobs is None else [float(f"{x:.9g}") for x in logprobs],
        "finish_reason": completion.finish_reason,
        "seed": completion.seed,
    }
    print(json.dumps(row, ensure_ascii=False), flush=True)
