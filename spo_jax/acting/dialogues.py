"""Dialogues: answers of the policy with the environment's feedback between them.

A dialogue's tokens are the first prompt, then answers and feedback in turn. What was sampled is
never tokenized again: each answer's prompt is all the tokens before it.
"""

import concurrent.futures
import dataclasses

import numpy as np

from spo_jax.acting.seeds import derived_seed
from spo_jax.problems.feedback import FeedbackTemplate
from spo_jax.types import Completion, Judgement, Problem, Turn, Verdict


@dataclasses.dataclass(frozen=True, slots=True)
class FeedbackLoop:
    """Whether and how wrong answers are followed by feedback.

    Attributes:
      max_turns: answers to one problem; 1 is no feedback.
      max_feedback_tokens: between two answers. Fewer tests are shown until the feedback fits; when
        not even one does, the dialogue ends.
      template: the feedback's form.
    """

    max_turns: int = 1
    max_feedback_tokens: int = 256
    template: FeedbackTemplate = dataclasses.field(default_factory=FeedbackTemplate)


@dataclasses.dataclass(slots=True)
class Dialogue:
    """One sample on its way.

    Attributes:
      problem: asked. seed: of the sample. prompt: tokens of the first prompt.
      answers: completions of the turns so far. feedback: tokens between them.
      verdicts: on all tests, of the answers judged so far; the last one is the last answer's.
    """

    problem: Problem
    seed: int
    prompt: list[int]
    answers: list[Completion] = dataclasses.field(default_factory=list)
    feedback: list[list[int]] = dataclasses.field(default_factory=list)
    verdicts: list[concurrent.futures.Future[Judgement]] = dataclasses.field(default_factory=list)

    @property
    def next_seed(self) -> int:
        """Of the next answer: depends on the sample's seed and the turn alone."""
        turn = len(self.answers)
        return derived_seed(self.seed, "turn", turn) if turn else self.seed

    @property
    def tokens(self) -> list[int]:
        """Everything so far: the next answer's prompt."""
        tokens = list(self.prompt)
        for i, answer in enumerate(self.answers):
            tokens += answer.tokens.tolist()
            tokens += self.feedback[i] if i < len(self.feedback) else []
        return tokens

    def completion(self) -> tuple[Completion, tuple[Turn, ...]]:
        """All turns as one completion. Log-probabilities of the environment's tokens are 0.

        There are none where an answer has none.
        """
        if len(self.answers) == 1:
            only = self.answers[0]
            return only, (Turn("policy", 0, len(only.tokens)),)
        tokens, logprobs, turns, position = [], [], [], 0
        for i, answer in enumerate(self.answers):
            if i:
                between = np.asarray(self.feedback[i - 1], np.int32)
                tokens.append(between)
                logprobs.append(np.zeros(len(between), np.float32))
                turns.append(Turn("environment", position, position + len(between)))
                position += len(between)
            tokens.append(answer.tokens)
            if answer.behavior_logprobs is not None:
                logprobs.append(answer.behavior_logprobs)
            turns.append(Turn("policy", position, position + len(answer.tokens)))
            position += len(answer.tokens)
        whole = Completion(
            tokens=np.concatenate(tokens),
            behavior_logprobs=(
                None
                if any(answer.behavior_logprobs is None for answer in self.answers)
                else np.concatenate(logprobs)
            ),
            finish_reason=self.answers[-1].finish_reason,
            seed=self.seed,
        )
        return whole, tuple(turns)


def public_part(problem: Problem) -> Problem:
    """The problem with its public tests alone."""
    return dataclasses.replace(problem, private_tests=(), generated_tests=())


def says_why(judgement: Judgement) -> bool:
    """Whether there is anything to tell: the answer is wrong, and the judge did not fail."""
    return judgement.verdict not in (Verdict.AC, Verdict.IE)
