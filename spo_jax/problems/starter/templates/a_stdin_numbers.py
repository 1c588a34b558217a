"""Standard input, difficulty 1 and 2: read a few numbers, print one line."""

from spo_jax.problems.starter.table import expand, read_lines
from spo_jax.problems.starter.template import Template

_ONE_INT = read_lines("7; 10; 0; 1; -3; 25; 100; 2; -50; 999; 12")
_TWO_INTS = read_lines("3 8; 10 4; 5 5; -1 -2; 0 7; 9 -7; 100 99; -50 50; 12 13; 2 1; 7 7; 1000 1")

_NUMBER_LINE = expand(
    """
name | what | e | f | g | w
plus-five | n + 5 | n + 5 | sum([n, 5]) | n - (-5) | n * 5
minus-one | n - 1 | n - 1 | n + (-1) | ~-n | n + 1
times-two | n * 2 | n * 2 | n + n | sum([n, n]) | n ** 2
times-ten | n * 10 | n * 10 | sum([n] * 10) | n * 5 + n * 5 | n + 10
squared | n * n | n * n | n ** 2 | pow(n, 2) | n * 2
opposite | -n | -n | 0 - n | n * -1 | abs(n)
""",
    description="Read an integer n. Print $what.",
    correct="""
n = int(input())
print($e)
---
n = int(input())
result = $f
print(result)
---
import sys
n = int(sys.stdin.readline())
print($g)
---
def solve(n):
    return $e

print(solve(int(input())))
""",
    incorrect="""
n = int(input("Enter a number: "))
print($e)
---
n = input()
print($e)
---
n = int(input())
print($w)
---
n = int(input())
print("The result is", $e)
---
def solve(n):
    return $e
---
n = 5
print($e)
""",
    inputs=_ONE_INT,
)

_TWO_NUMBERS_LINE = expand(
    """
name | what | e | f | g | w
sum | their sum | a + b | sum([a, b]) | a - (-b) | a * b
product | their product | a * b | b * a | (a + b) ** 2 // 4 - (a - b) ** 2 // 4 | a + b
difference | the first minus the second | a - b | a + (-b) | -(b - a) | b - a
sum-of-doubles | twice their sum | 2 * (a + b) | a + a + b + b | sum([a, b]) * 2 | 2 * a + b
sum-minus-one | their sum minus 1 | a + b - 1 | sum([a, b]) - 1 | a - 1 + b | a + b + 1
first-plus-twice-second | the first plus twice the second | a + 2 * b | a + b + b
    | sum([a, b, b]) | 2 * a + b
""",
    description="Read two integers from one line, separated by a space. Print $what.",
    correct="""
a, b = map(int, input().split())
print($e)
---
numbers = input().split()
a = int(numbers[0])
b = int(numbers[1])
print($f)
---
import sys
a, b = [int(word) for word in sys.stdin.read().split()]
print($g)
---
def solve(a, b):
    return $e

a, b = input().split()
print(solve(int(a), int(b)))
""",
    incorrect="""
a = int(input())
b = int(input())
print($e)
---
a = int(input("Enter the first number: "))
b = int(input("Enter the second number: "))
print($e)
---
a, b = input().split()
print(a + b)
---
a, b = map(int, input().split())
print($w)
---
a, b = map(int, input().split())
print("Result:", $e)
---
def solve(a, b):
    return $e
""",
    inputs=_TWO_INTS,
)

_REDUCE_LINE = expand(
    """
name | what | e | start | step | w | v
sum | their sum | sum(numbers) | 0 | result += n | max(numbers) | len(numbers)
count | how many there are | len(numbers) | 0 | result += 1 | sum(numbers) | numbers[-1]
largest | the largest one | max(numbers) | numbers[0] | result = max(result, n) | min(numbers)
    | numbers[-1]
smallest | the smallest one | min(numbers) | numbers[0] | result = min(result, n) | max(numbers)
    | numbers[0]
product | their product | math.prod(numbers) | 1 | result *= n | sum(numbers)
    | numbers[0] * numbers[-1]
sum-of-squares | the sum of their squares | sum(n * n for n in numbers) | 0 | result += n * n
    | sum(numbers) ** 2 | sum(n * 2 for n in numbers)
""",
    description="Read a line of integers separated by spaces. Print $what.",
    correct="""
numbers = list(map(int, input().split()))
result = $start
for n in numbers:
    $step
print(result)
---
import math
numbers = [int(word) for word in input().split()]
print($e)
---
import sys
numbers = [int(word) for word in sys.stdin.read().split()]
result = $start
for i in range(len(numbers)):
    n = numbers[i]
    $step
print(result)
---
def solve(numbers):
    result = $start
    while numbers:
        n = numbers.pop()
        $step
    return result

print(solve([int(word) for word in input().split()]))
""",
    incorrect="""
numbers = input().split()
result = $start
for n in numbers:
    $step
print(result + "")
---
numbers = list(map(int, input().split()))
print($w)
---
numbers = list(map(int, input().split()))
print($v)
---
import math
numbers = list(map(int, input("Enter numbers: ").split()))
print($e)
---
numbers = [int(input())]
result = $start
for n in numbers:
    $step
print(result)
---
import math
numbers = list(map(int, input().split()))
print("The answer is", $e)
""",
    inputs=tuple(
        f"{line}\n"
        for line in (
            *("1 2 3", "4 -1 7 2", "5", "0 0 1", "10 20 30 40", "-3 -5 -2", "9 8 7 6 5"),
            *("2 2 2 8", "100 -100", "6 3 12 15 11", "1 12 1 2"),
        )
    ),
)

_SPLIT_UNITS = expand(
    """
name | a | k | what
minutes | minutes | 60 | full hours and remaining minutes
days | days | 7 | full weeks and remaining days
inches | inches | 12 | full feet (12 inches each) and remaining inches
cents | cents | 100 | full dollars and remaining cents
eggs | eggs | 6 | full boxes of 6 eggs and eggs left over
hours | hours | 24 | full days and remaining hours
""",
    description="Read a number of $a. Print two integers separated by a space: $what.",
    correct="""
$a = int(input())
print($a // $k, $a % $k)
---
$a = int(input())
first, second = divmod($a, $k)
print(first, second)
---
$a = int(input())
first = 0
while $a >= $k:
    $a -= $k
    first += 1
print(f"{first} {$a}")
---
import sys
$a = int(sys.stdin.readline())
first = $a // $k
print(first, $a - first * $k)
""",
    incorrect="""
$a = int(input())
print($a / $k, $a % $k)
---
$a = int(input())
print($a % $k, $a // $k)
---
$a = int(input("Enter $a: "))
print($a // $k, $a % $k)
---
$a = int(input())
print($a // $k)
---
$a = int(input())
print($a // $k, "and", $a % $k)
""",
    inputs=tuple(f"{n}\n" for n in (150, 61, 0, 5, 6, 7, 12, 24, 60, 100, 1234, 999)),
)

_SEVERAL_VALUES = expand(
    """
name | what | x | y | z | w
consecutive | n, n + 1 and n + 2 | n | n + 1 | n + 2 | n + 3
neighbours | n - 1, n and n + 1 | n - 1 | n | n + 1 | n + 2
multiples | n, 2 * n and 3 * n | n | 2 * n | 3 * n | n ** 3 - 1
powers | n, n squared and n cubed | n | n ** 2 | n ** 3 | 3 * n - 1
backwards | n + 2, n + 1 and n | n + 2 | n + 1 | n | n - 1
tens | n, n + 10 and n + 20 | n | n + 10 | n + 20 | n + 30
""",
    description="Read an integer n. Print $what on one line, separated by spaces.",
    correct="""
n = int(input())
print($x, $y, $z)
---
n = int(input())
print(f"{$x} {$y} {$z}")
---
n = int(input())
values = [$x, $y, $z]
print(*values)
---
n = int(input())
print(" ".join(str(value) for value in ($x, $y, $z)))
---
n = int(input())
for value in ($x, $y, $z):
    print(value, end=" ")
print()
""",
    incorrect="""
n = int(input("Enter n: "))
print($x, $y, $z)
---
n = input()
print($x, $y, $z)
---
n = int(input())
print([$x, $y, $z])
---
n = int(input())
print($x, $y, $w)
---
n = int(input())
print($x, $y)
---
n = int(input())
print("n", "$y", "$z")
""",
    inputs=_ONE_INT,
)

TEMPLATES = (
    Template("number-line", 1, "stdin", None, _NUMBER_LINE, "train"),
    Template("two-numbers-line", 1, "stdin", None, _TWO_NUMBERS_LINE, "train"),
    Template("reduce-line", 1, "stdin", None, _REDUCE_LINE, "train"),
    Template("split-units", 2, "stdin", None, _SPLIT_UNITS, "test"),
    Template("several-values", 1, "stdin", None, _SEVERAL_VALUES, "test"),
)
