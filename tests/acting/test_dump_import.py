"""Dumps of other trainers: read, counted, and the same the second time."""

import io
import json
import os
import pickle
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spo_jax.acting.dump_import import Rejudge, import_dump, import_tokenizer
from spo_jax.acting.prompt_matching import PromptMatcher
from spo_jax.acting.rollouts import Prompter
from spo_jax.errors import UserError
from spo_jax.judging import RewardMap
from spo_jax.models.testing import byte_tokenizer
from spo_jax.problems.prompts import PromptTemplate
from spo_jax.trajectories import ImportSettings, TrajectoryStore, dump_files
from spo_jax.types import Judgement, Problem, Verdict


@pytest.fixture
def store(tmp_path):
    return TrajectoryStore(tmp_path / "store", writer_id="import")


@pytest.fixture(scope="module")
def tokenizer():
    return byte_tokenizer()


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_torch(path, samples):
    """The container of torch.save: a zip with a pickle of the data."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/data.pkl", pickle.dumps({"rollout_id": 4, "samples": samples}))
    return path


def do_import(store, path, tokenizer=None, *, source="import:test", settings=None, **options):
    return import_dump(
        store,
        dump_files(str(path)),
        ImportSettings(source=source, **(settings or {})),
        tokenizer=import_tokenizer(tokenizer) if tokenizer else None,
        **options,
    )


VERL = {"input": "two?", "output": "2", "gts": "2", "score": 1.0, "step": 3}


def test_verl_rollouts_become_trajectories(store, tmp_path, tokenizer):
    write_lines(tmp_path / "dump/10.jsonl", [VERL | {"step": 10}])
    write_lines(tmp_path / "dump/3.jsonl", [VERL, VERL | {"output": "3", "score": 0.0}])
    report = do_import(store, tmp_path / "dump", tokenizer, settings={"reward_offset": -1.0})
    assert (report.num_rows, report.num_added, report.skipped) == (3, 3, {})
    items = list(store.read())
    assert [item.metadata["step"] for item in items] == ["3", "3", "10"]
    assert [item.reward for item in items] == [0.0, -1.0, 0.0]
    assert items[0].completion_tokens.tolist() == [*tokenizer.encode("2"), tokenizer.eos_ids[0]]
    assert items[0].prompt_tokens.tolist() == tokenizer.encode("two?")
    assert items[0].group_id == items[1].group_id != items[2].group_id
    assert len({item.problem_id for item in items}) == 1
    assert items[0].behavior_logprobs is None


def test_importing_twice_adds_nothing_wherever_the_file_lies(store, tmp_path, tokenizer):
    write_lines(tmp_path / "a/3.jsonl", [VERL, VERL])  # sampled twice: two rows
    assert do_import(store, tmp_path / "a", tokenizer).num_added == 2
    os.rename(tmp_path / "a", tmp_path / "b")
    again = do_import(store, tmp_path / "b", tokenizer)
    assert (again.num_added, again.num_known) == (0, 2)


def test_unusable_rows_are_counted_by_reason(store, tmp_path, tokenizer):
    file = tmp_path / "dump/1.jsonl"
    rows = [
        VERL,
        VERL | {"score": float("nan")},
        VERL | {"score": "good"},
        VERL | {"output": ""},
        {"input": "two?", "score": 0.0},
        VERL | {"score": None},
        VERL | {"input": None},
    ]
    write_lines(file, rows)
    with file.open("a") as out:
        out.write("[1]\n{broken}\n" + json.dumps(VERL)[:20])
    report = do_import(store, file, tokenizer)
    assert report.num_rows == 10
    assert report.num_added == 1
    assert report.skipped == {
        "bad_reward": 2,
        "empty_completion": 1,
        "no_completion": 1,
        "no_reward": 1,
        "no_prompt": 1,
        "bad_json": 2,
        "truncated_line": 1,
    }
    assert report.examples["truncated_line"][0].startswith(f"{file}:10")
    with pytest.raises(UserError, match=r"1\.jsonl:2: bad_reward: nan"):
        do_import(store, file, tokenizer, strict=True)


def test_open_instruct_keeps_tokens_and_logprobs(store, tmp_path, tokenizer):
    row = {
        "step": 1,
        "sample_idx": 0,
        "prompt_idx": 0,
        "prompt_tokens": tokenizer.encode("two?"),
        "response_tokens": tokenizer.encode("2"),
        "reward": 0.5,
        "advantage": 0.0,
        "finish_reason": "length",
        "dataset": "d",
        "request_info": {"num_calls": 0},
        "logprobs": [-0.25],
    }
    rows = [
        row,
        row | {"response_tokens": [10**6]},
        row | {"request_info": {"num_calls": 2}},
        row | {"response_tokens": []},
    ]
    write_lines(tmp_path / "dump/run_rollouts_000000.jsonl", rows)
    write_lines(tmp_path / "dump/run_metadata.jsonl", [{"run_name": "run"}])
    report = do_import(store, tmp_path / "dump", tokenizer)
    assert report.skipped == {"bad_tokens": 1, "tool_calls": 1, "empty_completion": 1}
    [item] = store.read()
    assert item.completion_tokens.tolist() == row["response_tokens"]  # cut off: no end token
    assert item.finish_reason == "length"
    np.testing.assert_array_equal(item.behavior_logprobs, np.float32([-0.25]))
    assert item.completion_text == "2"


def test_trl_asks_which_columns_are_the_reward(store, tmp_path, tokenizer):
    table = pa.table(
        {
            "step": ["7", "7"],
            "prompt": ["two?", "two?"],
            "completion": ["2", "3"],
            "correct": [1.0, 0.0],
            "format": [0.5, None],
            "advantage": [1.0, -1.0],
        }
    )
    file = tmp_path / "completions_00007.parquet"
    pq.write_table(table, file)
    with pytest.raises(UserError, match=r"2 columns may be rewards.*--reward_columns"):
        do_import(store, file, tokenizer)
    report = do_import(store, file, tokenizer, reward_columns=("correct", "format"))
    assert report.skipped == {"no_reward": 1}
    [item] = store.read()
    assert item.reward == 1.5
    file.write_bytes(file.read_bytes()[:-10])
    assert do_import(store, file, tokenizer).skipped == {"damaged_file": 1}


def test_slime_masks_the_environment_and_runs_nothing(store, tmp_path, tokenizer):
    tokens = tokenizer.encode("two?") + tokenizer.encode("2ok")
    sample = {
        "prompt": "two?",
        "tokens": tokens,
        "response": "2ok",
        "response_length": 3,
        "loss_mask": [1, 0, 1],
        "rollout_log_probs": [-1.0, 0.0, -2.0],
        "reward": 1,
        "status": "completed",
        "group_index": 0,
    }
    file = write_torch(tmp_path / "rollout_4.pt", [sample, sample | {"status": "aborted"}])
    assert do_import(store, file, tokenizer).skipped == {"unfinished": 1}
    [item] = store.read()
    assert item.completion_mask.tolist() == [True, False, True]
    assert [turn.role for turn in item.turns] == ["policy", "environment", "policy"]
    assert item.behavior_logprobs.tolist() == [-1.0, 0.0, -2.0]


def test_a_pickle_that_calls_something_is_refused(store, tmp_path, tokenizer):
    marker = tmp_path / "ran"

    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(marker),)

    file = write_torch(tmp_path / "rollout_4.pt", [Attack()])
    report = do_import(store, file, tokenizer)
    assert report.skipped == {"not_plain_data": 1}
    assert "mkdir" in report.examples["not_plain_data"][0]
    assert not marker.exists()
    buffer = io.BytesIO(b"no zip")
    (tmp_path / "other.pt").write_bytes(buffer.getvalue())
    assert do_import(store, tmp_path / "other.pt").skipped == {"not_plain_data": 1}


def problem(name, description):
    return Problem(id=f"set/{name}", name=name, description=description)


@pytest.fixture
def matcher(tokenizer):
    template = PromptTemplate(stdin_instruction="", opening="fence")
    return PromptMatcher.of(
        [problem("sum", "Print the sum of two numbers."), problem("leak", "Print a secret word.")],
        [problem("held", "Print the product of two numbers."), problem("leak", "")],
        Prompter(tokenizer, template),
    )


def test_prompts_are_matched_and_held_out_problems_left_out(store, tmp_path, tokenizer, matcher):
    fenced = "```python\nprint(1)\n```"
    rows = [
        {"prompt": "User: Print  the sum of\ntwo numbers. Go!", "completion": fenced, "reward": 0},
        {"prompt": "?", "problem_id": "set/sum", "completion": "print(1)", "reward": 0},
        {"prompt": "Print the product of two numbers.", "completion": fenced, "reward": 0},
        {"prompt": "?", "problem_id": "set/leak", "completion": fenced, "reward": 0},
        {"prompt": "What is this?", "completion": "print(1)", "reward": 0},
    ]
    report = do_import(
        store, write_lines(tmp_path / "rows.jsonl", rows), tokenizer, matcher=matcher
    )
    assert report.skipped == {"held_out": 2, "answer_prefix": 1}
    assert report.num_unmatched == 1
    known, unknown = store.read()
    assert known.problem_id == "set/sum"
    # The very prompt that a run asks: a group shares it with online samples.
    asked = matcher.prompter.prompt_tokens(matcher.problems["set/sum"])
    assert known.prompt_tokens.tolist() == asked
    assert known.completion_text == "print(1)\n```"
    assert unknown.problem_id.startswith("import/")
    assert unknown.prompt_tokens.tolist() == tokenizer.encode("What is this?")


def test_text_without_a_tokenizer_stays_text(store, tmp_path):
    rows = [{"prompt": "two?", "completion": "2", "reward": 0.0}]
    assert do_import(store, write_lines(tmp_path / "rows.jsonl", rows)).num_added == 1
    [item] = store.read()
    assert item.completion_tokens is None
    assert (item.prompt_text, item.completion_text) == ("two?", "2")


def test_a_text_at_the_samplers_limit_gets_no_end_token(store, tmp_path, tokenizer):
    file = write_lines(tmp_path / "1.jsonl", [VERL | {"output": "1234"}])
    do_import(store, file, tokenizer, settings={"max_completion_tokens": 4})
    [item] = store.read()
    assert item.finish_reason == "length"
    assert item.completion_tokens.tolist() == tokenizer.encode("1234")


def test_unknown_formats_are_named(store, tmp_path):
    file = write_lines(tmp_path / "rows.jsonl", [{"question": "two?"}])
    with pytest.raises(UserError, match=r"no known format has the fields \['question'\]"):
        do_import(store, file)
    with pytest.raises(UserError, match="unknown format 'verrl'; did you mean 'verl'"):
        do_import(store, file, dump_format="verrl")
    with pytest.raises(UserError, match="reward_scale=0"):
        ImportSettings(source="import:x", reward_scale=0)


class FixedJudge:
    """Accepts `print(1)`, and fails itself on `crash`."""

    def judge_many(self, submissions):
        verdicts = {"print(1)": Verdict.AC, "crash": Verdict.IE}
        return [
            Judgement(verdict=verdicts.get(code.strip(), Verdict.WA)) for _, code in submissions
        ]


def test_rejudging_believes_no_dumped_reward(store, tmp_path, tokenizer, matcher):
    def row(code, prompt="Print the sum of two numbers."):
        return {"prompt": prompt, "completion": f"```python\n{code}\n```", "reward": 7.0}

    rows = [row("print(1)"), row("print(2)"), row("crash"), row("print(1)", "What is this?")]
    rows.append(row("print(1)") | {"completion": "```python\n", "reward": None})
    report = do_import(
        store,
        write_lines(tmp_path / "rows.jsonl", rows),
        tokenizer,
        matcher=matcher,
        rejudge=Rejudge(FixedJudge(), matcher, RewardMap(accepted=0.0, rejected=-1.0)),
        settings={"needs_reward": False},
    )
    assert report.skipped == {"judge_failed": 1, "unknown_problem": 1}
    assert [(item.verdict, item.reward) for item in store.read()][:2] == [
        (Verdict.AC, 0.0),
        (Verdict.WA, -1.0),
    ]
