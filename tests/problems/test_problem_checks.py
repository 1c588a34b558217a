"""`spo problems check` and `decontaminate`, and the files of exclusions they write."""

import json
import shutil

import pytest

from spo_jax.errors import UserError
from spo_jax.main import run
from spo_jax.problems.contests.testing import (
    CPP,
    PYTHON2,
    PYTHON3,
    TRIPLE,
    cases,
    code_contests_row,
    programs,
    write_code_contests,
)
from spo_jax.problems.decontamination import TestIndex
from spo_jax.problems.exclusion import read_exclusions, write_exclusions
from spo_jax.problems.tasks import load_task_problems
from spo_jax.types import Problem, TestCase


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_unusable_problems_are_found_written_and_excluded(tmp_path, capsys):
    weak = {name: cases() for name in ("private_tests", "generated_tests")}
    rows = [
        code_contests_row("good"),
        code_contests_row("weak", public_tests=cases(("0\n", "0\n")), **weak),
        code_contests_row("broken", solutions=programs((PYTHON3, TRIPLE), (PYTHON3, "1 +"))),
        code_contests_row("files", input_file="in.txt"),
        code_contests_row(
            "old", solutions=programs((PYTHON2, "print 1")), incorrect_solutions=None
        ),
    ]
    directory = write_code_contests(tmp_path / "set", train=rows)
    path = tmp_path / "unusable.jsonl"
    arguments = ["--task", "code_contests", "--data_dir", directory]
    write = ["--write_exclusions", str(path)]
    assert run(["problems", "check", *arguments, *write, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    reasons = {
        "code_contests/broken": "no right solution is accepted",
        "code_contests/files": "reads or writes files",
        "code_contests/weak": "a wrong solution is accepted",
    }
    assert {row["id"]: row["reason"] for row in report["unusable"]} == reasons
    assert read_exclusions(path) == reasons
    counts = {name: report[name] for name in ("problems", "verified", "unverified", "programs")}
    assert counts == {"problems": 5, "verified": 1, "unverified": 1, "programs": 7}
    assert report["skipped"]["solutions in python2"] == 3

    kept = load_task_problems("code_contests", "train", data_dir=directory, exclude=str(path))
    assert [problem.name for problem in kept] == ["good", "old"]
    assert "2 problems excluded by" in capsys.readouterr().err
    assert run(["problems", "check", *arguments, "--exclude", str(path)]) == 1  # files stay files
    out = capsys.readouterr().out
    assert "1 problems verified, 1 without a right solution that could be judged, 1 unus" in out


def test_programs_can_be_capped(capsys):
    arguments = ["--task", "spo_starter", "--split", "test", "--limit", "2", "--max_solutions", "1"]
    assert run(["problems", "check", *arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["programs"], report["verified"], report["unusable"]) == (4, 2, [])
    assert report["skipped"]["beyond max_solutions"] >= 12


WORDS = " ".join(f"word{n}" for n in range(40))
LONG_TEST = TestCase("17 23 99 105 3000\n", "5 4 3 2 1\n")


def problem(name, description, *tests):
    return Problem(id=name, name=name, description=description, private_tests=tests)


def test_resemblance_of_statements_and_of_tests():
    index = TestIndex(
        [problem("long", WORDS, LONG_TEST), problem("short", "Print the sum of a and b.")]
    )
    half = " ".join(WORDS.split()[:26])
    train = [
        problem("copy", f"Story. {WORDS.upper()}!"),
        problem("half", half),
        problem("words", " ".join(reversed(WORDS.split()))),
        problem("tests", "Another statement.", TestCase("17 23 99 105  3000", "5 4 3 2 1")),
        problem("chance", "Another one.", TestCase("1", "1")),
        problem("inside", "Hello. Print the sum of A and B. Good luck."),
    ]
    found = {(p.train_id, p.test_id): (p.statement, p.tests) for p in index.resemblances(train)}
    assert found == {
        ("copy", "long"): (1.0, 0.0),
        ("half", "long"): (14 / 28, 0.0),
        ("tests", "long"): (0.0, 1.0),
        ("inside", "short"): (1.0, 0.0),
    }
    assert len(index.resemblances(train, min_statement=0.6)) == 3
    with pytest.raises(UserError, match=r"min_tests=0 must be above 0"):
        index.resemblances(train, min_tests=0)


def test_contamination_is_reported_and_excluded(tmp_path, capsys):
    long = code_contests_row("long", description=WORDS, public_tests=cases(("1", "1")))
    train = [long, code_contests_row("other", description="Nothing of the kind. " + "x y " * 20)]
    test = [code_contests_row("copy", description=f"{WORDS} again")]
    directory = write_code_contests(tmp_path / "set", train=train, test=test)
    path = tmp_path / "seen.jsonl"
    arguments = ["--train", "code_contests", "--test", "code_contests", "--data_dir", directory]
    assert run(["problems", "decontaminate", *arguments, "--write_exclusions", str(path)]) == 0
    out = capsys.readouterr().out
    assert "code_contests/long -> code_contests/copy" in out
    assert "1 of 2 training problems resemble a test problem" in out
    assert read_exclusions(path) == {"code_contests/long": "resembles code_contests/copy"}
    assert run(["problems", "decontaminate", *arguments, "--json"]) == 0
    (pair,) = json.loads(capsys.readouterr().out)["resembling"]
    assert pair["statement"] == pytest.approx(28 / 29)


def test_any_text_may_be_a_reason(tmp_path):
    reasons = {"set/a": 'a line separator \u2028 and a quote " in it', "set/b": ""}
    write_exclusions(tmp_path / "list.jsonl", reasons)
    assert read_exclusions(tmp_path / "list.jsonl") == reasons


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}\n", "list.jsonl:1: field 'id' is missing"),
        ("nonsense\n", "list.jsonl:1: not JSON"),
        ("[]\n", "list.jsonl:1: a row must be a JSON object"),
    ],
)
def test_bad_exclusions_are_refused(tmp_path, text, message):
    (tmp_path / "list.jsonl").write_text(text)
    with pytest.raises(UserError, match=message):
        load_task_problems("spo_starter", "test", exclude=str(tmp_path / "list.jsonl"))
    with pytest.raises(UserError, match=r"cannot read .*missing\.jsonl"):
        load_task_problems("spo_starter", "test", exclude=str(tmp_path / "missing.jsonl"))


def test_arguments_of_decontaminate():
    with pytest.raises(UserError, match="needs --train TASK"):
        run(["problems", "decontaminate", "--test", "spo_starter"])


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_solutions_in_cpp_are_checked_too(tmp_path, capsys):
    code = "#include <iostream>\nint main() { int n; std::cin >> n; std::cout << 2 * n; }\n"
    row = code_contests_row("cpp", solutions=programs((CPP, code)), incorrect_solutions=None)
    directory = write_code_contests(tmp_path / "set", train=[row])
    arguments = ["--task", "code_contests", "--data_dir", directory, "--languages", "python3,cpp"]
    assert run(["problems", "check", *arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["programs"], report["verified"], report["skipped"]) == (1, 1, {})
