"""Grids, positions on a grid, and people in a circle."""

from spo_jax.problems.starter.table import Row, expand
from spo_jax.problems.starter.template import Template

_GRIDS = [
    [[int(word) for word in line.split()] for line in text.split(";")]
    for text in (
        *("1 2 3; 4 5 6", "7 0; -1 2; 3 3", "5", "1 2 3 4", "9; 8; 7", "0 0; 0 0"),
        *("-1 -2 -3; -6 -5 -4; -7 -9 -8", "10 20 30; 5 5 5; 40 0 2", "2 8 4 8; 1 1 1 1"),
        *("3 1 2; 0 0 0; 5 6 4; 9 7 8", "100 -100; 50 25"),
    )
]

_ROWS = expand(
    """
fn | what | e
row_sums | the sum of each row | sum(row)
row_maximums | the largest number of each row | max(row)
row_minimums | the smallest number of each row | min(row)
row_ranges | the largest minus the smallest number of each row | max(row) - min(row)
row_ends | the first plus the last number of each row | row[0] + row[-1]
sorted_rows | each row sorted from small to large | sorted(row)
""",
    description="Write a function `$fn(grid)` that returns a list with $what. grid is a list of "
    "rows, each a list of numbers.",
    correct="""
def $fn(grid):
    return [$e for row in grid]
---
def $fn(grid):
    result = []
    for row in grid:
        result.append($e)
    return result
---
def $fn(grid):
    return list(map(lambda row: $e, grid))
---
def $fn(grid):
    for i in range(len(grid)):
        row = grid[i]
        grid[i] = $e
    return grid
""",
    incorrect="""
def $fn(grid):
    return [$e for row in zip(*grid)]
---
def $fn(grid):
    row = grid[0]
    return $e
---
def $fn(grid):
    for row in grid:
        print($e)
---
def $fn(grid):
    result = []
    for i in range(len(grid[0])):
        row = grid[i]
        result.append($e)
    return result
---
def $fn(grid):
    row = grid
    return $e
""",
    inputs=[[grid] for grid in _GRIDS],
)

_DIAGONAL = expand(
    """
name | which | j | other | f
main-sum | sum of the numbers on the diagonal from top left to bottom right | i | n - 1 - i | sum
main-largest | largest number on the diagonal from top left to bottom right | i | n - 1 - i | max
main-smallest | smallest number on the diagonal from top left to bottom right | i | n - 1 - i | min
anti-sum | sum of the numbers on the diagonal from top right to bottom left | n - 1 - i | i | sum
anti-largest | largest number on the diagonal from top right to bottom left | n - 1 - i | i | max
anti-smallest | smallest number on the diagonal from top right to bottom left | n - 1 - i | i | min
""",
    description="The first line has an integer n. The next n lines have n integers each, a grid. "
    "Print the $which of the grid.",
    correct="""
n = int(input())
grid = [list(map(int, input().split())) for _ in range(n)]
print($f(grid[i][$j] for i in range(n)))
---
n = int(input())
found = []
for i in range(n):
    row = input().split()
    found.append(int(row[$j]))
print($f(found))
---
import sys
n, *nums = map(int, sys.stdin.read().split())
print($f(nums[n * i + $j] for i in range(n)))
---
n = int(input())
grid = [[int(word) for word in input().split()] for _ in range(n)]
print($f(x for i, row in enumerate(grid) for k, x in enumerate(row) if k == $j))
""",
    incorrect="""
n = int(input())
grid = [list(map(int, input().split())) for _ in range(n)]
print($f(grid[i][$other] for i in range(n)))
---
n = int(input())
grid = [list(map(int, input().split())) for _ in range(n)]
print($f(x for row in grid for x in row))
---
n = int(input("Size: "))
grid = [list(map(int, input().split())) for _ in range(n)]
print($f(grid[i][$j] for i in range(n)))
---
n = int(input())
row = list(map(int, input().split()))
print($f(row))
---
n = int(input())
grid = [input().split() for _ in range(n)]
print($f(grid[i][$j] for i in range(n)))
---
n = int(input())
grid = [list(map(int, input().split())) for _ in range(n)]
print([grid[i][$j] for i in range(n)])
""",
    inputs=[
        "\n".join([str(text.count(";") + 1), *text.split("; ")]) + "\n"
        for text in (
            *("1 2 3; 4 5 6; 7 8 10", "4 -1; 2 3", "5", "-3", "0 0; 0 0", "10 2; 19 11"),
            *("9 8 7; 6 5 4; 3 2 1", "-1 -2 -3; -4 -10 -6; -7 -8 -9", "100 9; 20 3"),
            *("1 0 0 2; 0 3 4 0; 0 5 6 0; 7 0 0 8", "12 4 33; 0 9 0; 21 7 45"),
        )
    ],
)


def _move_lines(row: Row) -> list[str]:
    """Lines of moves in the row's letters for up, down, right and left."""
    moves = ("URR", "DDL", "U", "D", "R", "L", "UUUU", "UDRL", "RRRDLLU", "LLLLUUD", "DRDRDRDU")
    return [line.translate(str.maketrans("UDRL", row["letters"])) + "\n" for line in moves]


_ROBOT = expand(
    """
name | up | down | right | left | letters | x | y | k
udrl | U | D | R | L | UDRL | 0 | 0 | 1
compass | N | S | E | W | NSEW | 0 | 0 | 1
arrows | ^ | v | > | < | ^v>< | 0 | 0 | 1
offset | U | D | R | L | UDRL | 5 | -2 | 1
long-steps | N | S | E | W | NSEW | 1 | 1 | 3
double-steps | U | D | R | L | UDRL | 0 | 10 | 2
""",
    description="A robot starts at x = $x, y = $y. Read a line of moves: $up adds $k to y, $down "
    "subtracts $k from y, $right adds $k to x, $left subtracts $k from x. Print the final x and y, "
    "separated by a space.",
    correct="""
s = input()
x = $x + $k * (s.count("$right") - s.count("$left"))
y = $y + $k * (s.count("$up") - s.count("$down"))
print(x, y)
---
x, y = $x, $y
for c in input():
    if c == "$up":
        y += $k
    elif c == "$down":
        y -= $k
    elif c == "$right":
        x += $k
    else:
        x -= $k
print(x, y)
---
x, y = $x, $y
for c in input():
    x += {"$right": $k, "$left": -$k}.get(c, 0)
    y += {"$up": $k, "$down": -$k}.get(c, 0)
print(x, y)
---
moves = input()
x = $x + sum($k * ((c == "$right") - (c == "$left")) for c in moves)
y = $y + sum($k * ((c == "$up") - (c == "$down")) for c in moves)
print(x, y)
""",
    incorrect="""
s = input()
x = $x + $k * (s.count("$right") - s.count("$left"))
y = $y + $k * (s.count("$up") - s.count("$down"))
print(y, x)
---
s = input()
x = $x + $k * (s.count("$left") - s.count("$right"))
y = $y + $k * (s.count("$down") - s.count("$up"))
print(x, y)
---
s = input("Moves: ")
x = $x + $k * (s.count("$right") - s.count("$left"))
y = $y + $k * (s.count("$up") - s.count("$down"))
print(x, y)
---
x, y = $x, $y
for c in input().split():
    if c == "$up":
        y += $k
    elif c == "$down":
        y -= $k
    elif c == "$right":
        x += $k
    elif c == "$left":
        x -= $k
print(x, y)
---
s = input()
x = $x + $k * ("$right" in s) - $k * ("$left" in s)
y = $y + $k * ("$up" in s) - $k * ("$down" in s)
print(x, y)
""",
    inputs=_move_lines,
)

_CIRCLE = expand(
    """
name | k | nth
second | 2 | second
third | 3 | third
fourth | 4 | fourth
fifth | 5 | fifth
sixth | 6 | sixth
seventh | 7 | seventh
""",
    description="People numbered 1 to n stand in a circle. Counting starts at person 1; every $nth "
    "person still standing leaves, until one is left. Read n and print the number of "
    "the last person.",
    correct="""
people = list(range(1, int(input()) + 1))
i = 0
while len(people) > 1:
    i = (i + $k - 1) % len(people)
    people.pop(i)
print(people[0])
---
from collections import deque
people = deque(range(1, int(input()) + 1))
while len(people) > 1:
    people.rotate(1 - $k)
    people.popleft()
print(people[0])
---
n = int(input())
last = 0
for size in range(2, n + 1):
    last = (last + $k) % size
print(last + 1)
---
def last(n):
    return 0 if n == 1 else (last(n - 1) + $k) % n

print(last(int(input())) + 1)
""",
    incorrect="""
n = int(input())
last = 0
for size in range(2, n + 1):
    last = (last + $k) % size
print(last)
---
people = list(range(1, int(input()) + 1))
i = 0
while len(people) > 1:
    i = (i + $k) % len(people)
    people.pop(i)
print(people[0])
---
people = list(range(1, int(input()) + 1))
while len(people) > 1:
    people.pop($k - 1)
print(people[0])
---
n = int(input("n: "))
last = 0
for size in range(2, n + 1):
    last = (last + $k) % size
print(last + 1)
---
people = list(range(1, int(input()) + 1))
while len(people) > 1:
    people = people[::$k]
print(people[0])
""",
    inputs=[f"{n}\n" for n in (5, 7, 1, 2, 3, 4, 6, 8, 10, 16, 41, 100)],
)

TEMPLATES = (
    Template("row-values", 2, "call", None, _ROWS, "train"),
    Template("diagonal", 3, "stdin", None, _DIAGONAL, "train"),
    Template("robot", 3, "stdin", None, _ROBOT, "train"),
    Template("circle", 5, "stdin", None, _CIRCLE, "train"),
)
