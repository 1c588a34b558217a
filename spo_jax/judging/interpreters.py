"""Which Python runs the judged programs, and where its files lie."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

_QUERY = "import sys; print(sys.executable, sys.base_prefix, '%d.%d.%d' % sys.version_info[:3])"


@dataclasses.dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python installation. `executable` has no symlinks left; `prefix` holds lib/pythonX.Y."""

    executable: Path
    prefix: Path
    version: str


def find_interpreters(python: str | None = None) -> list[Interpreter]:
    """Candidates, best first: `python` alone when given, else our own, then the system's.

    Ours may lie where an unprivileged user cannot read (below /root), so there are others.
    Candidates that do not start are left out.
    """
    if python is not None:
        names = [shutil.which(python) or python]
    else:
        own = getattr(sys, "_base_executable", None) or sys.executable
        names = [own, "/usr/bin/python3", "/usr/local/bin/python3"]
    found = [interpreter for name in names if (interpreter := _query(name))]
    return list({interpreter.executable: interpreter for interpreter in found}.values())


def _query(name: str) -> Interpreter | None:
    if Path(name).resolve() == Path(sys.executable).resolve():
        version = ".".join(str(part) for part in sys.version_info[:3])
        return Interpreter(Path(name).resolve(), Path(sys.base_prefix).resolve(), version)
    if not os.access(name, os.X_OK):
        return None
    try:
        answer = subprocess.run(
            [name, "-I", "-S", "-c", _QUERY], capture_output=True, text=True, timeout=60
        )
        executable, prefix, version = answer.stdout.split()
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return Interpreter(Path(executable).resolve(), Path(prefix).resolve(), version)
