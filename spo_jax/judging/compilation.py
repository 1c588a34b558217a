"""C++ programs: compiled once in a sandbox of its own, in which the compiler's files are readable.

The sources that run the compiler into the ground are compile errors: it has limits of its own, and
its sandbox ends with it. The binary comes out through a capped pipe.
"""

import dataclasses
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from spo_jax.errors import UserError
from spo_jax.judging.interface import CompileError, SandboxError, SandboxLostError
from spo_jax.judging.sandbox import START_SECS, SandboxProcess
from spo_jax.judging.streams import drain, sealed_file, wait_readable

_COMPILERS = ("g++", "clang++", "c++")
_MIB = 1024 * 1024
MEMORY_BYTES = 2048 * _MIB  # address space of each of the compiler's processes
TMP_BYTES = 256 * _MIB
BINARY_BYTES = 64 * _MIB
_MESSAGE_CHARS = 300
_DIRECTORIES = ("bin", "include", "lib", "lib64", "libexec")

_NOT_STARTED = 1  # bubblewrap's own failure; its messages a source can imitate (`#line 1 "bwrap"`)

# The compiler's messages must not mix with the binary. It needs a file it can seek in.
_SCRIPT = """\
"$1" -x c++ -std=gnu++17 -O2 -DONLINE_JUDGE -fno-diagnostics-color -fmax-errors=5 \
  -o /tmp/program - >&2 || exit 3
exec cat /tmp/program
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Compiler:
    """A C++17 compiler: its path, and the directories it reads from."""

    path: str
    directories: tuple[str, ...]

    @property
    def command(self) -> list[str]:
        """Reads the source from standard input, writes the binary to standard output."""
        return ["/bin/sh", "-c", _SCRIPT, "sh", self.path]


def find_compiler() -> Compiler:
    """Raises UserError when there is none."""
    for name in _COMPILERS:
        found = shutil.which(name)
        if found is None:
            continue
        roots = {Path(found).parent.parent, Path(found).resolve().parent.parent, Path("/usr")}
        directories = [
            str(root / part) for root in sorted(roots) for part in _DIRECTORIES
            if (root / part).is_dir() and not (root / part).is_symlink()
        ]  # fmt: skip
        return Compiler(found, tuple(directories))
    raise UserError(
        f"no C++ compiler is installed: none of {list(_COMPILERS)} is there (apt-get install g++)"
    )


def compile_binary(
    source: bytes, compile_secs: float, start: Callable[[int, int], SandboxProcess]
) -> bytes:
    """Returns the binary.

    Args:
      source: C++17.
      compile_secs: CPU seconds of each of the compiler's processes; wall time may be thrice that
        and a minute.
      start: of (standard input, standard output) starts `Compiler.command` in a sandbox.
    Raises:
      CompileError: with the compiler's first complaint.
      SandboxError: the sandbox failed.
    """
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    stdin = sealed_file(source)
    try:
        try:
            process = start(stdin, writer)
        finally:
            os.close(writer)
            os.close(stdin)
        try:
            binary = _read(reader, time.monotonic() + 3 * compile_secs + START_SECS)
            status = process.exit_status()
            message = process.stderr_text()
        finally:
            process.close()
    finally:
        os.close(reader)
    if status == 0 and binary:
        return binary
    if status is None or status < 0 or status > 128:
        raise SandboxLostError(message or "the compiler was killed")
    if status == _NOT_STARTED:
        raise SandboxError(message or "the compiler's sandbox did not start")
    raise CompileError(_first_error(message))


def _read(reader: int, deadline: float) -> bytes:
    data = bytearray()
    while True:
        if not wait_readable([reader], deadline):
            raise CompileError("the compiler did not end in time")
        if not drain(reader, data, keep_end=False):
            return bytes(data)
        if len(data) > BINARY_BYTES:
            raise CompileError(f"the binary has more than {BINARY_BYTES >> 20} MiB")


def _first_error(message: str) -> str:
    lines = [line for line in message.splitlines() if "error" in line]
    if not lines:
        return "the compiler crashed or exceeded its limits"
    return lines[0].removeprefix("<stdin>:")[:_MESSAGE_CHARS]
