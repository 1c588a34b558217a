"""`spo judge`: runs a program on a problem's tests and prints the verdict."""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spo_jax.commands.judge_serve import add_packages
from spo_jax.errors import UserError

if TYPE_CHECKING:
    from spo_jax.types import Judgement, Problem

_CPP_SUFFIXES = (".cpp", ".cc", ".cxx", ".C")

HELP = "judge a program on a problem's tests, in a sandbox"

_DESCRIPTION = """\
Runs PROGRAM on every test of a problem, in a sandbox, and prints a verdict: AC (accepted),
WA (wrong answer), RE (runtime error), TLE, MLE, OLE (time, memory, output limit exceeded),
SV (security violation), CE (does not compile), IE (the judge itself failed).
"""
_EPILOG = """\
exit status: 0 accepted, 1 not accepted, 2 bad arguments or no working sandbox, 3 judge failure

examples:
  spo judge solution.py --problem starter/compare-greater
  spo judge solution.cpp --problem starter/compare-greater
  spo judge - --problem problem.json --json < solution.py
  spo judge serve --socket /tmp/judge.sock    share one judge between processes (see its --help)
  spo judge status --socket /tmp/judge.sock   what that judge is doing
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "program",
        metavar="PROGRAM",
        help="source file, C++17 if it ends in .cpp, .cc or .cxx, else Python 3; - reads stdin",
    )
    parser.add_argument(
        "--problem",
        required=True,
        metavar="ID_or_FILE.json",
        help="a bundled problem's id, or a file in the CodeContests schema",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--stop_at_first_failure", action="store_true", help="leave out tests after a failing one"
    )
    parser.add_argument(
        "--time_limit_secs", type=float, help="CPU seconds per test instead of the problem's own"
    )
    parser.add_argument(
        "--language",
        metavar="LANGUAGE",
        help="python3 or cpp (C++17); default: by PROGRAM's suffix",
    )
    parser.add_argument(
        "--backend",
        metavar="BACKEND",
        help="zygote (a fork of a warm interpreter per test) or exec (a fresh interpreter per "
        "test); default: the first that works",
    )
    parser.add_argument(
        "--python", metavar="PATH", help="the interpreter that runs PROGRAM; default: this one"
    )
    add_packages(parser)
    parser.add_argument(
        "--allow_unsandboxed",
        action="store_true",
        help="without a working sandbox run PROGRAM unprotected: it can do whatever you can",
    )


def run(args: argparse.Namespace) -> int:
    from spo_jax.judging import Judge, Limits

    problem = _read_problem(args.problem)
    code = _read_program(args.program)
    limits = Limits()
    if args.time_limit_secs is not None:
        limits = Limits(cpu_secs=args.time_limit_secs)
        problem = dataclasses.replace(problem, time_limit_secs=args.time_limit_secs)
    started = time.monotonic()
    with Judge(
        num_workers=1,
        stop_at_first_failure=args.stop_at_first_failure,
        allow_unsandboxed=args.allow_unsandboxed,
        limits=limits,
        python=args.python,
        backend=args.backend,
        packages=args.packages,
    ) as judge:
        judgement = judge.judge(problem, code, args.language or _language_of(args.program))
    wall_secs = time.monotonic() - started
    if args.json:
        print(json.dumps(_record(problem, judgement, wall_secs)))
    else:
        print(_table(problem, judgement, wall_secs))
    return {"AC": 0, "IE": 3}.get(judgement.verdict.value, 1)


def _read_problem(name: str) -> "Problem":
    from spo_jax.problems import find_problem, read_problem_file

    if name.endswith(".json") or Path(name).is_file():
        return read_problem_file(name)
    return find_problem(name)


def _language_of(path: str) -> str:
    return "cpp" if Path(path).suffix in _CPP_SUFFIXES else "python3"


def _read_program(path: str) -> str:
    """Reads bytes: what is not UTF-8 becomes lone surrogates, which the judge answers with CE."""
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"program '{path}' cannot be read: {error.strerror}") from error
    return data.decode("utf-8", "surrogateescape")


def _record(problem: "Problem", judgement: "Judgement", wall_secs: float) -> dict[str, Any]:
    return {
        "verdict": judgement.verdict.value,
        "problem": problem.id,
        "message": judgement.message,
        "num_tests": judgement.num_tests,
        "num_passed": judgement.num_passed,
        "backend": judgement.backend,
        "layers": list(judgement.layers),
        "timings": {
            "wall_secs": round(wall_secs, 6),
            "cpu_secs": round(sum(test.cpu_secs for test in judgement.tests), 6),
        },
        "tests": [
            {
                "index": index,
                "kind": _test_kind(problem, index),
                "verdict": test.verdict.value,
                "cpu_secs": round(test.cpu_secs, 6),
                "wall_secs": round(test.wall_secs, 6),
                "peak_bytes": test.peak_bytes,
                "message": test.message,
            }
            for index, test in enumerate(judgement.tests)
        ],
    }


def _test_kind(problem: "Problem", index: int) -> str:
    if index < len(problem.public_tests):
        return "public"
    is_private = index < len(problem.public_tests) + len(problem.private_tests)
    return "private" if is_private else "generated"


def _table(problem: "Problem", judgement: "Judgement", wall_secs: float) -> str:
    lines = [f"{'test':>4}  {'kind':<9}  {'verdict':<7}  {'cpu s':>7}  message"]
    for index, test in enumerate(judgement.tests):
        lines.append(
            f"{index:>4}  {_test_kind(problem, index):<9}  {test.verdict.value:<7}  "
            f"{test.cpu_secs:>7.3f}  {test.message}".rstrip()
        )
    lines = lines if judgement.tests else []
    reason = f" ({judgement.message})" if judgement.message else ""
    lines.append(
        f"{judgement.verdict.value}{reason}: {problem.id}, {judgement.num_passed} of "
        f"{judgement.num_tests} tests passed in {wall_secs:.2f} s, sandbox {judgement.backend}"
    )
    return "\n".join(lines)
