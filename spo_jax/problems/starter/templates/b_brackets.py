"""Brackets, and programs of commands."""

from spo_jax.problems.starter.table import Row, expand
from spo_jax.problems.starter.template import Template


def _nested_lines(row: Row) -> list[str]:
    """Balanced lines in the row's opening and closing characters."""
    lines = ("aOObCcC", "OCOCOC", "OOOCCC", "xOCy", "OaOCbOOCCC", "OOCCOOOCCC", "nothing")
    more = ("OOCOCOCC", "OOOOCCCCOC", "OOCOCCOOOOOCCCCC", "pOqOrCsCt", "OC abc OOCC")
    change = str.maketrans("OC", row["open"] + row["close"])
    return [line.translate(change) + "\n" for line in lines + more]


_DEPTH = expand(
    """
name | open | close
round | ( | )
square | [ | ]
curly | { | }
angle | < | >
letters | U | D
signs | + | -
""",
    description="Read a line in which $open opens a part and $close closes it, like brackets, "
    "correctly nested. Print the greatest number of parts that are open at the same time.",
    correct="""
depth = best = 0
for c in input():
    if c == "$open":
        depth += 1
        best = max(best, depth)
    elif c == "$close":
        depth -= 1
print(best)
---
s = input()
print(max(s[:i].count("$open") - s[:i].count("$close") for i in range(len(s) + 1)))
---
stack, best = [], 0
for c in input():
    if c == "$open":
        stack.append(c)
    elif c == "$close":
        stack.pop()
    best = max(best, len(stack))
print(best)
---
s = "".join(c for c in input() if c in "$open$close")
best = 0
while s:
    s = s.replace("$open$close", "")
    best += 1
print(best)
""",
    incorrect="""
print(input().count("$open"))
---
depth = 0
for c in input():
    if c == "$open":
        depth += 1
    elif c == "$close":
        depth -= 1
print(depth)
---
depth = best = 0
for c in input("Line: "):
    if c == "$open":
        depth += 1
        best = max(best, depth)
    elif c == "$close":
        depth -= 1
print(best)
---
depth = best = 0
for c in input():
    if c == "$open":
        depth += 1
        best = max(best, depth)
    else:
        depth = 0
print(best)
---
depth = best = 0
for c in input():
    if c == "$open":
        depth += 1
    elif c == "$close":
        depth -= 1
        best = max(best, depth)
print(best)
""",
    inputs=_nested_lines,
)


def _bracket_texts(row: Row) -> list[list[str]]:
    """Texts of two kinds of brackets, of which about half are balanced."""
    good = ("ABba", "AaBb", "", "AABbaAaa", "xAyBzba")
    bad = ("ABab", "A", "a", "bB", "AaBbb", "ABB", "aA", "Ab", "AABbba", "BAbAaa")
    change = str.maketrans("AaBb", row["a"] + row["b"])
    return [[text.translate(change)] for text in (good[0], bad[0], *good[1:], *bad[1:])]


_BALANCED = expand(
    """
fn | a | b
round_and_square_match | () | []
round_and_curly_match | () | {}
round_and_angle_match | () | <>
square_and_curly_match | [] | {}
square_and_angle_match | [] | <>
curly_and_angle_match | {} | <>
""",
    description="Write a function `$fn(text)` that returns True if the brackets $a and $b in text "
    "are correctly nested and all closed, otherwise False. Other characters do not matter.",
    correct="""
def $fn(text):
    stack = []
    for c in text:
        i = "$a$b".find(c)
        if i in (0, 2):
            stack.append("$a$b"[i + 1])
        elif i in (1, 3) and (not stack or stack.pop() != c):
            return False
    return not stack
---
def $fn(text):
    s = "".join(c for c in text if c in "$a$b")
    while "$a" in s or "$b" in s:
        s = s.replace("$a", "").replace("$b", "")
    return s == ""
---
def $fn(text):
    pairs = ("$a", "$b")
    stack = ""
    for c in text:
        if c in "$a$b":
            stack += c
        if stack[-2:] in pairs:
            stack = stack[:-2]
    return stack == ""
---
def $fn(text):
    s = [c for c in text if c in "$a$b"]
    for i in range(len(s) - 1):
        if s[i] + s[i + 1] in ("$a", "$b"):
            return $fn(s[:i] + s[i + 2:])
    return len(s) == 0
""",
    incorrect="""
def $fn(text):
    return all(text.count(p[0]) == text.count(p[1]) for p in ("$a", "$b"))
---
def $fn(text):
    depth = 0
    for c in text:
        i = "$a$b".find(c)
        if i in (0, 2):
            depth += 1
        elif i in (1, 3):
            depth -= 1
        if depth < 0:
            return False
    return depth == 0
---
def $fn(text):
    stack = []
    for c in text:
        i = "$a$b".find(c)
        if i in (0, 2):
            stack.append("$a$b"[i + 1])
        elif i in (1, 3) and (not stack or stack.pop() != c):
            return False
    return True
---
def $fn(text):
    return "$a" in text and "$b" in text
---
def $fn(text):
    s = "".join(c for c in text if c in "$a$b")
    return s.replace("$a", "").replace("$b", "") == ""
---
def $fn(text):
    return text == text[::-1]
""",
    inputs=_bracket_texts,
)


def _command_lines(row: Row) -> list[str]:
    """Command lists, each after its length, from texts such as 'A5 B2'."""
    names = {"A": row["v"], "B": row["w"]}
    texts = ("A5 B2 A1", "B3 B2 A7 A4", "A9", "B4", "A2 B2 A2 B2", "B1 A6", "A10 A20 A30")
    more = ("B2 B2 B2", "A3 B5 A8 B2 A13", "A40 B3", "B6 A1 A1 A1 B2", "A7 B7")
    commands = [[f"{names[word[0]]} {word[1:]}" for word in text.split()] for text in texts + more]
    return ["\n".join([str(len(lines)), *lines]) + "\n" for lines in commands]


_COMMANDS = expand(
    """
name | start | v | opv | w | opw | whatv | whatw
add-double | 1 | add | + | mul | * | adds x to it | multiplies it by x
add-sub | 0 | add | + | sub | - | adds x to it | subtracts x from it
sub-mul | 10 | sub | - | mul | * | subtracts x from it | multiplies it by x
gain-lose | 100 | gain | + | lose | - | adds x to it | subtracts x from it
grow-cut | 5 | grow | * | cut | // | multiplies it by x | divides it by x, rounding down
up-split | 50 | up | + | split | // | adds x to it | divides it by x, rounding down
""",
    description="A value starts at $start. The first line has an integer n; each of the next n "
    "lines has a command: `$v x` $whatv, `$w x` $whatw. Print the final value.",
    correct="""
value = $start
for _ in range(int(input())):
    command, x = input().split()
    if command == "$v":
        value = value $opv int(x)
    else:
        value = value $opw int(x)
print(value)
---
import sys
words = sys.stdin.read().split()[1:]
value = $start
for command, x in zip(words[::2], words[1::2]):
    x = int(x)
    value = value $opv x if command == "$v" else value $opw x
print(value)
---
actions = {"$v": lambda a, x: a $opv x, "$w": lambda a, x: a $opw x}
value = $start
for _ in range(int(input())):
    command, x = input().split()
    value = actions[command](value, int(x))
print(value)
---
def run(value, n):
    if n == 0:
        return value
    command, x = input().split()
    x = int(x)
    return run(value $opv x if command == "$v" else value $opw x, n - 1)

print(run($start, int(input())))
""",
    incorrect="""
value = $start
command, x = input().split()
if command == "$v":
    value = value $opv int(x)
else:
    value = value $opw int(x)
print(value)
---
value = $start
for _ in range(int(input())):
    command, x = input().split()
    if command == "$v":
        value = value $opw int(x)
    else:
        value = value $opv int(x)
print(value)
---
value = $start
for _ in range(int(input())):
    command, x = input().split()
    if command == "$v":
        value = value $opv x
    else:
        value = value $opw x
print(value)
---
value = $start
for _ in range(int(input())):
    command, x = input().split()
    if command == "$v":
        value = value $opv int(x)
    else:
        value = value $opw int(x)
    print(value)
---
value = $start
n = int(input("How many commands? "))
for _ in range(n):
    command, x = input().split()
    value = value $opv int(x) if command == "$v" else value $opw int(x)
print(value)
---
value = int(input())
for _ in range(value):
    command, x = input().split()
    value = value $opv int(x) if command == "$v" else value $opw int(x)
print(value)
""",
    inputs=_command_lines,
)

TEMPLATES = (
    Template("nesting-depth", 3, "stdin", None, _DEPTH, "test"),
    Template("commands", 4, "stdin", None, _COMMANDS, "test"),
    Template("balanced-brackets", 5, "call", None, _BALANCED, "train"),
)
