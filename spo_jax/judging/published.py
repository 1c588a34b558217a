"""How published evaluations of CodeContests and TACO compare outputs, with their mistakes.

For reproducing published numbers, never for training: both accept wrong answers. CodeContests
reads every number as a double (10^18 equals 10^18 + 1), TACO compares sets of characters.

Sources: github.com/google-deepmind/code_contests, execution/tester_sandboxer.cc;
github.com/FlagOpen/TACO, metrics/testing_util.py.
"""

import itertools
import json
import math
import re
from collections.abc import Iterable

_CODE_CONTESTS_PRECISION = 1e-5
_SPACES = re.compile(rb"[ \n\t\r\v]+")
_DOUBLE = re.compile(
    rb"[+-]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity|nan(\([a-z0-9_]*\))?)\Z"
)


def same_in_code_contests(expected: bytes, output: bytes) -> bool:
    """Lower-cased tokens are equal, or doubles that differ by less than 1e-5, absolutely."""
    wanted, given = _lower_tokens(expected), _lower_tokens(output)
    if wanted == given:
        return True
    return len(wanted) == len(given) and all(map(_same_token, wanted, given))


def _lower_tokens(text: bytes) -> list[bytes]:
    return [token.lower() for token in _SPACES.split(text) if token]  # lower() is ASCII on bytes


def _same_token(want: bytes, got: bytes) -> bool:
    if not _DOUBLE.match(want) or not _DOUBLE.match(got):
        return want == got
    numbers = [float(token.partition(b"(")[0]) for token in (want, got)]
    return abs(numbers[0] - numbers[1]) < _CODE_CONTESTS_PRECISION


def same_in_taco(expected: bytes, output: bytes) -> bool:
    """What is left of TACO's attempts when the output is one text, as it is for real programs.

    Equal up to outer white space; or, an accident of iterating over a text, the output's
    characters are the numbers on the expected lines; or the sets of the characters of the output's
    words are the sets of the words of the expected lines, as they are or as rounded numbers.
    """
    try:
        wanted, given = (_universal_newlines(text) for text in (expected, output))
    except UnicodeDecodeError:
        return False
    if wanted.strip() == given.strip():
        return True
    lines = [line.strip() for line in wanted.split("\n") if line]
    if _close_numbers(given, lines):
        return True
    word_sets = [set(line.split()) for line in lines]
    words = set(given.split())
    if {frozenset(word) for word in words} == {frozenset(each) for each in word_sets}:
        return True
    try:
        return _rounded(map(frozenset, words)) == _rounded(word_sets)
    except (ValueError, OverflowError):
        return False


def same_result_in_taco(expected: str, result: bytes) -> bool:
    """The value itself, or the first element of an expected list; equality is Python's."""
    try:
        want, got = json.loads(expected), json.loads(result)
    except (ValueError, RecursionError):
        return False
    return got == want or (isinstance(want, list) and bool(want) and got == want[0])


def _universal_newlines(text: bytes) -> str:
    return text.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def _close_numbers(given: Iterable[str], wanted: list[str]) -> bool:
    """As numpy.allclose; of `given`, a text, that means its characters."""
    try:
        want = [float(text) for text in wanted]
        got = [float(text) for text in itertools.islice(given, len(want) + 1)]
    except ValueError:
        return False
    return len(got) == len(want) and all(
        abs(a - b) <= 1e-8 + 1e-5 * abs(b) if math.isfinite(b) else a == b
        for a, b in zip(got, want, strict=True)
    )


def _rounded(groups: Iterable[Iterable[str]]) -> set[frozenset[float]]:
    return {frozenset(round(float(text), 3) for text in group) for group in groups}
