"""Regression of advantages: one form is exact, one as good as its values, two are biased."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.objectives import AdvantageRegression, SoftPolicyOptimization
from spo_jax.objectives.advantage_regression import next_chosen

MISSES = 5e-3  # nats


def fit(world, target):
    objective = AdvantageRegression(beta=world.beta, target=target, baseline="initial_value")
    behavior_B = world.tree.probabilities(world.behavior)
    return world.fit(objective, behavior_B, world.optimum()[1], steps=4000)


@pytest.mark.parametrize("baseline", ["group", "leave_one_out", "initial_value"])
def test_the_sequence_form_is_terminal_squared_regression(make_inputs, baseline):
    """Equation (19): the same sums, to the last bit."""
    inputs = make_inputs()
    ours = AdvantageRegression(beta=0.3, baseline=baseline)(inputs)
    terminal = SoftPolicyOptimization(beta=0.3, baseline=baseline)(inputs)
    for name in ("loss/total", "loss/true", "q/residual_mean"):
        np.testing.assert_allclose(ours.metrics[name], terminal.metrics[name], rtol=1e-6)
    np.testing.assert_allclose(ours.loss_B, terminal.loss_B, rtol=1e-6)
    assert ours.weight_sum == terminal.weight_sum


def test_exact_forms_reach_the_optimum_from_off_policy_data(world):
    """'values' with the right soft values, whatever the behaviour's lengths."""
    assert world.shortfall(fit(world, "sequence")) < 1e-6
    assert world.shortfall(fit(world, "values")) < 1e-6


@pytest.mark.parametrize("target", ["local", "uniform"])
def test_reconstructed_local_forms_are_biased(world, target):
    assert world.shortfall(fit(world, target)) > MISSES


def test_local_and_uniform_have_a_gradient_at_the_optimum(world):
    """Which is how they miss it: what they pull each advantage to is not the optimal one."""
    optimum_B, initial_value = world.optimum()
    logits = world.tree.logits_of(optimum_B)
    behavior_B = world.tree.probabilities(world.behavior)
    sizes = {}
    for target in ("sequence", "values", "local", "uniform"):
        objective = AdvantageRegression(beta=world.beta, target=target, baseline="initial_value")
        gradient = world.gradient(objective, logits, behavior_B, initial_value)
        sizes[target] = float(jnp.abs(gradient).max())
    assert max(sizes["sequence"], sizes["values"]) < 1e-10
    assert min(sizes["local"], sizes["uniform"]) > 1e-3


def expected_returns(world):
    """The reward a behaviour policy expects before each token: what PPO's critic learns. [B, T]"""
    tree, behavior_B = world.tree, np.asarray(world.tree.probabilities(world.behavior))
    values_BT = np.zeros(tree.mask.shape)
    for b, completion in enumerate(tree.completions):
        for t in range(len(completion)):
            same = [i for i, c in enumerate(tree.completions) if c[:t] == completion[:t]]
            values_BT[b, t] = behavior_B[same] @ world.reward_B[same] / behavior_B[same].sum()
    return values_BT


def test_expected_returns_are_no_soft_values(world):
    """Advantages of a critic as PPO trains it lead elsewhere."""
    optimum_B, initial_value = world.optimum()
    objective = AdvantageRegression(
        beta=world.beta, target="values", baseline="initial_value", critic_weight=0.0
    )
    behavior_B = world.tree.probabilities(world.behavior)
    hard_BT = jnp.asarray(expected_returns(world))

    def loss_sum(logits, values_BT):
        inputs = world.inputs(logits, behavior_B, initial_value)
        return objective(inputs._replace(values_BT=values_BT)).loss_sum

    slope = jax.jit(jax.grad(loss_sum))
    logits = world.tree.logits_of(optimum_B)
    assert float(jnp.abs(slope(logits, jnp.asarray(world.values_before))).max()) < 1e-10
    assert float(jnp.abs(slope(logits, hard_BT)).max()) > 1e-2


def test_the_critic_loss_has_the_soft_values_of_the_data_as_its_minimum(world, gradient_of):
    """On the reference's own data these are V*; the gradient of each prefix then sums to 0."""
    tree, reference_B = world.tree, world.tree.probabilities(world.reference)
    objective = AdvantageRegression(beta=world.beta, target="values", margin=0.01)

    def slope_by_prefix(weights_B, values_BT):
        inputs = world.inputs(world.reference, weights_B)._replace(values_BT=values_BT)
        slope_BT = np.where(tree.mask, gradient_of(objective, inputs, "values_BT"), 0.0)
        total_S = np.zeros(len(tree.prefixes))
        np.add.at(total_S, tree.states, slope_BT)
        return total_S

    soft_BT = jnp.asarray(world.values_before)
    np.testing.assert_allclose(slope_by_prefix(reference_B, soft_BT), 0.0, atol=1e-10)
    better = slope_by_prefix(world.optimum()[0], soft_BT)
    assert better.max() < 1e-10 and better.min() < -1e-2  # data of a better policy push V up


def test_no_gradient_of_the_policy_flows_into_the_values(make_inputs, gradient_of):
    frozen = AdvantageRegression(target="values", critic_weight=0.0)
    np.testing.assert_array_equal(gradient_of(frozen, make_inputs(), "values_BT"), 0.0)
    trained = AdvantageRegression(target="values", critic_weight=1.0)
    assert float(jnp.abs(gradient_of(trained, make_inputs(), "values_BT")).max()) > 0


def test_next_chosen_skips_the_environment():
    mask = jnp.array([[True, False, False, True, True], [False, True, False, False, False]])
    np.testing.assert_array_equal(next_chosen(mask), [[3, 3, 3, 4, 5], [1, 5, 5, 5, 5]])


def test_values_by_hand(make_inputs, gradient_of):
    """Equation (22): -0.5 -> -0.2 -> (environment) -> reward; in nats of beta 0.5."""
    inputs = make_inputs(num_groups=1, size=1, length=3)._replace(
        logprobs_BT=jnp.array([[0.3, jnp.nan, 0.1]]),
        ref_logprobs_BT=jnp.zeros((1, 3)),
        mask_BT=jnp.array([[True, False, True]]),
        values_BT=jnp.array([[-0.5, jnp.nan, -0.2]]),
        reward_B=jnp.array([-1.0]),
    )
    objective = AdvantageRegression(beta=0.5, target="values", critic_weight=0.0)
    errors = [[0.3 - 0.3 / 0.5, 0.0, 0.1 - (-1.0 + 0.2) / 0.5]]
    np.testing.assert_allclose(gradient_of(objective, inputs), errors, rtol=1e-5)


def test_needs_and_refusals(make_inputs):
    assert AdvantageRegression().needs == {"ref_logprobs", "groups"}
    values = AdvantageRegression(target="values")
    assert values.needs == {"ref_logprobs", "groups", "values"}
    with pytest.raises(ValueError, match="needs values_BT"):
        values(make_inputs()._replace(values_BT=None))
    with pytest.raises(UserError, match="target='token' must be one of"):
        AdvantageRegression(target="token")
    with pytest.raises(UserError, match="critic_weight must be finite and at least 0, got -1"):
        AdvantageRegression(critic_weight=-1)
    with pytest.raises(UserError, match="rewards must be <= 0, got 1"):
        values.check_rewards(np.array([1.0]))
    AdvantageRegression(target="local").check_rewards(np.array([1.0]))
