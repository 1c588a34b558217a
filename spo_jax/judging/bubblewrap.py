"""The backends `zygote` and `exec`: a long-lived bubblewrap sandbox for each worker of the judge.

In `zygote` every test is a fork of a warm interpreter, in `exec` a fresh interpreter or a compiled
program. A sandbox in which a test left anything behind, or anything unexpected happened, is
replaced.

As root, bubblewrap alone is no sandbox (the program would keep every capability over the host), so
an unprivileged user id of the host is taken first. Inside: own user, process, network, mount, IPC
and host name namespaces; no capabilities; a read-only file system that holds the C library and the
interpreter, nothing else; an empty environment; a small /tmp.
"""

import dataclasses
import functools
import math
import os
import resource
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from spo_jax.judging.compilation import (
    BINARY_BYTES,
    Compiler,
    compile_binary,
    find_compiler,
)
from spo_jax.judging.compilation import MEMORY_BYTES as COMPILER_MEMORY_BYTES
from spo_jax.judging.compilation import TMP_BYTES as COMPILER_TMP_BYTES
from spo_jax.judging.inside import program_environment, zygote_command
from spo_jax.judging.interface import SandboxError, SandboxLostError, Submission
from spo_jax.judging.interpreters import Interpreter
from spo_jax.judging.packages import find_packages
from spo_jax.judging.sandbox import START_SECS, SandboxProcess
from spo_jax.judging.seccomp import program_filter, runner_filter
from spo_jax.judging.session import RunnerSession
from spo_jax.judging.streams import sealed_file

_DEVICES = ("null", "zero", "full", "random", "urandom")
_LIBRARY_LINKS = ("/lib", "/lib32", "/lib64")
_LIBRARY_DIRECTORIES = ("/usr/lib", "/usr/lib32", "/usr/lib64")
_PACKAGES = "/packages"
_STACK_BYTES = 256 * 1024 * 1024  # of the main thread, for recursion through C
_UNPRIVILEGED_USER_ID = 0x70000000  # above what distributions and container managers hand out
_SLOTS_PER_PROCESS = 64

_LAYERS = (
    "unprivileged-user",
    "user-namespace",
    "no-capabilities",
    "pid-namespace",
    "no-network",
    "read-only-filesystem",
    "ipc-namespace",
    "clean-environment",
    "rlimits",
    "no-new-privileges",
    "not-dumpable",
    "sealed-input",
)


class Bubblewrap:
    """Implements `interface.Backend`.

    Args:
      interpreter: runs the programs and the trusted code beside them.
      name: 'zygote' or 'exec'.
      packages: installed packages that programs may import.
    Raises:
      UserError: a package is not installed.
      SandboxError: bubblewrap, or as root a tool to give up privileges, is not installed.
    """

    def __init__(self, interpreter: Interpreter, name: str, packages: Sequence[str] = ()):
        self.name = name
        self._package_mounts = _package_mounts(find_packages(packages, interpreter))
        self.interpreter = interpreter
        self._bwrap = _require("bwrap", "bubblewrap")
        self._setpriv = _require("setpriv", "util-linux") if os.geteuid() == 0 else None
        self._prlimit = shutil.which("prlimit")
        self._program_filter = program_filter()
        self._binary_filter = program_filter(starts_binary=True)
        self._runner_filter = runner_filter()
        self._limits_threads = os.geteuid() == 0 or kernel_version() >= (5, 14)
        layers = list(_LAYERS)
        layers += ["seccomp"] if self._program_filter else []
        layers += ["thread-limit"] if self._limits_threads else []
        self.layers = tuple(layers)
        self._idle: dict[int, tuple[SandboxProcess, int]] = {}  # slot: sandbox, bytes of its /tmp

    def compile(self, submission: Submission, slot: int) -> Submission:
        if submission.language != "cpp":
            return submission
        compiler = find_compiler()
        seconds = submission.limits.compile_secs
        binary = compile_binary(
            submission.source,
            seconds,
            lambda stdin, stdout: self._start_compiler(compiler, slot, seconds, stdin, stdout),
        )
        return dataclasses.replace(submission, source=binary)

    def open(self, submission: Submission, slot: int) -> RunnerSession:
        is_binary = submission.language == "cpp"
        file_bytes = submission.limits.file_bytes
        return RunnerSession(
            self._take(slot, file_bytes),
            submission,
            starts_image=self.name == "exec" or is_binary,
            program_filter=self._binary_filter if is_binary else self._program_filter,
            limits_threads=self._limits_threads,
            give_back=lambda process: self._idle.update({slot: (process, file_bytes)}),
        )

    def close(self) -> None:
        while self._idle:
            self._idle.popitem()[1][0].close()

    def _take(self, slot: int, file_bytes: int) -> SandboxProcess:
        process, its_bytes = self._idle.pop(slot, (None, 0))
        if process is not None:
            if its_bytes == file_bytes and not process.has_ended():
                return process
            process.close()
        return self._start(slot, file_bytes)

    def _start(self, slot: int, file_bytes: int) -> SandboxProcess:
        process = self._launch(
            lambda control: zygote_command(self.interpreter, control, True),
            limits={"stack": _stack_limit(), "core": "0:0"},
            mounts=[*_interpreter_mounts(self.interpreter), *self._package_mounts],
            slot=slot,
            tmp_bytes=file_bytes,
        )
        try:
            if not process.receive(START_SECS).startswith("ready "):
                raise SandboxLostError(process.stderr_text() or "the runner did not start")
        except BaseException:
            process.close()
            raise
        return process

    def _start_compiler(
        self, compiler: Compiler, slot: int, cpu_secs: float, stdin: int, stdout: int
    ) -> SandboxProcess:
        mounts = ["--symlink", "/usr/bin", "/bin"] if os.path.islink("/bin") else []
        for directory in compiler.directories:
            if directory not in _LIBRARY_DIRECTORIES:
                mounts += ["--ro-bind", directory, directory]
        return self._launch(
            lambda control: compiler.command,
            limits={
                "core": "0:0",
                "cpu": f"{math.ceil(cpu_secs)}:{math.ceil(cpu_secs) + 2}",
                "as": f"{COMPILER_MEMORY_BYTES}:{COMPILER_MEMORY_BYTES}",
                "fsize": f"{BINARY_BYTES}:{BINARY_BYTES}",
            },
            mounts=mounts,
            slot=slot,
            tmp_bytes=COMPILER_TMP_BYTES,
            stdin=stdin,
            stdout=stdout,
        )

    def _launch(
        self,
        make_command: Callable[[int], list[str]],
        *,
        limits: dict[str, str],
        mounts: Sequence[str],
        slot: int,
        tmp_bytes: int,
        stdin: int | None = None,
        stdout: int | None = None,
    ) -> SandboxProcess:
        filters = [sealed_file(self._runner_filter)] if self._runner_filter else []
        try:
            return SandboxProcess(
                lambda control, info: [
                    *self._outer_commands(slot, limits),
                    *self._sandbox_command(mounts, tmp_bytes, info, filters),
                    *make_command(control),
                ],
                inherited=filters,
                has_namespace=True,
                environment={"PATH": "/usr/bin:/bin"},
                stdin=stdin,
                stdout=stdout,
            )
        finally:
            for descriptor in filters:
                os.close(descriptor)

    def _sandbox_command(
        self, mounts: Sequence[str], tmp_bytes: int, info: int, filters: Sequence[int]
    ) -> list[str]:
        command = [self._bwrap, "--unshare-all", "--unshare-user"]
        command += ["--disable-userns", "--cap-drop", "ALL", "--die-with-parent", "--new-session"]
        command += ["--uid", "65534", "--gid", "65534", "--hostname", "judge"]
        command += [*_library_mounts(), *mounts]
        for device in _DEVICES:
            command += ["--dev-bind-try", f"/dev/{device}", f"/dev/{device}"]
        command += ["--size", str(tmp_bytes), "--tmpfs", "/tmp"]
        command += ["--remount-ro", "/", "--chdir", "/tmp", "--clearenv"]
        packages = _PACKAGES if self._package_mounts else None
        for name, value in program_environment(packages).items():
            command += ["--setenv", name, value]
        command += ["--info-fd", str(info)]
        for descriptor in filters:
            command += ["--seccomp", str(descriptor)]
        return command

    def _outer_commands(self, slot: int, limits: dict[str, str]) -> list[str]:
        command = []
        if self._prlimit:
            command += [self._prlimit]
            command += [f"--{name}={value}" for name, value in limits.items()]
        if self._setpriv:
            user_id = str(unprivileged_user_id(slot))
            command += [self._setpriv, "--reuid", user_id, "--regid", user_id, "--clear-groups"]
            command += ["--inh-caps=-all", "--no-new-privs"]
        return command


def _stack_limit() -> str:
    """Soft and hard. Programs may raise it as they often do: address space bounds stacks too."""
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    if hard == resource.RLIM_INFINITY:
        return f"{_STACK_BYTES}:unlimited"
    return f"{min(hard, _STACK_BYTES)}:{hard}"


def unprivileged_user_id(slot: int) -> int:
    """A user id of the host that no account has and no other judge worker uses now."""
    offset = (os.getpid() * _SLOTS_PER_PROCESS + slot % _SLOTS_PER_PROCESS) % (1 << 28)
    if _is_mapped(_UNPRIVILEGED_USER_ID + offset):
        return _UNPRIVILEGED_USER_ID + offset
    return 60001 + offset % 1000  # in a container with 65,536 ids


@functools.cache
def kernel_version() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(digit for digit in minor if digit.isdigit()))


def _is_mapped(user_id: int) -> bool:
    ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return any(int(first) <= user_id < int(first) + int(count) for first, _, count in ranges)


def _library_mounts() -> list[str]:
    mounts = []
    for directory in _LIBRARY_DIRECTORIES:
        if os.path.isdir(directory) and not os.path.islink(directory):
            mounts += ["--ro-bind", directory, directory]
    for link in _LIBRARY_LINKS:
        if os.path.islink(link):
            mounts += ["--symlink", os.readlink(link), link]
        elif os.path.isdir(link):
            mounts += ["--ro-bind", link, link]
    if os.path.exists("/etc/ld.so.cache"):
        mounts += ["--ro-bind", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    return mounts


def _interpreter_mounts(interpreter: Interpreter) -> list[str]:
    executable, library = str(interpreter.executable), str(interpreter.prefix / "lib")
    mounts = ["--ro-bind", executable, executable]
    if library not in _LIBRARY_DIRECTORIES:
        mounts += ["--ro-bind", library, library]
    return mounts


def _package_mounts(paths: Sequence[Path]) -> list[str]:
    return [word for p in paths for word in ("--ro-bind", str(p), f"{_PACKAGES}/{p.name}")]


def _require(program: str, package: str) -> str:
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/bin")
    if path is None:
        raise SandboxError(f"'{program}' is not installed (apt-get install {package})")
    return path
