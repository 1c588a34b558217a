"""Standard input: lines of integers, and integers counted by a number on the first line."""

from spo_jax.problems.starter.table import expand
from spo_jax.problems.starter.template import Template

_LINES = [
    f"{line}\n"
    for line in (
        *("4 9 2 7 5", "10 3 8 1", "5 5 4 4 3 3 2 2", "-1 -5 -3 -2", "100 20 3 4 50"),
        *("7 6 5 4 3 2 1", "1 2 3 4", "0 -10 10 5", "8 8 8 1 2 3", "12 9 30 9 12 31 2"),
        *("-7 7 0 14 -7", "6 11 6 5 11 10"),
    )
]

_KTH = expand(
    """
name | what | k | back | f | other
second-largest | second largest | 2 | -2 | max | min
third-largest | third largest | 3 | -3 | max | min
fourth-largest | fourth largest | 4 | -4 | max | min
second-smallest | second smallest | 2 | 1 | min | max
third-smallest | third smallest | 3 | 2 | min | max
fourth-smallest | fourth smallest | 4 | 3 | min | max
""",
    description="Read a line of integers separated by spaces. Print the $what of the different "
    "numbers: equal numbers count only once. There are at least 4 different numbers.",
    correct="""
nums = sorted(set(map(int, input().split())))
print(nums[$back])
---
nums = set(map(int, input().split()))
for _ in range($k - 1):
    nums.remove($f(nums))
print($f(nums))
---
nums = []
for word in input().split():
    if int(word) not in nums:
        nums.append(int(word))
nums.sort()
print(nums[$back])
---
nums = list(map(int, input().split()))
for _ in range($k - 1):
    best = $f(nums)
    nums = [x for x in nums if x != best]
print($f(nums))
""",
    incorrect="""
nums = sorted(map(int, input().split()))
print(nums[$back])
---
nums = sorted(set(input().split()))
print(nums[$back])
---
nums = set(map(int, input().split()))
print($f(nums))
---
nums = set(map(int, input().split()))
for _ in range($k - 1):
    nums.remove($other(nums))
print($other(nums))
---
nums = sorted(set(map(int, input("Enter numbers: ").split())))
print(nums[$back])
---
nums = sorted(set(map(int, input().split())))
print(nums[$back - 1])
""",
    inputs=_LINES,
)

_NEIGHBOURS = expand(
    """
name | what | e
difference | b - a | b - a
distance | the absolute value of b - a | abs(b - a)
sum | a + b | a + b
product | a * b | a * b
larger | the larger of a and b | max(a, b)
smaller | the smaller of a and b | min(a, b)
""",
    description="Read a line of integers separated by spaces. For every number a and the number b "
    "right after it, print $what, all on one line separated by spaces.",
    correct="""
nums = list(map(int, input().split()))
print(*[$e for a, b in zip(nums, nums[1:])])
---
nums = [int(word) for word in input().split()]
for i in range(len(nums) - 1):
    a, b = nums[i], nums[i + 1]
    print($e, end=" ")
---
a, *rest = map(int, input().split())
result = []
for b in rest:
    result.append(str($e))
    a = b
print(" ".join(result))
---
nums = list(map(int, input().split()))
print(*map(lambda a, b: $e, nums[:-1], nums[1:]))
""",
    incorrect="""
nums = list(map(int, input().split()))
for i in range(len(nums)):
    a, b = nums[i], nums[i + 1]
    print($e, end=" ")
---
nums = list(map(int, input().split()))
print(*[$e for a, b in zip(nums[::2], nums[1::2])])
---
nums = list(map(int, input("Numbers: ").split()))
print(*[$e for a, b in zip(nums, nums[1:])])
---
nums = list(map(int, input().split()))
print([$e for a, b in zip(nums, nums[1:])])
---
a, b = map(int, input().split())
print($e)
---
nums = list(map(int, input().split()))
for a in nums:
    for b in nums:
        print($e, end=" ")
""",
    inputs=_LINES,
)

_COUNTED_LINES = expand(
    """
name | what | e | start | step
sum | the sum of the n integers | sum(nums) | 0 | result += x
largest | the largest of the n integers | max(nums) | -10**9 | result = max(result, x)
smallest | the smallest of the n integers | min(nums) | 10**9 | result = min(result, x)
negatives | how many of the n integers are negative | sum(x < 0 for x in nums) | 0
    | result += x < 0
evens | how many of the n integers are even | len([x for x in nums if x % 2 == 0]) | 0
    | result += x % 2 == 0
square-sum | the sum of the squares of the n integers | sum(x * x for x in nums) | 0
    | result += x * x
""",
    description="The first line has an integer n. The next n lines have one integer each. "
    "Print $what.",
    correct="""
n = int(input())
nums = [int(input()) for _ in range(n)]
print($e)
---
n = int(input())
result = $start
for _ in range(n):
    x = int(input())
    $step
print(result)
---
import sys
nums = list(map(int, sys.stdin.read().split()))[1:]
print($e)
---
n = int(input())
result = $start
while n > 0:
    x = int(input())
    $step
    n -= 1
print(result)
""",
    incorrect="""
n = int(input())
nums = list(map(int, input().split()))
print($e)
---
n = int(input())
nums = [int(input()) for _ in range(n - 1)]
print($e)
---
n = int(input("How many numbers? "))
nums = [int(input()) for _ in range(n)]
print($e)
---
n = int(input())
nums = [input() for _ in range(n)]
print($e)
---
n = int(input())
result = $start
for x in range(n):
    $step
print(result)
""",
    inputs=[
        f"{len(line.split())}\n" + "\n".join(line.split()) + "\n"
        for line in (
            *("3 -8 5", "-2 -4 -6 -7", "5", "-3", "0 0 1", "2 4 6 8", "9 -9 9 -10", "10 7 15"),
            *("1 1 1 1 1 1 1", "6 -6 12 -12 3 20", "100 -50 -51 -52"),
        )
    ],
)

_WINDOW = expand(
    """
name | what | k | f
largest-two | largest | 2 | max
largest-three | largest | 3 | max
largest-four | largest | 4 | max
smallest-two | smallest | 2 | min
smallest-three | smallest | 3 | min
smallest-four | smallest | 4 | min
""",
    description="The first line has an integer n (at least 4), the second line n integers. Print "
    "the $what sum of $k numbers that stand next to each other.",
    correct="""
n = int(input())
nums = list(map(int, input().split()))
print($f(sum(nums[i:i + $k]) for i in range(n - $k + 1)))
---
n = int(input())
nums = list(map(int, input().split()))
total = best = sum(nums[:$k])
for i in range($k, n):
    total += nums[i] - nums[i - $k]
    best = $f(best, total)
print(best)
---
n = int(input())
sums = [0]
for x in map(int, input().split()):
    sums.append(sums[-1] + x)
print($f(b - a for a, b in zip(sums, sums[$k:])))
---
input()
nums = list(map(int, input().split()))
totals = []
while len(nums) >= $k:
    totals.append(sum(nums[:$k]))
    nums.pop(0)
print($f(totals))
""",
    incorrect="""
n = int(input())
nums = list(map(int, input().split()))
print($f(sum(nums[i:i + $k]) for i in range(n)))
---
n = int(input())
nums = list(map(int, input().split()))
print($f(sum(nums[i:i + $k]) for i in range(n - $k)))
---
n = int(input())
nums = sorted(map(int, input().split()))
print($f(sum(nums[:$k]), sum(nums[-$k:])))
---
n = int(input())
nums = list(map(int, input().split()))
print($f(sum(nums[i:i + $k]) for i in range(0, n - $k + 1, $k)))
---
nums = list(map(int, input().split()))
print($f(sum(nums[i:i + $k]) for i in range(len(nums) - $k + 1)))
---
n = int(input())
nums = list(map(int, input().split()))
best = 0
for i in range(n - $k + 1):
    best = $f(best, sum(nums[i:i + $k]))
print(best)
""",
    inputs=[
        f"{len(line.split())}\n{line}\n"
        for line in (
            *("1 5 2 9 3 8", "4 -1 -2 7 0", "-5 -4 -3 -2 -6", "1 2 3 4 5 6 7", "7 6 5 4 3 2 1"),
            *("10 0 0 10 0 10 10 0 20", "3 3 3 3", "-1 8 -9 8 -1 8 -2", "5 1 9 1 1 9 1 5 5"),
            *("2 4 6 1 1 1 1 3 8 9", "50 -60 70 -80 90"),
        )
    ],
)

TEMPLATES = (
    Template("kth-number", 2, "stdin", None, _KTH, "train"),
    Template("neighbours", 2, "stdin", None, _NEIGHBOURS, "train"),
    Template("counted-lines", 2, "stdin", None, _COUNTED_LINES, "train"),
    Template("window-sum", 4, "stdin", None, _WINDOW, "train"),
)
