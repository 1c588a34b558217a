"""Builds what a run is made of from its settings, in an order that finds mistakes early."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

from jax.sharding import Mesh

from spo_jax.acting.actor import Actor
from spo_jax.acting.actor_loop import RoundSettings
from spo_jax.acting.annotator import Annotator, Reference, ReferenceScorer
from spo_jax.acting.engines import EnginePolicies
from spo_jax.acting.initial_values import (
    InitialValues,
    InitialValueSettings,
    RunningInitialValues,
)
from spo_jax.acting.policies import Policies
from spo_jax.acting.policy_mirror import PolicyMirror
from spo_jax.acting.problem_stream import ProblemStream
from spo_jax.acting.shared_files import SharedFiles
from spo_jax.errors import UserError
from spo_jax.judging import RewardMap, Verifier
from spo_jax.learning import Checkpointer, CheckpointSettings, Learner, RowBucket, row_buckets
from spo_jax.learning.optimizer import Optimizer
from spo_jax.models import ModelConfig, logical_axes, param_shapes, params_id
from spo_jax.objectives import Objective
from spo_jax.placement import make_local_mesh
from spo_jax.problems.prompts import Template
from spo_jax.reporting.progress import say
from spo_jax.running.actor_devices import check_shared_device, split_devices
from spo_jax.running.actor_settings import ActorSettings, num_online
from spo_jax.running.directory import RunDirectory
from spo_jax.running.hosts import Hosts
from spo_jax.running.sampling_parts import (
    SamplingParts,
    build_sampling,
    load_source,
    load_split,
    load_train_problems,
    promptable,
)
from spo_jax.running.settings import (
    BatchSettings,
    EngineSettings,
    JudgeSettings,
    MeshShape,
    ModelSource,
    ProblemSource,
    RolloutSettings,
)
from spo_jax.running.writers import writer_id
from spo_jax.sharding import check_rows, make_mesh, mesh_remarks, num_batch_shards
from spo_jax.trajectories import Replay, ReplayConfig, TrajectoryStore
from spo_jax.types import Problem


@dataclasses.dataclass(frozen=True, eq=False)
class RunParts:
    """Everything the loop works with.

    Attributes:
      sampling: the policy's start, the sampler and the judge.
      train_problems: learned from, by update through `stream`. eval_problems: held out.
      store, replay: the data. actor: makes it. annotator, initial_values, running_values: complete
        it; None where the objective does not ask for that.
      learner, buckets, checkpointer: the update and its state.
      policies: what samplers use. references: later ones, where the reference moves.
      num_online: samples of a problem in an update; 0 for purely offline data.
      batch: problems and completions of an update. rewards: what verdicts are worth.
      stores: other stores whose rows are offline data.
      uses_offline, trust_labels: whether written solutions are used, and believed.
      reference: the first frozen policy; None where the objective reads nothing of it.
      starts_at_reference: the policy's start is the reference.
      max_completion_tokens: longer answers are not learned from.
      rounds: of actors. is_async: whether they work beside the learner.
      samples: whether training data is sampled in this process, which then holds a policy for it.
    """

    sampling: SamplingParts
    train_problems: Sequence[Problem]
    stream: ProblemStream
    eval_problems: Sequence[Problem]
    store: TrajectoryStore
    replay: Replay
    actor: Actor
    annotator: Annotator | None
    initial_values: InitialValues | None
    running_values: RunningInitialValues | None
    learner: Learner
    buckets: tuple[RowBucket, ...]
    checkpointer: Checkpointer
    policies: Policies
    references: Policies
    num_online: int
    batch: BatchSettings
    rewards: RewardMap
    stores: Sequence[str]
    uses_offline: bool
    trust_labels: bool
    reference: Reference | None
    starts_at_reference: bool
    max_completion_tokens: int
    rounds: RoundSettings
    is_async: bool
    samples: bool


def build_run_parts(
    directory: RunDirectory,
    stack: contextlib.ExitStack,
    hosts: Hosts,
    *,
    policy: ModelSource,
    reference: ModelSource | None,
    problems: ProblemSource,
    prompt: Template,
    objective: Objective,
    optimizer: Optimizer,
    rollouts: RolloutSettings,
    replay: ReplayConfig,
    stores: Sequence[str],
    batch: BatchSettings,
    mesh: MeshShape,
    judge: JudgeSettings | Verifier,
    rewards: RewardMap,
    initial_values: InitialValueSettings,
    critic_optimizer: Optimizer,
    checkpoints: CheckpointSettings,
    actors: ActorSettings,
    collect_every: int,
    seed: int,
    engine: EngineSettings | None = None,
) -> RunParts:
    """Builds and checks all parts; compiles nothing yet."""
    split = split_devices(actors, needs_own=engine is None)
    device_mesh = make_mesh(**dataclasses.asdict(mesh), devices=split.learner)
    if engine is None:
        check_shared_device(actors, device_mesh)
    # On one device nothing has a place to be given.
    placed_on = device_mesh if device_mesh.size > 1 else None
    sampler_mesh = None
    if placed_on is not None:
        sampler_mesh = make_local_mesh(placed_on.devices.flat, tensor=rollouts.tensor)
    buckets = row_buckets(
        batch.row_lengths,
        tokens_per_micro_batch=batch.tokens_per_micro_batch,
        completions_per_row=batch.completions_per_problem,
        max_completion_tokens=rollouts.max_dialogue_tokens,
        row_multiple=num_batch_shards(device_mesh),
    )
    for bucket in buckets:
        check_rows(device_mesh, num_rows=bucket.num_rows, row_length=bucket.row_length)
    sampling = build_sampling(
        stack,
        policy=policy,
        prompt=prompt,
        rollouts=rollouts,
        judge=judge,
        verdicts_path=str(directory.verdicts(hosts.index)),
        other_verdicts=directory.other_verdicts(hosts.index),
        mesh=placed_on,
        sampler_mesh=sampler_mesh,
        engine=None if actors.mode == "remote" else engine,  # each actor has its own
    )
    config = sampling.model.config
    for remark in mesh_remarks(device_mesh, logical_axes(config), param_shapes(config)):
        if hosts.is_main:
            say(f"mesh: {remark}")
    train_problems = load_train_problems(problems, sampling, rollouts)
    rounds = actors.rounds(batch, replay, collect_every, len(train_problems), hosts.count)
    eval_problems = promptable(
        load_split(problems, problems.eval_split), sampling, rollouts.max_prompt_tokens
    )
    store = TrajectoryStore(directory.store_url, writer_id=writer_id(hosts))
    actor, reference_actor = (
        Actor(
            worker,
            sampling.prompter,
            store,
            reward_map=rewards,
            settings=rollouts.sampler,
            run_id=directory.path.name,
            seed=seed,
        )
        for worker in (sampling.training_worker, sampling.worker)
    )
    policies = _policies(directory, sampling, actors, engine, sampler_mesh, hosts)
    stack.callback(policies.close)
    frozen = _reference(objective, reference, sampling, placed_on)
    return RunParts(
        sampling=sampling,
        train_problems=train_problems,
        eval_problems=eval_problems,
        stream=ProblemStream(train_problems, batch.problems_per_update, seed),
        store=store,
        replay=Replay(
            store,
            replay,
            seed=seed,
            reference_id=frozen.reference_id if frozen else None,
            beta=_estimated_beta(objective),
            tokenizer_hash=sampling.tokenizer.hash,
        ),
        actor=actor,
        annotator=_annotator(
            store, sampling, frozen, buckets, batch.logits_chunk_tokens, placed_on, hosts
        ),
        initial_values=_initial_values(
            objective, reference_actor, store, rollouts, initial_values, rewards
        ),
        running_values=(
            RunningInitialValues(initial_values.running_rate)
            if "running_initial_value" in objective.needs
            else None
        ),
        learner=Learner(
            sampling.model,
            objective,
            optimizer,
            device_mesh,
            critic_optimizer=critic_optimizer,
            num_passes=batch.num_passes,
            chunk_tokens=batch.logits_chunk_tokens,
        ),
        buckets=buckets,
        checkpointer=Checkpointer(checkpoints.directory or str(directory.checkpoints), checkpoints),
        policies=policies,
        references=Policies(
            directory.references,
            sampling.model.config,
            sampling.tokenizer,
            dtype=policy.param_dtype,
            mesh=placed_on,
            writes=hosts.is_main,
        ),
        num_online=num_online(batch, replay),
        batch=batch,
        rewards=rewards,
        stores=tuple(stores),
        uses_offline=replay.offline_fraction > 0,
        trust_labels=problems.trust_labels,
        reference=frozen,
        starts_at_reference=frozen is not None and reference is None,
        max_completion_tokens=rollouts.max_completion_tokens,
        rounds=rounds,
        is_async=actors.is_async,
        samples=actors.mode != "remote",
    )


def _policies(
    directory: RunDirectory,
    sampling: SamplingParts,
    actors: ActorSettings,
    engine: EngineSettings | None,
    mesh: Mesh | None,
    hosts: Hosts,
) -> Policies:
    """What the run publishes: parameters for our own sampler, directories for an engine."""
    parts: tuple[Any, ...] = (directory.policies, sampling.model.config, sampling.tokenizer)
    options: dict[str, Any] = {"mesh": mesh, "writes": hosts.is_main}
    shared = SharedFiles(directory.shared_url).local_path
    if shared is None or shared.resolve() != directory.path.resolve():
        mirror = PolicyMirror(directory.shared_url)
        options |= {"on_written": mirror.put, "on_rewind": mirror.rewind}
    if engine is None:
        return Policies(*parts, **options)
    options["barrier"] = lambda: hosts.barrier("published")
    return EnginePolicies(*parts, seen_at=engine.policies_dir, **options)


def _reference(
    objective: Objective, source: ModelSource | None, sampling: SamplingParts, mesh: Mesh | None
) -> Reference | None:
    """The frozen policy, where the objective reads anything of it."""
    if not objective.needs & {"ref_logprobs", "initial_value"}:
        return None
    config, params = sampling.model.config, sampling.params
    if source is not None:
        pretrained = load_source(source, mesh)
        _check_same_shape(pretrained.config, config, source)
        config, params = pretrained.config, pretrained.params
    return Reference(params, params_id(params, config))


def _check_same_shape(reference: ModelConfig, policy: ModelConfig, source: ModelSource) -> None:
    """The reference is scored with the policy's model; only its weights may differ."""
    for field in dataclasses.fields(policy):
        ours, theirs = getattr(policy, field.name), getattr(reference, field.name)
        if ours != theirs:
            raise UserError(
                f"reference '{source.path}' has {field.name}={theirs}, the policy {ours}; they "
                "must be checkpoints of one architecture"
            )


def _annotator(
    store: TrajectoryStore,
    sampling: SamplingParts,
    frozen: Reference | None,
    buckets: tuple[RowBucket, ...],
    chunk_tokens: int,
    mesh: Mesh | None,
    hosts: Hosts,
) -> Annotator | None:
    if frozen is None:
        return None
    scorer = ReferenceScorer(
        sampling.model,
        buckets,
        pad_id=sampling.tokenizer.pad_id,
        chunk_tokens=chunk_tokens,
        mesh=mesh,
    )
    return Annotator(store, scorer, writes=hosts.is_main)


def _estimated_beta(objective: Objective) -> float | None:
    """The beta that estimates of Q_0 are for, where the objective reads them: a constant."""
    return objective.beta if "initial_value" in objective.needs else None  # type: ignore[attr-defined]


def _initial_values(
    objective: Objective,
    actor: Actor,
    store: TrajectoryStore,
    rollouts: RolloutSettings,
    settings: InitialValueSettings,
    rewards: RewardMap,
) -> InitialValues | None:
    beta = _estimated_beta(objective)
    if beta is None:
        return None
    return InitialValues(
        actor,
        store,
        settings,
        beta=beta,
        reward_map=rewards,
        max_completion_tokens=rollouts.max_completion_tokens,
    )
