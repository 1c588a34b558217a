"""A learner of two processes, with actor threads beside it or with `spo actor` processes.

pytest -m slow tests/running/test_two_async_processes.py
"""

import collections
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from spo_jax.reporting.metrics import read_metrics
from spo_jax.trajectories import TrajectoryStore

HERE = Path(__file__).parent
PER_UPDATE = 16 * 8  # samples

pytestmark = pytest.mark.slow


def _processes():
    spec = importlib.util.spec_from_file_location("processes", HERE / "processes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


processes = _processes()


@pytest.fixture
def learner(tmp_path, uniform_checkpoint):
    """Starts the two processes of the run's learner: four devices each."""

    def start(num_updates, *more):
        command = [
            *("-m", "spo_jax.main", "train", "--distributed", "--host_timeout_secs=20"),
            f"--gin_file={processes.ROOT / 'configs' / 'runs' / 'tiny_task.gin'}",
            f"--run_dir={tmp_path / 'run'}",
            f"--gin.ModelSource.path='{uniform_checkpoint}'",
            f"--gin.train.num_updates={num_updates}",
            "--gin.train.checkpoint_every=3",
            "--gin.train.policy_sync_every=2",
            "--gin.train.mesh=@MeshShape()",
            "--gin.MeshShape.fsdp=2",
            "--gin.EvaluationSettings.num_samples=10",
            "--gin.train.actors=@ActorSettings()",
            "--gin.ActorSettings.heartbeat_secs=0.5",
            "--gin.ActorSettings.dead_after_secs=10.0",
            "--gin.ActorSettings.poll_secs=0.05",
            *more,
        ]
        log_dir = tmp_path / f"logs.{time.monotonic_ns()}"
        return processes.start(command, 2, log_dir, cache_dir=tmp_path / "cache"), log_dir

    return start


def wait_for_updates(started, run_dir, count):
    running, log_dir = started
    while len(read_metrics(run_dir, "train")) < count:
        assert all(process.poll() is None for process in running), processes.logs(log_dir)
        time.sleep(0.05)


def finish(started):
    running, log_dir = started
    assert processes.wait(running, timeout=300) == [0, 0], processes.logs(log_dir)


def kill(started):
    for process in started[0]:
        process.send_signal(signal.SIGKILL)
    processes.wait(started[0])


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
    wait_for_updates(started, run_dir, 4)
    kill(started)
    before = {t.trajectory_id for t in sampled(run_dir)}
    finish(learner(8, *mode))
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
        wait_for_updates(started, run_dir, 3)
        actors[0].send_signal(signal.SIGKILL)
        actors[0].wait()
        wait_for_updates(started, run_dir, 5)
        actors[0] = actor("a0")
        finish(started)
        texts = [path.read_text()[-3000:] for path in sorted(tmp_path.glob("a*.log"))]
        assert [process.wait(60) for process in actors] == [0, 0], texts
    finally:
        for process in actors:
            process.kill()
    assert_drawn_once(run_dir, 8)
    assert {t.source for t in sampled(run_dir)} == {"online", "reference"}
