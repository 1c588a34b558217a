"""What a submitter may count on: cancelling, deadlines, second chances, losses, fairness."""

import concurrent.futures
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from spo_jax.errors import UserError
from spo_jax.judging import Judge, Limits, RewardMap, session
from spo_jax.judging.interface import Outcome
from spo_jax.judging.trial import is_near_limit
from spo_jax.judging.turns import Turns

ECHO = "print(input())"
SLEEP = "import time\ntime.sleep(400)"


def wait_until(is_so) -> None:
    while not is_so():
        time.sleep(0.01)


def test_cancelling_ends_a_running_program(judge, make_problem, processes_left):
    future = judge.submit(make_problem(("", "")), SLEEP)
    wait_until(lambda: len(processes_left()) == 2)
    assert future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    assert concurrent.futures.wait([future], timeout=60).done == {future}
    wait_until(lambda: processes_left() == {})
    assert judge.judge(make_problem(("5", "5")), ECHO).verdict == "AC"


def test_cancelling_what_waits_for_a_worker(make_problem):
    problem = make_problem(("", ""))
    with Judge(num_workers=1) as judge:
        running, waiting = judge.submit(problem, SLEEP), judge.submit(problem, SLEEP)
        assert waiting.cancel() and running.cancel()
        assert judge.judge(make_problem(("5", "5")), ECHO).verdict == "AC"
    assert not running.cancel() or running.cancelled()


def test_what_is_judged_cannot_be_cancelled(judge, make_problem):
    future = judge.submit(make_problem(("5", "5")), ECHO)
    assert future.result().verdict == "AC"
    assert not future.cancel()


def test_deadline_ends_a_submission_and_is_not_rewarded(judge, make_problem, processes_left):
    future = judge.submit(make_problem(("", "")), SLEEP, deadline_secs=0.5)
    judgement = future.result()
    assert (judgement.verdict, RewardMap().reward(judgement)) == ("IE", None)
    assert judgement.message == "not judged within the deadline of 0.5 s"
    wait_until(lambda: processes_left() == {})
    kept = judge.submit(make_problem(("5", "5")), ECHO, deadline_secs=500).result()
    assert kept.verdict == "AC"


def test_bad_deadline_is_refused(judge, make_problem):
    with pytest.raises(UserError, match="deadline_secs=0 must be above 0"):
        judge.submit(make_problem(("", "")), ECHO, deadline_secs=0)


def outcome(cpu_secs: float, stopped_by: str) -> Outcome:
    return Outcome(
        status=0, cpu_secs=cpu_secs, wall_secs=1, peak_bytes=1, stdout=b"", stderr=b"",
        result=b"", stopped_by=stopped_by, is_spent=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cpu_secs", "stopped_by", "is_near"),
    [(1.1, "", True), (1.25, "cpu", False), (0.6, "wall", True), (0.1, "wall", False)],
)
def test_what_is_near_the_limit(cpu_secs, stopped_by, is_near):
    assert is_near_limit(outcome(cpu_secs, stopped_by), Limits(cpu_secs=1.0)) == is_near


def test_near_limit_is_run_again_alone_and_the_second_run_counts(make_problem, monkeypatch):
    """The first outcome is moved above the limit; a program that is really slower stays TLE."""
    cpu_limits, run = [], session.RunnerSession.run

    def slow_at_first(self, test_input, cpu_secs):
        cpu_limits.append(cpu_secs)
        result = run(self, test_input, cpu_secs)
        if len(cpu_limits) == 1:
            return outcome(1.1, "")
        return result

    monkeypatch.setattr(session.RunnerSession, "run", slow_at_first)
    with Judge(num_workers=1, limits=Limits(cpu_secs=1.0)) as judge:
        cpu_limits.clear()  # of the probe
        judgement = judge.judge(make_problem(("5", "5")), ECHO)
    assert (judgement.verdict, cpu_limits) == ("AC", [1.25, 1.0])


def test_who_is_alone_has_no_company():
    turns, inside, seen = Turns(), [], []

    def share() -> None:
        for _ in range(50):
            with turns.shared():
                inside.append(1)
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=share) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        with turns.alone():
            seen.append(len(inside))
    for thread in threads:
        thread.join()
    assert seen == [0] * 10


def kill_at_random(get_processes, num_judged, is_over: threading.Event, seed: int) -> int:
    """SIGKILLs one process after another until told to stop; returns how many.

    Between two of them some submissions are judged, on a slow machine too: whoever kills the same
    test again and again is taken for the program itself.
    """
    generator, num_killed, next_at = random.Random(seed), 0, 0
    while not is_over.wait(generator.uniform(0.1, 0.5)):
        processes = sorted(get_processes())
        if processes and num_judged() >= next_at:
            next_at = num_judged() + 2
            with contextlib.suppress(ProcessLookupError):
                os.kill(generator.choice(processes), signal.SIGKILL)
                num_killed += 1
    return num_killed


def is_supervisor(pid: int) -> bool:
    """Whether it is not a program, which has a system call filter more."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["Seccomp_filters"]) < 2


def test_kills_at_random_moments_lose_no_submission(judge, make_problem, descendants):
    problem = make_problem(*[(str(n), str(n)) for n in range(8)])
    is_over, num_judged = threading.Event(), [0]

    def supervisors() -> list[int]:
        return [pid for pid in descendants() if is_supervisor(pid)]

    def count(number: int) -> None:
        num_judged[0] = number

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill_at_random, supervisors, lambda: num_judged[0], is_over, 1)
        try:
            judgements = judge.judge_many([(problem, ECHO)] * 100, progress=count)
        finally:
            is_over.set()
        assert killing.result() > 0
    assert [(j.verdict, j.message) for j in judgements] == [("AC", "")] * 100


BURN = "import time\nwhile time.process_time() < {}: pass\nprint(input())"
LIMIT_SECS = 0.4
FAIR = {  # program: verdict, the same on an idle machine and on a busy one
    BURN.format(0.7 * LIMIT_SECS): "AC",
    ECHO: "AC",
    BURN.format(2 * LIMIT_SECS): "TLE",
    "import time\ntime.sleep(1.5 * 0.4)\nprint(input())": "AC",
}


@contextlib.contextmanager
def busy_processors():
    cores = os.sched_getaffinity(0)
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in cores]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


@pytest.mark.parametrize("num_runs", [2, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("load", [contextlib.nullcontext, busy_processors])
def test_verdicts_do_not_depend_on_the_load(judge, make_problem, num_runs, load):
    problem = make_problem(("5", "5"), time_limit_secs=LIMIT_SECS)
    programs = list(FAIR) * num_runs
    with load():
        judgements = judge.judge_many([(problem, program) for program in programs])
    assert [j.verdict for j in judgements] == [FAIR[program] for program in programs]
