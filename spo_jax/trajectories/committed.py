"""The committed set: what is listed, what of it counts, and indexes of it up to a watermark."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spo_jax.trajectories.index import Index, ObjectColumns
from spo_jax.trajectories.index_cache import read_index_cache, write_index_cache
from spo_jax.trajectories.objects import ObjectDirectory
from spo_jax.trajectories.reader import MISSING, ObjectReader
from spo_jax.trajectories.schema import KINDS, Kind
from spo_jax.trajectories.streams import Listing, Stream, kind_of, parse_stream
from spo_jax.trajectories.watermark import Watermark


class CommittedSet:
    """Reading side of a store. Safe to use from several threads.

    Attributes:
      lock: held by whoever changes the set; reentrant.
    """

    def __init__(
        self, directory: ObjectDirectory, *, cache_bytes: int, index_cache_min_rows: int
    ) -> None:
        self.lock = threading.RLock()
        self._directory = directory
        self._reader = ObjectReader(directory, cache_bytes=cache_bytes)
        self._index_cache_min_rows = index_cache_min_rows
        self._num_cached: dict[str, int] = {}  # rows in each file of kept index columns
        self._heads: dict[str, int] = {}  # streams that were rewound: commits that count
        self._indexes: dict[tuple[str, str | None], tuple[Any, Index]] = {}
        self.refresh()

    @property
    def damaged(self) -> dict[str, str]:
        """Objects set aside so far, and why."""
        return dict(self._reader.damaged)

    def refresh(self) -> None:
        """Lists the store again."""
        with self.lock:
            names = [name for kind in KINDS for name in self._directory.names(kind.prefix)]
            self._listing = Listing(names)
            for name in self._listing.strangers:
                self._reader.set_aside(name, "not a name of this store's objects")
            self._reader.welcome_back(names)

    def watermark(self) -> Watermark:
        """Everything committed by now; of rewound streams, what counts again."""
        with self.lock:
            self.refresh()
            paths = {*self._listing.streams, *self._heads}
            return Watermark.from_dict({path: self.head(path) for path in paths})

    def lists(self, watermark: Watermark) -> bool:
        """Whether the store's listing, taken anew, has all commits of a watermark."""
        with self.lock:
            self.refresh()
            return all(self._listing.count(path) >= count for path, count in watermark.commits)

    def rewind(self, watermark: Watermark, forgets: Callable[[str], bool]) -> None:
        """Forgets writers' commits beyond a watermark until `take_up` names them again."""
        with self.lock:
            self.refresh()
            for path in {*self._listing.streams, *watermark.as_dict()}:
                if forgets(parse_stream(path).writer_id):
                    self._heads[path] = watermark.count(path)

    def head(self, path: str) -> int:
        """Number of commits of a stream that count; also the number of its next commit."""
        return self._heads.get(path, self._listing.count(path))

    def list_object(self, name: str) -> None:
        """Takes an object into the listing that was just found or created."""
        self._listing.add(name)

    def take_up(self, path: str, number: int) -> None:
        """Commit `number` of a stream counts from now on."""
        if path in self._heads:
            self._heads[path] = max(self._heads[path], number + 1)

    def index(self, kind: Kind, reference_id: str | None, watermark: Watermark | None) -> Index:
        """Index of one kind (and reference) up to a watermark, by default: now."""
        with self.lock:
            mark = self.watermark() if watermark is None else watermark
            counts = [
                (stream, count)
                for stream, count in ((parse_stream(path), n) for path, n in mark.commits)
                if stream.kind is kind and stream.reference_id == reference_id
            ]
            cached_for, cached = self._indexes.get((kind.name, reference_id), (None, None))
            if cached is not None and cached_for == (counts, self._reader.damaged):
                return cached
            self._take_cached(kind, reference_id, counts)
            parts = [
                columns
                for stream, count in counts
                for number in range(count)
                if (columns := self._columns(stream, number)) is not None
            ]
            self._keep(kind, reference_id, parts)
            index = Index.of(parts, kind.index_schema, kind.key)
            self._indexes[(kind.name, reference_id)] = ((counts, self.damaged), index)
            return index

    def rows(self, index: Index, kind: Kind, rows: np.ndarray) -> list[Any]:
        """Records of some rows of an index. Raises DamagedObjectError, see `ObjectReader.rows`."""
        with self.lock:
            return self._reader.rows(index, kind, rows)

    def records(self, name: str) -> list[Any] | None:
        """All records of an object, or None if it is damaged."""
        with self.lock:
            return self._reader.records(name, kind_of(name))

    def names(self) -> list[str]:
        """Names of all objects, by stream and commit; fresh."""
        with self.lock:
            self.refresh()
            return self._listing.names()

    def reference_ids(self) -> list[str]:
        """References with annotations; fresh."""
        with self.lock:
            self.refresh()
            found = {stream.reference_id for stream in self._listing.streams.values()}
            return sorted(reference for reference in found if reference is not None)

    def _columns(self, stream: Stream, number: int) -> ObjectColumns | None:
        """Index columns of a commit: of its object, or of the first repair that can be read."""
        names = self._listing.objects(stream.path, number)
        if not names:
            self.refresh()
            names = self._listing.objects(stream.path, number)
        if not names:
            self._reader.set_aside(stream.object_name(number), MISSING)
        found = (self._reader.columns(name, stream.kind) for name in names)
        return next((columns for columns in found if columns is not None), None)

    def _take_cached(
        self, kind: Kind, reference_id: str | None, counts: list[tuple[Stream, int]]
    ) -> None:
        """Index columns that an earlier process kept, of objects that are still the same."""
        file = self._cache_file(kind, reference_id)
        if file is None or file.name in self._num_cached:
            return
        self._num_cached[file.name] = 0
        if not file.exists():
            return
        names = [
            name
            for stream, count in counts
            for number in range(count)
            for name in self._listing.objects(stream.path, number)
        ]
        kept = read_index_cache(file, kind.index_schema, self._directory.stamps(names))
        for entry in kept.values():
            self._reader.take_cached(entry)
        self._num_cached[file.name] = sum(e.columns.table.num_rows for e in kept.values())

    def _keep(self, kind: Kind, reference_id: str | None, parts: list[ObjectColumns]) -> None:
        """Keeps index columns for the next process, when there is enough more than last time."""
        file = self._cache_file(kind, reference_id)
        if file is None:
            return
        num_rows, known = sum(part.table.num_rows for part in parts), self._num_cached[file.name]
        if num_rows - known < max(self._index_cache_min_rows, known // 4):
            return
        entries = [entry for part in parts if (entry := self._reader.cached(part.name)) is not None]
        stamps = self._directory.stamps(part.name for part in parts)
        write_index_cache(file, kind.index_schema, entries, stamps)
        self._num_cached[file.name] = num_rows

    def _cache_file(self, kind: Kind, reference_id: str | None) -> Path | None:
        folder = self._directory.cache_folder
        return None if folder is None else folder / f"{kind.name}.{reference_id or 'all'}.arrow"
