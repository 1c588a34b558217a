"""`spo judge serve`: one pool of sandboxes for several actors."""

import argparse
import os
import signal
import sys
import threading

from spo_jax.errors import UserError

HELP = "share one judge between several processes"

_DESCRIPTION = """\
Listens on a Unix socket of its owner's alone, or on a port of this machine for those who know the
token, and judges what clients submit: runs with JudgeSettings.address, or judging.JudgeClient.
SIGTERM or Ctrl-C finishes what was taken and ends; a second one ends at once.
"""
_EPILOG = """\
examples:
  spo judge serve --socket /tmp/judge.sock --num_workers 8
  (umask 077; openssl rand -hex 32 > token); spo judge serve --port 7070 --token_file token
  spo judge status --socket /tmp/judge.sock
"""


def add_address_arguments(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", metavar="PATH", help="Unix socket")
    where.add_argument("--port", type=int, metavar="N", help="port of 127.0.0.1")
    parser.add_argument(
        "--token_file", metavar="FILE", help="holds the token; required with --port"
    )


def address_of(args: argparse.Namespace) -> str:
    return f"tcp:127.0.0.1:{args.port}" if args.socket is None else f"unix:{args.socket}"


def token_of(args: argparse.Namespace) -> str | None:
    from spo_jax.judging.wire import read_token

    if args.token_file is None and args.socket is None:
        raise UserError("--port needs --token_file: every user of this machine reaches a port")
    return None if args.token_file is None else read_token(args.token_file)


def add_packages(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--packages",
        metavar="NAME,...",
        type=lambda text: tuple(filter(None, text.split(","))),
        default=(),
        help="installed packages that Python programs may import; default: none",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    add_address_arguments(parser)
    parser.add_argument(
        "--num_workers", type=int, default=0, metavar="N", help="default: one per processor"
    )
    parser.add_argument(
        "--max_queue",
        type=int,
        default=1024,
        metavar="N",
        help="submissions held at most, of all clients together; the rest waits with the clients",
    )
    parser.add_argument("--backend", metavar="BACKEND", help="zygote or exec")
    parser.add_argument("--python", metavar="PATH", help="the interpreter that runs programs")
    add_packages(parser)
    parser.add_argument(
        "--comparison", default="strict", help="of outputs: strict, code_contests or taco"
    )
    parser.add_argument(
        "--allow_unsandboxed", action="store_true", help="without a sandbox run unprotected"
    )


def run(args: argparse.Namespace) -> int:
    from spo_jax.judging import Judge, OutputComparison
    from spo_jax.judging.server import JudgeServer
    from spo_jax.judging.wire import parse_address

    address, token = parse_address(address_of(args)), token_of(args)
    if args.num_workers < 0:
        raise UserError(f"--num_workers={args.num_workers} must be at least 0")
    num_workers = args.num_workers or len(os.sched_getaffinity(0))
    signals: list[int] = []
    has_signal = threading.Event()

    def note(number: int, frame: object) -> None:
        signals.append(number)
        has_signal.set()
        if len(signals) > 1:
            os._exit(128 + number)  # sandboxes end with us

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    with Judge(
        num_workers=num_workers,
        backend=args.backend,
        python=args.python,
        packages=args.packages,
        allow_unsandboxed=args.allow_unsandboxed,
        comparison=OutputComparison(mode=args.comparison),
    ) as judge:
        server = JudgeServer(
            judge, address, num_workers=num_workers, max_queue=args.max_queue, token=token
        )
        print(
            f"judging at {server.address}: {num_workers} workers, queue of {args.max_queue}, "
            f"sandbox {judge.backend}",
            flush=True,
        )
        has_signal.wait()
        print("finishing what was taken; again to end at once", file=sys.stderr, flush=True)
        server.drain()
    return 0
