"""Evaluation of a policy on held-out problems: samples, verdicts, pass@k."""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from spo_jax.acting.rollouts import Rollout, RolloutWorker
from spo_jax.acting.seeds import derived_seed
from spo_jax.errors import UserError
from spo_jax.evaluation import (
    ProblemScore,
    mean_pass_at_k,
    read_samples,
    scores_of,
    write_samples,
)
from spo_jax.types import Problem, SamplerSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What an evaluation is. Seeds do not depend on the policy: before and after are paired.

    Attributes:
      num_problems: how many of the split are taken (evenly spread over it), or 0 for all.
      num_samples: completions of each problem.
      ks: budgets k of pass@k; each at most `num_samples`.
      temperature, top_p, top_k, max_completion_tokens: of the sampler (the paper evaluates at
        temperature 0.4 and top-p 0.95).
      seed: of the samples.
    """

    num_problems: int = 0
    num_samples: int = 10
    ks: tuple[int, ...] = (1, 10)
    temperature: float = 0.4
    top_p: float = 0.95
    top_k: int = 0
    max_completion_tokens: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_problems < 0 or self.num_samples < 1:
            raise UserError(
                "evaluation needs num_problems >= 0 and num_samples >= 1, got "
                f"num_problems={self.num_problems}, num_samples={self.num_samples}"
            )
        if not self.ks or not all(1 <= k <= self.num_samples for k in self.ks):
            raise UserError(
                f"evaluation ks={tuple(self.ks)} must lie between 1 and "
                f"num_samples={self.num_samples}"
            )

    @property
    def sampler(self) -> SamplerSettings:
        return SamplerSettings(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            max_completion_tokens=self.max_completion_tokens,
        )

    def choose(self, problems: Sequence[Problem]) -> list[Problem]:
        """The problems evaluated: all, or `num_problems` spread evenly over the set's order."""
        count = self.num_problems or len(problems)
        if count > len(problems):
            raise UserError(
                f"evaluation num_problems={count} exceeds the {len(problems)} problems there are"
            )
        return [problems[i * len(problems) // count] for i in range(count)]


@dataclasses.dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome. `verdicts` counts samples; `mean_tokens` is the mean completion length.

    `turn_scores`: scores with a budget of 1, 2, ... turns, from the same dialogues; empty where
    there was one turn only.
    """

    scores: tuple[ProblemScore, ...]
    ks: tuple[int, ...]
    verdicts: dict[str, int]
    mean_tokens: float
    turn_scores: tuple[tuple[ProblemScore, ...], ...] = ()

    def pass_at(self, k: int) -> float:
        return mean_pass_at_k(self.scores, k)

    def metrics(self) -> dict[str, float]:
        """Flat numbers for the metrics file, named `eval/...`."""
        values = {f"eval/pass@{k}": self.pass_at(k) for k in self.ks}
        total = sum(self.verdicts.values())
        values |= {f"eval/verdict_{name}": n / total for name, n in self.verdicts.items()}
        for turns, scores in enumerate(self.turn_scores, start=1):
            for k in self.ks:
                values[f"eval/turns_{turns}/pass@{k}"] = mean_pass_at_k(scores, k)
        return values | {"eval/completion_tokens": self.mean_tokens}


def sample_evaluation(
    worker: RolloutWorker,
    params: Any,
    problems: Sequence[Problem],
    settings: EvaluationSettings,
    samples_path: str | os.PathLike[str],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Samples, judges and writes the file that `read_evaluation` reads, all at once."""
    seeds = [
        [derived_seed(settings.seed, "evaluation", p.id, j) for j in range(settings.num_samples)]
        for p in problems
    ]
    max_turns = worker.loop.max_turns
    rollouts = worker.run(
        params,
        problems,
        seeds,
        settings.sampler,
        judge_every_turn=max_turns > 1,
        progress=progress,
    )
    write_samples(
        samples_path,
        (
            _sample_record(problem, sample)
            | (_turns_record(sample, max_turns) if max_turns > 1 else {})
            for problem, samples in zip(problems, rollouts, strict=True)
            for sample in samples
        ),
    )


def merge_evaluation(
    parts: Sequence[str | os.PathLike[str]],
    problems: Sequence[Problem],
    samples_path: str | os.PathLike[str],
) -> None:
    """Joins files of several shares of the problems into one, in the problems' order."""
    samples = [sample for part in parts for sample in read_samples(part)]
    place = {problem.id: i for i, problem in enumerate(problems)}
    write_samples(samples_path, sorted(samples, key=lambda sample: place[sample["problem_id"]]))


def read_evaluation(samples_path: str | os.PathLike[str], ks: Sequence[int]) -> Evaluation:
    """Counts the samples of a file written by `sample_evaluation`."""
    samples = read_samples(samples_path)
    return Evaluation(
        scores=scores_of(samples),
        ks=tuple(ks),
        verdicts=dict(sorted(Counter(sample["verdict"] for sample in samples).items())),
        mean_tokens=sum(sample["num_tokens"] for sample in samples) / len(samples),
        turn_scores=tuple(
            scores_of([_with_budget(sample, turns) for sample in samples])
            for turns in range(1, samples[0].get("max_turns", 0) + 1)
        ),
    )


def _with_budget(sample: dict[str, Any], turns: int) -> dict[str, Any]:
    """The sample as it stands after so many turns: its last answer by then.

    A dialogue goes on only after an answer that is wrong on a public test, so no right answer is
    passed over.
    """
    return sample | {"verdict": sample["turn_verdicts"][:turns][-1]}


def _turns_record(sample: Rollout, max_turns: int) -> dict[str, Any]:
    return {
        "max_turns": max_turns,
        "turn_verdicts": [verdict.value for verdict in sample.turn_verdicts],
        "turns": [[turn.role, turn.start, turn.end] for turn in sample.turns],
    }


def _sample_record(problem: Problem, sample: Rollout) -> dict[str, Any]:
    return {
        "problem_id": problem.id,
        "difficulty": problem.difficulty,
        "seed": sample.completion.seed,
        "verdict": sample.judgement.verdict.value,
        "tests_passed": sample.judgement.num_passed,
        "num_tests": sample.judgement.num_tests,
        "num_tokens": int(sample.mask.sum()),
        "finish_reason": sample.completion.finish_reason,
        "tokens": sample.completion.tokens.tolist(),
        "text": sample.text,
        "message": sample.judgement.message,
    }
