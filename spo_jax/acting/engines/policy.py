"""What an engine samples from: weights on disk, in place of parameters in memory."""

import dataclasses
import os
from typing import Any

from spo_jax.acting.policies import Policies


@dataclasses.dataclass(frozen=True, slots=True)
class PublishedPolicy:
    """A published version: `path` is a directory in Hugging Face format."""

    path: str
    version: int


class EnginePolicies(Policies):
    """Policies whose reader is an engine: it is told where they are instead of being handed them.

    Args:
      args, kwargs: of `Policies`.
      seen_at: the directory of the versions as the servers see it; '' where it is the same path.
    """

    def __init__(self, *args: Any, seen_at: str = "", **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._seen_at = seen_at.rstrip("/") or os.path.abspath(self._directory)

    def start(self, params: Any) -> PublishedPolicy:
        """Publishes the start too: a server may hold the weights of an earlier run."""
        return self.publish(params, 0)

    def publish(self, params: Any, version: int, **_: Any) -> PublishedPolicy:
        """Writes a version, in the foreground: the servers are about to read it."""
        super().publish(params, version)
        return self._published(version)

    def load(self, version: int) -> PublishedPolicy:
        self.check(version)
        return self._published(version)

    def _published(self, version: int) -> PublishedPolicy:
        return PublishedPolicy(f"{self._seen_at}/{version}", version)
