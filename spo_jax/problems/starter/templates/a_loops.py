"""Call style, difficulty 2 and 3: a loop over numbers or digits."""

from spo_jax.problems.starter.table import expand
from spo_jax.problems.starter.template import Template

_SMALL = tuple([n] for n in (4, 1, 5, 2, 3, 6, 7, 8, 9, 10, 0, 12))
_NATURALS = tuple([n] for n in (123, 40, 7, 0, 10, 99, 1000, 205, 1234, 9876, 31, 717))
_LISTS_OR_EMPTY: tuple[list, ...] = (
    *([[1, 2, 3]], [[4, -1, 7, 2]], [[5]], [[0, 0, 1]], [[10, 20, 30, 40]], [[-3, -5, -2]]),
    *([[9, 8, 7, 6, 5]], [[2, 2, 2, 8]], [[100, -100]], [[6, 3, 12, 15, 11]], [[]]),
)

_SERIES = expand(
    """
fn | what | start | step | e | w
sum_to_n | 1 + 2 + ... + n | 0 | result += i | n * (n + 1) // 2 | n * (n - 1) // 2
factorial | 1 * 2 * ... * n (1 when n is 0) | 1 | result *= i | math.factorial(n)
    | sum(range(1, n + 1))
sum_of_squares_to_n | 1*1 + 2*2 + ... + n*n | 0 | result += i * i
    | n * (n + 1) * (2 * n + 1) // 6 | sum(range(1, n + 1)) ** 2
sum_of_cubes_to_n | 1**3 + 2**3 + ... + n**3 | 0 | result += i ** 3 | (n * (n + 1) // 2) ** 2
    | sum(i * 3 for i in range(1, n + 1))
sum_of_first_evens | the sum of the first n even numbers, 2 + 4 + ... + 2n | 0 | result += 2 * i
    | n * (n + 1) | sum(range(2, n + 1, 2))
sum_of_first_odds | the sum of the first n odd numbers, 1 + 3 + 5 + ... | 0 | result += 2 * i - 1
    | n * n | sum(range(1, n + 1, 2))
""",
    description="Write a function `$fn(n)` that returns $what.",
    correct="""
def $fn(n):
    result = $start
    for i in range(1, n + 1):
        $step
    return result
---
def $fn(n):
    import math
    return $e
---
def $fn(n):
    result = $start
    i = 1
    while i <= n:
        $step
        i += 1
    return result
---
def $fn(n):
    if n == 0:
        return $start
    result = $fn(n - 1)
    i = n
    $step
    return result
""",
    incorrect="""
def $fn(n):
    result = $start
    for i in range(1, n):
        $step
    return result
---
def $fn(n):
    return $w
---
def $fn(n):
    result = 0
    for i in range(n):
        $step
    return result
---
def $fn(n):
    result = $start
    for i in range(1, n + 1):
        $step
    print(result)
---
def $fn(n):
    result = $start
    for i in range(1, n + 1):
        $step
        return result
""",
    inputs=_SMALL,
)

_DIGITS = expand(
    """
fn | what | start | step | e | w
sum_of_digits | the sum of the digits of n | 0 | result += digit | sum(map(int, str(n)))
    | sum(range(n + 1))
product_of_digits | the product of the digits of n | 1 | result *= digit
    | math.prod(map(int, str(n))) | sum(map(int, str(n)))
number_of_digits | how many digits n has | 0 | result += 1 | len(str(n)) | len(str(n)) - 1
largest_digit | the largest digit of n | 0 | result = max(result, digit) | max(map(int, str(n)))
    | max(str(n))
smallest_digit | the smallest digit of n | 9 | result = min(result, digit)
    | min(map(int, str(n))) | min(str(n))
sum_of_squared_digits | the sum of the squares of the digits of n | 0 | result += digit * digit
    | sum(int(digit) ** 2 for digit in str(n)) | sum(map(int, str(n))) ** 2
""",
    description="Write a function `$fn(n)` that returns $what. n is not negative.",
    correct="""
def $fn(n):
    result = $start
    for letter in str(n):
        digit = int(letter)
        $step
    return result
---
def $fn(n):
    import math
    return $e
---
def $fn(n):
    result = $start
    while True:
        digit = n % 10
        $step
        n //= 10
        if n == 0:
            return result
---
def $fn(n):
    digits = [int(letter) for letter in str(n)]
    result = $start
    while digits:
        digit = digits.pop()
        $step
    return result
""",
    incorrect="""
def $fn(n):
    return $w
---
def $fn(n):
    result = $start
    while n > 9:
        digit = n % 10
        $step
        n //= 10
    return result
---
def $fn(n):
    result = $start
    for digit in n:
        $step
    return result
---
def $fn(n):
    result = $start
    for letter in str(n):
        digit = int(letter)
        $step
    print(result)
---
def $fn(n):
    result = $start
    for letter in str(n):
        digit = int(letter)
        $step
        return result
""",
    inputs=_NATURALS,
)

_ADJUST_LIST = expand(
    """
fn | what | e | f | w
add_index | each number plus its index (the first index is 0) | n + i | sum([n, i]) | n + i + 1
multiply_by_index | each number times its index (the first index is 0) | n * i | sum([n] * i)
    | n * (i + 1)
subtract_first | each number minus the first number | n - numbers[0] | -(numbers[0] - n)
    | numbers[0] - n
subtract_smallest | each number minus the smallest number | n - min(numbers)
    | n - sorted(numbers)[0] | n - max(numbers)
zero_odd_indices | the same numbers, but with 0 at the indices 1, 3, 5, ...
    | n if i % 2 == 0 else 0 | 0 if i % 2 else n | 0 if n % 2 == 1 else n
add_mirror | each number plus the number at the same place counted from the end
    | n + numbers[-1 - i] | n + numbers[len(numbers) - 1 - i] | n + numbers[-1]
""",
    description="Write a function `$fn(numbers)` that returns a new list: $what.",
    correct="""
def $fn(numbers):
    result = []
    for i, n in enumerate(numbers):
        result.append($e)
    return result
---
def $fn(numbers):
    return [$e for i, n in enumerate(numbers)]
---
def $fn(numbers):
    result = []
    for i in range(len(numbers)):
        n = numbers[i]
        result.append($f)
    return result
---
def $fn(numbers):
    result = []
    i = 0
    while i < len(numbers):
        n = numbers[i]
        result = result + [$f]
        i += 1
    return result
""",
    incorrect="""
def $fn(numbers):
    return [$w for i, n in enumerate(numbers)]
---
def $fn(numbers):
    return [$e for i, n in enumerate(numbers)][1:]
---
def $fn(numbers):
    for i, n in enumerate(numbers):
        return $e
---
def $fn(numbers):
    print([$e for i, n in enumerate(numbers)])
---
def $fn(numbers):
    return sum(numbers)
""",
    inputs=_LISTS_OR_EMPTY,
)

_SORT_LIST = expand(
    """
fn | what | e | key
sort_ascending | from smallest to largest | sorted(numbers) | n
sort_descending | from largest to smallest | sorted(numbers, reverse=True) | -n
sort_by_absolute_value | by absolute value, smallest first | sorted(numbers, key=abs) | abs(n)
sort_by_last_digit | by last digit, smallest first | sorted(numbers, key=lambda n: abs(n) % 10)
    | abs(n) % 10
sort_even_first | so that even numbers come before odd ones | sorted(numbers, key=lambda n: n % 2)
    | n % 2
sort_by_distance_from_ten | by distance from 10, nearest first
    | sorted(numbers, key=lambda n: abs(n - 10)) | abs(n - 10)
""",
    description="Write a function `$fn(numbers)` that returns the list sorted $what. "
    "Ties keep their order.",
    correct="""
def $fn(numbers):
    return $e
---
def $fn(numbers):
    result = numbers[:]
    result.sort(key=lambda n: $key)
    return result
---
def $fn(numbers):
    left = numbers[:]
    result = []
    while left:
        best = min(left, key=lambda n: $key)
        left.remove(best)
        result.append(best)
    return result
---
def $fn(numbers):
    result = []
    for m in numbers:
        keys = [$key for n in result + [m]]
        place = sum(key <= keys[-1] for key in keys[:-1])
        result.insert(place, m)
    return result
""",
    incorrect="""
def $fn(numbers):
    return sorted(numbers, key=lambda n: -($key))
---
def $fn(numbers):
    return numbers
---
def $fn(numbers):
    return numbers.sort(key=lambda n: $key)
---
def $fn(numbers):
    print($e)
---
def $fn(numbers):
    return [$key for n in sorted(numbers, key=lambda n: $key)][1:]
""",
    inputs=_LISTS_OR_EMPTY,
)

TEMPLATES = (
    Template("series", 2, "call", None, _SERIES, "test"),
    Template("digits", 3, "call", None, _DIGITS, "train"),
    Template("adjust-list", 3, "call", None, _ADJUST_LIST, "test"),
    Template("sort-list", 3, "call", None, _SORT_LIST, "train"),
)
