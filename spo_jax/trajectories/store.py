"""The trajectory store: a directory or bucket of immutable Parquet objects that many may write.

**One object is one commit.** It is created whole under a name nobody has used, in the writer's own
folder, numbered 0, 1, 2, ... without gaps. There is no manifest: readers list. When `append`
returns, the rows are durable and every later reader finds them; when it did not return, they are
there completely or not at all, and the caller appends them again.

**First wins.** Rows are known by `trajectory_id`. If several objects hold one id, the row of the
first stream (by name), commit and row counts, for every reader alike; so appending twice is
harmless. Reference logprobs are known by (trajectory, reference) and follow the same rule. Of
several initial values of one (problem, reference, beta) the one with most samples counts, then the
first.

**Watermarks.** `watermark()` says how many commits of each stream there are. As objects never
change, a reader that pins one sees the same rows for ever, whoever writes meanwhile.

**Resuming exactly.** A run that goes on from a checkpoint calls `rewind(watermark)` with the
watermark it saved. From then on its own commits beyond it are not part of what it sees, and the
next commit has the number after the watermark. The collect is redone with the same seeds; when
its rows come to be appended, the object of that number is already there:

* It holds the same ids: the redone collect. The stored rows stand (they were acknowledged, and an
  uninterrupted run would have kept them, whatever a judge's clock says now), `append` returns them
  instead of the caller's, and the watermark moves over them.
* It holds other ids (the run was reconfigured, or is not deterministic): the stored commit is
  acknowledged work, so it is taken up as it is, and the next number is tried.

So nothing acknowledged is lost or counted twice, and an interrupted and resumed run sees, step by
step, what an uninterrupted one would have seen. Because the stored rows stand, reference logprobs
must be computed for the rows that `append` *returned*: append first, then annotate.

**Damage.** An object that cannot be read is named in a warning and in `damaged` and set aside; the
rest stays usable. Committing the same number again writes a repair beside it.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from spo_jax.errors import UserError
from spo_jax.trajectories import validation
from spo_jax.trajectories.committed import CommittedSet
from spo_jax.trajectories.index import Index
from spo_jax.trajectories.objects import ObjectDirectory
from spo_jax.trajectories.reader import DamagedObjectError
from spo_jax.trajectories.schema import INITIAL_VALUES, REF_LOGPROBS, TRAJECTORIES, Kind
from spo_jax.trajectories.streams import Stream, check_word, parse_stream
from spo_jax.trajectories.watermark import Watermark
from spo_jax.types import InitialValue, ReferenceLogprobs, Trajectory

_log = logging.getLogger(__name__)

_READ_ROWS = 1024
_MAX_REPAIRS = 100


@dataclasses.dataclass(frozen=True)
class Commit:
    """What `append` and `annotate` acknowledge.

    Attributes:
      name: of the object that holds the rows.
      records: the rows as stored; those of an earlier attempt where that had committed them.
      created: False if the commit was there already.
    """

    name: str
    records: tuple[Any, ...]
    created: bool


class TrajectoryStore:
    """Trajectories and their annotations under one URL; see the module's docstring for the rules.

    Safe to use from several threads. Several processes may use one store; each that writes needs
    its own `writer_id`.
    """

    def __init__(
        self,
        url: str,
        *,
        writer_id: str | None = None,
        create: bool | None = None,
        cache_bytes: int = 256 * 2**20,
        index_cache_min_rows: int = 50_000,
    ) -> None:
        """Opens a store.

        Args:
          url: local directory or fsspec URL.
          writer_id: the folder this process writes to, or None to read only. It is stable: a
            resumed process uses the same one.
          create: make the directory if it is not there; by default when there is a writer id.
          cache_bytes: decoded row groups kept in memory.
          index_cache_min_rows: a local store keeps the columns of its index in `.index/` when so
            many rows, or a quarter more, are not in there yet. Deleting the folder loses time only.

        Raises:
          UserError: a bad writer id, an unknown file system, or nothing there and not `create`.
        """
        if writer_id is not None:
            check_word(writer_id, "writer_id")
        self.url = str(url)
        self.writer_id = writer_id
        self._directory = ObjectDirectory(
            self.url, create=writer_id is not None if create is None else create
        )
        self._committed = CommittedSet(
            self._directory, cache_bytes=cache_bytes, index_cache_min_rows=index_cache_min_rows
        )
        self._lock = self._committed.lock
        if writer_id is not None:
            self._directory.remove_leftovers()

    @property
    def damaged(self) -> dict[str, str]:
        """Objects set aside so far, and why. Objects are examined when they are first read."""
        return self._committed.damaged

    # --- the committed set ---

    def watermark(self) -> Watermark:
        """Everything committed by now; of own streams that were rewound, what counts again."""
        return self._committed.watermark()

    def rewind(
        self, watermark: Watermark, *, also: Callable[[str], bool] = lambda writer_id: False
    ) -> None:
        """Forgets own commits beyond a saved watermark, until they are redone.

        Args:
          watermark: what counts from now on.
          also: other writers of whom the same is true, by id: the run's on other hosts, there now
            or not.

        Raises:
          UserError: the store was opened to read only.
        """
        own = self._own_id()
        self._committed.rewind(watermark, lambda writer: writer == own or also(writer))

    def write_as(self, writer_id: str) -> None:
        """From now on this process writes to another folder."""
        check_word(writer_id, "writer_id")
        self._own_id()  # raises for a store that was opened to read
        self.writer_id = writer_id

    def shows(self, watermark: Watermark) -> bool:
        """Whether a listing has everything up to a watermark: a shared disk may lag behind."""
        return self._committed.lists(watermark)

    def own_commits(self) -> dict[str, int]:
        """How many commits of each of this writer's streams count: its part of a watermark."""
        mark, own = self.watermark().as_dict(), self._own_id()
        return {path: n for path, n in mark.items() if parse_stream(path).writer_id == own}

    # --- writing ---

    def append(self, trajectories: Sequence[Trajectory], *, commit: int | None = None) -> Commit:
        """Commits trajectories as one object. When it returns they are durable.

        Args:
          trajectories: at least one; ids distinct.
          commit: the number this commit must have in the writer's stream, for callers that count
            commits themselves; by default the next one.

        Returns:
          The commit, with the rows as stored (see "Resuming exactly").

        Raises:
          UserError: an invalid trajectory, a read-only store, a number beyond the next, or a
            number taken by other trajectories. Nothing has been written then.
        """
        validation.check_trajectories(trajectories)
        return self._commit(self._own_stream(TRAJECTORIES), trajectories, commit)

    def append_missing(self, trajectories: Sequence[Trajectory]) -> Commit | None:
        """Commits those trajectories whose ids are not in the store; None if all of them are."""
        with self._lock:
            found = self.index().positions([item.trajectory_id for item in trajectories])
            missing = [item for item, row in zip(trajectories, found, strict=True) if row < 0]
            return self.append(missing) if missing else None

    def annotate(self, annotations: Sequence[ReferenceLogprobs | InitialValue]) -> list[Commit]:
        """Commits annotations, one object per kind and reference.

        Raises:
          UserError: an invalid annotation, or a read-only store. Nothing has been written then.
        """
        by_stream: dict[Stream, list[Any]] = {}
        for item in annotations:
            kind = REF_LOGPROBS if isinstance(item, ReferenceLogprobs) else INITIAL_VALUES
            check_word(item.reference_id, "reference_id")
            by_stream.setdefault(self._own_stream(kind, item.reference_id), []).append(item)
        for stream, items in by_stream.items():
            check = validation.check_ref_logprobs
            (check if stream.kind is REF_LOGPROBS else validation.check_initial_values)(items)
        return [self._commit(stream, items, None) for stream, items in by_stream.items()]

    def _own_stream(self, kind: Kind, reference_id: str | None = None) -> Stream:
        return Stream(kind, self._own_id(), reference_id)

    def _own_id(self) -> str:
        if self.writer_id is None:
            raise UserError(f"the store '{self.url}' was opened without a writer_id, to read only")
        return self.writer_id

    def _commit(self, stream: Stream, records: Sequence[Any], commit: int | None) -> Commit:
        data = stream.kind.to_parquet(records)
        with self._lock:
            # The listing may be old: a number that turns out to be taken is looked at below.
            head = self._committed.head(stream.path)
            number = head if commit is None else commit
            if not 0 <= number <= head:
                raise UserError(
                    f"commit={number} must be at most {head}, the next commit of "
                    f"'{stream.path}': commits have no gaps"
                )
            while True:
                done = self._commit_as(stream, number, records, data)
                if done is None and commit is not None:
                    raise UserError(
                        f"commit={number}: {stream.object_name(number)} holds other rows than "
                        f"these, which begin with {records[0]!r:.200}"
                    )
                self._committed.take_up(stream.path, number)
                if done is not None:
                    return done
                number += 1

    def _commit_as(
        self, stream: Stream, number: int, records: Sequence[Any], data: bytes
    ) -> Commit | None:
        """Commits under one number; None if that number holds other rows."""
        for repair in range(_MAX_REPAIRS):
            name = stream.object_name(number, repair)
            created = self._directory.create(name, data)
            self._committed.list_object(name)
            if created:
                return Commit(name, tuple(records), created=True)
            stored = self._committed.records(name)
            if stored is None:
                continue
            if stream.kind.keys(stored) != stream.kind.keys(records):
                return None
            if not stream.kind.to_table(stored).equals(stream.kind.to_table(records)):
                _log.warning("%s holds these rows with other contents: they stand", name)
            return Commit(name, tuple(stored), created=False)
        raise UserError(f"{stream.object_name(number)} and all its repairs are damaged")

    # --- reading ---

    def index(self, watermark: Watermark | None = None) -> Index:
        """Columns of all trajectories up to a watermark (by default: now), without tokens.

        Raises:
          UserError: an object of another schema version.
        """
        return self._committed.index(TRAJECTORIES, None, watermark)

    def fetch(self, index: Index, rows: Sequence[int] | np.ndarray) -> list[Trajectory]:
        """Whole trajectories of some rows of an index, in the order asked for.

        Raises:
          DamagedObjectError: an object cannot be read; it has been set aside, and a new index
            leaves it out.
        """
        return self._committed.rows(index, TRAJECTORIES, np.asarray(rows, np.int64))

    def read(self, watermark: Watermark | None = None) -> Iterator[Trajectory]:
        """All trajectories up to a watermark, each id once, without those of damaged objects."""
        mark = self.watermark() if watermark is None else watermark
        seen: set[str] = set()
        while True:
            index = self.index(mark)
            rows = [
                row for row, trajectory_id in enumerate(index.ids()) if trajectory_id not in seen
            ]
            try:
                for start in range(0, len(rows), _READ_ROWS):
                    for item in self.fetch(index, rows[start : start + _READ_ROWS]):
                        seen.add(item.trajectory_id)
                        yield item
                return
            except DamagedObjectError:
                continue  # set aside: the next index leaves it out

    def get(
        self, trajectory_ids: Sequence[str], watermark: Watermark | None = None
    ) -> list[Trajectory]:
        """Trajectories by id, in the order asked for. Raises UserError for an unknown id."""
        with self._lock:
            while True:
                index = self.index(watermark)
                rows = index.positions(list(trajectory_ids))
                if (rows < 0).any():
                    unknown = trajectory_ids[int(np.flatnonzero(rows < 0)[0])]
                    raise UserError(f"no trajectory '{unknown}' in '{self.url}'")
                try:
                    return self.fetch(index, rows)
                except DamagedObjectError:
                    continue

    def ref_logprobs(
        self, reference_id: str, trajectory_ids: list[str], watermark: Watermark | None = None
    ) -> list[np.ndarray | None]:
        """Reference logprobs, float32 [T] each, None where that reference has not scored it."""
        with self._lock:
            while True:
                index = self._committed.index(REF_LOGPROBS, reference_id, watermark)
                rows = index.positions(trajectory_ids)
                try:
                    found = self._committed.rows(index, REF_LOGPROBS, rows[rows >= 0])
                except DamagedObjectError:
                    continue
                by_row = dict(zip(rows[rows >= 0].tolist(), found, strict=True))
                return [by_row[row].ref_logprobs if row >= 0 else None for row in rows.tolist()]

    def missing_ref_logprobs(
        self, reference_id: str, watermark: Watermark | None = None
    ) -> list[str]:
        """Ids of tokenized trajectories that a reference has not scored, in the index's order."""
        with self._lock:
            mark = self.watermark() if watermark is None else watermark
            index = self.index(mark)
            ids = index.ids(np.flatnonzero(index.completion_lengths > 0))
            found = self._committed.index(REF_LOGPROBS, reference_id, mark).positions(ids)
            return [name for name, row in zip(ids, found, strict=True) if row < 0]

    def initial_values(
        self, reference_id: str, beta: float, watermark: Watermark | None = None
    ) -> dict[str, InitialValue]:
        """Initial values by problem, of one reference and one beta: the best-sampled of each."""
        with self._lock:
            index = self._committed.index(INITIAL_VALUES, reference_id, watermark)
            best: dict[str, InitialValue] = {}
            for item in INITIAL_VALUES.from_rows(index.table):
                known = best.get(item.problem_id)
                if item.beta == beta and (known is None or item.num_samples > known.num_samples):
                    best[item.problem_id] = item
            return best

    def all_initial_values(self, reference_id: str) -> list[InitialValue]:
        """Every estimate under one reference, also those that a better-sampled one outdoes."""
        with self._lock:
            index = self._committed.index(INITIAL_VALUES, reference_id, None)
            return INITIAL_VALUES.from_rows(index.table)

    def reference_ids(self) -> list[str]:
        """References with annotations in the store."""
        return self._committed.reference_ids()

    def objects(self) -> dict[str, int]:
        """Names of all objects and their bytes."""
        return {name: self._directory.size(name) for name in self._committed.names()}

    def verify(self) -> dict[str, str]:
        """Reads every byte of every object.

        Returns:
          Name to reason of every object that cannot be used: `damaged`, and those of another
          schema version, which every other call refuses.
        """
        foreign = {}
        for name in self._committed.names():
            try:
                self._committed.records(name)
            except UserError as error:
                foreign[name] = str(error)
        return self.damaged | foreign
