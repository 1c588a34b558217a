"""Commands that several processes can run together: `--distributed`."""

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spo_jax.running.hosts import Hosts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="one of several processes that run this together; see docs/pods.md",
    )
    parser.add_argument(
        "--host_timeout_secs",
        type=float,
        default=60.0,
        help="without a sign of life, after which another process counts as dead (default 60)",
    )


def run(args: argparse.Namespace, work: "Callable[[argparse.Namespace, Hosts], int]") -> int:
    """The exit status of `work`, or 1 if another process failed or died."""
    from spo_jax.running.hosts import HostsError, joined

    try:
        with joined(args.distributed, dead_after_secs=args.host_timeout_secs) as hosts:
            return work(args, hosts)
    except HostsError as error:
        print(f"error: {error}; the same command on all hosts goes on", file=sys.stderr)
        return 1
