"""`spo export`: the policy a run trained, as a Hugging Face directory."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spo_jax.commands.conversion import add_conversion_arguments, convert
from spo_jax.errors import UserError

if TYPE_CHECKING:
    from spo_jax.models import ModelConfig

HELP = "write a trained policy as a Hugging Face directory"

_DESCRIPTION = """\
Writes the newest policy that a run has published (or another one with --version, or that of a
checkpoint) to DIR, with its tokenizer. transformers and vLLM load the directory.
"""
_EPILOG = """\
examples:
  spo export runs/quickstart exported
  spo export runs/quickstart exported --dtype bfloat16 --version 40
  spo export runs/quickstart/policies/40 exported
  spo export runs/quickstart exported --checkpoint best
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "source", metavar="RUN_OR_POLICY_DIR", help="a run, or one published policy"
    )
    parser.add_argument("--version", metavar="N", help="of the run's policies; default: the newest")
    parser.add_argument(
        "--checkpoint",
        metavar="N|latest|best",
        help="the policy of a run's checkpoint, in place of a published one",
    )
    parser.add_argument(
        "--checkpoints", metavar="DIR", help="where they lie; default: the run's checkpoints/"
    )
    add_conversion_arguments(parser)


def run(args: argparse.Namespace) -> int:
    source = Path(args.source)
    if args.checkpoint is None:
        convert(policy_directory(source, args.version), args)
        return 0
    if args.version is not None:
        raise UserError("--version and --checkpoint both choose a policy; give one of them")
    published = policy_directory(source)  # for the configuration and the tokenizer
    restore = _checkpointed_params(args.checkpoints or str(source / "checkpoints"), args.checkpoint)
    convert(published, args, params_of=restore)
    return 0


def _checkpointed_params(directory: str, which: str) -> "Callable[[ModelConfig], Any]":
    """Returns what reads a checkpoint's parameters.

    Raises:
      UserError: there is no such checkpoint.
    """
    import jax

    from spo_jax.learning import Checkpointer
    from spo_jax.models.transformer import param_shapes

    checkpointer = Checkpointer(directory)
    steps, best = checkpointer.steps(), checkpointer.recorded_best()
    named = {"latest": steps[-1:], "best": [step for step in best if step in steps][:1]}
    chosen = named.get(which, [step for step in steps if str(step) == which])
    if not chosen:
        there = ", ".join(map(str, steps)) or "none"
        raise UserError(f"{directory}: no checkpoint '{which}'; there are {there}")
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def restore(config: "ModelConfig") -> Any:
        template = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
            param_shapes(config),
        )
        return checkpointer.restore_params(chosen[0], template)

    return restore


def policy_directory(source: Path, version: str | None = None) -> Path:
    """Returns the directory of one published policy.

    Args:
      source: a run directory, its `policies`, or a policy itself.
      version: which one of a run; None takes what LATEST names.

    Raises:
      UserError: there is no such policy.
    """
    if not source.is_dir():
        raise UserError(f"{source}: no such directory")
    if (source / "config.json").is_file():
        if version is not None:
            raise UserError(f"{source} is one policy; --version chooses among those of a run")
        return source
    policies = source / "policies" if (source / "policies").is_dir() else source
    if version is None:
        latest = policies / "LATEST"
        if not latest.is_file():
            raise UserError(f"{source}: neither a policy (config.json) nor a run with policies")
        version = latest.read_text(encoding="utf-8").strip()
    chosen = policies / version
    if not (chosen / "config.json").is_file():
        known = sorted(path.parent.name for path in policies.glob("[0-9]*/config.json"))
        raise UserError(f"{source}: no policy '{version}'; there are {', '.join(known) or 'none'}")
    return chosen
