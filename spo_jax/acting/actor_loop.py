"""The life of an actor beside a learner: newest policy, next problems, sample, judge, commit.

The same loop runs in a thread beside the learner, in `spo actor` on this machine or another one,
and wherever else something calls it. All it keeps are its commits: the number of the next round is
their number, so an actor that was killed goes on where its last commit was, whoever starts it. A
round is committed as one object: a killed actor loses at most the rounds it had under way, and
nothing half.

Sampling does not wait for the judge: while the verdicts of a round come in, the next round is
sampled, up to `max_pending_rounds`; rounds are committed in order. It waits for the learner: when
what nobody has drawn yet reaches `max_queued` groups, no round is begun.
"""

import collections
import dataclasses
import time
from collections.abc import Callable, Sequence

from spo_jax.acting.actor import Actor, CollectReport, PendingRound
from spo_jax.acting.heartbeat import Heartbeat
from spo_jax.acting.policy_sources import PolicySource
from spo_jax.acting.problem_stream import ProblemStream
from spo_jax.acting.seeds import derived_seed
from spo_jax.acting.signals import LearnerStatus
from spo_jax.trajectories import TrajectoryStore
from spo_jax.types import Problem

_STREAM = "trajectories/"


class RoundDropped(Exception):
    """The actor is to end: the round under way is given up. Nothing of it was acknowledged."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RoundSettings:
    """What a round is, and how far rounds may run ahead.

    Attributes:
      num_problems: of a round. num_samples: of each.
      max_queued: groups that are committed or under way and that the learner has not drawn.
      max_pending_rounds: sampled rounds that may wait for verdicts while another is sampled.
      poll_secs: between two looks at the learner while there is nothing to do.
    """

    num_problems: int
    num_samples: int
    max_queued: int
    max_pending_rounds: int = 1
    poll_secs: float = 0.5


def actor_stream(
    problems: Sequence[Problem], num_problems: int, seed: int, actor_id: str
) -> ProblemStream:
    """The problems of an actor's rounds: each actor goes through the set in its own order."""
    own_seed = derived_seed(seed, "problems", actor_id)
    return ProblemStream(problems, min(num_problems, len(problems)), own_seed)


class ActorLoop:
    """Runs one actor until the learner is done.

    Args:
      actor_id: names the actor, and its folder in the store.
      actor: samples and judges; writes to `store`.
      store: opened with the actor's own writer id.
      policies: the newest one is asked for before every round.
      stream: the problems, by round.
      settings: of rounds.
      learner: the learner's newest report; None while there is none.
      is_actor_stream: whether a stream of the store has actors' samples: the learner adds others.
      heartbeat: entered; told what the actor does.
      on_commit: called after a commit is acknowledged, with its round number and report.
    """

    def __init__(
        self,
        actor_id: str,
        actor: Actor,
        store: TrajectoryStore,
        policies: PolicySource,
        stream: ProblemStream,
        settings: RoundSettings,
        *,
        learner: Callable[[], LearnerStatus | None],
        is_actor_stream: Callable[[str], bool],
        heartbeat: Heartbeat,
        on_commit: Callable[[int, CollectReport], None] = lambda *_: None,
    ):
        self._actor_id = actor_id
        self._actor = actor
        self._store = store
        self._policies = policies
        self._stream = stream
        self._settings = settings
        self._learner = learner
        self._is_actor_stream = is_actor_stream
        self._heartbeat = heartbeat
        self._on_commit = on_commit
        self._pending: collections.deque[PendingRound] = collections.deque()
        self._num_committed = 0

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Works until the learner is done, or until asked to stop: then what is under way is lost.

        Raises:
          UserError: another process commits under this actor's name.
        """
        own_stream = _STREAM + self._actor_id
        self._num_committed = self._store.watermark().count(own_stream)
        self._heartbeat.update(num_rounds=self._num_committed)
        with self._heartbeat.doing("waiting"):  # unless something else is said
            while not should_stop() and self._step(should_stop):
                pass

    def _step(self, should_stop: Callable[[], bool]) -> bool:
        """Does the next thing there is to do; False when there will be nothing more."""
        self._heartbeat.check()
        learner = self._learner()
        if learner is not None and learner.done:
            return False
        if self._pending and self._pending[0].is_judged():
            self._commit()
        elif len(self._pending) <= self._settings.max_pending_rounds and self._is_wanted(learner):
            try:
                self._begin(should_stop)
            except RoundDropped:
                return False
        else:
            with self._heartbeat.doing("judging" if self._pending else "waiting"):
                time.sleep(self._poll_secs())
        return True

    def _poll_secs(self) -> float:
        """Verdicts come in by themselves; the learner has to be looked for in a file."""
        return min(0.1, self._settings.poll_secs) if self._pending else self._settings.poll_secs

    def _is_wanted(self, learner: LearnerStatus | None) -> bool:
        """Whether another round would fit into what the learner wants to have waiting."""
        if learner is None:
            return False
        now = self._store.watermark().as_dict()
        uncounted = sum(
            max(0, count - learner.commits.get(name, 0))
            for name, count in now.items()
            if self._is_actor_stream(name)
        )
        rounds = uncounted + len(self._pending) + 1
        queued = learner.queued_groups + rounds * self._settings.num_problems
        return queued <= self._settings.max_queued

    def _begin(self, should_stop: Callable[[], bool]) -> None:
        number = self._num_committed + len(self._pending)
        with self._heartbeat.doing("loading"):
            policy = self._policies.newest()
        self._heartbeat.update(policy_version=policy.version)

        def stop_if_asked(*_: int) -> None:
            if should_stop():
                raise RoundDropped

        with self._heartbeat.doing("sampling"):
            self._pending.append(
                self._actor.begin(
                    policy.params,
                    self._stream.at(number),
                    num_samples=self._settings.num_samples,
                    policy_version=policy.version,
                    round_id=f"{self._actor_id}.{number:08d}",
                    progress=stop_if_asked,
                )
            )

    def _commit(self) -> None:
        with self._heartbeat.doing("committing"):
            report = self._actor.commit(self._pending[0], number=self._num_committed)
        self._on_commit(self._num_committed, report)
        done = self._pending.popleft()
        self._num_committed += 1
        status = self._heartbeat.status
        self._heartbeat.update(
            num_rounds=self._num_committed,
            num_groups=status.num_groups + len(done.problems),
            num_tokens=status.num_tokens + report.num_tokens,
            metrics={name: value for name, value in report.metrics().items() if value == value},
        )
