"""The judge's end of a started sandbox: the zygote's socket, and how all of it is ended."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from spo_jax.judging.interface import SandboxError, SandboxLostError
from spo_jax.judging.streams import CHUNK_BYTES, wait_readable

START_SECS = 60.0  # wall; a sandbox starts in 0.03 s on an idle machine
GRACE_SECS = 10.0  # wall, for the runner to end what it was told to end


class SandboxProcess:
    """One started sandbox (bubblewrap, or a bare interpreter).

    Args:
      make_command: given the numbers of the zygote's socket and of the information pipe (which
        must receive `{"child-pid": ...}` of the namespace's init when `has_namespace`), returns
        the command line.
      inherited: further descriptors the command needs.
      has_namespace: the command's child is the init of a process namespace.
      environment: of the command.
      stdin, stdout: descriptors the command gets; None for /dev/null.
    Raises:
      SandboxError: it does not start.
    """

    def __init__(
        self,
        make_command: Callable[[int, int], Sequence[str]],
        *,
        inherited: Sequence[int] = (),
        has_namespace: bool,
        environment: Mapping[str, str],
        stdin: int | None = None,
        stdout: int | None = None,
    ):
        self.control, runner_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stderr = os.memfd_create("sandbox-stderr", os.MFD_CLOEXEC)
        fcntl.fcntl(self._stderr, fcntl.F_SETFL, os.O_APPEND)
        self._init_handle: int | None = None
        self._lock = threading.Lock()
        self._is_closed = False
        info_read, info_write = os.pipe()
        try:
            self._process = subprocess.Popen(
                make_command(runner_end.fileno(), info_write),
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=subprocess.DEVNULL if stdout is None else stdout,
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
        data = os.pread(self._stderr, 8000, max(0, size - 8000))
        return data.decode("utf-8", "replace").strip()

    def forget_stderr(self) -> None:
        """Compilers warn there: the memory it takes must not grow with each submission."""
        os.ftruncate(self._stderr, 0)

    def exit_status(self) -> int | None:
        """Of the command: as a shell reports it; None when it does not end in time."""
        try:
            return self._process.wait(GRACE_SECS)
        except subprocess.TimeoutExpired:
            return None

    def has_ended(self) -> bool:
        return self._is_closed or bool(wait_readable([self.control.fileno()], 0.0))

    def send(self, message: str, descriptors: Sequence[int] = ()) -> None:
        """To the zygote. Raises SandboxLostError."""
        try:
            socket.send_fds(self.control, [message.encode()], descriptors)
        except OSError as error:
            raise SandboxLostError(self.stderr_text() or str(error)) from error

    def receive(self, timeout_secs: float) -> str:
        """The zygote's next message; empty when it has ended. Raises SandboxError."""
        return receive(self.control, timeout_secs)

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
                self._process.wait(GRACE_SECS)
            self._process.kill()
            self._process.wait()
            if self._init_handle is not None:
                # bubblewrap ends when its init has told the exit status, which is a little before
                # the init has ended, and with it the last process.
                wait_readable([self._init_handle], time.monotonic() + GRACE_SECS)
                os.close(self._init_handle)
            self.control.close()
            os.close(self._stderr)

    def _open_init(self, info_read: int) -> int:
        text = b""
        deadline = time.monotonic() + START_SECS
        while not text.rstrip().endswith(b"}"):
            if not wait_readable([info_read], deadline):
                raise SandboxError("bubblewrap did not start in time")
            chunk = os.read(info_read, 4096)
            if not chunk:
                self._process.wait(START_SECS)
                raise SandboxLostError(self.stderr_text() or "bubblewrap ended at once")
            text += chunk
        try:
            return os.pidfd_open(json.loads(text)["child-pid"])
        except ProcessLookupError as error:
            raise SandboxLostError(self.stderr_text() or "bubblewrap ended at once") from error


def receive(control: socket.socket, timeout_secs: float) -> str:
    """The next message on a runner's socket; empty when its other end is closed."""
    if not wait_readable([control.fileno()], time.monotonic() + timeout_secs):
        raise SandboxError(f"the runner did not answer within {timeout_secs:.0f} s")
    try:
        return control.recv(CHUNK_BYTES).decode("utf-8", "replace")
    except ConnectionResetError:
        return ""
