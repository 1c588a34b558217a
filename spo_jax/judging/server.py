"""A judge behind a socket, for several actors. Threads: one reads and one writes per client."""

import collections
import concurrent.futures
import contextlib
import hmac
import itertools
import os
import queue
import select
import socket
import threading
import time
from typing import IO, Any, NoReturn

from spo_jax.errors import UserError
from spo_jax.judging.listening import listen
from spo_jax.judging.pool import Judge
from spo_jax.judging.problem_store import ProblemStore
from spo_jax.judging.sharing import SharedQueue, Ticket
from spo_jax.judging.wire import (
    MAX_HELLO_BYTES,
    VERSION,
    Address,
    WireError,
    encode,
    judgement_to_record,
    read_frame,
)
from spo_jax.types import Judgement

_HELLO_SECS = 10.0  # within which a client must say who it is
_FLUSH_SECS = 10.0  # given to clients to read their last answers
_POLL_SECS = 0.5  # between looks whether a client that waits for a place is still there
_MAX_PROBLEM_BYTES = 1024 * 1024 * 1024  # of problems remembered
_MAX_PROGRAM_BYTES = 256 * 1024 * 1024  # of programs held


_Outgoing = tuple[dict[str, Any], int | None]  # a message, and bytes that sending it gives back


class JudgeServer:
    """Serves `judge` at `address` until `drain` or `close`.

    Args:
      judge: stays the caller's, who closes it afterwards.
      num_workers: of the judge.
      max_queue: submissions held at most, of all clients together; also the most clients.
      token: what clients must know. Required on TCP.
    Raises:
      UserError: a bad argument, or the address cannot be listened on.
    """

    def __init__(
        self,
        judge: Judge,
        address: Address,
        *,
        num_workers: int,
        max_queue: int = 1024,
        token: str | None = None,
    ):
        if max_queue < 1:
            raise UserError(f"max_queue={max_queue} must be at least 1")
        if address.path is None and token is None:
            raise UserError(f"a judge at {address} needs a token: every user could reach it")
        self.judge = judge
        self.num_workers = num_workers
        self.token = token
        self.queue = SharedQueue(judge, num_workers, max_queue, _MAX_PROGRAM_BYTES)
        self.problems = ProblemStore(_MAX_PROBLEM_BYTES)
        self.is_draining = False
        self._verdicts: collections.Counter[str] = collections.Counter()
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._clients: set[_Client] = set()
        self._ids = itertools.count()
        self._listener, self.address = listen(address)
        self._acceptor = threading.Thread(target=self._accept, name="accept", daemon=True)
        self._acceptor.start()

    def drain(self) -> None:
        """Takes no more, finishes what was taken, sends the answers and hangs up."""
        self.is_draining = True
        self._stop_listening()
        self.queue.wait_until_idle()
        self.close()

    def close(self) -> None:
        """Hangs up; what is not judged yet is cancelled."""
        self.is_draining = True
        self._stop_listening()
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            client.hang_up()
        deadline = time.monotonic() + _FLUSH_SECS
        for client in clients:
            client.wait(max(0.0, deadline - time.monotonic()))

    def status(self) -> dict[str, Any]:
        return {
            "op": "status",
            "version": VERSION,
            "address": str(self.address),
            "backend": self.judge.backend,
            "layers": list(self.judge.layers),
            "num_workers": self.num_workers,
            "num_clients": self.queue.num_clients,
            "num_waiting": self.queue.num_waiting,
            "num_running": self.queue.num_running,
            "max_queue": self.queue.max_size,
            "uptime_secs": round(time.monotonic() - self._started, 3),
            "verdicts": dict(sorted(self._verdicts.items())),
        }

    def count(self, judgement: Judgement) -> None:
        with self._lock:
            self._verdicts[judgement.verdict.value] += 1

    def announce_share(self) -> None:
        with self._lock:
            clients = [client for client in self._clients if client.is_welcome]
        for client in clients:
            client.send({"op": "share", "share": self.queue.share})

    def forget(self, client: "_Client") -> None:
        with self._lock:
            self._clients.discard(client)

    def _stop_listening(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self.address.path is not None:
            with contextlib.suppress(OSError):
                os.unlink(self.address.path)

    def _accept(self) -> None:
        while not self.is_draining:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self.is_draining:
                    return
                time.sleep(0.1)  # for example out of descriptors
                continue
            client = _Client(self, next(self._ids), connection)
            with self._lock:
                self._clients.add(client)
            client.start()


class _Client:
    """One connection."""

    def __init__(self, server: JudgeServer, number: int, connection: socket.socket):
        self._server = server
        self._queue = server.queue
        self._number = number
        self._connection = connection
        self._outgoing: queue.SimpleQueue[_Outgoing | None] = queue.SimpleQueue()
        self.is_welcome = False
        self._lock = threading.Lock()
        self._tickets: dict[int, Ticket] = {}
        self._reader = threading.Thread(target=self._read, name="client", daemon=True)
        self._writer = threading.Thread(target=self._write, name="client", daemon=True)

    def start(self) -> None:
        self._writer.start()
        self._reader.start()

    def send(self, message: dict[str, Any], *, freed_bytes: int | None = None) -> None:
        """Queues a message. Sending an answer gives back the place of a submission this long."""
        self._outgoing.put((message, freed_bytes))

    def hang_up(self) -> None:
        """Once all that was queued is sent."""
        self._outgoing.put(None)

    def wait(self, secs: float) -> None:
        self._writer.join(secs)

    def _read(self) -> None:
        has_joined = False
        try:
            with self._connection.makefile("rb") as stream:
                if self._greet(stream):
                    self._answer_watcher(stream)
                has_joined = self._queue.join(self._number)
                if not has_joined:
                    raise WireError(f"the judge has {self._queue.max_size} clients already")
                self._welcome()
                self._server.announce_share()
                while True:
                    self._handle(*read_frame(stream))
        except WireError as error:
            self.send({"op": "error", "message": str(error)})
        except (EOFError, OSError):
            pass
        finally:
            self._queue.leave(self._number)
            self.hang_up()
            self._server.forget(self)
            if has_joined:
                self._server.announce_share()

    def _answer_watcher(self, stream: IO[bytes]) -> NoReturn:
        """Of one who asks for the status only, and takes no share of the queue."""
        while True:
            message, _ = read_frame(stream)
            if message["op"] != "status":
                raise WireError("who watches can ask for 'status' only")
            self.send(self._server.status())

    def _greet(self, stream: IO[bytes]) -> bool:
        """Whether the client only watches. Raises WireError for one who may not."""
        timer = threading.Timer(_HELLO_SECS, self._shut_down)
        timer.daemon = True
        timer.start()
        try:
            message, _ = read_frame(stream, MAX_HELLO_BYTES)
        finally:
            timer.cancel()
        if message["op"] != "hello":
            raise WireError(f"the first message must be 'hello', got {message['op']!r:.40}")
        if message.get("version") != VERSION:
            raise WireError(
                f"the judge speaks version {VERSION}, the client {message.get('version')!r:.40}"
            )
        self._check_token(message.get("token"))
        return message.get("watches") is True

    def _check_token(self, token: Any) -> None:
        if self._server.token is None:
            return
        if not isinstance(token, str):
            raise WireError("the judge wants a token, and none was given")
        given, wanted = (text.encode("utf-8", "replace") for text in (token, self._server.token))
        if not hmac.compare_digest(given, wanted):
            raise WireError("the token is wrong")

    def _welcome(self) -> None:
        judge = self._server.judge
        self.send(
            {
                "op": "welcome",
                "version": VERSION,
                "backend": judge.backend,
                "layers": list(judge.layers),
                "identity": judge.identity,
                "share": self._queue.share,
            }
        )
        self.is_welcome = True  # the welcome must be the first that a client hears

    def _handle(self, message: dict[str, Any], num_bytes: int) -> None:
        kind = message["op"]
        if kind == "problem":
            self._server.problems.add(message.get("problem"), num_bytes)
        elif kind == "submit":
            self._submit(message, num_bytes)
        elif kind == "cancel":
            with self._lock:
                ticket = self._tickets.get(_number(message, "id"))
            if ticket is not None:
                self._queue.cancel(self._number, ticket)
        elif kind == "status":
            self.send(self._server.status())
        else:
            raise WireError(f"unknown message {kind!r:.40}")

    def _submit(self, message: dict[str, Any], num_bytes: int) -> None:
        number = _number(message, "id")
        code, language, key = (message.get(name) for name in ("code", "language", "problem"))
        if not (code is None or isinstance(code, str)):
            raise WireError("'code' must be text or null")
        if not isinstance(language, str) or not isinstance(key, str):
            raise WireError("'language' and 'problem' must be text")
        while not self._queue.try_reserve(self._number, num_bytes, _POLL_SECS):
            if self._is_gone():
                raise EOFError
        if self._server.is_draining:  # the client hands it to the next server
            return
        problem = self._server.problems.find(key)
        if problem is None:
            self.send({"op": "unknown_problem", "id": number}, freed_bytes=num_bytes)
            return

        def answer(result: Judgement | BaseException | None) -> None:
            self._answer(number, num_bytes, result)

        ticket = Ticket(problem, code, language, answer)
        with self._lock:
            if number in self._tickets:
                raise WireError(f"submission {number} is not judged yet, and here is another")
            self._tickets[number] = ticket
        self._queue.add(self._number, ticket)

    def _answer(
        self, number: int, num_bytes: int, result: Judgement | BaseException | None
    ) -> None:
        with self._lock:
            self._tickets.pop(number, None)
        if result is None or isinstance(result, concurrent.futures.CancelledError):
            message: dict[str, Any] = {"op": "cancelled", "id": number}
        elif isinstance(result, Judgement):
            self._server.count(result)
            record = judgement_to_record(result)
            message = {"op": "judgement", "id": number, "judgement": record}
        else:
            message = {"op": "failed", "id": number, "message": str(result) or repr(result)}
        self.send(message, freed_bytes=num_bytes)

    def _is_gone(self) -> bool:
        """Whether the other end was closed, though we do not read what it sent before."""
        poll = select.poll()
        try:
            poll.register(self._connection, select.POLLRDHUP)
            return bool(poll.poll(0))
        except (OSError, ValueError):
            return True

    def _write(self) -> None:
        while (item := self._outgoing.get()) is not None:
            message, freed_bytes = item
            try:
                self._connection.sendall(encode(message))
            except OSError:
                break
            if freed_bytes is not None:
                self._queue.release(self._number, freed_bytes)
        self._shut_down()
        self._reader.join()
        self._connection.close()

    def _shut_down(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)


def _number(message: dict[str, Any], name: str) -> int:
    value = message.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise WireError(f"'{name}' must be a whole number, got {value!r:.40}")
    return value
