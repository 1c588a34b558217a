"""Measures the sampler: tokens per second and seconds of compilation.

    python benchmarks/sampling.py                        # SmolLM2-135M, 64 and 128 slots
    python benchmarks/sampling.py --num_slots 64 --prompt_tokens 300 --json

Every completion has exactly --new_tokens tokens (no end token), and there are twice as many
samples as slots, so slots are refilled. Prefill counts. See docs/sampling.md for results.
"""

import argparse
import json
import os
import time

import jax
import jax.monitoring
import numpy as np

from spo_jax.models.pretrained import load_pretrained
from spo_jax.models.transformer import Transformer
from spo_jax.sampling import Sampler, SampleRequest
from spo_jax.types import SamplerSettings


class CompilationClock:
    """Sums the seconds that XLA compiles, by program."""

    def __init__(self) -> None:
        self.secs: dict[str, float] = {}
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **details: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            name = str(details.get("fun_name", "all"))
            self.secs[name] = self.secs.get(name, 0.0) + duration_secs

    def take(self) -> dict[str, float]:
        """Returns programs of at least a tenth of a second, and forgets them."""
        secs, self.secs = self.secs, {}
        return {name: round(value, 2) for name, value in secs.items() if value >= 0.1}


def requests_for(args: argparse.Namespace, num_samples: int, vocab_size: int):
    """Random prompts with `--samples_per_prompt` samples each."""
    rng = np.random.default_rng(0)
    settings = SamplerSettings(
        temperature=args.temperature,
        top_p=args.top_p,
        top_k=args.top_k,
        max_completion_tokens=args.new_tokens,
    )
    for first in range(0, num_samples, args.samples_per_prompt):
        yield SampleRequest(
            prompt_tokens=rng.integers(3, vocab_size, size=args.prompt_tokens),
            seeds=range(first, min(first + args.samples_per_prompt, num_samples)),
            settings=settings,
        )


def measure(args: argparse.Namespace, loaded, clock: CompilationClock, num_slots: int) -> dict:
    """Compiles with one call, then times a call that fills every slot twice."""
    sampler = Sampler(
        Transformer(loaded.config),
        eos_ids=(-1,),
        num_slots=num_slots,
        max_prompt_tokens=args.prompt_tokens,
        max_completion_tokens=args.new_tokens,
        steps_per_call=args.steps_per_call,
    )
    clock.take()
    sampler.warm_up(loaded.params)
    compiled = clock.take()
    requests = list(requests_for(args, 2 * num_slots, loaded.config.vocab_size))
    wall, cpu = time.perf_counter(), time.process_time()
    completions = sampler.sample_all(loaded.params, requests)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    num_tokens = sum(len(completion.tokens) for group in completions for completion in group)
    return {
        "num_slots": num_slots,
        "prompts": len(requests),
        "tokens": num_tokens,
        "tokens_per_sec": round(num_tokens / wall, 1),
        "wall_secs": round(wall, 2),
        "cpu_secs": round(cpu, 2),
        "compile_secs": compiled,
        "recompiled": clock.take(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", default="smollm2")
    add("--num_slots", type=int, nargs="+", default=[64, 128])
    add("--prompt_tokens", type=int, default=100)
    add("--new_tokens", type=int, default=64)
    add("--samples_per_prompt", type=int, default=10)
    add("--steps_per_call", type=int, default=32)
    add("--temperature", type=float, default=1.0)
    add("--top_p", type=float, default=1.0)
    add("--top_k", type=int, default=0)
    add("--json", action="store_true", help="one JSON object per line")
    args = parser.parse_args()
    clock = CompilationClock()
    loaded = load_pretrained(args.model)
    if not args.json:
        print(f"{args.model} on {jax.devices()[0].device_kind}, {os.cpu_count()} CPU cores")
    for num_slots in args.num_slots:
        result = measure(args, loaded, clock, num_slots)
        print(json.dumps(result) if args.json else "  ".join(f"{k}={v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
