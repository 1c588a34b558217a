"""Builds actors: the same parts for the thread beside the learner and for processes elsewhere."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from spo_jax.acting.actor import Actor, CollectReport
from spo_jax.acting.actor_loop import ActorLoop, RoundSettings, actor_stream
from spo_jax.acting.heartbeat import Heartbeat
from spo_jax.acting.policy_sources import HandedPolicies, PolicySource
from spo_jax.acting.rollouts import RolloutWorker
from spo_jax.acting.shared_files import SharedFiles
from spo_jax.acting.signals import LearnerStatus
from spo_jax.judging import RewardMap
from spo_jax.models import logical_axes
from spo_jax.placement import make_local_mesh, params_to_local
from spo_jax.running.actor_devices import split_devices
from spo_jax.running.actor_settings import ActorSettings
from spo_jax.running.actor_thread import ActorThread
from spo_jax.running.directory import RunDirectory
from spo_jax.running.hosts import Hosts
from spo_jax.running.parts import RunParts
from spo_jax.running.sampling_parts import SamplingParts, make_worker
from spo_jax.running.session import Session
from spo_jax.running.settings import RolloutSettings
from spo_jax.running.stopping import StopRequest
from spo_jax.running.supply import AsyncSupply, InlineSupply, Supply
from spo_jax.running.writers import is_actor_stream
from spo_jax.trajectories import TrajectoryStore
from spo_jax.types import Problem


def build_loop(
    actor_id: str,
    worker: RolloutWorker,
    sampling: SamplingParts,
    problems: Sequence[Problem],
    rounds: RoundSettings,
    policies: PolicySource,
    heartbeat: Heartbeat,
    learner: Callable[[], LearnerStatus | None],
    *,
    store_url: str,
    rewards: RewardMap,
    rollouts: RolloutSettings,
    run_id: str,
    seed: int,
    on_commit: Callable[[int, CollectReport], None] = lambda *_: None,
) -> ActorLoop:
    """An actor and its loop. Arguments: see `ActorLoop` and `Actor`."""
    store = TrajectoryStore(store_url, writer_id=actor_id)
    actor = Actor(
        worker,
        sampling.prompter,
        store,
        reward_map=rewards,
        settings=rollouts.sampler,
        run_id=run_id,
        seed=seed,
    )
    return ActorLoop(
        actor_id,
        actor,
        store,
        policies,
        actor_stream(problems, rounds.num_problems, seed, actor_id),
        rounds,
        learner=learner,
        is_actor_stream=is_actor_stream,
        heartbeat=heartbeat,
        on_commit=on_commit,
    )


def build_supply(
    session: Session,
    parts: RunParts,
    directory: RunDirectory,
    hosts: Hosts,
    stop: StopRequest,
    actors: ActorSettings,
    *,
    rollouts: RolloutSettings,
    collect_every: int,
    num_updates: int,
    seed: int,
) -> Supply:
    """What gives a restored session its data, by the actors' mode."""
    if not actors.is_async:
        return InlineSupply(session, parts, collect_every=collect_every, num_updates=num_updates)
    files, run_id = SharedFiles(directory.shared_url), directory.path.name
    if hosts.is_main:
        config = (directory.path / "config.gin").read_text(encoding="utf-8")
        files.write_text("config.gin", config)
    thread = None
    if actors.mode == "thread":
        thread = _build_thread(session, parts, directory, actors, files, rollouts, seed)
    return AsyncSupply(
        session, parts, actors, files, run_id=run_id, hosts=hosts, stop=stop, thread=thread
    )


def _build_thread(
    session: Session,
    parts: RunParts,
    directory: RunDirectory,
    actors: ActorSettings,
    files: SharedFiles,
    rollouts: RolloutSettings,
    seed: int,
) -> ActorThread:
    sampling, engine_worker = parts.sampling, parts.sampling.engine_worker
    devices = split_devices(actors, needs_own=engine_worker is None).actor
    mesh = make_local_mesh(devices, tensor=rollouts.tensor) if len(devices) > 1 else None
    axes = logical_axes(sampling.model.config)

    def placed(params: Any) -> Any:
        if mesh is not None:
            return params_to_local(params, mesh, axes)
        return jax.device_put(params, devices[0]) if devices else params

    actor_id = f"thread{jax.process_index()}"
    policies = HandedPolicies(session.behavior, placed)
    heartbeat = Heartbeat(files, actor_id, every_secs=actors.heartbeat_secs)
    worker = engine_worker or make_worker(
        sampling.model, sampling.remembering, sampling.prompter, rollouts, mesh=mesh
    )
    return ActorThread(
        lambda learner: build_loop(
            actor_id,
            worker,
            sampling,
            parts.train_problems,
            parts.rounds,
            policies,
            heartbeat,
            learner,
            store_url=directory.store_url,
            rewards=parts.rewards,
            rollouts=rollouts,
            run_id=directory.path.name,
            seed=seed,
        ),
        policies,
        heartbeat,
        next(iter(devices), None),
    )
