"""`spo trajectories`."""

import argparse
import json

import pyarrow.parquet as pq
import pytest

from spo_jax.commands import trajectories as command
from spo_jax.errors import UserError
from spo_jax.models.testing import save_uniform_model
from spo_jax.trajectories import TrajectoryStore
from spo_jax.types import Verdict


@pytest.fixture
def run_folder(tmp_path, trajectory, logprobs):
    store = TrajectoryStore(tmp_path / "run/trajectories", writer_id="host0")
    store.append([trajectory(f"online-{n}") for n in range(3)])
    right = {"source": "written", "policy_version": None, "reward": 0.5, "verdict": Verdict.AC}
    store.append([trajectory("written", problem_id="set/b", **right)])
    store.annotate([logprobs("written", "ref", -1.0)])
    return tmp_path / "run"


def spo(capsys, *words) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    status = command.run(parser.parse_args([str(word) for word in words]))
    return status, capsys.readouterr().out


def test_stats_count_by_source(run_folder, capsys):
    status, output = spo(capsys, "stats", run_folder, "--json")
    report = json.loads(output)
    assert status == 0
    assert report["num_trajectories"] == 4
    assert report["sources"]["written"]["num_accepted"] == 1
    assert report["sources"]["written"]["reward_mean"] == 0.5
    assert report["sources"]["online"]["verdicts"] == {"WA": 3}
    assert report["references"] == {"ref": 1}
    assert "4 trajectories in 3 objects" in spo(capsys, "stats", run_folder / "trajectories")[1]


def test_show_lists_and_filters(run_folder, capsys):
    _, output = spo(capsys, "show", run_folder, "--problem", "set/b", "--json")
    [row] = map(json.loads, output.splitlines())
    assert row["trajectory_id"] == "written"
    _, output = spo(capsys, "show", run_folder, "--source", "online", "--limit", "2")
    assert [line.split()[0] for line in output.splitlines()] == ["online-0", "online-1"]
    _, output = spo(capsys, "show", run_folder, "--id", "written", "--json")
    assert json.loads(output)["completion_tokens"] == [1, 2, 3]


def test_export_writes_whole_rows(run_folder, capsys, tmp_path):
    target = tmp_path / "rows.jsonl"
    status, _ = spo(capsys, "export-jsonl", run_folder, "--output", target, "--reference", "ref")
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert status == 0
    assert [row["trajectory_id"] for row in rows] == [
        "online-0",
        "online-1",
        "online-2",
        "written",
    ]
    assert [row["ref_logprobs"] for row in rows] == [None, None, None, [-1.0, -1.0, -1.0]]
    assert rows[0]["sampler"]["top_p"] == 0.95


def test_verify_fails_on_damage_and_names_it(run_folder, capsys):
    assert spo(capsys, "verify", run_folder)[0] == 0
    path = run_folder / "trajectories/trajectories/host0/00000000.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    status, output = spo(capsys, "verify", run_folder, "--json")
    assert status == 1
    assert list(json.loads(output)["damaged"]) == ["trajectories/host0/00000000.parquet"]
    assert json.loads(output)["num_trajectories"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stat", "{run}"], "unknown action 'stat'; did you mean 'stats'"),
        (["show", "{run}/nowhere"], "there are no trajectories in"),
        (["show", "{run}", "--source", "writen"], "no trajectory has source 'writen'; did you"),
        (["show", "{run}", "--id", "x"], "no trajectory 'x'"),
        (["export-jsonl", "{run}", "--reference", "rf"], "reference 'rf'; did you mean 'ref'"),
        (["show", "{run}", "--limit", "0"], "--limit=0 must be at least 1"),
    ],
)
def test_mistakes_are_named(run_folder, capsys, words, message):
    with pytest.raises(UserError, match=message):
        spo(capsys, *[word.format(run=run_folder) for word in words])


def test_verify_names_foreign_versions_and_other_tokenizers(run_folder, capsys, tmp_path):
    save_uniform_model(tmp_path / "model", "ab")
    status, output = spo(capsys, "verify", run_folder, "--tokenizer", tmp_path / "model", "--json")
    assert status == 1
    assert json.loads(output)["other_tokenizers"] == {"tokenizer": 4}
    objects = run_folder / "trajectories/trajectories/host0"
    foreign = pq.read_table(objects / "00000000.parquet")
    metadata = foreign.schema.metadata | {b"spo_jax.schema_version": b"9"}
    pq.write_table(foreign.replace_schema_metadata(metadata), objects / "00000002.parquet")
    status, output = spo(capsys, "verify", run_folder)
    assert status == 1
    assert "host0/00000002.parquet: schema version 9, but this release reads version 1" in output


def test_merge_dedup_and_import_of_a_run(run_folder, capsys, tmp_path):
    status, output = spo(
        capsys, "import", run_folder, "--format", "run", "--output", tmp_path / "old", "--json"
    )
    assert (status, json.loads(output)["num_added"]) == (0, 4)
    sources = {item.source for item in TrajectoryStore(tmp_path / "old").read()}
    assert sources == {"run:run", "written"}
    stores = (run_folder, tmp_path / "old")
    _, output = spo(capsys, "merge", *stores, "--output", tmp_path / "all", "--json")
    assert json.loads(output) == {
        "num_added": 4,
        "num_known": 4,
        "num_annotations": 1,
        "num_damaged": 0,
    }
    _, output = spo(capsys, "dedup", tmp_path / "all", "--output", tmp_path / "few")
    assert "4 trajectories, 2 distinct; of 2 repeats 0 have another reward" in output
    assert len(TrajectoryStore(tmp_path / "few").index()) == 2
    with pytest.raises(UserError, match="holds trajectories already; name a new store"):
        spo(capsys, "dedup", tmp_path / "all", "--output", tmp_path / "few")
    with pytest.raises(UserError, match="trajectories stats takes one store, got 2"):
        spo(capsys, "stats", *stores)
    with pytest.raises(UserError, match="needs --output, the store to write to"):
        spo(capsys, "merge", *stores)
