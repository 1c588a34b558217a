"""Evaluate a checkpoint: pass@k on a problem set, every sample judged.

Prompt, sampler and problem set come from the same bindings as in training, so a run's config file
serves:

  spo eval --model smollm2 --gin_file=configs/runs/quickstart.gin --output base.jsonl
  spo eval --model runs/quickstart/policies/30 --gin_file=configs/runs/quickstart.gin \\
      --output after.jsonl --gin.EvaluationSettings.num_problems=100

Of the bindings of `train`, those that an evaluation needs are used. All devices of the machine
sample; with --distributed, several processes share the problems. Exit status: 0, 1 another process
died, 2 bad input, 130 stopped.
"""

import argparse
import dataclasses
import inspect
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spo_jax.commands import distributed, gin_config

if TYPE_CHECKING:
    from spo_jax.running.hosts import Hosts

HELP = "pass@k of a checkpoint on a problem set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, help="checkpoint directory, .gguf file, hub id, or 'smollm2'"
    )
    parser.add_argument(
        "--output", required=True, help="JSON lines file of all samples; read if it exists"
    )
    gin_config.add_arguments(parser)
    distributed.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")


def take_unknown(args: argparse.Namespace, unknown: Sequence[str]) -> list[str]:
    return gin_config.take_bindings(args, unknown)


def run(args: argparse.Namespace) -> int:
    return distributed.run(args, _run)


def _run(args: argparse.Namespace, hosts: "Hosts") -> int:
    from spo_jax.evaluate import evaluate_policy
    from spo_jax.running.configurables import CONFIGURABLES
    from spo_jax.running.settings import ModelSource
    from spo_jax.running.stopping import Stopped, StopRequest
    from spo_jax.train import train

    settings = gin_config.configured_arguments(
        train, CONFIGURABLES, args.gin_file, args.gin_bindings
    )
    shared = inspect.signature(evaluate_policy).parameters
    settings = {name: value for name, value in settings.items() if name in shared}
    policy = dataclasses.replace(settings.get("policy", ModelSource()), path=args.model)
    settings |= {"policy": policy}
    with StopRequest("stopping; nothing is kept") as stop:
        try:
            result = evaluate_policy(args.output, hosts, **settings, stop=stop)
        except Stopped:
            print("stopped", file=sys.stderr)
            return 130
    if not hosts.is_main:
        return 0
    if args.json:
        print(json.dumps(result))
        return 0
    print(f"{result['num_problems']} problems, {result['samples_per_problem']} samples each")
    for name, value in result["metrics"].items():
        print(f"{name.removeprefix('eval/'):<20}{value:8.3f}")
    return 0
