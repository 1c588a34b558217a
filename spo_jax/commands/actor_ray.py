"""Sample for a run with actors under Ray: as `spo actor`, placed and restarted by Ray.

  spo train --gin_file=configs/runs/quickstart.gin --run_dir=/nfs/runs/a \\
      "--gin.train.actors=@ActorSettings()" --gin.ActorSettings.mode=remote
  spo actor ray --run_dir=/nfs/runs/a --num_actors=4 --address=auto --resources='{"TPU": 4}'

Every actor occupies the resources given here; where the cluster has no room for all of them, the
others wait, and Ray's autoscaler brings nodes. An actor that dies is started again, also on another
node, and goes on after its last commit. Needs spo-jax[ray] on every node, and a run directory that
all of them see.
Exit status: 0 the run is done, 1 some actors failed, 2 bad input or all failed, 130 stopped.
"""

import argparse
import json
from collections.abc import Sequence

from spo_jax.commands import gin_config
from spo_jax.errors import UserError

HELP = "sample for a run with actors under Ray"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    gin_config.add_arguments(parser)
    parser.add_argument(
        "--run_dir", required=True, help="directory of the run; waited for if it is not there"
    )
    parser.add_argument("--num_actors", type=int, required=True, help="named PREFIX0, PREFIX1, ...")
    parser.add_argument("--prefix", default="ray", help="of the actors' names (default: ray)")
    parser.add_argument(
        "--address", help="of the Ray cluster, or 'auto'; by default a new one on this machine"
    )
    parser.add_argument("--num_cpus", type=float, default=1.0, help="of one actor (default: 1)")
    parser.add_argument("--num_gpus", type=float, default=0.0, help="of one actor (default: 0)")
    parser.add_argument(
        "--resources", default="{}", help="others of one actor, as JSON, such as '{\"TPU\": 4}'"
    )
    parser.add_argument(
        "--max_restarts", type=int, default=-1, help="of one actor (default: -1, without end)"
    )
    parser.add_argument(
        "--detached",
        action="store_true",
        help="start the actors and return; the same command without it watches them",
    )
    parser.add_argument("--commit_log_dir", help="gets NAME.jsonl of acknowledged commits")


def take_unknown(args: argparse.Namespace, unknown: Sequence[str]) -> list[str]:
    return gin_config.take_bindings(args, unknown)


def run(args: argparse.Namespace) -> int:
    from spo_jax.commands.actor import configured
    from spo_jax.ray_actors import RayPlacement, run_on_ray
    from spo_jax.running.stopping import Stopped, StopRequest

    if args.num_actors < 1:
        raise UserError(f"--num_actors={args.num_actors} must be at least 1")
    placement = RayPlacement(
        num_cpus=args.num_cpus,
        num_gpus=args.num_gpus,
        resources=_resources(args.resources),
        max_restarts=args.max_restarts,
        detached=args.detached,
    )
    with StopRequest("ending the actors; what is under way is dropped") as stop:
        try:
            settings = configured(args, stop)
        except Stopped:
            return 130
        outcomes = run_on_ray(
            args.run_dir,
            [f"{args.prefix}{i}" for i in range(args.num_actors)],
            settings,
            placement=placement,
            address=args.address,
            commit_log_dir=args.commit_log_dir,
            stop=stop,
        )
    for name, outcome in outcomes.items():
        if outcome.status is not None:
            print(f"{name}: {outcome.status.num_rounds} rounds in all")
    if stop.requested:
        return 130
    return 1 if any(outcome.failure for outcome in outcomes.values()) else 0


def _resources(text: str) -> dict[str, float]:
    try:
        values = json.loads(text)
        return {str(name): float(amount) for name, amount in values.items()}
    except (ValueError, AttributeError, TypeError):
        raise UserError(f"--resources={text} must be JSON like '{{\"TPU\": 4}}'") from None
