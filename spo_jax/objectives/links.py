"""The two regressions of a final soft Q-value q on a scaled reward rho, both in nats.

Each has a loss and a coefficient, its derivative in q. Objectives use the coefficient as a constant
in front of the differentiable log-ratio sum; the loss is for reading. Equations (n) are those of
docs/objectives.md; source: Soft Policy Optimization, arXiv 2503.05453.
"""

import math

import jax
import jax.numpy as jnp


def squared_loss(q_B: jax.Array, rho_B: jax.Array, clip: float | None = None) -> jax.Array:
    """Equation (4): (q - rho)^2 / 2, continued linearly where |q - rho| > clip (Huber). [B]"""
    residual_B = q_B - rho_B
    if clip is None:
        return 0.5 * residual_B**2
    inside_B = jnp.clip(residual_B, -clip, clip)
    return inside_B * (residual_B - 0.5 * inside_B)


def squared_coefficient(q_B: jax.Array, rho_B: jax.Array, clip: float | None = None) -> jax.Array:
    """Equation (5): the derivative of `squared_loss` in q: the residual, clipped. [B]"""
    residual_B = q_B - rho_B
    return residual_B if clip is None else jnp.clip(residual_B, -clip, clip)


def cross_entropy_loss(q_B: jax.Array, rho_B: jax.Array, margin: float) -> jax.Array:
    """Equation (6): -y q - (1 - y) log(1 - e^q) with y = e^rho, for rho <= 0. [B]

    Defined for every q: from q = -margin on it continues with the slope that
    `cross_entropy_coefficient` states.
    """
    inside_B = jnp.minimum(q_B, -margin)
    entropy_B = -jnp.exp(rho_B) * inside_B + jnp.expm1(rho_B) * log_one_minus_exp(inside_B)
    beyond_B = jnp.maximum(q_B + margin, 0.0)
    failure_B = beyond_B * _inner_coefficient(jnp.full_like(q_B, -margin), rho_B)
    above_zero_B = jnp.clip(q_B, 0.0, 1.0)
    success_B = above_zero_B * (jnp.maximum(q_B, 0.0) - 0.5 * above_zero_B)
    return entropy_B + jnp.where(rho_B >= -margin, success_B, failure_B)


def cross_entropy_coefficient(q_B: jax.Array, rho_B: jax.Array, margin: float) -> jax.Array:
    """Equation (7): the derivative of `cross_entropy_loss` in q, (e^q - y) / (1 - e^q). [B]

    Above q = -margin, where it would grow without bound: a failure (y < e^-margin) keeps the slope
    of q = -margin, so that one that overshot is still pushed down, by at most 1 / (e^margin - 1); a
    success is left alone up to q = 0 and pushed down by min(q, 1) above.
    """
    inside_B = _inner_coefficient(jnp.minimum(q_B, -margin), rho_B)
    is_satisfied_B = (rho_B >= -margin) & (q_B > -margin)
    return jnp.where(is_satisfied_B, jnp.clip(q_B, 0.0, 1.0), inside_B)


def _inner_coefficient(q_B: jax.Array, rho_B: jax.Array) -> jax.Array:
    return (jnp.exp(q_B) - jnp.exp(rho_B)) / -jnp.expm1(q_B)


def log_one_minus_exp(q_B: jax.Array) -> jax.Array:
    """log(1 - e^q) for q < 0, accurate at both ends; each branch sees only safe arguments. [B]"""
    is_near_B = q_B > -math.log(2.0)
    near_B = jnp.where(is_near_B, q_B, -1.0)
    far_B = jnp.where(is_near_B, -1.0, q_B)
    return jnp.where(is_near_B, jnp.log(-jnp.expm1(near_B)), jnp.log1p(-jnp.exp(far_B)))
