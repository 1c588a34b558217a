"""What a model is told after a wrong answer: the public tests it failed, and nothing hidden.

The loop of answer, execution and another answer is that of RLEF (arXiv 2410.02089).
"""

import dataclasses

from spo_jax.errors import UserError
from spo_jax.problems.assertions import source_of_test
from spo_jax.types import Judgement, Problem, TestCase, TestResult, Verdict

_CUT = " [...]"

# Fixed words where the judge's own message holds measured times and sizes: the same answer is
# told the same.
_FAILURES = {
    Verdict.TLE: "The program took too long.",
    Verdict.MLE: "The program used too much memory.",
    Verdict.OLE: "The program wrote too much.",
    Verdict.SV: "The program did something that is not allowed.",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackTemplate:
    """The user's message after a wrong answer.

    Attributes:
      max_tests: failed public tests shown, at most. The judge of a run stops at the first failing
        test, so there is one to show.
      max_chars: of each input, output and error; what is longer is cut at its end, which is marked.
      request: ends the message.

    Raises:
      UserError: a number is below 1.
    """

    max_tests: int = 2
    max_chars: int = 200
    request: str = "Correct the program and give the whole of it again."

    def __post_init__(self) -> None:
        for name in ("max_tests", "max_chars"):
            if getattr(self, name) < 1:
                raise UserError(f"feedback {name}={getattr(self, name)} must be at least 1")

    def message(self, problem: Problem, judgement: Judgement, max_tests: int) -> str:
        """The message.

        Args:
          problem: with the public tests. Its hidden tests are not read.
          judgement: on the public tests alone.
          max_tests: a bound besides that of the template.
        """
        tests = zip(problem.public_tests, judgement.tests, strict=False)
        failed = [(test, result) for test, result in tests if result.verdict is not Verdict.AC]
        shown = [
            self._failed_test(problem, *pair) for pair in failed[: min(max_tests, self.max_tests)]
        ]
        if not shown:  # no test was run: there is no program, or it does not compile
            shown = [f"Your answer cannot be run: {self._cut(judgement.message)}"]
        return "\n".join(["Your answer is wrong.", *shown, self.request])

    def _failed_test(self, problem: Problem, test: TestCase, result: TestResult) -> str:
        source = source_of_test(problem, test)
        if source is not None:
            lines = [f"Test:\n{self._cut(source)}"]
            if result.verdict is Verdict.WA:
                return "\n".join([*lines, "The assertion failed."])
            return "\n".join([*lines, self._failure(result)])
        lines = [f"Input:\n{self._cut(test.input)}", f"Expected output:\n{self._cut(test.output)}"]
        if result.verdict is Verdict.WA:
            lines.append(f"Your output:\n{self._cut(result.output)}")
        else:
            lines.append(self._failure(result))
        return "\n".join(lines)

    def _failure(self, result: TestResult) -> str:
        if result.verdict in _FAILURES:
            return _FAILURES[result.verdict]
        return f"Your program failed: {self._cut(result.message)}"

    def _cut(self, text: str) -> str:
        text = text.strip()
        return text if len(text) <= self.max_chars else text[: self.max_chars] + _CUT
