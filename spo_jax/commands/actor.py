"""Sample for a run from a process of its own: any number of them, here or on other machines.

An actor reads the policies that a run publishes and writes judged samples to its store. It may come
and go at any time; started again under the same name it goes on after its last commit.

  spo train --gin_file=configs/runs/quickstart.gin --run_dir=runs/a \\
      "--gin.train.actors=@ActorSettings()" --gin.ActorSettings.mode=remote
  spo actor --run_dir=runs/a --actor_id=a0
  spo actor --run_dir=runs/a --actor_id=a1

The run's own configuration is used, so the directory has to be one that both sides see. What
differs on this machine is bound here, such as --gin.JudgeSettings.num_workers=4.
Exit status: 0 the run is done, 2 bad input or a name in use, 130 stopped.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spo_jax.commands import gin_config

if TYPE_CHECKING:
    from spo_jax.running.stopping import StopRequest

HELP = "sample for a run, beside its learner or on another machine"

_WAIT_SECS, _SAY_EVERY = 1.0, 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    gin_config.add_arguments(parser)
    parser.add_argument(
        "--run_dir", required=True, help="directory of the run; waited for if it is not there"
    )
    parser.add_argument("--actor_id", required=True, help="a name no other actor of the run has")
    parser.add_argument(
        "--commit_log", help="JSON lines file of acknowledged commits, with their trajectory ids"
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def take_unknown(args: argparse.Namespace, unknown: Sequence[str]) -> list[str]:
    return gin_config.take_bindings(args, unknown)


def run(args: argparse.Namespace) -> int:
    import dataclasses

    from spo_jax.act import act
    from spo_jax.running.stopping import StopRequest

    with StopRequest("ending; what is under way is dropped") as stop:
        settings = configured(args, stop)
        if stop.requested:
            return 130
        status = act(
            args.run_dir,
            actor_id=args.actor_id,
            commit_log=args.commit_log,
            stop=stop,
            **settings,
        )
    if args.json:
        print(json.dumps(dataclasses.asdict(status)))
    else:
        print(f"{args.actor_id}: {status.num_rounds} rounds in all, {status.num_groups} groups now")
    return 130 if stop.requested else 0


def configured(args: argparse.Namespace, stop: "StopRequest") -> dict[str, Any]:
    """What the run and `act` have in common; empty if a stop was asked for while it was awaited."""
    import inspect

    from spo_jax.act import act
    from spo_jax.running.configurables import CONFIGURABLES
    from spo_jax.train import train

    files = args.gin_file or _saved_config(args.run_dir, stop.is_requested)
    if stop.requested:
        return {}
    settings = gin_config.configured_arguments(train, CONFIGURABLES, files, args.gin_bindings)
    shared = inspect.signature(act).parameters
    return {name: value for name, value in settings.items() if name in shared}


def _saved_config(run_dir: str, should_stop) -> list[str]:
    """The run's own configuration, once there is one."""
    path, waited = Path(run_dir) / "config.gin", 0
    while not path.exists() and not should_stop():
        if waited % _SAY_EVERY == 0:
            print(f"waiting for the run in '{run_dir}'", file=sys.stderr, flush=True)
        time.sleep(_WAIT_SECS)
        waited += 1
    return [str(path)]
