"""The learner's view of its actors: who is alive, who is slow, what they spend their time on.

An actor's age is measured by this process's clock, from the last change of its report: clocks of
other machines may be wrong.
"""

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable

from spo_jax.acting.shared_files import SharedFiles
from spo_jax.acting.signals import ActorStatus, read_actors
from spo_jax.reporting.progress import say

_BUSY = ("loading", "sampling", "judging", "committing")
_SLOW_FACTOR = 3.0


@dataclasses.dataclass
class _Seen:
    """An actor as it was last seen; `changed` by the clock of this process."""

    status: ActorStatus
    changed: float
    busy_at_commit: float = 0.0
    reported_secs: dict[str, float] = dataclasses.field(default_factory=dict)
    is_dead: bool = False
    is_slow: bool = False


class ActorWatch:
    """Reads the actors' reports, at most every `every_secs`.

    Args:
      files: shared with the actors.
      groups_per_round: what a round brings.
      every_secs, dead_after_secs: see `ActorSettings`.
      clock: in seconds.
    """

    def __init__(
        self,
        files: SharedFiles,
        *,
        groups_per_round: int,
        every_secs: float,
        dead_after_secs: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._files = files
        self._groups_per_round = groups_per_round
        self._every_secs = every_secs
        self._dead_after_secs = dead_after_secs
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._last_look = float("-inf")

    def look(self) -> None:
        """Reads the reports, if it is time to, and names the dead and the slow once each."""
        now = self._clock()
        if now - self._last_look < self._every_secs:
            return
        self._last_look = now
        with contextlib.suppress(OSError, ValueError):  # the disk or the network: the next look
            for status in read_actors(self._files):
                self._take(status, now)
        for name, seen in self._seen.items():
            self._judge(name, seen, now)

    @property
    def alive(self) -> list[str]:
        return [
            name
            for name, seen in self._seen.items()
            if not seen.is_dead and seen.status.state != "ended"
        ]

    def line(self) -> str:
        """Who is alive and how fast, for a person."""
        if not self.alive:
            return "no actor is alive"
        parts = []
        for name in self.alive:
            status = self._seen[name].status
            secs = sum(status.secs.values())
            rate = 60 * status.num_groups / secs if secs else 0.0
            parts.append(f"{name} {status.state}, {rate:.1f} groups/min")
        return "; ".join(parts)

    def metrics(self) -> dict[str, float]:
        """`actors/...`: who is alive, and seconds by activity since the last call, over all."""
        now, alive = self._clock(), self.alive
        values: dict[str, float] = {"actors/alive": float(len(alive))}
        for name, seen in self._seen.items():
            values |= self._new_secs(seen, values)
            if name in alive:
                values[f"actors/{name}/rounds"] = float(seen.status.num_rounds)
                values[f"actors/{name}/heartbeat_age_secs"] = now - seen.changed
        if alive:
            versions = [self._seen[name].status.policy_version for name in alive]
            values["policy/version"] = float(min(versions))
            values |= self._round_metrics(alive)
        return values

    def _take(self, status: ActorStatus, now: float) -> None:
        seen = self._seen.get(status.actor_id)
        if seen is None or seen.status.nonce != status.nonce:
            # A report that was there before us may be of the dead: it is young until proven old.
            first = _Seen(status, now, busy_at_commit=_busy(status))
            if seen is None:  # what it spent before we came is not this attempt's
                first.reported_secs = dict(status.secs)
            self._seen[status.actor_id] = first
            return
        if status.beat != seen.status.beat:
            seen.changed = now
        if status.num_rounds != seen.status.num_rounds:
            seen.busy_at_commit = _busy(status)
        seen.status = status

    def _judge(self, name: str, seen: _Seen, now: float) -> None:
        age = now - seen.changed
        was_dead, was_slow = seen.is_dead, seen.is_slow
        seen.is_dead = seen.status.state != "ended" and age > self._dead_after_secs
        seen.is_slow = not seen.is_dead and seen.status.state in _BUSY and self._is_slow(seen)
        where = f"(process {seen.status.pid} on {seen.status.host})"
        if seen.is_dead and not was_dead:
            say(f"actor {name} {where} is dead: silent for {age:.0f} s")
        elif was_dead and not seen.is_dead:
            say(f"actor {name} {where} is back")
        if seen.is_slow and not was_slow:
            busy = _busy(seen.status) - seen.busy_at_commit
            say(f"actor {name} {where} is slow: {busy:.0f} s in one round, others take less")
        if seen.status.state == "ended" and seen.status.detail:
            say(f"actor {name} {where} ended: {seen.status.detail}")
            seen.status = dataclasses.replace(seen.status, detail="")

    def _is_slow(self, seen: _Seen) -> bool:
        """Whether its round takes several times what a round takes the others in the median."""
        costs = [
            _busy(each.status) / each.status.num_groups
            for each in self._seen.values()
            if each is not seen and each.status.num_groups
        ]
        if not costs:
            return False
        usual = statistics.median(costs) * self._groups_per_round
        return _busy(seen.status) - seen.busy_at_commit > _SLOW_FACTOR * usual

    def _new_secs(self, seen: _Seen, values: dict[str, float]) -> dict[str, float]:
        added = {}
        for activity, secs in seen.status.secs.items():
            key = f"actors/{activity}_secs"
            new = max(0.0, secs - seen.reported_secs.get(activity, 0.0))
            added[key] = values.get(key, 0.0) + new
        seen.reported_secs = dict(seen.status.secs)
        return added

    def _round_metrics(self, alive: list[str]) -> dict[str, float]:
        """Means over the newest rounds of the actors alive."""
        found: dict[str, list[float]] = {}
        for name in alive:
            for metric, value in self._seen[name].status.metrics.items():
                found.setdefault(metric, []).append(value)
        return {metric: statistics.fmean(values) for metric, values in found.items()}


def _busy(status: ActorStatus) -> float:
    return sum(status.secs.get(name, 0.0) for name in _BUSY)
