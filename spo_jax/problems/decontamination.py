"""Which training problems resemble which test problems.

Two signs. Statements: the share of a test statement's word 13-grams that a training statement
holds too (GPT-3's measure, https://arxiv.org/abs/2005.14165, appendix C; a statement of fewer
words is one gram), words being lower-case letters and digits. Tests: the share of the test
problem's tests, input and output, that the training problem has too; tests of fewer than 16
characters agree by chance and do not count.
"""

import collections
import dataclasses
import re
from collections.abc import Hashable, Iterable, Sequence

from spo_jax.errors import UserError
from spo_jax.types import Problem

NGRAM_WORDS = 13
_MIN_TEST_CHARS = 16  # of a test's input and output: shorter ones agree by chance
_WORD = re.compile(r"[^\W_]+")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resemblance:
    """A training problem and a test problem that resemble each other.

    Attributes:
      train_id, test_id: of the problems.
      statement: share of the test statement's n-grams in the training statement, 0 to 1.
      tests: share of the test problem's tests that count in the training problem, 0 to 1.
    """

    train_id: str
    test_id: str
    statement: float
    tests: float


class TestIndex:
    """N-grams and tests of the test problems, against which training problems are held.

    Args:
      problems: the test problems.
      num_words: of an n-gram.
    """

    __test__ = False  # not a test of pytest's

    def __init__(self, problems: Sequence[Problem], num_words: int = NGRAM_WORDS):
        if num_words < 1:
            raise UserError(f"n-grams of num_words={num_words} words: must be at least 1")
        self._num_words = num_words
        self._ids = [problem.id for problem in problems]
        self._grams, self._gram_counts = _inverted(
            [_grams(problem, num_words) for problem in problems]
        )
        self._tests, self._test_counts = _inverted([_tests(problem) for problem in problems])
        # A short statement is one gram, also inside a longer one: look for these lengths too.
        lengths = {len(_words(problem)) for problem in problems}
        self._lengths = [length for length in lengths if 0 < length < num_words]

    def resemblances(
        self, train: Iterable[Problem], *, min_statement: float = 0.3, min_tests: float = 0.3
    ) -> list[Resemblance]:
        """Pairs of which one share reaches its threshold, the most alike first.

        Raises:
          UserError: a threshold is not above 0 and at most 1.
        """
        for name, value in (("min_statement", min_statement), ("min_tests", min_tests)):
            if not 0 < value <= 1:
                raise UserError(f"{name}={value} must be above 0 and at most 1")
        found = []
        for problem in train:
            grams = _grams(problem, self._num_words)
            for length in self._lengths:
                grams |= _word_grams(_words(problem), length)
            statements = _shares(grams, self._grams, self._gram_counts)
            tests = _shares(_tests(problem), self._tests, self._test_counts)
            for place in sorted(statements.keys() | tests.keys()):
                pair = Resemblance(
                    train_id=problem.id,
                    test_id=self._ids[place],
                    statement=statements.get(place, 0.0),
                    tests=tests.get(place, 0.0),
                )
                if pair.statement >= min_statement or pair.tests >= min_tests:
                    found.append(pair)
        return sorted(
            found, key=lambda pair: (-max(pair.statement, pair.tests), pair.test_id, pair.train_id)
        )


def _inverted(sets: Sequence[set]) -> tuple[dict[Hashable, list[int]], list[int]]:
    """Element to the places of the sets that hold it, and the sets' sizes."""
    places: dict[Hashable, list[int]] = collections.defaultdict(list)
    for place, elements in enumerate(sets):
        for element in elements:
            places[element].append(place)
    return dict(places), [len(elements) for elements in sets]


def _shares(
    elements: set, places: dict[Hashable, list[int]], sizes: Sequence[int]
) -> dict[int, float]:
    shared = collections.Counter(place for element in elements for place in places.get(element, ()))
    return {place: count / sizes[place] for place, count in shared.items()}


def _words(problem: Problem) -> list[str]:
    return _WORD.findall(problem.description.lower())


def _grams(problem: Problem, num_words: int) -> set[Hashable]:
    words = _words(problem)
    return _word_grams(words, min(num_words, len(words)))


def _word_grams(words: Sequence[str], length: int) -> set[Hashable]:
    if not length:
        return set()
    return {tuple(words[start : start + length]) for start in range(len(words) - length + 1)}


def _tests(problem: Problem) -> set[Hashable]:
    """Hashes: whole tests of thousands of problems would not fit into memory."""
    return {
        hash((" ".join(test.input.split()), " ".join(test.output.split())))
        for test in problem.tests
        if len(test.input) + len(test.output) >= _MIN_TEST_CHARS
    }
