"""Held-out problems before and after: by difficulty, by verdict, and problem by problem."""

import dataclasses
import html
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from spo_jax.errors import UserError
from spo_jax.evaluation import mean_pass_at_k, scores_of
from spo_jax.problems import find_problem
from spo_jax.reporting.charts import Rate, paired_bars
from spo_jax.reporting.records import RunRecord, Samples
from spo_jax.types import Verdict

_BEFORE_AFTER = ("before", "after")
_MAX_LISTED = 200
_NUM_IMPROVED, _NUM_WORSENED, _NUM_UNSOLVED = 3, 2, 1


@dataclasses.dataclass(frozen=True)
class ProblemOutcome:
    """Samples of one held-out problem, before and after."""

    problem_id: str
    before: Samples
    after: Samples

    @property
    def rates(self) -> tuple[float, float]:
        """Accepted shares."""
        return _accepted(self.before) / len(self.before), _accepted(self.after) / len(self.after)

    @property
    def change(self) -> float:
        before, after = self.rates
        return after - before


def outcomes(record: RunRecord) -> list[ProblemOutcome]:
    """Problems of both the first and the last evaluation; empty without both."""
    if record.before is None or record.after is None:
        return []
    old, new = _by_problem(record.before), _by_problem(record.after)
    return [ProblemOutcome(name, old[name], new[name]) for name in old if name in new]


def difficulty_figure(record: RunRecord, missing: list[str]) -> list[str]:
    """pass@1 by the problem set's difficulty."""
    if record.before is None or record.after is None:
        missing.append("pass@1 by difficulty")
        return []
    levels = sorted({_level(sample) for sample in [*record.before, *record.after]})
    rates = []
    for level in levels:
        sides = [_of_level(side, level) for side in (record.before, record.after)]
        if all(sides):
            count = len({sample["problem_id"] for sample in sides[1]})
            values = tuple(mean_pass_at_k(scores_of(side), 1) for side in sides)
            rates.append(Rate(str(level) if level else "unknown", f"n={count}", values))
    return [
        paired_bars(
            "pass@1 by difficulty",
            "In percent, by the problem set's own scale; n problems at each level.",
            rates,
            _BEFORE_AFTER,
            y_label="pass@1",
        )
    ]


def verdict_figure(record: RunRecord, missing: list[str]) -> list[str]:
    """Share of every verdict among the samples."""
    if record.before is None or record.after is None:
        missing.append("Verdicts")
        return []
    counts = [Counter(s["verdict"] for s in side) for side in (record.before, record.after)]
    known = [verdict.value for verdict in Verdict]
    there = sorted(counts[0].keys() | counts[1].keys(), key=lambda v: (v not in known, v))
    ordered = [v for v in known if v in there] + [v for v in there if v not in known]
    rates = [
        Rate(v, "", tuple(count[v] / max(1, sum(count.values())) for count in counts))
        for v in ordered
    ]
    return [
        paired_bars(
            "Verdicts",
            "Percent of all samples. AC accepted, WA wrong answer, RE runtime error, TLE, MLE, OLE "
            "time, memory or output exceeded, SV not allowed, CE no program or no valid one, "
            "IE the judge failed.",
            rates,
            _BEFORE_AFTER,
            y_label="share of samples",
        )
    ]


def problem_table(found: Sequence[ProblemOutcome]) -> str:
    """All problems with their accepted samples, folded; the most improved first."""
    rows = []
    for one in sorted(found, key=lambda each: (-each.change, each.problem_id))[:_MAX_LISTED]:
        level = _level(one.after[0])
        rows.append(
            f"<tr><th>{html.escape(one.problem_id)}</th><td>{level or '–'}</td>"
            f"<td>{_accepted(one.before)}/{len(one.before)}</td>"
            f"<td>{_accepted(one.after)}/{len(one.after)}</td>"
            f"<td>{_points(one.change)}</td></tr>"
        )
    left_out = f" (the first {_MAX_LISTED})" if len(found) > _MAX_LISTED else ""
    return (
        f"<details><summary>All {len(found)} problems{left_out}</summary>"
        '<div class="scroll"><table><thead><tr><th>problem</th><th>difficulty</th>'
        "<th>accepted before</th><th>after</th><th>change</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def change_sentence(found: Sequence[ProblemOutcome]) -> str:
    """How many problems got better, worse, newly solved and lost."""
    better = sum(one.change > 0 for one in found)
    worse = sum(one.change < 0 for one in found)
    gained = sum(one.rates[0] == 0 < one.rates[1] for one in found)
    lost = sum(one.rates[1] == 0 < one.rates[0] for one in found)
    return (
        f"Of {len(found)} problems {better} have more accepted samples than before, {worse} fewer. "
        f"{gained} that no sample solved before are now solved at least once; {lost} the reverse."
    )


def solution_cards(found: Sequence[ProblemOutcome]) -> list[str]:
    """Sampled solutions of problems that changed most, both ways, and of an unsolved one."""
    ranked = sorted(found, key=lambda one: -one.change)
    improved = [one for one in ranked if one.change > 0][:_NUM_IMPROVED]
    worsened = [one for one in reversed(ranked) if one.change < 0][:_NUM_WORSENED]
    unsolved = [one for one in ranked if one.rates == (0.0, 0.0)][:_NUM_UNSOLVED]
    kinds = (("improved", improved), ("worse", worsened), ("still unsolved", unsolved))
    return [_card(one, kind) for kind, chosen in kinds for one in chosen]


def statement(problem_id: str) -> str:
    """The problem's text as a paragraph, where it belongs to a bundled set."""
    try:
        problem = find_problem(problem_id)
    except UserError:
        return ""
    return f'<p class="statement">{html.escape(problem.description)}</p>'


def verdict_badge(verdict: str) -> str:
    kind = "right" if verdict == Verdict.AC else "wrong"
    mark = "✓" if kind == "right" else "✗"
    return f'<span class="badge {kind}">{mark} {html.escape(verdict)}</span>'


def _card(one: ProblemOutcome, kind: str) -> str:
    before, after = _typical_pair(one)
    columns = "".join(
        f"<div><h4>{side} {verdict_badge(sample['verdict'])} "
        f'<span class="note">{_accepted(samples)} of {len(samples)} accepted</span></h4>'
        f"<pre>{html.escape(str(sample.get('text', '')))}</pre>{_message(sample)}</div>"
        for side, sample, samples in (("Before", before, one.before), ("After", after, one.after))
    )
    return (
        f'<article class="solution"><h3>{html.escape(one.problem_id)} '
        f'<span class="note">{kind}</span></h3>{statement(one.problem_id)}'
        f'<div class="pair">{columns}</div></article>'
    )


def _typical_pair(one: ProblemOutcome) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """A sample of each side that shows the change, of the same seed where there is one."""
    wanted = (one.change < 0, one.change > 0)  # before right, after right

    def fits(pair: tuple[Mapping[str, Any], Mapping[str, Any]]) -> bool:
        return tuple(sample["verdict"] == Verdict.AC for sample in pair) == wanted

    pairs = list(zip(one.before, one.after, strict=False))
    crossed = [(before, after) for before in one.before for after in one.after]
    return next((pair for pair in [*pairs, *crossed] if fits(pair)), pairs[0])


def _message(sample: Mapping[str, Any]) -> str:
    message = str(sample.get("message") or "")
    return f'<p class="note">{html.escape(message[:300])}</p>' if message else ""


def _points(change: float) -> str:
    return f"{change:+.0%}".replace("-", "−") if change else "0"


def _level(sample: Mapping[str, Any]) -> int:
    return int(sample.get("difficulty") or 0)


def _of_level(samples: Samples, level: int) -> list[Mapping[str, Any]]:
    return [sample for sample in samples if _level(sample) == level]


def _accepted(samples: Samples) -> int:
    return sum(sample["verdict"] == Verdict.AC for sample in samples)


def _by_problem(samples: Samples) -> dict[str, list[Mapping[str, Any]]]:
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for sample in samples:
        grouped.setdefault(sample["problem_id"], []).append(sample)
    return grouped
