"""What an engine samples from: weights on disk, in place of parameters in memory."""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

from spo_jax.acting.policies import Policies
from spo_jax.acting.policy_mirror import PolicyMirror


@dataclasses.dataclass(frozen=True, slots=True)
class PublishedPolicy:
    """A published version.

    Attributes:
      path: a directory in Hugging Face format, as the servers see it.
      version: its number.
      stamp: differs where an asynchronous run that was resumed publishes another policy under a
        number that was used before.
    """

    path: str
    version: int
    stamp: str = ""


class EnginePolicies(Policies):
    """Policies whose reader is an engine: it is told where they are instead of being handed them.

    Args:
      args, kwargs: of `Policies`.
      seen_at: the directory of the versions as the servers see it; '' where it is the same path.
      barrier: returns when all processes are there: one writes, all read.
    """

    def __init__(
        self,
        *args: Any,
        seen_at: str = "",
        barrier: Callable[[], None] = lambda: None,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self._barrier = barrier
        self._seen_at = seen_at.rstrip("/") or os.path.abspath(self._directory)

    def start(self, params: Any) -> PublishedPolicy:
        """Publishes the start too: a server may hold the weights of an earlier run."""
        return self.publish(params, 0)

    def publish(self, params: Any, version: int, **_: Any) -> PublishedPolicy:
        """Writes a version, in the foreground: the servers are about to read it."""
        super().publish(params, version)
        self._barrier()
        return self.load(version)

    def load(self, version: int) -> PublishedPolicy:
        status = self.check(version).stat()
        stamp = f"{status.st_ino}.{status.st_mtime_ns}"
        return PublishedPolicy(f"{self._seen_at}/{version}", version, stamp)


class PublishedDirectories:
    """What the learner published, for an actor whose engine reads it by itself.

    Args:
      mirror: of the run.
      seen_at: the directory of the versions as the servers see it; '' where it is the same path.
      attempt: of the learner; another one may publish another policy under the same number.
    """

    def __init__(self, mirror: PolicyMirror, seen_at: str, attempt: Callable[[], str | None]):
        self._mirror = mirror
        self._seen_at = seen_at.rstrip("/")
        self._attempt = attempt

    def latest(self) -> int:
        return self._mirror.latest()

    def load(self, version: int) -> PublishedPolicy:
        """Raises FileNotFoundError where the version is gone."""
        attempt = self._attempt() or ""
        if version not in self._mirror.versions():
            raise FileNotFoundError(
                f"published policy {version} is missing in '{self._mirror.url}': a run whose "
                "actors have engines must have EngineSettings too"
            )
        seen_at = self._seen_at or self._mirror.folder
        return PublishedPolicy(f"{seen_at}/{version}", version, attempt)
