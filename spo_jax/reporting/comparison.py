"""Several runs side by side, with mean and spread over those that differ in the seed only."""

import dataclasses
import html
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spo_jax.errors import UserError
from spo_jax.evaluation import mean_pass_at_k, scores_of
from spo_jax.reporting.charts import Series, line_chart
from spo_jax.reporting.page import grid, page, paragraphs, table, write_whole
from spo_jax.reporting.records import RunRecord, read_run

_PARTS = ("before", "after", "difference")


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs of one configuration, the seed aside.

    Attributes:
      label: bindings that tell this group from the others; empty for the only group.
      records: the runs.
    """

    label: str
    records: tuple[RunRecord, ...]

    def spread(self, k: str, part: str) -> tuple[float, float | None]:
        """Mean over runs, and the standard deviation (n - 1) where there are two or more."""
        values = [
            record.summary["pass"][k][part] for record in self.records if record.summary is not None
        ]
        deviation = statistics.stdev(values) if len(values) > 1 else None
        return statistics.fmean(values), deviation


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs with a result. `left_out` says of each other run why it has none."""

    groups: tuple[Group, ...]
    ks: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def records(self) -> list[RunRecord]:
        return [record for group in self.groups for record in group.records]


def compare_runs(run_dirs: Sequence[str | os.PathLike[str]]) -> Comparison:
    """Reads runs and groups them by configuration, in the order given.

    Raises:
      UserError: a directory is no run, one is given twice, or no run has a result.
    """
    paths = [Path(each).resolve() for each in run_dirs]
    twice = next((each for each in paths if paths.count(each) > 1), None)
    if twice is not None:
        raise UserError(f"run_dir '{twice}' is given twice; a run is compared with others")
    records = [read_run(each) for each in run_dirs]
    left_out = tuple(
        f"{record.path}: {' '.join(record.notes)}" for record in records if record.summary is None
    )
    there = [record for record in records if record.summary is not None]
    if not there:
        raise UserError(f"none of the {len(records)} runs has been evaluated before and after")
    shared = set.intersection(*(set(_passes(record)) for record in there))
    return Comparison(_groups(there), tuple(sorted(shared, key=int)), left_out)


def format_comparison(comparison: Comparison) -> str:
    """The comparison as tables for a terminal, one for each k."""
    lines = []
    for k in comparison.ks:
        rows = _rows(comparison, k)
        widths = [max(len(row[i]) for row in rows) for i in range(1, len(rows[0]))]
        first = max(len(row[0]) for row in rows if any(row[1:]))  # a group's label may be long
        for row in rows:
            cells = (cell.rjust(width) for cell, width in zip(row[1:], widths, strict=True))
            lines.append("  ".join([row[0].ljust(first), *cells]).rstrip())
        lines.append("")
    lines += [f"left out: {each}" for each in comparison.left_out]
    return "\n".join(lines).rstrip("\n")


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain data."""
    return {
        "runs": [
            {"run": str(record.path), "summary": record.summary} for record in comparison.records
        ],
        "groups": [
            {
                "configuration": group.label,
                "runs": [str(record.path) for record in group.records],
                "pass": {
                    k: {part: _spread_json(group, k, part) for part in _PARTS}
                    for k in comparison.ks
                },
            }
            for group in comparison.groups
        ],
        "left_out": list(comparison.left_out),
    }


def write_comparison(comparison: Comparison, output: str | os.PathLike[str]) -> Path:
    """Writes the comparison as one self-contained page."""
    note = (
        "Before, after and difference are means over held-out problems. A mean ± is over runs that "
        "differ in the seed only: mean and standard deviation of the runs."
    )
    tables = "".join(
        table(rows[0], rows[1:]) for k in comparison.ks if (rows := _rows(comparison, k))
    )
    sections = [
        ("Results", paragraphs([note], "note") + tables),
        ("Curves", grid(_curves(comparison))),
        ("Left out", paragraphs(comparison.left_out, "note")),
    ]
    title = f"Comparison of {len(comparison.records)} runs"
    header = f"<p class=over>spo_jax · comparison</p><h1>{html.escape(title)}</h1>"
    path = Path(output)
    write_whole(path, page(title, header, sections))
    return path


def _groups(records: Sequence[RunRecord]) -> tuple[Group, ...]:
    by_config: dict[frozenset[str], list[RunRecord]] = {}
    for record in records:
        by_config.setdefault(frozenset(record.bindings()), []).append(record)
    common = frozenset.intersection(*by_config)
    return tuple(
        Group(", ".join(sorted(config - common)), tuple(members))
        for config, members in by_config.items()
    )


def _rows(comparison: Comparison, k: str) -> list[list[str]]:
    """Head, one row a run, and after each group of several runs its mean and spread.

    Where there are several groups, a row with the label heads each.
    """
    rows = [[f"pass@{k}", "updates", *_PARTS, "95% interval"]]
    for group in comparison.groups:
        if group.label:
            rows.append([f"[{group.label}]", *[""] * 5])
        rows += [_run_row(record, k) for record in group.records]
        if len(group.records) > 1:
            cells = [_spread_text(group, k, part) for part in _PARTS]
            rows.append([f"mean ± sd of {len(group.records)}", "", *cells, ""])
    return rows


def _run_row(record: RunRecord, k: str) -> list[str]:
    row = _passes(record)[k]
    return [
        record.name,
        str(record.num_updates_done),
        f"{row['before']:.3f}",
        f"{row['after']:.3f}",
        f"{row['difference']:+.3f}",
        f"[{row['low']:+.3f}, {row['high']:+.3f}]",
    ]


def _spread_text(group: Group, k: str, part: str) -> str:
    mean, deviation = group.spread(k, part)
    sign = "+" if part == "difference" else ""
    return f"{mean:{sign}.3f} ± {deviation:.3f}" if deviation is not None else f"{mean:{sign}.3f}"


def _spread_json(group: Group, k: str, part: str) -> dict[str, float | None]:
    mean, deviation = group.spread(k, part)
    return {"mean": mean, "standard_deviation": deviation}


def _passes(record: RunRecord) -> dict[str, dict[str, float]]:
    return record.summary["pass"] if record.summary is not None else {}


def _curves(comparison: Comparison) -> list[str]:
    passes = [Series(record.name, _pass_at_1(record)) for record in comparison.records]
    charts = [
        line_chart(
            "pass@1 over training",
            "Held-out problems, mean over problems.",
            passes,
            y_label="pass@1",
            include=(0.0,),
        )
    ]
    for metric, title, unit in (
        ("reward/online_mean", "Online reward", "reward"),
        ("policy/kl_to_reference", "KL to the reference", "nats an answer"),
        ("q/residual_abs", "Q residual, absolute", "reward"),
    ):
        series = [Series(record.name, record.points(metric)) for record in comparison.records]
        if any(one.values for one in series):
            charts.append(line_chart(title, f"Metric {metric}.", series, y_label=unit))
    return charts


def _pass_at_1(record: RunRecord) -> tuple[tuple[float, float | None], ...]:
    return tuple(
        (step, mean_pass_at_k(scores_of(samples), 1))
        for step, samples in record.evaluations.items()
    )
