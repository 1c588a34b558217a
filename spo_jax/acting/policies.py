"""Published policies: what samplers read, in the form every other tool reads too.

`<directory>/<version>/` is a Hugging Face checkpoint; `LATEST` names the newest. A version appears
whole: it is written aside and renamed. Version 0 is the start itself and is not written.
"""

import concurrent.futures
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from spo_jax.durable import sync_folder, sync_tree
from spo_jax.errors import UserError, writing
from spo_jax.models import ModelConfig, load_pretrained, save_pretrained
from spo_jax.models.transformer import logical_axes
from spo_jax.placement import is_local, is_local_mesh, make_local_mesh, params_to_local
from spo_jax.tokenizers import Tokenizer

LATEST = "LATEST"


class Policies:
    """Publishes parameters and reads them back.

    Args:
      directory: holds the versions; created when the first is published.
      config: of the model.
      tokenizer: saved with every version.
      dtype: that samplers use and files hold. What was published and what a resumed run reads
        are the same bits.
      keep: how many versions stay; at least three, so that a slow reader finds its own.
      mesh: where the parameters are wanted: of this process (`make_local_mesh`) for a sampler, the
        learner's for a reference. None is the default device.
      writes: whether this process writes the files: one of several that publish together.
      on_written: called with a version's directory once it is whole, before this is known of.
      on_rewind: called with the directory and the number of the version that is the newest again.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        config: ModelConfig,
        tokenizer: Tokenizer,
        *,
        dtype: str = "float32",
        keep: int = 3,
        mesh: Mesh | None = None,
        writes: bool = True,
        on_written: Callable[[Path, int], None] = lambda *_: None,
        on_rewind: Callable[[Path, int], None] = lambda *_: None,
    ):
        if keep < 3:
            raise UserError(f"at least 3 published policies must be kept, got keep={keep}")
        self._directory = Path(directory)
        self._config = config
        self._tokenizer = tokenizer
        self._dtype = dtype
        self._keep = keep
        self._mesh = mesh
        self._axes = logical_axes(config)
        self._writes = writes
        self._pinned: set[int] = set()
        self._on_written = on_written
        self._on_rewind = on_rewind
        self._writer: concurrent.futures.ThreadPoolExecutor | None = None
        self._writing: concurrent.futures.Future[None] | None = None
        # A copy on the device, in another buffer than the learner's, which it is about to donate.
        self._copy = jax.jit(lambda p: jax.tree.map(lambda x: jnp.array(x, dtype, copy=True), p))

    def publish(self, params: Any, version: int, *, background: bool = False) -> Any:
        """Writes a version and returns the device copy that samplers are to use from now on.

        Args:
          params: the learner's; they may be donated as soon as this returns.
          version: updates that they have seen.
          background: write the files in a thread. If the version before is still being written,
            that is waited for: no version is left out.

        Raises:
          FullDiskError: of this write, of which nothing is left then, or of the one before it in
            the background.
        """
        copy = self._copy(params)
        placed = files = self.placed(copy)
        if not is_local(placed):
            devices = jax.tree.leaves(copy)[0].sharding.device_set
            files = params_to_local(copy, make_local_mesh(devices), self._axes)
        self.flush()
        if not self._writes:
            return placed
        if background:
            if self._writer is None:
                self._writer = concurrent.futures.ThreadPoolExecutor(1, "publishing")
            self._writing = self._writer.submit(self._write, files, version)
        else:
            self._write(files, version)
        return placed

    def flush(self) -> None:
        """Waits until what was published is on disk; raises what went wrong with it."""
        pending, self._writing = self._writing, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Ends the writing thread, if there is one, after its work."""
        if self._writer is not None:
            self._writer.shutdown()

    def latest(self) -> int:
        """The newest published version; 0 where none is."""
        try:
            return int((self._directory / LATEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return 0

    def rewind(self, version: int) -> None:
        """Forgets versions beyond one, of an attempt that got further than its checkpoint.

        They would outlast the lower numbers that are published from now on; and where a run does
        not repeat itself bit for bit, a later policy of that number is another policy.
        """
        if not self._writes:
            return
        if version:
            self.check(version)
        self._on_rewind(self._directory / str(version), version)
        if version:
            self._point_to(version)
        else:
            (self._directory / LATEST).unlink(missing_ok=True)
        for later in self.versions():
            if later > version:
                shutil.rmtree(self._directory / str(later))

    def placed(self, params: Any) -> Any:
        """The parameters where they are wanted; all processes call it together."""
        if self._mesh is None or not is_local_mesh(self._mesh):
            return params
        return params_to_local(params, self._mesh, self._axes)

    def _write(self, copy: Any, version: int) -> None:
        target = self._directory / str(version)
        with writing(target, sum(leaf.nbytes for leaf in jax.tree.leaves(copy))):
            self._directory.mkdir(parents=True, exist_ok=True)
            if not target.exists():  # a redone step publishes the same policy
                self._write_whole(copy, target)
            self._on_written(target, version)
            self._point_to(version)
        self._remove_old()

    def _write_whole(self, copy: Any, target: Path) -> None:
        partial = self._directory / f".{target.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            save_pretrained(partial, self._config, copy, tokenizer=self._tokenizer)
            sync_tree(partial)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)  # it may be what fills the disk
            raise
        partial.rename(target)
        sync_folder(self._directory)

    def pin(self, versions: Iterable[int]) -> None:
        """Keeps versions, in place of those pinned before: checkpoints name them."""
        self._pinned = set(versions)

    def start(self, params: Any) -> Any:
        """What samplers use before anything is published: version 0."""
        return params

    def load(self, version: int) -> Any:
        """Reads the parameters of a published version, in the published dtype."""
        path = self.check(version)
        return load_pretrained(
            path,
            param_dtype=self._dtype,
            compute_dtype=self._config.compute_dtype,
            mesh=self._mesh,
        ).params

    def check(self, version: int) -> Path:
        """The directory of a published version; raises UserError where it is missing."""
        path = self._directory / str(version)
        if not path.is_dir():
            raise UserError(
                f"published policy {version} is missing in '{self._directory}': a resumed run "
                f"needs it; there are {self.versions()}"
            )
        return path

    def versions(self) -> list[int]:
        if not self._directory.exists():
            return []
        names = [path.name for path in self._directory.iterdir() if path.is_dir()]
        return sorted(int(name) for name in names if name.isdigit())

    def _point_to(self, version: int) -> None:
        partial = self._directory / f".{LATEST}"
        partial.write_text(f"{version}\n", encoding="utf-8")
        partial.replace(self._directory / LATEST)

    def _remove_old(self) -> None:
        for version in self.versions()[: -self._keep]:
            if version not in self._pinned:
                shutil.rmtree(self._directory / str(version))
