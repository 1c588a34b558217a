"""The two regressions of a soft Q-value q on a scaled reward rho, both in nats.

Each has a loss and a coefficient, its derivative in q. Objectives use the coefficient as a constant
in front of the differentiable log-ratio sum; the loss is for reading. All are elementwise.
Equations (n) are those of docs/objectives.md; source: Soft Policy Optimization, arXiv 2503.05453.
"""

import dataclasses
import math
from typing import Literal, Protocol, get_args

import jax
import jax.numpy as jnp
import numpy as np

from spo_jax.errors import UserError
from spo_jax.objectives.checks import check_choice, check_finite_rewards, check_positive

LinkName = Literal["squared", "cross_entropy"]


class Link(Protocol):
    """A regression of q on rho with its coefficients fixed."""

    def loss(self, q: jax.Array, rho: jax.Array) -> jax.Array:
        """In nats, at least 0; elementwise."""

    def coefficient(self, q: jax.Array, rho: jax.Array) -> jax.Array:
        """The derivative of `loss` in q: never falls as q grows, 0 at q = rho; elementwise."""

    def check_rewards(self, rewards: np.ndarray) -> None:
        """Raises UserError for rewards it gives no meaning to."""


@dataclasses.dataclass(frozen=True)
class SquaredLink:
    """Equations (4) and (5), for finite rewards of any sign."""

    clip: float | None = None

    def loss(self, q: jax.Array, rho: jax.Array) -> jax.Array:
        """Equation (4)."""
        return squared_loss(q, rho, self.clip)

    def coefficient(self, q: jax.Array, rho: jax.Array) -> jax.Array:
        """Equation (5)."""
        return squared_coefficient(q, rho, self.clip)

    def check_rewards(self, rewards: np.ndarray) -> None:
        """Refuses rewards that are not finite."""
        check_finite_rewards(rewards)


@dataclasses.dataclass(frozen=True)
class CrossEntropyLink:
    """Equations (6) and (7), for rewards of at most 0."""

    margin: float

    def loss(self, q: jax.Array, rho: jax.Array) -> jax.Array:
        """Equation (6)."""
        return cross_entropy_loss(q, rho, self.margin)

    def coefficient(self, q: jax.Array, rho: jax.Array) -> jax.Array:
        """Equation (7)."""
        return cross_entropy_coefficient(q, rho, self.margin)

    def check_rewards(self, rewards: np.ndarray) -> None:
        """Refuses rewards above 0 and those that are not finite."""
        check_finite_rewards(rewards)
        if np.size(rewards) and np.max(rewards) > 0:
            raise UserError(
                "link='cross_entropy' reads e^(reward/beta) as a probability: rewards must be "
                f"<= 0, got {np.max(rewards):g}; shift them or use link='squared'"
            )


def make_link(name: LinkName, *, residual_clip: float | None, margin: float) -> Link:
    """The link that an objective's options describe.

    Raises:
      UserError: an unknown name, a coefficient that is not above 0, or a clip for cross-entropy.
    """
    check_choice("link", name, get_args(LinkName))
    check_positive("margin", margin)
    if residual_clip is not None:
        check_positive("residual_clip", residual_clip)
    if name == "squared":
        return SquaredLink(residual_clip)
    if residual_clip is not None:
        raise UserError(
            f"residual_clip={residual_clip} belongs to link='squared', not to link='{name}', "
            "whose coefficient `margin` bounds"
        )
    return CrossEntropyLink(margin)


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
