"""Train a policy: the main job.

A run is described by gin files and single bindings, and kept in a directory. Starting the same
command again goes on where the run stopped.

  spo train --gin_file=configs/runs/quickstart.gin --run_dir=runs/quickstart
  spo train --gin_file=configs/runs/quickstart.gin --run_dir=runs/a --gin.train.num_updates=10

The comment at the head of each file in configs/runs/ lists the bindings that are usually changed.
Exit status: 0 finished, 2 bad input, 3 a loss that is not finite, 4 no actor is
alive, 130 stopped with all saved.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from spo_jax.commands import gin_config

HELP = "train a policy from a config file; the same command resumes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    gin_config.add_arguments(parser)
    parser.add_argument(
        "--run_dir", required=True, help="directory of the run; resumed if it exists"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def take_unknown(args: argparse.Namespace, unknown: Sequence[str]) -> list[str]:
    return gin_config.take_bindings(args, unknown)


def run(args: argparse.Namespace) -> int:
    from spo_jax.learning import NonFiniteLossError
    from spo_jax.reporting.summary import format_summary
    from spo_jax.running.configurables import CONFIGURABLES
    from spo_jax.running.stopping import ActorsLostError, Stopped
    from spo_jax.train import train

    settings = gin_config.configured_arguments(
        train, CONFIGURABLES, args.gin_file, args.gin_bindings
    )
    try:
        summary = train(args.run_dir, **settings, config=gin_config.resolved_config())
    except Stopped:
        print(f"stopped; the same command goes on with '{args.run_dir}'", file=sys.stderr)
        return 130
    except (NonFiniteLossError, ActorsLostError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3 if isinstance(error, NonFiniteLossError) else 4
    print(json.dumps(summary) if args.json else format_summary(summary))
    if not args.json:
        print(f"report: {args.run_dir}/report.html")
    return 0
