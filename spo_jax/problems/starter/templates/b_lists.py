"""Call style: lists in one pass (slices, counts, positions, rotation, pairs of lists)."""

from spo_jax.problems.starter.table import Row, expand, read_rows
from spo_jax.problems.starter.template import Template

_EVERY_KTH = expand(
    """
fn | what | slice | test
every_second | items 0, 2, 4 and so on of the list | ::2 | i % 2 == 0
odd_positions | items 1, 3, 5 and so on of the list | 1::2 | i % 2 == 1
every_third | items 0, 3, 6 and so on of the list | ::3 | i % 3 == 0
every_fourth | items 0, 4, 8 and so on of the list | ::4 | i % 4 == 0
every_second_from_two | items 2, 4, 6 and so on of the list | 2::2 | i % 2 == 0 and i > 0
every_third_from_one | items 1, 4, 7 and so on of the list | 1::3 | i % 3 == 1
""",
    description="Write a function `$fn(items)` that returns a list of $what. "
    "Positions are counted from 0.",
    correct="""
def $fn(items):
    return items[$slice]
---
def $fn(items):
    return [items[i] for i in range(len(items)) if $test]
---
def $fn(items):
    result = []
    for i, item in enumerate(items):
        if $test:
            result.append(item)
    return result
---
def $fn(items):
    positions = range(len(items))[$slice]
    return [items[i] for i in positions]
""",
    incorrect="""
def $fn(items):
    return items[:2]
---
def $fn(items):
    return [i for i in range(len(items)) if $test]
---
def $fn(items):
    return [i for i in items if $test]
---
def $fn(items):
    print(items[$slice])
---
def $fn(items):
    return items[3::2]
""",
    inputs=[
        [items]
        for items in (
            *([5, 6, 7, 8, 9], ["a", "b", "c"], [3], [], [2, 4, 6, 8], [1, 1, 2, 3, 5, 8, 13]),
            *(["x", "y"], [0, 0, 0, 0, 1, 0], [9, 8, 7, 6, 5, 4, 3, 2, 1], list("python")),
        )
    ],
)


def _lists_with_value(row: Row) -> list[list]:
    """Argument lists: the wanted value for every 'v' of a pattern, another one for every 'o'."""
    values = {"v": row["value"].strip("'"), "o": row["other"].strip("'")}
    patterns = ("vov", "oov", "", "v", "o", "vvvv", "ovovo", "vvoov", "oooo", "ovvvo", "vovovovo")
    texts = [[values[letter] for letter in pattern] for pattern in patterns]
    if "'" in row["value"]:
        return [[text] for text in texts]
    return [[[int(value) for value in text]] for text in texts]


_COUNT_VALUE = expand(
    """
fn | value | other
count_zeros | 0 | 1
count_sevens | 7 | 17
count_minus_ones | -1 | 1
count_yes | 'yes' | 'no'
count_red | 'red' | 'reddish'
count_empty | '' | 'full'
""",
    description="Write a function `$fn(items)` that returns how many times $value is in the "
    "list items.",
    correct="""
def $fn(items):
    return items.count($value)
---
def $fn(items):
    count = 0
    for item in items:
        if item == $value:
            count += 1
    return count
---
def $fn(items):
    return len([item for item in items if item == $value])
---
from collections import Counter

def $fn(items):
    return Counter(items)[$value]
""",
    incorrect="""
def $fn(items):
    return len(items)
---
def $fn(items):
    return 1 if $value in items else 0
---
def $fn(items):
    print(items.count($value))
---
def $fn(items):
    return [item for item in items if item == $value]
---
def $fn(items):
    count = 0
    for item in items:
        if item == $value:
            count += 1
        return count
""",
    inputs=_lists_with_value,
)

_POSITIONS = expand(
    """
fn | what | test
positions_of_negatives | negative | x < 0
positions_of_zeros | equal to 0 | x == 0
positions_of_odd_numbers | odd | x % 2 == 1
positions_over_nine | greater than 9 | x > 9
positions_of_multiples_of_four | divisible by 4 | x % 4 == 0
positions_of_positives | greater than 0 | x > 0
""",
    description="Write a function `$fn(nums)` that returns a list of the indexes, counted from 0, "
    "of the numbers in nums that are $what.",
    correct="""
def $fn(nums):
    return [i for i, x in enumerate(nums) if $test]
---
def $fn(nums):
    found = []
    for i in range(len(nums)):
        x = nums[i]
        if $test:
            found.append(i)
    return found
---
def $fn(nums):
    found = []
    i = 0
    while i < len(nums):
        x = nums[i]
        if $test:
            found += [i]
        i += 1
    return found
---
def $fn(nums):
    flags = [$test for x in nums]
    return list(filter(lambda i: flags[i], range(len(nums))))
""",
    incorrect="""
def $fn(nums):
    return [x for x in nums if $test]
---
def $fn(nums):
    return [i for i, x in enumerate(nums, 1) if $test]
---
def $fn(nums):
    return [nums.index(x) for x in nums if $test]
---
def $fn(nums):
    for i, x in enumerate(nums):
        if $test:
            return [i]
    return []
---
def $fn(nums):
    for i, x in enumerate(nums):
        if $test:
            print(i)
""",
    inputs=[
        [nums]
        for nums in read_rows(
            "3 -1 0 12 -1 8; 10 0 5 0 -2 16; ; 0; -5; 11 11 11; 4 -4 4 -4; 2 6 10; "
            "9 9 20 0 0 -3 -3; -8 -8 15 7; 1 2 3 4 5 6 7 8 9 10"
        )
    ],
)

_ROTATE = expand(
    """
fn | end | other_end | cut | turn
first_to_end | first number | end | 1 | -1
first_two_to_end | first 2 numbers | end | 2 | -2
first_three_to_end | first 3 numbers | end | 3 | -3
last_to_start | last number | start | -1 | 1
last_two_to_start | last 2 numbers | start | -2 | 2
last_three_to_start | last 3 numbers | start | -3 | 3
""",
    description="Write a function `$fn(nums)` that returns the list with its $end moved to the "
    "$other_end, everything else in the same order. nums has at least 3 numbers.",
    correct="""
def $fn(nums):
    return nums[$cut:] + nums[:$cut]
---
def $fn(nums):
    n = len(nums)
    return [nums[(i + $cut) % n] for i in range(n)]
---
from collections import deque

def $fn(nums):
    d = deque(nums)
    d.rotate($turn)
    return list(d)
---
def $fn(nums):
    result = [0] * len(nums)
    for i, x in enumerate(nums):
        result[(i + $turn) % len(nums)] = x
    return result
""",
    incorrect="""
def $fn(nums):
    return nums[$cut:]
---
def $fn(nums):
    return nums[:$cut] + nums[$cut:]
---
def $fn(nums):
    return nums[$turn:] + nums[:$turn]
---
def $fn(nums):
    return nums[$cut:].extend(nums[:$cut])
---
def $fn(nums):
    print(nums[$cut:] + nums[:$cut])
---
def $fn(nums):
    return nums[::-1]
""",
    inputs=[
        [nums]
        for nums in read_rows(
            "1 2 3 4 5; 7 8 9 10; 5 6 7; 0 0 1 0; 4 3 2 1 0 -1; 9 9 9; 1 2 1 2 1 2 1; "
            "-5 10 -15 20; 11 12 13 14 15 16 17 18; 2 4 8 16 32"
        )
    ],
)

_COMBINE = expand(
    """
fn | what | e
add_lists | x + y | x + y
multiply_lists | x * y | x * y
subtract_lists | x - y | x - y
larger_of_each_pair | the larger of x and y | max(x, y)
smaller_of_each_pair | the smaller of x and y | min(x, y)
distances | the absolute value of x - y | abs(x - y)
""",
    description="Write a function `$fn(a, b)` for two lists of equal length. It returns the list "
    "of $what, where x is in a and y is at the same position in b.",
    correct="""
def $fn(a, b):
    return [$e for x, y in zip(a, b)]
---
def $fn(a, b):
    result = []
    for i in range(len(a)):
        x, y = a[i], b[i]
        result.append($e)
    return result
---
def $fn(a, b):
    return list(map(lambda x, y: $e, a, b))
---
def $fn(a, b):
    if not a:
        return []
    x, y = a[0], b[0]
    return [$e] + $fn(a[1:], b[1:])
""",
    incorrect="""
def $fn(a, b):
    return a + b
---
def $fn(a, b):
    return [$e for x in a for y in b]
---
def $fn(a, b):
    return sum($e for x, y in zip(a, b))
---
def $fn(a, b):
    for x, y in zip(a, b):
        print($e)
---
def $fn(a, b):
    for x, y in zip(a, b):
        return $e
---
def $fn(a, b):
    return [(x, y) for x, y in zip(a, b)]
""",
    inputs=[
        *([[1, 2, 3], [10, 1, 5]], [[4, -2], [4, 7]], [[], []], [[5], [3]], [[100], [-100]]),
        *([[0, 0, 0], [1, -1, 2]], [[-3, -4], [-5, -1]], [[9, 8, 7, 6], [6, 7, 8, 9]]),
        *([[2, 2, 2, 2, 2], [1, 2, 3, 4, 5]], [[12, 0, -7], [3, 3, 3]]),
    ],
)

TEMPLATES = (
    Template("every-kth", 1, "call", None, _EVERY_KTH, "train"),
    Template("count-value", 1, "call", None, _COUNT_VALUE, "train"),
    Template("positions", 2, "call", None, _POSITIONS, "train"),
    Template("rotate", 2, "call", None, _ROTATE, "train"),
    Template("combine-lists", 2, "call", None, _COMBINE, "train"),
)
