"""What one test may use."""

import dataclasses
import math

from spo_jax.errors import UserError
from spo_jax.types import Problem

_MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one test; a problem's own time and memory limits take precedence.

    Attributes:
      cpu_secs: CPU seconds of the program, its threads included. Decides TLE.
      wall_secs: wall seconds, or None for three times the CPU seconds and five more. Only ends
        programs that wait for ever: a busy host must not decide verdicts.
      memory_bytes: peak resident memory. Decides MLE.
      address_space_bytes: reserved memory beyond `memory_bytes`. Thread stacks and allocator
        arenas reserve much and use little, so this is the wider bound that protects the host.
      output_bytes: of standard output and of the call-style result. Decides OLE.
      file_bytes: of all files in the sandbox's /tmp.
      num_files: in the sandbox's /tmp.
      num_threads: at the same time.
      compile_secs: CPU seconds to compile the source.
    """

    cpu_secs: float = 4.0
    wall_secs: float | None = None
    memory_bytes: int = 512 * _MIB
    address_space_bytes: int = 1024 * _MIB
    output_bytes: int = 16 * _MIB
    file_bytes: int = 16 * _MIB
    num_files: int = 256
    num_threads: int = 64
    compile_secs: float = 10.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UserError(f"judge limit {field.name}={value} must be positive and finite")

    @property
    def wall_backstop_secs(self) -> float:
        return 3 * self.cpu_secs + 5 if self.wall_secs is None else self.wall_secs

    def of_problem(self, problem: Problem) -> "Limits":
        """Returns these limits with the time and memory limits that `problem` states.

        A stated memory limit below 64 MiB is raised to it: the interpreter itself takes 10.
        """
        changes: dict[str, float | int] = {}
        if problem.time_limit_secs is not None:
            changes["cpu_secs"] = problem.time_limit_secs
        if problem.memory_limit_bytes is not None:
            changes["memory_bytes"] = max(problem.memory_limit_bytes, 64 * _MIB)
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]
