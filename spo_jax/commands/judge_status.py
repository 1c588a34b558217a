"""`spo judge status`: what a shared judge is doing."""

import argparse
import json

from spo_jax.commands.judge_serve import add_address_arguments, address_of, token_of

HELP = "what a shared judge is doing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Prints queue, workers, sandbox and verdicts of a `spo judge serve`."
    add_address_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    from spo_jax.judging.link import read_status

    status = read_status(address_of(args), token_of(args))
    del status["op"]
    if args.json:
        print(json.dumps(status))
        return 0
    verdicts = ", ".join(f"{name} {count}" for name, count in status["verdicts"].items())
    held = status["num_waiting"] + status["num_running"]
    print(
        f"judge at {status['address']}, up {status['uptime_secs']:.0f} s\n"
        f"queue     {status['num_waiting']} waiting, {status['num_running']} running "
        f"({held} of {status['max_queue']} places), {status['num_clients']} clients\n"
        f"workers   {status['num_workers']}\n"
        f"sandbox   {status['backend']} ({', '.join(status['layers'])})\n"
        f"verdicts  {verdicts or 'none yet'}"
    )
    return 0
