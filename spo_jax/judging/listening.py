"""The socket that a shared judge listens on."""

import os
import socket
import stat

from spo_jax.errors import UserError
from spo_jax.judging.wire import Address


def listen(address: Address) -> tuple[socket.socket, Address]:
    """A listening socket; for a Unix socket, its owner's alone. Port 0 takes a free one."""
    try:
        if address.path is None:
            listener = socket.create_server(("127.0.0.1", address.port or 0), backlog=64)
            return listener, Address(None, listener.getsockname()[1])
        _remove_stale(address)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o177)
        try:
            listener.bind(address.path)
        finally:
            os.umask(old)
        listener.listen(64)
        return listener, address
    except OSError as error:
        raise UserError(f"the judge cannot listen at {address}: {error}") from error


def _remove_stale(address: Address) -> None:
    """Removes the socket that a killed server left behind, and nothing else."""
    assert address.path is not None
    try:
        mode = os.lstat(address.path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise UserError(f"the judge cannot listen at {address}: it is a file, not a socket")
    try:
        address.connect(timeout=5.0).close()
    except ConnectionRefusedError:
        os.unlink(address.path)
        return
    raise UserError(f"the judge cannot listen at {address}: another one does already")
