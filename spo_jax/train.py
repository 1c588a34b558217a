"""The training loop: collect, draw, update, and now and then publish, evaluate, save.

Everything that makes data writes to the store; the learner only draws from it. A run is a
directory: the same command on the same directory goes on where it stopped, bit for bit.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.acting.initial_values import InitialValueSettings
from spo_jax.errors import UserError, writing
from spo_jax.judging import RewardMap, Verifier
from spo_jax.learning import AdamW, CheckpointSettings
from spo_jax.learning.optimizer import Optimizer
from spo_jax.objectives import Objective, SoftPolicyOptimization
from spo_jax.problems.prompts import PromptTemplate, Template
from spo_jax.reporting.metrics import MetricsWriter, NoMetrics
from spo_jax.reporting.progress import Progress
from spo_jax.reporting.report import write_report
from spo_jax.reporting.summary import run_summary
from spo_jax.running.actor_building import build_supply
from spo_jax.running.actor_settings import ActorSettings
from spo_jax.running.directory import RunDirectory
from spo_jax.running.hosts import Hosts
from spo_jax.running.parts import build_run_parts
from spo_jax.running.requirements import check_requirements
from spo_jax.running.session import Session
from spo_jax.running.settings import (
    BatchSettings,
    EngineSettings,
    JudgeSettings,
    MeshShape,
    ModelSource,
    ProblemSource,
    RolloutSettings,
)
from spo_jax.running.stopping import StopRequest
from spo_jax.trajectories import ReplayConfig


def train(
    run_dir: str,
    hosts: Hosts = Hosts(),
    *,
    policy: ModelSource = ModelSource(),
    reference: ModelSource | None = None,
    problems: ProblemSource = ProblemSource(),
    prompt: Template = PromptTemplate(),
    objective: Objective = SoftPolicyOptimization(),
    optimizer: Optimizer = AdamW(),
    rollouts: RolloutSettings = RolloutSettings(),
    replay: ReplayConfig = ReplayConfig(),
    stores: Sequence[str] = (),
    batch: BatchSettings = BatchSettings(),
    evaluation: EvaluationSettings = EvaluationSettings(),
    mesh: MeshShape = MeshShape(),
    judge: JudgeSettings | Verifier = JudgeSettings(),
    actors: ActorSettings = ActorSettings(),
    rewards: RewardMap = RewardMap(),
    num_updates: int = 100,
    collect_every: int = 1,
    policy_sync_every: int = 1,
    evaluate_every: int = 0,
    reference_update_every: int = 0,
    checkpoint_every: int = 20,
    checkpoints: CheckpointSettings = CheckpointSettings(),
    initial_values: InitialValueSettings = InitialValueSettings(),
    critic_optimizer: Optimizer | None = None,
    engine: EngineSettings | None = None,
    seed: int = 0,
    config: str | None = None,
) -> dict[str, Any]:
    """Trains a policy.

    Args:
      run_dir: holds the run; continued if it holds one already.
      hosts: the processes that run it together, each calling this with the same arguments.
      policy: where the learner starts.
      reference: the frozen reference; by default the policy's own start.
      problems, prompt: what is asked and how.
      objective, optimizer: what is learned and how fast.
      rollouts, replay, batch: how samples are made, mixed with offline data and packed.
      stores: of earlier runs or imported trajectories, offline data besides the written solutions.
        Their rows are copied into the run's own store; those of evaluation problems are not.
      evaluation: of held-out problems, before, after and every `evaluate_every` updates (0: never
        in between).
      mesh: devices.
      judge: of programs, in the sandbox; or a verifier, for answers that are data.
      actors: who samples: this loop in turn with the updates, or actors beside it.
      rewards: what a verdict is worth.
      num_updates: of the whole run.
      collect_every: updates whose problems are sampled in one go. More fill the sampler better,
        and the samples are older when they are learned from.
      policy_sync_every: updates between two publications of the policy to the sampler.
      reference_update_every: updates after which the present policy becomes the reference; 0 keeps
        the first one. Much larger than `policy_sync_every`.
      checkpoint_every: updates between two checkpoints.
      checkpoints: where they lie and which of them stay.
      initial_values: how Q_0 is estimated, where the objective reads it.
      critic_optimizer: of the value model, where the objective reads values; by default as the
        policy's.
      engine: servers that draw the training samples, in place of our own sampler. Evaluations and
        reference samples are drawn by our own all the same.
      seed: of everything random.
      config: the resolved configuration as text of `name = value` lines; by default these
        arguments.

    Returns:
      The summary that is also written to `summary.json`.

    Raises:
      UserError: settings that do not fit together, before any long work.
      ActorsLostError: no actor was alive for long; the state is saved.
      Stopped: after Ctrl-C or SIGTERM, with everything saved.
      NonFiniteLossError: names the trajectories; the last good state is saved.
      FullDiskError, CheckpointError: something could not be written; the last checkpoint stands.
    """
    settings = dict(locals())
    _check(
        num_updates=(num_updates, 1),
        collect_every=(collect_every, 1),
        policy_sync_every=(policy_sync_every, 1),
        reference_update_every=(reference_update_every, 0),
        checkpoint_every=(checkpoint_every, 1),
        evaluate_every=(evaluate_every, 0),
    )
    check_requirements(
        objective,
        replay=replay,
        rollouts=rollouts,
        batch=batch,
        rewards=rewards,
        initial_values=initial_values,
        reference_update_every=reference_update_every,
        collect_every=collect_every,
        engine=engine,
    )
    directory = RunDirectory(run_dir, actors.shared_url)
    with contextlib.ExitStack() as stack:
        _open(directory, config or _description(settings), hosts)
        stack.callback(directory.close)
        stack.enter_context(writing(run_dir))
        stop = stack.enter_context(StopRequest())
        parts = build_run_parts(
            directory,
            stack,
            hosts,
            policy=policy,
            reference=reference,
            problems=problems,
            prompt=prompt,
            objective=objective,
            optimizer=optimizer,
            rollouts=rollouts,
            replay=replay,
            stores=stores,
            batch=batch,
            mesh=mesh,
            judge=judge,
            rewards=rewards,
            initial_values=initial_values,
            critic_optimizer=critic_optimizer or optimizer,
            checkpoints=checkpoints,
            actors=actors,
            collect_every=collect_every,
            seed=seed,
            engine=engine,
        )
        session = stack.enter_context(Session(parts, directory, stop, evaluation, hosts))
        first = session.restore(seed)
        supply = stack.enter_context(
            build_supply(
                session,
                parts,
                directory,
                hosts,
                stop,
                actors,
                rollouts=rollouts,
                collect_every=collect_every,
                num_updates=num_updates,
                seed=seed,
            )
        )
        metrics = MetricsWriter(run_dir, resume_step=first) if hosts.is_main else NoMetrics()
        stack.enter_context(contextlib.closing(metrics))
        progress = Progress(
            "training", num_updates, "updates", done=first, every_secs=0, stream=hosts.stream
        )

        def evaluate_if_due() -> None:
            step = session.step
            if step in (0, num_updates) or (evaluate_every and step % evaluate_every == 0):
                result = session.evaluate()
                metrics.write(step, result.metrics() | session.clock.metrics(), kind="eval")

        with session.saving_on_stop():
            for update in range(first, num_updates):
                evaluate_if_due()
                if reference_update_every and update and update % reference_update_every == 0:
                    session.move_reference()
                problem_ids, values = supply.provide(update)
                groups, drawn = session.draw(problem_ids)
                supply.drawn()
                learned = session.update(groups)
                is_last = session.step == num_updates
                if is_last or session.step % policy_sync_every == 0:
                    session.publish()
                    supply.published()
                session.finish_update()
                # Written first: a resumed run drops lines past its checkpoint, but cannot add one.
                metrics.write(session.step, values | drawn | learned | session.clock.metrics())
                if is_last or session.step % checkpoint_every == 0:
                    session.save()
                progress.update(session.step, _headline(learned))
                session.check_stop()
            supply.finish()
            evaluate_if_due()
            session.finish_checkpoints()
            session.write_token_values()
        summary = {}
        if hosts.is_main:
            summary = run_summary(run_dir, evaluation.ks)
            directory.write_json("summary.json", summary)
            write_report(run_dir)
    return hosts.broadcast("summary", summary)


def _open(directory: RunDirectory, config: str, hosts: Hosts) -> None:
    """The main process claims the directory; the others must see it and want the same."""
    if hosts.is_main:
        directory.open(config)
    hosts.check_same("configuration", config)
    hosts.check_shared(directory.path)


def _check(**settings: tuple[int, int]) -> None:
    """Each setting with the least it may be."""
    for name, (value, least) in settings.items():
        if value < least:
            raise UserError(f"{name}={value} must be at least {least}")


def _description(settings: dict[str, Any]) -> str:
    """The arguments of `train`, one a line, for runs started without a config file."""
    left_out = ("run_dir", "hosts", "config")
    lines = [f"train.{name} = {value!r}" for name, value in settings.items()]
    return "".join(
        f"{line}\n" for line in lines if line.split(".")[1].split(" ")[0] not in left_out
    )


def _headline(metrics: dict[str, float]) -> dict[str, float]:
    """The few numbers of an update that fit a line."""
    loss = "loss/true" if "loss/true" in metrics else "loss/total"
    reward = "reward/online_mean" if "reward/online_mean" in metrics else "reward/offline_mean"
    names = (loss, reward, "q/residual_abs", "policy/kl_to_reference")
    return {name: metrics[name] for name in names if name in metrics}
