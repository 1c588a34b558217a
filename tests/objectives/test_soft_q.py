import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.objectives.soft_q import (
    initial_value_log_mean_exp,
    initial_value_pass_rate,
    log_ratios,
    soft_q_values,
)


def test_soft_q_by_hand():
    logprobs = jnp.array([[-1.0, -2.0, -9.0]])
    reference = jnp.array([[-1.5, -1.0, jnp.nan]])
    deltas = log_ratios(logprobs, reference, jnp.array([[True, True, False]]))
    np.testing.assert_allclose(deltas, [[0.5, -1.0, 0.0]])
    q = soft_q_values(deltas, jnp.array([-0.2]), beta=2.0)
    np.testing.assert_allclose(q, [[0.8, -1.2, -1.2]], rtol=1e-6)


def test_policy_equal_to_reference_keeps_the_initial_value_on_every_token():
    logprobs = -jax.random.exponential(jax.random.key(0), (3, 50))
    deltas = log_ratios(logprobs, logprobs, jnp.ones((3, 50), bool))
    q = soft_q_values(deltas, jnp.array([-0.5, 0.0, 2.0]), beta=0.1)
    np.testing.assert_array_equal(q, np.broadcast_to([[-0.5], [0.0], [2.0]], (3, 50)))


def test_no_gradient_flows_into_the_reference():
    ones = jnp.ones((2, 3))
    gradient = jax.grad(lambda ref: jnp.sum(log_ratios(ones, ref, ones > 0) ** 2))(2 * ones)
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))


def test_bfloat16_logprobs_are_subtracted_in_float32():
    policy = jnp.full((1, 1000), -1.0, jnp.bfloat16)
    reference = jnp.full((1, 1000), -1.0078125, jnp.bfloat16)
    q = soft_q_values(log_ratios(policy, reference, jnp.ones((1, 1000), bool)), jnp.zeros(1), 1.0)
    assert q.dtype == jnp.float32
    np.testing.assert_allclose(q[0, -1], 7.8125, rtol=1e-5)


def test_log_mean_exp_is_exact_for_constant_rewards_and_between_mean_and_max():
    constant = initial_value_log_mean_exp(np.full(8, -0.7), beta=0.1)
    assert constant.value == pytest.approx(-0.7) and constant.standard_error == 0.0
    rewards = np.array([0.0, -1.0, -1.0, -0.5])
    estimate = initial_value_log_mean_exp(rewards, beta=0.3)
    assert rewards.mean() < estimate.value < rewards.max()
    expected = 0.3 * np.log(np.mean(np.exp(rewards / 0.3)))
    assert estimate.value == pytest.approx(expected)
    assert estimate.num_samples == 4


def test_log_mean_exp_falls_with_beta_towards_the_mean():
    rewards = np.array([0.0, -1.0, -1.0])
    values = [initial_value_log_mean_exp(rewards, b).value for b in (0.01, 0.1, 1.0, 100.0)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(rewards.mean(), abs=0.01)


def test_log_mean_exp_survives_tiny_beta_and_tells_single_samples():
    estimate = initial_value_log_mean_exp(np.array([-1000.0]), beta=1e-3)
    assert estimate.value == -1000.0
    assert np.isinf(initial_value_log_mean_exp(np.array([-1.0, 0.0])[:1], 0.5).standard_error)


def test_pass_rate_equals_log_mean_exp_without_a_prior():
    rewards = np.array([0.0] * 3 + [-1.0] * 13)
    plain = initial_value_pass_rate(3, 16, beta=0.2, prior=0.0)
    assert plain.value == pytest.approx(initial_value_log_mean_exp(rewards, 0.2).value)


def test_pass_rate_prior_pulls_towards_one_half():
    with_prior = initial_value_pass_rate(0, 7, beta=0.2)
    p = 0.5 / 8
    assert with_prior.value == pytest.approx(0.2 * np.log(p + (1 - p) * np.exp(-5.0)))
    assert initial_value_pass_rate(0, 7, beta=0.2, prior=0.0).value == pytest.approx(-1.0)


def test_pass_rate_with_nothing_right_and_a_tiny_beta_is_the_lower_reward():
    assert initial_value_pass_rate(0, 4, beta=1e-4, prior=0.0).value == -1.0
    assert initial_value_pass_rate(4, 4, beta=1e-4, prior=0.0).value == 0.0


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_standard_error_matches_the_spread_of_repeated_estimates(rate):
    rng, num, beta = np.random.default_rng(0), 64, 0.2
    counts = rng.binomial(num, rate, size=4000)
    values = [initial_value_pass_rate(int(k), num, beta, prior=0.5).value for k in counts]
    claimed = initial_value_pass_rate(round(rate * num), num, beta).standard_error
    assert claimed == pytest.approx(np.std(values), rel=0.25)
    # In nats it is about sqrt((1 - p) / (n p)) while right answers dominate.
    assert claimed / beta == pytest.approx(np.sqrt((1 - rate) / (num * rate)), rel=0.15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: initial_value_log_mean_exp(np.array([]), 0.1), "at least one"),
        (lambda: initial_value_log_mean_exp(np.array([0.0, np.nan]), 0.1), "must be finite"),
        (lambda: initial_value_log_mean_exp(np.zeros(2), 0.0), "beta must be finite and above 0"),
        (lambda: initial_value_pass_rate(5, 4, 0.1), r"num_right=5 <= num_samples=4"),
        (lambda: initial_value_pass_rate(1, 4, 0.1, prior=-1), "prior must be at least 0, got -1"),
    ],
)
def test_estimators_refuse_nonsense(call, message):
    with pytest.raises(UserError, match=message):
        call()
