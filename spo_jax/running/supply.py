"""Where an update's online data comes from: made now, or made by actors and waited for."""

import contextlib
import dataclasses
import itertools
import math
import secrets
import time
from collections.abc import Iterator
from typing import Protocol, Self, TypedDict

from spo_jax.acting.shared_files import SharedFiles
from spo_jax.acting.signals import LearnerStatus, write_learner
from spo_jax.errors import EnginesLostError
from spo_jax.reporting.progress import format_secs, say
from spo_jax.running.actor_settings import ActorSettings
from spo_jax.running.actor_thread import ActorThread
from spo_jax.running.actor_watch import ActorWatch
from spo_jax.running.hosts import Hosts
from spo_jax.running.parts import RunParts
from spo_jax.running.session import Session
from spo_jax.running.stopping import ActorsLostError, Stopped, StopRequest
from spo_jax.running.writers import is_actor_stream
from spo_jax.trajectories import FreshGroups, Watermark

_SAY_EVERY_SECS = 10.0


class Supply(Protocol):
    """What the loop asks for around an update. A context manager."""

    def provide(self, update: int) -> tuple[list[str], dict[str, float]]:
        """Ids of the update's problems, whose data is in the store now, and metrics."""
        ...

    def drawn(self) -> None:
        """The update's data was drawn: actors have room for more."""
        ...

    def published(self) -> None:
        """The session has published a policy."""
        ...

    def finish(self) -> None:
        """The last update was made."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class InlineSupply(contextlib.AbstractContextManager):
    """Sampling and updates take turns: the problems of `collect_every` updates in one go."""

    def __init__(self, session: Session, parts: RunParts, *, collect_every: int, num_updates: int):
        self._session = session
        self._stream = parts.stream
        self._collect_every = collect_every
        self._num_updates = num_updates

    def provide(self, update: int) -> tuple[list[str], dict[str, float]]:
        metrics = {}
        if update % self._collect_every == 0:
            ahead = min(update + self._collect_every, self._num_updates)
            metrics = self._session.collect(self._stream.between(update, ahead))
        return [problem.id for problem in self._stream.at(update)], metrics

    def drawn(self) -> None:
        pass

    def published(self) -> None:
        pass

    def finish(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class _Found(TypedDict):
    """What the wait for samples led to: problems to draw, or why there will be none."""

    problems: list[str]
    lost: str


class AsyncSupply:
    """Actors fill the store; the learner waits only while too little in it is new.

    Of several processes the main one looks at the store and at the actors, decides, and writes what
    actors go by; all call the same methods in the same order.

    Args:
      session: whose updates are supplied.
      parts: of the run.
      settings: of actors.
      files: shared with them.
      run_id: part of every trajectory's identity.
      hosts: the learner's processes.
      stop: asked while waiting.
      thread: this process's own actor, or None where all are elsewhere.
    """

    def __init__(
        self,
        session: Session,
        parts: RunParts,
        settings: ActorSettings,
        files: SharedFiles,
        *,
        run_id: str,
        hosts: Hosts,
        stop: StopRequest,
        thread: ActorThread | None,
    ):
        self._session = session
        self._parts = parts
        self._settings = settings
        self._files = files
        self._run_id = run_id
        self._hosts = hosts
        self._attempt = secrets.token_hex(8)
        self._stop = stop
        self._thread = thread
        self._watch = ActorWatch(
            files,
            groups_per_round=parts.rounds.num_problems,
            every_secs=min(1.0, settings.heartbeat_secs / 2),
            dead_after_secs=settings.dead_after_secs,
        )
        self._fresh = FreshGroups(0, ())
        self._looked_at: tuple[Watermark, int] | None = None
        self._told: LearnerStatus | None = None
        self._alive_at = time.monotonic()

    def __enter__(self) -> Self:
        self._look_at_store()
        self._tell()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.stop()

    def provide(self, update: int) -> tuple[list[str], dict[str, float]]:
        """Waits until enough problems have samples that no update has drawn.

        Raises:
          ActorsLostError: no actor was alive for too long.
          EnginesLostError: the servers of some process's thread are away.
          Stopped: a stop was asked for.
        """
        if self._thread is not None:
            self._thread.start()
        began = time.monotonic()
        with self._session.clock("waiting"):
            problems = self._wait(update)
        metrics = self._watch.metrics()
        metrics["actors/queued_groups"] = float(self._fresh.num_groups)
        metrics["actors/wait_secs"] = time.monotonic() - began
        return problems, metrics

    def _wait(self, update: int) -> list[str]:
        """The problems that the update is to draw, once enough of them have samples."""
        found: _Found | None = None
        finding = self._finding(update) if self._hosts.is_main else itertools.repeat(None)
        for found in finding:
            told = self._hosts.gather("supply", [self._stop.requested, self._lost_engines(), found])
            if any(is_stopped for is_stopped, *_ in told):
                raise Stopped
            if lost := [text for _, text, _ in told if text]:
                raise EnginesLostError(lost[0])
            found = told[0][2]
            self._tell()
            if found is not None:
                break
            time.sleep(self._settings.own_poll_secs)
        assert found is not None
        if found["lost"]:
            raise ActorsLostError(found["lost"])
        return found["problems"]

    def _finding(self, update: int) -> Iterator["_Found | None"]:
        """Looks again and again; None while there is too little."""
        num_problems = self._parts.batch.problems_per_update
        needed = math.ceil(self._settings.fresh_fraction * num_problems)
        began = said_at = time.monotonic()
        while True:
            self._look_at_store()
            self._watch.look()
            problems = list(self._fresh.problem_ids[:num_problems])
            now = time.monotonic()
            self._alive_at = now if self._watch.alive else self._alive_at
            if self._is_enough(needed):
                yield {"problems": problems, "lost": ""}
            elif now - self._alive_at > self._settings.wait_limit_secs:
                is_end = self._settings.when_alone == "stop"
                if not is_end:
                    alone = format_secs(now - self._alive_at)
                    say(f"no actor was alive for {alone}: drawing what is there")
                yield {"problems": problems, "lost": self._lost() if is_end else ""}
            else:
                if now - said_at > _SAY_EVERY_SECS:
                    said_at = now
                    self._say_waiting(update, needed, now - began)
                yield None

    def drawn(self) -> None:
        self._look_at_store(has_drawn=True)
        self._tell()

    def published(self) -> None:
        if self._thread is not None:
            self._thread.hand(self._session.behavior)
        self._tell()

    def finish(self) -> None:
        if self._thread is not None:
            self._thread.stop()
        self._tell(done=True)

    def _is_enough(self, needed: int) -> bool:
        """A queue that has no room for a round has to do, should its groups be of few problems."""
        rounds = self._parts.rounds
        is_full = self._fresh.num_groups + rounds.num_problems > rounds.max_queued
        return len(self._fresh.problem_ids) >= needed or is_full

    def _lost_engines(self) -> str:
        """Why this process's actor has no servers, or ''; raises whatever else ended it.

        All processes have to know, and save together; other errors end the run unsaved.
        """
        try:
            if self._thread is not None:
                self._thread.check()
        except EnginesLostError as error:
            return str(error) or "no engine is alive"
        return ""

    def _look_at_store(self, *, has_drawn: bool = False) -> None:
        """Counts what is fresh, if anything can have changed: it takes a look at every row."""
        if not self._hosts.is_main:
            return
        replay, step = self._parts.replay, self._session.step
        before, self._looked_at = self._looked_at, (replay.advance(), step)
        if has_drawn or before != self._looked_at:
            self._fresh = replay.fresh(step)

    def _tell(self, *, done: bool = False) -> None:
        """Lets actors know how far the learner is, those of other processes, too."""
        own = self._status(done) if self._hosts.is_main else None
        told = self._hosts.broadcast("learner", dataclasses.asdict(own) if own else None)
        if self._thread is not None:
            self._thread.tell(LearnerStatus(**told))
        if own is None or own == self._told:
            return
        with contextlib.suppress(OSError):  # the disk or the network: told at the next look
            write_learner(self._files, own)
            self._told = own

    def _status(self, done: bool) -> LearnerStatus:
        commits = self._parts.replay.watermark.as_dict()
        return LearnerStatus(
            run_id=self._run_id,
            attempt=self._attempt,
            step=self._session.step,
            policy_version=self._session.behavior.version,
            queued_groups=self._fresh.num_groups,
            commits={name: count for name, count in commits.items() if is_actor_stream(name)},
            done=done,
        )

    def _lost(self) -> str:
        limit = self._settings.wait_limit_secs
        return (
            f"no actor was alive for {format_secs(limit)} (wait_limit_secs={limit}); "
            f"start some with `spo actor --run_dir={self._files.url} --actor_id=NAME`, or set "
            "ActorSettings.when_alone='go_on'"
        )

    def _say_waiting(self, update: int, needed: int, secs: float) -> None:
        say(
            f"update {update + 1} has waited {format_secs(secs)} for samples of {needed} problems, "
            f"{len(self._fresh.problem_ids)} are there · {self._watch.line()}"
        )
