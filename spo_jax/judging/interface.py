"""What a sandbox backend offers to the judge: sessions that run tests, and raw outcomes.

A backend never sees an expected output and never decides a verdict.
"""

import dataclasses
from typing import Literal, Protocol

from spo_jax.judging.interpreters import Interpreter
from spo_jax.judging.limits import Limits


class SandboxError(Exception):
    """The judge's own failure (IE): the sandbox did not start or broke down."""


class SandboxLostError(SandboxError):
    """A process of the sandbox was ended from outside, or so it looks: worth more tries."""


class RunnerLostError(SandboxLostError):
    """The trusted runner inside the sandbox ended while a program was running."""


class CompileError(Exception):
    """The program does not compile. The message is the compiler's."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A program to run.

    Attributes:
      language: 'python3' or 'cpp'.
      source: UTF-8, without NUL bytes; or what `Backend.compile` made of it.
      fn_name: the function to call with each test's arguments, or None for standard input.
      limits: of each test.
    """

    language: str = "python3"
    source: bytes
    fn_name: str | None
    limits: Limits


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a program did on one test.

    Attributes:
      status: of the process, as `os.waitpid` returns it.
      cpu_secs, wall_secs: used.
      peak_bytes: largest resident memory.
      stdout, stderr: what it wrote; of stderr only the end.
      result: call style: the JSON text of the returned value; empty when none came.
      stopped_by: the limit that ended it, or '' when it ended by itself.
      is_spent: the session holds traces of this test; the next test needs a new session.
    """

    status: int
    cpu_secs: float
    wall_secs: float
    peak_bytes: int
    stdout: bytes
    stderr: bytes
    result: bytes
    stopped_by: Literal["", "cpu", "wall", "output", "files"]
    is_spent: bool


class Session(Protocol):
    """One program in its sandbox, compiled. Used by one thread at a time."""

    def run(self, test_input: bytes, cpu_secs: float) -> Outcome:
        """Runs one test, which is ended after `cpu_secs` of CPU. Raises SandboxError."""

    def kill(self) -> None:
        """Makes a running test fail. The only method that other threads may call."""

    def close(self) -> None:
        """Ends the program and gives up the sandbox: it is clean, or ended. Safe to call twice."""


class Backend(Protocol):
    """Makes sandboxes. `layers` names the protections that are active."""

    name: str
    layers: tuple[str, ...]
    interpreter: Interpreter

    def compile(self, submission: Submission, slot: int) -> Submission:
        """What `open` takes: of a language that is compiled, the binary in place of the source.

        Raises CompileError or SandboxError.
        """

    def open(self, submission: Submission, slot: int) -> Session:
        """Takes the slot's sandbox, or starts it, and compiles. Raises CompileError, SandboxError.

        `slot` tells the judge's workers apart: no two sandboxes of a slot live at once.
        """

    def close(self) -> None:
        """Ends the sandboxes that are idle."""
