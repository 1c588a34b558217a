"""Learner and actors side by side: threads and processes, back-pressure, staleness, failures."""


import pytest

from spo_jax.acting.shared_files import SharedFiles
from spo_jax.acting.signals import read_actor, read_learner
from spo_jax.reporting.metrics import read_metrics
from spo_jax.running.actor_settings import ActorSettings
from spo_jax.trajectories import TrajectoryStore

QUICK = {"heartbeat_secs": 0.2, "dead_after_secs": 2.0, "poll_secs": 0.02}


def settings(mode="thread", **changes):
    return ActorSettings(mode=mode, **(QUICK | changes))


def online(run_dir):
    return [t for t in TrajectoryStore(str(run_dir)).read() if t.source == "online"]


@pytest.mark.parametrize("devices", [0, 1])
def test_a_thread_samples_while_the_learner_learns(
    tmp_path, uniform_checkpoint, tiny_task, devices
):
    """On the learner's own device, and on one of its own."""
    summary = tiny_task(
        tmp_path / "run", uniform_checkpoint, actors=settings(devices=devices), num_updates=20
    )
    assert summary["pass"]["1"]["low"] > 0.05
    records = read_metrics(tmp_path / "run", "train")
    assert [record["step"] for record in records] == list(range(1, 21))
    assert all(record["data/num_short_groups"] == 0 for record in records)
    assert all(record["data/uses"] == 0 for record in records)  # every update had new samples
    trajectories = online(tmp_path / "run")
    assert len({t.trajectory_id for t in trajectories}) == len(trajectories) >= 20 * 16 * 8
    versions = {t.policy_version for t in trajectories}
    assert len(versions) > 5 and max(versions) <= 20
    status = read_learner(SharedFiles(str(tmp_path / "run")))
    assert status.done and status.step == 20
    actor = read_actor(SharedFiles(str(tmp_path / "run")), "thread0")
    assert actor.state == "ended" and actor.num_groups * 8 == len(trajectories)
