"""Actors under Ray; what needs no Ray is tested without it.

pytest -m slow tests/test_ray_actors.py
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

import spo_jax
from spo_jax.commands.actor_ray import _resources
from spo_jax.errors import UserError
from spo_jax.models.testing import save_uniform_model
from spo_jax.problems.letters import ALPHABET
from spo_jax.ray_actors import RayActor, RayPlacement, run_on_ray
from spo_jax.reporting.metrics import read_metrics

TASK = Path(spo_jax.__file__).parents[1] / "configs" / "runs" / "tiny_task.gin"


def test_a_missing_ray_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"Ray is not installed: pip install 'spo-jax\[ray\]'"):
        run_on_ray(str(tmp_path), ["ray0"], {})


def test_placements_are_checked():
    with pytest.raises(UserError, match=r"TPU=-1\.0 must be at least 0"):
        RayPlacement(resources={"TPU": -1.0})
    with pytest.raises(UserError, match="max_restarts=-2 must be at least -1"):
        RayPlacement(max_restarts=-2)
    assert _resources('{"TPU": 4}') == {"TPU": 4.0}
    for text in ("TPU", "[1]", '{"TPU": "x"}'):
        with pytest.raises(UserError, match="must be JSON like"):
            _resources(text)


def test_an_actor_with_bad_settings_ends_with_the_reason(tmp_path):
    """The class that Ray would start, started here."""
    actor = RayActor(str(tmp_path), "main", {})
    outcome = actor.outcome(patience_secs=60)
    assert outcome.status is None
    assert "actor_id='main' is the learner's own name" in outcome.failure


class Run:
    """A learner and `spo actor ray`, each in a process, on one run directory."""

    def __init__(self, folder):
        self.folder, self.run_dir = folder, folder / "run"
        save_uniform_model(folder / "model", ALPHABET)
        self._env = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        self.processes = []

    def start(self, name, *words):
        with (self.folder / f"{name}.log").open("ab") as output:
            command = [sys.executable, "-m", "spo_jax.main", *words, f"--run_dir={self.run_dir}"]
            process = subprocess.Popen(command, env=self._env, stdout=output, stderr=output)
        self.processes.append(process)
        return process

    def learner(self, num_updates):
        return self.start(
            "learner",
            "train",
            f"--gin_file={TASK}",
            f"--gin.ModelSource.path={self.folder / 'model'}",
            "--gin.train.actors=@ActorSettings()",
            "--gin.ActorSettings.mode=remote",
            "--gin.ActorSettings.heartbeat_secs=0.5",
            "--gin.ActorSettings.dead_after_secs=5.0",
            "--gin.ActorSettings.poll_secs=0.2",
            f"--gin.train.num_updates={num_updates}",
            "--gin.BatchSettings.problems_per_update=2",
            "--gin.EvaluationSettings.num_problems=8",
            "--gin.EvaluationSettings.num_samples=10",
        )

    def actor(self, name):
        """What it last reported of itself."""
        try:
            return json.loads((self.run_dir / "actors" / f"{name}.json").read_text())
        except FileNotFoundError:
            return {"num_rounds": 0, "pid": None}

    def wait_for(self, condition):
        deadline = time.monotonic() + 300
        while not condition():
            assert all(process.poll() in (None, 0) for process in self.processes), self.logs()
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)

    def logs(self):
        texts = [file.read_text()[-4000:] for file in sorted(self.folder.glob("*.log"))]
        return "\n----\n".join(texts)

    def stored_ids(self):
        """Ids in the objects of every writer, as often as they stand there."""
        tables = [
            pq.read_table(file, columns=["trajectory_id", "source"])
            for file in sorted((self.run_dir / "trajectories").rglob("*.parquet"))
        ]
        rows = [row for table in tables for row in table.to_pylist()]
        return collections.Counter(r["trajectory_id"] for r in rows if r["source"] == "online")

    def acknowledged(self, name):
        lines = (self.folder / f"{name}.jsonl").read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs spo-jax[ray]")
def test_a_killed_ray_actor_is_restarted_and_goes_on_after_its_last_commit(tmp_path):
    run = Run(tmp_path)
    try:
        learner = run.learner(100_000)
        driver = run.start(
            "driver",
            "actor",
            "ray",
            "--num_actors=2",
            "--num_cpus=0.5",
            f"--commit_log_dir={tmp_path}",
        )
        run.wait_for(lambda: run.actor("ray0")["num_rounds"] >= 2)
        run.wait_for(lambda: run.actor("ray1")["num_rounds"] >= 1)
        killed = run.actor("ray0")
        os.kill(killed["pid"], signal.SIGKILL)
        run.wait_for(lambda: run.actor("ray0")["num_rounds"] > killed["num_rounds"])
        learner.send_signal(signal.SIGTERM)
        assert learner.wait(timeout=60) == 130, run.logs()
        run.processes.remove(learner)
        step = read_metrics(run.run_dir, "train")[-1]["step"]
        assert run.learner(step + 3).wait(timeout=120) == 0, run.logs()
        assert driver.wait(timeout=120) == 0, run.logs()
    finally:
        for process in run.processes:
            process.send_signal(signal.SIGINT)  # a driver ends its Ray
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    assert run.actor("ray0")["pid"] != killed["pid"], "it was never restarted"
    stored = run.stored_ids()
    assert set(stored.values()) == {1}
    for name in ("ray0", "ray1"):
        commits = run.acknowledged(name)
        assert [commit["round"] for commit in commits] == list(range(len(commits)))
        ids = [name for commit in commits for name in commit["trajectory_ids"]]
        assert len(set(ids)) == len(ids) > 0 and set(ids) <= set(stored)
    assert len(run.acknowledged("ray0")) > killed["num_rounds"]
