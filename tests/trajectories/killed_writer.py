"""Kills a writer by SIGKILL between lines of the append path, and looks at what is left.

    python killed_writer.py DIRECTORY lines|events

One process imports the library and forks a writer for every death: its k-th line event in the files
that touch the store ends it. 'lines' takes the first event of every source line, 'events' takes
all. After each death a reader must find all acknowledged commits once, every other commit whole or
not at all, and doing everything again must complete the set. Prints the number of deaths.
"""

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spo_jax.trajectories import TrajectoryStore, Watermark
from spo_jax.types import ReferenceLogprobs, Trajectory

# Records are validated and serialised before anything is written: those files are not traced.
TRACED = tuple(f"trajectories/{name}.py" for name in ("store", "objects", "committed", "streams"))
FIRST, SECOND = ("a0", "a1"), ("b0", "b1")
Acknowledge = Callable[[str, tuple[str, ...]], Any]


def record(name: str) -> Trajectory:
    return Trajectory(
        trajectory_id=name,
        group_id=name[0],
        problem_id="p",
        source="online",
        prompt_tokens=np.array([1], np.int32),
        completion_tokens=np.array([2, 3], np.int32),
        completion_mask=np.ones(2, bool),
        reward=1.0,
    )


def annotation(name: str) -> ReferenceLogprobs:
    return ReferenceLogprobs(
        trajectory_id=name, reference_id="ref", ref_logprobs=np.zeros(2, np.float32)
    )


def write(root: Path, names: tuple[str, ...], acknowledge: Acknowledge) -> None:
    store = TrajectoryStore(root, writer_id="host0")
    commit = store.append([record(name) for name in names])
    acknowledge("append", names)
    store.annotate([annotation(item.trajectory_id) for item in commit.records])
    acknowledge("annotate", names)


def trace_lines(at_line: Callable[[str], None]) -> None:
    """Calls `at_line` with the place of every line event in the traced files."""

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.endswith(TRACED):
            return None
        if event == "line":
            at_line(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        return trace

    sys.settrace(trace)


def kill_at(number: int) -> Callable[[str], None]:
    events = itertools.count()

    def at_line(place: str) -> None:
        if next(events) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return at_line


def places(root: Path) -> list[str]:
    """Places of all line events of a writer that lives."""
    found: list[str] = []
    trace_lines(found.append)
    write(root, SECOND, lambda action, names: None)
    sys.settrace(None)
    return found


def run_writer(root: Path, number: int) -> set[tuple[str, str]]:
    """Forks a writer that dies at an event; returns the (action, id) pairs it acknowledged."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        trace_lines(kill_at(number))
        write(root, SECOND, lambda action, names: os.write(write_end, f"{action}\n".encode()))
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        actions = pipe.read().split()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"event {number}: the writer was not killed: {status}"
    return {(action, name) for action in actions for name in SECOND}


def check(root: Path, acknowledged: set[tuple[str, str]]) -> None:
    reader = TrajectoryStore(root)
    found = [item.trajectory_id for item in reader.read()]
    assert len(found) == len(set(found)) == len(reader.index()), found
    assert {name for action, name in acknowledged if action == "append"} <= set(found), found
    assert set(FIRST) <= set(found)
    assert len(set(SECOND) & set(found)) in (0, 2), f"half a commit: {found}"
    annotated = {name for action, name in acknowledged if action == "annotate"}
    assert not annotated & set(reader.missing_ref_logprobs("ref"))
    assert reader.verify() == {}, reader.damaged


def check_retry(root: Path, mark: Watermark | None) -> None:
    """Doing it again, resumed from a watermark or just so, completes the set."""
    store = TrajectoryStore(root, writer_id="host0")
    if mark is not None:
        store.rewind(mark)
    store.append([record(name) for name in SECOND])
    store.annotate([annotation(name) for name in SECOND])
    found = sorted(item.trajectory_id for item in store.read())
    assert found == sorted([*FIRST, *SECOND]), found
    assert store.missing_ref_logprobs("ref") == []
    if mark is not None:
        assert store.index().num_duplicates == 0
        assert len(store.objects()) == 4


def main(folder: Path, which: str) -> None:
    start = folder / "start"
    write(start, FIRST, lambda action, names: None)
    mark = TrajectoryStore(start).watermark()
    seen = places(Path(shutil.copytree(start, folder / "lives")))
    numbers = range(len(seen)) if which == "events" else sorted(map(seen.index, set(seen)))
    for deaths, number in enumerate(numbers):
        root = Path(shutil.copytree(start, folder / str(number)))
        check(root, run_writer(root, number))
        check_retry(root, mark if deaths % 2 else None)
        shutil.rmtree(root)
    print(len(numbers))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
