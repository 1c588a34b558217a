"""Actors of a run as Ray actors: placed by the resources they ask for, restarted when they die.

A Ray actor is one `act` in a process that Ray starts: the same loop, the same name, the same folder
in the store as with `spo actor`. Restarted, also on another node, it goes on after its last commit.
Where the cluster has no room, Ray's autoscaler brings nodes for the actors that wait.
"""

import contextlib
import dataclasses
import os
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spo_jax.act import act
from spo_jax.acting.shared_files import SharedFiles
from spo_jax.acting.signals import ActorStatus, read_actor, read_learner
from spo_jax.errors import UserError
from spo_jax.reporting.progress import say
from spo_jax.running.stopping import Stopped, StopRequest

_LOOK_SECS = 0.5
_SAY_EVERY_SECS = 30.0
_ENDING_SECS = 60.0  # what an actor may take to end when it is asked to


@dataclasses.dataclass(frozen=True, kw_only=True)
class RayPlacement:
    """What one actor occupies of the cluster, and how often it may die.

    Attributes:
      num_cpus, num_gpus: of the node. resources: others by name, such as {"TPU": 4}.
      max_restarts: of one actor; -1 is without end.
      detached: actors outlive the process that started them.
    """

    num_cpus: float = 1.0
    num_gpus: float = 0.0
    resources: Mapping[str, float] = dataclasses.field(default_factory=dict)
    max_restarts: int = -1
    detached: bool = False

    def __post_init__(self) -> None:
        amounts = {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus} | dict(self.resources)
        for name, amount in amounts.items():
            if not amount >= 0:
                raise UserError(f"an actor's {name}={amount} must be at least 0")
        if self.max_restarts < -1:
            raise UserError(f"max_restarts={self.max_restarts} must be at least -1 (no end)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an actor ended: with a status, or with a failure that another try would meet again."""

    status: ActorStatus | None = None
    failure: str = ""


class RayActor:
    """Runs an actor in a thread, so that Ray's calls are answered meanwhile.

    A UserError ends it; whatever else goes wrong ends the process, and Ray starts another.

    Args:
      actor_id, run_dir, commit_log, settings: arguments of `act`.
      leaves: the process goes away by itself when the actor has ended.
    """

    def __init__(
        self,
        run_dir: str,
        actor_id: str,
        settings: Mapping[str, Any],
        commit_log: str | None = None,
        leaves: bool = False,
    ):
        self._stop = StopRequest()
        self._outcome: Outcome | None = None
        self._arguments = {"actor_id": actor_id, "commit_log": commit_log, **settings}
        self._run_dir = run_dir
        self._leaves = leaves
        threading.Thread(target=self._run, name="actor", daemon=True).start()

    def outcome(self, patience_secs: float = 0.0) -> Outcome | None:
        """None while the actor works."""
        deadline = time.monotonic() + patience_secs
        while self._outcome is None and time.monotonic() < deadline:
            time.sleep(0.05)
        return self._outcome

    def stop(self) -> None:
        """Asks it to end; what it has under way is dropped."""
        self._stop.requested = True

    def _run(self) -> None:
        try:
            self._outcome = Outcome(status=act(self._run_dir, stop=self._stop, **self._arguments))
        except Stopped:
            self._outcome = Outcome(failure="stopped")
        except UserError as error:
            self._outcome = Outcome(failure=str(error))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        if self._leaves:
            ray = _ray()
            ray.kill(ray.get_runtime_context().current_actor)


def run_on_ray(
    run_dir: str,
    actor_ids: Sequence[str],
    settings: Mapping[str, Any],
    *,
    placement: RayPlacement = RayPlacement(),
    address: str | None = None,
    commit_log_dir: str | None = None,
    stop: StopRequest | None = None,
) -> dict[str, Outcome]:
    """Starts actors under Ray and watches them until their run is done.

    Actors of this run that live already, left by an earlier call, are watched and not started.

    Args:
      run_dir: of the run, as all nodes see it.
      actor_ids: their names.
      settings: what the run and `act` have in common.
      placement: of each actor.
      address: of a Ray cluster, 'auto' for the one of this node, None for a local one.
      commit_log_dir: gets a file NAME.jsonl of acknowledged commits of each actor.
      stop: asked all the time; then the actors are asked to end.

    Returns:
      How the actors ended. Empty where `placement.detached`: then they are only started.

    Raises:
      UserError: Ray is missing or cannot be reached, an actor found its settings bad, or all of
        them died more often than they may.
    """
    ray = _ray()
    stop = stop or StopRequest()
    with _connected(ray, address, placement, run_dir):
        actors = {
            actor_id: _start(ray, run_dir, actor_id, settings, placement, commit_log_dir)
            for actor_id in actor_ids
        }
        if placement.detached:
            return {}
        return _Watch(ray, run_dir, actors).until_done(stop)


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError("Ray is not installed: pip install 'spo-jax[ray]'") from error
    return ray


@contextlib.contextmanager
def _connected(ray: Any, address: str | None, placement: RayPlacement, run_dir: str):
    """Connected to the cluster, unless the caller already is."""
    if ray.is_initialized():
        yield
        return
    if placement.detached and address is None:
        raise UserError("detached actors need a cluster that outlives this command: give --address")
    try:
        ray.init(address=address, namespace=namespace(run_dir), include_dashboard=False)
    except (ConnectionError, ValueError) as error:
        raise UserError(f"cannot reach Ray at '{address}': {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def namespace(run_dir: str) -> str:
    """Where a run's actors are found by their names."""
    return f"spo:{Path(run_dir).absolute() if '://' not in run_dir else run_dir}"


def _start(
    ray: Any,
    run_dir: str,
    actor_id: str,
    settings: Mapping[str, Any],
    placement: RayPlacement,
    commit_log_dir: str | None,
) -> Any:
    log = f"{commit_log_dir}/{actor_id}.jsonl" if commit_log_dir else None
    remote = ray.remote(RayActor).options(
        name=actor_id,
        namespace=namespace(run_dir),
        get_if_exists=True,
        lifetime="detached" if placement.detached else None,
        num_cpus=placement.num_cpus,
        num_gpus=placement.num_gpus,
        resources=dict(placement.resources) or None,
        max_restarts=placement.max_restarts,
        max_task_retries=-1,  # questions wait until the actor is back
        max_concurrency=8,
    )
    return remote.remote(run_dir, actor_id, dict(settings), log, placement.detached)


class _Watch:
    """Asks actors how they are, one question each at a time."""

    def __init__(self, ray: Any, run_dir: str, actors: Mapping[str, Any]):
        self._ray = ray
        self._run_dir = run_dir
        self._actors = actors
        self._asked = {self._ask(actor_id): actor_id for actor_id in actors}
        self._outcomes: dict[str, Outcome] = {}
        self._said_at = time.monotonic()

    def until_done(self, stop: StopRequest) -> dict[str, Outcome]:
        asked_to_end: float | None = None
        while self._asked:
            self._look()
            if stop.requested and asked_to_end is None:
                asked_to_end = time.monotonic()
                for actor in self._actors.values():
                    actor.stop.remote()
            if asked_to_end is not None and time.monotonic() - asked_to_end > _ENDING_SECS:
                break
            self._say_progress()
        for actor in self._actors.values():
            self._ray.kill(actor)
        if not stop.requested:
            self._check()
        return self._outcomes

    def _ask(self, actor_id: str) -> Any:
        return self._actors[actor_id].outcome.remote(10 * _LOOK_SECS)

    def _look(self) -> None:
        ready, _ = self._ray.wait(list(self._asked), timeout=_LOOK_SECS)
        for question in ready:
            actor_id = self._asked.pop(question)
            try:
                outcome = self._ray.get(question)
            except self._ray.exceptions.RayActorError as error:
                reason = " ".join(str(error).split())[:300]
                outcome = Outcome(failure=f"it died and may not be restarted: {reason}")
            if outcome is None:
                self._asked[self._ask(actor_id)] = actor_id
                continue
            self._outcomes[actor_id] = outcome
            if outcome.failure:
                say(f"actor '{actor_id}': {outcome.failure}")

    def _check(self) -> None:
        failures = {name: o.failure for name, o in self._outcomes.items() if o.failure}
        if failures and len(failures) == len(self._actors):
            name, failure = next(iter(failures.items()))
            raise UserError(f"all {len(failures)} actors ended with a failure; '{name}': {failure}")

    def _say_progress(self) -> None:
        if time.monotonic() - self._said_at < _SAY_EVERY_SECS:
            return
        self._said_at = time.monotonic()
        files = SharedFiles(self._run_dir)
        learner = read_learner(files)
        parts = [f"update {learner.step}" if learner is not None else "no learner yet"]
        for actor_id in self._asked.values():
            status = read_actor(files, actor_id)
            doing = f"{status.state}, {status.num_rounds} rounds" if status else "not started"
            parts.append(f"{actor_id} {doing}")
        say(" · ".join(parts))
