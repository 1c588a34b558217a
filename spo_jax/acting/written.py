"""Written solutions of a problem set, put into the store in the form the model answers in."""

import dataclasses
from collections.abc import Sequence

from spo_jax.acting.rollouts import Prompter
from spo_jax.judging import ProgramJudge, RewardMap, VerifierJudge
from spo_jax.trajectories import (
    AnswerFormat,
    TrajectoryStore,
    WrittenSolutions,
    written_trajectories,
)
from spo_jax.types import Problem, Solution


def add_written_solutions(
    store: TrajectoryStore,
    problems: Sequence[Problem],
    prompter: Prompter,
    *,
    reward_map: RewardMap,
    judge: ProgramJudge | VerifierJudge | None,
    max_completion_tokens: int,
) -> WrittenSolutions:
    """Appends every written solution that is not in the store yet.

    Args:
      store: receives them, source 'written'.
      problems: whose solutions, right and wrong.
      prompter: the form of prompt and answer. A solution that cannot follow the answer prefix (the
        line `def f(a):` of the prompt, say) is left out.
      reward_map: what their verdicts are worth.
      judge: verifies the labels; None believes them, for sets that were verified when built.
      max_completion_tokens: longer ones are left out.
    """
    answer_format = AnswerFormat(
        prompt_tokens=prompter.prompt_tokens,
        completion_text=lambda problem, code: prompter.completion_text(problem, code) or "",
        encode=prompter.tokenizer.encode,
        end_token=prompter.end_ids[0],
        tokenizer_hash=prompter.tokenizer.hash,
    )
    written = written_trajectories(
        [_answerable(problem, prompter) for problem in problems],
        answer_format,
        reward=reward_map.reward,
        judge_many=judge.judge_many if judge is not None else None,
        trust_labels=judge is None,
        languages=prompter.template.languages,
        max_completion_tokens=max_completion_tokens,
    )
    if written.trajectories:
        store.append_missing(written.trajectories)
    return written


def _answerable(problem: Problem, prompter: Prompter) -> Problem:
    """The problem with those solutions that fit the answer's form."""

    def fitting(solutions: Sequence[Solution]) -> tuple[Solution, ...]:
        return tuple(s for s in solutions if prompter.completion_text(problem, s.code) is not None)

    return dataclasses.replace(
        problem,
        solutions=fitting(problem.solutions),
        incorrect_solutions=fitting(problem.incorrect_solutions),
    )
