"""Call style: functions of one list."""

from spo_jax.problems.starter.table import expand
from spo_jax.problems.starter.template import Template

_LISTS: tuple[list, ...] = (
    *([[1, 2, 3]], [[4, -1, 7, 2]], [[5]], [[0, 0, 1]], [[10, 20, 30, 40]], [[-3, -5, -2]]),
    *([[9, 8, 7, 6, 5]], [[2, 2, 2, 8]], [[100, -100]], [[6, 3, 12, 15, 11]], [[1, 12, 1, 2]]),
)
_LISTS_OR_EMPTY: tuple[list, ...] = (*_LISTS, [[]])

_PAIRS_OR_MORE: tuple[list, ...] = (
    *([[3, 1, 2]], [["a", "b", "c", "d"]], [[7, 8]], [[5, 5, 9, 4]], [[1, 2, 3, 4, 5]], [[0, -1]]),
    *([["x", "y"]], [[10, 20, 30]], [[2, 2, 1]], [["hi", "you", "there"]], [[6, 4, 6, 4, 0, 9]]),
)

_PICK_ITEMS = expand(
    """
fn | what | e | f | g | h | w | v
first_item | the first item of a list | items[0] | next(iter(items)) | items[-len(items)]
    | items[::-1][-1] | items[1] | items[:1]
last_item | the last item of a list | items[-1] | items[len(items) - 1]
    | next(iter(reversed(items))) | items[::-1][0] | items[0] | items[len(items)]
second_item | the second item of a list | items[1] | items[:2][-1] | items[1:][0]
    | list(items)[1] | items[2] | items[0]
all_but_first | a list without its first item | items[1:] | items[1:len(items)]
    | items[-(len(items) - 1):] | items[::-1][:-1][::-1] | items[:-1] | items[2:]
all_but_last | a list without its last item | items[:-1] | items[:len(items) - 1]
    | items[0:-1] | items[::-1][1:][::-1] | items[1:] | items[:-2]
first_two_items | the first two items of a list | items[:2] | items[0:2] | items[:1] + items[1:2]
    | items[:-len(items) + 2] if len(items) > 2 else items | items[2:] | items[0] + items[1]
""",
    description="Write a function `$fn(items)` that returns $what.",
    correct="""
def $fn(items):
    return $e
---
def $fn(items):
    return $f
---
def $fn(items):
    return $g
---
def $fn(items):
    result = $h
    return result
""",
    incorrect="""
def $fn(items):
    return $w
---
def $fn(items):
    return $v
---
def $fn(items):
    print($e)
---
def $fn(items):
    result = $e
""",
    inputs=_PAIRS_OR_MORE,
)

_REDUCE_LIST = expand(
    """
fn | what | e | f | start | step | w | v
sum_of_list | the sum of a list of numbers | sum(numbers) | sum(n for n in numbers) | 0
    | result += n
    | max(numbers) | len(numbers)
count_items | how many numbers are in the list | len(numbers) | sum(1 for n in numbers)
    | 0 | result += 1 | sum(numbers) | len(numbers) - 1
largest_number | the largest number of a list | max(numbers) | sorted(numbers)[-1] | numbers[0]
    | result = n if n > result else result | min(numbers) | numbers[-1]
smallest_number | the smallest number of a list | min(numbers) | sorted(numbers)[0] | numbers[0]
    | result = n if n < result else result | max(numbers) | numbers[0]
double_sum | twice the sum of a list of numbers | 2 * sum(numbers) | sum(2 * n for n in numbers)
    | 0 | result += 2 * n | sum(numbers) | sum(numbers) + 2
negative_sum | minus the sum of a list of numbers | -sum(numbers)
    | sum(-n for n in numbers) | 0 | result -= n | sum(numbers) | -abs(sum(numbers))
""",
    description="Write a function `$fn(numbers)` that returns $what.",
    correct="""
def $fn(numbers):
    return $e
---
def $fn(numbers):
    return $f
---
def $fn(numbers):
    result = $start
    for n in numbers:
        $step
    return result
---
def $fn(numbers):
    result = $start
    for i in range(len(numbers)):
        n = numbers[i]
        $step
    return result
""",
    incorrect="""
def $fn(numbers):
    return $w
---
def $fn(numbers):
    return $v
---
def $fn(numbers):
    print($e)
---
def $fn(numbers):
    result = $start
    for n in numbers:
        $step
        return result * 1 if n else 0
""",
    inputs=_LISTS,
)

_MAP_LIST = expand(
    """
fn | what | e | w | v
double_all | each number doubled | n * 2 | n ** 2 | n + 2
square_all | each number squared | n * n | n * 2 | n + n
add_one_to_all | each number plus 1 | n + 1 | n - 1 | n + n
negate_all | the sign of each number changed | -n | abs(n) | n - 1
absolute_values | the absolute value of each number | abs(n) | -n | n
numbers_to_strings | each number as a string | str(n) | n | repr([n])
""",
    description="Write a function `$fn(numbers)` that returns a new list with $what.",
    correct="""
def $fn(numbers):
    return [$e for n in numbers]
---
def $fn(numbers):
    result = []
    for n in numbers:
        result.append($e)
    return result
---
def $fn(numbers):
    return list(map(lambda n: $e, numbers))
---
def $fn(numbers):
    result = list(numbers)
    for i, n in enumerate(numbers):
        result[i] = $e
    return result
""",
    incorrect="""
def $fn(numbers):
    return [$w for n in numbers]
---
def $fn(numbers):
    return [$v for n in numbers]
---
def $fn(numbers):
    print([$e for n in numbers])
---
def $fn(numbers):
    for n in numbers:
        return $e
---
def $fn(numbers):
    result = []
    for n in numbers[1:]:
        result.append($e)
    return result
""",
    inputs=_LISTS_OR_EMPTY,
)

_FILTER_LIST = expand(
    """
fn | what | e | w
keep_even | even | n % 2 == 0 | n % 2 == 1
keep_odd | odd | n % 2 == 1 | n % 2 == 0
keep_positive | greater than 0 | n > 0 | n >= 0
keep_negative | less than 0 | n < 0 | n <= -3
keep_over_ten | greater than 10 | n > 10 | n >= 10
keep_not_zero | not 0 | n != 0 | n == 0
""",
    description="Write a function `$fn(numbers)` that returns a list of the numbers "
    "that are $what, in the same order.",
    correct="""
def $fn(numbers):
    return [n for n in numbers if $e]
---
def $fn(numbers):
    result = []
    for n in numbers:
        if $e:
            result.append(n)
    return result
---
def $fn(numbers):
    return list(filter(lambda n: $e, numbers))
---
def $fn(numbers):
    result = []
    for n in numbers:
        if not ($e):
            continue
        result += [n]
    return result
""",
    incorrect="""
def $fn(numbers):
    return [n for n in numbers if $w]
---
def $fn(numbers):
    return [n for n in numbers if not ($e)]
---
def $fn(numbers):
    result = []
    for n in numbers:
        if $e:
            result.append(n)
            return result
---
def $fn(numbers):
    for n in numbers:
        if $e:
            return n
---
def $fn(numbers):
    print([n for n in numbers if $e])
""",
    inputs=_LISTS_OR_EMPTY,
)

_SUM_SOME = expand(
    """
fn | what | e | n | w
sum_even | the sum of the even numbers in the list | n % 2 == 0 | n | n % 2 == 1
sum_odd | the sum of the odd numbers in the list | n % 2 == 1 | n | n % 2 == 0
sum_positive | the sum of the positive numbers in the list | n > 0 | n | n < 0
count_even | how many numbers in the list are even | n % 2 == 0 | 1 | n % 2 == 1
count_positive | how many numbers in the list are greater than 0 | n > 0 | 1 | n >= 0
count_over_ten | how many numbers in the list are greater than 10 | n > 10 | 1 | n >= 10
""",
    description="Write a function `$fn(numbers)` that returns $what.",
    correct="""
def $fn(numbers):
    return sum($n for n in numbers if $e)
---
def $fn(numbers):
    total = 0
    for n in numbers:
        if $e:
            total += $n
    return total
---
def $fn(numbers):
    return sum([$n for n in numbers if $e])
---
def $fn(numbers):
    total = 0
    for n in numbers:
        total += $n if $e else 0
    return total
---
def $fn(numbers):
    return sum(map(lambda n: $n * ($e), numbers))
""",
    incorrect="""
def $fn(numbers):
    return sum($n for n in numbers if $w)
---
def $fn(numbers):
    return sum($n for n in numbers)
---
def $fn(numbers):
    total = 0
    for n in numbers:
        if $e:
            total += $n
        return total
---
def $fn(numbers):
    return [n for n in numbers if $e]
---
def $fn(numbers):
    print(sum($n for n in numbers if $e))
""",
    inputs=_LISTS_OR_EMPTY,
)

TEMPLATES = (
    Template("pick-items", 1, "call", None, _PICK_ITEMS, "train"),
    Template("reduce-list", 1, "call", None, _REDUCE_LIST, "train"),
    Template("map-list", 2, "call", None, _MAP_LIST, "test"),
    Template("filter-list", 2, "call", None, _FILTER_LIST, "train"),
    Template("sum-some", 2, "call", None, _SUM_SOME, "train"),
)
