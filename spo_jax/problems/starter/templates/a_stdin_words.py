"""Standard input, difficulty 2 and 3: words."""

from spo_jax.problems.starter.table import expand, read_lines
from spo_jax.problems.starter.template import Template

_LINES = read_lines(
    "the quick brown fox; hello world; Python; a bb ccc; to be or not to be; red green blue;"
    "apple pie and ice cream; one; zz y xxx; Where is Eve; never odd or even; aA Bb"
)

_COUNT_LINE = expand(
    """
name | what | x | xs | e | w
words | words | word | text.split() | True | word == " "
letter-e | letters e (lower case) | c | text | c == "e" | c in "eE"
spaces | spaces | c | text | c == " " | c != " "
vowels | vowels (a, e, i, o, u; all are lower case) | c | text | c in "aeiou" | c not in "aeiou"
capitals | capital letters | c | text | "A" <= c <= "Z" | c == c.upper()
short-words | words of at most 3 letters | word | text.split() | len(word) <= 3 | len(word) < 3
""",
    description="Read a line of text with words separated by single spaces. "
    "Print the number of $what in it.",
    correct="""
text = input()
count = 0
for $x in $xs:
    if $e:
        count += 1
print(count)
---
text = input()
print(sum(1 for $x in $xs if $e))
---
text = input()
print(len([$x for $x in $xs if $e]))
---
def count(text):
    return len(list(filter(lambda $x: $e, $xs)))

print(count(input()))
""",
    more_correct={"words": "print(len(input().split()))", "spaces": 'print(input().count(" "))'},
    incorrect="""
text = input("Enter a text: ")
print(sum(1 for $x in $xs if $e))
---
text = input()
print(sum(1 for $x in $xs if $w))
---
text = input()
print(len(text))
---
text = input()
count = 0
for $x in $xs:
    if $e:
        count += 1
        print(count)
---
def count(text):
    return sum(1 for $x in $xs if $e)
---
text = input()
print(f"There are {sum(1 for $x in $xs if $e)} of them")
""",
    inputs=read_lines(
        "the quick brown fox; hello world; eE; rhythm; a bb ccc; to be or not to be; "
        "Red Green Blue; apple pie and ice cream; Xyz tree; zz y xxx; "
        "Where is he now; never odd or even; Go Bob"
    ),
)

_PRINT_WORDS = expand(
    """
name | what | e | order | g | w
one-per-line | each word on its own line, in the same order | "\\n".join(words) | words | "\\n"
    | words
with-commas | the words joined by commas, without spaces | ",".join(words) | words | ","
    | ", ".join(words)
reverse-order | the words in reverse order, separated by spaces | " ".join(words[::-1])
    | words[::-1] | " " | " ".join(words)[::-1]
sorted-words | the words in sorted order, separated by spaces | " ".join(sorted(words))
    | sorted(words) | " " | sorted(words)
with-dashes | the words joined by dashes (-) | "-".join(words) | words | "-" | "-".join(text)
every-second-word | the first, third, fifth, ... word, separated by spaces
    | " ".join(words[::2]) | words[::2] | " " | " ".join(words[1::2])
""",
    description="Read a line of words separated by spaces. Print $what.",
    correct="""
text = input()
words = text.split()
print($e)
---
words = input().split()
print(*$order, sep=$g)
---
import sys
words = sys.stdin.read().split()
result = ""
for word in $order:
    if result:
        result += $g
    result += word
print(result)
---
words = input().split()
chosen = $order
for i, word in enumerate(chosen):
    print(word, end=$g if i + 1 < len(chosen) else "\\n")
""",
    incorrect="""
text = input()
words = text.split()
print($w)
---
words = input("Enter words: ").split()
print($e)
---
words = input().split()
print($order)
---
words = input()
print($g.join(words))
---
words = input().split()
print($g.join($order[1:]))
""",
    inputs=_LINES,
)

_SCORE_TABLE = expand(
    """
name | what | e | start | step | w
winner | the name of the person with the most points | max(points, key=points.get) | -1
    | if score > best: best, result = score, name | max(points)
loser | the name of the person with the fewest points | min(points, key=points.get) | 1000
    | if score < best: best, result = score, name | min(points)
total | the sum of all points | sum(points.values()) | 0 | best = result = best + score
    | len(points)
most-points | the largest number of points | max(points.values()) | -1
    | best = result = max(best, score) | max(points)
at-least-ten | how many people have at least 10 points
    | sum(score >= 10 for score in points.values()) | 0 | best = result = best + (score >= 10)
    | sum(score > 10 for score in points.values())
last-name | the name that comes last in the alphabet | max(points) | ""
    | best = result = max(best, name) | max(points, key=points.get)
""",
    description="The first line holds n. Each of the next n lines holds a name and the points of "
    "that person, separated by a space. All names and all points differ. Print $what.",
    correct="""
n = int(input())
points = {}
for _ in range(n):
    name, score = input().split()
    points[name] = int(score)
print($e)
---
best = $start
result = None
for _ in range(int(input())):
    name, score = input().split()
    score = int(score)
    $step
print(result)
---
import sys
words = sys.stdin.read().split()[1:]
points = dict(zip(words[::2], map(int, words[1::2])))
print($e)
---
import sys
best = $start
for line in sys.stdin.readlines()[1:]:
    name = line.split()[0]
    score = int(line.split()[1])
    $step
print(result)
""",
    incorrect="""
n = int(input())
points = {}
for _ in range(n):
    name, score = input().split()
    points[name] = score
print($e, n)
---
n = int(input())
points = {}
for _ in range(n):
    name, score = input().split()
    points[name] = int(score)
print($w)
---
n = int(input())
points = {}
for _ in range(n - 1):
    name, score = input().split()
    points[name] = int(score)
print($e)
---
n = int(input("How many people? "))
points = {}
for _ in range(n):
    name, score = input().split()
    points[name] = int(score)
print($e)
---
n = int(input())
points = {}
for _ in range(n):
    name = input()
    points[name] = int(input())
print($e)
""",
    inputs=tuple(
        f"{table.count(',') + 1}\n{table}\n".replace(", ", "\n")
        for table in (
            *("Ann 7, Bob 12, Eve 3", "Zoe 10, Al 9", "Sam 1, Tom 2, Kim 30, Lee 15", "Ida 5"),
            *("Max 0, Ben 10, Joe 11", "Uma 20, Vic 19, Wes 18", "Pat 4, Ann 6, Ray 40, Gus 2"),
            *("Eli 99, Dan 100", "Kay 13, Ivy 8, Amy 14", "Bea 1, Cy 3, Di 2, Ed 10, Flo 9"),
        )
    ),
)

TEMPLATES = (
    Template("count-line", 2, "stdin", None, _COUNT_LINE, "train"),
    Template("print-words", 2, "stdin", None, _PRINT_WORDS, "train"),
    Template("score-table", 3, "stdin", None, _SCORE_TABLE, "test"),
)
