"""A judge elsewhere on this machine: the client of `spo judge serve`."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from spo_jax.errors import UserError
from spo_jax.judging import wire
from spo_jax.judging.pool import check_judgeable
from spo_jax.types import Judgement, Problem

_RETRY_SECS = 0.2
_BUSY_SECS = 0.1


@dataclasses.dataclass(eq=False)
class _Open:
    number: int
    record: dict[str, Any]
    key: str
    code: str | None
    language: str
    future: concurrent.futures.Future[Judgement]


class JudgeClient:
    """Judges programs in a server's pool; the interface of `Judge`. Use as a context manager.

    When the server dies, what is unanswered is submitted again as soon as one listens again.

    Args:
      address: 'unix:/path' or 'tcp:host:port'.
      token: the server's, when it wants one.
      connect_timeout: seconds without a server after which submissions fail with UserError.
    Raises:
      UserError: no server answers at `address`, or it refuses.
    """

    def __init__(self, address: str, *, token: str = "", connect_timeout: float = 60.0):
        self._address, self._token = wire.parse_address(address), token
        self._connect_timeout = connect_timeout
        self._changed = threading.Condition()
        self._waiting: collections.deque[_Open] = collections.deque()
        self._in_flight: dict[int, _Open] = {}
        self._cancelled: list[int] = []
        self._sent_keys: set[str] = set()
        self._hold_until = 0.0
        self._next_number = 0
        self._is_closed = self._is_broken = False
        self._failure: UserError | None = None
        self._connect()
        self._thread = threading.Thread(target=self._run, name="judge-client", daemon=True)
        self._thread.start()

    @property
    def backend(self) -> str:
        """Name of the sandbox the server uses."""
        return self._hello["backend"]

    @property
    def layers(self) -> tuple[str, ...]:
        """Protections the server uses."""
        return tuple(self._hello["layers"])

    @property
    def identity(self) -> str:
        """Changes with whatever of the server can change a verdict."""
        return self._hello["identity"]

    def __enter__(self) -> "JudgeClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(abort=kind is not None)

    def close(self, *, abort: bool = False) -> None:
        """Waits for what was submitted; with `abort`, cancels it."""
        with self._changed:
            entries = [*self._waiting, *self._in_flight.values()]
        if abort:
            for entry in entries:
                entry.future.cancel()
        concurrent.futures.wait([entry.future for entry in entries])
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        _hang_up(self._socket)
        self._thread.join()

    def judge(self, problem: Problem, code: str | None, language: str = "python3") -> Judgement:
        """Judges one program and waits for it."""
        return self.submit(problem, code, language).result()

    def judge_many(
        self,
        items: Iterable[tuple[Problem, str | None]],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[Judgement]:
        """Judges (problem, program) pairs; results in the order of `items`."""
        pending: collections.deque[concurrent.futures.Future[Judgement]] = collections.deque()
        judgements: list[Judgement] = []

        def take_first() -> None:
            judgements.append(pending.popleft().result())
            if progress is not None:
                progress(len(judgements))

        try:
            for problem, code in items:
                pending.append(self.submit(problem, code))
                if len(pending) >= 2 * self._hello["max_open"]:
                    take_first()
            while pending:
                take_first()
        finally:
            for future in pending:
                future.cancel()
        return judgements

    def submit(
        self, problem: Problem, code: str | None, language: str = "python3"
    ) -> concurrent.futures.Future[Judgement]:
        """Queues a program. Raises UserError for a problem that cannot be judged."""
        check_judgeable(problem)
        record = wire.problem_record(problem)
        wire.encode({"type": "problem", "problem": record})  # refuses what is too long, here
        future: concurrent.futures.Future[Judgement] = concurrent.futures.Future()
        with self._changed:
            if self._failure is not None:
                raise self._failure
            if self._is_closed:
                raise UserError("the judge client is closed")
            number = self._next_number
            self._next_number += 1
            entry = _Open(number, record, wire.record_hash(record), code, language, future)
            self._waiting.append(entry)
            self._changed.notify_all()
        future.add_done_callback(lambda done: self._forget(entry) if done.cancelled() else None)
        return future

    def _forget(self, entry: _Open) -> None:
        with self._changed:
            if self._in_flight.pop(entry.number, None) is not None:
                self._cancelled.append(entry.number)
            elif entry in self._waiting:
                self._waiting.remove(entry)
            else:
                return  # being answered: whoever took it tells the waiters
            self._changed.notify_all()
        entry.future.set_running_or_notify_cancel()  # wakes concurrent.futures.wait

    def _run(self) -> None:
        """Sends; owns the connection. A second thread receives."""
        while True:
            receiver = threading.Thread(target=self._receive, args=(self._socket,), daemon=True)
            receiver.start()
            try:
                while (frames := self._next_frames()) is not None:
                    self._socket.sendall(frames)
            except OSError:
                pass
            _hang_up(self._socket)
            receiver.join()
            self._socket.close()
            with self._changed:
                if self._is_closed:
                    return
                again = sorted(self._in_flight.values(), key=lambda entry: entry.number)
                self._waiting.extendleft(reversed(again))
                self._in_flight.clear()
                self._cancelled.clear()
            try:
                self._connect()
            except UserError as error:
                self._fail(error)
                return

    def _next_frames(self) -> bytes | None:
        """Waits for something to send; None when the connection is to end."""
        with self._changed:
            while not (self._is_closed or self._is_broken):
                frames = [wire.encode({"type": "cancel", "id": n}) for n in self._cancelled]
                self._cancelled.clear()
                hold = self._hold_until - time.monotonic()
                if self._waiting and hold <= 0 and len(self._in_flight) < self._hello["max_open"]:
                    entry = self._waiting.popleft()
                    self._in_flight[entry.number] = entry
                    frames += self._frames_of(entry)
                if frames:
                    return b"".join(frames)
                self._changed.wait(hold if hold > 0 else None)
        return None

    def _frames_of(self, entry: _Open) -> list[bytes]:
        frames = []
        if entry.key not in self._sent_keys:
            self._sent_keys.add(entry.key)
            frames.append(wire.encode({"type": "problem", "problem": entry.record}))
        message = {"type": "submit", "id": entry.number, "problem": entry.key}
        frames.append(wire.encode({**message, "code": entry.code, "language": entry.language}))
        return frames

    def _receive(self, connection: socket.socket) -> None:
        try:
            while True:
                self._take(_read(connection))
        except (OSError, EOFError, wire.ProtocolError):
            pass
        finally:
            with self._changed:
                self._is_broken = True
                self._changed.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        with self._changed:
            entry = self._in_flight.pop(message.get("id", -1), None)
            if entry is not None and message["type"] in ("busy", "need_problem"):
                if message["type"] == "busy":
                    self._hold_until = time.monotonic() + _BUSY_SECS
                self._sent_keys.discard(entry.key)
                self._waiting.appendleft(entry)
                entry = None
            self._changed.notify_all()
        if entry is None or not entry.future.set_running_or_notify_cancel():
            return
        if message["type"] == "judgement":
            entry.future.set_result(wire.judgement_of(message["judgement"]))
        else:
            entry.future.set_exception(UserError(f"the judge server: {message.get('message')}"))

    def _connect(self) -> None:
        deadline = time.monotonic() + self._connect_timeout
        while True:
            try:
                self._socket, self._hello = greet(self._address, self._token)
                break
            except (OSError, EOFError) as error:
                if self._is_closed or time.monotonic() >= deadline:
                    raise UserError(
                        f"no judge server answers at {self._address} since "
                        f"{self._connect_timeout:g} s ({error}); start `spo judge serve`"
                    ) from error
            time.sleep(_RETRY_SECS)
        self._is_broken = False
        self._sent_keys.clear()

    def _fail(self, error: UserError) -> None:
        with self._changed:
            self._failure = error
            entries = list(self._waiting)
            self._waiting.clear()
        for entry in entries:
            if entry.future.set_running_or_notify_cancel():
                entry.future.set_exception(error)


def greet(address: wire.Address, token: str) -> tuple[socket.socket, dict[str, Any]]:
    """Connects. Returns the connection and the server's hello, which holds its status.

    Raises:
      OSError, EOFError: nobody answers.
      UserError: the server refuses.
    """
    if address.path:
        connection = socket.socket(socket.AF_UNIX)
    else:
        connection = socket.socket(socket.AF_INET)
    try:
        connection.settimeout(10)
        connection.connect(address.path or (address.host, address.port))
        connection.sendall(wire.encode({"type": "hello", "version": wire.VERSION, "token": token}))
        hello = _read(connection)
        if hello["type"] != "hello":
            raise UserError(f"judge server at {address}: {hello.get('message')}")
    except wire.ProtocolError as error:
        connection.close()
        raise UserError(f"judge server at {address}: {error}") from error
    except BaseException:
        connection.close()
        raise
    connection.settimeout(None)
    return connection, hello


def _read(connection: socket.socket) -> dict[str, Any]:
    length = wire.body_length(_read_exactly(connection, wire.LENGTH.size), wire.MAX_FRAME_BYTES)
    return wire.decode(_read_exactly(connection, length))


def _read_exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError("the server closed the connection")
        data += part
    return bytes(data)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
