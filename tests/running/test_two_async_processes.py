"""A learner of two processes, with actor threads beside it or with `spo actor` processes.

pytest -m slow tests/running/test_two_async_processes.py
"""

import collections
import json
import os
import signal
import subprocess
import sys

import processes
import pyarrow.parquet as pq
import pytest

from spo_jax.reporting.metrics import read_metrics
from spo_jax.trajectories import TrajectoryStore

PER_UPDATE = 16 * 8  # samples

pytestmark = pytest.mark.slow


@pytest.fixture
def learner(tmp_path, uniform_checkpoint):
    """Starts the two processes of the run's learner: four devices each."""

    def start(num_updates, *more):
        bindings = [
            f"--gin.train.num_updates={num_updates}",
            "--gin.train.checkpoint_every=3",
            "--gin.train.actors=@ActorSettings()",
            "--gin.ActorSettings.heartbeat_secs=0.5",
            "--gin.ActorSettings.dead_after_secs=10.0",
            "--gin.ActorSettings.poll_secs=0.05",
        ]
        return processes.start_train(
            [*bindings, *more],
            2,
            tmp_path / "run",
            uniform_checkpoint,
            cache_dir=tmp_path / "cache",
        )

    return start


def sampled(run_dir):
    """Also those that Q_0 is estimated from: they are drawn like any other."""
    rows = TrajectoryStore(str(run_dir)).read()
    return [t for t in rows if t.source in ("online", "reference")]


def assert_drawn_once(run_dir, num_updates):
    records = read_metrics(run_dir, "train")
    assert [record["step"] for record in records] == list(range(1, num_updates + 1))
    assert all(record["data/uses"] == 0 for record in records)
    names = collections.Counter(t.trajectory_id for t in sampled(run_dir))
    assert set(names.values()) == {1} and len(names) >= num_updates * PER_UPDATE
    assert json.loads((run_dir / "summary.json").read_text())["updates"] == num_updates


def test_every_process_has_an_actor_thread(learner, tmp_path):
    """On two of its four devices; the run is killed and goes on. Newer policies arrive at both."""
    run_dir = tmp_path / "run"
    mode = ("--gin.ActorSettings.mode='thread'", "--gin.ActorSettings.devices=2")
    started = learner(8, *mode)
    processes.wait_for_updates(started, run_dir, 4)
    processes.kill(started)
    before = {t.trajectory_id for t in sampled(run_dir)}
    processes.finish(learner(8, *mode))
    assert before <= {t.trajectory_id for t in sampled(run_dir)}
    assert_drawn_once(run_dir, 8)
    for name in ("thread0", "thread1"):
        files = (run_dir / "trajectories" / name).rglob("*.parquet")
        columns = [pq.read_table(file, columns=["policy_version"]) for file in files]
        versions = {version for table in columns for version in table["policy_version"].to_pylist()}
        assert max(versions) > 0, (name, versions)


def test_actors_elsewhere_feed_two_processes(learner, tmp_path):
    """One is killed half-way and started again; both end when the learner is done.

    One has a copy of the policy on each of its four devices, one splits it over pairs.

    The learner's processes share the estimates of Q_0, which actors know nothing of.
    """
    run_dir = tmp_path / "run"
    mode = (
        "--gin.ActorSettings.mode='remote'",
        "--gin.SoftPolicyOptimization.baseline='initial_value'",
    )
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
    }

    def actor(name):
        with (tmp_path / f"{name}.log").open("ab") as log:
            words = {"a0": [], "a1": ["--gin.RolloutSettings.tensor=2"]}
            command = ["actor", f"--run_dir={run_dir}", f"--actor_id={name}", *words[name]]
            return subprocess.Popen(
                [sys.executable, "-m", "spo_jax.main", *command],
                env=environment,
                stdout=log,
                stderr=log,
            )

    started = learner(8, *mode)
    actors = [actor("a0"), actor("a1")]
    try:
        processes.wait_for_updates(started, run_dir, 3)
        actors[0].send_signal(signal.SIGKILL)
        actors[0].wait()
        processes.wait_for_updates(started, run_dir, 5)
        actors[0] = actor("a0")
        processes.finish(started)
        texts = [path.read_text()[-3000:] for path in sorted(tmp_path.glob("a*.log"))]
        assert [process.wait(60) for process in actors] == [0, 0], texts
    finally:
        for process in actors:
            process.kill()
    assert_drawn_once(run_dir, 8)
    assert {t.source for t in sampled(run_dir)} == {"online", "reference"}
