import pytest

from spo_jax.judging import OutputComparison
from spo_jax.types import TestCase


def accepts(wanted: str, got: str | bytes, **options) -> bool:
    output = got if isinstance(got, bytes) else got.encode()
    return not OutputComparison(**options).explain_stdout(TestCase("", wanted), output)


def accepts_result(wanted: str, got: str) -> bool:
    return not OutputComparison().explain_result(TestCase("[]", wanted), got.encode())


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ("1 2\n3\n", "1 2 3"),
        ("yes\n", "yes\r\n"),
        ("", " \n\n"),
        ("5", "+5"),
        ("5", "005"),
        ("0", "-0"),
        ("2", "2.0"),
        ("2", "2.0000001"),
        ("0.333333333", "0.3333333"),
        ("1e3", "1000"),
        ("123456789.5", "123456790.0"),  # relative
        (".5", "0.5000001"),
        ("1000000000000000000", "1000000000000000000.000"),
        ("é ß", "é ß"),
    ],
)
def test_equal_outputs(wanted, got):
    assert accepts(wanted, got)


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ("1000000000000000000", "1000000000000000001"),
        ("1000000000000000001", "1e18"),
        ("1000000000000000001", "1000000000000000000.0"),
        ("1000000", "1000001.0"),  # relative tolerance is for decimals
        ("12", "1 2"),
        ("1 2", "12"),
        ("1 2", "1"),
        ("1", "1 2"),
        ("1", ""),
        ("1", "1_0"),
        ("10", "1_0"),
        ("1", "١"),  # ARABIC-INDIC DIGIT ONE
        ("1.5", "nan"),
        ("1.5", "inf"),
        ("1e400", "inf"),
        ("1e400", "2e400"),
        ("1.5", "1.50001"),
        ("5", "5\x00"),
        ("0x10", "16"),
        ("a b", "a\u00a0b"),  # only ASCII whitespace separates
        ("Yes", "yes"),
    ],
)
def test_different_outputs(wanted, got):
    assert not accepts(wanted, got)


def test_nan_equals_only_its_own_spelling():
    assert accepts("nan", "nan")
    assert not accepts("nan", "NaN")


def test_invalid_utf8_is_compared_as_bytes():
    assert not accepts("é", b"\xe9")


def test_numbers_of_a_million_digits_compare_quickly_and_exactly():
    digits = "7" * 1_000_000
    assert accepts(digits, "0" + digits)
    assert not accepts(digits, digits[:-1] + "8")


def test_very_long_decimals_are_equal_only_as_written():
    digits = "0." + "3" * 3_000_000
    assert accepts(digits, digits)
    assert not accepts("0.3333333333", digits)


def test_case_can_be_ignored():
    assert accepts("YES", "yes", ignore_case=True)


def test_message_names_the_first_wrong_token():
    message = OutputComparison().explain_stdout(TestCase("", "1 2 3"), b"1 5 3")
    assert message == "token 2: expected '2', got '5'"
    message = OutputComparison().explain_stdout(TestCase("", "1 2 3"), b"1 2")
    assert message == "expected 3 tokens, got 2"
    message = OutputComparison().explain_stdout(TestCase("", "1 2 3"), b"1 2 3 4 5")
    assert message == "expected 3 tokens, got more"


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ("[1, 2.5]", "[1.0, 2.5000001]"),
        ('{"a": [true, null]}', '{"a":[true,null]}'),
        ("0.1", "0.10000000000000001"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ('"a b"', '"a b"'),
    ],
)
def test_equal_results(wanted, got):
    assert accepts_result(wanted, got)


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ("1", "true"),
        ("true", "1"),
        ("null", "false"),
        ("[1]", "1"),
        ("[1, 2]", "[1]"),
        ('{"a": 1}', '{"a": 1, "b": 2}'),
        ('"1"', "1"),
        ('"a b"', '"a  b"'),
        ("1.5", "NaN"),
        ("1.5", "Infinity"),
        ("1000000000000000000", "1000000000000000001"),
        ("1", "1 1"),
        ("1", ""),
        ("1", "one"),
        ("[]", "[" * 10_000 + "]" * 10_000),
        ("[]", "[" + "1, " * 1_000_000 + "1]"),
        ("[" * 500 + "]" * 500, "[" * 501 + "]" * 501),
    ],
)
def test_different_results(wanted, got):
    assert not accepts_result(wanted, got)
