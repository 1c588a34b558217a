"""A judge with short limits, problem makers, and a look at which processes are left."""

import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spo_jax.judging import Judge, Limits
from spo_jax.types import Judgement, Problem, TestCase

_MIB = 1024 * 1024
_PR_SET_CHILD_SUBREAPER = 36
LIMITS = Limits(cpu_secs=2.0, wall_secs=30.0, memory_bytes=128 * _MIB, output_bytes=4 * _MIB)


@pytest.fixture(scope="package", params=["zygote", "exec"])
def judge(request) -> Iterator[Judge]:
    # Whatever a sandbox leaves behind becomes a child of this process, where tests find it.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with Judge(
        num_workers=2, limits=LIMITS, stop_at_first_failure=False, backend=request.param
    ) as judge:
        yield judge


@pytest.fixture
def make_problem() -> Callable[..., Problem]:
    def make(*tests: tuple[str, str], **fields) -> Problem:
        cases = tuple(TestCase(given, wanted) for given, wanted in tests)
        return Problem(id="test/p", name="p", description="", public_tests=cases, **fields)

    return make


@pytest.fixture
def run(judge, make_problem) -> Callable[..., Judgement]:
    """run(code, stdin, wanted stdout) judges on one test."""

    def run(code: str, given: str = "", wanted: str = "", **fields) -> Judgement:
        return judge.judge(make_problem((given, wanted), **fields), code)

    return run


@pytest.fixture(scope="session")
def session_descendants() -> Callable[[], dict[int, str]]:
    """Returns process id -> command line of this process's living descendants."""
    # Whatever a sandbox leaves behind becomes a child of this process, where tests find it.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def descendants() -> dict[int, str]:
        parents = {}
        for directory in Path("/proc").iterdir():
            if directory.name.isdigit():
                try:
                    fields = (directory / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if fields[0] not in "ZX":
                    parents[int(directory.name)] = int(fields[1])
        return {pid: _command_line(pid) for pid in parents if _descends(pid, parents)}

    return descendants


@pytest.fixture
def descendants(session_descendants) -> Callable[[], dict[int, str]]:
    return session_descendants


@pytest.fixture
def processes_left(descendants) -> Callable[[], dict[int, str]]:
    """Returns process id -> command line of processes that are neither a sandbox nor its zygote."""

    def processes_left() -> dict[int, str]:
        commands = descendants()
        sandboxes = {pid for pid, command in commands.items() if "/bwrap\0" in command}
        return {
            pid: command
            for pid, command in commands.items()
            if pid not in sandboxes and _parent(pid) not in sandboxes
        }

    return processes_left


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _descends(pid: int, parents: dict[int, int]) -> bool:
    while (pid := parents.get(pid, 0)) > 1:
        if pid == os.getpid():
            return True
    return False


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()[:200].decode(errors="replace")
    except OSError:
        return f"process {pid}"
