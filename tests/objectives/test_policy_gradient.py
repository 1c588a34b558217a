"""Ratios, clipping, weights and KL estimates: by hand, by expectation, at extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.objectives.policy_gradient import (
    MAX_LOG_RATIO,
    behavior_metrics,
    check_limit,
    check_share,
    clipped_surrogate,
    is_clipped,
    kl_estimate,
    kl_penalised_reward,
    real_rows,
    sequence_ratios,
    token_ratios,
    truncated_weights,
)

OLD = jnp.log(jnp.array([[0.5, 0.25, 0.5], [0.5, jnp.nan, 0.5]]))
NEW = jnp.log(jnp.array([[0.25, 0.5, 0.5], [1.0, 0.1, 0.25]]))
MASK = jnp.array([[True, True, False], [True, False, True]])


def test_ratios_by_hand():
    np.testing.assert_allclose(token_ratios(NEW, OLD, MASK), [[0.5, 2, 1], [2, 1, 0.5]], rtol=1e-6)
    mask = MASK.at[0, 0].set(False)
    np.testing.assert_allclose(sequence_ratios(NEW, OLD, mask), [2.0, 1.0], rtol=1e-6)
    longer = sequence_ratios(jnp.zeros((1, 4)), jnp.full((1, 4), -0.5), jnp.ones((1, 4), bool))
    np.testing.assert_allclose(longer, [np.exp(2.0)], rtol=1e-6)
    mean = sequence_ratios(NEW, OLD, mask, length_normalized=True)
    np.testing.assert_allclose(mean, [2.0, 1.0], rtol=1e-6)


def test_geometric_mean_does_not_grow_with_the_length():
    for length in (1, 7):
        old, new = jnp.full((1, length), -1.5), jnp.full((1, length), -1.0)
        mask = jnp.ones((1, length), bool)
        mean = sequence_ratios(new, old, mask, length_normalized=True)
        np.testing.assert_allclose(mean, [np.exp(0.5)], rtol=1e-6)


def test_a_sequence_without_tokens_has_ratio_1():
    nothing = jnp.zeros_like(MASK)
    for normalized in (False, True):
        ratios = sequence_ratios(NEW, OLD, nothing, length_normalized=normalized)
        np.testing.assert_array_equal(ratios, [1.0, 1.0])


def test_an_absurd_ratio_stays_finite_and_so_does_its_square():
    mask = jnp.ones((1, 2), bool)
    ratios = token_ratios(jnp.array([[0.0, -1e4]]), jnp.array([[-1e4, 0.0]]), mask)
    np.testing.assert_allclose(ratios, np.exp([[MAX_LOG_RATIO, -MAX_LOG_RATIO]]), rtol=1e-5)
    assert bool(jnp.isfinite(ratios**2).all())


def test_no_gradient_flows_into_the_old_policy():
    gradient = jax.grad(lambda old: jnp.sum(token_ratios(NEW, old, MASK)))(OLD)
    np.testing.assert_array_equal(gradient, 0.0)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.0, 3.0, -3.0, -3.0),
        (1.3, 1.0, -1.3, -1.0),
        (1.5, 1.0, -1.4, 0.0),
        (0.5, 1.0, -0.5, -1.0),
        (1.5, -2.0, 3.0, 2.0),
        (0.5, -2.0, 1.6, 0.0),
        (0.9, -2.0, 1.8, 2.0),
        (7.0, 0.0, 0.0, 0.0),
    ],
)
def test_clipped_surrogate_by_hand(ratio, advantage, loss, slope):
    """Bounds 0.8 and 1.4."""

    def surrogate(ratio):
        return clipped_surrogate(ratio, jnp.asarray(advantage), 0.2, 0.4)

    value, gradient = jax.value_and_grad(surrogate)(jnp.asarray(ratio))
    np.testing.assert_allclose(value, loss, atol=1e-6)
    np.testing.assert_allclose(gradient, slope, atol=1e-6)


def test_is_clipped_marks_exactly_the_flat_part():
    ratios, advantages = jnp.meshgrid(jnp.linspace(0.05, 3.0, 60), jnp.array([-2.0, -0.5, 1.0]))
    slope = jax.grad(lambda r: jnp.sum(clipped_surrogate(r, advantages, 0.2, 0.4)))(ratios)
    flat = is_clipped(ratios, advantages, 0.2, 0.4)
    np.testing.assert_array_equal(slope == 0, flat)
    assert 0 < int(flat.sum()) < flat.size


def test_an_infinite_clip_is_the_plain_product():
    ratios, advantages = jnp.array([0.01, 1.0, 50.0]), jnp.array([-1.0, 2.0, 3.0])
    loss = clipped_surrogate(ratios, advantages, np.inf, np.inf)
    np.testing.assert_array_equal(loss, -ratios * advantages)
    assert not bool(is_clipped(ratios, advantages, np.inf, np.inf).any())


def test_truncated_weights_are_constants():
    ratios = jnp.array([0.1, 1.9, 40.0])
    np.testing.assert_allclose(truncated_weights(ratios, 2.0), [0.1, 1.9, 2.0])
    np.testing.assert_allclose(truncated_weights(ratios, np.inf), ratios)
    gradient = jax.grad(lambda r: jnp.sum(truncated_weights(r, 2.0)))(ratios)
    np.testing.assert_array_equal(gradient, 0.0)


def test_kl_estimates_by_hand():
    deltas = jnp.array([0.0, np.log(2.0), -np.log(2.0)])
    np.testing.assert_allclose(kl_estimate(deltas, "k1"), deltas)
    half_square = 0.5 * np.log(2.0) ** 2
    np.testing.assert_allclose(kl_estimate(deltas, "k2"), [0, half_square, half_square], rtol=1e-6)
    k3 = [0, -0.5 + np.log(2.0), 1 - np.log(2.0)]
    np.testing.assert_allclose(kl_estimate(deltas, "k3"), k3, rtol=1e-5)
    assert bool(jnp.isfinite(kl_estimate(jnp.array([-1e4, 1e4]), "k3")).all())


def test_kl_estimates_in_expectation_over_the_policy(float64):
    """k1 and k3 average to the KL; as losses their gradients are nothing, and the other KL's."""
    rng = np.random.default_rng(0)
    logits, reference = jnp.asarray(rng.normal(size=5)), jnp.asarray(rng.normal(size=5))
    log_ref = jax.nn.log_softmax(reference)
    sampled = jax.nn.softmax(logits)

    def expected(logits, estimator):
        return jnp.sum(sampled * kl_estimate(jax.nn.log_softmax(logits) - log_ref, estimator))

    def kl(logits):
        log_p = jax.nn.log_softmax(logits)
        return jnp.sum(jnp.exp(log_p) * (log_p - log_ref))

    def reverse_kl(logits):
        return jnp.sum(jnp.exp(log_ref) * (log_ref - jax.nn.log_softmax(logits)))

    for estimator in ("k1", "k3"):
        np.testing.assert_allclose(expected(logits, estimator), kl(logits), atol=1e-12)
    gradients = {name: jax.grad(expected)(logits, name) for name in ("k1", "k2", "k3")}
    np.testing.assert_allclose(gradients["k1"], 0.0, atol=1e-12)
    np.testing.assert_allclose(gradients["k2"], jax.grad(kl)(logits), atol=1e-12)
    np.testing.assert_allclose(gradients["k3"], jax.grad(reverse_kl)(logits), atol=1e-12)
    assert float(jnp.abs(gradients["k2"] - gradients["k3"]).max()) > 0.01


def test_penalised_reward_by_hand_and_without_gradient(make_inputs):
    inputs = make_inputs(num_groups=1, size=2)
    sums = np.where(inputs.mask_BT, inputs.logprobs_BT - inputs.ref_logprobs_BT, 0.0).sum(axis=1)
    rewards = kl_penalised_reward(inputs, real_rows(inputs), 0.3)
    np.testing.assert_allclose(rewards, inputs.reward_B - 0.3 * sums, rtol=1e-5)

    def total(logprobs_BT):
        moved = inputs._replace(logprobs_BT=logprobs_BT)
        return jnp.sum(kl_penalised_reward(moved, real_rows(moved), 0.3))

    np.testing.assert_array_equal(jax.grad(total)(inputs.logprobs_BT), 0.0)
    with pytest.raises(ValueError, match=r"kl_coefficient=0\.3 needs ref_logprobs_BT"):
        missing = inputs._replace(ref_logprobs_BT=None)
        kl_penalised_reward(missing, real_rows(missing), 0.3)


def test_real_rows_empty_what_has_no_weight(make_inputs):
    inputs = make_inputs(num_groups=1, size=3)._replace(
        weights_B=jnp.array([2.0, 0.0, 1.0]), reward_B=jnp.array([-1.0, jnp.nan, 0.0])
    )
    rows = real_rows(inputs)
    np.testing.assert_array_equal(rows.mask_BT[1], False)
    np.testing.assert_array_equal(rows.mask_BT[0], inputs.mask_BT[0])
    np.testing.assert_array_equal(rows.reward_B, [-1.0, 0.0, 0.0])
    np.testing.assert_array_equal(rows.lengths_B[1], 0.0)


def test_behavior_metrics_by_hand(make_inputs):
    inputs = make_inputs(num_groups=1, size=2)._replace(
        logprobs_BT=NEW,
        mask_BT=MASK,
        is_online_B=jnp.array([True, False]),
        weights_B=jnp.array([1.0, 3.0]),
    )
    metrics = behavior_metrics(NEW, OLD, real_rows(inputs))
    means = {name: float(n / d) for name, (n, d) in metrics.items() if d > 0}
    assert means["policy/kl_to_behavior"] == pytest.approx(0.0, abs=1e-6)
    assert means["policy/importance_ratio_mean"] == pytest.approx((0.5 + 2 + 2 + 0.5) / 4)
    assert means["policy/importance_ratio_square"] == pytest.approx((0.25 + 4) / 2)
    shifted = behavior_metrics(NEW - 0.1, OLD, real_rows(inputs))
    numerator, denominator = shifted["policy/kl_to_behavior_online"]
    assert float(numerator / denominator) == pytest.approx(0.2, rel=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_limit("clip", 0.0), "clip must be above 0, got 0.0"),
        (lambda: check_limit("clip", float("nan")), "clip must be above 0, got nan"),
        (lambda: check_share("discount", 1.5), "discount must be from 0 to 1, got 1.5"),
        (lambda: check_share("discount", float("nan")), "from 0 to 1, got nan"),
    ],
)
def test_bad_coefficients_are_refused(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_infinity_is_a_limit_that_never_binds():
    check_limit("clip", float("inf"))
    check_share("discount", 1.0)
