"""The index columns of many objects in one local file, mapped into memory and not read.

Objects never change, so their columns are worth keeping: the file saves opening each of them. It is
a cache: whoever deletes it loses time only. An entry counts while the object has the same size and
time of change; anything wrong with the file makes it count as absent.
"""

import dataclasses
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from spo_jax.trajectories.index import ObjectColumns

_FORMAT = "1"
_HASHES = "_id_hash"
_META = b"spo_jax.index_cache"


@dataclasses.dataclass(frozen=True, eq=False)
class CachedObject:
    """Columns of an object, and the first row of each of its row groups, int64."""

    columns: ObjectColumns
    group_starts: np.ndarray


def read_index_cache(
    file: Path, schema: pa.Schema, stamps: Mapping[str, str]
) -> dict[str, CachedObject]:
    """Entries of a cache file that still hold.

    Args:
      file: may be absent.
      schema: of the index columns; a file of other columns does not count.
      stamps: object name to what identifies its contents now.
    """
    try:
        with pa.memory_map(str(file)) as source:
            table = pa.ipc.open_file(source).read_all()
        meta = json.loads((table.schema.metadata or {})[_META])
        if meta["format"] != _FORMAT or table.schema.remove_metadata() != _schema(schema):
            return {}
        hashes = table[_HASHES].to_numpy()
        columns = table.drop_columns([_HASHES]).replace_schema_metadata(None)
        found, start = {}, 0
        for name, stamp, num_rows, groups in meta["objects"]:
            if start + num_rows > len(hashes):
                return {}
            if stamps.get(name) == stamp:
                part = ObjectColumns(
                    name, columns.slice(start, num_rows), hashes[start : start + num_rows]
                )
                found[name] = CachedObject(part, np.asarray(groups, np.int64))
            start += num_rows
        return found
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError):
        return {}


def write_index_cache(
    file: Path, schema: pa.Schema, entries: Sequence[CachedObject], stamps: Mapping[str, str]
) -> None:
    """Replaces the file, whole or not at all. A folder that cannot be written to is no error."""
    kept = [entry for entry in entries if entry.columns.name in stamps]
    table = pa.concat_tables(
        [schema.empty_table(), *(entry.columns.table for entry in kept)]
    ).combine_chunks()
    hashes = np.concatenate([np.zeros(0, np.uint64), *(e.columns.id_hashes for e in kept)])
    meta = {
        "format": _FORMAT,
        "objects": [
            (
                entry.columns.name,
                stamps[entry.columns.name],
                entry.columns.table.num_rows,
                entry.group_starts.tolist(),
            )
            for entry in kept
        ],
    }
    table = table.append_column(pa.field(_HASHES, pa.uint64(), nullable=False), pa.array(hashes))
    table = table.replace_schema_metadata({_META: json.dumps(meta)})
    partial = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(exist_ok=True)
        with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        os.replace(partial, file)
    except OSError:
        partial.unlink(missing_ok=True)


def _schema(schema: pa.Schema) -> pa.Schema:
    return schema.remove_metadata().append(pa.field(_HASHES, pa.uint64(), nullable=False))
