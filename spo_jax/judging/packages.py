"""Installed packages that judged programs may import: where their files lie on the host."""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from spo_jax.errors import UserError, nearest
from spo_jax.judging.interpreters import Interpreter

_QUERY = "import json, site; print(json.dumps(site.getsitepackages()))"


def find_packages(names: Sequence[str], interpreter: Interpreter) -> list[Path]:
    """Files and directories that together make the packages importable under `interpreter`.

    Looked for beside spo_jax first, if that runs under the same Python, then where the interpreter
    itself keeps packages. What a package needs has to be named too.

    Args:
      names: top-level modules, such as 'numpy'.
      interpreter: that runs the programs.
    Raises:
      UserError: a package is not installed there.
    """
    if not names:
        return []
    directories = list(_directories(interpreter))
    found = []
    for name in names:
        paths = next(filter(None, (_paths(directory, name) for directory in directories)), None)
        if paths is None:
            known = {
                path.name.removesuffix(".py")
                for directory in directories
                for path in directory.iterdir()
            }
            raise UserError(
                f"judge package '{name}' is not installed for Python {interpreter.version}"
                f"{nearest(name, known)} (looked in {', '.join(map(str, directories))})"
            )
        found += paths
    return found


def _directories(interpreter: Interpreter) -> Iterator[Path]:
    own_version = ".".join(str(part) for part in sys.version_info[:2])
    candidates = []
    if interpreter.version.rpartition(".")[0] == own_version:
        candidates += [sysconfig.get_path("platlib"), sysconfig.get_path("purelib")]
    command = [str(interpreter.executable), "-I", "-c", _QUERY]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
        candidates += json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        pass
    for directory in dict.fromkeys(candidates):
        if os.path.isdir(directory):
            yield Path(directory)


def _paths(directory: Path, name: str) -> list[Path]:
    """A package with its shared libraries beside it, or a module; empty when there is none."""
    if not name.isidentifier():
        return []
    package, libraries = directory / name, directory / f"{name}.libs"
    if package.is_dir():
        return [package, libraries] if libraries.is_dir() else [package]
    modules = [directory / f"{name}.py", *directory.glob(f"{name}.*.so")]
    return [path for path in modules if path.is_file()]
