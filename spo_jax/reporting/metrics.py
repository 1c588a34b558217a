"""Metrics on disk: `metrics.jsonl`, always, and TensorBoard events beside it."""

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path

import tensorboardX

METRICS_FILE = "metrics.jsonl"


class NoMetrics:
    """Takes the metrics of a process that is not the run's main one, and keeps nothing."""

    def write(self, step: int, values: Mapping[str, float], *, kind: str = "train") -> None: ...

    def close(self) -> None: ...


class MetricsWriter:
    """Appends one JSON object a step: {"step", "kind", "time", name: value, ...}.

    Args:
      run_dir: the run's directory.
      resume_step: updates that the restored state has seen. Lines of later steps, left by an
        attempt that was interrupted, are dropped: those steps are done again. So is that step's
        evaluation, which comes after its update.
      tensorboard: also write TensorBoard events, to `<run_dir>/tensorboard`.
    """

    def __init__(
        self, run_dir: str | os.PathLike[str], *, resume_step: int = 0, tensorboard: bool = True
    ):
        self._path = Path(run_dir) / METRICS_FILE
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _drop_later_steps(self._path, resume_step)
        self._file = self._path.open("a", encoding="utf-8")
        self._events = (
            tensorboardX.SummaryWriter(
                str(Path(run_dir) / "tensorboard"), purge_step=resume_step or None
            )
            if tensorboard
            else None
        )

    def write(self, step: int, metrics: Mapping[str, float], *, kind: str = "train") -> None:
        """Writes numbers of one step. `kind` is 'train', 'eval' or 'time'."""
        values = {name: float(value) for name, value in sorted(metrics.items())}
        finite = {name: v if math.isfinite(v) else None for name, v in values.items()}
        record = {"step": step, "kind": kind, "time": round(time.time(), 3), **finite}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        if self._events:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)
            self._events.flush()

    def close(self) -> None:
        self._file.close()
        if self._events:
            self._events.close()


def read_metrics(run_dir: str | os.PathLike[str], kind: str | None = None) -> list[dict]:
    """All records of a run, of one kind if given. A line torn by a crash is passed over."""
    path = Path(run_dir) / METRICS_FILE
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # a whole line ends with a newline
    records = [json.loads(line) for line in lines]
    return [record for record in records if kind is None or record["kind"] == kind]


def _drop_later_steps(path: Path, step: int) -> None:
    if not path.exists():
        return
    kept = [
        record
        for record in read_metrics(path.parent)
        if record["step"] < step or (record["step"] == step and record["kind"] != "eval")
    ]
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
    partial.replace(path)
