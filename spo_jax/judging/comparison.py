"""Whether an output is right. Runs in the judge, on bytes the program cannot reach any more.

Standard output is compared by whitespace-separated tokens (ASCII whitespace), call-style results
as JSON values. The rule for two tokens, or for two JSON numbers:

- equal bytes are equal;
- two integers are equal when their digits are (10^18 is not 10^18 + 1);
- an integer expected, a decimal given: within 1e-6 (2.0000001 for 2), above 15 digits exactly;
- a decimal expected: finite numbers, absolute or relative difference at most 1e-6;
- decimals of more than 1,000 characters are equal only when their bytes are;
- ASCII digits only: no underscores, no digits of other scripts, no NaN, no infinity.
"""

import dataclasses
import json
import math
import re
from typing import Any, Literal, get_args

from spo_jax.errors import UserError, nearest
from spo_jax.judging.published import (
    same_in_code_contests,
    same_in_taco,
    same_result_in_taco,
)
from spo_jax.types import TestCase

ComparisonMode = Literal["strict", "code_contests", "taco"]

_INTEGER = re.compile(rb"[+-]?[0-9]+\Z")
# One way only to match any text: else a long number with a letter at its end takes for ever.
_DECIMAL = re.compile(rb"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,6})?\Z")
_EXACT_DIGITS = 15  # whole numbers of so many digits are exact in a double
_MAX_DECIMAL_CHARS = 1000  # reading a decimal takes time quadratic in its length
_SHOWN_CHARS = 40
_MAX_RESULT_RATIO = 32  # no right answer is so much longer than the expected text


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OutputComparison:
    """How outputs are compared.

    Attributes:
      tolerance: absolute or relative difference allowed between decimals.
      ignore_case: compare letters without regard to case.
      mode: 'strict', or 'code_contests' or 'taco': as in the published evaluations, with their
        mistakes (`published.py`), to reproduce their numbers; the other fields then say nothing.

    Raises:
      UserError: the mode is unknown.
    """

    tolerance: float = 1e-6
    ignore_case: bool = False
    mode: ComparisonMode = "strict"

    def __post_init__(self) -> None:
        known = get_args(ComparisonMode)
        if self.mode not in known:
            hint = nearest(self.mode, known)
            raise UserError(f"comparison mode='{self.mode}' must be one of {list(known)}{hint}")

    def explain_stdout(self, test: TestCase, output: bytes) -> str:
        """Returns '' when `output` is right, else what is wrong in one line."""
        expected = test.output.encode("utf-8", "surrogatepass")
        if self.mode != "strict":
            same = same_in_taco if self.mode == "taco" else same_in_code_contests
            return "" if same(expected, output) else f"differs in mode '{self.mode}'"
        if self.ignore_case:
            expected, output = expected.lower(), output.lower()
        if expected == output:
            return ""
        wanted = expected.split()
        given = output.split(None, len(wanted))  # a flood of tokens must not cost memory here
        for index, (want, got) in enumerate(zip(wanted, given, strict=False)):
            if want != got and not self._same_number(want, got):
                return f"token {index + 1}: expected {_show(want)}, got {_show(got)}"
        if len(wanted) != len(given):
            count = "more" if len(given) > len(wanted) else str(len(given))
            return f"expected {len(wanted)} tokens, got {count}"
        return ""

    def explain_result(self, test: TestCase, result: bytes) -> str:
        """The same for a call-style result, a JSON text."""
        if self.mode == "taco":
            return "" if same_result_in_taco(test.output, result) else "differs in mode 'taco'"
        if result == _normalized(test.output):
            return ""
        if len(result) > _MAX_RESULT_RATIO * (len(test.output) + 1000):
            return f"the returned value is too long: {len(result)} bytes of JSON"
        try:
            value = parse_json(result.decode("utf-8"))
            same = self._same_value(parse_json(test.output), value)
        except (ValueError, RecursionError) as error:
            return f"the returned value is not usable JSON: {error}"
        return "" if same else f"expected {_show(test.output)}, got {_show(result)}"

    def _same_value(self, want: Any, got: Any) -> bool:
        if isinstance(want, _Number) and isinstance(got, _Number):
            return want == got or self._same_number(want.encode(), got.encode())
        if isinstance(want, list) and isinstance(got, list):
            return len(want) == len(got) and all(
                self._same_value(a, b) for a, b in zip(want, got, strict=True)
            )
        if isinstance(want, dict) and isinstance(got, dict):
            return want.keys() == got.keys() and all(
                self._same_value(value, got[key]) for key, value in want.items()
            )
        if isinstance(want, str) and isinstance(got, str) and self.ignore_case:
            return want.lower() == got.lower()
        return type(want) is type(got) and want == got

    def _same_number(self, want: bytes, got: bytes) -> bool:
        want_is_integer = bool(_INTEGER.match(want))
        if want_is_integer and _INTEGER.match(got):
            return _canonical_integer(want) == _canonical_integer(got)
        if max(len(want), len(got)) > _MAX_DECIMAL_CHARS:
            return False
        if not _DECIMAL.match(want) or not _DECIMAL.match(got):
            return False
        if want_is_integer and len(_canonical_integer(want).lstrip(b"-")) > _EXACT_DIGITS:
            whole, _, fraction = got.partition(b".")
            is_whole = bool(_INTEGER.match(whole)) and not fraction.strip(b"0")
            return is_whole and _canonical_integer(want) == _canonical_integer(whole)
        expected, value = float(want), float(got)
        if not (math.isfinite(expected) and math.isfinite(value)):
            return False
        scale = 1.0 if want_is_integer else max(1.0, abs(expected))
        return abs(expected - value) <= self.tolerance * scale


class _Number(str):
    """A JSON number, kept as written: converting would lose digits or take long."""

    __slots__ = ()


def parse_json(text: str) -> Any:
    """JSON without NaN and infinities; numbers stay text. Raises ValueError, RecursionError."""
    return json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _normalized(text: str) -> bytes:
    """As the runner would write the value; empty when that is not worth the time."""
    try:
        return json.dumps(json.loads(text)).encode()
    except (ValueError, RecursionError):  # for example integers of thousands of digits
        return b""


def _canonical_integer(text: bytes) -> bytes:
    """Without plus sign and leading zeros; zero has no sign. Text, because ints are quadratic."""
    digits = text.lstrip(b"+-").lstrip(b"0") or b"0"
    return b"-" + digits if text.startswith(b"-") and digits != b"0" else digits


def _show(value: bytes | str) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    shown = text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "..."
    return repr(shown)
