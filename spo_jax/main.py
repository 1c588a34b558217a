"""The command line: `spo COMMAND ...`, the same as `python -m spo_jax.main COMMAND ...`.

Exit status: 0 done, 1 a negative result (a program was not accepted, something is missing),
2 bad input (one line says what), 130 interrupted.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

import spo_jax
from spo_jax.commands.absent_tpus import quiet_absent_tpus
from spo_jax.commands.huge_pages import restart_with_huge_pages
from spo_jax.errors import UserError, nearest

# Command -> module of spo_jax.commands. A module has HELP, add_arguments(parser) and run(args).
COMMANDS = {
    "train": "train",
    "actor": "actor",
    "eval": "eval",
    "sample": "sample",
    "score": "score",
    "import": "import_",
    "export": "export",
    "judge": "judge",
    "problems": "problems",
    "trajectories": "trajectories",
    "report": "report",
    "plan": "plan",
    "doctor": "doctor",
}
# Words that may follow a command -> a module of the same form.
SUBCOMMANDS = {
    "actor": {"ray": "actor_ray"},
    "judge": {"serve": "judge_serve", "status": "judge_status"},
}
COMPUTES = ("train", "actor", "eval", "sample", "score")


class _Parser(argparse.ArgumentParser):
    """argparse whose complaints about unknown names say which name was probably meant."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.prog}: {message} (see {self.prog} --help)")

    def refuse_unknown(self, unknown: Sequence[str]) -> None:
        if unknown:
            flag = unknown[0].split("=", 1)[0]
            known = [option for option in self._option_string_actions if option.startswith("--")]
            raise UserError(f"{self.prog}: unknown argument '{flag}'{nearest(flag, known)}")


def _command_module(name: str, subcommand: str = ""):
    module = SUBCOMMANDS[name][subcommand] if subcommand else COMMANDS[name]
    return importlib.import_module(f"spo_jax.commands.{module}")


def _overview() -> str:
    lines = [f"  {name:<14}{_command_module(name).HELP}" for name in COMMANDS]
    return "commands:\n" + "\n".join(lines) + "\n\n`spo COMMAND --help` explains a command.\n"


def _print_overview() -> None:
    print(f"usage: spo COMMAND [options]\n\n{spo_jax.__doc__}\n")
    print(_overview(), end="")


def run(argv: Sequence[str]) -> int:
    """Runs one command and returns its exit status. Raises UserError for bad input."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        _print_overview()
        return 0
    if argv[0] == "--version":
        print(f"spo_jax {spo_jax.__version__}")
        return 0
    name = argv[0]
    if name not in COMMANDS:
        raise UserError(f"spo: unknown command '{name}'{nearest(name, COMMANDS)} (see spo --help)")
    subcommand = "".join(word for word in argv[1:2] if word in SUBCOMMANDS.get(name, ()))
    module = _command_module(name, subcommand)
    words = [name, subcommand] if subcommand else [name]
    parser = _Parser(
        prog=f"spo {' '.join(words)}",
        description=module.__doc__ or module.HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    args, unknown = parser.parse_known_args(list(argv[len(words) :]))
    if hasattr(module, "take_unknown"):  # --gin.NAME=value has no fixed set of flags
        unknown = module.take_unknown(args, unknown)
    parser.refuse_unknown(unknown)
    return module.run(args)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the console command."""
    if argv is None and sys.argv[1:2] and sys.argv[1] in COMPUTES:
        restart_with_huge_pages()
    quiet_absent_tpus()
    try:
        status = run(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stderr.close()
        status = 0
    sys.exit(status)


if __name__ == "__main__":
    main()
