"""The actor: asks problems, has the answers judged, appends scored trajectories to the store."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from spo_jax.acting.rollouts import Prompter, Rollout, RolloutWorker
from spo_jax.acting.seeds import derived_id, derived_seed
from spo_jax.judging import RewardMap
from spo_jax.trajectories import TrajectoryStore
from spo_jax.types import Problem, SamplerSettings, Trajectory, Verdict


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CollectReport:
    """What one collect brought.

    Attributes:
      trajectories: as they stand in the store. num_samples: how many.
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
    num_samples: int
    num_tokens: int
    mean_reward: float
    accepted_fraction: float
    truncated_fraction: float
    num_unjudged: int
    mean_turns: float = 1.0
    fixed_fraction: float = float("nan")

    @classmethod
    def merged_metrics(cls, parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """The metrics of one collect that several processes shared, from each one's `tally()`."""
        total: Counter[str] = Counter()
        for part in parts:
            total.update(part)
        return _report_of(total, ()).metrics()

    def tally(self) -> dict[str, float]:
        """Counts and sums behind the metrics, as plain JSON."""
        return _tally(self.trajectories)

    def metrics(self) -> dict[str, float]:
        values = {
            "sampling/reward_mean": self.mean_reward,
            "sampling/accepted_fraction": self.accepted_fraction,
            "sampling/truncated_fraction": self.truncated_fraction,
            "sampling/completion_tokens": self.num_tokens / max(1, self.num_samples),
            "sampling/num_unjudged": self.num_unjudged,
        }
        if self.mean_turns > 1:
            values["sampling/turns"] = self.mean_turns
            values["sampling/fixed_by_feedback_fraction"] = self.fixed_fraction
        return values


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
        """Samples `num_samples` answers to each problem and commits them as one object.

        Seeds and trajectory ids depend on (run, source, round, problem, sample) alone: a collect
        that is redone after a crash writes the same trajectories, which the store keeps once.
        """
        settings = settings or self._settings
        seeds = [
            [derived_seed(self._seed, source, round_id, p.id, j) for j in range(num_samples)]
            for p in problems
        ]
        rollouts = self._worker.run(params, problems, seeds, settings, progress=progress)
        trajectories = [
            self._trajectory(problem, rollout, j, policy_version, round_id, source, settings)
            for problem, samples in zip(problems, rollouts, strict=True)
            for j, rollout in enumerate(samples)
        ]
        commit = self._store.append(trajectories)
        return _report(commit.records)  # as stored: an interrupted attempt may have been first

    def _trajectory(
        self,
        problem: Problem,
        rollout: Rollout,
        index: int,
        policy_version: int,
        round_id: str,
        source: str,
        settings: SamplerSettings,
    ) -> Trajectory:
        completion = rollout.completion
        group = (self._run_id, source, policy_version, round_id, problem.id)
        return Trajectory(
            trajectory_id=derived_id(*group, index),
            group_id=derived_id(*group),
            problem_id=problem.id,
            source=source,
            policy_version=policy_version,
            seed=completion.seed,
            turns=rollout.turns,
            prompt_tokens=np.asarray(self._prompter.prompt_tokens(problem), np.int32),
            completion_tokens=completion.tokens,
            completion_mask=rollout.mask,
            finish_reason=completion.finish_reason,
            behavior_logprobs=completion.behavior_logprobs,
            reward=self._reward_map.reward(rollout.judgement),
            verdict=rollout.judgement.verdict,
            sampler=settings,
            tokenizer_hash=self._prompter.tokenizer.hash,
            completion_text=self._prompter.text(completion),
        )


def _report(trajectories: Sequence[Trajectory]) -> CollectReport:
    return _report_of(_tally(trajectories), tuple(trajectories))


def _tally(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    corrected = [t for t in trajectories if len(t.turns) > 1]
    rewards = [t.reward for t in trajectories if t.reward is not None]
    return {
        "samples": len(trajectories),
        "tokens": sum(
            turn.end - turn.start for t in trajectories for turn in t.turns if turn.role == "policy"
        ),
        "rewarded": len(rewards),
        "reward": sum(rewards),
        "accepted": sum(t.verdict is Verdict.AC for t in trajectories),
        "truncated": sum(t.finish_reason == "length" for t in trajectories),
        "unjudged": sum(t.verdict is Verdict.IE for t in trajectories),
        "turns": sum((len(t.turns) + 1) // 2 for t in trajectories),
        "corrected": len(corrected),
        "fixed": sum(t.verdict is Verdict.AC for t in corrected),
    }


def _report_of(tally: Mapping[str, float], trajectories: tuple[Trajectory, ...]) -> CollectReport:
    count = max(1, tally["samples"])
    nothing = float("nan")
    return CollectReport(
        trajectories=trajectories,
        num_samples=int(tally["samples"]),
        num_tokens=int(tally["tokens"]),
        mean_reward=tally["reward"] / tally["rewarded"] if tally["rewarded"] else nothing,
        accepted_fraction=tally["accepted"] / count,
        truncated_fraction=tally["truncated"] / count,
        num_unjudged=int(tally["unjudged"]),
        mean_turns=tally["turns"] / count,
        fixed_fraction=tally["fixed"] / tally["corrected"] if tally["corrected"] else nothing,
    )
