"""Small JSON files that learner and actors tell each other things with, on a disk or in a bucket.

A file appears whole: renamed into place locally, put in one request in a bucket. The last writer
wins; each file has one writer.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from spo_jax.errors import UserError


class SharedFiles:
    """JSON files by relative name below one directory.

    Args:
      url: a local path or an fsspec URL (gs://, s3://, memory://); made when first written to.

    Raises:
      UserError: the URL's file system is not installed or unknown.
    """

    def __init__(self, url: str):
        try:
            fs, root = fsspec.core.url_to_fs(str(url))
        except (ImportError, ValueError) as error:
            raise UserError(f"cannot open '{url}': {error}") from error
        self.url = str(url)
        self._fs: Any = fs
        self._root = root.rstrip("/")
        self._is_local = isinstance(fs, LocalFileSystem)

    @property
    def local_path(self) -> Path | None:
        """The directory, or None in a bucket."""
        return Path(self._root) if self._is_local else None

    def read_text(self, name: str) -> str | None:
        """A file's content; None if it is not there."""
        try:
            if self._is_local:
                return (Path(self._root) / name).read_text(encoding="utf-8")
            self._fs.invalidate_cache()
            return self._fs.cat_file(f"{self._root}/{name}").decode()
        except FileNotFoundError:
            return None

    def read(self, name: str) -> dict[str, Any] | None:
        """A file's values; None if it is not there."""
        text = self.read_text(name)
        return None if text is None else json.loads(text)

    def write(self, name: str, values: dict[str, Any]) -> None:
        """Writes a file, whole."""
        self.write_text(name, json.dumps(values) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Writes a file, whole."""
        if not self._is_local:
            self._fs.pipe_file(f"{self._root}/{name}", text.encode())
            return
        path = Path(self._root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)

    def names(self, folder: str) -> list[str]:
        """Relative names of the JSON files right below a folder, sorted."""
        if self._is_local:
            found = [path.name for path in (Path(self._root) / folder).glob("*.json")]
        else:
            self._fs.invalidate_cache()
            try:
                paths = self._fs.ls(f"{self._root}/{folder}", detail=False)
            except FileNotFoundError:
                paths = []
            found = [path.rpartition("/")[2] for path in paths if path.endswith(".json")]
        return sorted(f"{folder}/{name}" for name in found if not name.startswith("."))
