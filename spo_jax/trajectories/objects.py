"""Immutable objects in a directory or a bucket: created once and whole, or not at all.

A local object is written to a hidden temporary file, flushed to disk and then linked to its name:
the link fails if the name is taken, and nobody ever sees half an object. A bucket's object is put
under the condition that it does not exist. A process that dies leaves at most a temporary file,
which the next writer of that name removes.
"""

import contextlib
import io
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from spo_jax.durable import sync_folder
from spo_jax.errors import UserError, writing

_TEMPORARY = ".tmp"
_CACHE = ".index"
_TEMPORARY_MAX_AGE_SECS = 3600.0
_WHOLE_OBJECT_MAX_BYTES = 64 * 2**20


class ObjectDirectory:
    """Names to bytes below one root; names are relative paths with forward slashes."""

    def __init__(self, url: str, *, create: bool) -> None:
        """Opens the directory.

        Args:
          url: a local path or an fsspec URL (gs://, s3://, memory://).
          create: make the root if it is not there.

        Raises:
          UserError: the URL's file system is not installed or unknown, or there is no such
            directory and `create` is False.
        """
        self.url = str(url)
        try:
            fs, root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise UserError(f"cannot open '{self.url}': {error}") from error
        self._fs: Any = fs
        self._root: str = root.rstrip("/")
        self._local = isinstance(fs, LocalFileSystem)
        if create:
            self._make_root()
        elif not fs.exists(self._root):
            raise UserError(f"there is no trajectory store at '{self.url}'")

    def _make_root(self) -> None:
        try:
            self._fs.makedirs(self._root, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError(f"'{self.url}' is a file, not a trajectory store") from error

    def names(self, prefix: str) -> list[str]:
        """Names of the Parquet objects below the folder `prefix`, sorted; fresh, not cached."""
        if self._local:
            found = self._local_names(Path(self._root) / prefix)
        else:
            self._fs.invalidate_cache()
            paths = self._fs.find(f"{self._root}/{prefix}")
            found = [path[len(self._root) :].lstrip("/") for path in paths]
        return sorted(name for name in found if name.endswith(".parquet"))

    def _local_names(self, folder: Path) -> list[str]:
        return [
            (Path(parent) / file).relative_to(self._root).as_posix()
            for parent, _, files in os.walk(folder)
            for file in files
        ]

    def size(self, name: str) -> int:
        """Bytes of an object."""
        return int(self._fs.size(f"{self._root}/{name}"))

    @property
    def cache_folder(self) -> Path | None:
        """Where derived files may lie; None in a bucket."""
        return Path(self._root) / _CACHE if self._local else None

    def stamps(self, names: Iterable[str]) -> dict[str, str]:
        """Size and time of change of local objects: another stamp, other bytes."""
        found = {}
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                status = (Path(self._root) / name).stat()
                found[name] = f"{status.st_size}:{status.st_mtime_ns}"
        return found

    def open(self, name: str) -> Any:
        """A seekable source that pyarrow reads; the caller closes it.

        Raises:
          FileNotFoundError: the object is gone.
        """
        path = f"{self._root}/{name}"
        if self._local:
            return pa.OSFile(path, "rb")
        if self.size(name) <= _WHOLE_OBJECT_MAX_BYTES:
            return pa.BufferReader(self._fs.cat_file(path))
        return self._fs.open(path, "rb")

    def create(self, name: str, data: bytes) -> bool:
        """Creates an object; False if the name is taken, in which case nothing changes.

        When it returns True the bytes are durable: they survive the death of the process and, on
        a local disk, of the machine.
        """
        if self._local:
            local = Path(self._root) / name
            with writing(local, len(data)):
                return self._create_local(local, data)
        path = f"{self._root}/{name}"
        if self._fs.exists(path):
            return False
        try:
            self._fs.pipe_file(path, data, mode="create")
        except OSError:
            # Taken by another, or our own put whose answer was lost: the caller compares.
            if self._fs.exists(path):
                return False
            raise
        return True

    def _create_local(self, path: Path, data: bytes) -> bool:
        if path.exists():
            return False
        self._make_durable_folder(path.parent)
        temporary = self._temporary_file(path)
        try:
            with io.FileIO(
                os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w"
            ) as f:
                _write_all(f, data)
                os.fsync(f.fileno())
            created = _link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
        return created

    def _temporary_file(self, path: Path) -> Path:
        folder = Path(self._root) / _TEMPORARY
        folder.mkdir(exist_ok=True)
        return folder / f"{path.parent.name}.{os.getpid()}.{secrets.token_hex(4)}"

    def remove_leftovers(self) -> None:
        """Removes temporary files of processes that died more than an hour ago."""
        folder = Path(self._root) / _TEMPORARY
        if not self._local or not folder.is_dir():
            return
        for file in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - file.stat().st_mtime > _TEMPORARY_MAX_AGE_SECS:
                    file.unlink()

    def _make_durable_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True)
        while folder != Path(self._root):
            folder = folder.parent
            sync_folder(folder)


def _write_all(file: io.FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _link(temporary: Path, path: Path) -> bool:
    """Gives a finished file its name; False if the name is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except (PermissionError, OSError) as error:
        if path.exists():
            return False
        if isinstance(error, FileNotFoundError):
            raise
        # A file system without hard links. The rename is as atomic; it would not notice another
        # process with the same writer id, which is the one thing a writer id must not be.
        os.rename(temporary, path)
    return True
