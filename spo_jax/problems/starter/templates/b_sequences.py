"""Call style: lists as sequences (flattening, running values, chunks, repeats)."""

from spo_jax.problems.starter.table import expand, read_rows
from spo_jax.problems.starter.template import Template

_FLATTEN = expand(
    """
fn | what | e
flatten | in the same order | flat
flatten_backwards | from the last to the first | flat[::-1]
flatten_sorted | sorted from smallest to largest | sorted(flat)
flatten_descending | sorted from largest to smallest | sorted(flat, reverse=True)
flatten_doubled | in the same order, each doubled | [2 * x for x in flat]
flatten_without_zeros | in the same order, but without zeros | [x for x in flat if x != 0]
""",
    description="Write a function `$fn(lists)` that takes a list of lists of numbers and returns "
    "one list with all their numbers, $what.",
    correct="""
def $fn(lists):
    flat = [x for part in lists for x in part]
    return $e
---
def $fn(lists):
    flat = []
    for part in lists:
        flat.extend(part)
    return $e
---
def $fn(lists):
    flat = sum(lists, [])
    return $e
---
from itertools import chain

def $fn(lists):
    flat = list(chain.from_iterable(lists))
    return $e
""",
    incorrect="""
def $fn(lists):
    flat = lists
    return $e
---
def $fn(lists):
    flat = []
    for part in lists:
        flat.append(part)
    return $e
---
def $fn(lists):
    flat = lists[0] + lists[1]
    return $e
---
def $fn(lists):
    for part in lists:
        flat = [x for x in part]
    return $e
---
def $fn(lists):
    flat = [x for part in lists for x in part]
    print($e)
""",
    inputs=[
        *([[[1, 2], [3, 0]]], [[[5], [], [4, 6]]], [[]], [[[], []]], [[[7, 8, 9]]]),
        *([[[1], [2], [3], [4]]], [[[0, 0], [1], [0, 2]]], [[[-1, -2], [3]]], [[[4, 4], [4]]]),
        *([[[9, 1], [8, 2], [7, 3]]], [[[10, 20, 30], [], [], [40]]]),
    ],
)

_RUNNING = expand(
    """
fn | what | f | part | near | order | back
running_sums | sum of nums[0] to nums[i] | sum | nums[:i + 1] | nums[:i] | nums | result
running_maximum | largest of nums[0] to nums[i] | max | nums[:i + 1] | nums[:i] | nums | result
running_minimum | smallest of nums[0] to nums[i] | min | nums[:i + 1] | nums[:i] | nums | result
sums_to_the_end | sum of nums[i] to the last number | sum | nums[i:] | nums[i + 1:] | nums[::-1]
    | result[::-1]
maximum_to_the_end | largest of nums[i] to the last number | max | nums[i:] | nums[i + 1:]
    | nums[::-1] | result[::-1]
minimum_to_the_end | smallest of nums[i] to the last number | min | nums[i:] | nums[i + 1:]
    | nums[::-1] | result[::-1]
""",
    description="Write a function `$fn(nums)` that returns a list as long as nums. "
    "Its item i is the $what (both included).",
    correct="""
def $fn(nums):
    return [$f($part) for i in range(len(nums))]
---
from itertools import accumulate

def $fn(nums):
    result = list(accumulate($order, lambda a, b: $f([a, b])))
    return $back
---
def $fn(nums):
    result = []
    for x in $order:
        result.append($f([result[-1], x]) if result else x)
    return $back
---
def $fn(nums):
    result, seen = [], []
    for x in $order:
        seen.append(x)
        result.append($f(seen))
    return $back
""",
    incorrect="""
def $fn(nums):
    return [$f($near) for i in range(len(nums))]
---
def $fn(nums):
    return $f(nums)
---
def $fn(nums):
    return [$f(nums) for i in range(len(nums))]
---
def $fn(nums):
    print([$f($part) for i in range(len(nums))])
---
def $fn(nums):
    return [$f($part) for i in range(len(nums) - 1)]
---
def $fn(nums):
    return [$f([x, y]) for x, y in zip(nums, nums[1:])]
""",
    inputs=[
        [nums]
        for nums in read_rows(
            "3 1 4 1 5; 2 -1 2; ; 7; 0 0; -3 -2 -1; 5 4 3 2; 10 20 -30 40; 1 1 1 1; "
            "-5 8 -5 8; 100 -1 0 6"
        )
    ],
)

_LIMIT_REPEATS = expand(
    """
fn | what | times | k | order | back
keep_first_copies | its first copy | once | 1 | nums | result
keep_last_copies | its last copy | once | 1 | nums[::-1] | result[::-1]
keep_two_first_copies | its first 2 copies | twice | 2 | nums | result
keep_two_last_copies | its last 2 copies | twice | 2 | nums[::-1] | result[::-1]
keep_three_first_copies | its first 3 copies | 3 times | 3 | nums | result
keep_three_last_copies | its last 3 copies | 3 times | 3 | nums[::-1] | result[::-1]
""",
    description="Write a function `$fn(nums)` that returns the list with only $what of every "
    "number that appears more than $times. The order stays the same.",
    correct="""
def $fn(nums):
    result = []
    for x in $order:
        if result.count(x) < $k:
            result.append(x)
    return $back
---
def $fn(nums):
    counts = {}
    result = []
    for x in $order:
        counts[x] = counts.get(x, 0) + 1
        if counts[x] <= $k:
            result.append(x)
    return $back
---
def $fn(nums):
    seq = $order
    result = [x for i, x in enumerate(seq) if seq[:i].count(x) < $k]
    return $back
---
def $fn(nums):
    result = list($order)
    for i in range(len(result) - 1, -1, -1):
        if result[:i].count(result[i]) >= $k:
            del result[i]
    return $back
""",
    incorrect="""
def $fn(nums):
    return list(set(nums))
---
def $fn(nums):
    return sorted(nums)[:$k]
---
def $fn(nums):
    return [x for x in nums if nums.count(x) <= $k]
---
def $fn(nums):
    result = []
    for x in $order:
        if result.count(x) <= $k:
            result.append(x)
    return $back
---
def $fn(nums):
    result = []
    for x in $order:
        if result.count(x) < $k:
            result.append(x)
    print($back)
""",
    inputs=[
        [nums]
        for nums in read_rows(
            "4 2 4 4 1 4; 5 5 3 5 5 3; ; 8; 1 1 1 1 1; 3 2 1; 9 7 9 7 9 7 9 7; "
            "0 6 0 0 6 0 0; -1 -1 2 -1 2 2 -1 2; 6 5 4 4 5 6 6 5 4; 7 0 7 0 7 1 7"
        )
    ],
)

_CHUNKS = expand(
    """
fn | what | k | e
chunks_of_two | nums cut into lists of 2 numbers | 2 | part
chunks_of_three | nums cut into lists of 3 numbers | 3 | part
chunks_of_four | nums cut into lists of 4 numbers | 4 | part
sums_of_two | a list with the sum of each group of 2 numbers | 2 | sum(part)
sums_of_three | a list with the sum of each group of 3 numbers | 3 | sum(part)
largest_of_three | a list with the largest number of each group of 3 | 3 | max(part)
""",
    description="Write a function `$fn(nums)` that returns $what, taken from left to right. "
    "The last group may be shorter.",
    correct="""
def $fn(nums):
    parts = [nums[i:i + $k] for i in range(0, len(nums), $k)]
    return [$e for part in parts]
---
def $fn(nums):
    result = []
    while nums:
        part, nums = nums[:$k], nums[$k:]
        result.append($e)
    return result
---
def $fn(nums):
    parts = []
    for i, x in enumerate(nums):
        if i % $k == 0:
            parts.append([])
        parts[-1].append(x)
    return [$e for part in parts]
---
def $fn(nums):
    if not nums:
        return []
    part = nums[:$k]
    return [$e] + $fn(nums[$k:])
""",
    incorrect="""
def $fn(nums):
    parts = [nums[i:i + $k] for i in range(len(nums))]
    return [$e for part in parts]
---
def $fn(nums):
    parts = [nums[i * $k:i * $k + $k] for i in range(len(nums) // $k)]
    return [$e for part in parts]
---
def $fn(nums):
    parts = [nums[i::$k] for i in range($k)]
    return [$e for part in parts if part]
---
def $fn(nums):
    part = nums[:$k]
    return $e
---
def $fn(nums):
    parts = [nums[i:i + $k] for i in range(0, len(nums), $k)]
    print([$e for part in parts])
""",
    inputs=[
        [nums]
        for nums in read_rows(
            "1 2 3 4 5; 6 7 8 9; ; 5; 1 2; 3 3 3; 10 20 30 40 50 60 70; -1 -2 -3 -4 -5 -6; "
            "9 8 7 6 5 4 3 2; 0 0 0 0 0 0 0 0 1; 4 -4 4 -4 4 -4 4 -4 4 -4 4 -4 4"
        )
    ],
)

TEMPLATES = (
    Template("flatten", 2, "call", None, _FLATTEN, "test"),
    Template("running-values", 3, "call", None, _RUNNING, "train"),
    Template("limit-repeats", 3, "call", None, _LIMIT_REPEATS, "train"),
    Template("chunks", 3, "call", None, _CHUNKS, "train"),
)
