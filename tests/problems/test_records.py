import json

import pytest

from spo_jax.errors import UserError
from spo_jax.problems.records import (
    line_from_problem,
    problem_from_line,
    problem_from_record,
    read_problem_file,
    record_from_problem,
)
from spo_jax.types import Problem, Solution, TestCase

CODE_CONTESTS = {
    "name": "1575_A. Another Sorting Problem",
    "description": "Sort the titles.",
    "public_tests": {"input": ["1 2\nAA\n"], "output": ["1\n"]},
    "private_tests": {"input": [], "output": []},
    "generated_tests": {"input": ["2 1\nA\nB\n"], "output": ["1 2\n"]},
    "source": 2,
    "difficulty": 7,
    "solutions": {"language": [2, 3], "solution": ["int main() {}", "print(1)"]},
    "incorrect_solutions": {"language": [1], "solution": ["print 1"]},
    "cf_contest_id": 1575,
    "cf_index": "A",
    "cf_points": 0.0,
    "cf_rating": 1100,
    "cf_tags": ["data structures", "sortings"],
    "is_description_translated": False,
    "untranslated_description": "",
    "time_limit": {"seconds": 1, "nanos": 500_000_000},
    "memory_limit_bytes": 512_000_000,
    "input_file": "",
    "output_file": "",
}


@pytest.fixture
def call_problem():
    return Problem(
        id="starter/add",
        name="add",
        description="Write `add(a, b)`.\u2028It adds.",
        public_tests=(TestCase("[1, 2]", "3"),),
        private_tests=(TestCase("[0, 0]", "0"),),
        solutions=(Solution("python3", "def add(a, b):\n    return a + b\n"),),
        incorrect_solutions=(Solution("pascal", "begin end."),),
        time_limit_secs=0.25,
        memory_limit_bytes=2**28,
        fn_name="add",
        source="starter",
        difficulty=1,
        tags=("add", "call"),
    )


def test_a_published_record_is_read():
    problem = problem_from_record(CODE_CONTESTS, where="row 0")
    assert problem.name == "1575_A. Another Sorting Problem"
    assert problem.public_tests == (TestCase("1 2\nAA\n", "1\n"),)
    assert problem.generated_tests == (TestCase("2 1\nA\nB\n", "1 2\n"),)
    assert [s.language for s in problem.solutions] == ["cpp", "python3"]
    assert problem.incorrect_solutions == (Solution("python2", "print 1"),)
    assert (problem.source, problem.difficulty, problem.fn_name) == ("codeforces", 7, None)
    assert (problem.time_limit_secs, problem.memory_limit_bytes) == (1.5, 512_000_000)
    assert problem.tags == ("data structures", "sortings")


def test_every_field_survives_a_round_trip(call_problem):
    line = line_from_problem(call_problem)
    assert "\n" not in line
    assert problem_from_line(line, where="line 1") == call_problem


def test_a_written_record_has_every_column_of_the_schema(call_problem):
    record = record_from_problem(call_problem)
    assert set(record) == set(CODE_CONTESTS) | {"id", "fn_name"}
    assert record["solutions"]["language"] == [3]
    assert record["incorrect_solutions"]["language"] == ["pascal"]
    assert record["time_limit"] == {"seconds": 0, "nanos": 250_000_000}


def test_absent_limits_stay_absent():
    record = CODE_CONTESTS | {"time_limit": None, "memory_limit_bytes": 0}
    problem = problem_from_record(record, where="row 0")
    assert (problem.time_limit_secs, problem.memory_limit_bytes) == (None, None)
    assert record_from_problem(problem)["time_limit"] is None


def test_a_file_is_read_and_gets_an_id(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(CODE_CONTESTS))
    assert read_problem_file(path).id == "file/1575_A. Another Sorting Problem"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "field 'name' must be a string, not 3"),
        ({"name": None}, "field 'name' is missing"),
        ({"difficulty": True}, "field 'difficulty' must be an integer, not true"),
        ({"source": 9}, "field 'source' must be 0 to 6 or a word, not 9"),
        ({"public_tests": []}, r"field 'public_tests' must be an object, not \[\]"),
        (
            {"public_tests": {"input": ["1"], "output": []}},
            "field 'public_tests' needs as many 'input' as 'output': 1 and 0",
        ),
        (
            {"public_tests": {"input": ["1", 2], "output": ["1", "2"]}},
            r"public_tests: field 'input\[1\]' has a wrong type: 2",
        ),
        (
            {"solutions": {"language": [7], "solution": [""]}},
            r"field 'solutions.language\[0\]' must be 0 to 4, not 7",
        ),
        ({"time_limit": {"seconds": 0}}, "field 'time_limit' must be positive, not 0.0 seconds"),
        ({"time_limit": {"seconds": "x"}}, "field 'time_limit' must hold the numbers 'seconds'"),
        ({"input_file": "in.txt"}, "field 'input_file' must be empty: programs use standard"),
        ({"public_tests": {}, "generated_tests": None}, "a problem needs a test in one of"),
        ({"fn_name": "f"}, "the input of test 0 must be JSON because field 'fn_name' is set"),
        (
            {
                "fn_name": "f",
                "public_tests": {"input": ["3"], "output": ["3"]},
                "generated_tests": {},
            },
            "the input of test 0 must be a JSON list of arguments",
        ),
    ],
)
def test_errors_name_the_file_and_the_field(tmp_path, change, message):
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(CODE_CONTESTS | change))
    with pytest.raises(UserError, match=rf"broken\.json: .*{message}"):
        read_problem_file(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": ', r"broken\.json is not JSON: Expecting value at line 1, column 10"),
        ("[]", r"broken\.json: a problem must be a JSON object, not \[\]"),
    ],
)
def test_a_file_that_is_no_json_object_is_refused(tmp_path, text, message):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_problem_file(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"cannot read the problem .*no\.json: No such file"):
        read_problem_file(tmp_path / "no.json")
