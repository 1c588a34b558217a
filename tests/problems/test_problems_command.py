import json
from pathlib import Path

import pytest

from spo_jax.errors import UserError
from spo_jax.main import run
from spo_jax.problems import find_problem, load_problems, record_from_problem

MBPP = Path(__file__).parent / "data" / "mbpp_excerpt.jsonl"
ID = "starter/number-step-double"


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_list_names_every_problem(capsys):
    assert run(["problems", "list", "--split", "test", "--json"]) == 0
    rows = [json.loads(line) for line in lines(capsys)]
    assert [row["id"] for row in rows] == [p.id for p in load_problems("starter", "test")]
    assert run(["problems", "list", "--limit", "2"]) == 0
    assert len(lines(capsys)) == 4  # two of each split


def test_show_prints_the_problem_and_its_record(capsys, tmp_path):
    assert run(["problems", "show", ID]) == 0
    text = capsys.readouterr().out
    for part in (ID, find_problem(ID).description, "9 hidden tests", "# wrong solution 1"):
        assert part in text
    assert run(["problems", "show", ID, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record == record_from_problem(find_problem(ID))
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(record | {"id": "own/double"}))
    assert run(["problems", "show", str(path)]) == 0
    assert capsys.readouterr().out.startswith("own/double")


def test_show_prints_a_prompt(capsys):
    assert run(["problems", "show", ID, "--prompt", "one_example_header", "--json"]) == 0
    prompt = json.loads(capsys.readouterr().out)
    assert [message["role"] for message in prompt["messages"]] == ["user", "assistant", "user"]
    assert prompt["answer_prefix"] == "```python\ndef double(n):"


def test_stats_count(capsys):
    assert run(["problems", "stats", "--json"]) == 0
    train, test = json.loads(capsys.readouterr().out)
    assert (train["split"], test["split"]) == ("train", "test")
    assert train["problems"] == len(load_problems("starter", "train"))
    assert test["problems"] == sum(test["by_difficulty"].values()) == test["call"] + test["stdin"]
    assert run(["problems", "stats", "--split", "test"]) == 0
    assert lines(capsys)[0].startswith(f"starter/test: {test['problems']} problems")


def test_check_judges_written_solutions(capsys):
    assert run(["problems", "check", "--split", "train", "--limit", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    problem = load_problems("starter", "train")[0]
    total = len(problem.solutions) + len(problem.incorrect_solutions)
    assert (result["programs"], result["mislabelled"], result["unusable"]) == (total, [], [])
    assert (result["problems"], result["verified"]) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shwo"], "unknown action 'shwo'; did you mean 'show'"),
        (["show"], "problems show needs a problem"),
        (["show", "starter/number-step-duble"], "did you mean 'starter/number-step-double'"),
        (["show", ID, "--prompt", "two_example"], "did you mean 'two_examples'"),
        (["list", ID], f"problems list takes no problem; got '{ID}'"),
        (["stats", "--set", "startr"], "unknown problem set 'startr'; did you mean 'starter'"),
        (["list", "--limit", "0"], "--limit=0 must be at least 1"),
        (["check", "--set", "letters"], "'letters' has no written programs that could be judged"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        run(["problems", *arguments])


def test_sets_in_files_are_listed_and_shown(capsys):
    place = ["--task", "mbpp", "--data_dir", str(MBPP)]
    assert run(["problems", "list", *place, "--json"]) == 0
    row = json.loads(lines(capsys)[0])
    assert run(["problems", "show", row["id"], *place]) == 0
    assert row["description"] in capsys.readouterr().out
    with pytest.raises(UserError, match="unknown problem 'mbpp/1' of task 'mbpp'"):
        run(["problems", "show", "mbpp/1", *place])
