"""Reads a run directory for reporting. Whatever is missing or broken is said, never fatal."""

import dataclasses
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spo_jax.errors import UserError, nearest
from spo_jax.evaluation import read_samples
from spo_jax.reporting.frame import Point
from spo_jax.reporting.metrics import METRICS_FILE, read_metrics
from spo_jax.reporting.summary import evaluation_files, run_summary

CONFIG_FILE, ATTEMPTS_FILE, SUMMARY_FILE = "config.gin", "attempts.jsonl", "summary.json"
TOKEN_VALUES_FILE = "token_values.json"

Samples = Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run as its directory tells it.

    Attributes:
      path: of the directory.
      config: the resolved configuration as text; empty if there is none.
      attempts: starts of the run, with command and versions.
      train, evals: metrics records by kind, in order.
      evaluations: samples of each evaluation by number of updates, in order.
      summary: before and after, or None with fewer than two evaluations.
      token_values: of the last policy, or None.
      notes: what is missing, one sentence each.
    """

    path: Path
    config: str
    attempts: Sequence[Mapping[str, Any]]
    train: Sequence[Mapping[str, Any]]
    evals: Sequence[Mapping[str, Any]]
    evaluations: Mapping[int, Samples]
    summary: Mapping[str, Any] | None
    token_values: Mapping[str, Any] | None
    notes: Sequence[str]

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def num_updates_done(self) -> int:
        steps = [record["step"] for record in [*self.train, *self.evals]]
        return max([*steps, *self.evaluations], default=0)

    @property
    def num_updates_planned(self) -> int | None:
        """`train.num_updates` of the configuration."""
        value = self.setting("num_updates")
        return int(value) if value else None

    @property
    def is_finished(self) -> bool:
        """Evaluated before and after all updates; how many there are is read off the config."""
        last = self.num_updates_planned or max(self.evaluations, default=0)
        return len(self.evaluations) > 1 and last in self.evaluations

    @property
    def before(self) -> Samples | None:
        """Samples of the first evaluation, if it was made before any update."""
        return self.evaluations.get(0)

    @property
    def after(self) -> Samples | None:
        """Samples of the last evaluation, if there was an update before it."""
        last = max(self.evaluations, default=0)
        return self.evaluations[last] if last else None

    def setting(self, name: str) -> str | None:
        """The number that the configuration binds to a parameter of this name, as text."""
        found = re.search(rf"\b{name}\s*=\s*([-+.\deE]+)", self.config)
        return found.group(1) if found else None

    def bindings(self) -> set[str]:
        """`name = value` lines of the configuration without the seed of the run."""
        lines = (line.strip() for line in self.config.replace("\\\n", " ").splitlines())
        joined = {" ".join(line.split()) for line in lines if line and not line.startswith("#")}
        return {line for line in joined if not line.startswith("train.seed =")}

    def points(self, metric: str) -> tuple[Point, ...]:
        """A training metric by update; None where an update has no (finite) value."""
        return tuple((record["step"], finite(record.get(metric))) for record in self.train)


def finite(value: Any) -> float | None:
    """The value if it is a finite number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def read_run(run_dir: str | os.PathLike[str]) -> RunRecord:
    """Reads everything that a report shows.

    Raises:
      UserError: there is no such directory, or it holds no run.
    """
    path = Path(run_dir)
    _check_is_run(path)
    notes: list[str] = []
    metrics = read_metrics(path)
    evaluations = {step: read_samples(file) for step, file in evaluation_files(path).items()}
    evaluations = {step: samples for step, samples in evaluations.items() if samples}
    evals = [record for record in metrics if record["kind"] == "eval"]
    record = RunRecord(
        path=path,
        config=_text(path / CONFIG_FILE, notes),
        attempts=_attempts(path / ATTEMPTS_FILE),
        train=[record for record in metrics if record["kind"] == "train"],
        evals=evals,
        evaluations=evaluations,
        summary=_summary(path, evaluations, evals, notes),
        token_values=_json(path / TOKEN_VALUES_FILE, notes),
        notes=notes,
    )
    if not record.train:
        notes.append(f"{METRICS_FILE} holds no update yet: there are no training curves.")
    return record


def _check_is_run(path: Path) -> None:
    if not path.is_dir():
        parent = path.parent
        siblings = [str(each) for each in parent.iterdir()] if parent.is_dir() else []
        raise UserError(f"run_dir '{path}' does not exist{nearest(str(path), siblings)}")
    parts = (CONFIG_FILE, METRICS_FILE, "evaluations")
    if not any((path / part).exists() for part in parts):
        raise UserError(f"'{path}' is not a run directory: it holds none of {', '.join(parts)}")


def _summary(
    path: Path, evaluations: Mapping[int, Samples], evals: Samples, notes: list[str]
) -> dict[str, Any] | None:
    if len(evaluations) < 2:
        notes.append(
            f"There {'is one evaluation' if evaluations else 'is no evaluation'} so far: "
            "before and after cannot be compared yet."
        )
        return None
    try:
        return run_summary(path, budgets(evaluations, evals))
    except UserError as error:
        notes.append(f"The first and the last evaluation cannot be compared: {error}.")
        return None


def budgets(evaluations: Mapping[int, Samples], evals: Samples) -> list[int]:
    """The k of pass@k: those that were logged and that all evaluations have samples for."""
    counts = [
        min(_samples_by_problem(samples).values()) for samples in evaluations.values() if samples
    ]
    fewest = min(counts, default=1)
    names = {name for record in evals for name in record if name.startswith("eval/pass@")}
    logged = {int(name.removeprefix("eval/pass@")) for name in names}
    return sorted(k for k in logged | {1} if k <= fewest)


def _samples_by_problem(samples: Samples) -> dict[str, int]:
    counts: dict[str, int] = {}
    for sample in samples:
        counts[sample["problem_id"]] = counts.get(sample["problem_id"], 0) + 1
    return counts


def _text(path: Path, notes: list[str]) -> str:
    if not path.exists():
        notes.append(f"{path.name} is missing: the configuration is not known.")
        return ""
    return path.read_text(encoding="utf-8")


def _attempts(path: Path) -> list[dict[str, Any]]:
    """Lines of a file that a crash may have torn."""
    attempts = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            attempts.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return attempts


def _json(path: Path, notes: list[str]) -> dict[str, Any] | None:
    if not path.exists():
        notes.append(f"{path.name} is missing: it is written when the run ends.")
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        notes.append(f"{path.name} cannot be read: {error}.")
        return None
