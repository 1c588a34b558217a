"""Tests run side by side, except those that must be alone on the machine as far as we go."""

import contextlib
import threading
from collections.abc import Iterator


class Turns:
    """A lock with many sharers or one loner; a waiting loner goes before new sharers."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._num_sharing = 0
        self._num_alone = 0  # waiting to be, or being
        self._is_alone = False

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._num_alone == 0)
            self._num_sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._num_sharing -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Not to be asked for by one who shares."""
        with self._changed:
            self._num_alone += 1
            self._changed.wait_for(lambda: self._num_sharing == 0 and not self._is_alone)
            self._is_alone = True
        try:
            yield
        finally:
            with self._changed:
                self._num_alone -= 1
                self._is_alone = False
                self._changed.notify_all()
