"""Checkpoints of the learner's state and of the host's, committed together.

A checkpoint is a directory named by its step:

  00000120/state/         arrays, written by Orbax: uncompressed, sharded by process
  00000120/host.json      policy version, replay state, data cursors: whatever the loop needs
  00000120/manifest.json  written last: the sizes of all files, the names and shapes of all arrays

The manifest is the commit, so nothing has to be renamed and a bucket serves as well as a disk. A
directory without one is what a killed process left behind: it is reported by name and passed over.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath

from spo_jax.errors import UserError

_MANIFEST = "manifest.json"
_HOST = "host.json"
_STATE = "state"

_log = logging.getLogger(__name__)


class Restored(NamedTuple):
    """What `Checkpointer.restore_latest` found.

    Attributes:
      state: in the structure and with the shardings of the template.
      host_state: as given to `save`.
      step: of the checkpoint.
      passed_over: one line for each newer checkpoint that could not be used.
    """

    state: Any
    host_state: dict[str, Any]
    step: int
    passed_over: tuple[str, ...]


class Checkpointer:
    """Saves and restores under one directory.

    Args:
      directory: local, mounted or a bucket URL; created when first saved to.
      keep: the newest checkpoints to keep, at least 1.
    """

    def __init__(self, directory: str, *, keep: int = 3):
        if keep < 1:
            raise UserError(f"keep={keep} checkpoints must be at least 1")
        is_url = "://" in directory
        self.directory = epath.Path(directory if is_url else os.path.abspath(directory))
        self._keep = keep
        self._arrays = ocp.PyTreeCheckpointer(use_ocdbt=True, use_zarr3=True, use_compression=False)

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        return [step for step in self._found() if self._problem(step) is None]

    def save(self, step: int, state: Any, host_state: Mapping[str, Any]) -> epath.Path:
        """Commits one checkpoint, then deletes all but the newest `keep`. Returns its directory.

        A step that is already committed stays as it is.

        Args:
          step: names the checkpoint.
          state: a pytree of arrays; typed PRNG keys are fine.
          host_state: what `json` can hold; floats keep every bit.
        """
        path = self._path(step)
        if path.exists():
            if self._problem(step) is None:
                return path
            path.rmtree()
        encoded_host = json.dumps(dict(host_state), indent=1)
        arrays = {name: _as_data(leaf) for name, leaf in _named(state).items()}
        # Orbax writes beside its target, renames, and waits for every process.
        self._arrays.save(path / _STATE, arrays)
        if jax.process_index() == 0:
            (path / _HOST).write_text(encoded_host)
            (path / _MANIFEST).write_text(json.dumps(_manifest(path, arrays), indent=1))
            self._delete_old(step)
        return path

    def restore_latest(self, template: Any) -> Restored | None:
        """Restores the newest usable checkpoint, or returns None where none was ever committed.

        Args:
          template: the state as `jax.ShapeDtypeStruct`s with shardings (`Learner.abstract_state`).

        Raises:
          UserError: the checkpoint is of another model or optimizer; or checkpoints were committed
            and all are damaged, so that starting over would lose a run in silence.
        """
        passed_over: list[str] = []
        for step in reversed(self._found()):
            problem = self._problem(step)
            if problem is None:
                restored = self._try_restore(step, template)
                if isinstance(restored, tuple):
                    return Restored(*restored, step, tuple(passed_over))
                problem = restored
            passed_over.append(f"checkpoint {self._path(step)} is passed over: {problem}")
            _log.warning(passed_over[-1])
        if any((self._path(step) / _MANIFEST).exists() for step in self._found()):
            raise UserError(
                "no checkpoint can be restored; move the directory away to start over. "
                + "; ".join(passed_over)
            )
        return None

    def _try_restore(self, step: int, template: Any) -> tuple[Any, dict[str, Any]] | str:
        """The state and the host's, or what is wrong with the files."""
        path = self._path(step)
        named = _named(template)
        structs = {name: _data_struct(leaf) for name, leaf in named.items()}
        saved = json.loads((path / _MANIFEST).read_text())["arrays"]
        _check_arrays(path, saved, structs)
        restore_args = ocp.checkpoint_utils.construct_restore_args(structs)
        try:
            arrays = self._arrays.restore(
                path / _STATE, args=ocp.args.PyTreeRestore(structs, restore_args)
            )
            host_state = json.loads((path / _HOST).read_text())
        except (ValueError, OSError, KeyError) as error:
            return f"its files cannot be read ({type(error).__name__}: {str(error)[:200]})"
        leaves = [_like(arrays[name], leaf) for name, leaf in named.items()]
        return jax.tree.unflatten(jax.tree.structure(template), leaves), host_state

    def _path(self, step: int) -> epath.Path:
        return self.directory / f"{step:08d}"

    def _found(self) -> list[int]:
        """Steps of all checkpoint directories, complete or not, oldest first."""
        if not self.directory.exists():
            return []
        names = (path.name for path in self.directory.iterdir())
        return sorted(int(name) for name in names if name.isdecimal())

    def _problem(self, step: int) -> str | None:
        """Why a checkpoint cannot be used, judged by its manifest and file sizes, or None."""
        path = self._path(step)
        try:
            sizes = json.loads((path / _MANIFEST).read_text())["files"]
        except FileNotFoundError:
            return "half-written (it has no manifest)"
        except (ValueError, KeyError):
            return "half-written (its manifest cannot be read)"
        for name, size in sizes.items():
            file = path / name
            if not file.exists():
                return f"its file {name} is missing"
            if file.stat().length != size:
                return f"its file {name} has {file.stat().length} bytes, not {size}"
        return None

    def _delete_old(self, newest: int) -> None:
        complete = [step for step in self.steps() if step <= newest]
        kept = complete[-self._keep :]
        for step in self._found():
            if step < newest and step not in kept:
                (self._path(step) / _MANIFEST).unlink(missing_ok=True)
                self._path(step).rmtree()


def _named(tree: Any) -> dict[str, Any]:
    """Leaves by dotted name, in the tree's own order."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _as_data(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _data_struct(leaf: Any) -> jax.ShapeDtypeStruct:
    """What is stored for a leaf of the template, with the leaf's sharding."""
    data = jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf
    return jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=leaf.sharding)


def _like(data: jax.Array, leaf: Any) -> jax.Array:
    """Stored data as what the template's leaf is."""
    return jax.device_put(jax.random.wrap_key_data(data), leaf.sharding) if _is_key(leaf) else data


def _manifest(path: epath.Path, arrays: Mapping[str, jax.Array]) -> dict[str, Any]:
    return {
        "version": 1,
        "arrays": {name: _described(array) for name, array in arrays.items()},
        "files": {str(file.relative_to(path)): file.stat().length for file in _files(path)},
    }


def _files(path: epath.Path) -> Iterator[epath.Path]:
    for child in path.iterdir():
        if child.is_dir():
            yield from _files(child)
        else:
            yield child


def _described(array: Any) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _check_arrays(path: epath.Path, saved: Mapping[str, str], wanted: Mapping[str, Any]) -> None:
    """Raises UserError when the checkpoint holds another state than the template's."""
    for name in sorted(saved.keys() | wanted.keys()):
        there = saved.get(name, "nothing")
        here = _described(wanted[name]) if name in wanted else "nothing"
        if there != here:
            raise UserError(
                f"checkpoint {path} is of another model or optimizer: {name} is {there} there, "
                f"{here} here"
            )
