"""Call style, difficulty 1: one expression of numbers."""

from spo_jax.problems.starter.table import Row, expand, read_rows
from spo_jax.problems.starter.template import Template

_INTS = tuple([n] for n in (3, 10, 0, 1, 2, -4, 7, 25, -11, 100, 58))
_COUNTS = tuple([n] for n in (2, 5, 0, 1, 3, 7, 10, 12, 59, 100, 365))
_NATURALS = tuple([n] for n in (123, 40, 0, 7, 10, 99, 100, 205, 1234, 9876, 31, 60))
_PAIRS = read_rows("3 8; 10 4; 5 5; -1 -2; 0 7; 0 -7; 100 99; -50 50; 12 13; 2 1")
_QUADRUPLES = read_rows(
    "1 2 3 4; 9 4 6 1; 5 5 5 5; -1 -2 -3 -4; 0 0 7 3; 2 9 4 1; 8 1 8 9; 10 -10 0 5; 3 100 50 60;"
    "-5 6 -7 -8"
)
_SIZES = read_rows("3 4 5; 10 2 1; 1 1 1; 7 3 2; 6 9 4; 12 12 2; 5 11 3; 20 9 6; 8 1 9; 13 7 7")

# The ways of writing one expression that most templates of this module share.
_FOUR_WAYS = """
def $fn($args):
    return $e
---
def $fn($args):
    return $f
---
def $fn($args):
    return $g
---
def $fn($args):
    result = $h
    return result
"""
_WRONG_WAYS = """
def $fn($args):
    return $w
---
def $fn($args):
    return $v
---
def $fn($args):
    print($e)
---
def $fn($args):
    result = $e
"""


def _quadruples(row: Row) -> list[str | list]:
    return [numbers[: _num_args(row)] for numbers in _QUADRUPLES]


def _sizes(row: Row) -> list[str | list]:
    return [sizes[: _num_args(row)] for sizes in _SIZES]


def _num_args(row: Row) -> int:
    return row["args"].count(",") + 1


_CONVERT_UNITS = expand(
    """
fn | one | a | b | k
minutes_to_seconds | minute | minutes | seconds | 60
hours_to_minutes | hour | hours | minutes | 60
days_to_hours | day | days | hours | 24
weeks_to_days | week | weeks | days | 7
feet_to_inches | foot | feet | inches | 12
meters_to_centimeters | meter | meters | centimeters | 100
""",
    description="Write a function `$fn($a)` that converts $a to $b. One $one is $k $b.",
    correct="""
def $fn($a):
    return $a * $k
---
def $fn($a):
    $b = 0
    for _ in range($a):
        $b += $k
    return $b
---
def $fn($a):
    return sum([$k] * $a)
---
def $fn($a):
    return len(range(0, $a * $k))
""",
    incorrect="""
def $fn($a):
    return $a / $k
---
def $fn($a):
    return $a + $k
---
def $fn($a):
    print($a * $k)
---
def $fn($a):
    return str($a * $k)
---
def $fn($a):
    return $a * ${k}0
""",
    inputs=_COUNTS,
)

_NUMBER_STEP = expand(
    """
fn | args | what | e | f | g | h | w | v
double | n | n times 2 | n * 2 | n + n | sum([n, n]) | n << 1 | n ** 2 + 1 | n + 2
triple | n | n times 3 | n * 3 | n + n + n | sum([n, n, n]) | (n << 1) + n | n ** 3 | n + 3
square | n | n squared | n * n | n ** 2 | pow(n, 2) | sum([abs(n)] * abs(n)) | n * 2 | n ^ 2
cube | n | n cubed | n ** 3 | n * n * n | pow(n, 3) | n ** 2 * n | n * 3 | n ** 2
add_ten | n | n plus 10 | n + 10 | sum([n, 10]) | n - (-10) | n + 5 + 5 | n * 10 | n + 1
negate | n | n with its sign changed | -n | 0 - n | n * -1 | n - 2 * n | abs(n) | -abs(n)
""",
    description="Write a function `$fn(n)` that returns $what.",
    correct=_FOUR_WAYS,
    incorrect=_WRONG_WAYS + "---\ndef $fn(n):\n    return str($e)\n",
    inputs=_INTS,
)

_EXTREME_OF_NUMBERS = expand(
    """
fn | args | what | f | i | op
larger | a, b | the larger of two numbers | max | -1 | >
smaller | a, b | the smaller of two numbers | min | 0 | <
largest_of_three | a, b, c | the largest of three numbers | max | -1 | >
smallest_of_three | a, b, c | the smallest of three numbers | min | 0 | <
largest_of_four | a, b, c, d | the largest of four numbers | max | -1 | >
smallest_of_four | a, b, c, d | the smallest of four numbers | min | 0 | <
""",
    description="Write a function `$fn($args)` that returns $what.",
    correct="""
def $fn($args):
    return $f($args)
---
def $fn($args):
    return sorted([$args])[$i]
---
def $fn($args):
    best = a
    for number in [$args]:
        if number $op best:
            best = number
    return best
---
def $fn($args):
    numbers = [$args]
    numbers.sort()
    return numbers[$i]
""",
    more_correct={
        "larger": "def $fn(a, b):\n    return a if a > b else b",
        "smaller": "def $fn(a, b):\n    if a < b:\n        return a\n    return b",
    },
    incorrect="""
def $fn($args):
    return a
---
def $fn($args):
    return b
---
def $fn($args):
    if a $op b:
        return b
    return a
---
def $fn($args):
    print($f($args))
---
def $fn($args):
    return [$args]
""",
    inputs=_quadruples,
)

_TWO_NUMBER_FORMULA = expand(
    """
fn | args | what | e | f | g | h | w | v
sum_of_squares | a, b | a squared plus b squared | a * a + b * b | a ** 2 + b ** 2
    | sum(x * x for x in (a, b)) | (a + b) ** 2 - 2 * a * b | (a + b) ** 2 | a * 2 + b * 2
square_of_sum | a, b | the square of a plus b | (a + b) ** 2 | (a + b) * (a + b)
    | a * a + 2 * a * b + b * b | pow(sum([a, b]), 2) | a ** 2 + b ** 2 | a + b ** 2
absolute_difference | a, b | how far apart a and b are (never negative) | abs(a - b)
    | a - b if a > b else b - a | max(a, b) - min(a, b) | max(a - b, b - a) | a - b
    | abs(a) - abs(b)
average_of_two | a, b | the average of a and b | (a + b) / 2 | sum([a, b]) / 2 | a / 2 + b / 2
    | a + (b - a) / 2 | a + b / 2 | (a + b) // 2
product_plus_one | a, b | a times b, plus 1 | a * b + 1 | sum([a * b, 1]) | a * b - (-1)
    | (a - 1) * b + b + 1 | a * (b + 1) | a + b + 1
difference_of_squares | a, b | a squared minus b squared | a * a - b * b | a ** 2 - b ** 2
    | (a - b) * (a + b) | pow(a, 2) - pow(b, 2) | (a - b) ** 2 | b * b - a * a
""",
    description="Write a function `$fn(a, b)` that returns $what.",
    correct=_FOUR_WAYS,
    incorrect=_WRONG_WAYS + "---\ndef $fn(a):\n    b = a\n    return $e\n",
    inputs=_PAIRS,
)

_LAST_DIGITS = expand(
    """
fn | args | what | e | f | g | h | w | v
last_digit | n | the last digit of n | n % 10 | int(str(n)[-1]) | divmod(n, 10)[1]
    | n - n // 10 * 10 | n // 10 | str(n)[-1]
last_two_digits | n | the number made of the last two digits of n | n % 100 | int(str(n)[-2:])
    | divmod(n, 100)[1] | n - n // 100 * 100 | n // 100 | n % 10
drop_last_digit | n | n without its last digit (0 when n has one digit) | n // 10
    | int(str(n)[:-1] or 0) | divmod(n, 10)[0] | (n - n % 10) // 10 | n / 10 | n % 10
tens_digit | n | the tens digit of n (0 when n has one digit) | n // 10 % 10
    | int(str(n).zfill(2)[-2]) | n % 100 // 10 | divmod(n // 10, 10)[1] | n // 10 | n % 10
round_down_to_ten | n | the largest multiple of 10 that is not above n | n // 10 * 10 | n - n % 10
    | int(n / 10) * 10 | max(range(0, n + 1, 10)) | n // 10 | round(n)
ends_in_zero | n | True if the last digit of n is 0, otherwise False | n % 10 == 0
    | str(n)[-1] == '0' | str(n).endswith('0') | n // 10 * 10 == n | n % 10 | '0' in str(n)
""",
    description="Write a function `$fn(n)` that returns $what. n is not negative.",
    correct=_FOUR_WAYS,
    incorrect=_WRONG_WAYS + "---\ndef $fn(n):\n    return int(str(n)[0])\n",
    inputs=_NATURALS,
)

_AREAS = expand(
    """
fn | args | what | e | f | g | h | w | v
rectangle_area | width, height | the area of a rectangle | width * height | sum([width] * height)
    | sum(width for _ in range(height)) | len([0 for x in range(width) for y in range(height)])
    | width + height | 2 * (width + height)
rectangle_perimeter | width, height | the perimeter of a rectangle | 2 * (width + height)
    | width + width + height + height | sum([width, height]) * 2 | 2 * width + 2 * height
    | width + height | width * height
square_perimeter | side | the perimeter of a square | 4 * side | side + side + side + side
    | sum([side] * 4) | 2 * (side + side) | side * side | 2 * side
triangle_area | base, height | the area of a triangle | base * height / 2 | 0.5 * base * height
    | base / 2 * height | sum([base] * height) / 2 | base * height | base * height // 2
box_volume | length, width, height | the volume of a box | length * width * height
    | height * (width * length) | sum([length * width] * height)
    | sum(length for _ in range(width * height)) | length + width + height | length * width
cube_surface | side | the total area of the six faces of a cube | 6 * side * side | 6 * side ** 2
    | sum([side * side] * 6) | 2 * (side ** 2 + side ** 2 + side ** 2) | side ** 3 | 4 * side * side
""",
    description="Write a function `$fn($args)` that returns $what.",
    correct=_FOUR_WAYS,
    incorrect=_WRONG_WAYS,
    inputs=_sizes,
)

TEMPLATES = (
    Template("convert-units", 1, "call", None, _CONVERT_UNITS, "train"),
    Template("number-step", 1, "call", None, _NUMBER_STEP, "train"),
    Template("extreme-of-numbers", 1, "call", None, _EXTREME_OF_NUMBERS, "train"),
    Template("two-number-formula", 1, "call", None, _TWO_NUMBER_FORMULA, "test"),
    Template("last-digits", 1, "call", None, _LAST_DIGITS, "train"),
    Template("areas", 1, "call", None, _AREAS, "train"),
)
