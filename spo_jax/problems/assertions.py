"""Tests that are code: a harness after the program runs them in the program's own process.

Each test is one call of the harness, in a process of its own: its source is executed among the
program's names, and the harness returns the token that the test gave. A failed assertion returns
something else, which is a wrong answer; any other exception is a runtime error.

Such tests cannot be made sound. Test, token and harness lie in the memory of the program, which
can redefine what the harness uses, or read the token and return it.
"""

import json

from spo_jax.types import Problem, TestCase

HARNESS = "_run_assertions"
_TOKEN = "end reached"

EPILOGUE = f"""
def {HARNESS}(source, token):
    try:
        exec(compile(source, "test.py", "exec"), globals())
    except AssertionError:
        return "an assertion failed"
    return token
"""


def assertion_test(source: str) -> TestCase:
    """A test of problems whose `epilogue` is `EPILOGUE` and whose `fn_name` is `HARNESS`."""
    return TestCase(input=json.dumps([source, _TOKEN]), output=json.dumps(_TOKEN))


def source_of_test(problem: Problem, test: TestCase) -> str | None:
    """The code of a test made by `assertion_test`; None where the problem's tests are data."""
    if not problem.epilogue or problem.fn_name != HARNESS:
        return None
    return str(json.loads(test.input)[0])
