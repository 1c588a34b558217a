"""Several processes at once, and processes that die."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spo_jax.trajectories import TrajectoryStore

HERE = Path(__file__).parent
SHARED = {f"shared-{number}" for number in range(10)}


def start_writer(root: Path, writer_id: str, name: str) -> subprocess.Popen:
    command = [sys.executable, HERE / "several_writers.py", root, writer_id, name]
    return subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("writer_ids", [("a", "b", "c"), ("same", "same", "same")])
def test_several_processes_write_at_once(tmp_path, writer_ids):
    """Also three processes that wrongly share one writer id lose nothing."""
    names = ["x", "y", "z"]
    writers = [
        start_writer(tmp_path, writer_id, name)
        for writer_id, name in zip(writer_ids, names, strict=True)
    ]
    reader = TrajectoryStore(tmp_path, create=True)
    before: set[str] = set()
    while any(writer.poll() is None for writer in writers):
        mark = reader.watermark()
        seen = [item.trajectory_id for item in reader.read(mark)]
        assert len(seen) == len(set(seen))
        assert before <= set(seen)
        assert [item.trajectory_id for item in TrajectoryStore(tmp_path).read(mark)] == seen
        before = set(seen)
    acknowledged = [writer.communicate()[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]

    own = {f"{name}-{number}" for name in names for number in range(10)}
    assert {word for words in acknowledged for word in words[::2]} == own
    rows = [item.trajectory_id for item in reader.read()]
    assert len(rows) == len(set(rows))
    assert set(rows) == own | SHARED
    objects = [name for words in acknowledged for name in words[1::2]]
    assert sorted(objects) == sorted(reader.objects())
    assert reader.index().num_duplicates == 20
    assert reader.verify() == {}


def deaths(folder: Path, which: str) -> int:
    """Runs killed_writer.py, which asserts; returns how often it killed."""
    command = [sys.executable, str(HERE / "killed_writer.py"), str(folder), which]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_sigkill_at_every_line_of_append_loses_and_doubles_nothing(tmp_path):
    assert deaths(tmp_path, "lines") > 80, "too few lines: is the right code traced?"


@pytest.mark.slow
def test_sigkill_between_any_two_lines_executed_loses_and_doubles_nothing(tmp_path):
    assert deaths(tmp_path, "events") > 150


def test_leftovers_of_dead_writers_are_removed_when_they_are_old(tmp_path, trajectory):
    TrajectoryStore(tmp_path, writer_id="w").append([trajectory("t")])
    old, young = (tmp_path / ".tmp" / name for name in ("old", "young"))
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (0, 0))
    store = TrajectoryStore(tmp_path, writer_id="w")
    assert not old.exists()
    assert young.exists()
    assert [item.trajectory_id for item in store.read()] == ["t"]
