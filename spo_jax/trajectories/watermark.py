"""A pinned, immutable description of what a store held at one moment."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from spo_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Watermark:
    """How many commits of each stream count: the first `commits[stream]`, in their order.

    A stream is one writer's folder, for example 'trajectories/host0' or
    'annotations/ref_logprobs/<reference_id>/host0'; its objects are numbered without gaps and never
    change, so two readers with one watermark see the same rows. Streams not named count nothing.
    The empty watermark describes the empty store.
    """

    commits: tuple[tuple[str, int], ...] = ()

    def count(self, stream: str) -> int:
        """Number of commits of `stream` that count."""
        return dict(self.commits).get(stream, 0)

    def as_dict(self) -> dict[str, int]:
        """Plain JSON: stream to number of commits."""
        return dict(self.commits)

    def updated(self, commits: Mapping[str, int]) -> "Watermark":
        """The same with other numbers for some streams."""
        return self.from_dict({**self.as_dict(), **commits})

    @classmethod
    def from_dict(cls, commits: Mapping[str, Any]) -> "Watermark":
        """The inverse of `as_dict`. Raises UserError for a count that is not a natural number."""
        for stream, count in commits.items():
            if not isinstance(count, int) or count < 0:
                raise UserError(f"watermark of '{stream}' must be a natural number, got {count!r}")
        return cls(tuple(sorted((stream, int(count)) for stream, count in commits.items())))
