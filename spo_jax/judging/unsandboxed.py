"""The backend `none`: no sandbox. Only where the user asks for it by name.

Programs run as the judge's own user and can read and change whatever that user can. Resource
limits and the system call filter still apply.
"""

from spo_jax.judging.bubblewrap import program_environment, runner_command, runner_text
from spo_jax.judging.interface import Submission
from spo_jax.judging.interpreters import Interpreter
from spo_jax.judging.seccomp import program_filter
from spo_jax.judging.session import RunnerSession, SandboxProcess


class Unsandboxed:
    """Implements `interface.Backend`."""

    name = "none"

    def __init__(self, interpreter: Interpreter):
        self.interpreter = interpreter
        self._program_filter = program_filter()
        self._runner_text = runner_text()
        layers = ["rlimits", "no-new-privileges", "not-dumpable", "sealed-input"]
        layers += ["seccomp"] if self._program_filter else []
        self.layers = tuple(layers)

    def open(self, submission: Submission, slot: int) -> RunnerSession:
        interpreter = str(self.interpreter.executable)
        process = SandboxProcess(
            lambda control, info: runner_command(interpreter, self._runner_text, control, False),
            has_namespace=False,
            environment=program_environment(),
        )
        return RunnerSession(
            process, submission, program_filter=self._program_filter, limits_threads=False
        )
