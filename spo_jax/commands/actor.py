"""Sample for a run from a process of its own: any number of them, here or on other machines.

An actor reads the policies that a run publishes and writes judged samples to its store. It may come
and go at any time; started again under the same name it goes on after its last commit.

  spo train --gin_file=configs/runs/quickstart.gin --run_dir=runs/a \\
      "--gin.train.actors=@ActorSettings()" --gin.ActorSettings.mode=remote
  spo actor --run_dir=runs/a --actor_id=a0
  spo actor --run_dir=runs/a --actor_id=a1

The run's own configuration is used, so the directory has to be one that both sides see; or the
run names a bucket (--gin.ActorSettings.shared_url=gs://...), and that is given here as --run_dir.
What differs on this machine is bound here, such as --gin.JudgeSettings.num_workers=4.
Exit status: 0 the run is done, 2 bad input or a name in use, 130 stopped.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spo_jax.commands import gin_config
from spo_jax.errors import EnginesLostError

if TYPE_CHECKING:
    from spo_jax.running.stopping import StopRequest

HELP = "sample for a run, beside its learner or on another machine"

_WAIT_SECS, _SAY_EVERY = 1.0, 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    gin_config.add_arguments(parser)
    parser.add_argument(
        "--run_dir", required=True, help="directory of the run, or its shared_url; waited for"
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
    from spo_jax.running.stopping import Stopped, StopRequest

    with StopRequest("ending; what is under way is dropped") as stop:
        try:
            status = act(
                args.run_dir,
                actor_id=args.actor_id,
                commit_log=args.commit_log,
                stop=stop,
                **configured(args, stop),
            )
        except Stopped:
            print(f"{args.actor_id}: stopped; the same command goes on", file=sys.stderr)
            return 130
        except EnginesLostError as error:
            print(f"error: {error}; the same command goes on", file=sys.stderr)
            return 5
    if args.json:
        print(json.dumps(dataclasses.asdict(status)))
    else:
        print(f"{args.actor_id}: {status.num_rounds} rounds in all, {status.num_groups} groups now")
    return 0


def configured(args: argparse.Namespace, stop: "StopRequest") -> dict[str, Any]:
    """What the run and `act` have in common.

    Raises:
      Stopped: a stop was asked for while the run was waited for.
    """
    import inspect

    from spo_jax.act import act
    from spo_jax.running.configurables import CONFIGURABLES
    from spo_jax.running.stopping import Stopped
    from spo_jax.train import train

    with contextlib.ExitStack() as stack:
        files = list(args.gin_file)
        if not files:
            text = _saved_config(args.run_dir, stop.is_requested)
            if text is None:
                raise Stopped
            files = [_local_copy(stack, text)]
        settings = gin_config.configured_arguments(train, CONFIGURABLES, files, args.gin_bindings)
    shared = inspect.signature(act).parameters
    return {name: value for name, value in settings.items() if name in shared}


def _saved_config(run_dir: str, should_stop: Callable[[], bool]) -> str | None:
    """The run's own configuration, once there is one; None if a stop was asked for before."""
    from spo_jax.acting.shared_files import SharedFiles

    files, waited = SharedFiles(run_dir), 0
    while (text := files.read_text("config.gin")) is None:
        if should_stop():
            return None
        if waited % _SAY_EVERY == 0:
            print(f"waiting for the run in '{run_dir}'", file=sys.stderr, flush=True)
        time.sleep(_WAIT_SECS)
        waited += 1
    return text


def _local_copy(stack: contextlib.ExitStack, text: str) -> str:
    """A file for gin to read."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="run-config-"))
    path = Path(folder) / "config.gin"
    path.write_text(text, encoding="utf-8")
    return str(path)
