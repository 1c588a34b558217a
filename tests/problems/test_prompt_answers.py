import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spo_jax.errors import UserError
from spo_jax.judging import ExactMatch
from spo_jax.problems.prompt_answers import PromptColumns
from spo_jax.problems.tasks import load_task_problems

ROWS = [{"prompt": f"{n} + {n}?", "answer": 2 * n} for n in range(20)]


def load(path, split="train", **columns):
    rules = PromptColumns(**columns) if columns else None
    return load_task_problems("prompt_answer", split, data_dir=str(path), rules=rules)


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_one_file_holds_out_every_tenth_row(tmp_path):
    path = write_lines(tmp_path / "sums.jsonl", ROWS)
    train, test = load(path), load(path, "test")
    assert [problem.description for problem in test] == ["9 + 9?", "19 + 19?"]
    assert len(train) == 18
    assert train[3].id == "prompt_answer/sums-4"
    assert ExactMatch().verify(train[3], " 6 ").verdict == "AC"
    assert ExactMatch().verify(train[3], "7").verdict == "WA"


def test_files_of_a_directory_are_splits(tmp_path):
    write_lines(tmp_path / "train.jsonl", ROWS[:3])
    pq.write_table(pa.Table.from_pylist(ROWS[3:5]), tmp_path / "test-00000.parquet")
    assert len(load(tmp_path)) == 3
    assert [problem.tests[0].output for problem in load(tmp_path, "test")] == ["6", "8"]
    with pytest.raises(UserError, match=r"no file of split 'validation' \(it has: "):
        load(tmp_path, "validation")


def test_columns_have_other_names(tmp_path):
    row = {"question": "How many?", "solution": "It is 7.\n#### 72", "key": "a"}
    path = write_lines(tmp_path / "gsm.jsonl", [row])
    (problem,) = load(path, prompt="question", answer="solution", id="key", answer_marker="####")
    assert (problem.id, problem.tests[0].output) == ("prompt_answer/a", "72")


@pytest.mark.parametrize(
    ("text", "columns", "complaint"),
    [
        ('{"prompt": "a", "answer": "b"}\n{', {}, "sums.jsonl:2: not JSON"),
        ('{"prompt": "a"}', {}, "sums.jsonl:1: there is no column 'answer' .there are: prompt"),
        (
            '{"prompt": "a", "answer": []}',
            {},
            "sums.jsonl:1: column 'answer' must be a text or a number",
        ),
        ('{"prompt": "a", "answer": " "}', {}, "sums.jsonl:1: column 'answer' is empty"),
        ('{"prompt": "a", "answer": "1"}', {"answer_marker": "#"}, "holds no answer_marker '#'"),
        (
            '{"prompt": "a", "answer": "1"}\n' * 2,
            {"id": "prompt"},
            "sums.jsonl:2: id .* is that of",
        ),
        ("", {}, "holds no row of split 'train'"),
    ],
)
def test_complaints_name_the_line(tmp_path, text, columns, complaint):
    (tmp_path / "sums.jsonl").write_text(text)
    with pytest.raises(UserError, match=complaint):
        load(tmp_path / "sums.jsonl", **columns)


def test_a_path_must_be_given(tmp_path):
    with pytest.raises(UserError, match="needs data_dir"):
        load("")
    (tmp_path / "sums.csv").write_text("prompt,answer\n")
    with pytest.raises(UserError, match=r"must end with \.jsonl"):
        load(tmp_path / "sums.csv")
