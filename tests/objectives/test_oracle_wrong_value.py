"""What a wrong initial value does to the terminal squared loss, off-policy."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.objectives import SoftPolicyOptimization


@pytest.mark.parametrize("error", [-0.4, 0.4])
def test_a_wrong_initial_value_misses_the_optimum_off_policy(world, error):
    objective = SoftPolicyOptimization(beta=world.beta, baseline="initial_value")
    _, initial_value = world.optimum()
    behavior_B = world.tree.probabilities(world.behavior)
    learned_B = world.fit(objective, behavior_B, initial_value + error)
    assert world.shortfall(learned_B) > 1e-3


def test_too_high_an_initial_value_is_worse_than_too_low(world):
    """Too low shrinks towards the data, exact when that is the optimum; too high leaks."""
    objective = SoftPolicyOptimization(beta=world.beta, baseline="initial_value")
    optimum_B, initial_value = world.optimum()
    low_B = world.fit(objective, optimum_B, initial_value - 0.4)
    high_B = world.fit(objective, optimum_B, initial_value + 0.4)
    assert world.shortfall(low_B) < 1e-5
    assert world.shortfall(high_B) > 1e-2


@pytest.mark.parametrize("error", [-0.4, -0.02, 0.02, 0.4])
def test_where_a_wrong_initial_value_ends(world, error):
    """Equation (28): beta log(pi / pi*) + error = constant * pi / mu, and how far that is."""
    beta, (optimum_B, initial_value) = world.beta, world.optimum()
    behavior_B = world.tree.probabilities(world.behavior)
    objective = SoftPolicyOptimization(beta=beta, baseline="initial_value")
    learned_B = world.fit(objective, behavior_B, initial_value + error, steps=6000)
    constant_B = (beta * jnp.log(learned_B / optimum_B) + error) * behavior_B / learned_B
    assert float(jnp.ptp(constant_B)) < 1e-4
    if abs(error) < 0.1:
        ratio_B = optimum_B / behavior_B
        mean = jnp.sum(optimum_B * ratio_B)
        spread = jnp.sum(optimum_B * ratio_B**2) / mean**2 - 1
        predicted = float(error**2 / (2 * beta**2) * spread)
        assert world.shortfall(learned_B) == pytest.approx(predicted, rel=0.35)


def test_too_high_leaks_to_one_answer_the_data_hardly_show(world):
    """Of the optimum's own data; it takes a share of 1 - e^{-error / beta}."""
    error, (optimum_B, initial_value) = 0.4, world.optimum()
    objective = SoftPolicyOptimization(beta=world.beta, baseline="initial_value")
    learned_B = world.fit(objective, optimum_B, initial_value + error, steps=6000)
    gained_B = np.asarray(learned_B - optimum_B)
    assert optimum_B[gained_B.argmax()] < 0.01
    assert gained_B.max() == pytest.approx(1 - np.exp(-error / world.beta), abs=0.03)
    assert (gained_B > 0).sum() == 1


def test_right_answers_alone_have_a_finite_target(world):
    """Unlike plain likelihood, which goes on until nothing else is left."""
    is_right_B = np.random.default_rng(9).random(len(world.tree.completions)) < 0.3
    binary = dataclasses.replace(world, reward_B=np.where(is_right_B, -0.01, -1.5))
    optimum_B, initial_value = binary.optimum()
    weights_B = np.where(is_right_B, binary.tree.probabilities(binary.behavior), 0.0)
    objective = SoftPolicyOptimization(beta=world.beta, baseline="initial_value")
    learned_B = np.asarray(binary.fit(objective, weights_B, initial_value, steps=4000))
    np.testing.assert_allclose(learned_B[is_right_B], optimum_B[is_right_B], rtol=1e-3)
    assert learned_B[is_right_B].sum() < 0.99
