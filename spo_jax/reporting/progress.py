"""Lines that tell a person how far the work is, how fast it goes and how long it will take."""

import sys
import time
from collections.abc import Mapping
from typing import TextIO


def format_secs(secs: float) -> str:
    """'48s', '3m05s', '2h07m'."""
    secs = round(max(0.0, secs))
    if secs < 60:
        return f"{secs}s"
    if secs < 3600:
        return f"{secs // 60}m{secs % 60:02d}s"
    return f"{secs // 3600}h{secs % 3600 // 60:02d}m"


def say(line: str) -> None:
    """One line for a person, on standard error: standard output is for results."""
    print(line, file=sys.stderr, flush=True)


class Progress:
    """Progress of one phase, a line at most every `every_secs` seconds.

    Args:
      name: of the phase, for example 'evaluation'.
      total: how many units there are.
      unit: what is counted, for example 'samples'.
      done: units that were already done, by an earlier attempt.
      stream: where lines go; standard error by default, so that results stay alone on stdout.
    """

    def __init__(
        self,
        name: str,
        total: int,
        unit: str,
        *,
        done: int = 0,
        every_secs: float = 5.0,
        stream: TextIO | None = None,
    ):
        self._name, self._total, self._unit = name, total, unit
        self._start = self._last = time.monotonic()
        self._first = self._done = done
        self._tokens = 0
        self._every_secs = every_secs
        self._stream = stream or sys.stderr

    def add(self, units: int, tokens: int = 0) -> None:
        """Counts finished units and sampled tokens; prints when it is time to."""
        self._done += units
        self._tokens += tokens
        now = time.monotonic()
        if now - self._last >= self._every_secs or (units and self._done == self._total):
            self._last = now
            self.line()

    def update(self, done: int, values: Mapping[str, float]) -> None:
        """Sets how much is done and prints a line with `values`."""
        self._done = done
        self.line(values)

    def line(self, values: Mapping[str, float] | None = None) -> None:
        """Prints a line now, with `values` such as the loss at its end."""
        secs = time.monotonic() - self._start
        worked = self._done - self._first
        parts = [f"{self._name} {self._done}/{self._total} {self._unit}", format_secs(secs)]
        if worked and secs > 0:
            parts.append(_rate(worked / secs, self._unit))
            if self._tokens:
                parts.append(f"{self._tokens / secs:.0f} tokens/s")
            parts.append(f"{format_secs((self._total - self._done) * secs / worked)} left")
        parts += [f"{name} {value:.3f}" for name, value in (values or {}).items()]
        print(" · ".join(parts), file=self._stream, flush=True)


def _rate(per_sec: float, unit: str) -> str:
    if per_sec >= 1:
        return f"{per_sec:.1f} {unit}/s"
    return f"{per_sec * 60:.1f} {unit}/min"
