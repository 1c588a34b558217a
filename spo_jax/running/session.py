"""The state of a run between two updates, and the steps that change it.

Whatever is asked to stop, stops between two updates: `saving_on_stop` then saves the last whole
state. Nothing of an unfinished update is kept, and a resumed run redoes it.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from spo_jax.acting.actor import CollectReport
from spo_jax.acting.annotator import Reference
from spo_jax.acting.evaluator import (
    Evaluation,
    EvaluationSettings,
    read_evaluation,
)
from spo_jax.acting.policy_sources import Policy
from spo_jax.acting.token_values import token_values
from spo_jax.errors import EnginesLostError, UserError
from spo_jax.evaluation import read_samples
from spo_jax.learning import CheckpointError, NonFiniteLossError, TrainState, make_batch
from spo_jax.models import params_id
from spo_jax.objectives.schedules import value_at
from spo_jax.reporting.clock import PhaseClock
from spo_jax.reporting.progress import say
from spo_jax.running.directory import RunDirectory
from spo_jax.running.hosts import Hosts
from spo_jax.running.offline_data import add_offline_data
from spo_jax.running.parts import RunParts
from spo_jax.running.stopping import ActorsLostError, Stopped, StopRequest
from spo_jax.running.together import Together
from spo_jax.running.writers import (
    is_writer_of_run,
    next_generation,
    saved_writers,
    writer_id,
)
from spo_jax.trajectories import DrawnGroup, Watermark
from spo_jax.types import Problem


class Session:
    """One attempt at a run.

    Attributes:
      state: after the last whole update. step: how many there were.
      clock: times the phases of an update.
    """

    def __init__(
        self,
        parts: RunParts,
        directory: RunDirectory,
        stop: StopRequest,
        evaluation: EvaluationSettings,
        hosts: Hosts,
    ):
        self.state: TrainState
        self.step = 0
        self.clock = PhaseClock()
        self._parts = parts
        self._directory = directory
        self._evaluation = evaluation
        self._hosts = hosts
        self._together = Together(hosts, stop)
        self._mark: Watermark | None = None
        self._generation = 0
        self._behavior: Any = None
        self._policy_version = 0
        self._reference = parts.reference
        self._sampled_reference: Reference | None = None
        self._reference_version = 0
        self._host_state: dict[str, Any] = {}
        self._named_versions: dict[int, tuple[int, int]] = {}  # of kept checkpoints

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Waits for the checkpoint being written, unless the run is to stop at once."""
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            return
        try:
            self.wait_for_checkpoint()
        except (OSError, CheckpointError) as error:
            if kind is None:
                raise
            say(f"the last checkpoint could not be saved either: {error}")

    def restore(self, seed: int) -> int:
        """Takes up the newest checkpoint, or starts. Returns the number of updates made.

        In order: learner, replay and store, reference, written solutions and other stores, behavior
        policy.
        """
        parts = self._parts
        restored = parts.checkpointer.restore_latest(parts.learner.abstract_state())
        if restored is None:
            self.state = parts.learner.init(parts.sampling.params, seed=seed)
            self._forget_lost_attempt(0, {})
            self._rewind(Watermark.from_dict({}))
        else:
            self.state = restored.state
            self._policy_version = restored.host_state["policy_version"]
            self._forget_lost_attempt(restored.step, restored.host_state)
            parts.replay.load_state_dict(restored.host_state["replay"])
            self._generation = next_generation(self._hosts, restored.host_state.get("writers", {}))
            parts.store.write_as(writer_id(self._hosts, self._generation))
            self._rewind(parts.replay.watermark)
            self._restore_reference(restored.host_state)
            self._name_versions()
            for line in restored.passed_over:
                self._together.say(line)
            self._together.say(f"resumed after update {restored.step}")
        if self._hosts.is_main:
            add_offline_data(parts)
        self._behavior = self._restored_behavior()
        self._place_reference()
        self.step = int(self.state.step)
        self._host_state = self._snapshot()
        return self.step

    def _restored_behavior(self) -> Any:
        """What is sampled with until something newer is published."""
        policies, version = self._parts.policies, self._policy_version
        if not self._parts.samples:
            if version:
                policies.check(version)  # actors will ask for it
            return None
        if version:
            return policies.load(version)
        return policies.start(policies.placed(self._parts.sampling.params))

    def _forget_lost_attempt(self, step: int, host_state: dict[str, Any]) -> None:
        """Removes what an attempt left that got further than the checkpoint.

        Else its policies would count as the newest: those published from now on have lower numbers.
        An asynchronous run does not repeat itself, so its evaluations are of other policies.
        """
        parts = self._parts
        parts.policies.rewind(host_state.get("policy_version", 0))
        parts.references.rewind(host_state.get("reference_version", 0))
        if parts.is_async and self._hosts.is_main:
            self._directory.remove_evaluations_after(step)

    def collect(self, problems: Sequence[Problem]) -> dict[str, float]:
        """Samples, judges and stores the online data of the next updates."""
        mine = self._hosts.share(problems)
        with self.clock("sampling"):
            told = self._together.do_shares(
                "collect", lambda: self._collect(mine) if mine else None
            )
        tallies = [tally for tally in told if tally is not None]
        if not tallies:
            return {}
        version = {"policy/version": self._policy_version}
        return version | CollectReport.merged_metrics(tallies)

    def _collect(self, problems: Sequence[Problem]) -> dict[str, float] | None:
        """This host's share: what came of it, or None where nothing is sampled."""
        parts, round_id = self._parts, f"{self.step:08d}"
        if parts.initial_values is not None and self._sampled_reference is not None:
            parts.initial_values.ensure(
                problems,
                self._sampled_reference,
                version=self._reference_version,
                round_id=round_id,
                watermark=self._mark,
                progress=lambda *_: self._together.leave_if_stopped(),
            )
        if not parts.num_online:
            return None
        report = parts.actor.collect(
            self._behavior,
            problems,
            num_samples=parts.num_online,
            policy_version=self._policy_version,
            round_id=round_id,
            progress=lambda *_: self._together.leave_if_stopped(),
        )
        return report.tally()

    @property
    def behavior(self) -> Policy:
        """What samplers of this process are to use; no parameters where there are none."""
        return Policy(self._policy_version, self._behavior)

    def draw(self, problem_ids: Sequence[str]) -> tuple[list[DrawnGroup], dict[str, float]]:
        """Draws the next update's groups, complete with what the objective needs.

        Args:
          problem_ids: of the problems that must be drawn; others fill the update.
        """
        parts = self._parts
        with self.clock("drawing"):
            parts.replay.advance(self._agreed_watermark())
            groups = parts.replay.draw(
                self.step,
                parts.batch.problems_per_update,
                parts.batch.completions_per_problem,
                self.step,
                problem_ids=problem_ids,
                fresh_first=parts.is_async,
            )
        if not groups:
            raise UserError(
                f"update {self.step + 1} has nothing to draw: no trajectory in "
                f"'{parts.store.url}' can be used"
            )
        drawn = [[row.trajectory.trajectory_id for row in group.rows] for group in groups]
        self._hosts.check_same("batch", drawn)
        assert parts.replay.stats is not None
        metrics = parts.replay.stats.metrics()
        with self.clock("reference"):
            if parts.annotator is not None and self._reference is not None:
                groups = parts.annotator.complete(groups, self._reference)
        if parts.is_async:
            groups = self._with_initial_values(groups)
        if parts.running_values is not None:
            groups = parts.running_values.fill(groups)
        return groups, metrics

    def update(self, groups: Sequence[DrawnGroup]) -> dict[str, float]:
        """One update of the learner."""
        parts = self._parts
        with self.clock("update"):
            batch = make_batch(
                groups,
                parts.buckets,
                pad_id=parts.sampling.tokenizer.pad_id,
                needs=parts.learner.objective.needs,
                reference_id=self._reference.reference_id if self._reference else None,
                loss_weights=parts.batch.loss_weights,
            )
            try:
                self.state, metrics, found = parts.learner.update(self.state, batch)
            except NonFiniteLossError as error:
                self.state = error.state
                raise
        if parts.running_values is not None:
            parts.running_values.update(found)
        if self._is_at_reference():
            # Policy = reference: what is left is the rounding between two compiled programs.
            metrics["q/reference_noise"] = metrics["policy/log_ratio_abs"]
        self.step += 1
        return metrics

    def publish(self) -> None:
        """Gives the present policy to the sampler, and to whoever reads the run's policies."""
        self._pin()
        with self.clock("publishing"):
            published = self._parts.policies.publish(
                self.state.params, self.step, background=self._parts.is_async
            )
        self._behavior = published if self._parts.samples else None
        self._policy_version = self.step

    def move_reference(self) -> None:
        """Makes the present policy the reference.

        What the store says under the one before stays there and is not read any more: drawn
        trajectories are scored anew, and initial values are estimated anew.
        """
        parts = self._parts
        if self._reference is None:
            return
        with self.clock("publishing"):
            params = parts.references.publish(self.state.params, self.step)
        self._use_reference(params, self.step)
        if parts.running_values is not None:
            parts.running_values.forget()

    def check_stop(self) -> None:
        """Raises Stopped if any host was asked to stop: on all of them after the same update."""
        self._together.check_stop()

    def finish_update(self) -> None:
        """Marks the state as whole: from here on this is what a stop would save."""
        self._host_state = self._snapshot()

    def save(self) -> None:
        """Starts to write a checkpoint of the last whole update, after the one before."""
        self._named_versions[self.step] = _versions(self._host_state)
        with self.clock("saving"):
            self._parts.policies.flush()  # a checkpoint names its policy
            self._parts.checkpointer.save(self.step, self.state, self._host_state)
        self._pin()

    def wait_for_checkpoint(self) -> None:
        """Waits until what `save` began is committed."""
        with self.clock("saving"):
            self._parts.checkpointer.wait()

    def finish_checkpoints(self) -> None:
        """Waits as well, and leaves only the checkpoints that are to stay."""
        with self.clock("saving"):
            self._parts.checkpointer.finish()

    @contextlib.contextmanager
    def saving_on_stop(self) -> Iterator[None]:
        """Saves when a stop was asked for, the loss is not finite, or all actors are gone."""
        try:
            yield
        except (Stopped, NonFiniteLossError, ActorsLostError, EnginesLostError):
            self._together.say(f"saving the state after update {self.step}")
            self.save()
            self.wait_for_checkpoint()
            raise

    def evaluate(self) -> Evaluation:
        """Samples and judges the held-out problems with the present policy."""
        settings = self._evaluation
        problems = settings.choose(self._parts.eval_problems)
        path = self._directory.evaluation(self.step)
        with self.clock("evaluation"):
            # One that finished is read: a resumed run has the same numbers.
            if not self._hosts.broadcast("evaluated", self._hosts.is_main and path.exists()):
                self._together.sample_evaluation(
                    self._parts.sampling.worker,
                    self._parts.policies.placed(self.state.params),
                    problems,
                    settings,
                    path,
                    f"evaluation after {self.step} updates",
                )
            result = read_evaluation(path, settings.ks)
        passes = ", ".join(f"pass@{k} {result.pass_at(k):.3f}" for k in settings.ks)
        self._together.say(f"evaluation after {self.step} updates: {passes}")
        self._save_if_best(result)
        return result

    def _save_if_best(self, result: Evaluation) -> None:
        checkpointer, metrics = self._parts.checkpointer, result.metrics()
        if checkpointer.is_best(self.step, metrics):
            self.save()
            checkpointer.record_best(self.step, metrics)

    def write_token_values(self) -> None:
        """Scores a few answers of the last evaluation token by token, for the report."""
        parts = self._parts
        beta = getattr(parts.learner.objective, "beta", None)
        if self._reference is None or beta is None:
            return
        values = token_values(
            parts.sampling.model,
            self.state.params,
            self._reference,
            read_samples(self._directory.evaluation(self.step)),
            self._evaluation.choose(parts.eval_problems),
            parts.sampling.prompter,
            beta=float(value_at(beta, self.step)),
            rewards=parts.rewards,
        )
        if self._hosts.is_main:
            self._directory.write_json("token_values.json", {"updates": self.step} | values)

    def _agreed_watermark(self) -> Watermark | None:
        self._mark = self._together.watermark(self._parts.store)
        return self._mark

    def _rewind(self, watermark: Watermark) -> None:
        """Own commits past a watermark do not count, whichever host wrote them."""
        self._parts.store.rewind(watermark, also=is_writer_of_run)

    def _place_reference(self) -> None:
        """A copy for the sampler, where Q_0 is estimated from samples of the reference."""
        reference, self._sampled_reference = self._reference, None
        if reference is not None and self._parts.initial_values is not None:
            params = self._parts.policies.placed(reference.params)
            self._sampled_reference = Reference(params, reference.reference_id)

    def _with_initial_values(self, groups: list[DrawnGroup]) -> list[DrawnGroup]:
        """Estimates Q_0 of drawn problems that have none: actors know no reference."""
        parts = self._parts
        if parts.initial_values is None or self._sampled_reference is None:
            return groups
        lacking = {group.problem_id for group in groups if group.initial_value is None}
        if not lacking:
            return groups
        mine = self._hosts.share([p for p in parts.train_problems if p.id in lacking])
        with self.clock("sampling"):
            told = self._together.do_shares("initial values", lambda: self._estimates(mine))
        found = {name: value for estimates in told for name, value in estimates.items()}
        return [
            dataclasses.replace(group, initial_value=found[group.problem_id])
            if group.problem_id in found
            else group
            for group in groups
        ]

    def _estimates(self, problems: Sequence[Problem]) -> dict[str, float]:
        """Initial values by problem; what is sampled for them goes to the store."""
        if not problems:
            return {}
        values, reference = self._parts.initial_values, self._sampled_reference
        assert values is not None and reference is not None
        found = values.ensure(
            problems,
            reference,
            version=self._reference_version,
            round_id=f"{self.step:08d}",
            watermark=self._mark,
            progress=lambda *_: self._together.leave_if_stopped(),
        )
        return {name: float(estimate.value) for name, estimate in found.items()}

    def _is_at_reference(self) -> bool:
        """Whether the policy was the reference when this update began."""
        moved = self._reference is not None and self._reference_version > 0
        return self.step == self._reference_version and (moved or self._parts.starts_at_reference)

    def _use_reference(self, params: Any, version: int) -> None:
        config = self._parts.sampling.model.config
        self._reference = Reference(params, params_id(params, config))
        self._reference_version = version
        self._parts.replay.reference_id = self._reference.reference_id
        self._place_reference()

    def _restore_reference(self, host_state: dict[str, Any]) -> None:
        parts, version = self._parts, host_state.get("reference_version", 0)
        if version:
            self._use_reference(parts.references.load(version), version)
        if parts.running_values is not None:
            parts.running_values.load_state_dict(host_state["running_values"])

    def _name_versions(self) -> None:
        """Reads which policies and references the kept checkpoints name."""
        checkpointer = self._parts.checkpointer
        self._named_versions = {
            step: _versions(checkpointer.host_state(step)) for step in checkpointer.kept()
        }

    def _pin(self) -> None:
        """What a kept checkpoint names stays, however much is published meanwhile."""
        kept = self._parts.checkpointer.kept()
        self._named_versions = {s: v for s, v in self._named_versions.items() if s in kept}
        self._parts.policies.pin(policy for policy, _ in self._named_versions.values())
        self._parts.references.pin(reference for _, reference in self._named_versions.values())

    def _snapshot(self) -> dict[str, Any]:
        values = self._parts.running_values
        return {
            "policy_version": self._policy_version,
            "reference_version": self._reference_version,
            "running_values": values.state_dict() if values is not None else {},
            "writers": saved_writers(self._hosts, self._generation),
            "replay": self._parts.replay.state_dict(self._agreed_watermark()),
        }


def _versions(host_state: dict[str, Any]) -> tuple[int, int]:
    """The published policy and reference that a checkpoint needs."""
    return host_state["policy_version"], host_state.get("reference_version", 0)
