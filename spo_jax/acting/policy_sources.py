"""Where an actor gets the policy from: handed over in memory, or read from what was published."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any, Protocol

from safetensors import SafetensorError

from spo_jax.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class Policy:
    """Parameters and the number of updates they have seen."""

    version: int
    params: Any


class PolicySource(Protocol):
    """What actors ask before every round."""

    def newest(self) -> Policy: ...


class HandedPolicies:
    """Policies that the learner hands to a thread of its own process: copies, never its buffers.

    Args:
      first: what is sampled with until the learner hands over another.
      place: puts parameters on the devices of the actor; by default they stay where they are.
    """

    def __init__(self, first: Policy, place: Callable[[Any], Any] = lambda params: params):
        self._place = place
        self._lock = threading.Lock()
        self._newest = first
        self._placed: Policy | None = None

    def hand(self, policy: Policy) -> None:
        """Makes a policy the newest. Its buffers must not be donated by anyone."""
        with self._lock:
            self._newest = policy

    def newest(self) -> Policy:
        with self._lock:
            newest = self._newest
        if self._placed is None or self._placed.version != newest.version:
            self._placed = None  # its memory goes before the next one's comes
            self._placed = Policy(newest.version, self._place(newest.params))
        return self._placed


class ReadsPolicies(Protocol):
    """`Policies`, or `MirroredPolicies` of a URL."""

    def latest(self) -> int: ...

    def load(self, version: int) -> Any: ...


class PublishedPolicies:
    """Reads what the learner published, when there is something newer.

    Args:
      policies: reads the files.
      start: reads the parameters of version 0, which is never published.
      attempt: of the learner; after it changed, a version of the same number is read again.
      first: what `start` would give, if it is at hand; let go like every other when one is read.
    """

    def __init__(
        self,
        policies: ReadsPolicies,
        start: Callable[[], Any],
        attempt: Callable[[], str | None],
        first: Any = None,
    ):
        self._policies = policies
        self._start = start
        self._attempt = attempt
        self._held: Policy | None = None
        self._held_of: tuple[int, str | None] | None = None
        if first is not None:
            self._held, self._held_of = Policy(0, first), (0, attempt())

    def newest(self) -> Policy:
        """The newest published policy; of one that is deleted while it is read, the one after.

        Raises:
          UserError, OSError, SafetensorError: the newest version cannot be read, and stays newest.
        """
        while True:
            version = self._policies.latest()
            wanted = (version, self._attempt())
            if self._held is not None and self._held_of == wanted:
                return self._held
            self._held = self._held_of = None  # its memory goes before the next one's comes
            try:
                params = self._policies.load(version) if version else self._start()
            except (UserError, OSError, SafetensorError):
                if self._policies.latest() == version:
                    raise
                continue
            self._held, self._held_of = Policy(version, params), wanted
            return self._held
