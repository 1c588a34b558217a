import tempfile
from pathlib import Path

import pytest

from spo_jax.errors import UserError
from spo_jax.judging import Judge, bubblewrap, probe_sandbox
from spo_jax.judging.interpreters import find_interpreters
from spo_jax.judging.probe import run_probe
from spo_jax.judging.unsandboxed import Unsandboxed


def test_report_of_a_working_sandbox():
    report = probe_sandbox()
    assert report.is_working, report.problem
    assert report.backend == "zygote"
    assert "no-network" in report.layers
    assert report.python_version.startswith("3.")


@pytest.fixture
def without_bubblewrap(monkeypatch):
    which = bubblewrap.shutil.which
    monkeypatch.setattr(
        bubblewrap.shutil,
        "which",
        lambda name, **kw: None if name == "bwrap" else which(name, **kw),
    )


def test_without_bubblewrap_the_refusal_says_what_to_install(without_bubblewrap):
    with pytest.raises(UserError, match=r"no working sandbox.*apt-get install bubblewrap"):
        Judge()
    report = probe_sandbox()
    assert not report.is_working
    assert report.problem == "'bwrap' is not installed (apt-get install bubblewrap)"
    assert report.advice == "Install it: apt-get install bubblewrap."


def test_broken_bubblewrap_is_refused_with_its_message(monkeypatch, tmp_path):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    temporary = Path(tempfile.gettempdir())
    for path in (fake, *(path for path in fake.parents if temporary in path.parents)):
        path.chmod(0o755)  # as root, the sandbox's command runs as another user
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(UserError, match=r"no working sandbox: bwrap: setting up uid map.*user nam"):
        Judge()


def test_running_unsandboxed_must_be_asked_for(without_bubblewrap, make_problem):
    with Judge(num_workers=1, allow_unsandboxed=True) as judge:
        problem = make_problem(("5", "5"), ("6", "6"), time_limit_secs=0.3)
        judgement = judge.judge(problem, "print(input())")
        assert (judgement.verdict, judgement.backend) == ("AC", "none")
        assert "pid-namespace" not in judgement.layers
        assert judge.judge(problem, "1 / 0").verdict == "RE"
        assert judge.judge(problem, "while True: pass").verdict == "TLE"


def test_working_sandbox_is_used_even_when_running_without_is_allowed(make_problem):
    with Judge(num_workers=1, allow_unsandboxed=True) as judge:
        assert judge.backend == "zygote"


def test_probe_program_finds_out_that_nothing_contains_it():
    answer = run_probe(Unsandboxed(find_interpreters()[0]))
    assert "read /etc/passwd" in answer
    assert "contained" not in answer


def test_unknown_interpreter_is_refused():
    with pytest.raises(UserError, match="no usable Python interpreter: /no/such/python"):
        Judge(python="/no/such/python")
