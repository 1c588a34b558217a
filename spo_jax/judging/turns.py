"""Tests run side by side, except those that must be alone on the machine as far as we go."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

_ALONE_SHARE = 0.1  # of the time; all other workers wait meanwhile
_ALONE_SAVED_SECS = 60.0  # so much of that can be saved up


class Turns:
    """A lock with many sharers or one loner; a waiting loner goes before new sharers.

    Programs decide how often somebody asks to be alone. So that many which use almost all their
    time, or wait on purpose, do not stop all other workers, only a tenth of the time is given to
    loners; whoever comes when it is used up shares.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._changed = threading.Condition()
        self._num_sharing = 0
        self._num_alone = 0  # waiting to be, or being
        self._is_alone = False
        self._clock = clock
        self._saved_secs = _ALONE_SAVED_SECS
        self._counted_until = clock()

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
            self._count()
            is_granted = self._saved_secs > 0
            if is_granted:
                self._num_alone += 1
                self._changed.wait_for(lambda: self._num_sharing == 0 and not self._is_alone)
                self._is_alone = True
        if not is_granted:
            with self.shared():
                yield
            return
        try:
            yield
        finally:
            with self._changed:
                self._count()
                self._num_alone -= 1
                self._is_alone = False
                self._changed.notify_all()

    def _count(self) -> None:
        """Saves while all share, spends while somebody is alone or waits to be."""
        now = self._clock()
        secs, self._counted_until = now - self._counted_until, now
        gain = -secs if self._num_alone else _ALONE_SHARE * secs
        self._saved_secs = min(_ALONE_SAVED_SECS, self._saved_secs + gain)
