"""The backend `none`: no sandbox. Only where the user asks for it by name.

Programs run as the judge's own user and can read and change whatever that user can. Resource
limits and the system call filter still apply. Python only.
"""

from spo_jax.judging.inside import program_environment, zygote_command
from spo_jax.judging.interface import SandboxError, Submission
from spo_jax.judging.interpreters import Interpreter
from spo_jax.judging.sandbox import START_SECS, SandboxProcess
from spo_jax.judging.seccomp import program_filter
from spo_jax.judging.session import RunnerSession


class Unsandboxed:
    """Implements `interface.Backend`."""

    name = "none"

    def __init__(self, interpreter: Interpreter):
        self.interpreter = interpreter
        self._program_filter = program_filter()
        layers = ["rlimits", "no-new-privileges", "not-dumpable", "sealed-input"]
        layers += ["seccomp"] if self._program_filter else []
        self.layers = tuple(layers)

    def compile(self, submission: Submission, slot: int) -> Submission:
        if submission.language != "python3":
            raise SandboxError(f"without a sandbox no {submission.language} is judged")
        return submission

    def open(self, submission: Submission, slot: int) -> RunnerSession:
        process = SandboxProcess(
            lambda control, info: zygote_command(self.interpreter, control, False),
            has_namespace=False,
            environment=program_environment(),
        )
        if not process.receive(START_SECS).startswith("ready "):
            message = process.stderr_text() or "the runner did not start"
            process.close()
            raise SandboxError(message)
        return RunnerSession(
            process,
            submission,
            starts_image=False,
            program_filter=self._program_filter,
            limits_threads=False,
            give_back=lambda sandbox: sandbox.close(),
        )

    def close(self) -> None:
        pass
