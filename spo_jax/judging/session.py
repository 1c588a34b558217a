"""The judge's end of a sandbox: starts it, hands over tests, collects outcomes, ends it.

Everything a program can reach is made here per test: a sealed memory file with its input, and
pipes for its output. Verdict data comes from the runner's socket (exit status, CPU time) and from
these pipes; expected outputs stay in the judge.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from spo_jax.judging.interface import (
    CompileError,
    Outcome,
    RunnerLostError,
    SandboxError,
    Submission,
)
from spo_jax.judging.seccomp import PID_PLACEHOLDER
from spo_jax.judging.streams import (
    CHUNK_BYTES,
    KEPT_BYTES,
    cut,
    drain,
    make_pipes,
    sealed_file,
    wait_readable,
)

_START_SECS = 60.0  # wall; a sandbox starts in 0.03 s on an idle machine
_GRACE_SECS = 10.0  # wall, for the runner to end a program it was told to stop
_StoppedBy = Literal["", "cpu", "wall", "output", "files"]


class SandboxProcess:
    """One started sandbox (bubblewrap, or a bare interpreter) with the runner inside.

    Args:
      make_command: given the numbers of the runner's socket and of the information pipe (which
        must receive `{"child-pid": ...}` of the namespace's init when `has_namespace`), returns
        the command line.
      inherited: further descriptors the command needs.
      has_namespace: the command's child is the init of a process namespace.
      environment: of the command.
    """

    def __init__(
        self,
        make_command: Callable[[int, int], Sequence[str]],
        *,
        inherited: Sequence[int] = (),
        has_namespace: bool,
        environment: Mapping[str, str],
    ):
        self.control, runner_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stderr = os.memfd_create("sandbox-stderr", os.MFD_CLOEXEC)
        self._init_handle: int | None = None
        self._lock = threading.Lock()
        self._is_closed = False
        info_read, info_write = os.pipe()
        try:
            self._process = subprocess.Popen(
                make_command(runner_end.fileno(), info_write),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                pass_fds=(runner_end.fileno(), info_write, *inherited),
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._stderr)
            os.close(info_read)
            self.control.close()
            raise SandboxError(f"the sandbox command does not start: {error}") from error
        finally:
            runner_end.close()
            os.close(info_write)
        try:
            if has_namespace:
                self._init_handle = self._open_init(info_read)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(info_read)

    def stderr_text(self) -> str:
        """The end of what the sandbox command and the runner wrote to standard error."""
        size = os.fstat(self._stderr).st_size
        data = os.pread(self._stderr, 2000, max(0, size - 2000))
        return data.decode("utf-8", "replace").strip()

    def was_killed(self) -> bool:
        """Whether the runner, which has closed its socket, was ended by a signal."""
        try:
            status = self._process.wait(_GRACE_SECS)
        except subprocess.TimeoutExpired:
            return False
        return status < 0 or status > 128  # bubblewrap reports signals as shells do

    def kill(self) -> None:
        """Ends the sandbox's first process, and with it all others. Any thread may call this."""
        with self._lock:
            if self._is_closed:
                return
            if self._init_handle is None:
                self._process.kill()
                return
            # With the init, the kernel ends the whole namespace; only then does bubblewrap, which
            # waits for it, end. Killing bubblewrap first would leave nobody to wait for.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init_handle, signal.SIGKILL)

    def close(self) -> None:
        """Ends every process of the sandbox and waits until the kernel has removed them."""
        self.kill()
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_SECS)
            self._process.kill()
            self._process.wait()
            if self._init_handle is not None:
                os.close(self._init_handle)
            self.control.close()
            os.close(self._stderr)

    def _open_init(self, info_read: int) -> int:
        text = b""
        deadline = time.monotonic() + _START_SECS
        while not text.rstrip().endswith(b"}"):
            if not wait_readable([info_read], deadline):
                raise SandboxError("bubblewrap did not start in time")
            chunk = os.read(info_read, 4096)
            if not chunk:
                self._process.wait(_START_SECS)
                raise SandboxError(self.stderr_text() or "bubblewrap ended at once")
            text += chunk
        try:
            return os.pidfd_open(json.loads(text)["child-pid"])
        except ProcessLookupError as error:
            raise SandboxError(self.stderr_text() or "bubblewrap ended at once") from error


class RunnerSession:
    """A submission compiled by the runner of `process`; implements `interface.Session`."""

    def __init__(
        self,
        process: SandboxProcess,
        submission: Submission,
        *,
        program_filter: bytes | None,
        limits_threads: bool,
    ):
        self._process = process
        self._submission = submission
        self.python_version = ""
        try:
            self._start(program_filter, limits_threads)
        except BaseException:
            self.close()
            raise

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.close()

    def run(self, test_input: bytes) -> Outcome:
        readers, writers = make_pipes(2 if self._submission.fn_name is None else 3)
        started = time.monotonic()
        try:
            stdin = sealed_file(test_input)
            try:
                self._send(f"test {self._submission.limits.cpu_secs}", [stdin, *writers])
            finally:
                for descriptor in (stdin, *writers):
                    os.close(descriptor)
            return self._collect(readers, started)
        finally:
            for descriptor in readers:
                os.close(descriptor)

    def _start(self, program_filter: bytes | None, limits_threads: bool) -> None:
        limits = self._submission.limits
        fields = (
            "job",
            self._submission.fn_name or "-",
            limits.memory_bytes + limits.address_space_bytes,
            limits.file_bytes,
            limits.num_files,
            limits.num_threads if limits_threads else 0,
            limits.compile_secs,
            PID_PLACEHOLDER,
        )
        contents = [self._submission.source] + ([program_filter] if program_filter else [])
        descriptors = [sealed_file(content) for content in contents]
        try:
            self._send(" ".join(str(field) for field in fields), descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        greeting = self._receive(_START_SECS)
        if not greeting.startswith("ready "):
            raise SandboxError(self._process.stderr_text() or "the runner did not start")
        self.python_version = greeting.removeprefix("ready ")
        answer = self._receive(3 * limits.compile_secs + _START_SECS)
        if answer.startswith("error "):
            raise CompileError(answer.removeprefix("error "))
        if not answer and self._process.was_killed():
            raise CompileError("the compiler crashed or exceeded its limits")
        if not answer:
            raise SandboxError(self._process.stderr_text() or "the runner ended")

    def _send(self, message: str, descriptors: Sequence[int]) -> None:
        try:
            socket.send_fds(self._process.control, [message.encode()], descriptors)
        except OSError as error:
            raise RunnerLostError(self._process.stderr_text() or str(error)) from error

    def _receive(self, timeout_secs: float) -> str:
        """The next message; empty when the runner has ended."""
        control = self._process.control
        if not wait_readable([control.fileno()], time.monotonic() + timeout_secs):
            raise SandboxError(f"the runner did not answer within {timeout_secs:.0f} s")
        try:
            return control.recv(CHUNK_BYTES).decode("utf-8", "replace")
        except ConnectionResetError:
            return ""

    def _collect(self, readers: Sequence[int], started: float) -> Outcome:
        limits = self._submission.limits
        streams = {number: bytearray() for number in readers}
        stderr = readers[1]
        control = self._process.control.fileno()
        deadline = started + limits.wall_backstop_secs
        stopped_by: _StoppedBy = ""
        open_readers = set(readers)
        while True:
            ready = wait_readable([control, *open_readers], deadline)
            for number in open_readers.intersection(ready):
                is_open = drain(number, streams[number], keep_end=number == stderr)
                if not is_open:
                    open_readers.discard(number)
            too_long = any(
                len(data) > limits.output_bytes
                for number, data in streams.items()
                if number != stderr
            )
            if control in ready:
                break
            if stopped_by and time.monotonic() > deadline:
                raise SandboxError("the runner did not stop the program")
            if not stopped_by and (too_long or not ready):
                stopped_by = "output" if too_long else "wall"
                deadline = time.monotonic() + _GRACE_SECS
                self._send("stop", [])
            if too_long:
                cut(streams, limits.output_bytes)
        wall_secs = time.monotonic() - started
        report = self._receive(_GRACE_SECS).split(" ")
        if report[0] != "done":
            raise RunnerLostError(self._process.stderr_text() or "the runner ended")
        for number in open_readers:
            drain(number, streams[number], keep_end=number == stderr)
        return self._outcome(report[1:], wall_secs, stopped_by, [streams[n] for n in readers])

    def _outcome(
        self,
        report: Sequence[str],
        wall_secs: float,
        stopped_by: _StoppedBy,
        streams: Sequence[bytearray],
    ) -> Outcome:
        status, cpu_secs, peak_kib, runner_stopped_by, is_set_up, is_spent = report
        if is_set_up != "1":
            raise SandboxError(f"a test could not be set up: {streams[1].decode(errors='replace')}")
        if not stopped_by and runner_stopped_by in ("cpu", "files"):
            stopped_by = "cpu" if runner_stopped_by == "cpu" else "files"
        outputs = [streams[0], streams[2]] if len(streams) > 2 else [streams[0]]
        if any(len(data) > self._submission.limits.output_bytes for data in outputs):
            stopped_by = "output"
        return Outcome(
            status=int(status),
            cpu_secs=float(cpu_secs),
            wall_secs=wall_secs,
            peak_bytes=1024 * int(peak_kib),
            stdout=bytes(streams[0]),
            stderr=bytes(streams[1][-KEPT_BYTES:]),
            result=bytes(streams[2]) if len(streams) > 2 else b"",
            stopped_by=stopped_by,
            is_spent=is_spent == "1",
        )
