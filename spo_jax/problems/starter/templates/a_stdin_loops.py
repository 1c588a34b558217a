"""Standard input, difficulty 2 and 3: loops that print."""

from spo_jax.problems.starter.table import expand, read_lines
from spo_jax.problems.starter.template import Template

_SMALL = read_lines("5; 3; 1; 2; 4; 6; 7; 8; 9; 10; 12; 15")

_PRINT_RANGE = expand(
    """
name | what | range | e | w
one-to-n | the numbers from 1 to n | range(1, n + 1) | i | range(n)
zero-to-n | the numbers from 0 to n | range(n + 1) | i | range(n)
countdown | the numbers from n down to 1 | range(n, 0, -1) | i | range(n, 1, -1)
squares | the squares of the numbers from 1 to n | range(1, n + 1) | i * i | range(n)
multiples-of-three | the first n multiples of 3, beginning with 3 | range(1, n + 1) | 3 * i
    | range(n)
even-numbers | the first n even numbers, beginning with 2 | range(1, n + 1) | 2 * i | range(n)
""",
    description="Read an integer n. Print $what, one per line.",
    correct="""
n = int(input())
for i in $range:
    print($e)
---
n = int(input())
print("\\n".join(str($e) for i in $range))
---
n = int(input())
print(*[$e for i in $range], sep="\\n")
---
n = int(input())
left = list($range)
while left:
    i = left.pop(0)
    print($e)
""",
    incorrect="""
n = int(input())
for i in $w:
    print($e)
---
n = int(input("Enter n: "))
for i in $range:
    print($e)
---
n = int(input())
print([$e for i in $range])
---
n = input()
for i in $range:
    print($e)
---
n = int(input())
for i in $range:
    print("Number:", $e)
""",
    more_correct={
        "one-to-n": """
n = int(input())
i = 1
while i <= n:
    print(i)
    i += 1
""",
        "countdown": """
n = int(input())
while n > 0:
    print(n)
    n -= 1
""",
    },
    inputs=_SMALL,
)

_STARS = expand(
    """
name | what | lines | e | w
row | one line of n stars (*) | range(1) | "*" * n | "*" * (n + 1)
square | n lines of n stars (*) each | range(n) | "*" * n | "*" * (n - 1)
triangle | n lines: one star (*), then two stars, and so on up to n stars | range(n)
    | "*" * (i + 1) | "*" * i
falling-triangle | n lines: n stars (*), then n - 1 stars, and so on down to one star | range(n)
    | "*" * (n - i) | "*" * (n - i - 1)
two-rows | two lines of n hash signs (#) each | range(2) | "#" * n | "#" * (n + 2)
digit-lines | n lines: 1, then 11, then 111, and so on up to n ones | range(n)
    | "1" * (i + 1) | "1" * n
""",
    description="Read an integer n. Print $what.",
    correct="""
n = int(input())
for i in $lines:
    print($e)
---
n = int(input())
print("\\n".join($e for i in $lines))
---
n = int(input())
picture = ""
for i in $lines:
    picture += $e + "\\n"
print(picture, end="")
---
def line(i):
    return $e

n = int(input())
print(*map(line, $lines), sep="\\n")
""",
    incorrect="""
n = int(input())
for i in $lines:
    print($w)
---
n = int(input("Enter n: "))
for i in $lines:
    print($e)
---
n = int(input())
print("* " * (n + 1))
---
n = int(input())
for i in $lines:
    print($e + "*")
---
n = int(input())
print([$e for i in $lines])
""",
    inputs=_SMALL,
)

_NUMBER_COLUMN = expand(
    """
name | what | start | step | e | w
sum | their sum | 0 | result += x | sum(numbers) | sum(numbers) + n
largest | the largest of them | -10**9 | result = max(result, x) | max(numbers) | min(numbers)
count-positive | how many of them are greater than 0 | 0 | result += x > 0
    | sum(x > 0 for x in numbers) | sum(x >= 0 for x in numbers)
count-even | how many of them are even | 0 | result += x % 2 == 0
    | sum(x % 2 == 0 for x in numbers) | sum(x % 2 for x in numbers)
sum-of-even | the sum of the even ones | 0 | result += x if x % 2 == 0 else 0
    | sum(x for x in numbers if x % 2 == 0) | sum(x for x in numbers if x % 2)
spread | the largest minus the smallest | 0 | result = max(result, max(numbers) - x)
    | max(numbers) - min(numbers) | numbers[-1] - numbers[0]
""",
    description="The first line holds n. Each of the next n lines holds one integer. Print $what.",
    correct="""
n = int(input())
numbers = [int(input()) for _ in range(n)]
print($e)
---
n = int(input())
numbers = []
for _ in range(n):
    numbers.append(int(input()))
result = $start
for x in numbers:
    $step
print(result)
---
import sys
numbers = list(map(int, sys.stdin.read().split()))[1:]
print($e)
---
import sys
lines = sys.stdin.readlines()
numbers = [int(line) for line in lines[1:]]
result = $start
while numbers:
    x = min(numbers)
    $step
    numbers.remove(x)
print(result)
""",
    incorrect="""
n = int(input())
numbers = list(map(int, input().split()))
print($e)
---
n = int(input())
numbers = [int(input()) for _ in range(n - 1)]
print($e)
---
import sys
numbers = list(map(int, sys.stdin.read().split()))
print($e)
---
n = int(input())
numbers = [int(input()) for _ in range(n)]
print($w)
---
n = int(input("How many? "))
numbers = [int(input("Number: ")) for _ in range(n)]
print($e)
""",
    inputs=tuple(
        f"{line.count(' ') + 1} {line}".replace(" ", "\n") + "\n"
        for line in (
            *("1 2 3", "4 -1 7 2", "5", "0 0 1 2", "10 20 30 40", "-3 -5 -2", "9 8 7 6 5"),
            *("2 2 2 8", "100 -100", "6 3 12 15 11", "1 12 1 2 0"),
        )
    ),
)

TEMPLATES = (
    Template("print-range", 2, "stdin", None, _PRINT_RANGE, "train"),
    Template("stars", 2, "stdin", None, _STARS, "test"),
    Template("number-column", 3, "stdin", None, _NUMBER_COLUMN, "train"),
)
