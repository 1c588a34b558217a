"""Standard input: one number n, its digits and the numbers up to it."""

from spo_jax.problems.starter.table import expand
from spo_jax.problems.starter.template import Template

_COUNTDOWN = expand(
    """
name | stop
to-two | 2
to-zero | 0
to-five | 5
to-ten | 10
to-minus-one | -1
to-minus-three | -3
""",
    description="Read an integer n, greater than $stop. Print the integers from n down to $stop, "
    "one on each line.",
    correct="""
n = int(input())
for i in range(n, $stop - 1, -1):
    print(i)
---
n = int(input())
while n >= $stop:
    print(n)
    n -= 1
---
n = int(input())
for i in reversed(range($stop, n + 1)):
    print(i)
---
n = int(input())
print(*range($stop, n + 1)[::-1], sep="\\n")
---
def count_down(n):
    if n >= $stop:
        print(n)
        count_down(n - 1)

count_down(int(input()))
""",
    incorrect="""
n = int(input())
for i in range(n, $stop, -1):
    print(i)
---
n = int(input())
for i in range($stop, n + 1):
    print(i)
---
n = int(input())
for i in range(n - 1, $stop - 1, -1):
    print(i)
---
n = int(input("Enter n: "))
for i in range(n, $stop - 1, -1):
    print(i)
---
n = input()
for i in range(n, $stop - 1, -1):
    print(i)
---
n = int(input())
print(list(range(n, $stop - 1, -1)))
""",
    inputs=lambda row: [
        f"{int(row['stop']) + more}\n" for more in (4, 2, 1, 3, 5, 7, 10, 12, 20, 30, 41)
    ],
)

_DIGIT_SUM = expand(
    """
name | what | e | near
plain | the sum of its digits | d | 1
squares | the sum of the squares of its digits | d * d | 2 * d
even-digits | the sum of its even digits | d * (d % 2 == 0) | d % 2 == 0
odd-digits | the sum of its odd digits | d * (d % 2) | d % 2
large-digits | how many of its digits are greater than 4 | d > 4 | d >= 4
nine-minus | the sum of 9 - d over its digits d | 9 - d | 10 - d
""",
    description="Read a positive integer n. Print $what.",
    correct="""
print(sum($e for d in map(int, input())))
---
n = int(input())
total = 0
while n > 0:
    d = n % 10
    total += $e
    n //= 10
print(total)
---
total = 0
for c in input():
    d = int(c)
    total += $e
print(total)
---
def solve(n):
    if n == 0:
        return 0
    d = n % 10
    return ($e) + solve(n // 10)

print(solve(int(input())))
""",
    incorrect="""
n = int(input())
total = 0
while n > 9:
    d = n % 10
    total += $e
    n //= 10
print(total)
---
n = input()
print(sum($e for d in n))
---
n = int(input())
d = n % 10
print($e)
---
n = int(input())
print(sum($e for d in range(n)))
---
print(sum($e for d in map(int, input("Number: "))))
---
print(sum($near for d in map(int, input())))
""",
    inputs=[f"{n}\n" for n in (123, 58, 7, 10, 999, 4021, 86420, 97531, 44, 1000000, 305, 678901)],
)

_SUM_UP_TO = expand(
    """
name | what | test
by-three | divisible by 3 | i % 3 == 0
by-seven | divisible by 7 | i % 7 == 0
three-or-five | divisible by 3 or by 5 (or by both) | i % 3 == 0 or i % 5 == 0
two-and-three | divisible by 2 and by 3 | i % 2 == 0 and i % 3 == 0
not-by-four | not divisible by 4 | i % 4 != 0
odd | odd | i % 2 == 1
""",
    description="Read a positive integer n. Print the sum of all integers from 1 to n (n included) "
    "that are $what.",
    correct="""
n = int(input())
print(sum(i for i in range(1, n + 1) if $test))
---
n = int(input())
total = 0
for i in range(1, n + 1):
    if $test:
        total += i
print(total)
---
n = int(input())
total = 0
i = 1
while i <= n:
    if $test:
        total += i
    i += 1
print(total)
---
n = int(input())
print(sum(filter(lambda i: $test, range(n + 1))))
""",
    incorrect="""
n = int(input())
print(sum(i for i in range(1, n) if $test))
---
n = int(input())
print(sum($test for i in range(1, n + 1)))
---
n = int(input("Enter n: "))
print(sum(i for i in range(1, n + 1) if $test))
---
n = int(input())
for i in range(1, n + 1):
    if $test:
        print(i)
---
i = int(input())
print(i if $test else 0)
---
n = int(input())
print(sum(i for i in range(1, n + 1) if not ($test)))
""",
    inputs=[f"{n}\n" for n in (10, 6, 1, 2, 3, 7, 9, 12, 15, 21, 30, 100, 105)],
)

_FIZZ_BUZZ = expand(
    """
name | a | b | v | w
fizz-buzz | 3 | 5 | Fizz | Buzz
ping-pong | 2 | 3 | Ping | Pong
tick-tock | 2 | 5 | Tick | Tock
hip-hop | 3 | 4 | Hip | Hop
zig-zag | 4 | 5 | Zig | Zag
flip-flop | 3 | 7 | Flip | Flop
""",
    description="Read an integer n. For every i from 1 to n print a line: $v$w if i is divisible "
    "by $a and $b, $v if only by $a, $w if only by $b, otherwise i.",
    correct="""
for i in range(1, int(input()) + 1):
    if i % $a == 0 and i % $b == 0:
        print("$v$w")
    elif i % $a == 0:
        print("$v")
    elif i % $b == 0:
        print("$w")
    else:
        print(i)
---
n = int(input())
for i in range(1, n + 1):
    text = ""
    if i % $a == 0:
        text += "$v"
    if i % $b == 0:
        text += "$w"
    print(text or i)
---
n = int(input())
for i in range(1, n + 1):
    print("$v" * (i % $a == 0) + "$w" * (i % $b == 0) or i)
---
n = int(input())
out = list(range(n + 1))
out[::$a] = ["$v"] * len(out[::$a])
out[::$b] = [("$v" if x == "$v" else "") + "$w" for x in out[::$b]]
print(*out[1:], sep="\\n")
""",
    incorrect="""
for i in range(1, int(input()) + 1):
    if i % $a == 0:
        print("$v")
    elif i % $b == 0:
        print("$w")
    elif i % $a == 0 and i % $b == 0:
        print("$v$w")
    else:
        print(i)
---
n = int(input())
for i in range(1, n):
    print("$v" * (i % $a == 0) + "$w" * (i % $b == 0) or i)
---
n = int(input("Enter n: "))
for i in range(1, n + 1):
    print("$v" * (i % $a == 0) + "$w" * (i % $b == 0) or i)
---
n = int(input())
for i in range(1, n + 1):
    if i % $a == 0:
        print("$v")
    if i % $b == 0:
        print("$w")
    else:
        print(i)
---
i = int(input())
print("$v" * (i % $a == 0) + "$w" * (i % $b == 0) or i)
""",
    inputs=[f"{n}\n" for n in (6, 15, 1, 2, 3, 4, 5, 10, 12, 21, 30, 42)],
)

TEMPLATES = (
    Template("countdown", 1, "stdin", None, _COUNTDOWN, "train"),
    Template("digit-sum", 2, "stdin", None, _DIGIT_SUM, "train"),
    Template("sum-up-to", 2, "stdin", None, _SUM_UP_TO, "test"),
    Template("fizz-buzz", 3, "stdin", None, _FIZZ_BUZZ, "train"),
)
