"""The protocol of `spo judge serve`: frames of a 4-byte big-endian length and a JSON object.

docs/judging.md lists the messages. Verdicts and problems cross as the records made here.
"""

import dataclasses
import hashlib
import json
import struct
from typing import Any

from spo_jax.errors import UserError
from spo_jax.types import Judgement, Problem, TestCase, TestResult, Verdict

VERSION = 1
MAX_FRAME_BYTES = 64 * 1024 * 1024
MAX_HELLO_BYTES = 4096  # before the token was checked
LENGTH = struct.Struct(">I")


class ProtocolError(Exception):
    """What arrived is not of this protocol."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Address:
    """Of a server: `path` of a Unix socket, or `host` and `port`."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"tcp:{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Reads 'unix:/path' or 'tcp:host:port'. Raises UserError."""
    kind, _, rest = text.partition(":")
    host, _, port = rest.rpartition(":")
    if kind == "unix" and rest:
        return Address(path=rest)
    if kind == "tcp" and host and port.isdecimal() and 0 < int(port) < 65536:
        return Address(host=host, port=int(port))
    raise UserError(f"judge address '{text}' must be 'unix:/path' or 'tcp:host:port'")


def read_token(path: str) -> str:
    """The token in the file `path`, without white space around it. Raises UserError."""
    try:
        with open(path, encoding="ascii") as file:
            token = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"token file '{path}' cannot be read: {error}") from error
    if not 16 <= len(token) <= 1024:
        raise UserError(f"token file '{path}' holds {len(token)} characters, need 16 to 1024")
    return token


def encode(message: dict[str, Any]) -> bytes:
    """A frame. Raises UserError when it is too long."""
    body = json.dumps(message).encode("ascii")
    if len(body) > MAX_FRAME_BYTES:
        raise UserError(f"a judge message of {len(body)} bytes exceeds {MAX_FRAME_BYTES}")
    return LENGTH.pack(len(body)) + body


def body_length(header: bytes, limit: int) -> int:
    (length,) = LENGTH.unpack(header)
    if length > limit:
        raise ProtocolError(f"a frame of {length} bytes exceeds {limit}")
    return length


def decode(body: bytes) -> dict[str, Any]:
    """Raises ProtocolError."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a frame is not JSON: {error}") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("a frame must be a JSON object with a string 'type'")
    return message


def problem_record(problem: Problem) -> dict[str, Any]:
    """What a verdict depends on."""
    return {
        "id": problem.id,
        "fn_name": problem.fn_name,
        "checker": problem.checker,
        "time_limit_secs": problem.time_limit_secs,
        "memory_limit_bytes": problem.memory_limit_bytes,
        "tests": [[test.input, test.output] for test in problem.tests],
    }


def record_hash(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode("ascii")).hexdigest()


def problem_of(record: Any) -> Problem:
    """Raises ProtocolError."""
    try:
        tests = tuple(TestCase(_text(given), _text(wanted)) for given, wanted in record["tests"])
        fn_name, checker = record["fn_name"], record["checker"]
        secs, size = record["time_limit_secs"], record["memory_limit_bytes"]
        return Problem(
            id=_text(record["id"]),
            name="",
            description="",
            public_tests=tests,
            fn_name=None if fn_name is None else _text(fn_name),
            checker=None if checker is None else _text(checker),
            time_limit_secs=None if secs is None else float(secs),
            memory_limit_bytes=None if size is None else int(size),
        )
    except (KeyError, TypeError, ValueError, OverflowError, UserError) as error:
        raise ProtocolError(f"not a problem: {type(error).__name__}: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {type(value).__name__}")
    return value


def judgement_record(judgement: Judgement) -> dict[str, Any]:
    return dataclasses.asdict(judgement)


def judgement_of(record: dict[str, Any]) -> Judgement:
    tests = tuple(
        TestResult(**{**test, "verdict": Verdict(test["verdict"])}) for test in record["tests"]
    )
    changes = {
        "verdict": Verdict(record["verdict"]),
        "tests": tests,
        "layers": tuple(record["layers"]),
    }
    return Judgement(**{**record, **changes})
