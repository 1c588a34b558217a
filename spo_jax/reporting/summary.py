"""What a run achieved: pass@k of held-out problems before and after, paired by problem."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spo_jax.errors import UserError
from spo_jax.evaluation import (
    ProblemScore,
    mean_pass_at_k,
    paired_difference,
    read_samples,
    scores_of,
)
from spo_jax.reporting.metrics import read_metrics


def evaluation_files(run_dir: str | os.PathLike[str]) -> dict[int, Path]:
    """Evaluations of a run by number of updates, in order."""
    files = Path(run_dir).glob("evaluations/step_*.jsonl")
    return dict(sorted((int(path.stem.removeprefix("step_")), path) for path in files))


def run_summary(run_dir: str | os.PathLike[str], ks: Sequence[int]) -> dict[str, Any]:
    """Compares the first evaluation of a run with the last.

    Returns:
      {"updates", "num_problems", "samples_per_problem", "pass": {k: {"before", "after",
      "difference", "low", "high"}}, "time_secs": {phase: seconds}}; low and high bound the 95%
      bootstrap interval of the difference over problems.

    Raises:
      UserError: the run has no evaluation.
    """
    files = evaluation_files(run_dir)
    if not files:
        raise UserError(f"run_dir '{run_dir}' holds no evaluation")
    first, last = min(files), max(files)
    before, after = scores_of(read_samples(files[first])), scores_of(read_samples(files[last]))
    return {
        "updates": last,
        "num_problems": len(after),
        "samples_per_problem": after[0].num_samples,
        "pass": {str(k): _compared(before, after, k) for k in ks},
        "time_secs": _time_by_phase(run_dir),
    }


def format_summary(summary: dict[str, Any]) -> str:
    """The summary as a table for a terminal."""
    lines = [
        f"{summary['num_problems']} held-out problems, "
        f"{summary['samples_per_problem']} samples each",
        f"{'':<10}{'before':>9}{'after':>9}{'difference':>12}   95% interval over problems",
    ]
    for k, row in summary["pass"].items():
        lines.append(
            f"{'pass@' + k:<10}{row['before']:>9.3f}{row['after']:>9.3f}"
            f"{row['difference']:>+12.3f}   [{row['low']:+.3f}, {row['high']:+.3f}]"
        )
    return "\n".join(lines)


def _compared(
    before: Sequence[ProblemScore], after: Sequence[ProblemScore], k: int
) -> dict[str, float]:
    difference = paired_difference(before, after, k)
    return {
        "before": mean_pass_at_k(before, k),
        "after": mean_pass_at_k(after, k),
        "difference": difference.mean,
        "low": difference.low,
        "high": difference.high,
    }


def _time_by_phase(run_dir: str | os.PathLike[str]) -> dict[str, float]:
    totals: dict[str, float] = {}
    for record in read_metrics(run_dir):
        for name, value in record.items():
            if name.startswith("time/") and value is not None:
                phase = name.removeprefix("time/").removesuffix("_secs")
                totals[phase] = totals.get(phase, 0.0) + value
    return {phase: round(secs, 1) for phase, secs in sorted(totals.items())}
