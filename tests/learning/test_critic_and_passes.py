"""A critic beside the policy, several passes over a batch, running initial values, loss weights."""

import dataclasses

import jax
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.learning import AdamW, Checkpointer, Learner, NonFiniteLossError, RowBucket, make_batch
from spo_jax.objectives import GRPO, PPO, SoftPolicyOptimization
from spo_jax.sharding import make_mesh

ROW = RowBucket(num_rows=8, row_length=40, completions_per_row=4, max_completion_tokens=8)
OPTIMIZER = AdamW(learning_rate=1e-2)
PASSES = 3


@pytest.fixture
def sampled(groups):
    """Groups whose rows know how they were sampled."""

    def with_behavior(row):
        trajectory = dataclasses.replace(row.trajectory, behavior_logprobs=row.ref_logprobs)
        return dataclasses.replace(row, trajectory=trajectory)

    return [
        dataclasses.replace(group, rows=tuple(map(with_behavior, group.rows))) for group in groups
    ]


def learner_of(make_model, objective, *, num_passes=1, **mesh_shape):
    model, _ = make_model()
    mesh = make_mesh(**mesh_shape) if mesh_shape else None
    return Learner(
        model,
        objective,
        OPTIMIZER,
        mesh,
        critic_optimizer=AdamW(learning_rate=3e-2),
        num_passes=num_passes,
        chunk_tokens=64,
    )


def batch_of(groups, objective, **arguments):
    return make_batch(groups, [ROW], pad_id=0, needs=objective.needs, **arguments)


def assert_close(left, right, rtol=2e-4, atol=2e-5):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def test_critic_learns_the_returns_with_its_own_optimizer(make_model, params, sampled):
    objective = PPO(clip=0.2)
    learner = learner_of(make_model, objective)
    batch = batch_of(sampled, objective)
    state = learner.init(params)
    first = None
    for _ in range(40):
        state, metrics, _ = learner.update(state, batch)
        first = first or metrics
    assert first["value/residual_square"] == pytest.approx(first["value/return_square"])
    assert metrics["value/residual_square"] < 0.2 * first["value/residual_square"]
    assert metrics["value/explained_variance"] > 0.7
    assert metrics["optimizer/critic_grad_norm"] > 0
    assert int(state.step) == 40


def test_objectives_without_values_have_no_critic(make_model, params):
    learner = learner_of(make_model, SoftPolicyOptimization())
    assert learner.init(params).critic is None
    assert learner.abstract_state().critic is None


def test_eight_devices_equal_one_with_a_critic(make_model, params, sampled):
    objective = PPO(clip=0.2)
    batch = batch_of(sampled, objective)
    states = []
    for shape in ({}, {"data": 2, "fsdp": 2, "tensor": 2}):
        learner = learner_of(make_model, objective, num_passes=2, **shape)
        state = learner.init(params)
        for _ in range(2):
            state, _, _ = learner.update(state, batch)
        states.append(state)
    sharding = states[1].critic.params["backbone"]["embedding"].sharding
    assert len(sharding.device_set) == 8
    assert_close(states[0].params, states[1].params)
    assert_close(states[0].critic.params, states[1].critic.params)


def test_a_checkpoint_holds_the_critic(make_model, params, sampled, tmp_path):
    objective = PPO(clip=0.2)
    learner, batch = learner_of(make_model, objective), batch_of(sampled, objective)
    state, _, _ = learner.update(learner.init(params), batch)
    checkpointer = Checkpointer(str(tmp_path))
    checkpointer.save(1, state, {})
    restored = checkpointer.restore_latest(learner.abstract_state()).state
    jax.tree.map(np.testing.assert_array_equal, restored.critic, state.critic)


def test_passes_are_steps_against_the_first_passes_logprobs(make_model, params, sampled):
    objective = GRPO(clip=0.2, normalize_std=False)
    decoupled = PPO(decoupled=True, clip=1e-4, value_coefficient=0.0)
    learner = learner_of(make_model, decoupled, num_passes=PASSES)
    state, metrics, _ = learner.update(learner.init(params), batch_of(sampled, decoupled))
    # The proximal policy is that of the first pass: its ratios are 1 there, and tightly clipped
    # in the later ones.
    assert metrics["policy/clip_fraction"] == 0
    assert metrics["last_pass/policy/clip_fraction"] > 0
    assert int(state.step) == 1

    several = learner_of(make_model, objective, num_passes=PASSES)
    batch = batch_of(sampled, objective)
    together, _, _ = several.update(several.init(params), batch)
    single = learner_of(make_model, objective)
    one_by_one = single.init(params)
    for _ in range(PASSES):  # GRPO's ratio is to the behaviour: passes are just steps
        one_by_one, _, _ = single.update(one_by_one, batch)
    assert_close(together.params, one_by_one.params)


def test_schedules_count_optimizer_steps(make_model, params, sampled):
    objective = GRPO(clip=0.2)
    model, _ = make_model()
    falling = AdamW(learning_rate=1e-2, decay="linear", total_steps=4)
    learner = Learner(model, objective, falling, num_passes=2, chunk_tokens=64)
    state, batch = learner.init(params), batch_of(sampled, objective)
    rates = []
    for _ in range(2):
        state, metrics, _ = learner.update(state, batch)
        rates.append(metrics["optimizer/learning_rate"])  # of the last pass
    assert rates == pytest.approx([0.75e-2, 0.25e-2])


def test_a_failure_in_a_later_pass_leaves_the_parameters_unchanged(make_model, params, sampled):
    objective = GRPO(clip=0.2)
    model, _ = make_model()
    exploding = Learner(model, objective, AdamW(learning_rate=1e38), num_passes=2, chunk_tokens=64)
    state = exploding.init(params)
    with pytest.raises(NonFiniteLossError) as error:
        exploding.update(state, batch_of(sampled, objective))
    jax.tree.map(np.testing.assert_array_equal, error.value.state.params, params)
    assert int(error.value.state.step) == 0


def test_passes_must_be_at_least_one(make_model):
    with pytest.raises(UserError, match="num_passes=0 must be at least 1"):
        learner_of(make_model, SoftPolicyOptimization(), num_passes=0)


def test_running_values_are_told_by_problem_and_unknown_ones_may_be_missing(
    make_model, params, groups
):
    objective = SoftPolicyOptimization(baseline="running")
    learner = learner_of(make_model, objective)
    unknown = [dataclasses.replace(group, initial_value=None) for group in groups]
    _, metrics, found = learner.update(learner.init(params), batch_of(unknown, objective))
    assert set(found) == {group.problem_id for group in groups}
    assert metrics["q/residual_mean"] == pytest.approx(0, abs=1e-4)  # each group's own mean
    same = SoftPolicyOptimization(baseline="group")
    profiled = learner_of(make_model, same)
    _, expected, nothing = profiled.update(profiled.init(params), batch_of(groups, same))
    assert metrics["loss/true"] == pytest.approx(expected["loss/true"], rel=1e-4)
    assert nothing == {}
    known = [dataclasses.replace(g, initial_value=found[g.problem_id] - 0.2) for g in groups]
    _, moved, again = learner.update(learner.init(params), batch_of(known, objective))
    assert moved["q/residual_mean"] == pytest.approx(-0.2, abs=1e-4)
    assert again == pytest.approx(found, abs=1e-5)


def test_loss_weights_by_source(make_model, params, make_group, make_row):
    """A weight is how often a row counts: twice the weight is the row drawn twice."""
    objective = SoftPolicyOptimization(baseline="initial_value")
    group = make_group(3, 2)
    first = group.rows[0]
    imported = dataclasses.replace(
        first, trajectory=dataclasses.replace(first.trajectory, source="import:verl")
    )
    twin = dataclasses.replace(
        first, trajectory=dataclasses.replace(first.trajectory, trajectory_id="twin")
    )
    weighted = dataclasses.replace(group, rows=(imported, group.rows[1]))
    doubled = dataclasses.replace(group, rows=(first, twin, group.rows[1]))
    states = []
    for one, weights in ((weighted, {"import": 2.0}), (doubled, {})):
        learner = learner_of(make_model, objective)
        batch = batch_of([one], objective, loss_weights=weights)
        states.append(learner.update(learner.init(params), batch).state)
    assert_close(states[0].params, states[1].params)


def test_annotations_of_another_reference_are_refused(groups):
    objective = SoftPolicyOptimization()
    batch_of(groups, objective, reference_id="reference")
    with pytest.raises(UserError, match=r"annotated under reference 'reference'.*is 'moved'.*anew"):
        batch_of(groups, objective, reference_id="moved")
    batch_of(groups, GRPO(importance="none"), reference_id="moved")  # reads nothing of it
