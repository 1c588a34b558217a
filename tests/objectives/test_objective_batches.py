"""Properties every objective must have as a function of a batch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.objectives import (
    GRPO,
    PPO,
    RLOO,
    AdvantageRegression,
    LinearSchedule,
    Reinforce,
    SoftPolicyOptimization,
    Supervised,
    TokenQRegression,
    TrajectoryBalance,
)

OBJECTIVES = [
    SoftPolicyOptimization(),
    SoftPolicyOptimization(baseline="leave_one_out", residual_clip=1.0),
    SoftPolicyOptimization(link="cross_entropy", baseline="initial_value"),
    SoftPolicyOptimization(link="cross_entropy", baseline="running", policy_gradient=0.5),
    SoftPolicyOptimization(beta=LinearSchedule(0.4, 0.2, 10), baseline="profiled", residual_clip=1),
    TokenQRegression(importance="reference", importance_cap=2.0, weight=0.7),
    TokenQRegression(link="squared", baseline="group"),
    AdvantageRegression(),
    AdvantageRegression(target="local"),
    AdvantageRegression(target="uniform", baseline="leave_one_out"),
    AdvantageRegression(target="values"),
    TrajectoryBalance(log_z="running"),
    Supervised(reward_threshold=-0.5),
    PPO(decoupled=True, importance_cap=2.0, kl_coefficient=0.1, gae_lambda=0.9),
    GRPO(kl_coefficient=0.1),
    GRPO(importance="sequence", aggregation="token_mean", normalize_std=False),
    RLOO(kl_coefficient=0.1, importance_cap=2.0),
    Reinforce(baseline="running"),
]
TOKEN_ARRAYS = (
    "logprobs_BT",
    "entropy_BT",
    "ref_logprobs_BT",
    "behavior_logprobs_BT",
    "values_BT",
)


def described(objective):
    """Its name and what is not a default."""
    fields = dataclasses.fields(objective)
    given = {f.name: getattr(objective, f.name) for f in fields}
    unusual = [f"{f.name}={given[f.name]}" for f in fields if given[f.name] != f.default]
    return f"{type(objective).__name__}({', '.join(unusual)})"


each_objective = pytest.mark.parametrize("objective", OBJECTIVES, ids=described)


def evaluate(objective, inputs):
    """Not compiled: dozens of little programs of one shape each would take most of the time."""
    return objective(inputs)


def grad_of(objective, inputs):
    def loss(logprobs_BT):
        return objective(inputs._replace(logprobs_BT=logprobs_BT)).loss_sum

    return jax.grad(loss)(inputs.logprobs_BT)


def rows(inputs, index):
    return type(inputs)(*(x if x is None or np.ndim(x) == 0 else x[index] for x in inputs))


@each_objective
def test_masked_equals_sliced(objective, make_inputs):
    inputs = make_inputs(length=6)
    wider = inputs._replace(
        **{
            name: jnp.pad(getattr(inputs, name), ((0, 0), (0, 2)), constant_values=jnp.nan)
            for name in TOKEN_ARRAYS
        },
        mask_BT=jnp.pad(inputs.mask_BT, ((0, 0), (0, 2))),
    )
    narrow, wide = evaluate(objective, inputs), evaluate(objective, wider)
    jax.tree.map(np.testing.assert_array_equal, narrow, wide)
    gradient = grad_of(objective, wider)
    np.testing.assert_array_equal(gradient[:, :6], grad_of(objective, inputs))
    np.testing.assert_array_equal(gradient[:, 6:], 0.0)


@each_objective
def test_empty_slots_change_nothing(objective, make_inputs):
    inputs = make_inputs(num_groups=2, size=3)
    empty = make_inputs(num_groups=2, size=3, seed=9)._replace(
        weights_B=jnp.zeros(6), mask_BT=jnp.zeros((6, 6), bool), reward_B=jnp.full(6, jnp.nan)
    )
    joined = type(inputs)(
        *(
            a if a is None or np.ndim(a) == 0 else jnp.concatenate([a, b])
            for a, b in zip(inputs, empty, strict=True)
        )
    )
    alone, together = evaluate(objective, inputs), evaluate(objective, joined)
    for name in alone.metrics:
        np.testing.assert_allclose(alone.metrics[name], together.metrics[name], rtol=1e-6)
    np.testing.assert_allclose(alone.loss_sum, together.loss_sum, rtol=1e-6)
    assert alone.weight_sum == together.weight_sum


@each_objective
def test_micro_batches_add_up_to_the_whole(objective, make_inputs):
    inputs = make_inputs(num_groups=4, size=3)._replace(weights_B=jnp.linspace(0.5, 2.0, 12))
    whole = evaluate(objective, inputs)
    parts = []
    for lot in (slice(0, 6), slice(6, 12)):
        part = rows(inputs, lot)
        parts.append(evaluate(objective, part._replace(group_B=part.group_B - part.group_B[0])))
    for name, pair in whole.metrics.items():
        total = [sum(part.metrics[name][i] for part in parts) for i in (0, 1)]
        np.testing.assert_allclose(total, pair, rtol=2e-5, atol=1e-5, err_msg=name)
    loss_sum = sum(part.loss_sum for part in parts)
    np.testing.assert_allclose(loss_sum, whole.loss_sum, rtol=2e-5)
    np.testing.assert_allclose(whole.loss_B.sum(), whole.loss_sum, rtol=1e-5)
    weight_sum = sum(part.weight_sum for part in parts)
    np.testing.assert_allclose(weight_sum, whole.weight_sum, rtol=1e-6)
    if whole.initial_value_B is not None:
        joined_B = jnp.concatenate([part.initial_value_B for part in parts])
        np.testing.assert_allclose(joined_B, whole.initial_value_B, rtol=1e-5)


@each_objective
def test_environment_tokens_count_as_if_they_were_not_there(objective, make_inputs):
    """Several turns: masked tokens in the middle, whatever they hold."""
    inputs = make_inputs()
    columns = np.array([0, 1, 3, 4, 6, 7])  # tokens 2 and 5 are the environment's

    def spread(array, fill):
        wide = jnp.full((array.shape[0], 8), fill, array.dtype)
        return wide.at[:, columns].set(array)

    turns = inputs._replace(
        **{name: spread(getattr(inputs, name), jnp.nan) for name in TOKEN_ARRAYS},
        mask_BT=spread(inputs.mask_BT, False),
    )
    whole, together = evaluate(objective, inputs), evaluate(objective, turns)
    for name, pair in whole.metrics.items():
        np.testing.assert_allclose(together.metrics[name], pair, rtol=1e-5, atol=1e-5, err_msg=name)
    gradient = grad_of(objective, turns)
    np.testing.assert_allclose(
        gradient[:, columns], grad_of(objective, inputs), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(gradient[:, np.array([2, 5])], 0.0)


@each_objective
def test_compiles_to_what_it_computes_uncompiled(objective, make_inputs):
    inputs = make_inputs()
    compiled_B = jax.jit(lambda inputs: objective(inputs).loss_B)(inputs)
    expected_B = evaluate(objective, inputs).loss_B
    np.testing.assert_allclose(compiled_B, expected_B, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "objective", [o for o in OBJECTIVES if not isinstance(o, Supervised)], ids=described
)
def test_rewards_that_are_not_finite_are_refused(objective):
    objective.check_rewards(np.array([-1.0, 0.0]))
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(UserError, match=f"must be finite: 1 of 2 are not, one is {bad}"):
            objective.check_rewards(np.array([-1.0, bad]))


@each_objective
def test_a_batch_without_tokens_is_finite(objective, make_inputs):
    inputs = make_inputs()
    empty = inputs._replace(
        mask_BT=jnp.zeros_like(inputs.mask_BT), weights_B=jnp.zeros_like(inputs.weights_B)
    )
    output = evaluate(objective, empty)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(output))
    np.testing.assert_array_equal(grad_of(objective, empty), 0.0)


@each_objective
@pytest.mark.parametrize("reward", [0.0, -1.0])
def test_all_right_and_all_wrong_groups_are_finite(objective, reward, make_inputs):
    """Of completions of one token, of the maximal length, and of lengths in between."""
    inputs = make_inputs()
    one = inputs.mask_BT.at[:4, 1:].set(False)
    inputs = inputs._replace(
        mask_BT=one.at[4:8].set(True), reward_B=jnp.full_like(inputs.reward_B, reward)
    )
    output = evaluate(objective, inputs)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(output))
    assert bool(jnp.isfinite(grad_of(objective, inputs)).all())


@each_objective
def test_bfloat16_inputs_give_float32_sums(objective, make_inputs):
    output = evaluate(objective, make_inputs(dtype=jnp.bfloat16))
    exact = evaluate(
        objective,
        jax.tree.map(
            lambda x: x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x,
            make_inputs(dtype=jnp.bfloat16),
        ),
    )
    assert output.loss_sum.dtype == jnp.float32
    np.testing.assert_allclose(output.loss_sum, exact.loss_sum, rtol=1e-6)


@each_objective
def test_gradient_is_linear_in_the_weights(objective, make_inputs):
    """A weight of 0.5 halves a whole batch's gradient; the denominator follows."""
    inputs = make_inputs()
    halved = inputs._replace(weights_B=0.5 * inputs.weights_B)
    np.testing.assert_allclose(
        grad_of(objective, halved), 0.5 * grad_of(objective, inputs), rtol=1e-5, atol=1e-6
    )
    assert evaluate(objective, halved).weight_sum == 0.5 * evaluate(objective, inputs).weight_sum


def test_gradient_is_the_coefficient_on_every_real_token(make_inputs):
    """Equation (3): the squared link's gradient is w * (q - rho), the same on all tokens."""
    objective = SoftPolicyOptimization(beta=0.5, baseline="initial_value")
    inputs = make_inputs()
    deltas = np.where(inputs.mask_BT, inputs.logprobs_BT - inputs.ref_logprobs_BT, 0.0)
    residual = (-0.4 - np.asarray(inputs.reward_B)) / 0.5 + deltas.sum(axis=1)
    expected = np.where(inputs.mask_BT, residual[:, None], 0.0)
    np.testing.assert_allclose(grad_of(objective, inputs), expected, rtol=1e-4, atol=1e-5)


def test_true_loss_is_the_regression_itself(make_inputs):
    objective = SoftPolicyOptimization(beta=0.5, baseline="initial_value")
    inputs = make_inputs()
    output = evaluate(objective, inputs)
    numerator, denominator = output.metrics["q/residual_square"]
    mean_square = numerator / denominator / 0.5**2
    true = output.metrics["loss/true"]
    np.testing.assert_allclose(true[0] / true[1], 0.5 * mean_square, rtol=1e-5)


def test_diagnostics_by_hand(make_inputs):
    inputs = make_inputs(num_groups=2, size=2)._replace(
        reward_B=jnp.array([0.0, -1.0, -1.0, 0.0]),
        is_online_B=jnp.array([True, False, True, False]),
    )
    metrics = evaluate(SoftPolicyOptimization(baseline="initial_value"), inputs).metrics
    means = {name: float(n / d) for name, (n, d) in metrics.items()}
    assert means["reward/mean"] == -0.5
    assert means["reward/online_mean"] == -0.5
    assert means["data/offline_fraction"] == 0.5
    assert means["q/initial_value"] == pytest.approx(-0.4)
    sums = np.where(inputs.mask_BT, inputs.logprobs_BT - inputs.ref_logprobs_BT, 0.0).sum(axis=1)
    assert means["policy/kl_to_reference"] == pytest.approx(sums[[0, 2]].mean(), rel=1e-5)
    assert means["policy/log_ratio_offline"] == pytest.approx(sums[[1, 3]].mean(), rel=1e-5)
    assert means["q/final_right"] == pytest.approx(-0.4 + 0.2 * sums[[0, 3]].mean(), rel=1e-4)
    lengths = np.asarray(inputs.mask_BT.sum(axis=1))
    assert means["data/completion_tokens_online"] == lengths[[0, 2]].mean()
    entropy = np.where(inputs.mask_BT, inputs.entropy_BT, 0.0)
    assert means["policy/entropy"] == pytest.approx(entropy.sum() / lengths.sum(), rel=1e-5)


def test_group_baseline_makes_every_group_residual_sum_to_zero(make_inputs):
    objective = SoftPolicyOptimization()
    output = evaluate(objective, make_inputs())
    numerator, _ = output.metrics["q/residual_mean"]
    assert abs(float(numerator)) < 1e-4


def test_supervised_learns_from_the_right_rows_only(make_inputs):
    inputs = make_inputs()
    is_right = np.asarray(inputs.reward_B) >= 0
    gradient = np.asarray(grad_of(Supervised(), inputs))
    expected = np.where(np.asarray(inputs.mask_BT) & is_right[:, None], -1.0, 0.0)
    np.testing.assert_array_equal(gradient, expected)
    assert Supervised()(inputs).weight_sum == (-expected).sum()


def test_supervised_needs_no_reference(make_inputs):
    output = Supervised()(make_inputs()._replace(ref_logprobs_BT=None, initial_value_B=None))
    assert "policy/kl_to_reference" not in output.metrics
    assert bool(jnp.isfinite(output.loss_sum))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 0.0}, "beta must be finite and above 0, got 0.0"),
        ({"margin": float("nan")}, "margin must be finite and above 0"),
        ({"link": "crossentropy"}, "link='crossentropy' must be one of.*'cross_entropy'"),
        ({"baseline": "groups"}, "baseline='groups' must be one of.*did you mean 'group'"),
        ({"link": "cross_entropy", "residual_clip": 1.0}, "belongs to link='squared'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        SoftPolicyOptimization(**settings)


def test_cross_entropy_refuses_positive_rewards():
    objective = SoftPolicyOptimization(link="cross_entropy")
    objective.check_rewards(np.array([0.0, -1.0]))
    with pytest.raises(UserError, match=r"rewards must be <= 0, got 0\.5"):
        objective.check_rewards(np.array([0.5, -1.0]))
    SoftPolicyOptimization().check_rewards(np.array([0.5, -1.0]))


def test_needs_name_what_is_read(make_inputs):
    assert SoftPolicyOptimization().needs == {"ref_logprobs", "groups"}
    per_problem = SoftPolicyOptimization(baseline="initial_value")
    assert per_problem.needs == {"ref_logprobs", "initial_value"}
    with pytest.raises(ValueError, match="needs initial_value_B"):
        per_problem(make_inputs()._replace(initial_value_B=None))
    with pytest.raises(ValueError, match="needs ref_logprobs_BT"):
        per_problem(make_inputs()._replace(ref_logprobs_BT=None))
