"""The judges of the programs, the bait they are tempted with, and a watch for what they leave."""

import collections
import contextlib
import dataclasses
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spo_jax.judging import Judge, Limits
from spo_jax.types import Problem, TestCase

_MIB = 1024 * 1024
_LIMITS = Limits(cpu_secs=2.0, wall_secs=30.0, memory_bytes=128 * _MIB, output_bytes=4 * _MIB)
_GROWTH_BYTES = 64 * _MIB  # more than one program's output and less than fifty leaks of one
_SETTLE_SECS = 20.0  # for what the judge clears away behind the scenes
_SHARED_DIRECTORIES = ("/", "/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run", "/run/lock")
_TRIVIAL = Problem(id="test/t", name="t", description="", public_tests=(TestCase("3 4", "7"),))


@dataclasses.dataclass(frozen=True, slots=True)
class Bait:
    """What lies on the host for programs to reach. `words` are put into their sources and tests."""

    words: dict[str, str]
    listeners: tuple[socket.socket, ...]
    writable: Path

    def assert_untouched(self) -> None:
        for listener in self.listeners:
            listener.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                received = listener.recvfrom(9) if _is_datagram(listener) else listener.accept()
                pytest.fail(f"a program reached {listener}: {received}")
        assert self.writable.read_text() == "unchanged"
        token = self.words["TOKEN"]
        directories = {*_SHARED_DIRECTORIES, os.getcwd(), str(Path.home()), self.words["REPO"]}
        found = [
            os.path.join(directory, name)
            for directory in directories
            for name in _names(directory)
            if token in name and not name.startswith("bait-")
        ]
        assert found == [], "files on the host"


@pytest.fixture(scope="session")
def bait(tmp_path_factory) -> Iterator[Bait]:
    """Secrets and sockets that any process of this machine can use, and a secret of the judge's."""
    token = uuid.uuid4().hex
    directory = Path("/tmp", f"bait-{token}")
    directory.mkdir()
    secret, writable = directory / "secret", directory / "writable"
    secret.write_text(f"host-secret-{token}")
    writable.write_text("unchanged")
    writable.chmod(0o666)
    inherited = os.memfd_create("judge-secret")
    os.write(inherited, f"judge-secret-{token}".encode())
    os.set_inheritable(inherited, True)
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("JUDGE_SECRET", f"judge-secret-{token}")
        tcp, tcp6, udp, named, abstract = _listeners(stack, directory, token)
        os.chmod(directory / "socket", 0o777)
        words = {
            "TOKEN": token,
            "HOME": str(Path.home()),
            "BAIT": str(directory),
            "REPO": str(Path(__file__).resolve().parents[3]),
            "PID": str(os.getpid()),
            "DESCRIPTOR": str(inherited),
            "TCP_PORT": str(tcp.getsockname()[1]),
            "TCP6_PORT": str(tcp6.getsockname()[1] if tcp6 else tcp.getsockname()[1]),
            "UDP_PORT": str(udp.getsockname()[1]),
        }
        listeners = [s for s in (tcp, tcp6, udp, named, abstract) if s is not None]
        yield Bait(words, tuple(listeners), writable)
    os.close(inherited)
    for path in (secret, writable, directory / "socket"):
        path.unlink()
    directory.rmdir()


class Watch:
    """Says whether anything of a judged program is left: processes, files, memory, descriptors."""

    def __init__(self, descendants: Callable[[], dict[int, str]]):
        self._descendants = descendants
        self.remember()

    def remember(self) -> None:
        """Takes what is there now, idle judges included, for what may always be there."""
        self._processes = self._settled_processes()
        self._descriptors = self._num_descriptors()
        self._memory = self._resident_bytes()
        self._user_ids = {_user_id(pid) for pid in self._descendants()} - {os.getuid()}

    def assert_nothing_left(self) -> None:
        self._user_ids |= {_user_id(pid) for pid in self._descendants()} - {os.getuid()}
        _settle(lambda: not self._new_processes())
        assert self._new_processes() == [], "processes left"
        _settle(lambda: self._num_descriptors() <= self._descriptors)
        assert self._num_descriptors() <= self._descriptors, "descriptors left"
        growth = self._resident_bytes() - self._memory
        assert growth < _GROWTH_BYTES, f"the judge's memory has grown by {growth >> 20} MiB"
        assert self._files_of_programs() == [], "files on the host"

    def _new_processes(self) -> list[str]:
        return list((self._count_processes() - self._processes).elements())

    def _count_processes(self) -> collections.Counter[str]:
        return collections.Counter(self._descendants().values())

    def _settled_processes(self) -> collections.Counter[str]:
        """Sandboxes that are being replaced may come and go: waits until two looks agree."""
        before = self._count_processes()
        for _ in range(100):
            time.sleep(0.05)
            now = self._count_processes()
            if now == before:
                break
            before = now
        return before

    def _num_descriptors(self) -> int:
        return len(os.listdir("/proc/self/fd"))

    def _resident_bytes(self) -> int:
        pages = 0
        for pid in (os.getpid(), *self._descendants()):
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _files_of_programs(self) -> list[str]:
        found = []
        for directory in _SHARED_DIRECTORIES:
            for name in _names(directory):
                path = os.path.join(directory, name)
                with contextlib.suppress(OSError):
                    if os.lstat(path).st_uid in self._user_ids:
                        found.append(path)
        return found


@pytest.fixture(scope="session")
def trivial_problem() -> Problem:
    """What every judge must still be able to judge: the sum of two numbers."""
    return _TRIVIAL


@pytest.fixture(scope="session")
def make_judge(bait, session_descendants) -> Iterator[Callable[..., tuple[Judge, Watch]]]:
    """make_judge(backend, changes of limits, other arguments): one judge for each of them."""
    made: dict[tuple, Judge] = {}
    watch = Watch(session_descendants)

    def make(backend: str, limits: dict, **arguments) -> tuple[Judge, Watch]:
        key = (backend, *sorted(limits.items()), *sorted(arguments.items()))
        if key not in made:
            chosen = {} if backend == "default" else {"backend": backend}
            made[key] = Judge(
                num_workers=1,
                limits=dataclasses.replace(_LIMITS, **limits),
                stop_at_first_failure=False,
                **chosen,
                **arguments,
            )
            for _ in range(2):
                assert made[key].judge(_TRIVIAL, "print(7)").verdict == "AC"
            watch.remember()
        return made[key], watch

    yield make
    for judge in made.values():
        judge.close()


def _listeners(
    stack: contextlib.ExitStack, directory: Path, token: str
) -> list[socket.socket | None]:
    sockets: list[socket.socket | None] = []
    for family, kind, address in (
        (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
        (socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
        (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
        (socket.AF_UNIX, socket.SOCK_STREAM, str(directory / "socket")),
        (socket.AF_UNIX, socket.SOCK_STREAM, f"\0bait-{token}"),
    ):
        try:
            listener = stack.enter_context(socket.socket(family, kind))
            listener.bind(address)
        except OSError:
            if family != socket.AF_INET6:
                raise
            sockets.append(None)  # a machine without IPv6
            continue
        if kind == socket.SOCK_STREAM:
            listener.listen()
        sockets.append(listener)
    return sockets


def _is_datagram(listener: socket.socket) -> bool:
    return listener.type == socket.SOCK_DGRAM


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _user_id(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return os.getuid()


def _settle(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SETTLE_SECS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
