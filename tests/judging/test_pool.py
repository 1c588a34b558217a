import concurrent.futures
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from spo_jax.errors import UserError
from spo_jax.judging import Judge, Limits, RewardMap, pool
from spo_jax.judging.interface import SandboxError

ECHO = "print(input())"


def test_results_keep_the_order_of_the_items(judge, make_problem):
    problems = [make_problem((str(n), str(n))) for n in range(12)]
    codes = [
        "import time\ntime.sleep(0.2)\nprint(input())" if n % 3 == 0 else f"print({n % 2 and n})"
        for n in range(12)
    ]
    seen = []
    judgements = judge.judge_many(zip(problems, codes, strict=True), progress=seen.append)
    wanted = ["AC" if n % 3 == 0 or n % 2 else "WA" for n in range(12)]
    assert [judgement.verdict for judgement in judgements] == wanted
    assert seen == list(range(1, 13))


def test_verdict_is_that_of_the_first_failing_test(judge, make_problem):
    problem = make_problem(("1", "1"), ("0", "0"), ("2", "3"), ("4", "4"))
    judgement = judge.judge(problem, "x = int(input())\nprint(x // x)\nprint(x)")
    assert [test.verdict for test in judgement.tests] == ["WA", "RE", "WA", "WA"]
    judgement = judge.judge(problem, "x = int(input())\nprint(x // x * x)")
    assert [test.verdict for test in judgement.tests] == ["AC", "RE", "WA", "AC"]
    assert (judgement.verdict, judgement.num_passed, judgement.num_tests) == ("RE", 2, 4)
    assert judgement.message == "ZeroDivisionError: integer division or modulo by zero"


def test_stops_at_the_first_failure_when_told_to(make_problem):
    problem = make_problem(("1", "1"), ("2", "3"), ("4", "4"))
    with Judge(num_workers=1) as judge:
        judgement = judge.judge(problem, ECHO)
    assert [test.verdict for test in judgement.tests] == ["AC", "WA"]
    assert (judgement.verdict, judgement.num_tests) == ("WA", 3)
    assert judgement.message == "token 1: expected '3', got '2'"


def test_results_name_backend_and_layers(run, judge):
    judgement = run("print(7)", "", "7")
    assert judgement.backend == judge.backend in ("zygote", "exec")
    assert {"no-network", "pid-namespace", "unprivileged-user", "rlimits"} <= set(judgement.layers)


def test_compile_error_has_no_tests(run):
    judgement = run("def f(:\n")
    assert (judgement.verdict, judgement.tests, judgement.num_tests) == ("CE", (), 1)
    assert judgement.message == "SyntaxError: invalid syntax (line 1)"


def test_messages_carry_no_terminal_codes(run):
    judgement = run("raise ValueError('\x1b[2J\x07red')")
    assert judgement.message == judgement.tests[0].message == "ValueError: ?[2J?red"


def test_no_program_is_a_compile_error(judge, make_problem):
    judgement = judge.judge(make_problem(("", "")), None)
    assert (judgement.verdict, judgement.message) == ("CE", "the answer holds no program")


def test_limits_of_the_problem_take_precedence(run):
    assert run("while True: pass", time_limit_secs=0.25).message.endswith("limit 0.25 s")
    hungry = "x = bytearray(100 << 20)\nx[::4096] = x[::4096]\nprint(7)"
    assert run(hungry, "", "7").verdict == "AC"
    judgement = run(hungry, "", "7", memory_limit_bytes=64 << 20)
    assert (judgement.verdict, judgement.message[-12:]) == ("MLE", "limit 64 MiB")


def test_time_is_cpu_time(run):
    judgement = run("import time\ntime.sleep(0.6)\nprint(7)", "", "7", time_limit_secs=0.3)
    assert judgement.verdict == "AC"
    assert judgement.tests[0].cpu_secs < 0.3 < 0.6 <= judgement.tests[0].wall_secs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"public_tests": ()}, "problem 'test/p' has no tests"),
        ({"fn_name": "f g"}, "fn_name 'f g' is not a name"),
        ({"fn_name": "f"}, "test 0: the input of a call-style problem must be JSON"),
    ],
)
def test_problems_that_cannot_be_judged_are_refused(judge, make_problem, changes, message):
    problem = dataclasses.replace(make_problem(("one", "1")), **changes)
    with pytest.raises(UserError, match=message):
        judge.submit(problem, "print(1)")


def test_arguments_must_be_a_list(judge, make_problem):
    with pytest.raises(UserError, match=r"must be a JSON list of arguments, got '7'"):
        judge.submit(make_problem(("7", "7"), fn_name="f"), "def f(x): return x")


def test_unknown_language_is_refused(judge, make_problem):
    with pytest.raises(UserError, match=r"'python' is not among.*did you mean 'python3'"):
        judge.submit(make_problem(("", "")), "", language="python")


def test_bad_settings_are_refused():
    with pytest.raises(UserError, match="num_workers=0 must be at least 1"):
        Judge(num_workers=0)
    with pytest.raises(UserError, match="judge limit cpu_secs=-1 must be positive"):
        Limits(cpu_secs=-1)


def test_many_threads_may_submit(judge, make_problem):
    problem = make_problem(("5", "5"))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        judgements = list(pool.map(lambda _: judge.judge(problem, ECHO), range(16)))
    assert {judgement.verdict for judgement in judgements} == {"AC"}


def test_no_descriptor_and_no_process_is_left(judge, make_problem, processes_left):
    problem = make_problem(("5", "5"), ("6", "6"))
    judge.judge_many([(problem, ECHO)] * 20)  # both workers have their sandbox now
    before = len(os.listdir("/proc/self/fd"))
    codes = [ECHO, "1 / 0", "(", "open('/tmp/x', 'w')", "import os; os.kill(os.getpid(), 9)"]
    judge.judge_many([(problem, code) for code in codes * 2])
    assert len(os.listdir("/proc/self/fd")) <= before
    assert processes_left() == {}


def test_sandbox_killed_from_outside_loses_nothing(judge, make_problem, processes_left):
    problem = make_problem(("5", "5"))
    future = judge.submit(problem, "import time\ntime.sleep(1)\nprint(input())")
    while len(processes_left()) < 2:  # the submission's process and the program
        time.sleep(0.01)
    os.kill(min(processes_left()), signal.SIGKILL)
    judgement = future.result()
    assert judgement.verdict == "AC", judgement.message
    assert judgement.tests[0].wall_secs >= 1  # it ran again from the beginning


class BrokenBackend:
    """Fails `num_failures` times, then hands over to a working backend."""

    name, layers = "broken", ()

    def __init__(self, working, num_failures):
        self.working, self.num_failures, self.num_calls = working, num_failures, 0

    def close(self):
        self.working.close()

    def compile(self, submission, slot):
        return submission

    def open(self, submission, slot):
        self.num_calls += 1
        if self.num_calls <= self.num_failures:
            raise SandboxError("out of luck")
        return self.working.open(submission, slot)


@pytest.fixture
def broken(monkeypatch):
    choose = pool.choose_backend

    def breaks(num_failures: int) -> BrokenBackend:
        backend = BrokenBackend(
            choose(python=None, allow_unsandboxed=False), num_failures=num_failures
        )
        monkeypatch.setattr(pool, "choose_backend", lambda **_: backend)
        return backend

    return breaks


def test_judge_failure_is_retried_once(broken, make_problem):
    backend = broken(1)
    with Judge(num_workers=1) as judge:
        assert judge.judge(make_problem(("5", "5")), ECHO).verdict == "AC"
    assert backend.num_calls == 2


def test_repeated_judge_failure_is_reported_and_not_rewarded(broken, make_problem):
    backend = broken(10)
    with Judge(num_workers=1) as judge:
        judgement = judge.judge(make_problem(("5", "5")), ECHO)
    assert (judgement.verdict, judgement.message) == ("IE", "the judge failed: out of luck")
    assert backend.num_calls == 2
    assert RewardMap().reward(judgement) is None


def test_leaving_on_an_error_ends_running_programs(make_problem, descendants):
    problem = make_problem(("", ""))
    before = descendants().keys()
    with pytest.raises(KeyError), Judge(num_workers=1, limits=Limits(wall_secs=500)) as judge:
        futures = [judge.submit(problem, "import time\ntime.sleep(400)") for _ in range(3)]
        while len(descendants().keys() - before) < 5:  # 3 of the sandbox, 2 of the program
            time.sleep(0.01)
        raise KeyError
    assert descendants().keys() <= before
    for future in futures:
        with pytest.raises(concurrent.futures.CancelledError):
            future.result()


def test_leaving_waits_for_what_was_submitted(make_problem):
    with Judge(num_workers=1) as judge:
        futures = [judge.submit(make_problem(("5", "5")), ECHO) for _ in range(3)]
    assert [future.result().verdict for future in futures] == ["AC"] * 3


def test_nothing_outlives_a_judge_that_is_killed(judge, descendants):
    """`judge` makes this process the one that inherits orphans."""
    script = (
        "from spo_jax.judging import Judge\nfrom spo_jax.types import Problem, TestCase\n"
        "problem = Problem(id='p', name='p', description='', public_tests=(TestCase('', ''),))\n"
        "with Judge(num_workers=1) as judge:\n"
        "    judge.judge(problem, 'import time; time.sleep(10**6)')\n"
    )
    before = descendants().keys()
    process = subprocess.Popen([sys.executable, "-c", script])
    while len(descendants().keys() - before) < 6:  # the judge, 3 of the sandbox, 2 of the program
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    for _ in range(1000):  # the kernel ends them, a little later
        if descendants().keys() <= before:
            break
        time.sleep(0.01)
    assert descendants().keys() <= before


def test_this_process_is_never_forked(judge, make_problem):
    """Forking a process that runs JAX can deadlock: sandboxes are started by exec."""
    forks = []
    os.register_at_fork(before=lambda: forks.append(threading.current_thread().name))
    judge.judge(make_problem(("5", "5")), ECHO)
    assert forks == []


def test_judging_does_not_import_jax_or_tensorflow():
    code = "import sys, spo_jax.judging; print({'jax', 'tensorflow', 'flax'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "set()", answer.stderr


def test_unknown_package_is_refused_by_name():
    with pytest.raises(UserError, match=r"package 'numpi' is not installed.*did you mean 'numpy'"):
        Judge(packages=("numpi",))
