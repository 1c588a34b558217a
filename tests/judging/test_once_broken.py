"""Programs that once got something past the judge, or were wrongly refused, found by review."""

import os
import resource
import shutil
import threading

import pytest

from spo_jax.judging import extract_program
from spo_jax.judging.comparison import OutputComparison
from spo_jax.judging.turns import Turns
from spo_jax.types import TestCase

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


def test_signal_without_a_name_is_a_runtime_error(run):
    judgement = run("import os\nos.kill(os.getpid(), 40)")
    assert (judgement.verdict, judgement.message) == ("RE", "killed by signal 40")


LONG = {
    "digits and a letter": b"1" * 10**6 + b"x",
    "digits, a point and a letter": b"1" * 10**6 + b".5x",
    "digits": b"1" * 10**6,
    "fraction": b"0." + b"1" * 10**6,
    "almost an exponent": b"1" * 10**6 + b"e1234567",
}


@pytest.mark.parametrize("mode", ["strict", "code_contests", "taco"])
@pytest.mark.parametrize("name", LONG)
def test_long_numbers_take_no_quadratic_time(mode, name):
    """They took hours, during which no other thread of the process ran."""
    comparison = OutputComparison(mode=mode)
    assert comparison.explain_stdout(TestCase("", "7"), LONG[name])
    assert comparison.explain_stdout(TestCase("", "7.5"), LONG[name])


def test_long_runs_of_backticks_take_no_quadratic_time():
    assert extract_program("`" * 10**6 + "x`") is not None
    assert extract_program("````python\nprint('```')\n````") == "print('```')\n"


@pytest.mark.parametrize("call", ["os.utime('/dev/null')", "os.utime('/dev/urandom')"])
def test_device_files_of_the_host_take_no_marks(run, call):
    before = os.stat("/dev/null").st_mtime_ns
    code = f"import os\ntry: {call}\nexcept OSError: print('contained')"
    assert run(code, "", "contained").verdict == "AC"
    assert os.stat("/dev/null").st_mtime_ns == before


def test_source_slow_to_compile_is_not_taken_for_an_attack(run):
    code = "print(7)\nx = " + "9" * 300_000  # a fresh interpreter compiles it for each test
    judgement = run(code, "", "7", time_limit_secs=0.05)
    assert judgement.verdict in ("AC", "TLE"), judgement.message


STACK = {
    "unlimited": "(resource.RLIM_INFINITY, resource.RLIM_INFINITY)",
    "soft limit only": "(1 << 28, resource.getrlimit(resource.RLIMIT_STACK)[1])",
}


@pytest.mark.parametrize("limit", STACK)
def test_programs_may_ask_for_the_stack_they_are_used_to(run, limit):
    own_limit = resource.getrlimit(resource.RLIMIT_STACK)[1]
    if limit == "unlimited" and own_limit != resource.RLIM_INFINITY:
        pytest.skip(f"our own stack is limited to {own_limit} bytes")
    code = f"import resource\nresource.setrlimit(resource.RLIMIT_STACK, {STACK[limit]})\nprint(7)"
    judgement = run(code, "", "7")
    assert judgement.verdict == "AC", judgement.message


CPP = {
    # name: (program, verdict)
    "an interpreter no kernel accepts": (
        'extern "C" const char a[1] __attribute__((section(".interp"))) = {120};\nint main() {}',
        "RE",
    ),
    "an interpreter with a long name": (
        'extern "C" const char a[5000] __attribute__((section(".interp"))) = {120};\nint main() {}',
        "RE",
    ),
    "complaints in the sandbox's name": ('#line 1 "bwrap: no"\n#error no\n', "CE"),
    "includes a device without end": ('#include "/dev/zero"\nint main() {}', "CE"),
    "assembles a device without end": (
        'asm(".incbin \\"/dev/zero\\"");\nint main() {}',
        "CE",
    ),
    "includes a file of the host": ('#include "/etc/passwd"\nint main() {}', "CE"),
    "signal without a name": ("#include <signal.h>\nint main() { raise(50); }", "RE"),
    "more static memory than there is": (
        "int a[1500000000];\nint main() { return a[5]; }",
        "RE",
    ),
    "GNU's typeof, as on Codeforces": (
        '#include <cstdio>\nint main() { typeof(7) x = 7; printf("%d", x); }',
        "AC",
    ),
    "files read elsewhere than at an online judge": (
        "#include <cstdio>\nint main() {\n#ifndef ONLINE_JUDGE\n"
        'freopen("input.txt", "r", stdin);\n#endif\nint x; scanf("%d", &x); printf("%d", x); }',
        "AC",
    ),
}


@needs_compiler
@pytest.mark.parametrize("name", CPP)
def test_cpp(judge, make_problem, name):
    code, verdict = CPP[name]
    judgement = judge.judge(make_problem(("7", "7")), code, "cpp")
    assert judgement.verdict == verdict, judgement.message


def test_loners_get_a_tenth_of_the_time():
    """Else programs near their time limit would stop all workers but one."""
    now = [0.0]
    turns = Turns(clock=lambda: now[0])

    def share() -> None:
        with turns.shared():
            pass

    def is_granted(secs: float) -> bool:
        with turns.alone():
            sharer = threading.Thread(target=share, daemon=True)
            sharer.start()
            sharer.join(0.05)
            was_alone = sharer.is_alive()
            now[0] += secs
        sharer.join()
        return was_alone

    assert is_granted(50) and is_granted(50)  # the second one overdraws by 40 s
    assert not is_granted(1)
    now[0] += 500
    assert is_granted(1)


def test_who_must_be_alone_waits_for_nobody_when_the_time_is_used_up():
    now = [0.0]
    turns = Turns(clock=lambda: now[0])
    with turns.alone():
        now[0] += 100
    with turns.shared(), turns.alone():
        pass
