"""Questions of reasoning-gym's procedural data sets (https://github.com/open-thought/reasoning-gym).

They are made in the process that scores their answers, so that both see the same; which question
a problem is stands in its test, and its answer is scored by `ReasoningGymVerifier`.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from spo_jax.errors import UserError, nearest
from spo_jax.judging import require_package, scoring_process
from spo_jax.judging.scoring_process import ScoringError
from spo_jax.types import Problem, Solution, TestCase


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReasoningGymSet:
    """Which questions: those of one seed, the first ones for training and the rest held out.

    Attributes:
      name: of the data set, for example 'leg_counting'.
      size: training questions. test_size: held-out ones; those that training holds too are dropped.
      seed: of all of them. The library seeds question i with `seed + i`: near seeds overlap.
      options: of the data set, as its configuration names them.
      allow_unsandboxed: also where bubblewrap does not work.

    Raises:
      UserError: a size is not positive.
    """

    name: str = "leg_counting"
    size: int = 1000
    test_size: int = 100
    seed: int = 0
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    allow_unsandboxed: bool = False

    def __post_init__(self) -> None:
        for name in ("size", "test_size"):
            if getattr(self, name) < 1:
                raise UserError(f"reasoning_gym {name}={getattr(self, name)} must be at least 1")


def reasoning_gym_problems(split: str, data_dir: str, rules: ReasoningGymSet) -> list[Problem]:
    """The questions of 'train' or 'test', in the library's order.

    Raises:
      UserError: the package is missing, there is no such data set, or it refuses the options.
    """
    if data_dir:
        raise UserError(f"task 'reasoning_gym' makes its questions: data_dir='{data_dir}' is none")
    require_package("reasoning_gym", "reasoning-gym", "task 'reasoning_gym'")
    process = scoring_process("reasoning_gym", rules.allow_unsandboxed)
    known = process.ask("names")
    if rules.name not in known:
        hint = nearest(rules.name, known)
        raise UserError(f"unknown reasoning-gym data set '{rules.name}'{hint}")
    made = {
        "name": rules.name,
        "size": rules.size + rules.test_size,
        "seed": rules.seed,
        "options": json.dumps(dict(rules.options), sort_keys=True),
    }
    try:
        rows = process.ask("questions", **made)
    except ScoringError as error:
        raise UserError(f"reasoning-gym data set '{rules.name}': {error}") from error
    train = {question for question, _ in rows[: rules.size]}
    if split == "train":
        chosen = list(enumerate(rows))[: rules.size]
    else:
        chosen = [pair for pair in enumerate(rows) if pair[0] >= rules.size]
        chosen = [pair for pair in chosen if pair[1][0] not in train]
    if not chosen:
        raise UserError(f"reasoning-gym data set '{rules.name}': training holds all test questions")
    return [_problem(index, question, answer, made) for index, (question, answer) in chosen]


def _options_mark(made: Mapping[str, Any]) -> str:
    """Other options are other questions, which must not share an id."""
    if made["options"] == "{}":
        return ""
    return "." + hashlib.sha256(made["options"].encode()).hexdigest()[:8]


def _problem(index: int, question: str, answer: str | None, made: Mapping[str, Any]) -> Problem:
    return Problem(
        id=f"reasoning_gym/{made['name']}/{made['seed']}{_options_mark(made)}-{index}",
        name=f"{made['name']} {index}",
        description=question,
        public_tests=(TestCase(input=json.dumps({"index": index, **made}), output=answer or ""),),
        solutions=() if answer is None else (Solution("text", answer),),
        source="reasoning_gym",
    )
