"""`spo export`: the policy a run trained, as a Hugging Face directory."""

import argparse
from pathlib import Path

from spo_jax.commands.conversion import add_conversion_arguments, convert
from spo_jax.errors import UserError

HELP = "write a trained policy as a Hugging Face directory"

_DESCRIPTION = """\
Writes the newest policy that a run has published (or another one with --version) to DIR, with its
tokenizer. transformers and vLLM load the directory.
"""
_EPILOG = """\
examples:
  spo export runs/quickstart exported
  spo export runs/quickstart exported --dtype bfloat16 --version 40
  spo export runs/quickstart/policies/40 exported
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "source", metavar="RUN_OR_POLICY_DIR", help="a run, or one published policy"
    )
    parser.add_argument("--version", metavar="N", help="of the run's policies; default: the newest")
    add_conversion_arguments(parser)


def run(args: argparse.Namespace) -> int:
    convert(policy_directory(Path(args.source), args.version), args)
    return 0


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
