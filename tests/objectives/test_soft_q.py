import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.objectives.soft_q import (
    initial_value_log_mean_exp,
    initial_value_off_policy,
    initial_value_pass_rate,
    log_ratios,
    path_residuals,
    running_initial_value,
    soft_q_values,
)


def test_soft_q_by_hand():
    logprobs = jnp.array([[-1.0, -2.0, -9.0]])
    reference = jnp.array([[-1.5, -1.0, jnp.nan]])
    deltas = log_ratios(logprobs, reference, jnp.array([[True, True, False]]))
    np.testing.assert_allclose(deltas, [[0.5, -1.0, 0.0]])
    q = soft_q_values(deltas, jnp.array([-0.2]), beta=2.0)
    np.testing.assert_allclose(q, [[0.8, -1.2, -1.2]], rtol=1e-6)


def test_path_residuals_by_hand():
    q, mask = jnp.array([[-0.5, jnp.nan, -0.1]]), jnp.array([[True, False, True]])
    residuals = path_residuals(q, jnp.array([-1.0]), mask)
    np.testing.assert_allclose(residuals, [[0.5, 0.0, 0.9]], rtol=1e-6)


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


def estimates_of(make, num_trials=3000, seed=0):
    """Values, claimed biases and errors, and whether the 95% interval holds Q_0, of many trials."""
    rng = np.random.default_rng(seed)
    estimates, true_value = zip(*(make(rng) for _ in range(num_trials)), strict=True)
    inside = [low <= true_value[0] <= high for low, high in (each.interval() for each in estimates)]
    return (
        np.array([each.value for each in estimates]) - true_value[0],
        np.mean([each.bias for each in estimates]),
        np.mean([each.standard_error for each in estimates]),
        np.mean(inside),
    )


REWARDS, SHARES = np.array([0.0, -0.3, -1.0]), np.array([0.3, 0.3, 0.4])


def test_log_mean_exp_says_how_much_it_errs():
    """Equation (24): its bias and interval are those of repeated estimates."""
    beta = 0.5
    true_value = beta * np.log(SHARES @ np.exp(REWARDS / beta))

    def estimate(rng):
        rewards = rng.choice(REWARDS, size=40, p=SHARES)
        return initial_value_log_mean_exp(rewards, beta), true_value

    errors, bias, standard_error, coverage = estimates_of(estimate)
    assert errors.mean() == pytest.approx(bias, abs=3 * errors.std() / np.sqrt(len(errors)))
    assert bias < 0 and standard_error == pytest.approx(errors.std(), rel=0.05)
    assert coverage == pytest.approx(0.95, abs=0.02)


def test_pass_rate_says_how_much_its_prior_pulls():
    beta, rate, num = 0.5, 0.2, 60
    true_value = beta * np.log(rate + (1 - rate) * np.exp(-1 / beta))

    def estimate(rng):
        num_right = int(rng.binomial(num, rate))
        return initial_value_pass_rate(num_right, num, beta, prior=4.0), true_value

    errors, bias, _, coverage = estimates_of(estimate)
    assert errors.mean() == pytest.approx(bias, rel=0.2) and bias > 0
    assert coverage == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("self_normalized", [False, True])
def test_off_policy_samples_give_the_same_initial_value(self_normalized):
    """Equation (25), from a policy that prefers what the reference does not."""
    beta, behavior = 0.5, np.array([0.5, 0.3, 0.2])
    true_value = beta * np.log(SHARES @ np.exp(REWARDS / beta))

    def estimate(rng):
        drawn = rng.choice(3, size=300, p=behavior)
        log_weights = np.log(SHARES / behavior)[drawn]
        return initial_value_off_policy(
            REWARDS[drawn], log_weights, beta, self_normalized=self_normalized
        ), true_value

    errors, bias, standard_error, coverage = estimates_of(estimate)
    assert errors.mean() == pytest.approx(bias, abs=3 * errors.std() / np.sqrt(len(errors)))
    assert standard_error == pytest.approx(errors.std(), rel=0.05)
    assert coverage == pytest.approx(0.95, abs=0.02)


def test_off_policy_at_the_optimum_is_exact_in_the_plain_form():
    """w e^{r/beta} is then the same for every sample: one sample is enough."""
    beta = 0.5
    optimum = SHARES * np.exp(REWARDS / beta)
    true_value = beta * np.log(optimum.sum())
    log_weights = np.log(SHARES / (optimum / optimum.sum()))
    plain = initial_value_off_policy(REWARDS, log_weights, beta)
    assert plain.value == pytest.approx(true_value)
    assert plain.standard_error == pytest.approx(0.0, abs=1e-12)
    assert plain.effective_num_samples == pytest.approx(3.0)
    other = initial_value_off_policy(REWARDS, log_weights, beta, self_normalized=True)
    assert other.standard_error > 0.01


def test_self_normalised_needs_no_scale_and_stays_in_range():
    rewards, log_weights = np.array([-0.4, -0.4]), np.array([3.0, 5.0])
    normalised = initial_value_off_policy(rewards, log_weights, 0.2, self_normalized=True)
    assert normalised.value == pytest.approx(-0.4)
    assert initial_value_off_policy(rewards, log_weights, 0.2).value > 0.3


def test_off_policy_with_equal_weights_is_log_mean_exp():
    rewards = np.array([0.0, -1.0, -0.5])
    plain = initial_value_log_mean_exp(rewards, 0.3)
    for form in (False, True):
        weighted = initial_value_off_policy(rewards, np.zeros(3), 0.3, self_normalized=form)
        assert weighted.value == pytest.approx(plain.value)
        assert weighted.standard_error == pytest.approx(plain.standard_error)
        assert weighted.bias == pytest.approx(plain.bias)


def test_effective_number_of_samples_tells_when_one_decides():
    few = initial_value_log_mean_exp(np.array([0.0] + [-5.0] * 99), 0.2)
    assert few.num_samples == 100 and few.effective_num_samples == pytest.approx(1.0)
    heavy = np.array([9.0, 0.0, 0.0])
    estimate = initial_value_off_policy(np.zeros(3), heavy, 0.2, self_normalized=True)
    assert estimate.effective_num_samples == pytest.approx(1.0, abs=1e-3)


def test_nothing_is_claimed_from_one_sample():
    for form in (False, True):
        one = initial_value_off_policy(np.zeros(1), np.ones(1), 0.2, self_normalized=form)
        assert np.isinf(one.standard_error) and one.interval() == (-np.inf, np.inf)
        assert one.bias == -np.inf


def test_intervals_widen_with_the_confidence():
    estimate = initial_value_log_mean_exp(np.array([0.0, -1.0, -1.0, -0.5]), 0.3)
    narrow, wide = estimate.interval(0.5), estimate.interval(0.99)
    assert wide[0] < narrow[0] < estimate.value - estimate.bias < narrow[1] < wide[1]


def test_running_moves_by_its_rate_from_the_first_it_sees():
    assert running_initial_value(None, -0.8, rate=0.1) == -0.8
    assert running_initial_value(float("nan"), -0.8, rate=0.1) == -0.8
    assert running_initial_value(-0.8, -0.4, rate=0.25) == pytest.approx(-0.7)
    assert running_initial_value(-0.8, -0.4, rate=1.0) == pytest.approx(-0.4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: initial_value_log_mean_exp(np.array([]), 0.1), "at least one"),
        (lambda: initial_value_log_mean_exp(np.array([0.0, np.nan]), 0.1), "must be finite"),
        (lambda: initial_value_log_mean_exp(np.zeros(2), 0.0), "beta must be finite and above 0"),
        (lambda: initial_value_pass_rate(5, 4, 0.1), r"num_right=5 <= num_samples=4"),
        (lambda: initial_value_pass_rate(1, 4, 0.1, prior=-1), "prior must be at least 0, got -1"),
        (
            lambda: initial_value_off_policy(np.zeros(2), np.zeros(3), 0.1),
            r"log_weights \(3,\) and rewards \(2,\) must agree",
        ),
        (
            lambda: initial_value_off_policy(np.zeros(1), np.array([-np.inf]), 0.1),
            r"log_weights must be finite, got \[-inf\]",
        ),
        (lambda: initial_value_log_mean_exp(np.zeros(2), 0.1).interval(95), "between 0 and 1, got"),
        (lambda: running_initial_value(0.0, 0.0, rate=0.0), "rate must be above 0 and at most 1"),
        (lambda: running_initial_value(-1.0, float("nan"), rate=0.1), "must be finite, got nan"),
    ],
)
def test_estimators_refuse_nonsense(call, message):
    with pytest.raises(UserError, match=message):
        call()
