"""Train a policy: the main job.

A run is described by gin files and single bindings, and kept in a directory. Starting the same
command again goes on where the run stopped.

  spo train --gin_file=configs/runs/quickstart.gin --run_dir=runs/quickstart
  spo train --gin_file=configs/runs/quickstart.gin --run_dir=runs/a --gin.train.num_updates=10

The comment at the head of each file in configs/runs/ lists the bindings that are usually changed.
Ctrl-C or SIGTERM (a preemption notice) saves and stops; a second one stops at once.
Exit status: 0 finished, 1 another process of the run failed or died, 2 bad input, 3 a loss that is
not finite, 4 the disk is full or a checkpoint could not be saved, 5 no actor or no engine is alive
(the state is saved), 130 stopped by a signal with all saved, 131 stopped at once.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spo_jax.commands import distributed, gin_config
from spo_jax.errors import EnginesLostError, FullDiskError

if TYPE_CHECKING:
    from spo_jax.running.hosts import Hosts

HELP = "train a policy from a config file; the same command resumes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    gin_config.add_arguments(parser)
    parser.add_argument(
        "--run_dir", required=True, help="directory of the run; resumed if it exists"
    )
    distributed.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def take_unknown(args: argparse.Namespace, unknown: Sequence[str]) -> list[str]:
    return gin_config.take_bindings(args, unknown)


def run(args: argparse.Namespace) -> int:
    return distributed.run(args, _run)


def _run(args: argparse.Namespace, hosts: "Hosts") -> int:
    from spo_jax.learning import CheckpointError, NonFiniteLossError
    from spo_jax.reporting.summary import format_summary
    from spo_jax.running.configurables import CONFIGURABLES
    from spo_jax.running.stopping import ActorsLostError, Stopped
    from spo_jax.train import train

    settings = gin_config.configured_arguments(
        train, CONFIGURABLES, args.gin_file, args.gin_bindings
    )
    try:
        summary = train(args.run_dir, hosts, **settings, config=gin_config.resolved_config())
    except Stopped:
        if hosts.is_main:
            print(f"stopped; the same command goes on with '{args.run_dir}'", file=sys.stderr)
        return 130
    except (NonFiniteLossError, ActorsLostError, EnginesLostError) as error:
        hosts.fail(error)
        print(f"error: {error}", file=sys.stderr)
        return 3 if isinstance(error, NonFiniteLossError) else 5
    except (FullDiskError, CheckpointError) as error:
        hosts.fail(error)
        print(f"error: {error}", file=sys.stderr)
        print(
            f"'{args.run_dir}' stands as it was at its last checkpoint; with that put right, the "
            "same command goes on from there",
            file=sys.stderr,
        )
        return 4
    except KeyboardInterrupt as interrupt:
        hosts.fail(interrupt)
        print("stopped at once, back to the last checkpoint", file=sys.stderr, flush=True)
        os._exit(131)  # a checkpoint that is being written is not waited for
    if not hosts.is_main:
        return 0
    print(json.dumps(summary) if args.json else format_summary(summary))
    if not args.json:
        print(f"report: {args.run_dir}/report.html")
    return 0
