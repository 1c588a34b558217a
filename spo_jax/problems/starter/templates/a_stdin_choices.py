"""Standard input, difficulty 1: compare a few numbers."""

from spo_jax.problems.starter.table import expand, read_lines
from spo_jax.problems.starter.template import Template

_ONE_INT = read_lines("7; 10; 0; 1; -3; 25; 100; 2; -50; 999; 12")
_TWO_INTS = read_lines("3 8; 10 4; 5 5; -1 -2; 0 7; 9 -7; 100 99; -50 50; 12 13; 2 1; 7 7; 1000 1")
_THREE_INTS = read_lines(
    "1 2 3; 9 4 6; 5 5 5; -1 -2 -3; 0 0 7; 2 9 4; 8 1 8; 10 -10 0; 3 100 50; -5 6 -7"
)

_EXTREME_LINE = expand(
    """
name | k | what | f | op | i | args
larger | two | the larger one | max | > | -1 | a, b
smaller | two | the smaller one | min | < | 0 | a, b
largest-of-three | three | the largest one | max | > | -1 | a, b, c
smallest-of-three | three | the smallest one | min | < | 0 | a, b, c
""",
    description="Read $k integers from one line. Print $what.",
    correct="""
numbers = list(map(int, input().split()))
print($f(numbers))
---
$args = map(int, input().split())
print($f($args))
---
numbers = sorted(int(word) for word in input().split())
print(numbers[$i])
---
$args = map(int, input().split())
best = a
for n in [$args]:
    if n $op best:
        best = n
print(best)
""",
    incorrect="""
numbers = input().split()
print($f(numbers))
---
$args = map(int, input().split())
print(a)
---
$args = map(int, input().split())
if a $op b:
    print(b)
else:
    print(a)
---
numbers = list(map(int, input("Enter the numbers: ").split()))
print($f(numbers))
---
$args = map(int, input().split())
print(f"{$f($args)} is the answer")
""",
    inputs=lambda row: _TWO_INTS if row["k"] == "two" else _THREE_INTS,
)


_COMPARE = expand(
    """
name | e | yes | no | w | v
greater | a > b | greater | not greater | a >= b | a < b
equal | a == b | equal | different | a >= b | a != b
less | a < b | less | not less | a <= b | a > b
sum-is-even | (a + b) % 2 == 0 | even sum | odd sum | (a + b) % 2 == 1 | a % 2 == 0
both-positive | a > 0 and b > 0 | both positive | no | a > 0 or b > 0 | a >= 0 and b >= 0
opposites | a + b == 0 | opposites | no | a == b | a - b == 0
""",
    description="Read two integers a and b from one line. Print '$yes' if $e, otherwise '$no'.",
    correct="""
a, b = map(int, input().split())
if $e:
    print("$yes")
else:
    print("$no")
---
a, b = [int(word) for word in input().split()]
print("$yes" if $e else "$no")
---
a, b = map(int, input().split())
print(["$no", "$yes"][$e])
---
def answer(a, b):
    if $e:
        return "$yes"
    return "$no"

a, b = map(int, input().split())
print(answer(a, b))
""",
    incorrect="""
a, b = map(int, input().split())
if $w:
    print("$yes")
else:
    print("$no")
---
a, b = map(int, input().split())
if $v:
    print("$yes")
else:
    print("$no")
---
a, b = map(int, input().split())
print($e)
---
a = int(input("Enter a: "))
b = int(input("Enter b: "))
if $e:
    print("$yes")
else:
    print("$no")
---
a, b = map(int, input().split())
if $e:
    print("$yes")
""",
    inputs=_TWO_INTS,
)


_LABEL = expand(
    """
name | e | yes | no | w | v
even-odd | n % 2 == 0 | even | odd | n % 2 == 1 | n // 2 == 0
divisible-by-five | n % 5 == 0 | yes | no | n % 5 | n // 5 == 0
positive | n > 0 | positive | not positive | n >= 0 | n < 0
at-least-ten | n >= 10 | big | small | n > 10 | n < 10
single-digit | 0 <= n <= 9 | one digit | no | 0 < n < 9 | n <= 9
zero | n == 0 | zero | not zero | n <= 0 | n != 0
""",
    description="Read an integer n. Print '$yes' if $e, otherwise '$no'.",
    correct="""
n = int(input())
if $e:
    print("$yes")
else:
    print("$no")
---
n = int(input())
print("$yes" if $e else "$no")
---
def label(n):
    if $e:
        return "$yes"
    return "$no"

print(label(int(input())))
---
n = int(input())
answer = "$no"
if $e:
    answer = "$yes"
print(answer)
""",
    incorrect="""
n = int(input())
if $w:
    print("$yes")
else:
    print("$no")
---
n = int(input())
if $v:
    print("$yes")
else:
    print("$no")
---
n = int(input("Enter a number: "))
if $e:
    print("$yes")
else:
    print("$no")
---
n = int(input())
if $e:
    print(f"{n} is $yes")
else:
    print(f"{n} is $no")
---
n = int(input())
print($e)
""",
    inputs=_ONE_INT,
)

TEMPLATES = (
    Template("extreme-line", 1, "stdin", None, _EXTREME_LINE, "train"),
    Template("compare", 1, "stdin", None, _COMPARE, "test"),
    Template("label", 1, "stdin", None, _LABEL, "train"),
)
