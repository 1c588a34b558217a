"""Metrics that objectives report: sums that add up, and what the host makes of them.

Inside the program every metric is a pair (numerator, denominator), so that micro-batches and
devices add up exactly; `finished_metrics` divides once, on the host. Spreads come from pairs as
well: an objective reports `X_mean` and `X_square`, and the host derives `X_std`.

All `q/` metrics are in units of reward, all `policy/` metrics in nats.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from spo_jax.objectives.interface import Metrics, ObjectiveInputs
from spo_jax.objectives.masked import masked_sum
from spo_jax.objectives.soft_q import Scalar, log_ratios, path_residuals, soft_q_values

_MEAN = re.compile(r"(?P<stem>.+)_mean(?P<source>_online|_offline)?")


def finished_metrics(sums: Mapping[str, tuple[Any, Any]]) -> dict[str, float]:
    """Means, and the spreads and ratios that follow from them; on the host.

    A metric without rows is left out. From the means of a value and of its square it derives

    - `X_std` from `X_mean` and `X_square`;
    - `X_effective_fraction`, mean^2 / mean of squares, from `X_weight_mean` and `X_weight_square`:
      the effective number of samples of importance weights as a share of all;
    - `P/explained_variance`, 1 - var(residual) / var(return), from `P/residual_*` and `P/return_*`;

    each also with a suffix `_online` or `_offline`.

    Args:
      sums: name to (numerator, denominator), scalars on the host.
    """
    means = {name: float(n) / float(d) for name, (n, d) in sums.items() if float(d) > 0}
    derived = {}
    for name, mean in means.items():
        match = _MEAN.fullmatch(name)
        square = match and means.get(f"{match['stem']}_square{match['source'] or ''}")
        if match is None or square is None:
            continue
        stem, source = match["stem"], match["source"] or ""
        derived[f"{stem}_std{source}"] = math.sqrt(_variance(mean, square))
        if stem.endswith("_weight") and square > 0:
            fraction = f"{stem.removesuffix('_weight')}_effective_fraction{source}"
            derived[fraction] = mean**2 / square
    return means | derived | _explained_variances(derived)


def _variance(mean: float, square: float) -> float:
    return max(square - mean**2, 0.0)


def _explained_variances(derived: Mapping[str, float]) -> dict[str, float]:
    explained = {}
    for name, residual_std in derived.items():
        prefix, slash, rest = name.partition("/residual_std")
        return_std = derived.get(f"{prefix}/return_std{rest}", 0.0)
        if slash and rest in ("", "_online", "_offline") and return_std > 0:
            explained[f"{prefix}/explained_variance{rest}"] = 1 - (residual_std / return_std) ** 2
    return explained


def mean_of(values: jax.Array, select: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The pair whose quotient is the mean of `values` where `select`; any one shape."""
    return masked_sum(values, select), jnp.sum(select).astype(jnp.float32)


def split_by_source(
    name: str, values: jax.Array, select: jax.Array, is_online: jax.Array
) -> Metrics:
    """`name` over all that is selected, and `name`_online and `name`_offline.

    Args:
      values, select: [B], or [B, T] to count tokens. is_online: [B], or [B, 1].
    """
    return {
        name: mean_of(values, select),
        f"{name}_online": mean_of(values, select & is_online),
        f"{name}_offline": mean_of(values, select & ~is_online),
    }


def moments_by_source(
    name: str, values: jax.Array, select: jax.Array, is_online: jax.Array
) -> Metrics:
    """`name`_mean and `name`_square, each by source: the host derives `name`_std."""
    return split_by_source(f"{name}_mean", values, select, is_online) | split_by_source(
        f"{name}_square", values**2, select, is_online
    )


def clip_fraction(
    name: str, is_clipped_BT: jax.Array, mask_BT: jax.Array, is_online_B: jax.Array
) -> Metrics:
    """Share of the masked tokens that were clipped, by source."""
    clipped_BT = is_clipped_BT.astype(jnp.float32)
    return split_by_source(name, clipped_BT, mask_BT, is_online_B[:, None])


def common_metrics(inputs: ObjectiveInputs) -> Metrics:
    """Rewards, lengths, entropy and, where a reference is given, log-ratios."""
    is_real_B = inputs.weights_B > 0
    is_online_B = inputs.is_online_B
    mask_BT = inputs.mask_BT & is_real_B[:, None]
    lengths_B = jnp.sum(mask_BT, axis=1).astype(jnp.float32)
    entropy_BT = jax.lax.stop_gradient(inputs.entropy_BT)
    metrics: Metrics = {
        "reward/mean": mean_of(inputs.reward_B, is_real_B),
        "reward/online_mean": mean_of(inputs.reward_B, is_real_B & is_online_B),
        "reward/offline_mean": mean_of(inputs.reward_B, is_real_B & ~is_online_B),
        "data/offline_fraction": mean_of((~is_online_B).astype(jnp.float32), is_real_B),
        **split_by_source("policy/entropy", entropy_BT, mask_BT, is_online_B[:, None]),
        **split_by_source("data/completion_tokens", lengths_B, is_real_B, is_online_B),
    }
    if inputs.ref_logprobs_BT is not None:
        metrics |= _reference_metrics(inputs, inputs.ref_logprobs_BT, mask_BT)
    return metrics


def _reference_metrics(
    inputs: ObjectiveInputs, ref_logprobs_BT: jax.Array, mask_BT: jax.Array
) -> Metrics:
    """Sums of log-ratios; over fresh samples their mean estimates KL(policy || reference)."""
    deltas_BT = log_ratios(inputs.logprobs_BT, ref_logprobs_BT, mask_BT)
    sums_B = jax.lax.stop_gradient(jnp.sum(deltas_BT, axis=1))
    is_real_B = inputs.weights_B > 0
    return {
        "policy/kl_to_reference": mean_of(sums_B, is_real_B & inputs.is_online_B),
        "policy/log_ratio_offline": mean_of(sums_B, is_real_B & ~inputs.is_online_B),
        "policy/log_ratio_abs": mean_of(jnp.abs(sums_B), is_real_B),
        **moments_by_source("policy/log_ratio", sums_B, is_real_B, inputs.is_online_B),
    }


def q_metrics(
    inputs: ObjectiveInputs,
    log_ratios_BT: jax.Array,
    initial_value_B: jax.Array,
    *,
    beta: Scalar,
    success_reward: float,
) -> Metrics:
    """How Q moves along the answers, where it ends, and how well that matches the outcome.

    Residuals are Q - reward: of the last token by source, and of every token by the quarter of the
    answer it lies in (the last token always in the fourth).
    """
    log_ratios_BT = jax.lax.stop_gradient(log_ratios_BT)
    is_real_B, is_online_B = inputs.weights_B > 0, inputs.is_online_B
    is_right_B = inputs.reward_B >= success_reward
    reward_B = jnp.where(is_real_B, inputs.reward_B, 0.0)
    final_B = initial_value_B + beta * jnp.sum(log_ratios_BT, axis=1)
    residual_B = final_B - reward_B
    metrics = moments_by_source("q/residual", residual_B, is_real_B, is_online_B)
    metrics |= moments_by_source("q/return", reward_B, is_real_B, is_online_B)
    metrics |= split_by_source("q/residual_abs", jnp.abs(residual_B), is_real_B, is_online_B)
    metrics |= split_by_source("q/initial_value", initial_value_B, is_real_B, is_online_B)
    metrics |= split_by_source("q/final_right", final_B, is_real_B & is_right_B, is_online_B)
    metrics |= split_by_source("q/final_wrong", final_B, is_real_B & ~is_right_B, is_online_B)
    metrics["q/beta"] = mean_of(jnp.full_like(final_B, 1.0) * beta, is_real_B)
    q_BT = soft_q_values(log_ratios_BT, initial_value_B, beta)
    mask_BT = inputs.mask_BT & is_real_B[:, None]
    return metrics | _quarter_metrics(q_BT, reward_B, mask_BT, is_right_B, is_online_B)


def _quarter_metrics(
    q_BT: jax.Array,
    reward_B: jax.Array,
    mask_BT: jax.Array,
    is_right_B: jax.Array,
    is_online_B: jax.Array,
) -> Metrics:
    """All four quarters and all kinds of rows in a few wide sums: dozens of programs otherwise."""
    kinds = {
        "": jnp.ones_like(is_online_B),
        "_online": is_online_B,
        "_offline": ~is_online_B,
        "right": is_right_B,
        "wrong": ~is_right_B,
    }
    kinds_KB = jnp.stack(list(kinds.values()))
    here_4BT = mask_BT[None] & (quarters(mask_BT)[None] == jnp.arange(1, 5)[:, None, None])

    def sums(values_BT: jax.Array) -> jax.Array:
        per_row_4B = jnp.sum(jnp.where(here_4BT, values_BT[None], 0.0), axis=2)
        return jnp.sum(jnp.where(kinds_KB[None], per_row_4B[:, None], 0.0), axis=2)

    residual_BT = path_residuals(q_BT, reward_B, mask_BT)
    means_4K, squares_4K = sums(residual_BT), sums(residual_BT**2)
    q_4K, counts_4K = sums(q_BT), sums(jnp.ones_like(q_BT))
    metrics: Metrics = {}
    for i in range(4):
        for k, kind in enumerate(kinds):
            count = counts_4K[i, k]
            if kind in ("right", "wrong"):
                metrics[f"q/{kind}_quarter{i + 1}"] = q_4K[i, k], count
                continue
            name = f"q/residual_quarter{i + 1}"
            metrics[f"{name}_mean{kind}"] = means_4K[i, k], count
            metrics[f"{name}_square{kind}"] = squares_4K[i, k], count
    return metrics


def quarters(mask_BT: jax.Array) -> jax.Array:
    """Which quarter of its completion a token lies in, 1 to 4, counting chosen tokens only. [B, T]

    The last token is always in the fourth, also of a completion of fewer than four.
    """
    numbers_BT = jnp.cumsum(mask_BT, axis=1)
    lengths_B1 = jnp.maximum(jnp.sum(mask_BT, axis=1, keepdims=True), 1)
    return jnp.clip((4 * numbers_BT - 1) // lengths_B1 + 1, 1, 4)
