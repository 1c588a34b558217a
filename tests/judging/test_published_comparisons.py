"""The comparisons of published evaluations, mistakes included."""

import pytest

from spo_jax.errors import UserError
from spo_jax.judging import OutputComparison
from spo_jax.types import TestCase


def accepts(mode: str, wanted: str, got: str) -> bool:
    return not OutputComparison(mode=mode).explain_stdout(TestCase("", wanted), got.encode())


@pytest.mark.parametrize(
    ("wanted", "got", "same"),
    [
        ("1 2\n", "1\v2", True),
        ("Yes", "YES", True),
        ("1000000000000000000", "1000000000000000001", True),  # doubles
        ("100", "100.000009", True),
        ("100", "100.00002", False),
        ("1000000.5", "1000000.6", False),  # no relative tolerance
        ("nan", "NaN", True),
        ("nan 1", "nan 1.0", False),  # not equal as texts, and nan equals nothing
        ("inf 1", "inf 1.0", False),
        ("1e400", "2e400", False),
        ("1", "1_0", False),
        ("10", "1_0", False),
        ("1", "1 1", False),
        ("1\f2", "1 2", False),  # a form feed does not separate
        ("é", "É", False),  # ASCII case only
        ("0x10", "16", False),
    ],
)
def test_code_contests(wanted, got, same):
    assert accepts("code_contests", wanted, got) is same


@pytest.mark.parametrize(
    ("wanted", "got", "same"),
    [
        ("1 2\n3\n", "\n1 2\n3", True),
        ("1 2", "1  2", False),
        ("yes", "Yes", False),
        ("1\r\n2", "1\n2\r\n", True),
        ("1\n2", "12", True),  # the characters of the output are the numbers of the lines
        ("1\n2", "12\n", False),  # here the line break is one of them, and no number
        ("3\n2\n1", "1 2 3", True),  # sets of characters and sets of words
        ("1", "11", True),
        ("12", "21", False),
        ("1.0", "1.00001", False),
    ],
)
def test_taco(wanted, got, same):
    assert accepts("taco", wanted, got) is same


@pytest.mark.parametrize(
    ("wanted", "got", "same"),
    [
        ("[5]", "5", True),
        ("[5]", "[5]", True),
        ("[5, 6]", "5", True),  # whatever else was expected
        ("1", "true", True),  # Python's equality
        ("[5]", "6", False),
        ("[]", "null", False),
        ("5", "no json", False),
    ],
)
def test_taco_results(wanted, got, same):
    comparison = OutputComparison(mode="taco")
    assert (not comparison.explain_result(TestCase("[]", wanted), got.encode())) is same


def test_the_default_makes_none_of_these_mistakes():
    for wanted, got in (("1" + 18 * "0", "1" + 17 * "0" + "1"), ("1\n2", "12"), ("1", "11")):
        assert not accepts("strict", wanted, got)


def test_unknown_modes_are_refused():
    with pytest.raises(UserError, match=r"mode='tacos' must be one of .*; did you mean 'taco'"):
        OutputComparison(mode="tacos")
