"""Safetensors, one tensor at a time: no more than one is in host memory.

Files are read with plain reads, not mapped, so that resident memory is what the caller holds.
Format: https://github.com/huggingface/safetensors (8 bytes of length, a JSON header, the bytes).
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import ml_dtypes
import numpy as np

from spo_jax.errors import UserError, nearest

_DTYPES: dict[str, Any] = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
INDEX_NAME = "model.safetensors.index.json"
FILE_NAME = "model.safetensors"


class Checkpoint(Protocol):
    """Weights under Hugging Face names, and the configuration that goes with them."""

    def hf_config(self) -> dict[str, Any]: ...
    def names(self) -> list[str]: ...
    def shape(self, name: str) -> tuple[int, ...]: ...
    def read(self, name: str) -> np.ndarray: ...


@runtime_checkable
class RowReader(Protocol):
    """A checkpoint that can be read in parts."""

    def read_rows(self, name: str, start: int, stop: int) -> np.ndarray: ...


class _Entry(NamedTuple):
    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int  # in bytes, from the start of the file


class SafetensorsCheckpoint:
    """A directory with `config.json` and one or several safetensors files.

    Raises:
      UserError: a file is missing, truncated or malformed, or a tensor's dtype is not supported.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        self._config = self._json("config.json")
        self._entries: dict[str, _Entry] = {}
        for path, expected in self._files().items():
            entries = _read_header(path)
            missing = [name for name in expected if name not in entries]
            if missing:
                raise UserError(f"{path}: no tensor '{missing[0]}', which {INDEX_NAME} says it has")
            self._entries |= entries

    def hf_config(self) -> dict[str, Any]:
        """The content of `config.json`."""
        return self._config

    def generation_config(self) -> dict[str, Any]:
        """The content of `generation_config.json`, empty if there is none."""
        name = "generation_config.json"
        return self._json(name) if (self.directory / name).is_file() else {}

    def names(self) -> list[str]:
        return list(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._entry(name).shape

    def dtype(self, name: str) -> str:
        """'float32', 'float16' or 'bfloat16'."""
        return self._entry(name).dtype.name

    def read(self, name: str) -> np.ndarray:
        """Returns the tensor in its own dtype; bfloat16 as of `ml_dtypes`."""
        shape = self._entry(name).shape
        return self.read_rows(name, 0, shape[0]) if shape else self._read(name, (), 0)

    def read_rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Returns `read(name)[start:stop]` without reading the rest."""
        row_shape = self._entry(name).shape[1:]
        return self._read(name, (stop - start, *row_shape), start * math.prod(row_shape))

    def _read(self, name: str, shape: tuple[int, ...], skip: int) -> np.ndarray:
        """Reads an array of `shape` after the tensor's first `skip` elements."""
        path, dtype, _, offset = self._entry(name)
        array = np.empty(shape, dtype)
        with path.open("rb") as file:
            file.seek(offset + skip * dtype.itemsize)
            if file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
                raise UserError(f"{path}: truncated while reading '{name}'")
        return array

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise UserError(f"{self.directory}: no tensor '{name}'{nearest(name, self._entries)}")
        return self._entries[name]

    def _files(self) -> dict[Path, list[str]]:
        """Weight files, and the tensors the index expects in each."""
        if (self.directory / INDEX_NAME).is_file():
            files: dict[Path, list[str]] = {}
            for name, file in self._json(INDEX_NAME)["weight_map"].items():
                files.setdefault(self.directory / file, []).append(name)
            return files
        if (self.directory / FILE_NAME).is_file():
            return {self.directory / FILE_NAME: []}
        raise UserError(f"{self.directory}: neither {FILE_NAME} nor {INDEX_NAME} is there")

    def _json(self, name: str) -> dict[str, Any]:
        path = self.directory / name
        if not path.is_file():
            raise UserError(f"{self.directory}: no {name} in the directory")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path}: not valid JSON ({error})") from error
        if not isinstance(content, dict):
            raise UserError(f"{path}: must hold a JSON object, holds a {type(content).__name__}")
        return content


def _read_header(path: Path) -> dict[str, _Entry]:
    if not path.is_file():
        raise UserError(f"{path}: the file is missing")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or 8 + length > size:
            raise UserError(f"{path}: not a safetensors file, or a truncated one ({size} bytes)")
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            return {n: _entry(path, n, fields, 8 + length, size) for n, fields in header.items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{path}: malformed safetensors header ({error})") from error


def _entry(path: Path, name: str, fields: Mapping[str, Any], start: int, size: int) -> _Entry:
    if fields["dtype"] not in _DTYPES:
        raise UserError(
            f"{path}: tensor '{name}' has dtype {fields['dtype']}; supported: {', '.join(_DTYPES)}"
        )
    dtype, shape = _DTYPES[fields["dtype"]], tuple(fields["shape"])
    begin, end = fields["data_offsets"]
    if start + end > size:
        raise UserError(
            f"{path}: truncated: tensor '{name}' ends at byte {start + end}, the file at {size}"
        )
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise UserError(
            f"{path}: tensor '{name}' of shape {list(shape)} and dtype {fields['dtype']} cannot "
            f"have {end - begin} bytes"
        )
    return _Entry(path, dtype, shape, start + begin)


class TensorSpec(NamedTuple):
    """A tensor to be written: its name, dtype name and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * _dtype(self.dtype).itemsize


def write_safetensors(
    directory: Path, specs: list[TensorSpec], arrays: Iterable[np.ndarray], max_file_bytes: int
) -> None:
    """Writes `model.safetensors`, or numbered files with an index above `max_file_bytes`.

    Args:
      directory: existing.
      specs: all tensors, in order.
      arrays: their values in the same order, consumed one at a time and cast to the spec's dtype.
      max_file_bytes: of one file; a larger tensor gets a file of its own.
    """
    stream = iter(arrays)
    files = _split(specs, max_file_bytes)
    if len(files) == 1:
        _write_file(directory / FILE_NAME, specs, stream)
        (directory / INDEX_NAME).unlink(missing_ok=True)
        return
    weight_map: dict[str, str] = {}
    for i, part in enumerate(files, start=1):
        name = f"model-{i:05d}-of-{len(files):05d}.safetensors"
        _write_file(directory / name, part, stream)
        weight_map |= {spec.name: name for spec in part}
    total = sum(spec.num_bytes for spec in specs)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (directory / INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    (directory / FILE_NAME).unlink(missing_ok=True)


def _split(specs: list[TensorSpec], max_file_bytes: int) -> list[list[TensorSpec]]:
    files: list[list[TensorSpec]] = [[]]
    room = max_file_bytes
    for spec in specs:
        if files[-1] and spec.num_bytes > room:
            files.append([])
            room = max_file_bytes
        files[-1].append(spec)
        room -= spec.num_bytes
    return files


def _write_file(path: Path, specs: list[TensorSpec], arrays: Iterator[np.ndarray]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for spec in specs:
        fields = {"dtype": _CODES[_dtype(spec.dtype)], "shape": list(spec.shape)}
        header[spec.name] = {**fields, "data_offsets": [offset, offset + spec.num_bytes]}
        offset += spec.num_bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format wants the bytes aligned
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for spec in specs:
            array = np.ascontiguousarray(next(arrays), dtype=_dtype(spec.dtype))
            file.write(array.reshape(-1).view(np.uint8).data)
    os.replace(partial, path)


def _dtype(name: str) -> np.dtype:
    known = {dtype.name: dtype for dtype in _CODES}
    if name not in known:
        raise UserError(f"dtype '{name}' is not one of {', '.join(known)}{nearest(name, known)}")
    return known[name]
