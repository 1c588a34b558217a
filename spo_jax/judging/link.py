"""A client's connection to a shared judge."""

import contextlib
import socket
from typing import Any

from spo_jax.errors import UserError
from spo_jax.judging.wire import VERSION, WireError, encode, parse_address, read_frame

HANDSHAKE_SECS = 20.0


class Link:
    """One connection, and the problems that its other end knows."""

    def __init__(self, connection: socket.socket):
        self.socket = connection
        self._stream = connection.makefile("rb")
        self.known: set[str] = set()

    def send(self, message: dict[str, Any]) -> None:
        self.send_line(encode(message))

    def send_line(self, line: bytes) -> None:
        self.socket.sendall(line)

    def receive(self) -> dict[str, Any]:
        return read_frame(self._stream)[0]

    def close(self) -> None:
        """Wakes who reads or sends. The descriptor goes with the last reference."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def read_status(address: str, token: str | None = None) -> dict[str, Any]:
    """What a server says of itself: its queue, workers, backend and verdicts so far.

    Raises:
      UserError: nobody listens there, or the server refuses us.
    """
    where = parse_address(address)
    try:
        link = Link(where.connect(HANDSHAKE_SECS))
        try:
            link.send({"op": "hello", "version": VERSION, "token": token, "watches": True})
            link.send({"op": "status"})
            while (message := link.receive())["op"] != "status":
                if message["op"] == "error":
                    raise WireError(message.get("message"))
            return message
        finally:
            link.close()
    except (OSError, EOFError) as error:
        raise UserError(f"no judge answers at {where}: {error or 'it hung up'}") from error
    except WireError as error:
        raise UserError(f"the judge at {where} refuses: {error}") from error
