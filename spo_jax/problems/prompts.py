"""From a problem to the conversation a model answers, and from a solution to an answer's text.

With `TextTemplate` the answer is the text itself, with `PromptTemplate` a fenced Python program.
The latter may open the answer: the opened part, the answer prefix, belongs to the prompt, and the
completion goes on from there. A prefix never ends in white space that the completion could have
begun with, except for the line break after the fence: tokens of indented text hold the line break
before it.
"""

import dataclasses
import json
import re
from typing import Literal, Protocol

from spo_jax.errors import UserError
from spo_jax.judging import extract_program
from spo_jax.types import Problem, TestCase

_FENCE = "```python\n"
_CLOSING = "\n```"

Opening = Literal["none", "fence", "header"]


class Template(Protocol):
    """How problems are put to a model, and what of its completion is the answer."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages (`Solution.language`) of the written solutions that can be answers."""

    def messages(self, problem: Problem) -> list[dict[str, str]]:
        """The conversation up to the model's answer, as turns with 'role' and 'content'."""

    def answer_prefix(self, problem: Problem) -> str:
        """The beginning of the answer that is part of the prompt."""

    def written_completion(self, problem: Problem, code: str) -> str | None:
        """The completion with which the model would have given this solution, or None."""

    def answer(self, problem: Problem, completion: str) -> str | None:
        """What of a completion is judged; None where it holds no answer."""


@dataclasses.dataclass(frozen=True, slots=True)
class WorkedExample:
    """A problem outside every set and its program, shown as an earlier turn of the chat."""

    description: str
    test: TestCase
    code: str
    fn_name: str | None = None


_STDIN_EXAMPLES = (
    WorkedExample(
        description="Read an integer n. Print n divided by 2, rounded down.",
        test=TestCase(input="9\n", output="4\n"),
        code="n = int(input())\nprint(n // 2)",
    ),
    WorkedExample(
        description="Read two integers a and b from one line. Print the remainder of a divided "
        "by b.",
        test=TestCase(input="17 5\n", output="2\n"),
        code="a, b = map(int, input().split())\nprint(a % b)",
    ),
    WorkedExample(
        description="Read a line of text. Print its first three characters.",
        test=TestCase(input="python code\n", output="pyt\n"),
        code="text = input()\nprint(text[:3])",
    ),
)
_CALL_EXAMPLES = (
    WorkedExample(
        description="Write a function `half(n)` that returns n divided by 2, rounded down.",
        test=TestCase(input="[9]", output="4"),
        code="def half(n):\n    return n // 2",
        fn_name="half",
    ),
    WorkedExample(
        description="Write a function `count_equal(items, x)` that returns how many of the items "
        "are equal to x.",
        test=TestCase(input="[[3, 1, 3], 3]", output="2"),
        code="def count_equal(items, x):\n    count = 0\n    for item in items:\n"
        "        if item == x:\n            count += 1\n    return count",
        fn_name="count_equal",
    ),
    WorkedExample(
        description="Write a function `is_longer(a, b)` that returns True if the text a is longer "
        "than the text b, otherwise False.",
        test=TestCase(input='["abc", "xy"]', output="true"),
        code="def is_longer(a, b):\n    return len(a) > len(b)",
        fn_name="is_longer",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PromptTemplate:
    """Asks for a program; implements `Template`.

    Attributes:
      system: the system message; None leaves it to the tokenizer's chat template.
      stdin_instruction: ends the statement of a problem with standard input and output.
      call_instruction: ends the statement of a problem that asks for a function.
      num_examples: worked examples of the problem's style as earlier turns, 0 to 3.
      num_public_tests: public tests shown with the statement, at most.
      opening: what the answer prefix opens: nothing, the code fence, or the fence and, where the
        statement names the function as `name(arguments)`, the line that defines it.

    Raises:
      UserError: a number or the opening is out of range.
    """

    system: str | None = None
    stdin_instruction: str = (
        "Write a Python program that reads with input() and prints only the answer."
    )
    call_instruction: str = "Answer with Python code only."
    num_examples: int = 0
    num_public_tests: int = 0
    opening: Opening = "fence"

    def __post_init__(self) -> None:
        most = len(_CALL_EXAMPLES)
        if not 0 <= self.num_examples <= most:
            raise UserError(f"num_examples={self.num_examples} must be 0 to {most}")
        if self.num_public_tests < 0:
            raise UserError(f"num_public_tests={self.num_public_tests} must not be negative")
        if self.opening not in ("none", "fence", "header"):
            raise UserError(f"opening='{self.opening}' must be 'none', 'fence' or 'header'")

    @property
    def languages(self) -> tuple[str, ...]:
        return ("python3",)

    def messages(self, problem: Problem) -> list[dict[str, str]]:
        """The conversation up to the model's answer, as turns with 'role' and 'content'."""
        turns = []
        if self.system is not None:
            turns.append({"role": "system", "content": self.system})
        examples = _STDIN_EXAMPLES if problem.fn_name is None else _CALL_EXAMPLES
        for example in examples[: self.num_examples]:
            question = self._question(example.description, example.fn_name, (example.test,))
            turns.append({"role": "user", "content": question})
            turns.append({"role": "assistant", "content": _FENCE + example.code + _CLOSING})
        tests = () if problem.epilogue else problem.public_tests  # the statement shows those
        question = self._question(problem.description, problem.fn_name, tests)
        return [*turns, {"role": "user", "content": question}]

    def answer_prefix(self, problem: Problem) -> str:
        """The beginning of the answer that is part of the prompt."""
        if self.opening == "none":
            return ""
        if self.opening == "fence":
            return _FENCE
        return _FENCE + _header(problem)

    def written_completion(self, problem: Problem, code: str) -> str | None:
        """The completion with which the model would have written `code`, up to the closing fence.

        None when it could not have: the prefix holds a line that `code` does not begin with, or
        `code` holds a closing fence. `answer` gives `code` back from the rest.
        """
        answer = _FENCE + code.strip("\n") + _CLOSING
        prefix = self.answer_prefix(problem)
        if not answer.startswith(prefix) or "```" in code:
            return None
        return answer[len(prefix) :]

    def answer(self, problem: Problem, completion: str) -> str | None:
        """The program in a completion; see `judging.extract_program`."""
        return extract_program(completion, answer_prefix=self.answer_prefix(problem))

    def _question(self, description: str, fn_name: str | None, tests: tuple[TestCase, ...]) -> str:
        instruction = self.stdin_instruction if fn_name is None else self.call_instruction
        shown = [_shown_test(test, fn_name) for test in tests[: self.num_public_tests]]
        return "\n".join(part for part in (description, *shown, instruction) if part)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TextTemplate:
    """Asks the bare question; the whole completion is the answer. Implements `Template`.

    For problems with a `judging.Verifier`. Their written solutions have the language 'text'.

    Attributes:
      system: the system message; None leaves it to the tokenizer's chat template.
      instruction: ends the question, on a line of its own.
    """

    system: str | None = None
    instruction: str = ""

    @property
    def languages(self) -> tuple[str, ...]:
        return ("text",)

    def messages(self, problem: Problem) -> list[dict[str, str]]:
        """The conversation up to the model's answer, as turns with 'role' and 'content'."""
        question = "\n".join(part for part in (problem.description, self.instruction) if part)
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*system, {"role": "user", "content": question}]

    def answer_prefix(self, problem: Problem) -> str:
        return ""

    def written_completion(self, problem: Problem, code: str) -> str | None:
        return code

    def answer(self, problem: Problem, completion: str) -> str | None:
        return completion


def _header(problem: Problem) -> str:
    """`def name(arguments):` as the statement writes it, or nothing."""
    if problem.fn_name is None:
        return ""
    found = re.search(rf"\b{re.escape(problem.fn_name)}\([^()\n]*\)", problem.description)
    return f"def {found.group(0)}:" if found else ""


def _shown_test(test: TestCase, fn_name: str | None) -> str:
    if fn_name is None:
        return f"Input:\n{test.input.strip()}\nOutput:\n{test.output.strip()}"
    arguments = ", ".join(repr(value) for value in json.loads(test.input))
    return f"{fn_name}({arguments}) returns {json.loads(test.output)!r}"


_BARE = PromptTemplate(stdin_instruction="", call_instruction="")

# Prompts to compare. Which one a run uses is a binding of its configuration.
PROMPT_TEMPLATES: dict[str, PromptTemplate] = {
    "plain": PromptTemplate(opening="none"),
    "fence": PromptTemplate(),
    "header": PromptTemplate(opening="header"),
    "fence_tests": PromptTemplate(num_public_tests=2),
    "one_example": PromptTemplate(num_examples=1),
    "one_example_header": PromptTemplate(num_examples=1, opening="header"),
    "two_examples": PromptTemplate(num_examples=2),
    "two_examples_header": PromptTemplate(num_examples=2, opening="header"),
    "two_examples_bare": dataclasses.replace(_BARE, num_examples=2),
    "two_examples_bare_header": dataclasses.replace(_BARE, num_examples=2, opening="header"),
    "three_examples_bare": dataclasses.replace(_BARE, num_examples=3),
    "three_examples_bare_header": dataclasses.replace(_BARE, num_examples=3, opening="header"),
}
