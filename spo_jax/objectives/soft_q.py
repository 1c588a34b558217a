"""Soft Q-values of a policy against a frozen reference, and estimators of the first one, Q_0.

Source: Soft Policy Optimization, arXiv 2503.05453. Equations (n) are those of docs/objectives.md.
"""

import math
import statistics
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spo_jax.errors import UserError
from spo_jax.objectives.checks import check_positive
from spo_jax.objectives.groups import group_mean, group_range, group_sum, leave_one_out_mean
from spo_jax.objectives.links import Link, SquaredLink
from spo_jax.objectives.masked import at_least_float32

Scalar = float | jax.Array

# Each halves the bracket of a normal equation; after 40 it is below the precision of float32.
_NUM_HALVINGS = 40


def log_ratios(logprobs_BT: jax.Array, ref_logprobs_BT: jax.Array, mask_BT: jax.Array) -> jax.Array:
    """Equation (1): Delta_t = m_t (log pi(a_t) - log pi_ref(a_t)), in nats, float32 or better.

    No gradient flows into the reference. Masked entries are 0 whatever they held. [B, T]
    """
    policy_BT = at_least_float32(jnp.where(mask_BT, logprobs_BT, 0))
    reference_BT = at_least_float32(jnp.where(mask_BT, ref_logprobs_BT, 0))
    return policy_BT - jax.lax.stop_gradient(reference_BT)


def soft_q_values(log_ratios_BT: jax.Array, initial_value_B: jax.Array, beta: Scalar) -> jax.Array:
    """Equation (2): Q_t = Q_0 + beta * sum_{i<=t} Delta_i, in units of reward. [B, T]

    Sums, never means: dividing by the length changes the optimum.
    """
    return initial_value_B[:, None] + beta * jnp.cumsum(log_ratios_BT, axis=-1)


def path_residuals(soft_q_BT: jax.Array, reward_B: jax.Array, mask_BT: jax.Array) -> jax.Array:
    """Q_t - reward on every token, in units of reward; 0 where masked. [B, T]

    At the optimum that of the last token is 0; the earlier ones are what the reward still hid then.
    """
    return jnp.where(mask_BT, soft_q_BT - reward_B[:, None], 0.0)


def group_initial_value(
    log_ratio_sum_B: jax.Array,
    reward_B: jax.Array,
    weights_B: jax.Array,
    group_B: jax.Array,
    *,
    beta: Scalar,
    leave_one_out: bool = False,
) -> jax.Array:
    """Equation (8): Q_0 as the group mean of s = reward - beta S, in units of reward. [B]

    The closed-form minimiser of the squared loss (VarGrad); no gradient flows through it. With
    `leave_one_out` the mean is over the other members (RLOO). A group of one gets its own s: its
    residual is 0 and it teaches nothing.
    """
    mean = leave_one_out_mean if leave_one_out else group_mean
    return jax.lax.stop_gradient(mean(reward_B - beta * log_ratio_sum_B, weights_B, group_B))


@partial(jax.jit, static_argnames="link")
def profiled_initial_value(
    log_ratio_sum_B: jax.Array,
    reward_B: jax.Array,
    weights_B: jax.Array,
    group_B: jax.Array,
    *,
    beta: Scalar,
    link: Link,
) -> jax.Array:
    """Equation (13): the Q_0 that minimises the link's loss over each group, in units of reward.

    The root c of the normal equation sum_i w_i kappa(c / beta + S_i, r_i / beta) = 0. Every
    coefficient is at most 0 at the lowest s = r - beta S of the group, at least 0 at the highest,
    and never falls in between, so the bracket is halved a fixed number of times. Where a whole
    interval solves it (all right and within the margin) the lowest is taken: too low is the benign
    side. With the plain squared link it is `group_initial_value`. No gradient flows through it. [B]
    """
    sum_B = jax.lax.stop_gradient(log_ratio_sum_B)

    def halve(_, bracket):
        low_B, high_B = bracket
        middle_B = 0.5 * (low_B + high_B)
        slope_B = link.coefficient(middle_B / beta + sum_B, reward_B / beta)
        is_below_B = group_sum(weights_B * slope_B, group_B) < 0
        return jnp.where(is_below_B, middle_B, low_B), jnp.where(is_below_B, high_B, middle_B)

    if link == SquaredLink():
        return group_initial_value(sum_B, reward_B, weights_B, group_B, beta=beta)
    bracket = group_range(reward_B - beta * sum_B, weights_B, group_B)
    return jax.lax.fori_loop(0, _NUM_HALVINGS, halve, bracket)[1]


class InitialValueEstimate(NamedTuple):
    """An estimate of Q_0 from samples.

    Attributes:
      value: in units of reward.
      standard_error: of `value`, in units of reward, by the delta method.
      num_samples: that it was made from.
      estimator: its name.
      bias: the expected error of `value` to second order, in units of reward; below 0 where it errs
        low. `value` is not corrected by it: too low is the benign side.
      effective_num_samples: (sum u)^2 / sum u^2 of the terms averaged; near 1, one sample decides.
    """

    value: float
    standard_error: float
    num_samples: int
    estimator: str
    bias: float = 0.0
    effective_num_samples: float | None = None

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """A normal confidence interval for Q_0 in units of reward, centred at value - bias.

        Unbounded where the standard error is infinite. It has no width where all samples had one
        reward: what was never seen has no spread, so use a prior (`initial_value_pass_rate`) there.

        Raises:
          UserError: a confidence that is not between 0 and 1.
        """
        if not 0 < confidence < 1:
            raise UserError(f"confidence must be between 0 and 1, got {confidence}")
        if not math.isfinite(self.standard_error):
            return -math.inf, math.inf
        half = statistics.NormalDist().inv_cdf(0.5 + confidence / 2) * self.standard_error
        centre = self.value - self.bias
        return centre - half, centre + half


def initial_value_log_mean_exp(rewards: np.ndarray, beta: float) -> InitialValueEstimate:
    """Equation (11): beta log mean exp(r / beta), from rewards of *reference* samples.

    By Jensen's inequality it errs low on average, by about standard_error^2 / (2 beta): the `bias`,
    equation (24). The standard error is infinite for a single sample.

    Raises:
      UserError: no rewards, one that is not finite, or a beta that is not above 0.
    """
    rewards = _checked_rewards(rewards, beta)
    terms = _LogMean(rewards / beta)
    return InitialValueEstimate(
        value=beta * terms.value,
        standard_error=beta * math.sqrt(terms.relative_variance),
        num_samples=rewards.size,
        estimator="log_mean_exp",
        bias=-0.5 * beta * terms.relative_variance,
        effective_num_samples=terms.effective_num_samples,
    )


def initial_value_off_policy(
    rewards: np.ndarray, log_weights: np.ndarray, beta: float, *, self_normalized: bool = False
) -> InitialValueEstimate:
    """Equation (25): Q_0 from samples of another policy mu, weighted by w = pi_ref / mu.

    The plain form, beta log mean(w e^{r/beta}), suits replayed samples of a policy on its way from
    the reference to the optimum: w falls where e^{r/beta} rises, and at mu = pi* all terms are
    alike, so that the estimate has no variance at all. The self-normalised form,
    beta log(sum w e^{r/beta} / sum w), never leaves the range of the rewards and needs w only up to
    a factor: the better one while mu is near the reference, or where the weights are only roughly
    known. Both are worthless once few samples decide: look at `effective_num_samples` (of the terms
    w e^{r/beta} in the plain form, of w in the other).

    Args:
      rewards: of the samples, in units of reward.
      log_weights: log pi_ref - log mu of whole completions, at the temperature of the sampling.
      beta: in units of reward per nat.
      self_normalized: which form.

    Raises:
      UserError: no samples, shapes that differ, numbers that are not finite, beta not above 0.
    """
    rewards = _checked_rewards(rewards, beta)
    log_weights = np.asarray(log_weights, np.float64)
    if log_weights.shape != rewards.shape:
        raise UserError(f"log_weights {log_weights.shape} and rewards {rewards.shape} must agree")
    if not np.isfinite(log_weights).all():
        raise UserError(f"log_weights must be finite, got {log_weights.tolist()}")
    weighted = _LogMean(log_weights + rewards / beta)
    weights = _LogMean(log_weights)
    if self_normalized:
        value = weighted.value - weights.value
        variance = _relative_variance(weighted.relative - weights.relative)
        bias = 0.5 * (weights.relative_variance - weighted.relative_variance)
        if rewards.size == 1:
            bias = -math.inf
    else:
        value, variance = weighted.value, weighted.relative_variance
        bias = -0.5 * variance
    return InitialValueEstimate(
        value=beta * value,
        standard_error=beta * math.sqrt(variance),
        num_samples=rewards.size,
        estimator="off_policy_self_normalized" if self_normalized else "off_policy",
        bias=beta * bias,
        effective_num_samples=(weights if self_normalized else weighted).effective_num_samples,
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
    beta sqrt((1 - p) / (n p)) while right answers dominate the sum. The bias adds the pull of the
    prior to that of equation (24).

    Raises:
      UserError: num_right outside [0, num_samples], no samples, a negative prior, beta not above 0.
    """
    check_positive("beta", beta)
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
    slope = float(right - wrong) / float(mean)
    variance = slope**2 * rate * (1 - rate) / num_samples
    pull = slope * prior * (1 - 2 * rate) / (num_samples + 2 * prior)
    return InitialValueEstimate(
        value=float(highest + beta * np.log(mean)),
        standard_error=beta * math.sqrt(variance),
        num_samples=num_samples,
        estimator="pass_rate",
        bias=beta * (pull - 0.5 * variance),
    )


def running_initial_value(current: float | None, seen: float, rate: float) -> float:
    """Equation (14): moves a problem's estimate by `rate` towards what a batch says, on the host.

    Args:
      current: the estimate so far in units of reward; None or NaN takes `seen` as it is.
      seen: of `ObjectiveOutput.initial_value_B`. rate: in (0, 1].

    Raises:
      UserError: a rate outside (0, 1], or numbers that are not finite.
    """
    if not 0 < rate <= 1:
        raise UserError(f"rate must be above 0 and at most 1, got {rate}")
    if not math.isfinite(seen) or (current is not None and math.isinf(current)):
        raise UserError(f"an initial value must be finite, got {seen} for the current {current}")
    if current is None or math.isnan(current):
        return seen
    return current + rate * (seen - current)


class _LogMean:
    """The logarithm of the mean of exp(terms), and how well it is known; float64."""

    def __init__(self, log_terms: np.ndarray):
        highest = log_terms.max()
        scaled = np.exp(log_terms - highest)
        self.value = float(highest + np.log(scaled.mean()))
        self.relative = scaled / scaled.mean()
        self.relative_variance = _relative_variance(self.relative)
        self.effective_num_samples = float(scaled.sum() ** 2 / (scaled**2).sum())


def _relative_variance(relative: np.ndarray) -> float:
    """Of the mean of `relative`; infinite for a single sample, whose spread nobody knows."""
    return float(relative.var(ddof=1) / relative.size) if relative.size > 1 else math.inf


def _checked_rewards(rewards: np.ndarray, beta: float) -> np.ndarray:
    check_positive("beta", beta)
    rewards = np.asarray(rewards, np.float64)
    if rewards.size == 0 or not np.isfinite(rewards).all():
        raise UserError(f"rewards must be finite and at least one, got {rewards.tolist()}")
    return rewards
