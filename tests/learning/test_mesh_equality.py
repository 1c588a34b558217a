"""One update on every mesh of 1, 2, 4 and 8 devices: the same loss and the same gradients.

Stated tolerance, in float32: the loss to 1e-5 of itself; each parameter's gradient to 1e-5 of its
own largest entry. What differs is the order of sums, and that the vocabulary is summed in blocks.
"""

import dataclasses
import itertools

import jax
import numpy as np
import optax
import pytest

from spo_jax.errors import UserError
from spo_jax.learning import Learner, RowBucket, make_batch
from spo_jax.objectives import PPO, SoftPolicyOptimization
from spo_jax.sharding import MESH_AXES, make_mesh

ROW = RowBucket(num_rows=8, row_length=40, completions_per_row=4, max_completion_tokens=8)
OBJECTIVES = {"spo": SoftPolicyOptimization(), "ppo": PPO()}
# In the default suite: three axes at once.
SPANNING = [("spo", (1, 2, 2, 2))]


@dataclasses.dataclass(frozen=True)
class GradientDescent:
    """An optimizer whose step shows the gradient: parameters change by minus the gradient."""

    def transformation(self):
        return optax.sgd(1.0)

    def schedule(self):
        return optax.constant_schedule(1.0)


def shapes_of(num_devices):
    sizes = [n for n in (1, 2, 4, 8) if n <= num_devices]
    shapes = itertools.product(sizes, repeat=len(MESH_AXES))
    return [shape for shape in shapes if np.prod(shape) == num_devices]


ALL = [(name, shape) for name in OBJECTIVES for n in (1, 2, 4, 8) for shape in shapes_of(n)]


def with_a_critic_that_says_something(state):
    """A fresh critic predicts 0 and gives its backbone no gradient."""
    if state.critic is None:
        return state
    head = state.critic.params["value_head"]
    random = np.random.default_rng(5).standard_normal(head.shape).astype(np.float32)
    placed = state.critic.params | {"value_head": jax.device_put(random, head.sharding)}
    return state._replace(critic=state.critic._replace(params=placed))


@pytest.fixture
def one_update(make_model, params, groups):
    """Loss, and gradients on the host, of the policy and of the critic where there is one."""

    def run(name, shape):
        # One token's logits at a time on one device, several vocabulary blocks on many.
        learner = Learner(
            make_model()[0],
            OBJECTIVES[name],
            GradientDescent(),
            make_mesh(**dict(zip(MESH_AXES, shape, strict=True))),
            critic_optimizer=GradientDescent(),
            chunk_tokens=8,
        )
        batch = make_batch(groups, [ROW], pad_id=0, needs=OBJECTIVES[name].needs)
        before = with_a_critic_that_says_something(learner.init(params))
        start = jax.device_get((before.params, before.critic and before.critic.params))
        state, metrics, _ = learner.update(before, batch)
        end = jax.device_get((state.params, state.critic and state.critic.params))
        return metrics, jax.tree.map(np.subtract, start, end), state

    return run


@pytest.fixture
def with_behavior_logprobs(groups):
    for row in (row for group in groups for row in group.rows):
        row.trajectory = dataclasses.replace(
            row.trajectory, behavior_logprobs=row.ref_logprobs - 0.01
        )


EXPECTED = {}


def assert_equal_to_one_device(one_update, name, shape):
    if name not in EXPECTED:
        EXPECTED[name] = one_update(name, (1, 1, 1, 1))[:2]
    metrics, gradients, state = one_update(name, shape)
    expected_metrics, expected_gradients = EXPECTED[name]
    compared = [m for m in expected_metrics if m.startswith("loss/") or m.endswith("grad_norm")]
    assert len(compared) >= 2
    for metric in compared:
        np.testing.assert_allclose(metrics[metric], expected_metrics[metric], rtol=1e-5, atol=1e-7)
    paths = jax.tree_util.tree_leaves_with_path(expected_gradients)
    for (path, expected), actual in zip(paths, jax.tree.leaves(gradients), strict=True):
        largest = np.abs(expected).max()
        assert largest > 0, path
        np.testing.assert_allclose(
            actual, expected, rtol=0, atol=1e-5 * largest + 2e-7, err_msg=jax.tree_util.keystr(path)
        )
    assert len(jax.tree.leaves(state.params)[0].sharding.device_set) == np.prod(shape)


@pytest.mark.parametrize(("name", "shape"), SPANNING, ids=str)
def test_a_mesh_changes_no_gradient(one_update, with_behavior_logprobs, name, shape):
    assert_equal_to_one_device(one_update, name, shape)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shape"), [c for c in ALL if c not in SPANNING], ids=str)
def test_every_mesh_changes_no_gradient(one_update, with_behavior_logprobs, name, shape):
    assert_equal_to_one_device(one_update, name, shape)


def test_rows_that_the_mesh_does_not_divide_are_refused(make_model, params, groups):
    learner = Learner(
        make_model()[0], OBJECTIVES["spo"], GradientDescent(), make_mesh(fsdp=2, sequence=4)
    )
    row = dataclasses.replace(ROW, row_length=42)
    batch = make_batch(groups, [row], pad_id=0, needs=OBJECTIVES["spo"].needs)
    with pytest.raises(UserError, match=r"row_length=42 must be divisible by .* sequence = 4"):
        learner.update(learner.init(params), batch)
