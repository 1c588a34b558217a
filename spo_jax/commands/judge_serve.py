"""`spo judge serve`: one judge shared by several processes."""

import argparse
import os
from typing import TYPE_CHECKING

from spo_jax.errors import UserError

if TYPE_CHECKING:
    from spo_jax.judging.wire import Address


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Judges for several processes with one pool, until SIGTERM."
    add_address(parser)
    parser.add_argument("--num_workers", type=int, help="default: one per processor")
    parser.add_argument("--max_queue", type=int, default=4096, help="submissions held at most")
    parser.add_argument("--backend", metavar="BACKEND", help="as in `spo judge`")
    parser.add_argument("--python", metavar="PATH", help="interpreter that programs run under")
    parser.add_argument(
        "--comparison",
        choices=("strict", "code_contests", "taco"),
        default="strict",
        help="of outputs",
    )
    add_packages(parser)
    parser.add_argument("--allow_unsandboxed", action="store_true", help="as in `spo judge`")


def add_packages(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--packages",
        metavar="NAME,...",
        type=lambda text: tuple(filter(None, text.split(","))),
        default=(),
        help="installed packages that Python programs may import; default: none",
    )


def add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--socket", metavar="PATH", help="a Unix socket")
    parser.add_argument("--host", default="127.0.0.1", help="with --port; this machine's only")
    parser.add_argument("--port", type=int, help="TCP; needs --token_file")
    parser.add_argument("--token_file", metavar="FILE", help="a secret of 16 characters or more")


def read_address(args: argparse.Namespace) -> "tuple[Address, str]":
    from spo_jax.judging.wire import parse_address, read_token

    if (args.socket is None) == (args.port is None):
        raise UserError("spo judge: give either --socket PATH or --port N")
    text = f"unix:{args.socket}" if args.socket else f"tcp:{args.host}:{args.port}"
    return parse_address(text), read_token(args.token_file) if args.token_file else ""


def run(args: argparse.Namespace) -> int:
    from spo_jax.judging.comparison import OutputComparison
    from spo_jax.judging.pool import Judge
    from spo_jax.judging.server import JudgeServer

    address, token = read_address(args)
    num_workers = args.num_workers or len(os.sched_getaffinity(0))
    with Judge(
        num_workers=num_workers,
        backend=args.backend,
        packages=args.packages,
        python=args.python,
        comparison=OutputComparison(mode=args.comparison),
        allow_unsandboxed=args.allow_unsandboxed,
    ) as judge:
        server = JudgeServer(
            judge,
            num_workers=num_workers,
            address=address,
            token=token,
            max_queue=args.max_queue,
        )
        server.run(lambda text: print(f"listening on {text}, sandbox {judge.backend}", flush=True))
    return 0
