"""Standard input: words of a line."""

from spo_jax.problems.starter.table import expand
from spo_jax.problems.starter.template import Template

_REPEAT_WORD = expand(
    """
name | k | sep | where
three-dashes | 3 | - | joined by dashes (-)
two-plus | 2 | + | joined by a plus sign (+)
four-commas | 4 | , | joined by commas (,)
five-stars | 5 | * | joined by stars (*)
three-dots | 3 | ... | joined by three dots (...)
two-and | 2 | _and_ | joined by _and_
""",
    description="Read one word. Print it $k times on one line, $where.",
    correct="""
word = input()
print("$sep".join([word] * $k))
---
word = input()
print(*[word] * $k, sep="$sep")
---
word = input()
result = word
for _ in range($k - 1):
    result += "$sep" + word
print(result)
---
word = input()
for i in range($k):
    print(word, end="$sep" if i < $k - 1 else "\\n")
""",
    incorrect="""
word = input()
print(word * $k)
---
word = input()
print((word + "$sep") * $k)
---
word = input()
print("$sep".join(word * $k))
---
word = input("Enter a word: ")
print("$sep".join([word] * $k))
---
word = input()
for _ in range($k):
    print(word)
---
word = input()
print("$sep".join([word] * ($k + 1)))
""",
    inputs=[
        f"{word}\n"
        for word in (
            *("hello", "ab", "x", "Python", "42", "go", "OK", "banana", "a-b", "The", "seven"),
        )
    ],
)

_TWO_WORDS = expand(
    """
name | what | e | f | near
swapped | the second word directly followed by the first word | b + a | f"{b}{a}" | a + b
with-dash | the first word, a dash (-) and the second word, without spaces | a + "-" + b
    | "-".join([a, b]) | a + " - " + b
first-letters | the first letter of each word, without a space | a[0] + b[0] | f"{a[0]}{b[0]}"
    | a[0] + b
total-length | the number of letters of both words together | len(a) + len(b) | len(a + b)
    | len(a)
longer | the longer word; they have different lengths | max(a, b, key=len)
    | a if len(a) > len(b) else b | max(a, b)
alphabetical | the word that comes first in the alphabet | min(a, b) | sorted([a, b])[0] | a
""",
    description="Read two lowercase words, each on its own line. Print $what.",
    correct="""
a = input()
b = input()
print($e)
---
a, b = [input() for _ in range(2)]
print($f)
---
import sys
a, b = sys.stdin.read().split()
result = $e
print(result)
---
def solve(a, b):
    return $f

print(solve(input(), input()))
""",
    incorrect="""
a, b = input().split()
print($e)
---
a = input("First word: ")
b = input("Second word: ")
print($e)
---
a = input()
b = a
print($e)
---
a = input()
b = input()
print($near)
---
a = input()
b = input()
print("Result:", $e)
""",
    inputs=[
        f"{a}\n{b}\n"
        for a, b in (
            *(("sun", "flower"), ("pancake", "pan"), ("x", "yz"), ("tree", "ox"), ("be", "a")),
            *(("zebra", "ant"), ("apple", "kiwi"), ("in", "side"), ("moon", "light")),
            *(("bb", "bbb"), ("under", "go")),
        )
    ],
)

_LINES = [
    f"{line}\n"
    for line in (
        *("the quick brown fox", "eye see an ox tree", "one", "to be or not to be", "see sea tea"),
        *(
            "banana ant apple kiwi",
            "is it so bees",
            "at bb ccc dd eee",
            "stars shine as stress does",
        ),
        *("every eel feels free here", "abba anna bob cab", "zzz aa zzzz"),
    )
]

_GLUE = expand(
    """
name | what | e
first-two | the first two letters of every word | w[:2]
last-two | the last two letters of every word | w[-2:]
ends | the first and the last letter of every word | w[0] + w[-1]
initials | the first letter of every word in upper case | w[0].upper()
lengths | the length of every word | str(len(w))
camel | every word with its first letter in upper case | w.capitalize()
""",
    description="Read a line of lowercase words. Print $what, all joined without spaces.",
    correct="""
print("".join($e for w in input().split()))
---
result = ""
for w in input().split():
    result += $e
print(result)
---
for w in input().split():
    print($e, end="")
print()
---
print(*map(lambda w: $e, input().split()), sep="")
""",
    incorrect="""
print(" ".join($e for w in input().split()))
---
for w in input().split():
    print($e)
---
w = input()
print($e)
---
print("".join($e for w in input("Text: ").split()))
---
print([$e for w in input().split()])
---
print("".join($e for w in input()))
""",
    inputs=_LINES,
)

_EXTREME_WORD = expand(
    """
name | what | tie | f | words | key | better | best
longest-first | the longest word | first | max | words | len(w) | > | len(best)
longest-last | the longest word | last | max | words[::-1] | len(w) | > | len(best)
shortest-first | the shortest word | first | min | words | len(w) | < | len(best)
shortest-last | the shortest word | last | min | words[::-1] | len(w) | < | len(best)
most-e | the word with the most letters e | first | max | words
    | w.count("e") | > | best.count("e")
most-a | the word with the most letters a | last | max | words[::-1]
    | w.count("a") | > | best.count("a")
""",
    description="Read a line of lowercase words. Print $what. If there are several, print the "
    "$tie one of them.",
    correct="""
words = input().split()
print($f($words, key=lambda w: $key))
---
words = input().split()
best = $words[0]
for w in $words:
    if $key $better $best:
        best = w
print(best)
---
words = input().split()
target = $f($key for w in words)
print([w for w in $words if $key == target][0])
---
words = input().split()
keys = [$key for w in $words]
print($words[keys.index($f(keys))])
""",
    incorrect="""
words = input().split()
print($f(words))
---
words = input().split()
print($f($key for w in words))
---
words = input("Enter words: ").split()
print($f($words, key=lambda w: $key))
---
words = input().split()
print($f($words[::-1], key=lambda w: $key))
---
words = input()
print($f($words, key=lambda w: $key))
---
words = input().split()
print(sorted(words, key=lambda w: $key))
""",
    inputs=_LINES,
)

_COUNT_WORDS = expand(
    """
name | what | test | near
long | have more than 3 letters | len(w) > 3 | len(w) >= 3
short | have at most 2 letters | len(w) <= 2 | len(w) < 2
start-a | start with the letter a | w[0] == "a" | "a" in w
end-e | end with the letter e | w[-1] == "e" | "e" in w
contain-s | contain the letter s | "s" in w | w[0] == "s"
same-ends | start and end with the same letter | w[0] == w[-1] | w == w[::-1]
""",
    description="Read a line of lowercase words. Print how many of them $what.",
    correct="""
print(sum($test for w in input().split()))
---
count = 0
for w in input().split():
    if $test:
        count += 1
print(count)
---
words = input().split()
print(len([w for w in words if $test]))
---
print(len(list(filter(lambda w: $test, input().split()))))
""",
    incorrect="""
print(sum($near for w in input().split()))
---
for w in input().split():
    if $test:
        print(w)
---
print(sum($test for w in input()))
---
print(sum($test for w in input("Words: ").split()))
---
count = 0
for w in input().split():
    if $test:
        count = 1
print(count)
---
print([w for w in input().split() if $test])
""",
    inputs=[*_LINES, "aa ab a axe a\n", "area else level\n", "rotor ease abca at taste\n"],
)

TEMPLATES = (
    Template("repeat-word", 1, "stdin", None, _REPEAT_WORD, "train"),
    Template("two-words", 1, "stdin", None, _TWO_WORDS, "test"),
    Template("glue-words", 2, "stdin", None, _GLUE, "train"),
    Template("extreme-word", 2, "stdin", None, _EXTREME_WORD, "train"),
    Template("count-words", 2, "stdin", None, _COUNT_WORDS, "train"),
)
