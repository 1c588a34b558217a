"""One HTTP request with a deadline, which another thread can cut off.

Closing the connection is how a server learns that nobody waits any more: vLLM and SGLang then end
the request and free its slot.
"""

import contextlib
import http.client
import json
import socket
import threading
import time
import urllib.parse
from typing import Any

from spo_jax.errors import UserError

_CONNECT_SECS = 10.0
_CHUNK_BYTES = 1 << 16
_MAX_ANSWER_BYTES = 256 << 20
# What a server says while it is overloaded, starting, or broken; another may do better.
_PASSING_STATUSES = (408, 409, 425, 429)


class ServerFailure(Exception):
    """A server did not answer, or not with anything usable; another try may succeed."""


class Cancelled(Exception):
    """Nobody waits for the answer any more."""


class Canceller:
    """Cuts off all requests made under it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._is_cancelled = threading.Event()

    @property
    def is_cancelled(self) -> bool:
        return self._is_cancelled.is_set()

    def cancel(self) -> None:
        with self._lock:
            self._is_cancelled.set()
            for open_socket in self._sockets:
                with contextlib.suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)

    def wait(self, secs: float) -> None:
        """Pauses; raises Cancelled as soon as it is."""
        if self._is_cancelled.wait(secs):
            raise Cancelled

    @contextlib.contextmanager
    def watching(self, open_socket: socket.socket):
        with self._lock:
            if self.is_cancelled:
                raise Cancelled
            self._sockets.add(open_socket)
        try:
            yield
        finally:
            with self._lock:
                self._sockets.discard(open_socket)


class Endpoint:
    """A server's address.

    Args:
      url: 'http://host:port' or 'https://...'; a final '/v1' is taken off.
      api_key: sent as a bearer token, or None.
    Raises:
      UserError: not such an address.
    """

    def __init__(self, url: str, api_key: str | None = None):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise UserError(f"engine address '{url}' must be like http://host:port or https://host")
        self._is_tls = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/").removesuffix("/v1")
        self._headers = {"Content-Type": "application/json"}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self.url = f"{parts.scheme}://{parts.netloc}{self._prefix}"

    def get(self, path: str, timeout_secs: float, canceller: Canceller) -> Any:
        return self._ask("GET", path, None, timeout_secs, canceller)

    def post(self, path: str, body: Any, timeout_secs: float, canceller: Canceller) -> Any:
        """Sends JSON and returns the answer: JSON, or text where it is none.

        Raises:
          ServerFailure: no answer in time, a broken one, or a status that may pass.
          UserError: the server refuses the request itself.
          Cancelled: by the canceller.
        """
        return self._ask("POST", path, json.dumps(body).encode(), timeout_secs, canceller)

    def _ask(
        self, method: str, path: str, body: bytes | None, timeout_secs: float, canceller: Canceller
    ) -> Any:
        try:
            status, data = self._exchange(method, path, body, timeout_secs, canceller)
        except (OSError, http.client.HTTPException) as error:
            if canceller.is_cancelled:
                raise Cancelled from error
            reason = f"no answer within {timeout_secs:g} s" if _is_timeout(error) else _name(error)
            raise ServerFailure(f"{method} {path}: {reason}") from error
        text = data.decode("utf-8", "replace")
        if 200 <= status < 300:
            return _parsed(text)
        message = f"{method} {path}: HTTP status {status}: {_message(text)}"
        if status >= 500 or status in _PASSING_STATUSES:
            raise ServerFailure(message)
        raise UserError(f"engine {self.url} refuses {message}")

    def _exchange(
        self, method: str, path: str, body: bytes | None, timeout_secs: float, canceller: Canceller
    ) -> tuple[int, bytes]:
        deadline = time.monotonic() + timeout_secs
        kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=min(_CONNECT_SECS, timeout_secs))
        with contextlib.closing(connection):
            connection.connect()
            open_socket = connection.sock
            with canceller.watching(open_socket):
                open_socket.settimeout(_left(deadline))
                connection.request(method, self._prefix + path, body, self._headers)
                response = connection.getresponse()
                return response.status, _read(response, open_socket, deadline)


def _read(response: http.client.HTTPResponse, open_socket: socket.socket, deadline: float) -> bytes:
    """The whole body before the deadline, however slowly it drips."""
    parts, size = [], 0
    while not response.closed:
        if open_socket.fileno() >= 0:
            open_socket.settimeout(_left(deadline))
        part = response.read1(_CHUNK_BYTES)
        if not part:
            break
        parts.append(part)
        size += len(part)
        if size > _MAX_ANSWER_BYTES:
            raise ServerFailure(f"an answer of more than {_MAX_ANSWER_BYTES} bytes")
    if response.length:
        raise http.client.IncompleteRead(b"".join(parts), response.length)
    return b"".join(parts)


def _left(deadline: float) -> float:
    secs = deadline - time.monotonic()
    if secs <= 0:
        raise TimeoutError
    return secs


def _is_timeout(error: BaseException) -> bool:
    return isinstance(error, TimeoutError)


def _name(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _message(text: str) -> str:
    """What the server says, for a person: OpenAI's {"error": {"message"}} or the beginning."""
    answer = _parsed(text)
    for key in ("error", "message", "detail"):
        if isinstance(answer, dict) and key in answer:
            answer = answer[key]
    return " ".join(str(answer).split())[:300]
