"""REINFORCE and RLOO: by hand, and their expected gradients on the enumerated token tree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.objectives import RLOO, Reinforce


def means(output):
    return {name: float(n / d) for name, (n, d) in output.metrics.items() if d > 0}


def taught(gradient, mask):
    """The coefficient on the tokens of each sequence, which must be one number. [B]"""
    coefficients = np.asarray(gradient)[np.arange(len(mask)), np.asarray(mask).argmax(axis=1)]
    np.testing.assert_array_equal(gradient, np.where(mask, coefficients[:, None], 0.0))
    return coefficients


@pytest.fixture
def group(make_inputs):
    return make_inputs(num_groups=1, size=3)._replace(reward_B=jnp.array([0.0, -1.0, -2.0]))


@pytest.mark.parametrize(
    ("objective", "advantages"),
    [
        (RLOO(), [1.5, 0.0, -1.5]),
        (Reinforce(baseline="group"), [1.0, 0.0, -1.0]),
        (Reinforce(baseline="none"), [0.0, -1.0, -2.0]),
        (Reinforce(baseline="running"), [0.4, -0.6, -1.6]),
    ],
    ids=["rloo", "group", "none", "running"],
)
def test_baselines_by_hand(group, gradient_of, objective, advantages):
    coefficients = taught(gradient_of(objective, group), group.mask_BT)
    np.testing.assert_allclose(coefficients, -np.array(advantages), atol=1e-6)
    metrics = means(objective(group))
    assert metrics["policy/advantage_mean"] == pytest.approx(np.mean(advantages), abs=1e-6)
    assert metrics["policy/advantage_square"] == pytest.approx(np.mean(np.square(advantages)))
    assert objective(group).weight_sum == 3.0


def test_the_penalty_is_taken_from_the_reward(group, gradient_of):
    sums = np.where(group.mask_BT, group.logprobs_BT - group.ref_logprobs_BT, 0.0).sum(axis=1)
    score = np.asarray(group.reward_B) - 0.3 * sums
    none = Reinforce(baseline="none", kl_coefficient=0.3)
    np.testing.assert_allclose(taught(gradient_of(none, group), group.mask_BT), -score, rtol=1e-5)
    rloo = score - (score.sum() - score) / 2
    coefficients = taught(gradient_of(RLOO(kl_coefficient=0.3), group), group.mask_BT)
    np.testing.assert_allclose(coefficients, -rloo, rtol=1e-5)


def test_running_baseline_reports_the_group_and_falls_back_on_it(group, gradient_of):
    objective = Reinforce(baseline="running", kl_coefficient=0.3)
    sums = np.where(group.mask_BT, group.logprobs_BT - group.ref_logprobs_BT, 0.0).sum(axis=1)
    score = np.asarray(group.reward_B) - 0.3 * sums
    unknown = group._replace(initial_value_B=jnp.array([jnp.nan, -0.4, jnp.nan]))
    reported = objective(unknown).initial_value_B
    np.testing.assert_allclose(reported, np.full(3, score.mean()), rtol=1e-5)
    coefficients = taught(gradient_of(objective, unknown), group.mask_BT)
    expected = score - np.array([score.mean(), -0.4, score.mean()])
    np.testing.assert_allclose(coefficients, -expected, rtol=1e-5)
    assert Reinforce(baseline="group")(group).initial_value_B is None


@pytest.mark.parametrize("objective", [RLOO, Reinforce])
def test_importance_weights_by_hand(objective, make_inputs, gradient_of):
    """Two tokens each: sequence ratios 4 and 1/4, then capped at 3."""
    logprobs = jnp.log(jnp.full((2, 2), 0.5))
    inputs = make_inputs(num_groups=1, size=2, length=2)._replace(
        logprobs_BT=logprobs,
        behavior_logprobs_BT=logprobs - jnp.log(jnp.array([[2.0], [0.5]])),
        mask_BT=jnp.ones((2, 2), bool),
        reward_B=jnp.array([1.0, -1.0]),
    )
    plain = taught(gradient_of(objective(), inputs), inputs.mask_BT)
    whole = taught(gradient_of(objective(importance_cap=np.inf), inputs), inputs.mask_BT)
    np.testing.assert_allclose(whole, plain * [4.0, 0.25], rtol=1e-6)
    capped = objective(importance_cap=3.0)
    coefficients = taught(gradient_of(capped, inputs), inputs.mask_BT)
    np.testing.assert_allclose(coefficients, plain * [3.0, 0.25], rtol=1e-6)
    metrics = means(capped(inputs))
    assert metrics["policy/truncated_fraction"] == 0.5
    assert metrics["policy/importance_weight_mean"] == pytest.approx(1.625)
    assert metrics["policy/importance_weight_square"] == pytest.approx((9 + 1 / 16) / 2)


def expected_gradient(world, objective, logits, sampler):
    """Over groups of two drawn from `sampler`: every ordered pair with its probability. [S, V]"""
    tree, num = world.tree, len(world.tree.completions)
    members = np.stack(np.meshgrid(range(num), range(num), indexing="ij"), -1).reshape(-1)
    sampler_B = tree.probabilities(sampler)
    pair_weights = (sampler_B[:, None] * sampler_B[None, :]).reshape(-1)

    def loss(logits):
        each = world.inputs(logits, sampler_B, 0.0)
        each = each._replace(behavior_logprobs_BT=tree.logprobs(sampler))
        drawn = jax.tree.map(lambda x: x[members] if np.ndim(x) else x, each)
        output = objective(
            drawn._replace(
                weights_B=jnp.repeat(pair_weights, 2),
                group_B=jnp.arange(2 * num**2, dtype=jnp.int32) // 2,
            )
        )
        return output.loss_sum / output.weight_sum

    return jax.jit(jax.grad(loss))(jnp.asarray(logits))


def exact_gradient(world, logits, beta):
    """-grad of J = E r - beta KL(policy || reference), by enumeration. [S, V]"""

    def loss(logits):
        p = world.tree.probabilities(logits)
        log_ratio = jnp.log(p) - jnp.log(world.tree.probabilities(world.reference))
        return -jnp.sum(p * (world.reward_B - beta * log_ratio))

    return jax.jit(jax.grad(loss))(jnp.asarray(logits))


@pytest.mark.parametrize(
    ("make", "share"),
    [
        (RLOO, 1.0),
        (lambda **k: Reinforce(baseline="none", **k), 1.0),
        (lambda **k: Reinforce(baseline="running", **k), 1.0),
        (lambda **k: Reinforce(baseline="group", **k), 0.5),
    ],
    ids=["rloo", "none", "running", "group"],
)
def test_on_policy_gradient_is_that_of_the_kl_regularised_objective(world, make, share):
    """(n - 1) / n of it where a sequence is part of its own baseline; n is 2."""
    logits = world.tree.random_logits(31)
    gradient = expected_gradient(world, make(kl_coefficient=world.beta), logits, logits)
    exact = exact_gradient(world, logits, world.beta)
    np.testing.assert_allclose(gradient, share * exact, atol=1e-12)


@pytest.mark.parametrize("objective", [RLOO, Reinforce])
def test_importance_weights_correct_a_stale_sampler(world, objective):
    """Exactly without a cap; a cap trades some of the bias back, and no weights leave all of it."""
    logits = world.tree.random_logits(32)
    share = 1.0 if objective is RLOO else 0.5
    exact = share * exact_gradient(world, logits, world.beta)

    def error(cap):
        corrected = objective(kl_coefficient=world.beta, importance_cap=cap)
        gradient = expected_gradient(world, corrected, logits, world.behavior)
        return float(jnp.abs(gradient - exact).max())

    assert error(np.inf) < 1e-12
    assert error(2.0) > 1e-3
    assert error(None) > 1e-2


def test_gradients_are_those_of_the_value(float64, make_inputs, gradient_of):
    """The surrogate is linear in the logprobs; the advantage and the weight are constants."""
    inputs = make_inputs(num_groups=2, size=3, length=4, dtype=jnp.float64)
    gradient = np.asarray(gradient_of(RLOO(), inputs))
    loss = jax.jit(lambda array: RLOO()(inputs._replace(logprobs_BT=array)).loss_sum)
    for b, t in np.argwhere(inputs.mask_BT):
        up, down = (loss(inputs.logprobs_BT.at[b, t].add(sign * 0.1)) for sign in (1, -1))
        np.testing.assert_allclose(gradient[b, t], (up - down) / 0.2, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RLOO(importance_cap=0.0), "importance_cap must be above 0, got 0.0"),
        (lambda: Reinforce(kl_coefficient=-1), "kl_coefficient must be finite and at least 0"),
        (lambda: Reinforce(baseline="value"), "baseline='value' must be one of"),
        (lambda: Reinforce(baseline="groups"), "did you mean 'group'"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_needs_name_what_is_read(make_inputs):
    assert RLOO().needs == Reinforce().needs == {"groups"}
    assert Reinforce(baseline="none").needs == frozenset()
    assert Reinforce(baseline="running").needs == {"running_initial_value"}
    everything = RLOO(kl_coefficient=0.1, importance_cap=2.0)
    assert everything.needs == {"groups", "ref_logprobs", "behavior_logprobs"}
    bare = make_inputs()._replace(
        ref_logprobs_BT=None, behavior_logprobs_BT=None, values_BT=None, initial_value_B=None
    )
    assert bool(jnp.isfinite(RLOO()(bare).loss_sum))
    for objective, name in (
        (Reinforce(baseline="running"), "Reinforce needs initial_value_B"),
        (RLOO(importance_cap=2.0), "RLOO needs behavior_logprobs_BT"),
        (RLOO(kl_coefficient=0.1), r"kl_coefficient=0\.1 needs ref_logprobs_BT"),
    ):
        with pytest.raises(ValueError, match=name):
            objective(bare)
