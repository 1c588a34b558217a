"""Stopping a run in an orderly way on Ctrl-C or a preemption notice (SIGTERM)."""

import signal
import sys
from types import FrameType
from typing import Any


class Stopped(BaseException):
    """Raised at a safe point after a stop was asked for. Not an error: nothing is lost."""


class ActorsLostError(RuntimeError):
    """The learner needed samples, and no actor was alive for `wait_limit_secs`."""


class StopRequest:
    """Inside `with`, the first signal asks the run to stop, the second interrupts it at once.

    `check()` is called where the run's state is whole: between samples and between updates.

    Args:
      says: what happens now, for a person.
    """

    def __init__(
        self,
        says: str = "saving and stopping; once more stops at once, back to the last checkpoint",
    ) -> None:
        self.requested = False
        self._says = says
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def is_requested(self) -> bool:
        return self.requested

    def check(self) -> None:
        """Raises Stopped if a stop was asked for."""
        if self.requested:
            raise Stopped

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        name = signal.Signals(number).name
        print(
            f"{name}: {self._says}",
            file=sys.stderr,
            flush=True,
        )
