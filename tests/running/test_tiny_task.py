"""Every objective on the tiny task, through the whole real path: what it is for gets better.

The settings are those of configs/runs/tiny_task.gin; an objective is one line more.
"""

from pathlib import Path

import numpy as np
import pytest

import spo_jax
from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.commands import gin_config
from spo_jax.evaluation import read_samples
from spo_jax.reporting.metrics import read_metrics
from spo_jax.running.configurables import CONFIGURABLES
from spo_jax.running.settings import MeshShape, ModelSource
from spo_jax.train import train
from spo_jax.trajectories import TrajectoryStore

CONFIG = Path(spo_jax.__file__).parents[1] / "configs" / "runs" / "tiny_task.gin"
NUM_UPDATES = 30

# Changed in configs/runs/tiny_task.gin: one line each.
OBJECTIVES = {
    "spo_squared": "SoftPolicyOptimization.link = 'squared'",
    "spo_cross_entropy": "SoftPolicyOptimization.link = 'cross_entropy'",
    "spo_initial_value": "SoftPolicyOptimization.baseline = 'initial_value'",
    "token_q": "train.objective = @TokenQRegression()",
    "advantage_regression": "train.objective = @AdvantageRegression()",
    "trajectory_balance": "train.objective = @TrajectoryBalance()",
    "ppo": "train.objective = @PPO()",
    "grpo": "train.objective = @GRPO()",
    "rloo": "train.objective = @RLOO()",
    "reinforce": "train.objective = @Reinforce()",
    "supervised": "train.objective = @Supervised()",
}
SAMPLES_ONLY = "ReplayConfig.offline_fraction = 0.0"  # which every objective can learn from
WRITTEN_ONLY = "ReplayConfig.offline_fraction = 1.0"


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
    bindings = [SAMPLES_ONLY, OBJECTIVES[name]]
    gain = tiny_task(tmp_path / "run", uniform_checkpoint, bindings)["pass"]["1"]
    assert gain["before"] < 0.2
    assert gain["low"] > 0.02 and gain["difference"] > 0.08
    records = read_metrics(tmp_path / "run", "train")
    assert all(np.isfinite(record["loss/total"]) for record in records)
    sampled = [record["sampling/reward_mean"] for record in records]
    assert np.mean(sampled[-10:]) > np.mean(sampled[:10])


@pytest.mark.parametrize("name", ["spo_squared", "spo_cross_entropy"])
def test_spo_learns_from_answers_of_a_uniform_policy_alone(tmp_path, uniform_checkpoint, name):
    bindings = [WRITTEN_ONLY, OBJECTIVES[name]]
    gain = tiny_task(tmp_path / "run", uniform_checkpoint, bindings)["pass"]["1"]
    assert {t.source for t in TrajectoryStore(str(tmp_path / "run")).read()} == {"written"}
    assert gain["low"] > 0.05


def test_answers_are_judged_as_text_without_a_sandbox(tmp_path, uniform_checkpoint):
    tiny_task(tmp_path / "run", uniform_checkpoint, num_updates=1)
    assert not (tmp_path / "run" / "verdicts.jsonl").exists()
    for sample in read_samples(tmp_path / "run" / "evaluations" / "step_00000001.jsonl"):
        named = set(sample["problem_id"].removeprefix("letters/"))
        is_right = 1 <= len(sample["text"]) <= 4 and set(sample["text"]) <= named
        assert sample["verdict"] == ("AC" if is_right else "WA")


def test_labels_of_written_answers_are_checked_by_the_verifier(tmp_path, uniform_checkpoint):
    bindings = [WRITTEN_ONLY, "ProblemSource.trust_labels = False"]
    tiny_task(tmp_path / "run", uniform_checkpoint, bindings, num_updates=1)
    written = list(TrajectoryStore(str(tmp_path / "run")).read())
    assert {t.metadata["verdict_from"] for t in written} == {"judge"}
    for item in written:
        assert (item.metadata["label"] == "solution") == (item.verdict == "AC")
