"""The other end of `scoring_program`: starts it, asks, and replaces it when it does not answer.

It runs inside bubblewrap, without network and with the file system read-only, because libraries
evaluate answers as expressions. That is weaker than the judge's sandbox: files can be read.
"""

import atexit
import contextlib
import functools
import json
import math
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from spo_jax.errors import UserError

_START_SECS = 120.0  # imports of sympy and of a hundred data sets, on a busy machine
_PREPARE_SECS = 600.0  # making questions
_GRACE_SECS = 30.0  # for what happens before the fork whose time is limited
_SANDBOX = (
    *("--unshare-all", "--die-with-parent", "--new-session"),
    *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
    *("--setenv", "TMPDIR", "/dev/shm", "--setenv", "MPLCONFIGDIR", "/dev/shm"),
)
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


class ScoringError(Exception):
    """The scoring process failed, and not because of an answer."""


class ScoringProcess:
    """One process of a kind, started when first asked. Threads take turns."""

    def __init__(self, kind: str, allow_unsandboxed: bool):
        self._kind = kind
        self._allow_unsandboxed = allow_unsandboxed
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        atexit.register(self.close)

    def ask(self, do: str, **arguments: Any) -> Any:
        """What a handler of the program returns.

        Raises:
          ScoringError: it failed.
        """
        reply = self._exchange({"do": do, "arguments": arguments}, _PREPARE_SECS)
        if reply is None:
            raise ScoringError(f"the {self._kind} process ended, or took {_PREPARE_SECS:g} s")
        if "error" in reply:
            raise ScoringError(reply["error"])
        return reply["value"]

    def score(self, answer: str, limit_secs: float, **arguments: Any) -> tuple[float, str]:
        """Score from 0 to 1, and a message; 0 where scoring hangs or crashes on the answer.

        The answer is scored in a fork of the process: what it does there is its own fault. The
        process itself is asked a second time when it ends, for example because it was killed.

        Raises:
          ScoringError: it failed before it came to the answer, or ended twice.
        """
        clean = answer.encode("utf-8", "replace").decode()
        arguments["answer"] = clean
        request = {"do": "score", "limit_secs": limit_secs, "arguments": arguments}
        limit_secs += _GRACE_SECS
        reply = self._exchange(request, limit_secs) or self._exchange(request, limit_secs)
        if reply is None:
            raise ScoringError(f"the {self._kind} process ended twice on an answer")
        if "error" in reply:
            raise ScoringError(reply["error"])
        score = float(reply["score"])
        if math.isnan(score):
            return 0.0, "the score is not a number"
        return min(max(score, 0.0), 1.0), reply.get("message", "")

    def close(self) -> None:
        """Ends the process; the next question starts another."""
        process, self._process, self._unread = self._process, None, b""
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]

    def _exchange(self, request: dict[str, Any], limit_secs: float) -> dict[str, Any] | None:
        """The reply, or None when the process is gone, then ended for good."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            assert self._process is not None and self._process.stdin is not None
            try:
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                self._process.stdin.flush()
                reply = self._receive(limit_secs)
            except BrokenPipeError:
                reply = None
            except BaseException:  # interrupted: what comes now would answer the next question
                self.close()
                raise
            if reply is None:
                self.close()
            return reply

    def _start(self) -> None:
        self.close()
        command = [sys.executable, "-m", "spo_jax.judging.scoring_program", self._kind]
        # Sets of texts, and so questions, must come in the same order in every process.
        variables = {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
        variables |= {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        with tempfile.TemporaryFile() as stderr:
            self._process = subprocess.Popen(
                [*_sandbox(self._allow_unsandboxed), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=variables,
            )
            if self._receive(_START_SECS) is None:
                self.close()
                size = stderr.seek(0, os.SEEK_END)
                stderr.seek(max(0, size - 500))
                why = stderr.read().decode(errors="replace").strip()
                raise ScoringError(f"the {self._kind} process did not start: {why}")

    def _receive(self, limit_secs: float) -> dict[str, Any] | None:
        assert self._process is not None and self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + limit_secs
        while b"\n" not in self._unread:
            remaining = max(0.0, deadline - time.monotonic())
            if not select.select([descriptor], [], [], remaining)[0]:
                return None
            part = os.read(descriptor, 1 << 20)
            if not part:
                return None
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            return json.loads(line)
        except ValueError:
            return None


@functools.cache
def scoring_process(kind: str, allow_unsandboxed: bool = False) -> ScoringProcess:
    """The process of this kind that all share."""
    return ScoringProcess(kind, allow_unsandboxed)


@functools.cache
def _sandbox(allow_unsandboxed: bool) -> tuple[str, ...]:
    """The beginning of the command."""
    bwrap = shutil.which("bwrap")
    if bwrap:
        done = subprocess.run([bwrap, *_SANDBOX, "true"], capture_output=True, check=False)
        if done.returncode == 0:
            return (bwrap, *_SANDBOX)
    if allow_unsandboxed:
        return ()
    raise UserError(
        "libraries that score answers evaluate them, so they run in bubblewrap, which does not "
        "work here (spo doctor says why); allow_unsandboxed=True runs them without protection"
    )
