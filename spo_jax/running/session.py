"""The state of a run between two updates, and the steps that change it.

Whatever is asked to stop, stops between two updates: `saving_on_stop` then saves the last whole
state. Nothing of an unfinished update is kept, and a resumed run redoes it.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from spo_jax.acting.actor import CollectReport
from spo_jax.acting.annotator import Reference
from spo_jax.acting.evaluator import (
    Evaluation,
    EvaluationSettings,
    merge_evaluation,
    read_evaluation,
    sample_evaluation,
)
from spo_jax.acting.stored import add_stored_trajectories
from spo_jax.acting.token_values import token_values
from spo_jax.acting.written import add_written_solutions
from spo_jax.evaluation import read_samples
from spo_jax.learning import NonFiniteLossError, TrainState, make_batch
from spo_jax.models import params_id
from spo_jax.objectives.schedules import value_at
from spo_jax.reporting.clock import PhaseClock
from spo_jax.reporting.progress import Progress, say
from spo_jax.running.directory import RunDirectory
from spo_jax.running.hosts import Hosts
from spo_jax.running.parts import RunParts
from spo_jax.running.requirements import check_sources
from spo_jax.running.stopping import Stopped, StopRequest
from spo_jax.running.writers import (
    is_writer_of_run,
    next_generation,
    saved_writers,
    writer_id,
)
from spo_jax.trajectories import ONLINE_SOURCES, DrawnGroup, Watermark
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
        self._stop = stop
        self._evaluation = evaluation
        self._hosts = hosts
        self._mark: Watermark | None = None
        self._generation = 0
        self._behavior: Any = None
        self._policy_version = 0
        self._reference = parts.reference
        self._sampled_reference: Reference | None = None
        self._reference_version = 0
        self._host_state: dict[str, Any] = {}

    def restore(self, seed: int) -> int:
        """Takes up the newest checkpoint, or starts. Returns the number of updates made.

        In order: learner, replay and store, reference, written solutions and other stores, behavior
        policy.
        """
        parts = self._parts
        restored = parts.checkpointer.restore_latest(parts.learner.abstract_state())
        if restored is None:
            self.state = parts.learner.init(parts.sampling.params, seed=seed)
            self._rewind(Watermark.from_dict({}))
        else:
            self.state = restored.state
            self._policy_version = restored.host_state["policy_version"]
            parts.replay.load_state_dict(restored.host_state["replay"])
            self._generation = next_generation(self._hosts, restored.host_state.get("writers", {}))
            parts.store.write_as(writer_id(self._hosts, self._generation))
            self._rewind(parts.replay.watermark)
            self._restore_reference(restored.host_state)
            self._pin(restored.host_state)
            for line in restored.passed_over:
                self._say(line)
            self._say(f"resumed after update {restored.step}")
        if self._hosts.is_main:
            self._add_written()
            self._add_stored()
            self._check_sources()
        self._behavior = (
            parts.policies.load(self._policy_version)
            if self._policy_version
            else parts.policies.placed(parts.sampling.params)
        )
        self._place_reference()
        self.step = int(self.state.step)
        self._host_state = self._snapshot()
        return self.step

    def collect(self, problems: Sequence[Problem]) -> dict[str, float]:
        """Samples, judges and stores the online data of the next updates."""
        mine = self._hosts.share(problems)
        with self.clock("sampling"):
            told = self._on_every_host("collect", lambda: self._collect(mine) if mine else None)
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
            )
        if not parts.num_online:
            return None
        report = parts.actor.collect(
            self._behavior,
            problems,
            num_samples=parts.num_online,
            policy_version=self._policy_version,
            round_id=round_id,
            progress=lambda *_: self._leave_if_stopped(),
        )
        return report.tally()

    def draw(self, problems: Sequence[Problem]) -> tuple[list[DrawnGroup], dict[str, float]]:
        """Draws the next update's groups, complete with what the objective needs."""
        parts = self._parts
        with self.clock("drawing"):
            parts.replay.advance(self._agree_on_watermark())
            groups = parts.replay.draw(
                self.step,
                parts.batch.problems_per_update,
                parts.batch.completions_per_problem,
                self.step,
                problem_ids=[problem.id for problem in problems],
            )
        drawn = [[row.trajectory.trajectory_id for row in group.rows] for group in groups]
        self._hosts.check_same("batch", drawn)
        assert parts.replay.stats is not None
        metrics = parts.replay.stats.metrics()
        with self.clock("reference"):
            if parts.annotator is not None and self._reference is not None:
                groups = parts.annotator.complete(groups, self._reference)
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
        with self.clock("publishing"):
            self._behavior = self._parts.policies.publish(self.state.params, self.step)
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
        if self._hosts.any("stop", self._stop.requested):
            raise Stopped

    def finish_update(self) -> None:
        """Marks the state as whole: from here on this is what a stop would save."""
        self._host_state = self._snapshot()

    def save(self) -> None:
        """Commits a checkpoint of the last whole update."""
        with self.clock("saving"):
            self._parts.checkpointer.save(self.step, self.state, self._host_state)
        self._pin(self._host_state)

    @contextlib.contextmanager
    def saving_on_stop(self) -> Iterator[None]:
        """Saves when a stop was asked for, or when the loss is not finite."""
        try:
            yield
        except (Stopped, NonFiniteLossError):
            self._say(f"saving the state after update {self.step}")
            self.save()
            raise

    def evaluate(self) -> Evaluation:
        """Samples and judges the held-out problems with the present policy."""
        settings = self._evaluation
        problems = settings.choose(self._parts.eval_problems)
        path = self._directory.evaluation(self.step)
        with self.clock("evaluation"):
            # One that finished is read: a resumed run has the same numbers.
            if not self._hosts.broadcast("evaluated", path.exists()):
                self._sample_evaluation(problems, path)
            result = read_evaluation(path, settings.ks)
        passes = ", ".join(f"pass@{k} {result.pass_at(k):.3f}" for k in settings.ks)
        self._say(f"evaluation after {self.step} updates: {passes}")
        return result

    def _sample_evaluation(self, problems: Sequence[Problem], path: Path) -> None:
        """Each host samples its share of the problems; the main one joins what they found."""
        hosts, settings, step = self._hosts, self._evaluation, self.step
        mine, part = hosts.share(problems), self._directory.evaluation_part(step, hosts.index)
        name, total = f"evaluation after {step} updates", len(mine) * settings.num_samples
        progress = Progress(name, total, "samples", stream=hosts.stream)
        params = self._parts.policies.placed(self.state.params)

        def count(samples: int, tokens: int) -> None:
            self._leave_if_stopped()
            progress.add(samples, tokens)

        def work() -> None:
            if mine:
                worker = self._parts.sampling.worker
                sample_evaluation(worker, params, mine, settings, part, progress=count)

        self._on_every_host("evaluation", work)
        if hosts.is_main:
            shares = range(min(hosts.count, len(problems)))
            parts = [self._directory.evaluation_part(step, host) for host in shares]
            merge_evaluation(parts, problems, path)
            shutil.rmtree(part.parent)
        hosts.barrier("evaluation joined")

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

    def _on_every_host(self, name: str, work: Callable[[], Any]) -> list[Any]:
        """What the hosts' shares of some work gave, by host. All stop if one was asked to."""
        result, stopped = None, False
        try:
            result = work()
        except Stopped:
            stopped = True
        told = self._hosts.gather(name, [stopped, result])
        if any(is_stopped for is_stopped, _ in told):
            raise Stopped
        return [each for _, each in told]

    def _leave_if_stopped(self) -> None:
        """Between two samples: this host leaves its share, and lets the others know."""
        if self._stop.requested:
            self._hosts.announce_stop()
            raise Stopped
        if self._hosts.stop_requested:
            raise Stopped

    def _agree_on_watermark(self) -> Watermark | None:
        """What all hosts draw from: everything committed, by any of them. None: as the store says.

        Each knows how many of its own commits count; of other writers the main one tells.
        """
        hosts, store = self._hosts, self._parts.store
        if hosts.count == 1:
            return None
        seen = store.watermark().as_dict() if hosts.is_main else {}
        told = hosts.gather("watermark", [seen, store.own_commits()])
        mark = Watermark.from_dict(told[0][0])
        for _, own in told:
            mark = mark.updated(own)
        self._mark = mark
        return mark

    def _rewind(self, watermark: Watermark) -> None:
        """Own commits past a watermark do not count, whichever host wrote them."""
        self._parts.store.rewind(watermark, also=is_writer_of_run)

    def _say(self, line: str) -> None:
        if self._hosts.is_main:
            say(line)

    def _place_reference(self) -> None:
        """A copy for the sampler, where Q_0 is estimated from samples of the reference."""
        reference, self._sampled_reference = self._reference, None
        if reference is not None and self._parts.initial_values is not None:
            params = self._parts.policies.placed(reference.params)
            self._sampled_reference = Reference(params, reference.reference_id)

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

    def _pin(self, host_state: dict[str, Any]) -> None:
        """What the newest checkpoint names stays, however much is published before the next."""
        self._parts.policies.pin(host_state["policy_version"])
        self._parts.references.pin(host_state.get("reference_version", 0))

    def _snapshot(self) -> dict[str, Any]:
        values = self._parts.running_values
        return {
            "policy_version": self._policy_version,
            "reference_version": self._reference_version,
            "running_values": values.state_dict() if values is not None else {},
            "writers": saved_writers(self._hosts, self._generation),
            "replay": self._parts.replay.state_dict(self._agree_on_watermark()),
        }

    def _add_written(self) -> None:
        parts = self._parts
        if not parts.uses_offline:
            return
        written = add_written_solutions(
            parts.store,
            parts.train_problems,
            parts.sampling.prompter,
            reward_map=parts.rewards,
            judge=None if parts.trust_labels else parts.sampling.judge,
            max_completion_tokens=parts.max_completion_tokens,
        )
        left_out = ", ".join(f"{n} {reason}" for reason, n in written.skipped.items())
        say(
            f"{len(written.trajectories)} written solutions"
            + (f" (left out: {left_out})" if left_out else "")
            + (
                f"; {written.disagreements} are not what their label says"
                if written.disagreements
                else ""
            )
        )

    def _check_sources(self) -> None:
        """Weights are given by source: one that names nothing would be passed over in silence."""
        parts = self._parts
        _, stored = parts.store.index().codes("source")
        sources = {*ONLINE_SOURCES, "written", *(name for name in stored if name)}
        check_sources(parts.replay.config.source_weights, "source_weights", sources)
        check_sources(parts.batch.loss_weights, "loss_weights", sources)

    def _add_stored(self) -> None:
        parts = self._parts
        if not parts.stores:
            return
        added = add_stored_trajectories(
            parts.store,
            parts.stores,
            tokenizer_hash=parts.sampling.tokenizer.hash,
            held_out={problem.id for problem in parts.eval_problems},
            check_rewards=parts.learner.objective.check_rewards,
        )
        left_out = ", ".join(f"{n} {reason}" for reason, n in added.skipped.items())
        say(
            f"{added.num_added} trajectories of other stores"
            + (f" (left out: {left_out})" if left_out else "")
        )
