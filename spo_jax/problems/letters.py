"""A tiny task with many right answers: write some of the letters that the question names.

The question names three or four of six letters, the answer holds one to four letters, all of them
named: 'bdf' may be answered by 'b', 'fd' or 'dbbf'. A model of two narrow layers learns it in
seconds, also for sets of letters it was never asked for. A method that keeps its answers diverse
can be told from one that repeats a single right one. Questions and written answers are made here;
there is no data file.
"""

import dataclasses
import itertools
import random
from collections.abc import Iterator

from spo_jax.judging import judged
from spo_jax.types import Judgement, Problem, Solution, TestCase, Verdict

ALPHABET = "abcdef"
MAX_LETTERS = 4
_SIZES = (3, 4)  # how many letters a question names
_NUM_WRITTEN = 256  # draws of written answers for a question; each is kept once
_TEST_EVERY = 4  # every fourth question is held out


@dataclasses.dataclass(frozen=True, kw_only=True)
class NamedLetters:
    """Verifier of the task: right are 1 to `max_letters` letters, all in the first test's input."""

    max_letters: int = MAX_LETTERS

    def verify(self, problem: Problem, answer: str) -> Judgement:
        named = problem.tests[0].input
        if not 1 <= len(answer) <= self.max_letters:
            return judged(False, f"{len(answer)} letters")
        return judged(set(answer) <= set(named))


def letter_problems(split: str) -> list[Problem]:
    """The questions of 'train' or of 'test', which have no set of letters in common."""
    chosen = [
        "".join(letters) for size in _SIZES for letters in itertools.combinations(ALPHABET, size)
    ]
    held_out = chosen[_TEST_EVERY - 1 :: _TEST_EVERY]
    return [_problem(named) for named in chosen if (named in held_out) == (split == "test")]


def _problem(named: str) -> Problem:
    bare = Problem(
        id=f"letters/{named}",
        name=named,
        description=named,
        public_tests=(TestCase(input=named, output=named[0]),),
        source="letters",
        difficulty=len(ALPHABET) - len(named),
    )
    written: dict[bool, list[Solution]] = {True: [], False: []}
    for text in dict.fromkeys(_uniform_answers(named)):
        is_right = NamedLetters().verify(bare, text).verdict is Verdict.AC
        written[is_right].append(Solution("text", text))
    return dataclasses.replace(
        bare, solutions=tuple(written[True]), incorrect_solutions=tuple(written[False])
    )


def _uniform_answers(seed: str) -> Iterator[str]:
    """Answers of a policy to which at every place each letter and the end are equally likely.

    It stops after one letter more than there may be. The empty answer is among them: what a model
    can say and no data ever shows is where a regression on this data alone would let it drift.
    """
    rng = random.Random(f"letters/{seed}")
    for _ in range(_NUM_WRITTEN):
        text = ""
        while len(text) <= MAX_LETTERS and (letter := rng.choice(ALPHABET + ".")) != ".":
            text += letter
        yield text
