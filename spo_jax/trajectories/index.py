"""The columns of many objects, side by side, without their tokens."""

import dataclasses
import functools
import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# A table in more pieces is copied into one: taking rows from many pieces is slow.
_MAX_CHUNKS = 64


@dataclasses.dataclass(frozen=True)
class ObjectColumns:
    """The index columns of one object.

    Attributes:
      name: of the object.
      table: index columns, one row per record.
      id_hashes: uint64 [rows] of the first key column.
    """

    name: str
    table: pa.Table
    id_hashes: np.ndarray

    @classmethod
    def of(cls, name: str, table: pa.Table) -> "ObjectColumns":
        ids = table.column(0).to_pylist()
        return cls(name, table, np.fromiter(map(hash64, ids), np.uint64, len(ids)))


def hash64(text: str) -> int:
    """A stable 64-bit hash of a string."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@dataclasses.dataclass(frozen=True, eq=False)
class Index:
    """Rows of a store after deduplication; N is their number. Row numbers are positions in it.

    Attributes:
      table: index columns, N rows, ordered by stream, commit and row.
      objects: names of the objects.
      object_of: int32 [N], which object holds a row. row_of: int64 [N], where in that object.
      id_hashes: uint64 [N] of the ids, for draws that do not depend on the order of rows.
      num_duplicates: rows left out because an earlier row has the same key.
    """

    table: pa.Table
    objects: tuple[str, ...]
    object_of: np.ndarray
    row_of: np.ndarray
    id_hashes: np.ndarray
    num_duplicates: int

    @classmethod
    def of(cls, parts: list[ObjectColumns], schema: pa.Schema, key: tuple[str, ...]) -> "Index":
        """Joins objects in the given order; of rows with one key the first is kept."""
        table = pa.concat_tables([schema.empty_table(), *(part.table for part in parts)])
        sizes = [part.table.num_rows for part in parts]
        hashes = np.concatenate([np.zeros(0, np.uint64), *(part.id_hashes for part in parts)])
        kept = _kept_rows(table, key, hashes)
        if kept is not None:
            table = table.take(kept)
        if kept is not None or len(parts) > _MAX_CHUNKS:
            table = table.combine_chunks()
        chosen = slice(None) if kept is None else kept
        object_of = np.repeat(np.arange(len(parts), dtype=np.int32), sizes)
        row_of = np.concatenate([np.arange(0), *(np.arange(size) for size in sizes)])
        return cls(
            table=table,
            objects=tuple(part.name for part in parts),
            object_of=object_of[chosen],
            row_of=row_of[chosen],
            id_hashes=hashes[chosen],
            num_duplicates=sum(sizes) - table.num_rows,
        )

    def __len__(self) -> int:
        return self.table.num_rows

    def ids(self, rows: np.ndarray | None = None) -> list[str]:
        """The first key column, of all rows or of some."""
        column = self.table.column(0)
        return (column if rows is None else column.take(pa.array(rows))).to_pylist()

    def positions(self, ids: list[str]) -> np.ndarray:
        """int64 row numbers of ids by the first key column, -1 where an id is not held."""
        found = pc.index_in(pa.array(ids, pa.string()), value_set=self.table.column(0))
        return found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)

    @functools.cached_property
    def rewards(self) -> np.ndarray:
        """float64 [N], NaN where there is none."""
        return self.table["reward"].to_numpy().astype(np.float64)

    @functools.cached_property
    def policy_versions(self) -> np.ndarray:
        """int64 [N], -1 where there is none."""
        return self._integers("policy_version")

    @functools.cached_property
    def prompt_lengths(self) -> np.ndarray:
        """int64 [N], -1 where there is no tokenization."""
        return self._integers("prompt_length")

    @functools.cached_property
    def completion_lengths(self) -> np.ndarray:
        """int64 [N], -1 where there is no tokenization."""
        return self._integers("completion_length")

    def codes(self, name: str) -> tuple[np.ndarray, list[str | None]]:
        """A string column as int64 [N] codes and the values they stand for."""
        encoded = pc.dictionary_encode(self.table[name].combine_chunks(), null_encoding="encode")
        codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        return codes, encoded.dictionary.to_pylist()

    def _integers(self, name: str) -> np.ndarray:
        filled = pc.fill_null(self.table[name].cast(pa.int64()), -1)
        return filled.to_numpy()


def _kept_rows(table: pa.Table, key: tuple[str, ...], hashes: np.ndarray) -> np.ndarray | None:
    """The first row of every key, or None if no two rows have one key.

    Ids whose hashes differ differ, so the strings are compared only where hashes repeat.
    """
    ordered = np.sort(hashes)
    return first_rows(table, key) if (ordered[1:] == ordered[:-1]).any() else None


def first_rows(table: pa.Table, key: tuple[str, ...]) -> np.ndarray:
    """int64 row numbers, ascending, of the first row of every distinct key."""
    numbered = table.select(list(key)).append_column("_row", pa.array(np.arange(table.num_rows)))
    # Without threads the result does not depend on scheduling.
    firsts = numbered.group_by(list(key), use_threads=False).aggregate([("_row", "min")])
    return np.sort(firsts["_row_min"].to_numpy())
