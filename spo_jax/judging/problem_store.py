"""The problems that clients of a shared judge have sent."""

import collections
import threading
from typing import Any

from spo_jax.judging.wire import problem_from_record, record_hash
from spo_jax.types import Problem


class ProblemStore:
    """Problems by the hash of their record, the latest used up to so many bytes."""

    def __init__(self, max_bytes: int):
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._problems: collections.OrderedDict[str, tuple[Problem, int]] = (
            collections.OrderedDict()
        )
        self._num_bytes = 0

    def add(self, record: Any, num_bytes: int) -> None:
        problem = problem_from_record(record)
        key = record_hash(record)
        with self._lock:
            if key in self._problems:
                return
            self._problems[key] = (problem, num_bytes)
            self._num_bytes += num_bytes
            while self._num_bytes > self._max_bytes and len(self._problems) > 1:
                _, (_, freed) = self._problems.popitem(last=False)
                self._num_bytes -= freed

    def find(self, key: str) -> Problem | None:
        with self._lock:
            if key not in self._problems:
                return None
            self._problems.move_to_end(key)
            return self._problems[key][0]
