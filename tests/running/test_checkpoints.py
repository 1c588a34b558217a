"""Runs that are cut off while a checkpoint is written, damaged, stopped, or out of disk space."""

import contextlib
import json
import os
import shutil
import signal
import types

import numpy as np
import pytest

from spo_jax import main
from spo_jax.acting import evaluator
from spo_jax.acting.actor import Actor
from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.acting.policies import Policies
from spo_jax.commands import train as train_command
from spo_jax.errors import FullDiskError, UserError
from spo_jax.learning import CheckpointSettings, checkpoint_files, checkpointing
from spo_jax.models import load_pretrained
from spo_jax.objectives import SoftPolicyOptimization
from spo_jax.reporting.metrics import read_metrics
from spo_jax.running.session import Session
from spo_jax.running.settings import BatchSettings
from spo_jax.trajectories import TrajectoryStore
from spo_jax.trajectories.objects import ObjectDirectory

LAST = 6


@pytest.fixture(scope="session")
def run_tiny(tiny_task, uniform_checkpoint):
    """Six small updates with a checkpoint after every second one."""

    def run(run_dir, **changes):
        settings = {
            "objective": SoftPolicyOptimization(beta=0.2, link="squared", baseline="running"),
            "batch": BatchSettings(
                problems_per_update=4,
                completions_per_problem=4,
                row_lengths=(48,),
                tokens_per_micro_batch=192,
            ),
            "evaluation": EvaluationSettings(
                num_problems=4, num_samples=4, ks=(1,), max_completion_tokens=6
            ),
            "num_updates": LAST,
            "evaluate_every": 2,
            "checkpoint_every": 2,
            "policy_sync_every": 1,
            "reference_update_every": 3,
        }
        return tiny_task(run_dir, uniform_checkpoint, **(settings | changes))

    return run


def steps_in(run_dir):
    return sorted(path.name for path in (run_dir / "checkpoints").iterdir() if path.is_dir())


def digest(run_dir):
    """What a finished run has in common with every other of its kind."""
    store = TrajectoryStore(str(run_dir))
    policy = run_dir / "policies" / str(LAST) / "model.safetensors"
    host = run_dir / "checkpoints" / f"{LAST:08d}" / "host.json"
    return {
        "policy": policy.read_bytes(),
        "host": json.loads(host.read_text()),
        "trajectories": sorted(repr(item) for item in store.read()),
        "metrics": [
            {name: value for name, value in record.items() if not name.startswith("time")}
            for record in read_metrics(run_dir)
        ],
    }


def assert_same_end(run_dir, whole):
    left, right = digest(run_dir), digest(whole)
    for name, value in right.items():
        assert left[name] == value, name


@pytest.fixture(scope="module")
def whole(tmp_path_factory, run_tiny):
    """The directory of a run that nothing happened to."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    run_tiny(run_dir)
    return run_dir


# What a process killed at these moments of a save leaves on the disk: the state of the directory
# just before the named function does its work. The training waits meanwhile.
MOMENTS = {
    "arrays_written": (checkpoint_files, "file_sizes"),
    "before_manifest": (checkpoint_files, "write_manifest"),
    "before_deletion": (checkpointing.Checkpointer, "_delete_old"),
    "within_deletion": (checkpoint_files, "remove_tree"),
}


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory, run_tiny):
    """Copies of a run's directory at moments of its last save, by the moment's name."""
    run_dir = tmp_path_factory.mktemp("saving") / "run"
    copies = {}

    def copied_before(name, original):
        def copying(*args, **kwargs):
            if (run_dir / "checkpoints" / f"{LAST:08d}").exists() and name not in copies:
                copies[name] = tmp_path_factory.mktemp(name) / "run"
                shutil.copytree(run_dir, copies[name])
            return original(*args, **kwargs)

        return copying

    with pytest.MonkeyPatch.context() as patch:
        for name, (place, function) in MOMENTS.items():
            patch.setattr(place, function, copied_before(name, getattr(place, function)))
        run_tiny(run_dir, checkpoints=CheckpointSettings(asynchronous=False))
    # Within the writing of the arrays: some of their bytes are there, under Orbax's own name.
    torn = copies["arrays"] = tmp_path_factory.mktemp("arrays") / "run"
    shutil.copytree(copies["arrays_written"], torn)
    state = torn / "checkpoints" / f"{LAST:08d}" / "state"
    state = state.rename(state.with_name("state.orbax-checkpoint-tmp"))
    largest = max((f for f in state.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)
    return copies


@pytest.mark.parametrize("moment", ["arrays", *MOMENTS])
def test_run_killed_within_a_save_ends_in_the_same_bits(left_behind, run_tiny, whole, moment):
    run_dir = left_behind[moment]
    unfinished = moment in ("arrays", "arrays_written", "before_manifest")
    manifest = run_dir / "checkpoints" / f"{LAST:08d}" / "manifest.json"
    assert manifest.exists() == (not unfinished)
    run_tiny(run_dir, checkpoints=CheckpointSettings(asynchronous=False))
    assert_same_end(run_dir, whole)
    assert steps_in(run_dir) == ["00000004", "00000006"]


def test_damaged_latest_checkpoint_is_named_and_the_one_before_is_used(
    run_tiny, whole, tmp_path, capsys
):
    run_dir = tmp_path / "run"
    run_tiny(run_dir, num_updates=4)
    assert steps_in(run_dir) == ["00000002", "00000004"]
    state = run_dir / "checkpoints" / "00000004" / "state"
    largest = max((f for f in state.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    run_tiny(run_dir)
    said = capsys.readouterr()
    said = said.out + said.err
    assert f"checkpoint {state.parent} is passed over: the bytes of its file state/" in said
    assert "resumed after update 2" in said
    assert_same_end(run_dir, whole)


def test_policies_that_kept_checkpoints_name_stay(run_tiny, tmp_path):
    """Published after every update, three are kept: those of checkpoints are older."""
    run_dir = tmp_path / "run"
    run_tiny(run_dir, checkpoints=CheckpointSettings(keep=1, keep_every=2), checkpoint_every=1)
    assert steps_in(run_dir) == ["00000002", "00000004", "00000006"]
    policies = {path.name for path in (run_dir / "policies").iterdir()}
    assert policies - {"LATEST"} == {"2", "4", "5", "6"}


def test_best_checkpoint_is_kept_and_exported(run_tiny, tmp_path):
    run_dir = tmp_path / "run"
    best = CheckpointSettings(keep=1, keep_best=1, metric="eval/completion_tokens")
    run_tiny(run_dir, checkpoints=best, checkpoint_every=LAST)
    values = {r["step"]: r["eval/completion_tokens"] for r in read_metrics(run_dir, "eval")}
    step = max(values, key=lambda step: (values[step], -step))
    recorded = json.loads((run_dir / "checkpoints" / "best.json").read_text())["best"]
    assert recorded == [{"step": step, "value": values[step]}]
    assert set(steps_in(run_dir)) == {f"{step:08d}", f"{LAST:08d}"}
    for which, version in (("best", step), ("latest", LAST)):
        target = tmp_path / which
        assert main.run(["export", str(run_dir), str(target), "--checkpoint", which]) == 0
        exported = load_pretrained(target).params["embedding"]
        if version:
            published = load_pretrained(run_dir / "policies" / str(LAST)).params["embedding"]
            same = np.array_equal(np.asarray(exported), np.asarray(published))
            assert same == (version == LAST)
    with pytest.raises(UserError, match=r"no checkpoint '5'; there are"):
        main.run(["export", str(run_dir), str(tmp_path / "no"), "--checkpoint", "5"])


@pytest.fixture
def filled_within(monkeypatch):
    """Fills a disk before the n-th call of a function, once."""

    def fill(disk, place, function, number):
        original, calls = getattr(place, function), []

        def filling(*args, **kwargs):
            calls.append(1)
            if len(calls) == number:
                with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as f:
                    while f.write(b"0" * 4096):
                        pass
            return original(*args, **kwargs)

        monkeypatch.setattr(place, function, filling)

    return fill


WRITERS = {
    "store": (ObjectDirectory, "create", 4, ".parquet'"),
    "save": (Session, "save", 2, "/checkpoints/00000004'"),
    "publish": (Policies, "publish", 3, "/policies/3'"),
    "part": (evaluator, "write_samples", 3, "/evaluations/.step_00000002.jsonl.parts/0.jsonl'"),
    "evaluation": (evaluator, "write_samples", 4, "/evaluations/step_00000002.jsonl'"),
}


@pytest.mark.parametrize(
    "writer",
    [
        pytest.param(name, marks=[] if name in ("store", "save") else pytest.mark.slow)
        for name in WRITERS
    ],
)
def test_full_disk_stops_the_run_and_the_last_good_state_stands(
    run_tiny, whole, small_disk, filled_within, writer
):
    """The message names the file; with space again, the run ends as if nothing had happened."""
    place, function, number, name = WRITERS[writer]
    filled_within(small_disk, place, function, number)
    run_dir = small_disk / "run"
    alone = CheckpointSettings(asynchronous=False)  # beside a save, others may find it full first
    with pytest.raises(FullDiskError, match=r"No space left on device \(.*are free there\)") as e:
        run_tiny(run_dir, checkpoints=alone)
    assert f"cannot write '{run_dir}" in str(e.value)
    assert name in str(e.value)
    (small_disk / "filler").unlink()
    run_tiny(run_dir, checkpoints=alone)
    assert_same_end(run_dir, whole)


def test_sigterm_within_a_collect_saves_and_the_command_says_so(
    run_tiny, whole, tmp_path, monkeypatch, capfd
):
    """`spo train` answers a preemption notice with status 130, in the middle of sampling."""
    original = Actor.collect

    def preempted(self, *args, **kwargs):
        if kwargs["round_id"] == "00000003":
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *args, **kwargs)

    run_dir = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Actor, "collect", preempted)
        assert train_with(run_tiny, run_dir, patch) == 130
    assert steps_in(run_dir)[-1] == "00000003"
    said = capfd.readouterr().err
    assert "SIGTERM: saving and stopping" in said
    assert "the same command goes on with" in said
    run_tiny(run_dir)
    assert_same_end(run_dir, whole)


def test_second_signal_stops_at_once(run_tiny, tmp_path, monkeypatch):
    def twice(self, *args, **kwargs):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)

    def leave(status):
        raise SystemExit(status)

    monkeypatch.setattr(Actor, "collect", twice)
    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(SystemExit) as stopped:
        train_with(run_tiny, tmp_path / "run", monkeypatch)
    assert stopped.value.code == 131
    assert not (tmp_path / "run" / "checkpoints").exists()


def train_with(run_tiny, run_dir, patch):
    """The status of `spo train`, with the tiny run in place of what a gin file describes."""
    patch.setattr("spo_jax.train.train", lambda path, hosts, **_: run_tiny(path))
    stand_in = types.SimpleNamespace(**vars(train_command.gin_config))
    stand_in.configured_arguments = lambda *_: {}
    patch.setattr(train_command, "gin_config", stand_in)
    return main.run(["train", "--run_dir", str(run_dir)])
