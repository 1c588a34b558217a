"""An actor of a run, in a process of its own: `spo actor`."""

import contextlib
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import jax
from jax.sharding import Mesh

from spo_jax.acting.actor import CollectReport
from spo_jax.acting.engines import PublishedDirectories
from spo_jax.acting.heartbeat import Heartbeat
from spo_jax.acting.policy_mirror import MirroredPolicies, PolicyMirror
from spo_jax.acting.policy_sources import PublishedPolicies
from spo_jax.acting.shared_files import SharedFiles
from spo_jax.acting.signals import ACTORS_FOLDER, ActorStatus, LearnerStatus, read_learner
from spo_jax.errors import UserError
from spo_jax.judging import RewardMap, Verifier
from spo_jax.placement import make_own_mesh
from spo_jax.problems.prompts import PromptTemplate, Template
from spo_jax.reporting.progress import format_secs, say
from spo_jax.running.actor_building import build_loop
from spo_jax.running.actor_settings import ActorSettings
from spo_jax.running.sampling_parts import (
    SamplingParts,
    build_sampling,
    load_source,
    load_train_problems,
)
from spo_jax.running.settings import (
    BatchSettings,
    EngineSettings,
    JudgeSettings,
    ModelSource,
    ProblemSource,
    RolloutSettings,
)
from spo_jax.running.stopping import Stopped, StopRequest
from spo_jax.running.writers import is_writer_of_run
from spo_jax.trajectories import ReplayConfig
from spo_jax.trajectories.streams import check_word

_SAY_EVERY_SECS = 30.0


def act(
    run_dir: str,
    *,
    actor_id: str,
    policy: ModelSource = ModelSource(),
    problems: ProblemSource = ProblemSource(),
    prompt: Template = PromptTemplate(),
    rollouts: RolloutSettings = RolloutSettings(),
    replay: ReplayConfig = ReplayConfig(),
    batch: BatchSettings = BatchSettings(),
    judge: JudgeSettings | Verifier = JudgeSettings(),
    actors: ActorSettings = ActorSettings(mode="remote"),
    rewards: RewardMap = RewardMap(),
    collect_every: int = 1,
    engine: EngineSettings | None = None,
    seed: int = 0,
    commit_log: str | None = None,
    devices: Sequence[jax.Device] | None = None,
    stop: StopRequest | None = None,
) -> ActorStatus:
    """Samples, judges and commits for a run until its learner is done, or a stop is asked for.

    The learner need not be there yet, and may die and come back. An actor that is started again
    under the same name goes on after its last commit.

    Args:
      run_dir: of the run, as this machine sees it, or its `ActorSettings.shared_url`.
      actor_id: names the actor; every actor of a run needs a name of its own.
      policy, problems, prompt, rollouts, replay, batch, actors, rewards, collect_every, seed: as
        the run has them.
      judge: of this actor.
      engine: of this actor: servers that sample in its place, and for it alone.
      commit_log: JSON lines file that gets {"round", "trajectory_ids"} after each acknowledged
        commit.
      devices: of this process that sample; by default all. Layers are split over `rollouts.tensor`
        of them, slots over the others.
      stop: asked between answers; by default never.

    Returns:
      What the actor did.

    Raises:
      Stopped: a stop was asked for; what was under way is lost, what was committed is not.
      UserError: bad settings, or an actor of that name is alive.
    """
    check_word(actor_id, "actor_id")
    if is_writer_of_run(actor_id):
        raise UserError(f"actor_id='{actor_id}' is the learner's own name in the store")
    if not actors.is_async:
        raise UserError(
            f"mode='{actors.mode}' of ActorSettings: this run samples by itself; actors work for "
            "runs of mode 'remote' or 'thread'"
        )
    url = actors.shared_url or run_dir
    files = SharedFiles(url)
    stop = stop or StopRequest()
    mesh = make_own_mesh(devices, tensor=rollouts.tensor) if engine is None else None
    with contextlib.ExitStack() as stack:
        scratch = files.local_path or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        heartbeat = Heartbeat(files, actor_id, every_secs=actors.heartbeat_secs)
        stack.enter_context(heartbeat)
        sampling = build_sampling(
            stack,
            policy=policy,
            prompt=prompt,
            rollouts=rollouts,
            judge=judge,
            verdicts_path=str(scratch / ACTORS_FOLDER / f"{actor_id}.verdicts.jsonl"),
            mesh=mesh,
            sampler_mesh=mesh,
            engine=engine,
        )
        train_problems = load_train_problems(problems, sampling, rollouts)
        rounds = dataclasses.replace(
            actors.rounds(batch, replay, collect_every, len(train_problems)),
            poll_secs=actors.poll_secs,
        )
        learner = _LearnerView(files, every_secs=actors.poll_secs)
        run_id = _wait_for_run(learner, stop.is_requested, actors.poll_secs)
        if run_id is None:
            raise Stopped
        policies = _policies(PolicyMirror(url), sampling, policy, mesh, engine, learner.attempt)
        sampling = dataclasses.replace(sampling, params={})  # `policies` has them
        log = stack.enter_context(open(commit_log, "a", encoding="utf-8")) if commit_log else None
        loop = build_loop(
            actor_id,
            sampling.training_worker,
            sampling,
            train_problems,
            rounds,
            policies,
            heartbeat,
            learner.read,
            store_url=url,
            rewards=rewards,
            rollouts=rollouts,
            run_id=run_id,
            seed=seed,
            on_commit=lambda number, report: _committed(actor_id, number, report, log),
        )
        loop.run(stop.is_requested)
        stop.check()  # what is with the judge is not waited for
        return heartbeat.status


def _policies(
    mirror: PolicyMirror,
    sampling: SamplingParts,
    policy: ModelSource,
    mesh: Mesh | None,
    engine: EngineSettings | None,
    attempt: Callable[[], str | None],
) -> PublishedPolicies:
    """What the actor's rounds are sampled with; for an engine, where it lies."""
    if engine is None:
        read = MirroredPolicies(mirror, sampling.model.config, mesh=mesh)
        return PublishedPolicies(
            read, lambda: load_source(policy, mesh).params, attempt, first=sampling.params
        )
    found = PublishedDirectories(mirror, engine.policies_dir, attempt)
    return PublishedPolicies(found, lambda: found.load(0), attempt)


class _LearnerView:
    """The learner's newest report, read anew at most every `every_secs`."""

    def __init__(self, files: SharedFiles, *, every_secs: float):
        self._files = files
        self._every_secs = every_secs
        self._status: LearnerStatus | None = None
        self._read_at = float("-inf")

    def read(self) -> LearnerStatus | None:
        now = time.monotonic()
        if now - self._read_at >= self._every_secs:
            self._read_at = now
            with contextlib.suppress(OSError):  # the disk or the network: the last one stands
                self._status = read_learner(self._files)
        return self._status

    def attempt(self) -> str | None:
        status = self.read()
        return status.attempt if status is not None else None


def _wait_for_run(
    learner: _LearnerView, should_stop: Callable[[], bool], every_secs: float
) -> str | None:
    """The run's id, once its learner has reported; None if a stop was asked for before."""
    began = said_at = time.monotonic()
    while (status := learner.read()) is None:
        if should_stop():
            return None
        now = time.monotonic()
        if now - said_at > _SAY_EVERY_SECS:
            said_at = now
            say(f"no learner has reported yet, waiting for {format_secs(now - began)}")
        time.sleep(every_secs)
    return status.run_id


def _committed(actor_id: str, number: int, report: CollectReport, log: IO[str] | None) -> None:
    say(
        f"{actor_id}: round {number}, {len(report.trajectories)} samples, "
        f"reward {report.mean_reward:.3f}"
    )
    if log is None:
        return
    ids = [trajectory.trajectory_id for trajectory in report.trajectories]
    log.write(json.dumps({"round": number, "trajectory_ids": ids}) + "\n")
    log.flush()
    os.fsync(log.fileno())
