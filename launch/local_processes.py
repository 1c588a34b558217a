"""Starts one command in N processes of one machine that find each other over loopback.

    python launch/local_processes.py --processes=2 --devices=4 -- COMMAND ...

Every process computes on `--devices` host devices of its own. Lines of process K > 0 begin with
`[K]`. A process that fails stops the others (SIGTERM, then SIGKILL after `--grace_secs`), and its
exit status is this one's. Ctrl-C and SIGTERM are passed on to all.
"""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO

_DEVICES_FLAG = "--xla_force_host_platform_device_count"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, required=True, help="how many")
    parser.add_argument("--devices", type=int, default=1, help="host devices of each")
    parser.add_argument("--grace_secs", type=float, default=120.0, help="between TERM and KILL")
    parser.add_argument("command", nargs="+", help="after --")
    args = parser.parse_args()
    if args.processes < 1 or args.devices < 1:
        parser.error(
            f"--processes={args.processes} and --devices={args.devices} must be at least 1"
        )
    address = f"127.0.0.1:{_free_port()}"
    processes = [
        subprocess.Popen(
            args.command,
            env=_environment(address, args.processes, index, args.devices),
            stdout=None if index == 0 else subprocess.PIPE,
            stderr=None if index == 0 else subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C comes once, from us, not also from the terminal
        )
        for index in range(args.processes)
    ]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: _send(processes, number))
    relays = [_relay(index, process.stdout) for index, process in enumerate(processes)]
    status = _wait(processes, args.grace_secs)
    for relay in relays:
        if relay is not None:
            relay.join()
    return status


def _environment(address: str, processes: int, index: int, devices: int) -> dict[str, str]:
    flags = re.sub(rf"{_DEVICES_FLAG}=\d+", "", os.environ.get("XLA_FLAGS", ""))
    return {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": str(processes),
        "JAX_PROCESS_ID": str(index),
        "XLA_FLAGS": f"{flags} {_DEVICES_FLAG}={devices}".strip(),
    }


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _relay(index: int, lines: IO[str] | None) -> threading.Thread | None:
    """Copies a process's lines to ours, each whole, with its number in front."""
    if lines is None:
        return None

    def copy() -> None:
        for line in lines:
            sys.stderr.write(f"[{index}] {line}")
            sys.stderr.flush()

    thread = threading.Thread(target=copy)
    thread.start()
    return thread


def _wait(processes: Sequence[subprocess.Popen[str]], grace_secs: float) -> int:
    """Waits for all. Returns 0, or the status of the first that failed, which ends the others."""
    status, deadline = 0, float("inf")
    while None in [process.poll() for process in processes]:
        failed = [process for process in processes if process.returncode not in (None, 0)]
        if failed and not status:
            status = _exit_status(failed[0])
            index = processes.index(failed[0])
            print(f"[run] process {index} failed ({status}); stopping the others", file=sys.stderr)
            _send(processes, signal.SIGTERM)
            deadline = time.monotonic() + grace_secs
        if time.monotonic() > deadline:
            _send(processes, signal.SIGKILL)
        time.sleep(0.1)
    return status or next((_exit_status(p) for p in processes if p.returncode), 0)


def _exit_status(process: subprocess.Popen[str]) -> int:
    """As a shell has it: 128 + the signal's number for a killed process."""
    code = int(process.returncode)
    return code if code >= 0 else 128 - code


def _send(processes: Sequence[subprocess.Popen[str]], number: int) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


if __name__ == "__main__":
    sys.exit(main())
