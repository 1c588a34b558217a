"""Trajectories to store, and a store that is gone after the test."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spo_jax.trajectories import TrajectoryStore
from spo_jax.types import ReferenceLogprobs, SamplerSettings, Trajectory, Turn, Verdict


@pytest.fixture
def trajectory() -> Callable[..., Trajectory]:
    def make(name: str, **changes: Any) -> Trajectory:
        num_tokens = changes.pop("num_tokens", 3)
        fields: dict[str, Any] = {
            "trajectory_id": name,
            "group_id": "group",
            "problem_id": "set/a",
            "source": "online",
            "policy_version": 0,
            "seed": 7,
            "turns": (Turn("policy", 0, num_tokens),),
            "prompt_tokens": np.array([5, 6], np.int32),
            "completion_tokens": np.arange(1, num_tokens + 1, dtype=np.int32),
            "completion_mask": np.ones(num_tokens, bool),
            "behavior_logprobs": np.full(num_tokens, -0.5, np.float32),
            "reward": -1.0,
            "verdict": Verdict.WA,
            "sampler": SamplerSettings(temperature=0.4, top_p=0.95),
            "tokenizer_hash": "tokenizer",
            "metadata": {"template": "échec"},
        }
        return Trajectory(**(fields | changes))

    return make


@pytest.fixture
def logprobs() -> Callable[..., ReferenceLogprobs]:
    def make(name: str, reference_id: str, value: float, num_tokens: int = 3) -> ReferenceLogprobs:
        values = np.full(num_tokens, value, np.float32)
        return ReferenceLogprobs(trajectory_id=name, reference_id=reference_id, ref_logprobs=values)

    return make


@pytest.fixture
def store(tmp_path) -> TrajectoryStore:
    return TrajectoryStore(tmp_path / "store", writer_id="host0")
