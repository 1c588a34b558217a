"""Finds the problem behind a dumped prompt, so that groups form and held-out problems stay out."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

from spo_jax.acting.rollouts import Prompter
from spo_jax.trajectories import Place
from spo_jax.types import Problem

HELD_OUT = "held_out"
_MIN_STATEMENT = 20


@dataclasses.dataclass(frozen=True, eq=False)
class PromptMatcher:
    """Knows the problems of a set; `find` is what `Importer` asks.

    A problem is known by its id, else by its prompt: the dumped text is its statement, or contains
    it; of several that it contains the longest counts. White space does not matter. A statement of
    fewer than 20 characters must be the whole prompt.

    Attributes:
      problems: id to problem of those that may be learned from.
      held_out: ids of those that may not: their rows are skipped.
      prompter: if given, a known problem's prompt is the one that a run asks, not the dumped one.
    """

    problems: Mapping[str, Problem]
    held_out: Mapping[str, Problem]
    prompter: Prompter | None = None
    _found: dict[str, str | None] = dataclasses.field(default_factory=dict)
    _statements: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(
        cls,
        train: Sequence[Problem],
        held_out: Sequence[Problem],
        prompter: Prompter | None = None,
    ) -> "PromptMatcher":
        """Of a set's two splits. A problem in both is held out."""
        kept_out = {problem.id: problem for problem in held_out}
        matcher = cls({p.id: p for p in train if p.id not in kept_out}, kept_out, prompter)
        for problem in (*train, *held_out):  # held out last: of two equal statements it counts
            if statement := _squeezed(problem.description):
                matcher._statements[statement] = problem.id
        return matcher

    def find(self, prompt: str, problem_id: str | None) -> Place | str | None:
        """The place of a row, `HELD_OUT`, or None if the problem is not of the set."""
        by_prompt = self._by_prompt(prompt)
        if problem_id in self.held_out or by_prompt in self.held_out:
            return HELD_OUT
        found = problem_id if problem_id in self.problems else by_prompt
        if found is None:
            return None
        if self.prompter is None:
            return Place(found)
        problem = self.problems[found]
        tokens = self.prompter.prompt_tokens(problem)
        return Place(found, tokens, self.prompter.template.answer_prefix(problem))

    def _by_prompt(self, prompt: str) -> str | None:
        if prompt not in self._found:
            text = _squeezed(prompt)
            self._found[prompt] = self._statements.get(text) or self._contained(text)
        return self._found[prompt]

    def _contained(self, text: str) -> str | None:
        inside = [s for s in self._statements if len(s) >= _MIN_STATEMENT and s in text]
        return self._statements[max(inside, key=len)] if inside else None


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
