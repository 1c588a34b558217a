"""Reads objects: index columns of whole objects, and full rows on demand by row group.

Damage (a truncated file, a failed checksum, columns that are not the schema's) is found here. It
is logged with the object's name and reason, kept in `damaged`, and the object is set aside.
"""

import collections
import logging
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spo_jax.trajectories.index import Index, ObjectColumns
from spo_jax.trajectories.index_cache import CachedObject
from spo_jax.trajectories.objects import ObjectDirectory
from spo_jax.trajectories.schema import Kind, check_object_schema

_log = logging.getLogger(__name__)

MISSING = "missing"
_MAX_FOOTERS = 64


class DamagedObjectError(Exception):
    """An object turned out to be damaged; it has been set aside and can be left out."""


class ObjectReader:
    """Cached reading of a store's objects. Not thread-safe: the store holds a lock.

    Attributes:
      damaged: name to reason of every object set aside.
    """

    def __init__(self, directory: ObjectDirectory, *, cache_bytes: int) -> None:
        self.damaged: dict[str, str] = {}
        self._directory = directory
        self._columns: dict[str, ObjectColumns] = {}
        self._row_groups: collections.OrderedDict[tuple[str, int], pa.Table] = (
            collections.OrderedDict()
        )
        self._first_rows: dict[str, np.ndarray] = {}
        self._footers: dict[str, pq.FileMetaData] = {}
        self._cache_bytes = cache_bytes
        self._cached_bytes = 0

    def columns(self, name: str, kind: Kind) -> ObjectColumns | None:
        """Index columns of an object, or None if it is damaged.

        Raises:
          UserError: the object is of another schema version.
        """
        if name not in self._columns and name not in self.damaged:
            table = self._guarded(name, lambda: self._read_columns(name, kind))
            if table is not None:
                self._columns[name] = ObjectColumns.of(name, table)
        return self._columns.get(name)

    def cached(self, name: str) -> CachedObject | None:
        """What of an object is worth keeping, if it has been read."""
        if name not in self._columns:
            return None
        return CachedObject(self._columns[name], self._first_rows[name])

    def is_read(self, name: str) -> bool:
        """Whether an object's index columns are known, or it is set aside."""
        return name in self._columns or name in self.damaged

    def take_cached(self, entry: CachedObject) -> None:
        """Takes up index columns kept by an earlier process instead of reading them."""
        name = entry.columns.name
        if not self.is_read(name):
            self._columns[name] = entry.columns
            self._first_rows[name] = entry.group_starts

    def records(self, name: str, kind: Kind) -> list[Any] | None:
        """All records of an object, or None if it is damaged."""
        if self.columns(name, kind) is None:
            return None
        groups = self._guarded(name, lambda: self._read_all(name))
        if groups is None:
            return None
        return self._guarded(name, lambda: kind.from_rows(groups))

    def rows(self, index: Index, kind: Kind, rows: np.ndarray) -> list[Any]:
        """Records of some rows of an index, in the order asked for.

        Raises:
          DamagedObjectError: an object's rows cannot be read; it has been set aside.
        """
        records: list[Any] = [None] * len(rows)
        wanted: dict[tuple[int, int], list[int]] = {}
        for place, row in enumerate(rows):
            number = int(index.object_of[row])
            starts = self._group_starts(index.objects[number], kind)
            group = int(np.searchsorted(starts, index.row_of[row], side="right")) - 1
            wanted.setdefault((number, group), []).append(place)
        for (number, group), places in wanted.items():
            name = index.objects[number]
            start = self._first_rows[name][group]
            local = np.array([index.row_of[rows[place]] - start for place in places])
            found = self._guarded(
                name, lambda n=name, g=group, r=local: kind.from_rows(self._row_group(n, g).take(r))
            )
            if found is None:
                raise DamagedObjectError(name)
            for place, record in zip(places, found, strict=True):
                records[place] = record
        return records

    def set_aside(self, name: str, reason: str) -> None:
        """Records and reports damage, once."""
        if name in self.damaged:
            return
        self.damaged[name] = reason
        self._columns.pop(name, None)
        self._footers.pop(name, None)
        _log.warning("set aside damaged object %s: %s", name, reason)

    def welcome_back(self, names: list[str]) -> None:
        """Objects that were missing and are listed now are no longer set aside."""
        for name in names:
            if self.damaged.get(name) == MISSING:
                del self.damaged[name]

    def _guarded(self, name: str, read: Any) -> Any:
        """Runs a read; damage gives None, trouble with the connection or permissions is raised."""
        try:
            return read()
        except (PermissionError, ConnectionError, TimeoutError):
            raise
        except FileNotFoundError:
            self.set_aside(name, MISSING)
        except OSError as error:
            if error.errno is not None:
                raise
            self.set_aside(name, str(error).strip())
        except (pa.ArrowException, KeyError, UnicodeDecodeError, _SchemaError) as error:
            self.set_aside(name, str(error).strip())
        return None

    def _read_columns(self, name: str, kind: Kind) -> pa.Table:
        with self._directory.open(name) as source:
            file = pq.ParquetFile(source, page_checksum_verification=True)
            problem = check_object_schema(name, file.schema_arrow, kind)
            if problem is not None:
                raise _SchemaError(problem)
            table = file.read(columns=list(kind.index_columns), use_threads=False)
            self._first_rows[name] = _group_starts(file.metadata)
        table.validate(full=True)
        return table.select(list(kind.index_columns)).replace_schema_metadata(None)

    def _read_all(self, name: str) -> pa.Table:
        with self._directory.open(name) as source:
            table = pq.ParquetFile(source, page_checksum_verification=True).read()
        table.validate(full=True)
        return table

    def _group_starts(self, name: str, kind: Kind) -> np.ndarray:
        if name in self.damaged or self.columns(name, kind) is None:
            raise DamagedObjectError(name)
        return self._first_rows[name]

    def _row_group(self, name: str, group: int) -> pa.Table:
        key = (name, group)
        if key in self._row_groups:
            self._row_groups.move_to_end(key)
            return self._row_groups[key]
        with self._directory.open(name) as source:
            # The footer of a big object takes longer to parse than a row group to read.
            file = pq.ParquetFile(
                source, page_checksum_verification=True, metadata=self._footers.get(name)
            )
            table = file.read_row_group(group, use_threads=False)
        self._footers[name] = file.metadata
        if len(self._footers) > _MAX_FOOTERS:
            self._footers.pop(next(iter(self._footers)))
        table.validate(full=True)
        self._row_groups[key] = table
        self._cached_bytes += table.nbytes
        while self._cached_bytes > self._cache_bytes and len(self._row_groups) > 1:
            _, dropped = self._row_groups.popitem(last=False)
            self._cached_bytes -= dropped.nbytes
        return table


class _SchemaError(Exception):
    """An object whose columns are not what its name says."""


def _group_starts(metadata: pq.FileMetaData) -> np.ndarray:
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
