"""The two regressions: values by hand, derivatives by finite differences, extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.objectives.links import (
    cross_entropy_coefficient,
    cross_entropy_loss,
    log_one_minus_exp,
    squared_coefficient,
    squared_loss,
)

MARGIN = 0.5
Q = np.array([-30.0, -5.0, -1.0, -0.7, -0.4, -0.1, 0.2, 0.8, 1.5, 6.0])


def test_squared_by_hand():
    q, rho = jnp.array([1.0, -4.0]), jnp.array([0.0, -1.0])
    np.testing.assert_allclose(squared_loss(q, rho), [0.5, 4.5])
    np.testing.assert_allclose(squared_coefficient(q, rho), [1.0, -3.0])
    np.testing.assert_allclose(squared_loss(q, rho, 2.0), [0.5, 4.0])
    np.testing.assert_allclose(squared_coefficient(q, rho, 2.0), [1.0, -2.0])


def test_cross_entropy_by_hand():
    """y = 0.25, q = log 0.5: -0.25 log 0.5 - 0.75 log 0.5 = log 2; slope (0.5 - 0.25) / 0.5."""
    q, rho = jnp.log(jnp.array([0.5])), jnp.log(jnp.array([0.25]))
    np.testing.assert_allclose(cross_entropy_loss(q, rho, MARGIN), [np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(cross_entropy_coefficient(q, rho, MARGIN), [0.5], rtol=1e-6)


@pytest.mark.parametrize("rho", [-20.0, -3.0, -0.3, 0.0])
@pytest.mark.parametrize("link", ["squared", "huber", "cross_entropy"])
def test_coefficient_is_the_derivative_of_the_loss(float64, link, rho):
    loss, coefficient = {
        "squared": (squared_loss, squared_coefficient),
        "huber": (
            lambda q, rho: squared_loss(q, rho, 2.5),
            lambda q, rho: squared_coefficient(q, rho, 2.5),
        ),
        "cross_entropy": (
            lambda q, rho: cross_entropy_loss(q, rho, MARGIN),
            lambda q, rho: cross_entropy_coefficient(q, rho, MARGIN),
        ),
    }[link]
    q, rho_B = jnp.asarray(Q), jnp.full(len(Q), rho)
    step = 1e-6
    loss, coefficient = jax.jit(loss), jax.jit(coefficient)
    numeric = (loss(q + step, rho_B) - loss(q - step, rho_B)) / (2 * step)
    np.testing.assert_allclose(coefficient(q, rho_B), numeric, atol=1e-7)
    automatic = jax.grad(lambda q: jnp.sum(loss(q, rho_B)))(q)
    np.testing.assert_allclose(coefficient(q, rho_B), automatic, atol=1e-9)


def test_a_failure_that_overshot_keeps_a_bounded_push_down():
    """A clamp with zero gradient above the margin would leave it there for good."""
    rho = jnp.full(3, -5.0)
    kappa = cross_entropy_coefficient(jnp.array([-0.1, 0.0, 50.0]), rho, MARGIN)
    bound = 1 / np.expm1(MARGIN)
    assert bool((kappa > 0.5 * bound).all()) and bool((kappa <= bound).all())


def test_a_success_is_pulled_up_to_the_margin_and_pushed_down_above_zero():
    q = jnp.array([-9.0, -1.0, -0.3, 0.0, 0.4, 7.0])
    kappa = cross_entropy_coefficient(q, jnp.zeros(6), MARGIN)
    np.testing.assert_allclose(kappa, [-1.0, -1.0, 0.0, 0.0, 0.4, 1.0], atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_cross_entropy_is_finite_everywhere(float64, dtype):
    q, rho = jnp.meshgrid(
        jnp.array([-1e4, -90.0, -1e-3, -1e-12, 0.0, 1e-12, 1.0, 90.0, 1e4], dtype),
        jnp.array([-1e4, -90.0, -1.0, -1e-6, 0.0], dtype),
    )
    for margin in (1e-3, 0.1, 0.5):
        loss = jax.value_and_grad(lambda q, m: jnp.sum(cross_entropy_loss(q, rho, m)))
        value, gradient = jax.jit(loss)(q, margin)
        assert bool(jnp.isfinite(value)) and bool(jnp.isfinite(gradient).all())
        assert bool(jnp.isfinite(cross_entropy_coefficient(q, rho, margin)).all())


def test_log_one_minus_exp_keeps_digits_at_both_ends():
    q = jnp.array([-1e-4, -1e-7, -0.6931, -0.6932, -20.0, -80.0], jnp.float32)
    wide = np.asarray(q, np.float64)
    exact = np.where(wide > -1, np.log(-np.expm1(wide)), np.log1p(-np.exp(wide)))
    np.testing.assert_allclose(log_one_minus_exp(q), exact, rtol=3e-6)
