"""The published files: which belong to a split, and their rows one after the other.

Texts of rows are bytes: not all of them are UTF-8.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spo_jax.errors import UserError

SPLITS = {"train": "train", "validation": "valid", "test": "test"}  # and the name in the files
_KINDS = (".parquet", ".arrow", ".jsonl", ".json")
_ROWS_PER_BATCH = 4  # a row may hold tens of megabytes


def files_by_split(names: Iterable[str]) -> dict[str, list[str]]:
    """Split to its files, of paths relative to the data set; of several formats the first counts.

    A file belongs to the split that its name or its folder begins with, for example
    `data/train-00000-of-00039.parquet` or `test/data-00000-of-00001.arrow`.
    """
    chosen: dict[str, dict[str, list[str]]] = {}
    for name in sorted(names):
        path = Path(name)
        if path.suffix not in _KINDS:
            continue
        split = next(filter(None, map(_split_of, (path.name, *path.parts[:-1]))), None)
        if split is not None:
            chosen.setdefault(split, {}).setdefault(path.suffix, []).append(name)
    return {
        split: next(kinds[kind] for kind in _KINDS if kind in kinds)
        for split, kinds in chosen.items()
    }


def _split_of(part: str) -> str | None:
    for split, word in SPLITS.items():
        if re.match(rf"{word}(ation)?(?![a-zA-Z])", part):
            return split
    return None


def local_files(directory: str | Path) -> dict[str, list[str]]:
    """`files_by_split` of a directory, as full paths.

    Raises:
      UserError: there is no such directory, or no file of a split in it.
    """
    root = Path(directory).expanduser()
    if not root.is_dir():
        raise UserError(f"data_dir '{directory}' is not a directory")
    found = files_by_split(
        path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()
    )
    if not found:
        raise UserError(
            f"data_dir '{directory}' holds no file of a split: names or folders must begin with "
            f"{', '.join(SPLITS.values())} and end with {', '.join(_KINDS)}"
        )
    return {split: [str(root / name) for name in names] for split, names in found.items()}


def fingerprint(files: dict[str, list[str]]) -> str:
    """Names, sizes and times of change of files in 16 letters."""
    facts = []
    for split, paths in sorted(files.items()):
        for path in paths:
            stat = Path(path).stat()
            facts.append([split, path, stat.st_size, stat.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def read_rows(path: str | Path, kind: str | None = None) -> Iterator[dict[str, Any]]:
    """The rows of one file; `kind` is its ending where its name does not show it.

    Raises:
      UserError: the file is not what its name says.
    """
    kind = kind or Path(path).suffix
    reader = {".parquet": _parquet_rows, ".arrow": _arrow_rows}.get(kind, _json_rows)
    try:
        yield from reader(Path(path))
    except (pa.ArrowException, ValueError) as error:
        raise UserError(f"{path} is not a valid {kind} file: {error}") from error


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path, memory_map=True) as file:
        for batch in file.iter_batches(_ROWS_PER_BATCH):
            yield from _batch_rows(batch)


def _arrow_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The streaming format, which `datasets` writes."""
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        for batch in stream:
            for start in range(0, batch.num_rows, _ROWS_PER_BATCH):
                yield from _batch_rows(batch.slice(start, _ROWS_PER_BATCH))


def _batch_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    fields = [pa.field(field.name, _as_bytes(field.type)) for field in batch.schema]
    return batch.cast(pa.schema(fields)).to_pylist()


def _as_bytes(kind: pa.DataType) -> pa.DataType:
    """The same type with bytes for texts, which then need not be UTF-8."""
    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_list(kind):
        return pa.list_(pa.field(kind.value_field.name, _as_bytes(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(pa.field(kind.value_field.name, _as_bytes(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _as_bytes(field.type)) for field in kind])
    return kind


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """One object a line, or one list of objects."""
    with path.open("rb") as file:
        if file.read(1) == b"[":
            lines: Iterable[Any] = json.loads(_decoded(path.read_bytes()))
        else:
            file.seek(0)
            lines = (json.loads(_decoded(line)) for line in file if line.strip())
        for number, row in enumerate(lines, start=1):
            if not isinstance(row, dict):
                raise ValueError(f"row {number} is not an object")
            yield _encoded(row)


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _encoded(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # a lone surrogate, written with \u
            return value.encode("utf-8", "surrogatepass")
    if isinstance(value, list):
        return [_encoded(item) for item in value]
    if isinstance(value, dict):
        return {key: _encoded(item) for key, item in value.items()}
    return value
