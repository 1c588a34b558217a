"""Answers to problems: prompt, sample, cut out what counts, judge.

The actor turns rollouts into trajectories and the evaluator into pass@k: both come through here.
Programs are judged in other processes while the next tokens are sampled.
"""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from spo_jax.acting.dialogues import Dialogue, FeedbackLoop, public_part, says_why
from spo_jax.errors import UserError
from spo_jax.judging import SubmitsAnswers
from spo_jax.problems.prompts import Template
from spo_jax.sampling import SampleRequest, SamplingProgress
from spo_jax.tokenizers import Tokenizer
from spo_jax.types import Completion, Judgement, Problem, SamplerSettings, Turn, Verdict


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """One judged sample: an answer, or a dialogue that ended with it.

    Attributes:
      completion: all tokens after the prompt.
      text: of the last answer, without special tokens.
      judgement: of the last answer, on all tests.
      turns: who wrote which tokens; answers are the policy's turns.
      turn_verdicts: of every answer on all tests where that was asked for, else empty.
    """

    completion: Completion
    text: str
    judgement: Judgement
    turns: tuple[Turn, ...]
    turn_verdicts: tuple[Verdict, ...] = ()

    @property
    def mask(self) -> np.ndarray:
        """bool [T]: True on the policy's tokens."""
        mask = np.zeros(len(self.completion.tokens), bool)
        for turn in self.turns:
            mask[turn.start : turn.end] = turn.role == "policy"
        return mask


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

    def feedback_tokens(
        self, problem: Problem, judgement: Judgement, num_answers: int, loop: FeedbackLoop
    ) -> list[int]:
        """What follows the latest answer, up to where the next one begins; empty if it is too long.

        As many failed public tests are shown as fit `loop.max_feedback_tokens`.
        """
        for max_tests in range(loop.template.max_tests, 0, -1):
            tokens = self.tokenizer.chat_follow_up(
                self.template.messages(problem),
                loop.template.message(problem, judgement, max_tests),
                answer_prefix=self.template.answer_prefix(problem),
                num_answers=num_answers,
            )
            if len(tokens) <= loop.max_feedback_tokens:
                return tokens
        return []

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


class PendingRollouts:
    """Rollouts whose samples are all drawn and whose last verdicts may still be on their way."""

    def __init__(
        self,
        futures: Sequence[concurrent.futures.Future[Judgement]],
        finish: Callable[[], list[list[Rollout]]],
    ):
        self._futures = futures
        self._finish = finish

    def done(self) -> bool:
        """Whether every verdict is there: `result` returns at once."""
        return all(future.done() for future in self._futures)

    def result(self) -> list[list[Rollout]]:
        """Rollouts by problem and sample, in the order asked; waits for the last verdict."""
        return self._finish()


NO_PROGRAM = Judgement(verdict=Verdict.CE, message="the answer holds no program")


class DrawsSamples(Protocol):
    """A sampler: `spo_jax.sampling.Sampler`, or an engine outside this process."""

    def sample(
        self,
        params: Any,
        requests: Iterable[SampleRequest],
        *,
        progress: Callable[[SamplingProgress], None] | None = None,
    ) -> Iterator[tuple[int, int, Completion]]:
        """Yields (request index, sample index, completion) as samples finish, in no fixed order.

        `params` is what the sampler reads a policy from; `progress` is called now and then.
        """


class RolloutWorker:
    """Samples answers and has them judged.

    Args:
      sampler: draws completions.
      judge: anything with `submit(problem, answer) -> Future[Judgement]`.
      prompter: the prompt's and the answer's form.
      loop: whether wrong answers are followed by feedback; by default not.
    """

    def __init__(
        self,
        sampler: DrawsSamples,
        judge: SubmitsAnswers,
        prompter: Prompter,
        loop: FeedbackLoop = FeedbackLoop(),
    ):
        self._sampler = sampler
        self._judge = judge
        self._prompter = prompter
        self.loop = loop

    def run(
        self,
        params: Any,
        problems: Sequence[Problem],
        seeds: Sequence[Sequence[int]],
        settings: SamplerSettings,
        *,
        judge_every_turn: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[list[Rollout]]:
        """Answers every problem once for each of its seeds: `begin`, and what it promises.

        Returns:
          Rollouts by problem and sample, in the order asked.
        """
        return self.begin(
            params,
            problems,
            seeds,
            settings,
            judge_every_turn=judge_every_turn,
            progress=progress,
        ).result()

    def begin(
        self,
        params: Any,
        problems: Sequence[Problem],
        seeds: Sequence[Sequence[int]],
        settings: SamplerSettings,
        *,
        judge_every_turn: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> PendingRollouts:
        """Draws all samples and returns without waiting for the last verdicts.

        With feedback, an answer that ended by itself and failed a public test is followed by what
        failed and by another answer, up to `loop.max_turns`. The turns are rounds of sampling: all
        second answers are drawn after all first ones. The judgement is that of the last answer on
        all tests.

        Args:
          params: of the policy that samples.
          problems: what is asked.
          seeds: for each problem, one seed a sample.
          settings: temperature and so on. `max_completion_tokens` is the budget of each answer.
          judge_every_turn: judge earlier answers on all tests as well, for `turn_verdicts`.
          progress: called with (finished samples, new tokens) after each answer; a sample counts
            at its first answer. In between it is called with (0, 0), to stop a run that waits.

        Returns:
          The rollouts to be. Between two turns the verdicts of the first are waited for.
        """
        prompts = [self._prompter.prompt_tokens(problem) for problem in problems]
        dialogues = [
            [Dialogue(problem, seed, prompt) for seed in many]
            for problem, prompt, many in zip(problems, prompts, seeds, strict=True)
        ]
        groups = dialogues
        for turn in range(self.loop.max_turns):
            is_last = turn == self.loop.max_turns - 1
            public: list[tuple[Dialogue, concurrent.futures.Future[Judgement]]] = []
            for dialogue in self._answered(params, groups, settings, progress):
                goes_on = not is_last and self._may_go_on(dialogue)
                if goes_on:
                    asked = public_part(dialogue.problem)
                    public.append((dialogue, self._submit(asked, dialogue)))
                if judge_every_turn or not goes_on:
                    dialogue.verdicts.append(self._submit(dialogue.problem, dialogue))
            groups = []
            for dialogue, future in public:
                if self._take_feedback(dialogue, future.result()):
                    groups.append([dialogue])
                elif not judge_every_turn:
                    dialogue.verdicts.append(self._submit(dialogue.problem, dialogue))
            if not groups:
                break
        return PendingRollouts(
            [future for many in dialogues for d in many for future in d.verdicts],
            lambda: [[self._rollout(d, judge_every_turn) for d in many] for many in dialogues],
        )

    def _answered(
        self,
        params: Any,
        groups: Sequence[Sequence[Dialogue]],
        settings: SamplerSettings,
        progress: Callable[[int, int], None] | None,
    ) -> Iterator[Dialogue]:
        """Draws the next answer of every dialogue; those of a group have the same tokens."""
        requests = [
            SampleRequest(
                prompt_tokens=group[0].tokens if group else [0],
                seeds=tuple(dialogue.next_seed for dialogue in group),
                settings=settings,
                request_id=group[0].problem.id if group else "",
            )
            for group in groups
        ]
        look = None if progress is None else (lambda _: progress(0, 0))
        for i, j, completion in self._sampler.sample(params, requests, progress=look):
            dialogue = groups[i][j]
            dialogue.answers.append(completion)
            yield dialogue
            if progress is not None:
                progress(int(len(dialogue.answers) == 1), len(completion.tokens))

    def _may_go_on(self, dialogue: Dialogue) -> bool:
        """An answer cut at the length limit has no end that feedback could follow."""
        has_ended = dialogue.answers[-1].finish_reason == "stop"
        return has_ended and bool(dialogue.problem.public_tests)

    def _take_feedback(self, dialogue: Dialogue, judgement: Judgement) -> bool:
        """Adds the feedback to the dialogue; returns whether there is any."""
        if not says_why(judgement):
            return False
        tokens = self._prompter.feedback_tokens(
            dialogue.problem, judgement, len(dialogue.answers), self.loop
        )
        if tokens and tokens[0] == dialogue.answers[-1].tokens[-1]:
            tokens = tokens[1:]  # the policy ended its turn itself
        if tokens:
            dialogue.feedback.append(tokens)
        return bool(tokens)

    def _rollout(self, dialogue: Dialogue, judge_every_turn: bool) -> Rollout:
        completion, turns = dialogue.completion()
        judgements = [future.result() for future in dialogue.verdicts]
        return Rollout(
            completion=completion,
            text=self._prompter.text(dialogue.answers[-1]),
            judgement=judgements[-1],
            turns=turns,
            turn_verdicts=tuple(j.verdict for j in judgements) if judge_every_turn else (),
        )

    def _submit(self, problem: Problem, dialogue: Dialogue) -> concurrent.futures.Future[Judgement]:
        """Has the latest answer judged."""
        answer = self._prompter.answer(problem, self._prompter.text(dialogue.answers[-1]))
        if answer is not None:
            return self._judge.submit(problem, answer)
        unanswered: concurrent.futures.Future[Judgement] = concurrent.futures.Future()
        unanswered.set_result(NO_PROGRAM)
        return unanswered
