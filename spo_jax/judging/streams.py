"""Descriptors that carry a test's input into the sandbox and its output out of it."""

import fcntl
import os
import select
import time
from collections.abc import Sequence

CHUNK_BYTES = 1 << 16
KEPT_BYTES = 8192  # of a stream of which only the end matters
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def sealed_file(content: bytes) -> int:
    """Returns a descriptor of an unnamed, unchangeable file, at its start."""
    descriptor = os.memfd_create("input", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def make_pipes(count: int) -> tuple[list[int], list[int]]:
    readers, writers = [], []
    for _ in range(count):
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        readers.append(reader)
        writers.append(writer)
    return readers, writers


def wait_readable(descriptors: Sequence[int], deadline: float) -> set[int]:
    """Waits until `deadline` (monotonic seconds); returns those that can be read or are closed."""
    poll = select.poll()
    for number in descriptors:
        poll.register(number, select.POLLIN)
    remaining = max(0.0, deadline - time.monotonic())
    return {number for number, _ in poll.poll(1000 * remaining)}


def drain(descriptor: int, data: bytearray, *, keep_end: bool) -> bool:
    """Reads what is there now, at most a few megabytes; returns whether the pipe is still open."""
    for _ in range(64):
        try:
            chunk = os.read(descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        data += chunk
        if keep_end and len(data) > 2 * CHUNK_BYTES:
            del data[:-KEPT_BYTES]
    return True


def cut(streams: dict[int, bytearray], output_bytes: int) -> None:
    """Cuts what is beyond the limit, so that a flood takes no memory here."""
    for data in streams.values():
        del data[output_bytes + 1 :]
