"""The update step through its public interface, on tiny models."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import monitoring

from spo_jax.errors import UserError
from spo_jax.learning import AdamW, NonFiniteLossError, RowBucket, make_batch
from spo_jax.models.testing import random_params, tiny_config
from spo_jax.objectives import SoftPolicyOptimization, Supervised
from spo_jax.scoring import score_rows

OBJECTIVE = SoftPolicyOptimization()
INITIAL_VALUE = SoftPolicyOptimization(baseline="initial_value")
ROW = RowBucket(num_rows=8, row_length=40, completions_per_row=4, max_completion_tokens=8)
SINGLE = dataclasses.replace(ROW, num_rows=1)


def batch_of(groups, *buckets, needs=OBJECTIVE.needs):
    return make_batch(groups, buckets or [ROW], pad_id=0, needs=needs)


def run(learner, params, batch, num_updates=2):
    state = learner.init(params)
    for _ in range(num_updates):
        state, metrics, _ = learner.update(state, batch)
    return state, metrics


def assert_same_training(first, second, *, rtol=2e-4, atol=2e-5):
    """Params and metrics agree up to float32 sums in another order, after Adam's division."""
    for a, b in zip(
        jax.tree.leaves(first[0].params), jax.tree.leaves(second[0].params), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
    for name, value in first[1].items():
        if not name.startswith("data/"):
            np.testing.assert_allclose(value, second[1][name], rtol=1e-3, atol=1e-4, err_msg=name)


def padded(group):
    """[3, L] arrays, right-padded: tokens, where the completion is, its reference, rewards [3]."""
    longest = max(len(row.trajectory.prompt_tokens) + len(row.ref_logprobs) for row in group.rows)
    shape = (len(group.rows), longest)
    tokens, reference = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    is_target = np.zeros(shape, bool)
    for i, row in enumerate(group.rows):
        start = len(row.trajectory.prompt_tokens)
        span = slice(start, start + len(row.ref_logprobs))
        tokens[i, :start] = row.trajectory.prompt_tokens
        tokens[i, span] = row.trajectory.completion_tokens
        reference[i, span], is_target[i, span] = row.ref_logprobs, True
    rewards = np.array([row.trajectory.reward for row in group.rows], np.float32)
    return tokens, is_target, reference, rewards


@pytest.fixture
def count_compilations():
    """Counts XLA compilations from now on."""
    counts = []

    def listener(event, duration, **kwargs):
        if "backend_compile" in event:
            counts.append(event)

    monitoring.register_event_duration_secs_listener(listener)
    yield counts
    monitoring.unregister_event_duration_listener(listener)


def test_update_is_one_optimizer_step_on_the_plain_gradient(
    make_learner, make_model, params, make_group
):
    """Against a forward pass per sequence without packing, chunks, micro-batches or jit."""
    group = make_group(3, 3, initial_value=-0.25)

    tokens, is_target, reference, rewards = padded(group)
    positions = np.broadcast_to(np.arange(tokens.shape[1] - 1)[None], tokens[:, 1:].shape)
    segments = np.ones(positions.shape, np.int32)  # causal: what pads see does not matter

    def loss(params):
        hidden = model.apply({"params": params}, tokens[:, :-1], positions, segments)
        logits = model.apply({"params": params}, hidden, method=model.logits)
        logprobs = jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[:, 1:, None], axis=2)
        summed = jnp.sum(
            jnp.where(is_target[:, 1:], logprobs[..., 0] - reference[:, 1:], 0), axis=1
        )
        return jnp.mean(0.5 * ((-0.25 - rewards) / 0.2 + summed) ** 2)

    model, _ = make_model()
    transformation = AdamW(learning_rate=1e-2, weight_decay=0.1).transformation()
    value, grads = jax.jit(jax.value_and_grad(loss))(params)
    updates, _ = transformation.update(grads, transformation.init(params), params)
    expected = optax.apply_updates(params, updates)

    learner = make_learner(INITIAL_VALUE)
    batch = batch_of([group], needs=INITIAL_VALUE.needs)
    state, metrics, _ = learner.update(learner.init(params), batch)
    assert metrics["loss/true"] == pytest.approx(float(value), rel=1e-5)
    assert metrics["optimizer/grad_norm"] == pytest.approx(
        float(optax.global_norm(grads)), rel=1e-4
    )
    assert metrics["q/initial_value"] == pytest.approx(-0.25)
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)
    assert int(state.step) == 1


@pytest.mark.parametrize("objective", [OBJECTIVE, Supervised()], ids=["spo", "supervised"])
def test_trap_accumulation_averages_microbatch_means(make_learner, params, groups, objective):
    """Groups of unequal sizes, one per micro-batch: the same step as all in one."""
    learner = make_learner(objective)
    whole = batch_of(groups)
    parts = batch_of(groups, SINGLE)
    assert (len(whole.micro_batches), len(parts.micro_batches)) == (1, 7)
    assert_same_training(run(learner, params, whole), run(learner, params, parts))


def test_update_compiles_once_per_bucket(make_learner, params, make_group, count_compilations):
    learner = make_learner()
    sizes = (4, 2, 1, 4, 3, 1)
    groups = [make_group(30 + number, size) for number, size in enumerate(sizes)]
    short, long = [g for g in groups if len(g.rows) == 1], [g for g in groups if len(g.rows) > 1]
    buckets = (dataclasses.replace(SINGLE, row_length=16), SINGLE)
    state = learner.init(params)
    state, _, _ = learner.update(state, batch_of(groups, *buckets))
    count_compilations.clear()
    for lot in (groups[::-1], short, long, groups[1:2]):
        batch = batch_of(lot, *buckets)
        assert {m.rows.tokens_RL.shape for m in batch.micro_batches} <= {(1, 16), (1, 40)}
        state, _, _ = learner.update(state, batch)
    assert count_compilations == []


def test_trap_log_ratios_do_not_start_at_zero(make_learner, make_model, params, groups):
    """Reference logprobs are scored in another layout and program than the update's forward.

    Stated tolerance on the |sum of log-ratios| of a completion of up to 7 tokens: 1e-4 in float32
    and 0.1 in bfloat16; decode-path or temperature-scaled logprobs are off by far more.
    """
    alone = RowBucket(num_rows=21, row_length=16, completions_per_row=1, max_completion_tokens=8)
    for dtype, tolerance in (("float32", 1e-4), ("bfloat16", 0.1)):
        model, _ = make_model(dtype)
        packed = batch_of(groups, alone, needs=frozenset())
        rows = packed.micro_batches[0].rows
        scores = jax.jit(lambda p, rows, model=model: score_rows(model, p, rows))(params, rows)
        references = dict(
            zip(packed.trajectory_ids[0], np.asarray(scores.logprobs_BT), strict=True)
        )
        for row in (row for group in groups for row in group.rows):
            num = len(row.trajectory.completion_tokens)
            row.ref_logprobs = references[row.trajectory.trajectory_id][:num]
        learner = make_learner(compute_dtype=dtype)
        _, metrics, _ = learner.update(learner.init(params), batch_of(groups, SINGLE))
        assert metrics["policy/log_ratio_abs"] < tolerance


def test_callers_parameters_survive_and_states_are_donated(make_learner, params, groups):
    before = jax.device_get(params)
    learner = make_learner()
    start = learner.init(params)
    state, _, _ = learner.update(start, batch_of(groups))
    jax.tree.map(np.testing.assert_array_equal, before, jax.device_get(params))
    assert jax.tree.leaves(start.params)[0].is_deleted()
    assert not jax.tree.leaves(state.params)[0].is_deleted()


def test_the_same_update_twice_is_bit_equal(make_learner, params, groups):
    learner, batch = make_learner(), batch_of(groups)
    first, second = run(learner, params, batch), run(learner, params, batch)
    jax.tree.map(np.testing.assert_array_equal, first[0].params, second[0].params)
    assert first[1] == second[1]


def test_non_finite_loss_stops_and_names_the_trajectory(make_learner, params, groups):
    """A reference log-probability of -3e38 is a finite number whose square is not."""
    groups[2].rows[1].ref_logprobs[0] = -3e38
    learner = make_learner(INITIAL_VALUE)
    state = learner.init(params)
    with pytest.raises(
        NonFiniteLossError, match=r"update 1: the loss is not finite.*t2-1"
    ) as error:
        learner.update(state, batch_of(groups, needs=INITIAL_VALUE.needs))
    assert error.value.trajectory_ids == ("t2-1",)
    jax.tree.map(np.testing.assert_array_equal, error.value.state.params, params)
    assert int(error.value.state.step) == 0
    state, _, _ = learner.update(error.value.state, batch_of(groups[:2], needs=INITIAL_VALUE.needs))
    assert int(state.step) == 1


def test_nan_parameters_are_caught_by_the_guard(make_learner, params, groups):
    broken = params | {"embedding": params["embedding"].at[0, 0].set(jnp.nan)}
    learner = make_learner()
    with pytest.raises(NonFiniteLossError, match="in 21 of 21 trajectories"):
        learner.update(learner.init(broken), batch_of(groups))


def test_spo_separates_right_from_wrong_offline(make_learner, params, make_group):
    """From fixed offline data alone the soft Q-values approach the rewards."""
    groups = [make_group(number, 4) for number in (20, 21)]
    learner = make_learner()
    batch = batch_of(groups)
    _, first = run(learner, params, batch, 1)
    _, last = run(learner, params, batch, 60)
    assert last["q/residual_abs"] < 0.2 * first["q/residual_abs"]


def test_supervised_raises_the_likelihood_of_right_answers(make_learner, params, groups):
    learner, batch = make_learner(Supervised()), batch_of(groups)
    _, first = run(learner, params, batch, 1)
    _, last = run(learner, params, batch, 30)
    assert last["loss/true"] < 0.5 * first["loss/true"]


def test_other_models_parameters_are_refused(make_learner, params):
    learner = make_learner()
    other = random_params(tiny_config(vocab_size=32), jax.random.key(0))
    with pytest.raises(UserError, match=r"\['embedding'\] is float32\[32, 16\].*\[48, 16\]"):
        learner.init(other)
    with pytest.raises(UserError, match=r"do not match the model; differing:.*final_norm"):
        learner.init({k: v for k, v in params.items() if k != "final_norm"})


def test_rows_must_divide_over_the_mesh(make_learner, params, groups):
    learner = make_learner(data=4, fsdp=2)
    batch = batch_of(groups, dataclasses.replace(ROW, num_rows=6))
    with pytest.raises(UserError, match=r"num_rows=6 of a micro-batch must be divisible by.*8"):
        learner.update(learner.init(params), batch)


def test_meaningless_rewards_are_refused_before_the_step(
    make_learner, params, make_row, make_group
):
    learner = make_learner(SoftPolicyOptimization(link="cross_entropy"))
    group = dataclasses.replace(make_group(0, 1), rows=(make_row(reward=0.5),))
    with pytest.raises(UserError, match="rewards must be <= 0"):
        learner.update(learner.init(params), batch_of([group]))


def test_abstract_state_describes_the_state(make_learner, params):
    learner = make_learner(fsdp=4, tensor=2)
    state, abstract = learner.init(params), learner.abstract_state()
    assert jax.tree.structure(state) == jax.tree.structure(abstract)
    for real, struct in zip(jax.tree.leaves(state), jax.tree.leaves(abstract), strict=True):
        assert (real.shape, real.dtype) == (struct.shape, struct.dtype)
        assert real.sharding.is_equivalent_to(struct.sharding, real.ndim)
