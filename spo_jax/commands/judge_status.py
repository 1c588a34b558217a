"""`spo judge status`: prints a judge server's state as one JSON object."""

import argparse
import json

from spo_jax.commands.judge_serve import add_address, read_address
from spo_jax.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_address(parser)


def run(args: argparse.Namespace) -> int:
    from spo_jax.judging.client import greet

    address, token = read_address(args)
    try:
        connection, hello = greet(address, token)
    except (OSError, EOFError) as error:
        raise UserError(f"no judge server answers at {address}: {error}") from error
    connection.close()
    print(json.dumps({key: value for key, value in hello.items() if key != "type"}))
    return 0
