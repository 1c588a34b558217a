"""Soft Q-values of a policy against a frozen reference, and estimators of the first one, Q_0.

Source: Soft Policy Optimization, arXiv 2503.05453. Equations (n) are those of docs/objectives.md.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spo_jax.errors import UserError
from spo_jax.objectives.groups import group_mean, leave_one_out_mean
from spo_jax.objectives.masked import at_least_float32


def log_ratios(logprobs_BT: jax.Array, ref_logprobs_BT: jax.Array, mask_BT: jax.Array) -> jax.Array:
    """Equation (1): Delta_t = m_t (log pi(a_t) - log pi_ref(a_t)), in nats, float32 or better.

    No gradient flows into the reference. Masked entries are 0 whatever they held. [B, T]
    """
    policy_BT = at_least_float32(jnp.where(mask_BT, logprobs_BT, 0))
    reference_BT = at_least_float32(jnp.where(mask_BT, ref_logprobs_BT, 0))
    return policy_BT - jax.lax.stop_gradient(reference_BT)


def soft_q_values(log_ratios_BT: jax.Array, initial_value_B: jax.Array, beta: float) -> jax.Array:
    """Equation (2): Q_t = Q_0 + beta * sum_{i<=t} Delta_i, in units of reward. [B, T]

    Sums, never means: dividing by the length changes the optimum.
    """
    return initial_value_B[:, None] + beta * jnp.cumsum(log_ratios_BT, axis=-1)


def group_initial_value(
    log_ratio_sum_B: jax.Array,
    reward_B: jax.Array,
    weights_B: jax.Array,
    group_B: jax.Array,
    *,
    beta: float,
    leave_one_out: bool = False,
) -> jax.Array:
    """Equation (8): Q_0 as the group mean of s = reward - beta S, in units of reward. [B]

    The closed-form minimiser of the squared loss (VarGrad); no gradient flows through it. With
    `leave_one_out` the mean is over the other members (RLOO). A group of one gets its own s: its
    residual is 0 and it teaches nothing.
    """
    mean = leave_one_out_mean if leave_one_out else group_mean
    return jax.lax.stop_gradient(mean(reward_B - beta * log_ratio_sum_B, weights_B, group_B))


class InitialValueEstimate(NamedTuple):
    """An estimate of Q_0. `value` and `standard_error` are in units of reward."""

    value: float
    standard_error: float
    num_samples: int
    estimator: str


def initial_value_log_mean_exp(rewards: np.ndarray, beta: float) -> InitialValueEstimate:
    """Equation (11): beta log mean exp(r / beta), from rewards of *reference* samples.

    By Jensen's inequality it errs low on average, by about standard_error^2 / (2 beta). The
    standard error is that of the delta method; it is infinite for a single sample.

    Raises:
      UserError: no rewards, one that is not finite, or a beta that is not above 0.
    """
    _check_beta(beta)
    rewards = np.asarray(rewards, np.float64)
    if rewards.size == 0 or not np.isfinite(rewards).all():
        raise UserError(f"rewards must be finite and at least one, got {rewards.tolist()}")
    highest = rewards.max()
    weights = np.exp((rewards - highest) / beta)
    mean = weights.mean()
    num = rewards.size
    spread = weights.std(ddof=1) / np.sqrt(num) if num > 1 else np.inf
    return InitialValueEstimate(
        value=float(highest + beta * np.log(mean)),
        standard_error=float(beta * spread / mean),
        num_samples=num,
        estimator="log_mean_exp",
    )


def initial_value_pass_rate(
    num_right: int,
    num_samples: int,
    beta: float,
    *,
    reward_right: float = 0.0,
    reward_wrong: float = -1.0,
    prior: float = 0.5,
) -> InitialValueEstimate:
    """Equation (12): the closed form for two rewards, with a pass rate drawn towards 1/2.

    p = (k + prior) / (n + 2 prior) and Q_0 = beta log(p e^{right/beta} + (1 - p) e^{wrong/beta}).
    The prior (1/2 is Jeffreys') keeps the value finite in effect when nothing passed, but then errs
    high, and too high leaks probability: with `prior=0` a problem without success gets
    `reward_wrong` exactly. The standard error is that of the delta method, at p: about
    beta sqrt((1 - p) / (n p)) while right answers dominate the sum.

    Raises:
      UserError: num_right outside [0, num_samples], no samples, a negative prior, beta not above 0.
    """
    _check_beta(beta)
    if num_samples < 1 or not 0 <= num_right <= num_samples:
        raise UserError(f"need 0 <= num_right={num_right} <= num_samples={num_samples} >= 1")
    if prior < 0:
        raise UserError(f"prior must be at least 0, got {prior}")
    rate = (num_right + prior) / (num_samples + 2 * prior)
    highest = max(reward_right, reward_wrong)
    right, wrong = np.exp((np.array([reward_right, reward_wrong]) - highest) / beta)
    mean = rate * right + (1 - rate) * wrong
    if mean == 0:  # every sample has the lower reward, by more than float64 can express
        highest, mean = min(reward_right, reward_wrong), 1.0
    slope = abs(right - wrong) / mean
    return InitialValueEstimate(
        value=float(highest + beta * np.log(mean)),
        standard_error=float(beta * slope * np.sqrt(rate * (1 - rate) / num_samples)),
        num_samples=num_samples,
        estimator="pass_rate",
    )


def _check_beta(beta: float) -> None:
    if not (np.isfinite(beta) and beta > 0):
        raise UserError(f"beta must be finite and above 0, got {beta}")
