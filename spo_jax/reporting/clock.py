"""Where the time of an update goes."""

import contextlib
import time
from collections.abc import Iterator


class PhaseClock:
    """Sums wall time by phase: `with clock("sampling"): ...`."""

    def __init__(self) -> None:
        self._secs: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self._secs[phase] = self._secs.get(phase, 0.0) + time.monotonic() - start

    def metrics(self) -> dict[str, float]:
        """Seconds by phase since the last call, named `time/<phase>_secs`."""
        values = {f"time/{phase}_secs": secs for phase, secs in self._secs.items()}
        self._secs = {}
        return values
