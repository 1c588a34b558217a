import argparse
import io
import json
import shutil
import sys

import pytest

from spo_jax.commands import judge
from spo_jax.errors import UserError

RECORD = {
    "name": "double",
    "description": "Print twice the number.",
    "public_tests": {"input": ["1\n", "2\n"], "output": ["2\n", "4\n"]},
    "private_tests": {"input": ["10\n"], "output": ["20\n"]},
}


@pytest.fixture
def spo_judge(tmp_path, capsys):
    """spo_judge(code, *flags) returns (exit status, standard output)."""
    problem = tmp_path / "problem.json"
    problem.write_text(json.dumps(RECORD))

    def run(code: str | bytes, *flags: str, problem_name: str = str(problem), suffix: str = ".py"):
        program = tmp_path / f"program{suffix}"
        program.write_bytes(code if isinstance(code, bytes) else code.encode())
        parser = argparse.ArgumentParser()
        judge.add_arguments(parser)
        args = parser.parse_args([str(program), "--problem", problem_name, *flags])
        return judge.run(args), capsys.readouterr().out

    return run


def test_accepted_program_as_json(spo_judge):
    status, output = spo_judge("print(int(input()) * 2)", "--json")
    record = json.loads(output)
    assert status == 0
    assert record["verdict"] == "AC"
    assert [test["verdict"] for test in record["tests"]] == ["AC", "AC", "AC"]
    assert [test["kind"] for test in record["tests"]] == ["public", "public", "private"]
    assert record["backend"] == "zygote"
    assert record["timings"]["wall_secs"] > 0


def test_backend_of_choice(spo_judge):
    status, output = spo_judge("print(int(input()) * 2)", "--json", "--backend", "exec")
    record = json.loads(output)
    assert (status, record["backend"]) == (0, "exec")
    assert all(test["peak_bytes"] > 1 << 20 for test in record["tests"])
    with pytest.raises(UserError, match=r"judge backend 'zygot' is not among.*mean 'zygote'"):
        spo_judge("print(1)", "--backend", "zygot")


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_language_by_suffix_or_by_name(spo_judge):
    code = "#include <iostream>\nint main() { int n; std::cin >> n; std::cout << 2 * n; }"
    assert spo_judge(code, suffix=".cpp")[0] == 0
    assert spo_judge(code, "--language", "cpp")[0] == 0
    assert spo_judge(code)[0] == 1


def test_all_tests_run_unless_told_otherwise(spo_judge):
    code = "x = int(input())\nprint(x * 2 if x != 2 else 5)"
    status, output = spo_judge(code, "--json")
    assert status == 1
    assert [test["verdict"] for test in json.loads(output)["tests"]] == ["AC", "WA", "AC"]
    _, output = spo_judge(code, "--json", "--stop_at_first_failure")
    assert [test["verdict"] for test in json.loads(output)["tests"]] == ["AC", "WA"]


def test_table_for_a_person(spo_judge):
    status, output = spo_judge("print(2)")
    assert status == 1
    lines = output.splitlines()
    assert lines[0].split() == ["test", "kind", "verdict", "cpu", "s", "message"]
    assert "token 1: expected '4', got '2'" in lines[2]
    assert lines[-1].startswith("WA (token 1: expected '4', got '2'): ")
    assert "1 of 3 tests passed" in lines[-1]


def test_program_that_does_not_compile(spo_judge):
    status, output = spo_judge("print(", "--json")
    assert status == 1
    assert (json.loads(output)["verdict"], json.loads(output)["tests"]) == ("CE", [])
    assert json.loads(spo_judge(b"print('\xff')", "--json")[1])["verdict"] == "CE"


def test_program_from_standard_input(tmp_path, capsys, monkeypatch):
    problem = tmp_path / "problem.json"
    problem.write_text(json.dumps(RECORD))
    source = io.TextIOWrapper(io.BytesIO(b"print(int(input()) * 2)"))
    monkeypatch.setattr(sys, "stdin", source)
    parser = argparse.ArgumentParser()
    judge.add_arguments(parser)
    assert judge.run(parser.parse_args(["-", "--problem", str(problem)])) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("AC: ")


def test_time_limit_can_be_changed(spo_judge):
    _, output = spo_judge(
        "while True: pass", "--json", "--time_limit_secs=0.2", "--stop_at_first_failure"
    )
    assert json.loads(output)["message"].endswith("limit 0.2 s")


def test_bad_arguments_are_user_errors(spo_judge, tmp_path):
    with pytest.raises(UserError, match="cpu_secs=0"):
        spo_judge("pass", "--time_limit_secs=0")
    with pytest.raises(UserError, match="nosuch"):
        spo_judge("pass", problem_name=str(tmp_path / "nosuch.json"))
    with pytest.raises(UserError, match="no/such-problem"):
        spo_judge("pass", problem_name="no/such-problem")
    parser = argparse.ArgumentParser()
    judge.add_arguments(parser)
    missing = str(tmp_path / "missing.py")
    with pytest.raises(UserError, match=r"missing\.py' cannot be read: No such file"):
        judge.run(parser.parse_args([missing, "--problem", str(tmp_path / "problem.json")]))
