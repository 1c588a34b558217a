"""`spo judge serve`: one pool of sandboxes shared by several processes.

An asyncio loop talks; the pool's threads judge. Memory is bounded: a client may have a share of
`max_queue` submissions open and is told 'busy' beyond it, and problems are kept up to a total.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import dataclasses
import hmac
import os
import signal
import socket
import stat
from collections.abc import Callable, Coroutine
from typing import Any

from spo_jax.errors import UserError
from spo_jax.judging import wire
from spo_jax.judging.pool import Judge
from spo_jax.types import Judgement, Problem

MAX_CLIENTS = 32
_MAX_SOURCE_CHARS = 1024 * 1024
_MAX_PROBLEM_BYTES = 512 * 1024 * 1024
_HELLO_SECS = 10.0
_SEND_SECS = 60.0  # a client that reads nothing for so long is dropped
_CLOSE_SECS = 5.0


@dataclasses.dataclass(eq=False)
class _Client:
    writer: asyncio.StreamWriter
    queue: collections.OrderedDict[int, tuple[Problem, str | None, str]]
    open_ids: set[int]
    is_gone: bool = False


class JudgeServer:
    """Serves `judge` at `address` until SIGTERM or SIGINT, then finishes what is queued.

    Args:
      judge: the pool; the server closes nothing of it.
      num_workers: of the pool.
      address: a Unix socket (made with mode 0600), or TCP, which needs a `token`.
      max_queue: submissions in the server; each of up to 32 clients may have an equal share open.
    """

    def __init__(
        self,
        judge: Judge,
        *,
        num_workers: int,
        address: wire.Address,
        token: str = "",
        max_queue: int = 4096,
    ):
        if address.host and not token:
            raise UserError(f"judge address {address} needs a token: give --token_file")
        if address.host not in ("", "127.0.0.1", "::1", "localhost"):
            raise UserError(f"judge host '{address.host}' must be this machine's, 127.0.0.1")
        if max_queue < MAX_CLIENTS:
            raise UserError(f"max_queue={max_queue} must be at least {MAX_CLIENTS}")
        self._judge, self._num_workers = judge, num_workers
        self._address, self._token = address, token
        self._share = max_queue // MAX_CLIENTS
        self._clients: collections.deque[_Client] = collections.deque()
        self._problems: collections.OrderedDict[str, tuple[Problem, int]] = (
            collections.OrderedDict()
        )
        self._problem_bytes = 0
        self._num_running = 0
        self._verdicts: collections.Counter[str] = collections.Counter()
        self._is_draining = False
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, announce: Callable[[str], None]) -> None:
        """Blocks; calls `announce` with the address once clients may connect."""
        asyncio.run(self._run(announce))

    async def _run(self, announce: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle, stop = asyncio.Condition(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, stop.set)
        server = await asyncio.start_server(self._serve, sock=_listen(self._address))
        announce(str(self._address))
        await stop.wait()
        self._is_draining = True
        server.close()
        if self._address.path:
            os.unlink(self._address.path)
        async with self._idle:
            await self._idle.wait_for(lambda: not any(c.open_ids for c in self._clients))
        for client in list(self._clients):
            client.writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(client.writer.wait_closed(), _CLOSE_SECS)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(writer, collections.OrderedDict(), set())
        try:
            await asyncio.wait_for(self._greet(reader, client), _HELLO_SECS)
            while True:
                await self._handle(client, await _read(reader, wire.MAX_FRAME_BYTES))
        except wire.ProtocolError as error:
            await _send(client, {"type": "error", "message": str(error)})
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            client.is_gone = True
            client.queue.clear()
            client.open_ids.clear()
            if client in self._clients:
                self._clients.remove(client)
            writer.close()
            async with self._idle:
                self._idle.notify_all()

    async def _greet(self, reader: asyncio.StreamReader, client: _Client) -> None:
        hello = await _read(reader, wire.MAX_HELLO_BYTES)
        if hello["type"] != "hello" or hello.get("version") != wire.VERSION:
            raise wire.ProtocolError(f"expected a hello of version {wire.VERSION}")
        given = str(hello.get("token", "")).encode("utf-8", "replace")
        if self._token and not hmac.compare_digest(given, self._token.encode()):
            raise wire.ProtocolError("the token is missing or wrong")
        if len(self._clients) >= MAX_CLIENTS:
            raise wire.ProtocolError(f"the server has {MAX_CLIENTS} clients already")
        self._clients.append(client)
        await _send(client, {"type": "hello", "version": wire.VERSION, **self._status()})

    def _status(self) -> dict[str, Any]:
        return {
            "backend": self._judge.backend,
            "layers": list(self._judge.layers),
            "identity": self._judge.identity,
            "num_workers": self._num_workers,
            "max_open": self._share,
            "num_queued": sum(len(client.queue) for client in self._clients),
            "num_running": self._num_running,
            "num_clients": len(self._clients),
            "verdicts": dict(self._verdicts),
        }

    async def _handle(self, client: _Client, message: dict[str, Any]) -> None:
        if message["type"] == "status":
            await _send(client, {"type": "status", **self._status()})
        elif message["type"] == "problem":
            self._keep_problem(message.get("problem"))
        elif message["type"] == "cancel":
            number = _number(message)
            if client.queue.pop(number, None) is not None:
                await self._finish(client, number)
        elif message["type"] == "submit":
            await self._submit(client, message)
        else:
            raise wire.ProtocolError(f"unknown message type {message['type'][:40]!r}")

    def _keep_problem(self, record: Any) -> None:
        problem = wire.problem_of(record)
        key = wire.record_hash(record)
        if key in self._problems:
            return
        size = sum(len(test.input) + len(test.output) for test in problem.tests)
        self._problems[key] = (problem, size)
        self._problem_bytes += size
        while self._problem_bytes > _MAX_PROBLEM_BYTES:
            self._problem_bytes -= self._problems.popitem(last=False)[1][1]

    async def _submit(self, client: _Client, message: dict[str, Any]) -> None:
        number = _number(message)
        code, language = message.get("code"), message.get("language")
        if number in client.open_ids:
            raise wire.ProtocolError(f"submission {number} is open already")
        if not isinstance(language, str) or not (code is None or isinstance(code, str)):
            raise wire.ProtocolError(f"submission {number}: code and language must be strings")
        known = self._problems.get(str(message.get("problem")))
        if len(client.open_ids) >= self._share or self._is_draining:
            await _send(client, {"type": "busy", "id": number})
        elif known is None:
            await _send(client, {"type": "need_problem", "id": number})
        elif code is not None and len(code) > _MAX_SOURCE_CHARS:
            reason = f"the program has {len(code)} characters, at most {_MAX_SOURCE_CHARS} allowed"
            await _send(client, {"type": "refused", "id": number, "message": reason})
        else:
            client.open_ids.add(number)
            client.queue[number] = (known[0], code, language)
            self._dispatch()

    def _dispatch(self) -> None:
        """Hands programs to free workers, the clients taking turns."""
        while self._num_running < self._num_workers:
            client = next((c for c in self._clients if c.queue), None)
            if client is None:
                return
            self._clients.remove(client)
            self._clients.append(client)
            number, item = client.queue.popitem(last=False)
            self._num_running += 1
            self._start(client, number, item)

    def _start(self, client: _Client, number: int, item: tuple[Problem, str | None, str]) -> None:
        future: concurrent.futures.Future[Judgement]
        try:
            future = self._judge.submit(*item)
        except UserError as error:
            future = concurrent.futures.Future()
            future.set_exception(error)

        def done(_: concurrent.futures.Future[Judgement]) -> None:
            answer = self._answer(client, number, future)
            self._loop.call_soon_threadsafe(self._keep_task, answer)

        future.add_done_callback(done)

    def _keep_task(self, answer: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(answer)
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)

    async def _answer(
        self, client: _Client, number: int, future: concurrent.futures.Future[Judgement]
    ) -> None:
        self._num_running -= 1
        error = future.exception()
        if error is None:
            judgement = future.result()
            self._verdicts[judgement.verdict.value] += 1
            record = wire.judgement_record(judgement)
            message = {"type": "judgement", "id": number, "judgement": record}
        else:
            message = {"type": "refused", "id": number, "message": str(error)}
        self._dispatch()
        await _send(client, message)
        await self._finish(client, number)

    async def _finish(self, client: _Client, number: int) -> None:
        client.open_ids.discard(number)
        async with self._idle:
            self._idle.notify_all()


async def _read(reader: asyncio.StreamReader, limit: int) -> dict[str, Any]:
    header = await reader.readexactly(wire.LENGTH.size)
    return wire.decode(await reader.readexactly(wire.body_length(header, limit)))


async def _send(client: _Client, message: dict[str, Any]) -> None:
    """Waits while the client reads slowly; a client that is gone needs no answer."""
    if client.is_gone:
        return
    try:
        client.writer.write(wire.encode(message))
        await asyncio.wait_for(client.writer.drain(), _SEND_SECS)
    except OSError:
        client.writer.transport.abort()


def _number(message: dict[str, Any]) -> int:
    number = message.get("id")
    if type(number) is not int:
        raise wire.ProtocolError("a submission's 'id' must be an integer")
    return number


def _listen(address: wire.Address) -> socket.socket:
    if not address.path:
        try:
            return socket.create_server((address.host, address.port))
        except OSError as error:
            raise UserError(f"cannot listen on {address}: {error}") from error
    listener = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(address.path)
        old_mask = os.umask(0o177)
        try:
            listener.bind(address.path)
        finally:
            os.umask(old_mask)
    except OSError as error:
        raise UserError(f"cannot listen on {address}: {error}") from error
    listener.listen()
    return listener


def _remove_stale(path: str) -> None:
    """Removes the socket a killed server left; a living server keeps its own."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            if not _is_socket(path):
                raise UserError(f"'{path}' exists and is not a socket") from None
            os.unlink(path)
            return
    raise UserError(f"another server listens on '{path}'")


def _is_socket(path: str) -> bool:
    return stat.S_ISSOCK(os.stat(path).st_mode)
