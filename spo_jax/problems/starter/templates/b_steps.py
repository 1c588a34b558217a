"""Small algorithms: runs, Collatz sequences, and ways and coins by dynamic programming."""

from spo_jax.problems.starter.table import expand, read_rows
from spo_jax.problems.starter.template import Template

_LONGEST_RUN = expand(
    """
fn | what | op | near
longest_equal_run | is equal to | == | >=
longest_rising_run | is greater than | > | >=
longest_falling_run | is less than | < | <=
longest_not_falling_run | is at least | >= | >
longest_not_rising_run | is at most | <= | <
longest_changing_run | is different from | != | >
""",
    description="Write a function `$fn(nums)` that returns the length of the longest part of nums "
    "in which every number after the part's first $what the number before it. "
    "For an empty list return 0.",
    correct="""
def $fn(nums):
    best = run = 0
    for i, x in enumerate(nums):
        run = run + 1 if i and x $op nums[i - 1] else 1
        best = max(best, run)
    return best
---
def $fn(nums):
    runs = []
    for i in range(len(nums)):
        grows = i > 0 and nums[i] $op nums[i - 1]
        runs.append(runs[-1] + 1 if grows else 1)
    return max(runs, default=0)
---
def $fn(nums):
    best = start = 0
    for i in range(1, len(nums) + 1):
        if i == len(nums) or not nums[i] $op nums[i - 1]:
            best = max(best, i - start)
            start = i
    return best
---
def $fn(nums):
    n = 1
    while n < len(nums) and nums[n] $op nums[n - 1]:
        n += 1
    return max(n, $fn(nums[n:])) if nums else 0
""",
    incorrect="""
def $fn(nums):
    return sum(y $op x for x, y in zip(nums, nums[1:]))
---
def $fn(nums):
    best = run = 0
    for i, x in enumerate(nums):
        run = run + 1 if i and x $op nums[i - 1] else 0
        best = max(best, run)
    return best
---
def $fn(nums):
    best = run = 0
    for i, x in enumerate(nums):
        run = run + 1 if i and x $near nums[i - 1] else 1
        best = max(best, run)
    return best
---
def $fn(nums):
    run = 0
    for i, x in enumerate(nums):
        run = run + 1 if i and x $op nums[i - 1] else 1
    return run
---
def $fn(nums):
    return len(set(nums))
""",
    inputs=[
        [nums]
        for nums in read_rows(
            "1 2 2 2 3 0; 5 4 3 4 5 6; ; 7; 1 1 1 1; 9 8 8 7 7 7; 1 2 3 4 5; 5 4 3 2 1; "
            "0 -1 0 -1 0; 2 2 3 3 3 1 1 1 1 0; 6 6 5 5 6 6 7; 3 3"
        )
    ],
)

_COLLATZ = expand(
    """
name | what | e
steps | how many steps this takes | len(seq) - 1
all-values | all values, from n to 1, on one line | *seq
backwards | all values, from 1 back to n, on one line | *seq[::-1]
total | the sum of all values, n and 1 included | sum(seq)
odd-count | how many of the values, n and 1 included, are odd | sum(x % 2 for x in seq)
odd-total | the sum of the odd values, n and 1 included | sum(x for x in seq if x % 2)
""",
    description="Read a positive integer n. Until n is 1: replace an even n by n / 2 and an odd n "
    "by 3 * n + 1. Print $what.",
    correct="""
n = int(input())
seq = [n]
while n != 1:
    n = n // 2 if n % 2 == 0 else 3 * n + 1
    seq.append(n)
print($e)
---
def values(n):
    if n == 1:
        return [1]
    return [n] + values(3 * n + 1 if n % 2 else n // 2)

seq = values(int(input()))
print($e)
---
seq = [int(input())]
while seq[-1] > 1:
    last = seq[-1]
    seq += [(last // 2, 3 * last + 1)[last % 2]]
print($e)
---
def values(n):
    while n > 1:
        yield n
        if n % 2:
            n = 3 * n + 1
        else:
            n //= 2
    yield 1

seq = list(values(int(input())))
print($e)
""",
    incorrect="""
n = int(input())
seq = []
while n != 1:
    seq.append(n)
    n = n // 2 if n % 2 == 0 else 3 * n + 1
print($e)
---
n = int(input("n = "))
seq = [n]
while n != 1:
    n = n // 2 if n % 2 == 0 else 3 * n + 1
    seq.append(n)
print($e)
---
n = int(input())
seq = [n, n // 2 if n % 2 == 0 else 3 * n + 1]
print($e)
---
n = int(input())
seq = [n]
while n % 2 == 0:
    n //= 2
    seq.append(n)
print($e)
---
n = int(input())
seq = []
while n != 1:
    n = n // 2 if n % 2 == 0 else 3 * n + 1
    seq.append(n)
print($e)
""",
    inputs=[f"{n}\n" for n in (6, 5, 1, 2, 3, 7, 8, 11, 12, 19, 40, 64)],
)

_WAYS = expand(
    """
fn | what | steps
ways_one_two | 1 or 2 | (1, 2)
ways_one_three | 1 or 3 | (1, 3)
ways_one_two_three | 1, 2 or 3 | (1, 2, 3)
ways_two_three | 2 or 3 | (2, 3)
ways_one_four | 1 or 4 | (1, 4)
ways_one_three_five | 1, 3 or 5 | (1, 3, 5)
""",
    description="You climb n stairs, taking $what stairs at a time. Write a function `$fn(n)` that "
    "returns the number of different orders of steps that reach exactly n. "
    "For n = 0 return 1.",
    correct="""
def $fn(n):
    ways = [1]
    for i in range(1, n + 1):
        ways.append(sum(ways[i - s] for s in $steps if s <= i))
    return ways[n]
---
from functools import lru_cache

@lru_cache(None)
def $fn(n):
    if n < 0:
        return 0
    return 1 if n == 0 else sum($fn(n - s) for s in $steps)
---
def $fn(n):
    ways = [0] * (n + 10)
    ways[0] = 1
    for i in range(n):
        for s in $steps:
            ways[i + s] += ways[i]
    return ways[n]
---
def $fn(n):
    last = [0, 0, 0, 0, 1]
    for _ in range(n):
        last.append(sum(last[-s] for s in $steps))
    return last[-1]
""",
    incorrect="""
def $fn(n):
    ways = [1] + [0] * n
    for s in $steps:
        for i in range(s, n + 1):
            ways[i] += ways[i - s]
    return ways[n]
---
def $fn(n):
    if n <= 0:
        return 1
    return sum($fn(n - s) for s in $steps)
---
def $fn(n):
    if n <= 1:
        return n
    return sum($fn(n - s) for s in $steps)
---
def $fn(n):
    ways = [1]
    for i in range(1, n):
        ways.append(sum(ways[i - s] for s in $steps if s <= i))
    return ways[-1]
---
def $fn(n):
    return n * len($steps)
""",
    inputs=[[n] for n in (4, 5, 0, 1, 2, 3, 6, 7, 8, 10, 12, 15)],
)

_COINS = expand(
    """
name | coins
one-three-four | 1, 3, 4
one-five-eight | 1, 5, 8
one-four-six | 1, 4, 6
one-six-ten | 1, 6, 10
one-seven-nine | 1, 7, 9
one-five-six | 1, 5, 6
""",
    description="There are coins of value $coins, as many as needed. Read an integer n. "
    "Print the smallest number of coins that are worth exactly n together.",
    correct="""
n = int(input())
best = [0]
for i in range(1, n + 1):
    best.append(1 + min(best[i - c] for c in ($coins) if c <= i))
print(best[n])
---
n = int(input())
sums, count = {0}, 0
while n not in sums:
    sums = {s + c for s in sums for c in ($coins)}
    count += 1
print(count)
---
from functools import lru_cache

@lru_cache(None)
def coins(n):
    if n == 0:
        return 0
    return 1 + min(coins(n - c) for c in ($coins) if c <= n)

print(coins(int(input())))
---
n = int(input())
best = list(range(n + 1))
for c in ($coins):
    for i in range(c, n + 1):
        best[i] = min(best[i], best[i - c] + 1)
print(best[n])
""",
    incorrect="""
n = int(input())
count = 0
for c in sorted(($coins), reverse=True):
    count += n // c
    n %= c
print(count)
---
n = int(input("Enter n: "))
best = [0]
for i in range(1, n + 1):
    best.append(1 + min(best[i - c] for c in ($coins) if c <= i))
print(best[n])
---
n = int(input())
best = [0]
for i in range(1, n):
    best.append(1 + min(best[i - c] for c in ($coins) if c <= i))
print(best[-1])
---
n = int(input())
ways = [1] + [0] * n
for c in ($coins):
    for i in range(c, n + 1):
        ways[i] += ways[i - c]
print(ways[n])
---
n = int(input())
c = max($coins)
print(n // c + n % c)
""",
    inputs=[f"{n}\n" for n in (6, 10, 0, 1, 5, 8, 12, 14, 15, 17, 20, 24, 40)],
)

TEMPLATES = (
    Template("longest-run", 4, "call", None, _LONGEST_RUN, "train"),
    Template("collatz", 4, "stdin", None, _COLLATZ, "test"),
    Template("ways", 5, "call", None, _WAYS, "train"),
    Template("coins", 5, "stdin", None, _COINS, "test"),
)
