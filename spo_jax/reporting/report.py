"""`report.html` of a run: one self-contained page with what it achieved and how it went."""

import html
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spo_jax.evaluation import mean_pass_at_k, scores_of
from spo_jax.reporting.curves import (
    DATA,
    LEARNING,
    POLICY,
    actors_figure,
    calibration_figure,
    curve_figures,
    pass_figure,
    time_figure,
)
from spo_jax.reporting.frame import number
from spo_jax.reporting.outcomes import (
    change_sentence,
    difficulty_figure,
    outcomes,
    problem_table,
    solution_cards,
    verdict_figure,
)
from spo_jax.reporting.page import (
    folded,
    grid,
    page,
    paragraphs,
    preformatted,
    table,
    write_whole,
)
from spo_jax.reporting.progress import format_secs
from spo_jax.reporting.records import RunRecord, budgets, finite, read_run
from spo_jax.reporting.token_page import token_articles

REPORT_FILE = "report.html"

_TOKENS_INTRO = (
    "Each token is coloured by its advantage, beta × (log policy − log reference): blue and "
    "underlined tokens raised the policy's own estimate of the reward, orange and dotted ones "
    "lowered it. Point at a token, or tap it, for the numbers. Q₀ is the mean of reward − beta × "
    "(sum of log-ratios) over the scored answers to the problem."
)


def write_report(
    run_dir: str | os.PathLike[str], output: str | os.PathLike[str] | None = None
) -> Path:
    """Writes the report of a run, finished or not; what is missing is named in it.

    Args:
      run_dir: of the run.
      output: the file; by default `report.html` in the run's directory.

    Returns:
      The file written.

    Raises:
      UserError: there is no such run.
    """
    record = read_run(run_dir)
    path = Path(output) if output is not None else Path(run_dir) / REPORT_FILE
    write_whole(path, _render(record))
    return path


def status(record: RunRecord) -> str:
    """How far the run is, in words."""
    done, planned = record.num_updates_done, record.num_updates_planned
    of = f" of {planned}" if planned else ""
    if record.is_finished:
        return f"finished after {done} updates"
    return f"not finished: {done}{of} updates so far"


def _render(record: RunRecord) -> str:
    missing: list[str] = []
    learning = curve_figures(record, LEARNING, missing) + calibration_figure(record, missing)
    policy = curve_figures(record, POLICY, missing)
    data = curve_figures(record, DATA, missing) + time_figure(record, missing)
    data += actors_figure(record)
    results = (
        pass_figure(record, missing)
        + difficulty_figure(record, missing)
        + verdict_figure(record, missing)
    )
    found = outcomes(record)
    sections = [
        ("Results", _results_table(record) + grid(results)),
        ("Learning", grid(learning)),
        ("Policy", grid(policy)),
        ("Data and time", grid(data)),
        ("Solutions", _solutions(found)),
        ("Token by token", _tokens(record, missing)),
        ("How it was run", _provenance(record)),
        ("Not shown", _not_shown(record, missing)),
    ]
    return page(f"{record.name} · run report", _header(record), sections)


def _header(record: RunRecord) -> str:
    started = str(record.attempts[0].get("started", "")) if record.attempts else ""
    started = started[:16].replace("T", " ")
    facts = [status(record), *([f"started {started}"] if started else []), _duration(record)]
    return (
        f"<p class=over>spo_jax · run report</p><h1>{html.escape(record.name)}</h1>"
        f"<p class=facts>{html.escape(' · '.join(fact for fact in facts if fact))}</p>"
        f"{_headline(record)}"
    )


def _duration(record: RunRecord) -> str:
    times = [record.summary["time_secs"]] if record.summary else []
    total = sum(sum(each.values()) for each in times)
    attempts = len(record.attempts)
    parts = [f"{format_secs(total)} of measured work"] if total else []
    parts += [f"{attempts} attempts"] if attempts > 1 else []
    return ", ".join(parts)


def _headline(record: RunRecord) -> str:
    """A tile for each budget; before the run's end, what is known so far."""
    if record.summary is None:
        return f'<p class="headline">{html.escape(_known_so_far(record))}</p>'
    tiles = "".join(_tile(k, row) for k, row in record.summary["pass"].items())
    return f'<div class="tiles">{tiles}</div>'


def _known_so_far(record: RunRecord) -> str:
    if len(record.evaluations) != 1:
        return "There is no result yet."
    [(step, samples)] = record.evaluations.items()
    passes = ", ".join(
        f"pass@{k} {mean_pass_at_k(scores_of(samples), k):.1%}"
        for k in budgets(record.evaluations, record.evals)
    )
    when = f"After {step} updates" if step else "Before training"
    return f"{when}: {passes}. There is nothing to compare it with yet."


def _tile(k: str, row: Mapping[str, float]) -> str:
    if row["low"] > 0:
        verdict = "better"
    elif row["high"] < 0:
        verdict = "worse"
    else:
        verdict = "no measurable change"
    return (
        f'<div class="tile"><p class="label">pass@{k} on held-out problems</p>'
        f'<p class="big">{row["before"]:.1%} <span class="arrow">→</span> {row["after"]:.1%}</p>'
        f"<p><b>{_signed(row['difference'])}</b> points, 95% interval {_signed(row['low'])} to "
        f"{_signed(row['high'])}: {verdict}</p></div>"
    )


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def _results_table(record: RunRecord) -> str:
    summary = record.summary
    if summary is None:
        return ""
    rows = [
        [
            f"pass@{k}",
            f"{row['before']:.3f}",
            f"{row['after']:.3f}",
            f"{row['difference']:+.3f}",
            f"[{row['low']:+.3f}, {row['high']:+.3f}]",
        ]
        for k, row in summary["pass"].items()
    ]
    note = (
        f"{summary['num_problems']} held-out problems, {summary['samples_per_problem']} samples "
        f"each, before and after {summary['updates']} updates; the same seeds on both sides. "
        "Unbiased pass@k; the interval is a bootstrap over problems, paired by problem."
    )
    head = ["", "before", "after", "difference", "95% interval"]
    return table(head, rows) + paragraphs([note], "note")


def _solutions(found: list) -> str:
    if not found:
        return ""
    intro = (
        "Below: problems that changed most in either direction and one still unsolved, each with "
        "one sample of either side, of the same seed where the same seed shows the change."
    )
    cards = "".join(solution_cards(found))
    return paragraphs([change_sentence(found) + " " + intro], "note") + problem_table(found) + cards


def _tokens(record: RunRecord, missing: list[str]) -> str:
    if record.token_values is None or not record.token_values.get("samples"):
        missing.append("Solutions token by token")
        return ""
    return paragraphs([_TOKENS_INTRO], "note") + "".join(token_articles(record.token_values))


def _provenance(record: RunRecord) -> str:
    parts = [folded("Configuration", preformatted(record.config))] if record.config else []
    if record.attempts:
        blocks = [_attempt_text(i, each) for i, each in enumerate(record.attempts, start=1)]
        parts.append(folded("Versions and commands", preformatted("\n\n".join(blocks))))
    if record.summary and record.summary["time_secs"]:
        rows = [[name, format_secs(secs)] for name, secs in record.summary["time_secs"].items()]
        parts.append(folded("Time by phase", table(["phase", "time"], rows)))
    if record.train:
        parts.append(folded("All training metrics", _metrics_table(record)))
    return "".join(parts)


def _attempt_text(i: int, attempt: Mapping[str, Any]) -> str:
    command = attempt.get("command", [])
    packages = attempt.get("packages", {})
    lines = [f"attempt {i}: {attempt.get('started', '')}", shlex.join(map(str, command))]
    lines += [
        f"{k} {attempt[k]}" for k in ("spo_jax", "commit", "python", "platform") if k in attempt
    ]
    return "\n".join([*lines, *(f"{name} {version}" for name, version in packages.items())])


def _metrics_table(record: RunRecord) -> str:
    names = sorted({name for each in record.train for name in each} - {"step", "kind", "time"})
    rows = []
    for name in names:
        values = [v for each in record.train if (v := finite(each.get(name))) is not None]
        bounds = (values[0], values[-1], min(values), max(values)) if values else (None,) * 4
        rows.append([name, *map(number, bounds), str(len(values))])
    return table(["metric", "first", "last", "smallest", "largest", "updates"], rows)


def _not_shown(record: RunRecord, missing: list[str]) -> str:
    sentences = list(record.notes)
    if missing:
        sentences.append(f"Nothing was recorded for: {', '.join(missing)}.")
    return paragraphs(sentences, "note")


def report_json(record: RunRecord, path: Path) -> dict[str, Any]:
    """What `spo report --json` prints of one run."""
    return {
        "run": str(record.path),
        "report": str(path),
        "finished": record.is_finished,
        "updates": record.num_updates_done,
        "summary": record.summary,
        "notes": list(record.notes),
    }
