"""Judged tests per second, all cores, beside a plain interpreter per test.

    python benchmarks/judging.py [--num_submissions 40] [--num_workers N]

A trivial program (read two integers, print their sum) shows what starting costs; a heavy one (a
tenth of a second of CPU per test) what supervising costs. Prints a Markdown table.
"""

import argparse
import concurrent.futures
import functools
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable

from spo_jax.judging import Judge
from spo_jax.types import Problem, TestCase

TRIVIAL = "a, b = map(int, input().split())\nprint(a + b)\n"
HEAVY = "a, b = map(int, input().split())\nfor _ in range(2_000_000): pass\nprint(a + b)\n"


def make_problem(num_tests: int) -> Problem:
    tests = tuple(TestCase(f"{n} {n + 1}\n", f"{2 * n + 1}\n") for n in range(num_tests))
    return Problem(id="benchmark/sum", name="sum", description="", public_tests=tests)


def judged(judge: Judge, code: str, num_submissions: int, num_tests: int) -> None:
    problem = make_problem(num_tests)
    judgements = judge.judge_many([(problem, code)] * num_submissions)
    wrong = [judgement for judgement in judgements if judgement.verdict != "AC"]
    if wrong:
        raise RuntimeError(f"{len(wrong)} submissions failed: {wrong[0].message}")


def interpreter_per_test(num_workers: int, code: str, num_tests: int) -> None:
    """No sandbox, no limits: what starting an interpreter costs."""

    def run(number: int) -> None:
        given = f"{number} {number + 1}\n".encode()
        command = [sys.executable, "-I", "-S", "-c", code]
        answer = subprocess.run(command, input=given, capture_output=True)
        if int(answer.stdout) != 2 * number + 1:
            raise RuntimeError(f"wrong answer {answer.stdout!r}")

    with concurrent.futures.ThreadPoolExecutor(num_workers) as pool:
        list(pool.map(run, range(num_tests)))


def measure(name: str, num_tests: int, work: Callable[[], None]) -> None:
    started = time.perf_counter()
    work()
    secs = time.perf_counter() - started
    print(f"| {name} | {num_tests} | {1000 * secs / num_tests:.2f} | {num_tests / secs:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_submissions", type=int, default=40)
    parser.add_argument("--num_workers", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    count, workers = args.num_submissions, args.num_workers
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{workers} workers, {platform.machine()}, Linux {platform.release()}, load {load}\n")
    print("| way | tests | wall ms per test | tests per second |\n|---|---|---|---|")
    with Judge(num_workers=workers) as judge:
        for num_tests in (1, 10, 100):
            name = f"judge, trivial, {num_tests} tests per submission"
            measure(
                name, count * num_tests, functools.partial(judged, judge, TRIVIAL, count, num_tests)
            )
        measure("judge, heavy, 10 tests", count, lambda: judged(judge, HEAVY, count // 10, 10))
    measure(
        "interpreter per test, trivial, no sandbox",
        count * 10,
        lambda: interpreter_per_test(workers, TRIVIAL, count * 10),
    )
    measure(
        "interpreter per test, heavy, no sandbox",
        count,
        lambda: interpreter_per_test(workers, HEAVY, count),
    )


if __name__ == "__main__":
    main()
