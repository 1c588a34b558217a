"""What learner and actors tell each other: one small file each.

learner.json         how far the run is, and how much of what was sampled waits to be drawn
actors/<id>.json     that an actor lives, and what it does
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from spo_jax.acting.shared_files import SharedFiles

LEARNER_FILE = "learner.json"
ACTORS_FOLDER = "actors"

ActorState = Literal["starting", "loading", "sampling", "judging", "committing", "waiting", "ended"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnerStatus:
    """The learner's side.

    Attributes:
      run_id: part of every trajectory's identity.
      attempt: changes when the run is resumed: policies are then read anew.
      step: updates made. policy_version: newest one published.
      queued_groups: groups of samples that no draw has touched yet.
      commits: by stream of the store, how many commits `queued_groups` accounts for.
      done: the run is over, and so is the work of actors.
    """

    run_id: str
    attempt: str
    step: int
    policy_version: int
    queued_groups: int
    commits: Mapping[str, int]
    done: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActorStatus:
    """An actor's side: all counts are since this process started, but for `num_rounds`.

    Attributes:
      actor_id: names its folder in the store. nonce: of this process.
      host, pid: where it runs.
      beat: rises with every report: what a reader's clock ages by, whatever the writer's clock.
      state: what it does. detail: why it ended, where it failed.
      policy_version: it samples with.
      num_rounds: committed in all. num_groups, num_tokens: committed.
      secs: wall seconds by what they went into: 'sampling', 'judging' (waiting for verdicts with
        nothing left to sample), 'waiting' (the learner has enough), 'loading', 'committing'.
      metrics: of the newest round.
    """

    actor_id: str
    nonce: str
    host: str
    pid: int
    beat: int = 0
    state: ActorState = "starting"
    detail: str = ""
    policy_version: int = 0
    num_rounds: int = 0
    num_groups: int = 0
    num_tokens: int = 0
    secs: Mapping[str, float] = dataclasses.field(default_factory=dict)
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)


def actor_file(actor_id: str) -> str:
    return f"{ACTORS_FOLDER}/{actor_id}.json"


def write_learner(files: SharedFiles, status: LearnerStatus) -> None:
    files.write(LEARNER_FILE, dataclasses.asdict(status))


def read_learner(files: SharedFiles) -> LearnerStatus | None:
    """The learner's newest report, or None before its first."""
    return _from_json(LearnerStatus, files.read(LEARNER_FILE))


def write_actor(files: SharedFiles, status: ActorStatus) -> None:
    files.write(actor_file(status.actor_id), dataclasses.asdict(status))


def read_actor(files: SharedFiles, actor_id: str) -> ActorStatus | None:
    """An actor's newest report, or None if there never was such an actor."""
    return _from_json(ActorStatus, files.read(actor_file(actor_id)))


def read_actors(files: SharedFiles) -> list[ActorStatus]:
    """The newest report of every actor there ever was, by name."""
    found = (_from_json(ActorStatus, files.read(name)) for name in files.names(ACTORS_FOLDER))
    return [status for status in found if status is not None]


def _from_json(kind: Any, values: dict[str, Any] | None) -> Any:
    """Fields that another version of the program wrote and this one does not know are left out."""
    if values is None:
        return None
    known = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in known})
