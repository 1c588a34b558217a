"""Published policies in a bucket, or in another directory, for actors that do not see the run's.

policies/<version>/...   the files of one version, as in the run's directory
policies/LATEST          written last: names a version that is there completely
"""

import tempfile
from pathlib import Path
from typing import Any

import fsspec
from jax.sharding import Mesh

from spo_jax.acting.policies import LATEST
from spo_jax.acting.shared_files import SharedFiles
from spo_jax.errors import UserError
from spo_jax.models import ModelConfig, load_pretrained

_FOLDER = "policies"


class PolicyMirror:
    """The policies below one URL.

    Args:
      url: a directory or bucket that learner and actors see.
      keep: versions that stay; at least three, so that a slow reader finds its own.
    """

    def __init__(self, url: str, *, keep: int = 3):
        if keep < 3:
            raise UserError(f"at least 3 published policies must be kept, got keep={keep}")
        self.url = url
        self._files = SharedFiles(url)  # raises for an unknown file system
        self._fs: Any
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = f"{root.rstrip('/')}/{_FOLDER}"
        self._keep = keep

    def put(self, folder: Path, version: int) -> None:
        """Copies a published version, then points to it and removes old ones."""
        self._copy(folder, version)
        self._files.write_text(f"{_FOLDER}/{LATEST}", f"{version}\n")
        for old in self.versions()[: -self._keep]:
            self._fs.rm(f"{self._root}/{old}", recursive=True)

    def latest(self) -> int:
        """The newest version; 0 where none is."""
        return int(self._files.read_text(f"{_FOLDER}/{LATEST}") or 0)

    def versions(self) -> list[int]:
        self._fs.invalidate_cache()
        try:
            paths = self._fs.ls(self._root, detail=False)
        except FileNotFoundError:
            return []
        names = (path.rstrip("/").rpartition("/")[2] for path in paths)
        return sorted(int(name) for name in names if name.isdigit())

    def rewind(self, folder: Path, version: int) -> None:
        """Forgets versions beyond one, which is put back from `folder` if it went meanwhile."""
        if version and version not in self.versions():
            self._copy(folder, version)
        self._files.write_text(f"{_FOLDER}/{LATEST}", f"{version}\n")
        for later in self.versions():
            if later > version:
                self._fs.rm(f"{self._root}/{later}", recursive=True)

    def _copy(self, folder: Path, version: int) -> None:
        target = f"{self._root}/{version}"
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = file.relative_to(folder).as_posix()
            self._fs.makedirs(f"{target}/{name}".rpartition("/")[0], exist_ok=True)
            self._fs.put_file(str(file), f"{target}/{name}")

    @property
    def folder(self) -> str:
        """Of the versions: a path where it is local, else a URL."""
        path = self._files.local_path
        if path is None:
            return f"{self.url.rstrip('/')}/{_FOLDER}"
        return str(path.absolute() / _FOLDER)

    def local_path(self, version: int) -> Path | None:
        """A version's directory, or None in a bucket."""
        path = self._files.local_path
        return None if path is None else path / _FOLDER / str(version)

    def fetch(self, version: int, folder: Path) -> None:
        """Copies a version's files to a local directory.

        Raises:
          FileNotFoundError: the version, or one of its files, is gone.
        """
        self._fs.invalidate_cache()
        root = f"{self._root}/{version}/"
        paths = self._fs.find(root)
        if not paths:
            raise FileNotFoundError(f"published policy {version} is missing in '{self.url}'")
        for path in paths:
            local = folder / path.partition(root)[2]
            local.parent.mkdir(parents=True, exist_ok=True)
            self._fs.get_file(path, str(local))


class MirroredPolicies:
    """What `PublishedPolicies` reads, where the policies lie behind a URL.

    Args:
      mirror: of the run.
      config: of the model; its compute dtype is kept.
      dtype: of parameters.
      mesh: of this process, where they are wanted; None is the default device.
    """

    def __init__(
        self,
        mirror: PolicyMirror,
        config: ModelConfig,
        *,
        dtype: str = "float32",
        mesh: Mesh | None = None,
    ):
        self._mesh = mesh
        self._mirror = mirror
        self._config = config
        self._dtype = dtype

    def latest(self) -> int:
        return self._mirror.latest()

    def load(self, version: int) -> Any:
        """Reads a version; from a bucket, it is copied to a temporary directory first.

        Raises:
          FileNotFoundError, UserError: it is gone, or went while it was read.
        """
        local = self._mirror.local_path(version)
        if local is not None:
            return self._read(local)
        with tempfile.TemporaryDirectory(prefix="policy-") as folder:
            self._mirror.fetch(version, Path(folder))
            return self._read(Path(folder))

    def _read(self, folder: Path) -> Any:
        return load_pretrained(
            folder,
            param_dtype=self._dtype,
            compute_dtype=self._config.compute_dtype,
            mesh=self._mesh,
        ).params
