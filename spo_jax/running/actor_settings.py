"""Who makes the online data: the loop itself, a thread beside it, or other processes."""

import dataclasses
import math
from typing import Literal, get_args

from spo_jax.acting.actor_loop import RoundSettings
from spo_jax.errors import UserError, nearest
from spo_jax.running.settings import BatchSettings
from spo_jax.trajectories import ReplayConfig

Mode = Literal["inline", "thread", "remote"]
WhenAlone = Literal["stop", "go_on"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActorSettings:
    """How sampling and learning go together; docs/actors.md explains the modes.

    Attributes:
      mode: 'inline': updates and sampling take turns, and a resumed run repeats itself bit for bit.
        'thread': an actor runs beside the learner in this process. 'remote': `spo actor` processes
        alone. They may join a run of mode 'thread' as well.
      problems_per_round: that an actor asks and commits together; 0 is `problems_per_update *
        collect_every`.
      max_queued: groups of samples that were not drawn yet, at which actors wait; 0 is two rounds,
        and at least a round and an update.
      max_pending_rounds: sampled rounds that may wait for verdicts while another is sampled.
      fresh_fraction: of an update's problems that must have samples which no update has drawn; the
        learner waits for them. 1 uses every group once before any is used again; 0 never waits.
      wait_limit_secs: how long the learner waits while no actor is alive.
      when_alone: what happens then: 'stop' ends the run, saved; 'go_on' draws what there is.
      heartbeat_secs: between two reports of an actor.
      dead_after_secs: an actor that was silent for so long is dead.
      poll_secs: between two looks at the files of the other side; more for a bucket. Beside its own
        thread a learner looks ten times a second at least.
      devices: of this process that the thread's actor gets, the last ones; the learner's mesh has
        the others. None is half of them, and to share the only one; 0 is to share, for a learner on
        one device.
      shared_url: a directory or bucket (gs://, s3://) where trajectories, policies and reports lie
        instead of in the run's directory, for actors that do not see that; '' for the latter.
    """

    mode: Mode = "inline"
    problems_per_round: int = 0
    max_queued: int = 0
    max_pending_rounds: int = 1
    fresh_fraction: float = 1.0
    wait_limit_secs: float = 600.0
    when_alone: WhenAlone = "stop"
    heartbeat_secs: float = 5.0
    dead_after_secs: float = 60.0
    poll_secs: float = 0.5
    devices: int | None = None
    shared_url: str = ""

    def __post_init__(self) -> None:
        for name, known in (("mode", get_args(Mode)), ("when_alone", get_args(WhenAlone))):
            value = getattr(self, name)
            if value not in known:
                raise UserError(f"{name}='{value}' must be one of {known}{nearest(value, known)}")
        for name in ("problems_per_round", "max_queued", "max_pending_rounds", "devices"):
            if (getattr(self, name) or 0) < 0:
                raise UserError(f"{name}={getattr(self, name)} must be at least 0")
        if not 0 <= self.fresh_fraction <= 1:
            raise UserError(f"fresh_fraction={self.fresh_fraction} must lie in [0, 1]")
        if self.shared_url and not self.is_async:
            raise UserError(f"shared_url='{self.shared_url}' needs mode 'thread' or 'remote'")
        for name in ("wait_limit_secs", "heartbeat_secs", "poll_secs"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name}={getattr(self, name)} must be above 0")
        if self.dead_after_secs < 2 * self.heartbeat_secs:
            raise UserError(
                f"dead_after_secs={self.dead_after_secs} must be at least twice "
                f"heartbeat_secs={self.heartbeat_secs}"
            )

    @property
    def is_async(self) -> bool:
        return self.mode != "inline"

    @property
    def own_poll_secs(self) -> float:
        """Between two looks by a process that learns and samples."""
        return min(0.1, self.poll_secs) if self.mode == "thread" else self.poll_secs

    def rounds(
        self,
        batch: BatchSettings,
        replay: ReplayConfig,
        collect_every: int,
        num_problems: int,
        num_processes: int = 1,
    ) -> RoundSettings:
        """Rounds of a run.

        Args:
          num_problems: of the training set; a round is no larger.
          num_processes: of the learner. By default their threads share the problems of
            `collect_every` updates.

        Raises:
          UserError: `max_queued` is less than a round or an update takes; no samples are wanted.
        """
        num_samples = num_online(batch, replay)
        if self.is_async and not num_samples:
            raise UserError(
                f"mode='{self.mode}' of ActorSettings: with offline_fraction="
                f"{replay.offline_fraction} no update draws samples, and actors have nothing to do"
            )
        num_threads = num_processes if self.mode == "thread" else 1
        share = math.ceil(batch.problems_per_update * collect_every / num_threads)
        asked = min(self.problems_per_round or share, num_problems)
        least = asked + batch.problems_per_update
        max_queued = self.max_queued or max(2 * asked * num_threads, least)
        if max_queued < least:
            raise UserError(
                f"max_queued={max_queued} groups must be at least problems_per_round={asked} + "
                f"problems_per_update={batch.problems_per_update}"
            )
        return RoundSettings(
            num_problems=asked,
            num_samples=num_samples,
            max_queued=max_queued,
            max_pending_rounds=self.max_pending_rounds,
            poll_secs=self.own_poll_secs,
        )


def num_online(batch: BatchSettings, replay: ReplayConfig) -> int:
    """Samples of a problem that an update may ask for; 0 for purely offline data."""
    return math.ceil(batch.completions_per_problem * (1 - replay.offline_fraction))
