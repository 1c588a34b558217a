"""Where Q_0 of a problem comes from: reference samples, or a running estimate.

Reference samples are taken when a problem is first drawn, more of them where the answer is still
uncertain. They are trajectories of the store (source 'reference') like any other.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from spo_jax.acting.actor import Actor
from spo_jax.acting.annotator import Reference
from spo_jax.errors import UserError, nearest
from spo_jax.judging import RewardMap
from spo_jax.objectives.soft_q import (
    InitialValueEstimate,
    initial_value_log_mean_exp,
    initial_value_pass_rate,
    running_initial_value,
)
from spo_jax.trajectories import DrawnGroup, TrajectoryStore, Watermark
from spo_jax.types import InitialValue, Problem, SamplerSettings

Estimator = Literal["log_mean_exp", "pass_rate"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InitialValueSettings:
    """How Q_0 is estimated, where an objective reads it.

    Attributes:
      num_samples: reference samples of a problem when it is first drawn.
      max_samples: while the standard error exceeds `max_error`, `num_samples` more are taken, up
        to this many in all; None takes no more.
      max_error: standard error that is good enough, in nats (units of beta).
      estimator: 'log_mean_exp' for any rewards; 'pass_rate' for two rewards, with a prior of 1/2
        that keeps problems without a success from looking certain.
      running_rate: of running estimates: the share of the way to what a batch says, in (0, 1].
    """

    num_samples: int = 16
    max_samples: int | None = None
    max_error: float = 0.5
    estimator: Estimator = "log_mean_exp"
    running_rate: float = 0.1

    def __post_init__(self) -> None:
        known = get_args(Estimator)
        if self.estimator not in known:
            hint = nearest(self.estimator, known)
            raise UserError(f"estimator='{self.estimator}' must be one of {known}{hint}")
        if self.num_samples < 1:
            raise UserError(f"num_samples={self.num_samples} of an initial value must be above 0")
        if self.max_samples is not None and self.max_samples < self.num_samples:
            raise UserError(
                f"max_samples={self.max_samples} must be at least num_samples={self.num_samples}"
            )
        if not (math.isfinite(self.max_error) and self.max_error > 0):
            raise UserError(f"max_error={self.max_error} nats must be finite and above 0")
        if not 0 < self.running_rate <= 1:
            raise UserError(f"running_rate={self.running_rate} must lie in (0, 1]")

    def check_rewards(self, rewards: RewardMap) -> None:
        """Raises UserError where the estimator cannot read these rewards."""
        if self.estimator == "pass_rate" and (
            rewards.partial_credit or rewards.no_program not in (None, rewards.rejected)
        ):
            raise UserError(
                "estimator='pass_rate' is for two rewards; with partial_credit or no_program use "
                "'log_mean_exp'"
            )

    def estimate(
        self, rewards: Sequence[float], beta: float, reward_map: RewardMap
    ) -> InitialValueEstimate:
        """Q_0 from the rewards of reference samples."""
        if self.estimator == "log_mean_exp":
            return initial_value_log_mean_exp(np.asarray(rewards), beta)
        return initial_value_pass_rate(
            sum(reward == reward_map.accepted for reward in rewards),
            len(rewards),
            beta,
            reward_right=reward_map.accepted,
            reward_wrong=reward_map.rejected,
        )

    def wants_more(self, num_taken: int, error_nats: float) -> bool:
        """Whether the interval is too wide and there is room for `num_samples` more.

        Args:
          num_taken: samples so far, those without a reward included.
          error_nats: the standard error of the estimate.
        """
        limit = self.num_samples if self.max_samples is None else self.max_samples
        if num_taken + self.num_samples > limit:
            return False
        # Equal rewards have no spread: that tells nothing about rewards not seen yet.
        return error_nats == 0 or error_nats > self.max_error


class InitialValues:
    """Estimates Q_0 of problems when they are first drawn, from samples of the reference.

    Args:
      actor: samples and stores, at temperature 1 without truncation.
      store: keeps the estimates.
      settings: how many samples, and the estimator.
      beta: the objective's.
      reward_map: of the run.
      max_completion_tokens: of a sample.
    """

    def __init__(
        self,
        actor: Actor,
        store: TrajectoryStore,
        settings: InitialValueSettings,
        *,
        beta: float,
        reward_map: RewardMap,
        max_completion_tokens: int,
    ):
        self._actor = actor
        self._store = store
        self._settings = settings
        self._beta = beta
        self._reward_map = reward_map
        self._sampler = SamplerSettings(max_completion_tokens=max_completion_tokens)

    def ensure(
        self,
        problems: Sequence[Problem],
        reference: Reference,
        *,
        version: int,
        round_id: str,
        watermark: Watermark | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, InitialValue]:
        """Returns the estimate of every problem, sampling for those that have none yet.

        Args:
          problems: of the next updates.
          reference: what is sampled from. version: updates behind it.
          round_id: of the collect; redone after a crash, it takes the same samples.
          watermark: up to which estimates are known already; by default all that are stored.
          progress: called between answers; what it raises ends the work, and nothing is stored.
        """
        known = self._store.initial_values(reference.reference_id, self._beta, watermark)
        lacking = [problem for problem in problems if problem.id not in known]
        if lacking:
            estimates = self._estimate(lacking, reference, version, round_id, progress)
            self._store.annotate(estimates)
            known |= {estimate.problem_id: estimate for estimate in estimates}
        return {problem.id: known[problem.id] for problem in problems}

    def _estimate(
        self,
        problems: Sequence[Problem],
        reference: Reference,
        version: int,
        round_id: str,
        progress: Callable[[int, int], None] | None,
    ) -> list[InitialValue]:
        rewards: dict[str, list[float]] = {problem.id: [] for problem in problems}
        estimates: dict[str, InitialValueEstimate] = {}
        pending, attempt = list(problems), 0
        while pending:
            self._sample(pending, reference, version, f"{round_id}.{attempt}", rewards, progress)
            for problem in pending:
                estimates[problem.id] = self._estimate_one(problem, rewards[problem.id])
            attempt += 1
            num_taken = attempt * self._settings.num_samples
            pending = [
                problem
                for problem in pending
                if self._settings.wants_more(
                    num_taken, estimates[problem.id].standard_error / self._beta
                )
            ]
        return [
            InitialValue(
                problem_id=name,
                reference_id=reference.reference_id,
                beta=self._beta,
                value=estimate.value,
                standard_error=estimate.standard_error,
                num_samples=estimate.num_samples,
                estimator=estimate.estimator,
            )
            for name, estimate in estimates.items()
        ]

    def _sample(
        self,
        problems: Sequence[Problem],
        reference: Reference,
        version: int,
        round_id: str,
        rewards: dict[str, list[float]],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        report = self._actor.collect(
            reference.params,
            problems,
            num_samples=self._settings.num_samples,
            policy_version=version,
            round_id=round_id,
            source="reference",
            settings=self._sampler,
            progress=progress,
        )
        for sample in report.trajectories:
            if sample.reward is not None:
                rewards[sample.problem_id].append(sample.reward)

    def _estimate_one(self, problem: Problem, rewards: Sequence[float]) -> InitialValueEstimate:
        if not rewards:
            raise UserError(
                f"no initial value of problem '{problem.id}': the judge failed on all "
                f"{self._settings.num_samples} reference samples"
            )
        return self._settings.estimate(rewards, self._beta, self._reward_map)


class RunningInitialValues:
    """Q_0 of each problem as it shows in the batches themselves; no samples are taken for it.

    Each update moves a problem's value a share of the way to what its batch says. A problem that
    was never drawn has no value, and its first batch's own takes that place.

    Args:
      rate: the share, in (0, 1].
    """

    def __init__(self, rate: float):
        self._rate = rate
        self._values: dict[str, float] = {}

    def fill(self, groups: Sequence[DrawnGroup]) -> list[DrawnGroup]:
        """The groups with their problems' values, or None where there is none yet."""
        return [
            dataclasses.replace(group, initial_value=self._values.get(group.problem_id))
            for group in groups
        ]

    def update(self, found: Mapping[str, float]) -> None:
        """Takes in what an update's batch says, by problem."""
        for problem_id, value in found.items():
            known = self._values.get(problem_id)
            self._values[problem_id] = running_initial_value(known, value, self._rate)

    def forget(self) -> None:
        """After the reference has moved, nothing known is a value under the new one."""
        self._values = {}

    def state_dict(self) -> dict[str, Any]:
        return dict(self._values)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._values = {name: float(value) for name, value in state.items()}
