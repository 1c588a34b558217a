"""Advantages by token and by group: against loops, by hand, with holes in the mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.objectives.advantages import (
    generalized_advantages,
    group_advantages,
    on_last_token,
)


def loop(rewards, values, discount, gae_lambda):
    """Of one sequence of chosen tokens, from the end."""
    advantages, next_value, next_advantage = [], 0.0, 0.0
    for reward, value in zip(rewards[::-1], values[::-1], strict=True):
        error = reward + discount * next_value - value
        next_advantage = error + discount * gae_lambda * next_advantage
        next_value = value
        advantages.append(next_advantage)
    return np.array(advantages[::-1])


@pytest.mark.parametrize(("discount", "gae_lambda"), [(1.0, 1.0), (0.9, 0.7), (0.9, 0.0), (0, 1)])
def test_generalized_advantages_equal_a_loop_over_chosen_tokens(float64, discount, gae_lambda):
    rng = np.random.default_rng(0)
    mask = rng.uniform(size=(6, 9)) < 0.6
    mask[0], mask[1], mask[2] = False, True, np.arange(9) == 4
    rewards, values = rng.normal(size=(2, 6, 9))
    result = generalized_advantages(
        jnp.where(mask, rewards, jnp.nan),
        jnp.where(mask, values, jnp.inf),
        jnp.asarray(mask),
        discount=discount,
        gae_lambda=gae_lambda,
    )
    for b in range(6):
        expected = loop(rewards[b, mask[b]], values[b, mask[b]], discount, gae_lambda)
        np.testing.assert_allclose(result.advantages_BT[b, mask[b]], expected, atol=1e-12)
        returns = expected + values[b, mask[b]]
        np.testing.assert_allclose(result.returns_BT[b, mask[b]], returns, atol=1e-12)
    np.testing.assert_array_equal(np.asarray(result.advantages_BT)[~mask], 0.0)


def test_lambda_1_is_the_return_less_the_value():
    mask = jnp.array([[True, False, True, True, False]])
    rewards = on_last_token(jnp.array([-1.0]), mask)
    values = jnp.array([[0.5, 9.0, 0.25, -0.5, 9.0]])
    result = generalized_advantages(rewards, values, mask, discount=1.0, gae_lambda=1.0)
    np.testing.assert_allclose(result.advantages_BT, [[-1.5, 0.0, -1.25, -0.5, 0.0]])
    np.testing.assert_allclose(result.returns_BT, [[-1.0, 0.0, -1.0, -1.0, 0.0]])


def test_tokens_of_the_environment_cost_no_discount():
    mask = jnp.array([[True, False, False, True]])
    rewards = on_last_token(jnp.array([1.0]), mask)
    result = generalized_advantages(rewards, jnp.zeros((1, 4)), mask, discount=0.5, gae_lambda=1.0)
    np.testing.assert_allclose(result.advantages_BT, [[0.5, 0.0, 0.0, 1.0]])


def test_no_gradient_flows_into_advantages_or_returns():
    mask = jnp.ones((1, 3), bool)

    def total(rewards, values):
        result = generalized_advantages(rewards, values, mask, discount=0.9, gae_lambda=0.5)
        return jnp.sum(result.advantages_BT + result.returns_BT)

    for gradient in jax.grad(total, argnums=(0, 1))(jnp.ones((1, 3)), 2 * jnp.ones((1, 3))):
        np.testing.assert_array_equal(gradient, 0.0)


def test_bfloat16_values_are_summed_in_float32():
    mask = jnp.ones((1, 1000), bool)
    errors = jnp.full((1, 1000), 0.0078125, jnp.bfloat16)
    values = jnp.zeros((1, 1000), jnp.bfloat16)
    result = generalized_advantages(errors, values, mask, discount=1.0, gae_lambda=1.0)
    assert result.advantages_BT.dtype == jnp.float32
    np.testing.assert_allclose(result.advantages_BT[0, 0], 7.8125)


def test_reward_lands_on_the_last_chosen_token_once():
    mask = jnp.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
    expected = np.zeros((4, 5))
    expected[0, 3], expected[2, 0], expected[3, 4] = -1.0, -3.0, -4.0
    rewards = on_last_token(jnp.array([-1.0, -2.0, -3.0, -4.0]), mask)
    np.testing.assert_array_equal(rewards, expected)


REWARDS = jnp.array([0.0, -1.0, -1.0, -1.0, jnp.nan, 5.0, 2.0])
WEIGHTS = jnp.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.5, 0.5])
GROUPS = jnp.array([0, 0, 0, 0, 0, 3, 3])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.75, -0.25, -0.25, -0.25, 0.0, 1.5, -1.5]),
        ({"leave_one_out": True}, [1.0, -1 / 3, -1 / 3, -1 / 3, 0.0, 3.0, -3.0]),
        (
            {"normalize_std": True},
            [3**0.5, -(3**-0.5), -(3**-0.5), -(3**-0.5), 0.0, 1.0, -1.0],
        ),
    ],
)
def test_group_advantages_by_hand(options, expected):
    advantages = group_advantages(REWARDS, WEIGHTS, GROUPS, **options)
    np.testing.assert_allclose(advantages, expected, rtol=1e-6)


def test_group_advantages_are_weighted():
    """Weights 3 and 1: mean 3 / 4 of the way to the first."""
    rewards, weights = jnp.array([0.0, -4.0]), jnp.array([3.0, 1.0])
    groups = jnp.zeros(2, jnp.int32)
    np.testing.assert_allclose(group_advantages(rewards, weights, groups), [1.0, -3.0])


@pytest.mark.parametrize("options", [{}, {"leave_one_out": True}, {"normalize_std": True}])
def test_equal_rewards_have_exactly_no_advantage_and_finite_gradients(options):
    """The float32 mean of three times -0.9 is not -0.9: the rest over its own size would be 1."""
    rewards, groups = jnp.array([-0.9, -0.9, -0.9, 7.7]), jnp.array([0, 0, 0, 1])

    def total(rewards):
        return jnp.sum(group_advantages(rewards, jnp.ones(4), groups, **options))

    advantages = group_advantages(rewards, jnp.ones(4), groups, **options)
    np.testing.assert_array_equal(advantages, 0.0)
    np.testing.assert_array_equal(jax.grad(total)(rewards), 0.0)


def test_normalised_advantages_do_not_depend_on_the_scale_of_rewards():
    groups = jnp.zeros(4, jnp.int32)
    rewards = jnp.array([0.0, -1.0, -0.5, 0.25])
    small, large = (
        group_advantages(scale * rewards, jnp.ones(4), groups, normalize_std=True)
        for scale in (0.01, 100.0)
    )
    np.testing.assert_allclose(small, large, rtol=1e-5)
