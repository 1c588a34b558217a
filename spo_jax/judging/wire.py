"""How a shared judge is spoken to: one JSON object a line over a local socket.

A client says `hello` (version, token, whether it only `watches`), then `problem` (what is judged
on), `submit` (which names a problem by its hash), `cancel` and `status`; the server answers
`welcome`, then `share`, `judgement`, `failed`, `cancelled`, `unknown_problem`, `status`, or `error`
and hangs up.
"""

import dataclasses
import hashlib
import json
import os
import socket
import stat
from typing import IO, Any

from spo_jax.errors import UserError
from spo_jax.types import Judgement, Problem, TestCase, TestResult, Verdict

VERSION = 1
MAX_FRAME_BYTES = 256 * 1024 * 1024
MAX_HELLO_BYTES = 64 * 1024
MIN_TOKEN_CHARS = 16
_LOCALHOST = ("127.0.0.1", "localhost")
_MAX_PATH_BYTES = 107  # of a Unix socket's name, by the kernel


class WireError(Exception):
    """The other side said something that is not of this protocol."""


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Where a judge listens: a Unix socket's path, or a port of this machine."""

    path: str | None
    port: int | None

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path is not None else f"tcp:127.0.0.1:{self.port}"

    def connect(self, timeout: float | None = None) -> socket.socket:
        """Raises OSError when nobody listens."""
        if self.path is None:
            return socket.create_connection(("127.0.0.1", self.port or 0), timeout)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect(self.path)
        except BaseException:
            connection.close()
            raise
        return connection


def parse_address(text: str) -> Address:
    """Reads 'unix:/path' or 'tcp:127.0.0.1:port'.

    Raises:
      UserError: it is neither, the path is too long, or the host is another machine.
    """
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        if len(os.fsencode(rest)) > _MAX_PATH_BYTES:
            raise UserError(f"judge address '{text}': a socket's path has at most 107 bytes")
        return Address(rest, None)
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and port.isdecimal():
        if host not in _LOCALHOST:
            raise UserError(
                f"judge address '{text}': host '{host}' must be one of {list(_LOCALHOST)}, because "
                "the connection is not encrypted (forward a port to reach another machine)"
            )
        if int(port) <= 65535:
            return Address(None, int(port))
    raise UserError(f"judge address '{text}' must be 'unix:/PATH' or 'tcp:127.0.0.1:PORT'")


def read_token(path: str) -> str:
    """The secret in a file that nobody else may read.

    Raises:
      UserError: the file cannot be read, is readable by others, or the token is short.
    """
    try:
        with open(path, encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            token = file.read(MAX_HELLO_BYTES // 8).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"token file '{path}' cannot be read: {error}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UserError(f"token file '{path}' must be its owner's alone: chmod 600 '{path}'")
    if len(token) < MIN_TOKEN_CHARS:
        raise UserError(
            f"token file '{path}': a token of {len(token)} characters is too short, "
            f"at least {MIN_TOKEN_CHARS} are needed"
        )
    return token


def encode(message: dict[str, Any]) -> bytes:
    """One line; ASCII, so that it holds lone surrogates too."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def read_frame(stream: IO[bytes], max_bytes: int = MAX_FRAME_BYTES) -> tuple[dict[str, Any], int]:
    """The next message and its size in bytes.

    Raises:
      EOFError: there is none. WireError: it is no message, or too long.
    """
    line = stream.readline(max_bytes + 1)
    if not line:
        raise EOFError
    if len(line) > max_bytes:
        raise WireError(f"a message has more than {max_bytes} bytes")
    if not line.endswith(b"\n"):
        raise EOFError
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise WireError(f"a message is not JSON: {error}") from error
    if not isinstance(message, dict) or not isinstance(message.get("op"), str):
        raise WireError("a message must be a JSON object with a string 'op'")
    return message, len(line)


def problem_to_record(problem: Problem) -> dict[str, Any]:
    """All that a verdict depends on; statement and solutions stay at home."""
    return {
        "id": problem.id,
        "fn_name": problem.fn_name,
        "time_limit_secs": problem.time_limit_secs,
        "memory_limit_bytes": problem.memory_limit_bytes,
        "checker": problem.checker,
        "prologue": problem.prologue,
        "epilogue": problem.epilogue,
        "tests": [[test.input, test.output] for test in problem.tests],
    }


def record_hash(record: dict[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def problem_from_record(record: dict[str, Any]) -> Problem:
    """Raises WireError when the record is none of `problem_to_record`."""
    try:
        tests = tuple(TestCase(_text(given), _text(wanted)) for given, wanted in record["tests"])
        time_limit, memory_limit = record["time_limit_secs"], record["memory_limit_bytes"]
        return Problem(
            id=_text(record["id"]),
            name="",
            description="",
            public_tests=tests,
            time_limit_secs=None if time_limit is None else float(time_limit),
            memory_limit_bytes=None if memory_limit is None else int(memory_limit),
            fn_name=None if record["fn_name"] is None else _text(record["fn_name"]),
            checker=None if record["checker"] is None else _text(record["checker"]),
            prologue=_text(record["prologue"]),
            epilogue=_text(record["epilogue"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise WireError(f"a problem cannot be read: {error!r}") from error


def judgement_to_record(judgement: Judgement) -> dict[str, Any]:
    return dataclasses.asdict(judgement)


def judgement_from_record(record: dict[str, Any]) -> Judgement:
    """Raises WireError when the record is none of `judgement_to_record`."""
    try:
        tests = tuple(
            TestResult(**{**test, "verdict": Verdict(test["verdict"])}) for test in record["tests"]
        )
        changed = {
            "verdict": Verdict(record["verdict"]),
            "tests": tests,
            "layers": tuple(record["layers"]),
        }
        return Judgement(**{**record, **changed})
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"a judgement cannot be read: {error!r}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r:.60}")
    return value
