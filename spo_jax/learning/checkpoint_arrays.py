"""A pytree of arrays as named arrays in files, written by Orbax in the background."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath

from spo_jax.errors import UserError


class ArrayFiles:
    """Saves and restores named arrays; every process writes what its devices hold.

    Host copies are made before `save` returns. On CPU they are views, and JAX lets no donation
    reuse a buffer that has one.
    """

    def __init__(self) -> None:
        self._orbax = ocp.AsyncCheckpointer(
            ocp.PyTreeCheckpointHandler(use_ocdbt=True, use_zarr3=True, use_compression=False)
        )

    def save(self, path: epath.Path, arrays: Mapping[str, jax.Array]) -> None:
        """Starts to write beside `path`, which appears when all processes are done."""
        self._orbax.save(path, args=ocp.args.PyTreeSave(dict(arrays)))

    def wait(self) -> None:
        """Waits until everything is durable. Raises what went wrong in the background."""
        self._orbax.wait_until_finished()

    def restore(self, path: epath.Path, template: Any) -> Any:
        """Reads the leaves of a template of `jax.ShapeDtypeStruct`s; others are not read."""
        named = _named(template)
        structs = {name: _data_struct(leaf) for name, leaf in named.items()}
        args = ocp.args.PyTreeRestore(
            structs,
            ocp.checkpoint_utils.construct_restore_args(structs),
            partial_restore=True,
        )
        arrays = self._orbax.restore(path, args=args)
        leaves = [_like(arrays[name], leaf) for name, leaf in named.items()]
        return jax.tree.unflatten(jax.tree.structure(template), leaves)


def stored_arrays(state: Any) -> dict[str, jax.Array]:
    """What is stored of a pytree, by dotted name; a typed key as its data."""
    return {
        name: jax.random.key_data(leaf) if _is_key(leaf) else leaf
        for name, leaf in _named(state).items()
    }


def describe(arrays: Mapping[str, Any]) -> dict[str, str]:
    """Dtype and shape of each, as text."""
    return {name: f"{array.dtype}{list(array.shape)}" for name, array in arrays.items()}


def saved_dtypes(described: Mapping[str, str]) -> dict[str, str]:
    """Names of dtypes in what `describe` returned."""
    return {name: text.split("[")[0] for name, text in described.items()}


def with_dtypes(template: Any, dtypes: Mapping[str, str]) -> Any:
    """A template with other dtypes, where they are known by the leaf's name."""
    leaves = [
        jax.ShapeDtypeStruct(
            leaf.shape, jnp.dtype(dtypes.get(name, leaf.dtype)), sharding=leaf.sharding
        )
        for name, leaf in _named(template).items()
    ]
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def check_arrays(path: epath.Path, saved: Mapping[str, str], template: Any, prefix: str) -> None:
    """Raises UserError when a checkpoint holds another state than the template's.

    Args:
      path: of the checkpoint.
      saved: its description.
      template: of all arrays whose names begin with `prefix`.
    """
    saved = {name: text for name, text in saved.items() if name.startswith(prefix)}
    wanted = describe({name: _data_struct(leaf) for name, leaf in _named(template).items()})
    for name in sorted(saved.keys() | wanted.keys()):
        there, here = saved.get(name, "nothing"), wanted.get(name, "nothing")
        if there != here:
            raise UserError(
                f"checkpoint {path} is of another model or optimizer: {name} is {there} there, "
                f"{here} here"
            )


def _named(tree: Any) -> dict[str, Any]:
    """Leaves by dotted name, in the tree's own order."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data_struct(leaf: Any) -> jax.ShapeDtypeStruct:
    """What is stored for a leaf of the template, with the leaf's sharding."""
    data = jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf
    return jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=leaf.sharding)


def _like(data: jax.Array, leaf: Any) -> jax.Array:
    """Stored data as what the template's leaf is."""
    return jax.device_put(jax.random.wrap_key_data(data), leaf.sharding) if _is_key(leaf) else data
