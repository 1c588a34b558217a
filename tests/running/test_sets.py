"""`train` by the shipped configs of MBPP and reasoning-gym, with a tiny model."""

from pathlib import Path

import pytest

import spo_jax
from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.commands import gin_config
from spo_jax.running.configurables import CONFIGURABLES
from spo_jax.running.settings import BatchSettings, MeshShape, ModelSource, RolloutSettings
from spo_jax.train import train
from spo_jax.trajectories import TrajectoryStore

RUNS = Path(spo_jax.__file__).parents[1] / "configs" / "runs"
MBPP = Path(__file__).parents[1] / "problems" / "data" / "mbpp_excerpt.jsonl"


@pytest.fixture
def train_tiny(tmp_path, tiny_checkpoint):
    """Trains once by a config, with some bindings and what makes it tiny."""

    def run(config, bindings):
        settings = gin_config.configured_arguments(
            train, CONFIGURABLES, [str(RUNS / config)], bindings
        )
        settings |= {
            "policy": ModelSource(path=tiny_checkpoint),
            "rollouts": RolloutSettings(
                max_prompt_tokens=440, max_completion_tokens=16, num_slots=8
            ),
            "batch": BatchSettings(
                problems_per_update=2,
                completions_per_problem=4,
                row_lengths=(512,),
                tokens_per_micro_batch=512,
            ),
            "evaluation": EvaluationSettings(num_samples=2, ks=(1,), max_completion_tokens=8),
            "mesh": MeshShape(data=1),
            "num_updates": 1,
        }
        summary = train(str(tmp_path / "run"), **settings)
        return summary, list(TrajectoryStore(str(tmp_path / "run")).read())

    return run


def test_mbpp(train_tiny):
    summary, trajectories = train_tiny("mbpp.gin", [f"ProblemSource.data_dir = '{MBPP}'"])
    assert summary["num_problems"] == 1
    assert {t.source for t in trajectories if t.reward is not None} >= {"online"}
    assert all(t.problem_id.startswith("mbpp/") for t in trajectories)


def test_reasoning_gym(train_tiny):
    pytest.importorskip("reasoning_gym")
    sizes = ["ReasoningGymSet.size = 6", "ReasoningGymSet.test_size = 2"]
    summary, trajectories = train_tiny("reasoning_gym.gin", sizes)
    assert summary["num_problems"] == 2
    assert {t.verdict.value for t in trajectories if t.source == "written"} == {"AC"}
    assert {t.verdict.value for t in trajectories if t.source == "online"} <= {"AC", "WA"}
