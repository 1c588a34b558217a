"""Builds what a run is made of from its settings, in an order that finds mistakes early."""

import contextlib
import dataclasses
import math
from collections.abc import Sequence

from jax.sharding import Mesh

from spo_jax.acting.actor import Actor
from spo_jax.acting.annotator import Annotator, Reference, ReferenceScorer
from spo_jax.acting.initial_values import (
    InitialValues,
    InitialValueSettings,
    RunningInitialValues,
)
from spo_jax.acting.policies import Policies
from spo_jax.acting.problem_stream import ProblemStream
from spo_jax.errors import UserError
from spo_jax.judging import RewardMap, Verifier
from spo_jax.learning import Checkpointer, Learner, RowBucket, row_buckets
from spo_jax.learning.optimizer import Optimizer
from spo_jax.models import ModelConfig, logical_axes, param_shapes, params_id
from spo_jax.objectives import Objective
from spo_jax.placement import make_local_mesh
from spo_jax.problems.prompts import Template
from spo_jax.reporting.progress import say
from spo_jax.running.directory import RunDirectory
from spo_jax.running.hosts import Hosts
from spo_jax.running.sampling_parts import (
    SamplingParts,
    build_sampling,
    load_source,
    load_split,
    promptable,
)
from spo_jax.running.settings import (
    BatchSettings,
    JudgeSettings,
    MeshShape,
    ModelSource,
    ProblemSource,
    RolloutSettings,
)
from spo_jax.running.writers import writer_id
from spo_jax.sharding import check_rows, make_mesh, num_batch_shards, undivided_axes
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
    seed: int,
) -> RunParts:
    """Builds and checks all parts; compiles nothing yet."""
    device_mesh = make_mesh(**dataclasses.asdict(mesh))
    # On one device nothing has a place to be given.
    placed_on = device_mesh if device_mesh.size > 1 else None
    sampler_mesh = _sampler_mesh(rollouts) if placed_on is not None else None
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
    )
    config = sampling.model.config
    for sentence in undivided_axes(device_mesh, logical_axes(config), param_shapes(config)):
        say(f"mesh: axis {sentence}")
    limit = rollouts.max_prompt_tokens
    train_problems = _spread(
        promptable(load_split(problems, problems.train_split), sampling, limit),
        problems.max_problems,
    )
    eval_problems = promptable(load_split(problems, problems.eval_split), sampling, limit)
    store = TrajectoryStore(directory.store_url, writer_id=writer_id(hosts))
    actor = Actor(
        sampling.worker,
        sampling.prompter,
        store,
        reward_map=rewards,
        settings=rollouts.sampler,
        run_id=directory.path.name,
        seed=seed,
    )
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
        initial_values=_initial_values(objective, actor, store, rollouts, initial_values, rewards),
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
        checkpointer=Checkpointer(str(directory.checkpoints), keep=1),
        policies=Policies(
            directory.policies,
            sampling.model.config,
            sampling.tokenizer,
            mesh=sampler_mesh,
            writes=hosts.is_main,
        ),
        references=Policies(
            directory.references,
            sampling.model.config,
            sampling.tokenizer,
            dtype=policy.param_dtype,
            mesh=placed_on,
            writes=hosts.is_main,
        ),
        num_online=math.ceil(batch.completions_per_problem * (1 - replay.offline_fraction)),
        batch=batch,
        rewards=rewards,
        stores=tuple(stores),
        uses_offline=replay.offline_fraction > 0,
        trust_labels=problems.trust_labels,
        reference=frozen,
        starts_at_reference=frozen is not None and reference is None,
        max_completion_tokens=rollouts.max_completion_tokens,
    )


def _sampler_mesh(rollouts: RolloutSettings) -> Mesh:
    """The devices of this host, among which samples and the policy are divided."""
    mesh = make_local_mesh(tensor=rollouts.tensor)
    if rollouts.num_slots % mesh.shape["data"]:
        raise UserError(
            f"num_slots={rollouts.num_slots} of the sampler must be divisible by the "
            f"{mesh.shape['data']} copies of the policy on a host's {mesh.size} devices "
            f"(tensor={rollouts.tensor})"
        )
    return mesh


def _spread(problems: Sequence[Problem], count: int) -> list[Problem]:
    """`count` problems spread evenly over the set; all of them for 0."""
    if not count:
        return list(problems)
    if count > len(problems):
        raise UserError(f"max_problems={count} exceeds the {len(problems)} problems there are")
    return [problems[i * len(problems) // count] for i in range(count)]


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
