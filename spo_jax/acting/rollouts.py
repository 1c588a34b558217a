"""Answers to problems: prompt, sample, cut out what counts, judge.

The actor turns rollouts into trajectories and the evaluator into pass@k: both come through here.
Programs are judged in other processes while the next tokens are sampled.
"""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from spo_jax.errors import UserError
from spo_jax.judging import SubmitsAnswers
from spo_jax.problems.prompts import Template
from spo_jax.sampling import Sampler, SampleRequest
from spo_jax.tokenizers import Tokenizer
from spo_jax.types import Completion, Judgement, Problem, SamplerSettings, Verdict


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """One judged answer. `text` is the completion without special tokens."""

    completion: Completion
    text: str
    judgement: Judgement


@dataclasses.dataclass(frozen=True, slots=True)
class Prompter:
    """Turns problems into prompt tokens, and completions back into answers.

    Attributes:
      tokenizer, template: of the prompt and of the answer.
      stop_at: texts of one token each that end an answer as well as the end-of-turn token does, for
        example the closing fence. What ends an answer is part of it, and is learned.
    """

    tokenizer: Tokenizer
    template: Template
    stop_at: tuple[str, ...] = ()

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer, the one that ends written answers first."""
        return tuple(dict.fromkeys([*map(self._stop_id, self.stop_at), *self.tokenizer.eos_ids]))

    def prompt_tokens(self, problem: Problem) -> list[int]:
        return self.tokenizer.chat_prompt(
            self.template.messages(problem), answer_prefix=self.template.answer_prefix(problem)
        )

    def text(self, completion: Completion) -> str:
        return self.tokenizer.decode(completion.tokens.tolist())

    def answer(self, problem: Problem, text: str) -> str | None:
        return self.template.answer(problem, text)

    def completion_text(self, problem: Problem, code: str) -> str | None:
        """What a model would have to write for `code` before the end token.

        None if `code` cannot follow the answer prefix.
        """
        text = self.template.written_completion(problem, code)
        if text is None or not self.stop_at:
            return text
        return text[: text.index(self.stop_at[0])] if self.stop_at[0] in text else None

    def _stop_id(self, text: str) -> int:
        ids = self.tokenizer.encode(text)
        if len(ids) != 1:
            raise UserError(
                f"stop_at text {text!r} must be one token, this tokenizer makes {len(ids)} of it"
            )
        return ids[0]


NO_PROGRAM = Judgement(verdict=Verdict.CE, message="the answer holds no program")


class RolloutWorker:
    """Samples answers and has them judged.

    Args:
      sampler: draws completions.
      judge: anything with `submit(problem, answer) -> Future[Judgement]`.
      prompter: the prompt's and the answer's form.
    """

    def __init__(self, sampler: Sampler, judge: SubmitsAnswers, prompter: Prompter):
        self._sampler = sampler
        self._judge = judge
        self._prompter = prompter

    def run(
        self,
        params: Any,
        problems: Sequence[Problem],
        seeds: Sequence[Sequence[int]],
        settings: SamplerSettings,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[list[Rollout]]:
        """Answers every problem once for each of its seeds.

        Args:
          params: of the policy that samples.
          problems: what is asked.
          seeds: for each problem, one seed a sample.
          settings: temperature and so on.
          progress: called with (finished samples, new tokens) after each finished sample.

        Returns:
          Rollouts by problem and sample, in the order asked.
        """
        requests = [
            SampleRequest(
                prompt_tokens=self._prompter.prompt_tokens(problem),
                seeds=tuple(problem_seeds),
                settings=settings,
                request_id=problem.id,
            )
            for problem, problem_seeds in zip(problems, seeds, strict=True)
        ]
        pending: dict[tuple[int, int], tuple[Completion, str, concurrent.futures.Future]] = {}
        for i, j, completion in self._sampler.sample(params, requests):
            text = self._prompter.text(completion)
            pending[i, j] = (completion, text, self._submit(problems[i], text))
            if progress is not None:
                progress(1, len(completion.tokens))
        return [
            [
                Rollout(completion, text, verdict.result())
                for completion, text, verdict in (pending[i, j] for j in range(len(seeds[i])))
            ]
            for i in range(len(problems))
        ]

    def _submit(self, problem: Problem, text: str) -> concurrent.futures.Future[Judgement]:
        answer = self._prompter.answer(problem, text)
        if answer is not None:
            return self._judge.submit(problem, answer)
        unanswered: concurrent.futures.Future[Judgement] = concurrent.futures.Future()
        unanswered.set_result(NO_PROGRAM)
        return unanswered
