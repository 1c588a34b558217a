"""Tiny models and drawn groups for the learner's tests."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from spo_jax.learning import AdamW, Learner
from spo_jax.models.testing import random_params, tiny_config
from spo_jax.models.transformer import Transformer
from spo_jax.objectives import SoftPolicyOptimization
from spo_jax.sharding import make_mesh
from spo_jax.types import Trajectory

END = 2


@dataclasses.dataclass
class DrawnRow:
    trajectory: Trajectory
    ref_logprobs: np.ndarray | None
    is_online: bool


@dataclasses.dataclass
class DrawnGroup:
    problem_id: str
    initial_value: float | None
    rows: tuple[DrawnRow, ...]
    reference_id: str | None = "reference"


@pytest.fixture(autouse=True)
def quick_compilation():
    """Tiny programs compile twice as fast so; they compute the same."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def make_row():
    def make(name="t0", *, prompt=(5, 6, 7), completion=(8, 9, END), **fields) -> DrawnRow:
        num = len(completion)
        settings = {
            "trajectory_id": name,
            "group_id": "g",
            "problem_id": "p",
            "source": "online",
            "prompt_tokens": np.array(prompt, np.int32),
            "completion_tokens": np.array(completion, np.int32),
            "completion_mask": np.ones(num, bool),
            "reward": 0.0,
        }
        row_fields = {"ref_logprobs": np.full(num, -3.5, np.float32), "is_online": True}
        row_fields |= {k: fields.pop(k) for k in list(fields) if k in row_fields}
        return DrawnRow(Trajectory(**settings | fields), **row_fields)

    return make


@pytest.fixture
def make_group(make_row):
    """A random group: prompt of 3 to 6 tokens, completions of 2 to 7, rewards 0 or -1."""

    def make(number, size, *, initial_value=-0.5) -> DrawnGroup:
        rng = np.random.default_rng(number)
        prompt = rng.integers(3, 48, size=rng.integers(3, 7))
        rows = []
        for i in range(size):
            completion = np.append(rng.integers(3, 48, size=rng.integers(1, 7)), END)
            reference = -rng.uniform(3, 5, size=len(completion)).astype(np.float32)
            rows.append(
                make_row(
                    f"t{number}-{i}",
                    prompt=prompt,
                    completion=completion,
                    reward=-float(rng.integers(0, 2)),
                    ref_logprobs=reference,
                    is_online=bool(i % 2),
                )
            )
        return DrawnGroup(f"p{number}", initial_value, tuple(rows))

    return make


@pytest.fixture
def groups(make_group):
    """Seven groups of unequal sizes, so that means of means would be wrong."""
    return [make_group(number, size) for number, size in enumerate((4, 1, 3, 4, 2, 4, 3))]


@functools.cache
def _tiny_model(compute_dtype="float32"):
    config = tiny_config(compute_dtype=compute_dtype)
    return Transformer(config), random_params(config, jax.random.key(0))


@functools.cache
def _learner(objective, optimizer, compute_dtype, mesh_shape):
    model, _ = _tiny_model(compute_dtype)
    mesh = make_mesh(**dict(mesh_shape)) if mesh_shape else None
    return Learner(model, objective, optimizer, mesh, chunk_tokens=64)


@pytest.fixture
def make_learner():
    """Learners are shared by all tests: each shape of each compiles once in the whole suite."""

    def make(
        objective=SoftPolicyOptimization(),
        optimizer=AdamW(learning_rate=1e-2, weight_decay=0.1),
        compute_dtype="float32",
        **mesh_shape,
    ) -> Learner:
        return _learner(objective, optimizer, compute_dtype, tuple(mesh_shape.items()))

    return make


@pytest.fixture
def make_model():
    return _tiny_model


@pytest.fixture
def params():
    return _tiny_model()[1]
