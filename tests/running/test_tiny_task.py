"""Every objective on the tiny task, through the whole real path: what it is for gets better.

An objective is one line of `OBJECTIVES`. The settings are those of configs/runs/tiny_task.gin, of
which everything but the objective and the number of updates is the same for all.
"""

from pathlib import Path

import numpy as np
import pytest

import spo_jax
from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.commands import gin_config
from spo_jax.evaluation import read_samples
from spo_jax.objectives import SoftPolicyOptimization, Supervised
from spo_jax.reporting.metrics import read_metrics
from spo_jax.running.configurables import CONFIGURABLES
from spo_jax.running.settings import MeshShape, ModelSource
from spo_jax.train import train
from spo_jax.trajectories import ReplayConfig, TrajectoryStore

CONFIG = Path(spo_jax.__file__).parents[1] / "configs" / "runs" / "tiny_task.gin"
NUM_UPDATES = 30

OBJECTIVES = {
    "squared": SoftPolicyOptimization(beta=0.2),
    "cross_entropy": SoftPolicyOptimization(beta=0.2, link="cross_entropy"),
    "initial_value": SoftPolicyOptimization(
        beta=0.2, link="cross_entropy", baseline="initial_value"
    ),
    "supervised": Supervised(),
}


def tiny_task(run_dir, checkpoint, bindings=(), **changes):
    """The settings of the config; `changes` are arguments of `train`."""
    settings = gin_config.configured_arguments(train, CONFIGURABLES, [str(CONFIG)], bindings)
    settings |= {
        "policy": ModelSource(path=checkpoint),
        "mesh": MeshShape(data=1),
        "evaluation": EvaluationSettings(
            num_samples=32, temperature=1.0, top_p=1.0, max_completion_tokens=6
        ),
        "num_updates": NUM_UPDATES,
        "checkpoint_every": NUM_UPDATES,
    }
    return train(str(run_dir), **(settings | changes))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_learns_the_tiny_task(tmp_path, uniform_checkpoint, name):
    summary = tiny_task(tmp_path / "run", uniform_checkpoint, objective=OBJECTIVES[name])
    assert summary["pass"]["1"]["before"] < 0.2
    assert summary["pass"]["1"]["low"] > 0.05  # the gain, as sure as the held-out questions allow
    records = read_metrics(tmp_path / "run", "train")
    assert all(np.isfinite(record["loss/true"]) for record in records)
    sampled = [record["reward/online_mean"] for record in records]
    assert np.mean(sampled[-10:]) > np.mean(sampled[:10]) + 0.05


@pytest.mark.parametrize("name", ["squared", "cross_entropy"])
def test_spo_learns_from_answers_of_a_uniform_policy_alone(tmp_path, uniform_checkpoint, name):
    summary = tiny_task(
        tmp_path / "run",
        uniform_checkpoint,
        objective=OBJECTIVES[name],
        replay=ReplayConfig(offline_fraction=1.0),
    )
    assert {t.source for t in TrajectoryStore(str(tmp_path / "run")).read()} == {"written"}
    assert summary["pass"]["1"]["low"] > 0.05


def test_answers_are_judged_as_text_without_a_sandbox(tmp_path, uniform_checkpoint):
    tiny_task(tmp_path / "run", uniform_checkpoint, num_updates=1)
    assert not (tmp_path / "run" / "verdicts.jsonl").exists()
    for sample in read_samples(tmp_path / "run" / "evaluations" / "step_00000001.jsonl"):
        named = set(sample["problem_id"].removeprefix("letters/"))
        is_right = 1 <= len(sample["text"]) <= 4 and set(sample["text"]) <= named
        assert sample["verdict"] == ("AC" if is_right else "WA")


def test_one_line_of_the_config_changes_the_objective(tmp_path, uniform_checkpoint):
    """What the head of the config promises; written answers are judged too where not trusted."""
    bindings = ["train.objective = @Supervised()", "ProblemSource.trust_labels = False"]
    tiny_task(tmp_path / "run", uniform_checkpoint, bindings, num_updates=1)
    (record,) = read_metrics(tmp_path / "run", "train")
    assert "q/residual_abs" not in record
    written = [t for t in TrajectoryStore(str(tmp_path / "run")).read() if t.source == "written"]
    assert {t.metadata["verdict_from"] for t in written} == {"judge"}
