"""`spo trajectories`."""

import argparse
import json

import pytest

from spo_jax.commands import trajectories as command
from spo_jax.errors import UserError
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
