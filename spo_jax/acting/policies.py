"""Published policies: what samplers read, in the form every other tool reads too.

`<directory>/<version>/` is a Hugging Face checkpoint; `LATEST` names the newest. A version appears
whole: it is written aside and renamed. Version 0 is the start itself and is not written.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from spo_jax.errors import UserError
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
        self._pinned: int | None = None
        # A copy on the device, in another buffer than the learner's, which it is about to donate.
        self._copy = jax.jit(lambda p: jax.tree.map(lambda x: jnp.array(x, dtype, copy=True), p))

    def publish(self, params: Any, version: int) -> Any:
        """Writes a version and returns the device copy that samplers are to use from now on."""
        copy = self._copy(params)
        placed = self.placed(copy)
        files = placed if is_local(placed) else params_to_local(copy, make_local_mesh(), self._axes)
        if not self._writes:
            return placed
        target = self._directory / str(version)
        self._directory.mkdir(parents=True, exist_ok=True)
        if not target.exists():  # a redone step publishes the same policy
            partial = self._directory / f".{version}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            save_pretrained(partial, self._config, files, tokenizer=self._tokenizer)
            partial.rename(target)
        self._point_to(version)
        self._remove_old()
        return placed

    def placed(self, params: Any) -> Any:
        """The parameters where they are wanted; all processes call it together."""
        if self._mesh is None or not is_local_mesh(self._mesh):
            return params
        return params_to_local(params, self._mesh, self._axes)

    def pin(self, version: int) -> None:
        """Keeps a version, in place of the one pinned before: a checkpoint names it."""
        self._pinned = version

    def load(self, version: int) -> Any:
        """Reads the parameters of a published version, in the published dtype."""
        path = self._directory / str(version)
        if not path.is_dir():
            raise UserError(
                f"published policy {version} is missing in '{self._directory}': a resumed run "
                f"needs it; there are {self.versions()}"
            )
        return load_pretrained(
            path,
            param_dtype=self._dtype,
            compute_dtype=self._config.compute_dtype,
            mesh=self._mesh,
        ).params

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
            if version != self._pinned:
                shutil.rmtree(self._directory / str(version))
