"""CodeContests and TACO from small files in exactly the published schemas."""

import json

import pytest
import seqio

from spo_jax.errors import UserError
from spo_jax.problems import PROMPT_TEMPLATES
from spo_jax.problems.contests.files import files_by_split
from spo_jax.problems.contests.rules import ContestRules, Tally
from spo_jax.problems.contests.testing import (
    CODE_CONTESTS_SCHEMA,
    CPP,
    DOUBLE,
    PYTHON3,
    TACO_COLUMNS,
    cases,
    code_contests_row,
    programs,
    taco_row,
    write_code_contests,
    write_taco_arrow,
)
from spo_jax.problems.tasks import load_task_problems
from spo_jax.problems.tasks_builders import CodeContests, Taco, examples, prepared
from spo_jax.types import Solution, TestCase


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def code_contests(tmp_path):
    """code_contests(rows, rules...) loads them as the training split: problems and the tally."""

    def load(*rows, **rules):
        directory = write_code_contests(tmp_path / "set", train=rows)
        tally = Tally()
        problems = load_task_problems(
            "code_contests", "train", data_dir=directory, rules=ContestRules(**rules), tally=tally
        )
        return problems, tally

    return load


@pytest.fixture
def taco(tmp_path):
    def load(*rows, split="train", special=(), **rules):
        directory = write_taco_arrow(tmp_path / "set", **{split: rows})
        if special:
            lines = [{"idx": i, "special_judge": i in special, "case": 1} for i in range(len(rows))]
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (tmp_path / "set" / "output_spj.jsonl").write_text(text)
        tally = Tally()
        problems = load_task_problems(
            "taco", split, data_dir=directory, rules=ContestRules(**rules), tally=tally
        )
        return problems, tally

    return load


def test_every_column_of_code_contests_is_kept(tmp_path):
    row = code_contests_row("a", cf_tags=["dp"], untranslated_description="привет")
    directory = write_code_contests(tmp_path / "set", train=[row], valid=[row, row])
    builder = prepared(CodeContests(source_dir=directory))
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        "train": 1,
        "validation": 2,
    }
    (example,) = examples(builder, "train")
    assert set(example) == set(CODE_CONTESTS_SCHEMA.names)
    assert example["private_tests"]["output"].tolist() == [b"10\n"]
    assert example["solutions"]["language"].tolist() == [3, 1, 2]
    assert example["untranslated_description"].decode() == "привет"
    assert (example["cf_points"], example["cf_rating"]) == (500.0, 1100)
    names = builder.info.features["source"].names
    assert names[example["source"]] == "codeforces"
    assert builder.info.features["difficulty"].int2str(18) == "L"
    languages = builder.info.features["solutions"]["language"].feature
    assert [languages.int2str(n) for n in (1, 2, 3, 4)] == ["python2", "cpp", "python3", "java"]


def test_a_row_becomes_a_problem(code_contests):
    ((problem,), tally) = code_contests(code_contests_row("1575_A. Double"))
    assert problem.id == "code_contests/1575_A. Double"
    assert [test.input for test in problem.tests] == ["3\n", "5\n", "7\n"]
    assert problem.solutions == (Solution("python3", DOUBLE),)
    assert (problem.source, problem.difficulty, problem.tags) == ("codeforces", 7, ("math",))
    assert problem.time_limit_secs == 3.0  # 1.5 s, doubled
    assert problem.memory_limit_bytes == 256 << 20
    assert tally.dropped == {"solutions in python2": 1, "solutions in cpp": 1}


def test_rows_without_limits_or_lists(code_contests):
    row = code_contests_row(
        "bare", time_limit=None, memory_limit_bytes=0, cf_tags=None, private_tests=cases(),
        solutions=None, incorrect_solutions=None, generated_tests=None, cf_index=None,
    )  # fmt: skip
    ((problem,), _) = code_contests(row)
    assert (problem.time_limit_secs, problem.memory_limit_bytes) == (None, None)
    assert len(problem.tests) == 1 and problem.solutions == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({name: cases() for name in ("public_tests", "private_tests", "generated_tests")}, "no"),
        ({"input_file": "in.txt"}, "reads or writes files"),
        ({"output_file": "out.txt"}, "reads or writes files"),
        ({"private_tests": {"input": ["1"], "output": []}}, "lists of 'input' and 'output' of dif"),
    ],
)
def test_unusable_rows_are_counted(code_contests, changes, reason):
    problems, tally = code_contests(code_contests_row("a", **changes), code_contests_row("b"))
    assert [problem.id for problem in problems] == ["code_contests/b"]
    ((problem_id, why),) = tally.unusable
    assert problem_id == "code_contests/a" and why.startswith(reason)


def test_bytes_that_are_not_utf8(code_contests):
    row = code_contests_row(
        "latin", description=b"caf\xe9", public_tests=cases(("3\n", b"\xff\n")),
        solutions=programs((PYTHON3, b"# \xe9\n"), (PYTHON3, DOUBLE)),
    )  # fmt: skip
    ((problem,), tally) = code_contests(row)
    assert problem.description == "caf\ufffd"
    assert problem.public_tests == () and problem.solutions == (Solution("python3", DOUBLE),)
    assert tally.dropped["tests that are not UTF-8"] == 1
    assert tally.dropped["solutions that are not UTF-8"] == 1


def test_tests_of_megabytes_are_kept_whole_or_not_at_all(code_contests):
    big = "1 " * (2 << 20)
    row = code_contests_row("big", private_tests=cases((big, "2\n"), ("8\n", "16\n")))
    ((problem,), tally) = code_contests(row)
    assert [test.input for test in problem.tests] == ["3\n", "8\n", "7\n"]
    assert tally.dropped["tests beyond max_tests or max_test_bytes"] == 1


def test_a_larger_budget_keeps_them(code_contests):
    big = "1 " * (2 << 20)
    row = code_contests_row("big", private_tests=cases((big, "2\n")))
    ((problem,), _) = code_contests(row, max_test_bytes=8 << 20)
    assert problem.private_tests == (TestCase(big, "2\n"),)


def test_rules_choose_languages_and_numbers(code_contests):
    many = programs(*((PYTHON3, f"print({n})") for n in range(5)), (CPP, "int main() {}"))
    row = code_contests_row("a", solutions=many)
    ((problem,), _) = code_contests(row, max_solutions=2, languages=("python3", "cpp"), max_tests=2)
    assert [solution.code for solution in problem.solutions] == ["print(0)", "print(1)"]
    assert len(problem.tests) == 2


def test_names_that_come_twice_get_ids_of_their_own(code_contests):
    problems, _ = code_contests(code_contests_row("a"), code_contests_row("a"))
    assert [problem.id for problem in problems] == ["code_contests/a", "code_contests/a #2"]


def test_limits_are_scaled_within_bounds():
    rules = ContestRules()
    assert [rules.time_limit(secs) for secs in (None, 0.5, 3.0, 60.0)] == [None, 2.0, 6.0, 20.0]
    assert rules.memory_limit(64 << 20) == 256 << 20
    assert rules.memory_limit(8 << 30) == 1 << 30
    with pytest.raises(UserError, match=r"min_time_secs=30\.0 exceeds max_time_secs=20\.0"):
        ContestRules(min_time_secs=30.0)
    with pytest.raises(UserError, match="time_factor=0 must be positive"):
        ContestRules(time_factor=0)
    with pytest.raises(UserError, match="unknown checker 'tokens_any_order'; did you mean"):
        ContestRules(checkers={"taco/test-00000": "tokens_any_order"})


def test_prepared_records_are_read_again_until_a_file_changes(tmp_path):
    directory = write_code_contests(tmp_path / "set", train=[code_contests_row("a")])
    first = prepared(CodeContests(source_dir=directory))
    assert prepared(CodeContests(source_dir=directory)).data_dir == first.data_dir
    (path,) = (tmp_path / "set" / "data").iterdir()
    path.unlink()
    (tmp_path / "set" / "data").rmdir()
    write_code_contests(tmp_path / "set", train=[code_contests_row("a"), code_contests_row("b")])
    assert len(load_task_problems("code_contests", "train", data_dir=directory)) == 2


def test_every_column_of_taco_is_kept(tmp_path):
    directory = write_taco_arrow(tmp_path / "set", test=[taco_row(url="https://a.b/c")])
    (example,) = examples(prepared(Taco(source_dir=directory)), "test")
    assert set(example) == {name.lower().replace(" ", "_") for name in TACO_COLUMNS}
    assert (example["url"], example["expected_auxiliary_space"]) == (b"https://a.b/c", b"")


def test_taco_tests_are_texts_or_lines(taco):
    tests = {"inputs": ["3\n", ["3", "4 5"], [[1, 2], [3]]], "outputs": ["6\n", ["6"], [7]]}
    ((problem,), _) = taco(taco_row(tests=tests))
    assert [(test.input, test.output) for test in problem.tests] == [
        ("3\n", "6\n"), ("3\n4 5", "6"), ("1 2\n3", "7"),
    ]  # fmt: skip
    assert (problem.id, problem.difficulty) == ("taco/train-00000", 3)
    assert problem.tags == ("Dynamic programming",)
    assert (problem.time_limit_secs, problem.memory_limit_bytes) == (5.0, 256 << 20)


def test_taco_calls_of_functions(taco):
    wrapped = {"fn_name": "f", "inputs": [[1, "a"], [10**30, "b"]], "outputs": [[2], [10**30 + 1]]}
    plain = {"fn_name": "f", "inputs": [[1]], "outputs": [[1, 2]]}
    starter = "class Solution:\n    def f(self, n):\n        "
    problems, _ = taco(taco_row(tests=wrapped, starter_code=starter), taco_row(tests=plain))
    assert [problem.fn_name for problem in problems] == ["f", "f"]
    assert [problem.checker for problem in problems] == ["value_or_wrapped", None]
    assert problems[0].tests[1].output == f"[{10**30 + 1}]"
    assert problems[0].description.endswith("class Solution:\n    def f(self, n):\n")
    for template in PROMPT_TEMPLATES.values():
        assert "Solution" in template.messages(problems[0])[-1]["content"]


def test_awkward_taco_rows(taco):
    digits = "9" * 5000
    rows = [
        taco_row(input_output=f'{{"inputs": [{digits}], "outputs": [1]}}'),
        taco_row(input_output=None),
        taco_row(tests={"inputs": [], "outputs": []}),
        taco_row(tests={"inputs": ["1"], "outputs": []}),
        taco_row(tests={"fn_name": "f", "inputs": ["1"], "outputs": [1]}),
        taco_row(input_output='{"fn_name": "f", "inputs": [[1]], "outputs": [1e999]}'),
        taco_row(solutions=["print 3", "x = raw_input()", DOUBLE], time_limit="soon",
                 memory_limit=None, difficulty=None, tags="[broken", raw_tags="['math']"),
    ]  # fmt: skip
    (problem,), tally = taco(*rows)
    assert [reason for _, reason in tally.unusable] == [
        "input_output is not usable JSON",
        "no tests",
        "no tests",
        "inputs and outputs of different lengths",
        "arguments of a call are no list",
        "a test is not JSON",
    ]
    assert problem.id == "taco/train-00006"
    assert problem.solutions == (Solution("python3", DOUBLE),)
    assert (problem.time_limit_secs, problem.memory_limit_bytes) == (None, None)
    assert (problem.difficulty, problem.tags) == (0, ("math",))
    assert tally.dropped == {"solutions in python2": 2, "limits that were not understood": 1}


def test_special_judges_need_a_checker(taco, tmp_path):
    rows = [taco_row(), taco_row(), taco_row()]
    checkers = {"taco/test-00002": "tokens_in_any_order"}
    problems, tally = taco(*rows, split="test", special={1, 2}, checkers=checkers)
    assert [(each.id, each.checker) for each in problems] == [
        ("taco/test-00000", None),
        ("taco/test-00002", "tokens_in_any_order"),
    ]
    assert tally.unusable == [("taco/test-00001", "needs a special judge, and no checker is known")]


def test_json_lines_do_as_well(tmp_path, code_contests):
    rows = [code_contests_row("a"), code_contests_row("b", time_limit=None)]
    (tmp_path / "lines").mkdir()
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "lines" / "train.jsonl").write_bytes(text.encode().replace(b"Read n", b"Read\xe9n"))
    problems = load_task_problems("code_contests", "train", data_dir=str(tmp_path / "lines"))
    assert problems[0].description.startswith("Read\ufffdn")
    expected, _ = code_contests(*rows)
    assert [problem.tests for problem in problems] == [problem.tests for problem in expected]


def test_files_belong_to_the_split_they_name():
    names = [
        "data/train-00000-of-00039-e9.parquet", "data/valid-00000-of-00001.parquet",
        "test/data-00000-of-00001.arrow", "train/old.jsonl", "README.md", "latest/x.parquet",
        "training.parquet", "validation_x.json",
    ]  # fmt: skip
    assert files_by_split(names) == {
        "train": ["data/train-00000-of-00039-e9.parquet"],
        "validation": ["data/valid-00000-of-00001.parquet"],
        "test": ["test/data-00000-of-00001.arrow"],
    }


def test_what_is_wrong_with_a_directory_is_said(tmp_path):
    with pytest.raises(UserError, match="data_dir '/nowhere' is not a directory"):
        load_task_problems("code_contests", "train", data_dir="/nowhere")
    with pytest.raises(UserError, match="holds no file of a split"):
        load_task_problems("code_contests", "train", data_dir=str(tmp_path))
    with pytest.raises(UserError, match="'spo_starter' does not"):
        load_task_problems("spo_starter", "train", data_dir=str(tmp_path))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "train.parquet").write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r"train\.parquet is not a valid \.parquet file"):
        load_task_problems("code_contests", "train", data_dir=str(tmp_path / "bad"))
    directory = write_taco_arrow(tmp_path / "taco", train=[taco_row()])
    with pytest.raises(UserError, match=r"row 0: not in the schema of deepmind/code_contests"):
        load_task_problems("code_contests", "train", data_dir=directory)
    with pytest.raises(UserError, match=r"'taco' has no files of split 'test' here \(it has: trai"):
        load_task_problems("taco", "test", data_dir=directory)


def test_both_are_seqio_tasks():
    assert {"code_contests", "taco"} <= set(seqio.TaskRegistry.names())
