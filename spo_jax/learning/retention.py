"""Which checkpoints stay, and which of them is the best."""

import dataclasses
import json
import logging
import math
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Literal

from etils import epath

from spo_jax.errors import UserError, nearest
from spo_jax.learning.checkpoint_files import write_whole

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """Where checkpoints lie, how they are written and which of them stay.

    Attributes:
      keep: the newest so many stay. With 1 a damaged one leaves nothing to go back to.
      keep_every: those of every so many updates stay for ever; 0 for none.
      keep_best: so many with the best `metric` stay; 0 for none. An evaluation that is among the
        best saves the state it evaluated.
      metric: of evaluations, as in metrics.jsonl. mode: 'max' or 'min', which of its values is
        better.
      directory: a local path or a bucket's URL ('gs://bucket/run'); '' for the run's own
        `checkpoints/`.
      asynchronous: training goes on while the files of a checkpoint are written.
    """

    keep: int = 2
    keep_every: int = 0
    keep_best: int = 0
    metric: str = "eval/pass@1"
    mode: Literal["max", "min"] = "max"
    directory: str = ""
    asynchronous: bool = True

    def __post_init__(self) -> None:
        for name, least in (("keep", 1), ("keep_every", 0), ("keep_best", 0)):
            if getattr(self, name) < least:
                raise UserError(
                    f"{name}={getattr(self, name)} checkpoints must be at least {least}"
                )
        if self.mode not in ("max", "min"):
            raise UserError(f"mode='{self.mode}' of the best checkpoints must be 'max' or 'min'")

    def value(self, metrics: Mapping[str, float]) -> float:
        """The metric by which checkpoints are compared. Raises UserError where it is not there."""
        if self.metric not in metrics:
            raise UserError(
                f"CheckpointSettings.metric='{self.metric}' is not measured"
                f"{nearest(self.metric, metrics)}"
            )
        return float(metrics[self.metric])

    def stay(self, steps: Sequence[int], best: Iterable[int]) -> set[int]:
        """Those of the usable checkpoints, oldest first, that are not to be deleted."""
        kept = set(steps[-self.keep :]) | (set(best) & set(steps))
        if self.keep_every:
            kept |= {step for step in steps if step and step % self.keep_every == 0}
        return kept


class BestSteps:
    """The steps whose checkpoints have the best values, best first; the earlier of two equals.

    Args:
      settings: how many, by which metric.
      path: of the file they are in; values of another metric or mode are passed over.
    """

    def __init__(self, settings: CheckpointSettings, path: epath.Path):
        self._settings = settings
        self._path = path
        self._values: dict[int, float] = {}
        self._read()

    @property
    def steps(self) -> list[int]:
        return list(self._values)

    def would_take(self, step: int, value: float) -> bool:
        """Whether a value is among the best so far."""
        return step in self._ranked(self._values | {step: value})

    def add(self, step: int, value: float) -> None:
        self._values = self._ranked(self._values | {step: value})

    def keep_only(self, steps: Container[int]) -> None:
        """Drops the others: a resumed run comes to them again, or they are damaged."""
        self._values = {step: value for step, value in self._values.items() if step in steps}

    def write(self) -> None:
        """Writes the file, whole or not at all."""
        best = [{"step": step, "value": value} for step, value in self._values.items()]
        content = {"metric": self._settings.metric, "mode": self._settings.mode, "best": best}
        write_whole(self._path, json.dumps(content, indent=1))

    def _read(self) -> None:
        saved = _recorded(self._path)
        if all(saved.get(name) == getattr(self._settings, name) for name in ("metric", "mode")):
            self._values = self._ranked({item["step"]: item["value"] for item in saved["best"]})

    def _ranked(self, values: Mapping[int, float]) -> dict[int, float]:
        sign = -1.0 if self._settings.mode == "max" else 1.0
        known = [(step, value) for step, value in values.items() if math.isfinite(value)]
        ranked = sorted(known, key=lambda item: (sign * item[1], item[0]))
        return dict(ranked[: self._settings.keep_best])


def recorded_steps(path: epath.Path) -> list[int]:
    """Steps in a file of the best, best first."""
    return [item["step"] for item in _recorded(path)["best"]]


def _recorded(path: epath.Path) -> dict[str, Any]:
    if not path.exists():
        return {"best": []}
    try:
        saved = json.loads(path.read_text())
        [(item["step"], item["value"]) for item in saved["best"]]
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("%s cannot be read and is begun anew: %s", path, error)
        return {"best": []}
    return saved
