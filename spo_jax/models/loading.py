"""A checkpoint's tensors into placed, stacked parameters, within 1.3x of their bytes.

Leaves are filled one after the other, the largest first, so that what the last ones need on top
of the parameters already placed is small.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import ml_dtypes
import numpy as np
from jax.sharding import Mesh, Sharding

from spo_jax.errors import UserError, nearest
from spo_jax.models.config import ModelConfig
from spo_jax.models.safetensors_io import Checkpoint, RowReader
from spo_jax.models.tensors import Path, Tensor, leaf_at, tensors_by_leaf
from spo_jax.models.transformer import Params, logical_axes, param_shapes
from spo_jax.sharding import param_shardings

# Derived, not learned: Llama 2's files carry RoPE's frequencies.
_IGNORED_SUFFIXES = (".rotary_emb.inv_freq",)
_TIED = "lm_head.weight"
_PIECE_ELEMENTS = 2**20
_ALIGNMENT = 64  # jax takes over host memory so aligned, without a copy, on CPU


def load_params(
    checkpoint: Checkpoint, config: ModelConfig, source: str, mesh: Mesh | None
) -> Params:
    """Returns the parameters in `config.param_dtype`.

    Args:
      checkpoint: where tensors are read from.
      config: the model they are for.
      source: what to call the checkpoint in errors.
      mesh: where to place them by the table of logical axis rules; None is the default device.

    Raises:
      UserError: a missing, unexpected or misshaped tensor, before anything is read.
    """
    table = tensors_by_leaf(config)
    _check_tensors(checkpoint, config, table, source)
    shapes = param_shapes(config)
    shardings = None
    if mesh is not None:
        shardings = param_shardings(mesh, logical_axes(config), shapes)
    params: Params = {}
    for path in sorted(table, key=lambda path: -leaf_at(shapes, path).size):
        sharding = leaf_at(shardings, path) if shardings is not None else None
        leaf = _fill(checkpoint, table[path], leaf_at(shapes, path), sharding)
        _put(params, path, leaf)
    return params


def _fill(
    checkpoint: Checkpoint,
    tensors: Sequence[Tensor],
    shape: jax.ShapeDtypeStruct,
    sharding: Sharding | None,
) -> jax.Array:
    host = _aligned_empty(shape.shape, np.dtype(shape.dtype))
    for tensor in tensors:
        target = tensor.published_view(host)
        for rows, piece in _pieces(checkpoint, tensor):
            target[rows] = _widened(piece, host.dtype)
    if sharding is None:
        return jax.device_put(host)
    return jax.make_array_from_callback(shape.shape, sharding, lambda index: host[index])


def _pieces(checkpoint: Checkpoint, tensor: Tensor) -> Iterator[tuple[slice, np.ndarray]]:
    """The tensor in runs of rows where the checkpoint can be read so, else whole."""
    if not isinstance(checkpoint, RowReader):
        yield slice(None), checkpoint.read(tensor.name)
        return
    num_rows = tensor.shape[0]
    step = max(1, num_rows * _PIECE_ELEMENTS // math.prod(tensor.shape))
    for start in range(0, num_rows, step):
        rows = slice(start, min(start + step, num_rows))
        yield rows, checkpoint.read_rows(tensor.name, rows.start, rows.stop)


def _widened(array: np.ndarray, target: np.dtype) -> np.ndarray:
    """bfloat16 to float32 by shifting bits: faster than numpy's own cast."""
    if array.dtype != ml_dtypes.bfloat16 or target != np.float32:
        return array
    wide = array.view(np.uint16).astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def _aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    num_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(num_bytes + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + num_bytes].view(dtype).reshape(shape)


def _check_tensors(
    checkpoint: Checkpoint, config: ModelConfig, table: dict[Path, list[Tensor]], source: str
) -> None:
    expected = {tensor.name: tensor for tensors in table.values() for tensor in tensors}
    names = (name for name in checkpoint.names() if not name.endswith(_IGNORED_SUFFIXES))
    found = dict.fromkeys(names)  # a set that keeps the order
    for name, tensor in expected.items():
        if name not in found:
            raise UserError(f"{source}: tensor '{name}' is missing{nearest(name, found)}")
        if checkpoint.shape(name) != tensor.shape:
            raise UserError(
                f"{source}: tensor '{name}' has shape {list(checkpoint.shape(name))}, the "
                f"configuration needs {list(tensor.shape)}"
            )
    unexpected = [name for name in found if name not in expected]
    if config.tie_embeddings and _TIED in unexpected:
        unexpected.remove(_TIED)
        _check_tied(checkpoint, source)
    if unexpected:
        raise UserError(
            f"{source}: {len(unexpected)} tensors have no place in a '{config.family}' model of "
            f"this configuration, for example '{unexpected[0]}'"
        )


def _check_tied(checkpoint: Checkpoint, source: str) -> None:
    """A tied output matrix may be stored again, but not another one."""
    embedding = "model.embed_tokens.weight"
    same = checkpoint.shape(_TIED) == checkpoint.shape(embedding)
    if not same or not np.array_equal(checkpoint.read(_TIED), checkpoint.read(embedding)):
        raise UserError(
            f"{source}: tie_word_embeddings is true, but '{_TIED}' differs from '{embedding}'"
        )


def _put(params: dict[str, Any], path: Path, leaf: jax.Array) -> None:
    for name in path[:-1]:
        params = params.setdefault(name, {})
    params[path[-1]] = leaf
