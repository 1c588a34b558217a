"""The judge's end of one submission in a sandbox: hands over tests, collects outcomes.

Everything a program can reach is made here per test: a sealed memory file with its input, and
pipes for its output. Verdict data comes from the runner's socket (exit status, CPU time) and from
these pipes; expected outputs stay in the judge.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Literal

from spo_jax.judging.interface import (
    CompileError,
    Outcome,
    RunnerLostError,
    SandboxError,
    SandboxLostError,
    Submission,
)
from spo_jax.judging.sandbox import GRACE_SECS, START_SECS, SandboxProcess, receive
from spo_jax.judging.seccomp import PID_PLACEHOLDER
from spo_jax.judging.streams import (
    KEPT_BYTES,
    cut,
    drain,
    make_pipes,
    sealed_file,
    wait_readable,
)

# Most programs end within this time and write less than a pipe holds: one look is enough for them.
_QUICK_SECS = 0.003
_StoppedBy = Literal["", "cpu", "wall", "output", "files"]


class RunnerSession:
    """A submission compiled in the sandbox of `process`; implements `interface.Session`.

    Args:
      process: idle; nobody else uses it until it is given back.
      submission: to compile and run.
      starts_image: each test executes a fresh interpreter, or the submission's binary.
      program_filter: system call filter of the program, or None.
      limits_threads: the sandbox's user has no other processes, so that they can be counted.
      give_back: gets the sandbox when it is clean; any other sandbox is ended.
    """

    def __init__(
        self,
        process: SandboxProcess,
        submission: Submission,
        *,
        starts_image: bool,
        program_filter: bytes | None,
        limits_threads: bool,
        give_back: Callable[[SandboxProcess], None],
    ):
        self._process = process
        self._submission = submission
        self._give_back = give_back
        self._is_closed = False
        self._is_reusable = False  # while something unexpected may have happened
        self._control, runner_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with runner_end:
                self._send_job(runner_end, starts_image, program_filter, limits_threads)
            self._await_compiled()
        except CompileError:
            self._is_reusable = True
            self.close()
            raise
        except BaseException:
            self.close()
            raise
        self._is_reusable = True

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._control.close()
        if self._is_reusable and self._is_clean():
            self._process.forget_stderr()
            self._give_back(self._process)
        else:
            self._process.close()

    def run(self, test_input: bytes, cpu_secs: float) -> Outcome:
        self._is_reusable = False
        readers, writers = make_pipes(2 if self._submission.fn_name is None else 3)
        started = time.monotonic()
        try:
            stdin = sealed_file(test_input)
            try:
                self._send(f"test {cpu_secs}", [stdin, *writers])
            finally:
                for descriptor in (stdin, *writers):
                    os.close(descriptor)
            outcome = self._collect(readers, started)
        finally:
            for descriptor in readers:
                os.close(descriptor)
        self._is_reusable = not outcome.is_spent
        return outcome

    def _send_job(
        self,
        runner_end: socket.socket,
        starts_image: bool,
        program_filter: bytes | None,
        limits_threads: bool,
    ) -> None:
        limits = self._submission.limits
        fields = (
            "job",
            self._submission.language,
            self._submission.fn_name or "-",
            "exec" if starts_image else "fork",
            limits.memory_bytes + limits.address_space_bytes,
            limits.file_bytes,
            limits.num_files,
            limits.num_threads if limits_threads else 0,
            limits.compile_secs,
            PID_PLACEHOLDER,
        )
        contents = [self._submission.source] + ([program_filter] if program_filter else [])
        files = [sealed_file(content) for content in contents]
        try:
            message = " ".join(str(field) for field in fields)
            self._process.send(message, [runner_end.fileno(), *files])
        finally:
            for descriptor in files:
                os.close(descriptor)

    def _await_compiled(self) -> None:
        answer = receive(self._control, 3 * self._submission.limits.compile_secs + START_SECS)
        if answer.startswith("error "):
            raise CompileError(answer.removeprefix("error "))
        if answer:
            return
        report = self._process.receive(GRACE_SECS).split(" ")
        if report[0] != "idle":
            raise SandboxLostError(self._process.stderr_text() or "the runner ended")
        status = int(report[1])
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:  # of no limit's
            raise SandboxLostError("the compiler was killed")
        if os.WIFSIGNALED(status):
            raise CompileError("the compiler crashed or exceeded its limits")
        raise SandboxError(self._process.stderr_text() or "the runner ended")

    def _is_clean(self) -> bool:
        """Ends the submission's process; whether the sandbox is as it was before."""
        try:
            report = self._process.receive(GRACE_SECS).split(" ")
        except SandboxError:
            return False
        return report[0] == "idle" and report[2:] == ["1"]

    def _send(self, message: str, descriptors: Sequence[int]) -> None:
        try:
            socket.send_fds(self._control, [message.encode()], descriptors)
        except OSError as error:
            raise RunnerLostError(self._process.stderr_text() or str(error)) from error

    def _collect(self, readers: Sequence[int], started: float) -> Outcome:
        limits = self._submission.limits
        streams = {number: bytearray() for number in readers}
        stderr = readers[1]
        control = self._control.fileno()
        deadline = started + limits.wall_backstop_secs
        stopped_by: _StoppedBy = ""
        open_readers = set(readers)
        wait_readable([control], min(deadline, started + _QUICK_SECS))
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
                deadline = time.monotonic() + GRACE_SECS
                self._send("stop", [])
            if too_long:
                cut(streams, limits.output_bytes)
        wall_secs = time.monotonic() - started
        report = receive(self._control, GRACE_SECS).split(" ")
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
        is_slow_source = runner_stopped_by == "cpu"  # a fresh interpreter compiles it again
        if is_set_up != "1" and os.WIFSIGNALED(int(status)) and not is_slow_source:
            raise RunnerLostError("a test was killed before its program started")
        if is_set_up != "1" and not is_slow_source:
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
