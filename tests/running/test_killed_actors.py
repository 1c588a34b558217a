"""A learner and two `spo actor` processes, all killed once and started again.

pytest -m slow tests/running/test_killed_actors.py
"""

import collections
import json
import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from spo_jax.reporting.metrics import read_metrics

NUM_UPDATES = 60
BINDINGS = [
    "--gin.train.actors=@ActorSettings()",
    "--gin.ActorSettings.mode=remote",
    "--gin.ActorSettings.heartbeat_secs=0.5",
    "--gin.ActorSettings.dead_after_secs=5.0",
    "--gin.ActorSettings.poll_secs=0.05",
    "--gin.train.checkpoint_every=5",
    f"--gin.train.num_updates={NUM_UPDATES}",
    "--gin.EvaluationSettings.num_samples=10",
]


class Processes:
    """Starts commands of `spo` on one run and ends what is left."""

    def __init__(self, run_dir, checkpoint, task, folder):
        self.run_dir, self.folder = run_dir, folder
        self._train = [f"--gin_file={task}", f"--gin.ModelSource.path={checkpoint}", *BINDINGS]
        self._env = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
        }
        self.all = []

    def learner(self):
        return self._start("learner", ["train", *self._train])

    def actor(self, name):
        log = f"--commit_log={self.folder / name}.jsonl"
        return self._start(name, ["actor", f"--actor_id={name}", log])

    def _start(self, name, words):
        with (self.folder / f"{name}.log").open("ab") as output:
            command = [sys.executable, "-m", "spo_jax.main", *words, f"--run_dir={self.run_dir}"]
            process = subprocess.Popen(command, env=self._env, stdout=output, stderr=output)
        self.all.append(process)
        return process

    def wait_for_step(self, step, process):
        while not any(record["step"] >= step for record in read_metrics(self.run_dir, "train")):
            assert process.poll() is None, self.logs()
            time.sleep(0.05)

    def logs(self):
        texts = [file.read_text()[-3000:] for file in sorted(self.folder.glob("*.log"))]
        return "\n----\n".join(texts)

    def kill(self, process):
        assert process.poll() is None, self.logs()
        process.send_signal(signal.SIGKILL)
        process.wait()


def stored_ids(run_dir):
    """Ids in the objects of every writer, as often as they stand there."""
    files = sorted((run_dir / "trajectories").rglob("*.parquet"))
    columns = [pq.read_table(file, columns=["trajectory_id", "source"]) for file in files]
    rows = [row for table in columns for row in table.to_pylist()]
    return collections.Counter(row["trajectory_id"] for row in rows if row["source"] == "online")


def acknowledged_ids(file):
    lines = file.read_text().split("\n")[:-1]
    return [name for line in lines for name in json.loads(line)["trajectory_ids"]]


@pytest.mark.slow
def test_acknowledged_trajectories_are_stored_once_whoever_is_killed(
    tmp_path, uniform_checkpoint, tiny_task_file
):
    run_dir = tmp_path / "run"
    processes = Processes(run_dir, uniform_checkpoint, tiny_task_file, tmp_path)
    try:
        actors = {name: processes.actor(name) for name in ("a0", "a1")}  # before there is a run
        learner = processes.learner()
        processes.wait_for_step(10, learner)
        processes.kill(actors["a0"])
        processes.wait_for_step(20, learner)
        actors["a0"] = processes.actor("a0")
        processes.wait_for_step(30, learner)
        processes.kill(learner)
        time.sleep(1.0)  # the actors fill the queue and wait
        assert all(process.poll() is None for process in actors.values()), processes.logs()
        learner = processes.learner()
        assert learner.wait(timeout=300) == 0, processes.logs()
        assert [process.wait(timeout=60) for process in actors.values()] == [0, 0], processes.logs()
    finally:
        for process in processes.all:
            process.kill()
            process.wait()
    assert json.loads((run_dir / "summary.json").read_text())["updates"] == NUM_UPDATES
    steps = [record["step"] for record in read_metrics(run_dir, "train")]
    assert steps == list(range(1, NUM_UPDATES + 1))
    stored = stored_ids(run_dir)
    assert set(stored.values()) == {1}
    for name in actors:
        acknowledged = acknowledged_ids(tmp_path / f"{name}.jsonl")
        assert len(set(acknowledged)) == len(acknowledged) > 0
        assert set(acknowledged) <= set(stored)
