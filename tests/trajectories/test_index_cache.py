"""Big stores: what opening and drawing read, and when kept columns count."""

import pyarrow.parquet as pq
import pytest

from spo_jax.trajectories import Replay, ReplayConfig, RowWriter, TrajectoryStore


@pytest.fixture
def big(tmp_path, trajectory):
    """Two objects of four row groups each; 64 problems."""
    store = TrajectoryStore(tmp_path / "store", writer_id="w", index_cache_min_rows=100)
    for start in (0, 1024):
        store.append(
            [
                trajectory(f"t{n}", problem_id=f"set/{n // 16}", source="import:x")
                for n in range(start, start + 1024)
            ]
        )
    store.index()  # keeps the columns
    return tmp_path / "store"


@pytest.fixture
def reads(monkeypatch):
    """What is read of Parquet files: ('columns', 0) or ('group', number)."""
    found = []
    read, read_row_group = pq.ParquetFile.read, pq.ParquetFile.read_row_group

    def counted_read(self, *args, **options):
        found.append(("columns", 0))
        return read(self, *args, **options)

    def counted_group(self, group, *args, **options):
        found.append(("group", group))
        return read_row_group(self, group, *args, **options)

    monkeypatch.setattr(pq.ParquetFile, "read", counted_read)
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted_group)
    return found


def open_store(path):
    return TrajectoryStore(path, writer_id="w", index_cache_min_rows=100)


def test_a_draw_reads_its_row_groups_and_nothing_else(big, reads):
    replay = Replay(open_store(big), ReplayConfig(), seed=0)
    groups = replay.draw(0, 2, 8, 0)
    rows = [int(row.trajectory.trajectory_id[1:]) for group in groups for row in group.rows]
    assert len(rows) == 16
    assert len(reads) == len({row // 256 for row in rows}) <= 2
    assert {kind for kind, _ in reads} == {"group"}
    reads.clear()
    replay.draw(0, 2, 8, 0)
    assert not reads


def test_after_an_import_opening_reads_no_object(tmp_path, trajectory, reads):
    writer = RowWriter(open_store(tmp_path / "store"), rows_per_object=100)
    for n in range(250):
        writer.add(trajectory(f"t{n}", problem_id="set/p", source="import:x"))
    writer.flush()
    reads.clear()
    assert len(open_store(tmp_path / "store").index()) == 250
    assert not reads


def test_kept_columns_give_the_same_index_and_draw(big, reads):
    kept = open_store(big)
    (big / ".index/trajectories.all.arrow").rename(big / "away")
    fresh = open_store(big)
    assert not reads
    left, right = kept.index(), fresh.index()
    draws = []
    for store in (kept, fresh):
        groups = Replay(store, ReplayConfig(), seed=3).draw(5, 4, 4, 0)
        draws.append([row.trajectory.trajectory_id for group in groups for row in group.rows])
    assert draws[0] == draws[1]
    assert left.table.equals(right.table)
    assert left.num_duplicates == right.num_duplicates == 0


def test_objects_that_came_or_changed_are_read(big, reads, trajectory):
    store = open_store(big)
    store.append([trajectory("t5", reward=9.0), trajectory("new")])
    index = store.index()
    assert reads == [("columns", 0)]  # the new object alone
    assert (len(index), index.num_duplicates) == (2049, 1)
    assert index.rewards[5] == -1.0
    name = big / "trajectories/w/00000000.parquet"
    name.write_bytes(name.read_bytes()[:-100])
    store = open_store(big)
    assert len(store.index()) == 1024 + 2
    assert list(store.damaged) == ["trajectories/w/00000000.parquet"]


@pytest.mark.parametrize("content", [b"", b"no arrow file", None])
def test_a_damaged_cache_is_no_cache(big, reads, content):
    file = big / ".index/trajectories.all.arrow"
    file.write_bytes(file.read_bytes()[:-200] if content is None else content)
    assert len(open_store(big).index()) == 2048
    assert reads == [("columns", 0)] * 2


def test_small_stores_keep_nothing(tmp_path, trajectory):
    store = TrajectoryStore(tmp_path / "store", writer_id="w")
    store.append([trajectory("a")])
    store.index()
    assert not (tmp_path / "store/.index").exists()
