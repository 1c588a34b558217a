"""One solution with every token coloured by its advantage, and its soft Q as it is written.

The advantage of a token is beta (log pi - log pi_ref): by how much it raised the policy's own
estimate of the reward, the soft Q.
"""

import html
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from spo_jax.reporting.charts import Series, line_chart
from spo_jax.reporting.frame import number
from spo_jax.reporting.outcomes import statement, verdict_badge

_UNMARKED = 0.05  # of the colour scale: fainter advantages get no underline


def token_articles(values: Mapping[str, Any]) -> list[str]:
    """Renders the content of `token_values.json`; see `spo_jax.acting.token_values`."""
    beta = float(values["beta"])
    return [_article(sample, beta) for sample in values["samples"]]


def _article(sample: Mapping[str, Any], beta: float) -> str:
    advantages = [
        beta * (policy - reference)
        for policy, reference in zip(sample["logprobs"], sample["ref_logprobs"], strict=True)
    ]
    initial = float(sample["initial_value"])
    soft_q = [initial + total for total in itertools.accumulate(advantages)]
    final = soft_q[-1] if soft_q else initial
    scale = _scale(advantages)
    spans = "".join(
        _token(sample, i, advantage, q, scale)
        for i, (advantage, q) in enumerate(zip(advantages, soft_q, strict=True))
    )
    return (
        f'<article class="solution"><h3>{html.escape(sample["problem_id"])} '
        f"{verdict_badge(sample['verdict'])}</h3>{statement(sample['problem_id'])}"
        f'<p class="note">Q₀ {number(initial)} → final Q {number(final)}; reward '
        f"{number(sample['reward'])}. Full colour at ±{number(scale)}.</p>"
        f'<div class="pair"><pre class="tokens">{spans}</pre>'
        f"{_chart(soft_q, initial, sample['reward'])}</div></article>"
    )


def _token(sample: Mapping[str, Any], i: int, advantage: float, soft_q: float, scale: float) -> str:
    text = sample["tokens"][i]
    strength = min(1.0, abs(advantage) / scale)
    kind = "plain" if strength < _UNMARKED else "up" if advantage > 0 else "down"
    tip = (
        f"token {i + 1}: advantage {number(advantage)}, Q {number(soft_q)}, "
        f"log policy {number(sample['logprobs'][i])}, "
        f"log reference {number(sample['ref_logprobs'][i])}"
    )
    shown = html.escape(text).replace("\n", '<span class="eol">↵</span>\n')
    return (
        f'<span class="token {kind}" style="--a:{strength * 100:.0f}%" '
        f'data-tip="{html.escape(tip, quote=True)}">{shown}</span>'
    )


def _chart(soft_q: Sequence[float], initial: float, reward: float | None) -> str:
    ends = (0, len(soft_q))
    path = [(0, initial), *((i + 1, q) for i, q in enumerate(soft_q))]
    series = [Series("soft Q", tuple(path))]
    if reward is not None:
        series.append(Series("reward", tuple((x, float(reward)) for x in ends)))
    return line_chart(
        "Soft Q, token by token",
        "Where it jumps, the policy sees the outcome decided.",
        series,
        y_label="reward",
        x_label="token",
        smooth=False,
    )


def _scale(advantages: Sequence[float]) -> float:
    """The advantage of full colour: what nineteen of twenty tokens stay below."""
    sizes = sorted(abs(advantage) for advantage in advantages)
    return max(sizes[int(0.95 * (len(sizes) - 1))] if sizes else 0.0, 1e-6)
