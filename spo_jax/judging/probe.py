"""Which sandbox works here, found out by trying it on a program that tries to get out."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from spo_jax.errors import UserError, nearest
from spo_jax.judging.bubblewrap import Bubblewrap
from spo_jax.judging.interface import Backend, CompileError, SandboxError, Submission
from spo_jax.judging.interpreters import find_interpreters
from spo_jax.judging.limits import Limits
from spo_jax.judging.unsandboxed import Unsandboxed

BACKENDS = ("zygote", "exec")  # best first
_PROBE_SLOT = 0

# Prints what it could do and should not have been able to.
_PROBE_SOURCE = b"""
import os, socket
found = []
def expect_failure(name, action):
    try:
        action()
    except OSError:
        return
    found.append(name)
expect_failure("read /etc/passwd", lambda: open("/etc/passwd"))
expect_failure("read /proc/1/environ", lambda: open("/proc/1/environ"))
expect_failure("list /root", lambda: os.listdir("/root"))
expect_failure("list /home", lambda: os.listdir("/home"))
for path in ("/", "/usr/lib", os.__file__):
    if os.access(path, os.W_OK):
        found.append("write " + path)
expect_failure("become root", lambda: os.setuid(0))
expect_failure("change root", lambda: os.chroot("/usr"))
def reach_network():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
expect_failure("reach a network", reach_network)
if os.getpid() > 16:
    found.append("share process ids")
print("; ".join(found) or "contained")
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SandboxReport:
    """What `probe_sandbox` found.

    Attributes:
      is_working: programs can be judged safely.
      backend: its name, or '' when none works.
      layers: protections that are active.
      python: path of the interpreter that programs run under; python_version: its version.
      problem: why no sandbox works, or ''. advice: what to do about it, or ''.
    """

    is_working: bool
    backend: str = ""
    layers: tuple[str, ...] = ()
    python: str = ""
    python_version: str = ""
    problem: str = ""
    advice: str = ""


def probe_sandbox(python: str | None = None, backend_name: str | None = None) -> SandboxReport:
    """Tries the sandbox with a real program; takes about 0.1 s. Never raises.

    `backend_name` is one of `BACKENDS`, or None for the first that works.
    """
    problems: list[str] = []
    for backend in _working_backends(python, backend_name, problems):
        backend.close()
        return SandboxReport(
            is_working=True,
            backend=backend.name,
            layers=backend.layers,
            python=str(backend.interpreter.executable),
            python_version=backend.interpreter.version,
        )
    problem = "; ".join(dict.fromkeys(problems))
    return SandboxReport(is_working=False, problem=problem, advice=_advice(problem))


def choose_backend(
    *,
    python: str | None,
    allow_unsandboxed: bool,
    name: str | None = None,
    packages: Sequence[str] = (),
) -> Backend:
    """Returns the backend to judge with: `name` alone when given. UserError when none works."""
    if name is not None and name not in BACKENDS:
        raise UserError(
            f"judge backend '{name}' is not among {list(BACKENDS)}{nearest(name, BACKENDS)}"
        )
    problems: list[str] = []
    for backend in _working_backends(python, name, problems, packages):
        return backend
    problem = "; ".join(dict.fromkeys(problems))
    if not allow_unsandboxed:
        raise UserError(
            f"no working sandbox: {problem}. {_advice(problem)} Programs are never run without a "
            "sandbox unless that is allowed explicitly."
        )
    if packages:
        raise UserError(f"judge packages {list(packages)} need a sandbox: {problem}")
    interpreters = find_interpreters(python)
    if not interpreters:
        raise UserError(f"no usable Python interpreter: {python or 'python3'}")
    return Unsandboxed(interpreters[0])


def _working_backends(
    python: str | None, name: str | None, problems: list[str], packages: Sequence[str] = ()
) -> Iterator[Bubblewrap]:
    """Yields backends that contain the probe program; adds to `problems` why others do not."""
    interpreters = find_interpreters(python)
    if not interpreters:
        problems.append(f"no usable Python interpreter: {python or 'python3'}")
    for backend_name in BACKENDS if name is None else (name,):
        for interpreter in interpreters:
            try:
                backend = Bubblewrap(interpreter, backend_name, packages)
                answer = run_probe(backend)
            except (SandboxError, CompileError, OSError) as error:
                problems.append(str(error))
                continue
            if answer == "contained":
                yield backend
            else:
                backend.close()
                problems.append(f"{backend_name} does not contain programs: {answer}")


def run_probe(backend: Backend) -> str:
    """Returns 'contained', or what the probe program could do or what went wrong."""
    submission = Submission(source=_PROBE_SOURCE, fn_name=None, limits=Limits())
    session = backend.open(submission, _PROBE_SLOT)
    try:
        outcome = session.run(b"", submission.limits.cpu_secs)
    finally:
        session.close()
    if outcome.status != 0:
        return outcome.stderr.decode("utf-8", "replace").strip() or "the probe program failed"
    return outcome.stdout.decode("utf-8", "replace").strip()


def _advice(problem: str) -> str:
    if "'bwrap' is not installed" in problem:
        return "Install it: apt-get install bubblewrap."
    if "Unknown option" in problem:
        return "bubblewrap 0.8 or newer is needed: apt-get install bubblewrap."
    if _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor bars unprivileged user namespaces: allow them for bwrap with a profile in "
            "/etc/apparmor.d, or for all with "
            "'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0'."
        )
    if _setting("kernel/unprivileged_userns_clone") == "0":
        return "Allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1."
    if _setting("user/max_user_namespaces") == "0":
        return "Allow user namespaces: sysctl -w user.max_user_namespaces=10000."
    return (
        "Install bubblewrap (apt-get install bubblewrap) and allow it user namespaces; in a "
        "container, start that with --security-opt seccomp=unconfined."
    )


def _setting(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""
