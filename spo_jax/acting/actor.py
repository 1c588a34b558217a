"""The actor: asks problems, has the answers judged, appends scored trajectories to the store."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from spo_jax.acting.rollouts import PendingRollouts, Prompter, Rollout, RolloutWorker
from spo_jax.acting.seeds import derived_id, derived_seed
from spo_jax.judging import RewardMap
from spo_jax.trajectories import TrajectoryStore
from spo_jax.types import Problem, SamplerSettings, Trajectory, Verdict


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CollectReport:
    """What one collect brought.

    Attributes:
      trajectories: as they stand in the store.
      num_tokens: sampled, over all of them.
      mean_reward: over rewarded trajectories.
      accepted_fraction: of all samples.
      truncated_fraction: samples that reached the length limit.
      num_unjudged: samples the judge failed on (IE); they carry no reward.
      mean_turns: answers of a sample.
      fixed_fraction: of the samples with feedback, those whose last answer was accepted; NaN where
        no sample had any.
    """

    trajectories: tuple[Trajectory, ...]
    num_tokens: int
    mean_reward: float
    accepted_fraction: float
    truncated_fraction: float
    num_unjudged: int
    mean_turns: float = 1.0
    fixed_fraction: float = float("nan")

    def metrics(self) -> dict[str, float]:
        values = {
            "sampling/reward_mean": self.mean_reward,
            "sampling/accepted_fraction": self.accepted_fraction,
            "sampling/truncated_fraction": self.truncated_fraction,
            "sampling/completion_tokens": self.num_tokens / max(1, len(self.trajectories)),
            "sampling/num_unjudged": self.num_unjudged,
        }
        if self.mean_turns > 1:
            values["sampling/turns"] = self.mean_turns
            values["sampling/fixed_by_feedback_fraction"] = self.fixed_fraction
        return values


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PendingRound:
    """A round that is sampled and not committed: verdicts may be missing.

    Attributes:
      round_id, source, policy_version, settings: of its trajectories.
      problems: what was asked. rollouts: the answers, by problem and sample.
    """

    round_id: str
    source: str
    policy_version: int
    settings: SamplerSettings
    problems: tuple[Problem, ...]
    rollouts: PendingRollouts

    def is_judged(self) -> bool:
        """Whether it can be committed without waiting for the judge."""
        return self.rollouts.done()


class Actor:
    """Samples with a given policy and writes what comes out to the store.

    Args:
      worker: samples and judges.
      prompter: the prompt's form.
      store: receives one object a collect.
      reward_map: what a verdict is worth.
      settings: temperature and so on of training samples.
      run_id: part of every trajectory's identity.
      seed: of the run.
    """

    def __init__(
        self,
        worker: RolloutWorker,
        prompter: Prompter,
        store: TrajectoryStore,
        *,
        reward_map: RewardMap,
        settings: SamplerSettings,
        run_id: str,
        seed: int,
    ):
        self._worker = worker
        self._prompter = prompter
        self._store = store
        self._reward_map = reward_map
        self._settings = settings
        self._run_id = run_id
        self._seed = seed

    def collect(
        self,
        params: Any,
        problems: Sequence[Problem],
        *,
        num_samples: int,
        policy_version: int,
        round_id: str,
        source: str = "online",
        settings: SamplerSettings | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> CollectReport:
        """Samples `num_samples` answers to each problem and commits them as one object."""
        pending = self.begin(
            params,
            problems,
            num_samples=num_samples,
            policy_version=policy_version,
            round_id=round_id,
            source=source,
            settings=settings,
            progress=progress,
        )
        return self.commit(pending)

    def begin(
        self,
        params: Any,
        problems: Sequence[Problem],
        *,
        num_samples: int,
        policy_version: int,
        round_id: str,
        source: str = "online",
        settings: SamplerSettings | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> PendingRound:
        """Samples `num_samples` answers to each problem; their last verdicts may be missing.

        Seeds and trajectory ids depend on (run, source, round, problem, sample) alone: a collect
        that is redone after a crash writes the same trajectories, which the store keeps once.
        """
        settings = settings or self._settings
        seeds = [
            [derived_seed(self._seed, source, round_id, p.id, j) for j in range(num_samples)]
            for p in problems
        ]
        rollouts = self._worker.begin(params, problems, seeds, settings, progress=progress)
        return PendingRound(round_id, source, policy_version, settings, tuple(problems), rollouts)

    def commit(self, pending: PendingRound, *, number: int | None = None) -> CollectReport:
        """Waits for the verdicts and commits a round as one object.

        Args:
          number: the commit that it must become, for callers that count them; see
            `TrajectoryStore.append`.
        """
        trajectories = [
            self._trajectory(problem, rollout, j, pending)
            for problem, samples in zip(pending.problems, pending.rollouts.result(), strict=True)
            for j, rollout in enumerate(samples)
        ]
        commit = self._store.append(trajectories, commit=number)
        return _report(commit.records)  # as stored: an interrupted attempt may have been first

    def _trajectory(
        self,
        problem: Problem,
        rollout: Rollout,
        index: int,
        pending: PendingRound,
    ) -> Trajectory:
        completion = rollout.completion
        source, version = pending.source, pending.policy_version
        group = (self._run_id, source, version, pending.round_id, problem.id)
        return Trajectory(
            trajectory_id=derived_id(*group, index),
            group_id=derived_id(*group),
            problem_id=problem.id,
            source=source,
            policy_version=version,
            seed=completion.seed,
            turns=rollout.turns,
            prompt_tokens=np.asarray(self._prompter.prompt_tokens(problem), np.int32),
            completion_tokens=completion.tokens,
            completion_mask=rollout.mask,
            finish_reason=completion.finish_reason,
            behavior_logprobs=completion.behavior_logprobs,
            reward=self._reward_map.reward(rollout.judgement),
            verdict=rollout.judgement.verdict,
            sampler=pending.settings,
            tokenizer_hash=self._prompter.tokenizer.hash,
            completion_text=self._prompter.text(completion),
        )


def _report(trajectories: Sequence[Trajectory]) -> CollectReport:
    count = max(1, len(trajectories))
    corrected = [t for t in trajectories if len(t.turns) > 1]
    rewards = [t.reward for t in trajectories if t.reward is not None]
    return CollectReport(
        trajectories=tuple(trajectories),
        num_tokens=sum(
            turn.end - turn.start for t in trajectories for turn in t.turns if turn.role == "policy"
        ),
        mean_reward=float(np.mean(rewards)) if rewards else float("nan"),
        accepted_fraction=sum(t.verdict is Verdict.AC for t in trajectories) / count,
        truncated_fraction=sum(t.finish_reason == "length" for t in trajectories) / count,
        num_unjudged=sum(t.verdict is Verdict.IE for t in trajectories),
        mean_turns=sum((len(t.turns) + 1) // 2 for t in trajectories) / count,
        fixed_fraction=(
            sum(t.verdict is Verdict.AC for t in corrected) / len(corrected)
            if corrected
            else float("nan")
        ),
    )
