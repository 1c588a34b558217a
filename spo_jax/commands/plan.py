"""Tell whether a run fits a TPU slice, how much it communicates and about how long a step takes.

Reads the same gin files as `spo train` and compiles the learner's update, the annotation and the
sampler for the named slice, which need not be there. Of the model only config.json is read:
configs/models/ has those of some published models. Needs the TPU compiler:
pip install 'spo-jax[plan]'.

  spo plan --gin_file=configs/plans/llama-3.1-8b.gin --topology=v5p:4x4x4
  spo plan --gin_file=configs/runs/quickstart.gin --topology=v5e:2x2 --gin.MeshShape.fsdp=4

When something does not fit, settings that could help are compiled too (--no_knobs leaves it at
the verdict). docs/scaling.md explains the numbers. Exit status: 0 fits, 1 does not, 2 bad input.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence

from spo_jax.commands import gin_config
from spo_jax.errors import UserError

HELP = "tell whether a run fits a TPU slice that is not at hand"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    gin_config.add_arguments(parser)
    parser.add_argument(
        "--topology", required=True, help="the slice: v5e:4x4, v5p:4x4x4, v6e:8x8, ..."
    )
    parser.add_argument(
        "--programs",
        default="all",
        help="comma-separated: accumulate, apply, annotate, prefill, decode (default: all)",
    )
    parser.add_argument(
        "--separate_sampler",
        action="store_true",
        help="the sampler has chips of its own, instead of turns on the learner's",
    )
    parser.add_argument("--no_knobs", action="store_true", help="do not try what would make it fit")
    for name, default in (("compute", 0.5), ("hbm", 0.8), ("ici", 0.8)):
        parser.add_argument(
            f"--{name}_efficiency",
            type=float,
            default=default,
            help=f"fraction of the chip's {name} peak to count on (default {default})",
        )
    parser.add_argument("--hlo_dir", help="write the compiled text of every program here")
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON")


def take_unknown(args: argparse.Namespace, unknown: Sequence[str]) -> list[str]:
    return gin_config.take_bindings(args, unknown)


def run(args: argparse.Namespace) -> int:
    # Nothing runs on a device here, and looking for TPUs where only their compiler is takes time.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from spo_jax.planning import knobs, report, topology, verdict
    from spo_jax.planning.programs import PROGRAMS
    from spo_jax.running.configurables import CONFIGURABLES
    from spo_jax.running.plan_settings import planned_run
    from spo_jax.train import train

    begin = time.perf_counter()

    def progress(line: str) -> None:
        print(f"[{time.perf_counter() - begin:5.0f} s] {line}", file=sys.stderr, flush=True)

    names = _chosen(args.programs, PROGRAMS)
    efficiency = verdict.Efficiency(
        compute=_fraction("compute_efficiency", args.compute_efficiency),
        hbm=_fraction("hbm_efficiency", args.hbm_efficiency),
        ici=_fraction("ici_efficiency", args.ici_efficiency),
    )
    topology.parse_topology(args.topology)
    arguments = gin_config.configured_arguments(
        train, CONFIGURABLES, args.gin_file, args.gin_bindings
    )
    plan = planned_run(arguments)
    where = topology.named_slice(args.topology)
    planned = verdict.compile_plan(
        plan,
        where,
        names=names,
        shares_chips=not args.separate_sampler,
        progress=progress,
        hlo_dir=args.hlo_dir,
    )
    if not args.json:
        print(report.format_plan(planned, efficiency), flush=True)
    trials = []
    if planned.too_big and not args.no_knobs:
        trials = list(knobs.try_knobs(planned, where, progress=progress))
    if args.json:
        tried = [dataclasses.asdict(trial) for trial in trials]
        print(json.dumps(verdict.as_dict(planned, efficiency) | {"tried": tried}))
    elif trials:
        print(report.format_trials(trials, planned))
    return 1 if planned.too_big else 0


def _chosen(text: str, known: Sequence[str]) -> list[str]:
    if text == "all":
        return list(known)
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise UserError(f"--programs: '{name}' is not one of {', '.join(known)}")
    return names


def _fraction(name: str, value: float) -> float:
    if not 0 < value <= 1:
        raise UserError(f"--{name}={value} must be above 0 and at most 1")
    return value
