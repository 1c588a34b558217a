"""How the trusted code gets into a sandbox: as text on the command line of a bare interpreter."""

import functools
import importlib.resources

from spo_jax.judging.interpreters import Interpreter

_PROGRAM = "spo_jax.judging.program"
# -s -S: no site packages. Not -I, which would ignore the fixed hash seed.
_FLAGS = ("-s", "-S", "-X", "utf8", "-X", "int_max_str_digits=0")


def zygote_command(interpreter: Interpreter, control: int, owns_pid_namespace: bool) -> list[str]:
    """Starts `runner.main`. `control` is the descriptor of the zygote's socket."""
    executable = str(interpreter.executable)
    text = _zygote_text(executable)
    return [executable, *_FLAGS, "-c", text, str(control), str(int(owns_pid_namespace))]


def program_environment(packages: str | None = None) -> dict[str, str]:
    """Everything a program finds in its environment; `packages` is where installed packages lie.

    The hash seed makes verdicts repeatable; one allocator arena keeps threads from reserving
    64 MiB of address space each. Numerical libraries start no threads of their own: each would
    reserve a main thread's stack.
    """
    environment = {
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "MALLOC_ARENA_MAX": "1",
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
    }
    if packages is not None:
        environment["PYTHONPATH"] = packages
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return environment


@functools.cache
def _zygote_text(executable: str) -> str:
    """Makes the module `program` for `runner` to import, and hides it from judged programs."""
    program, runner = _text("program.py"), _text("runner.py")
    fresh = [executable, *_FLAGS, "-c", program + "\n\nmain(sys.argv[1:])\n"]
    return f"""
import sys
program, runner = type(sys)({_PROGRAM!r}), type(sys)("runner")
exec(compile({program!r}, "program.py", "exec"), program.__dict__)
sys.modules[{_PROGRAM!r}] = program
exec(compile({runner!r}, "runner.py", "exec"), runner.__dict__)
del sys.modules[{_PROGRAM!r}]
runner.main(sys.argv[1:], {fresh!r})
"""


def _text(name: str) -> str:
    return (importlib.resources.files("spo_jax.judging") / name).read_text("utf-8")
