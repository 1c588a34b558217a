"""Counting with dictionaries and sets."""

from spo_jax.problems.starter.table import expand
from spo_jax.problems.starter.template import Template

_COUNT_BY = expand(
    """
fn | what | e
count_words | word | w
count_first_letters | first letter of a word | w[0]
count_last_letters | last letter of a word | w[-1]
count_lowercase_words | word in lower case | w.lower()
count_by_length | length of a word, as a string, | str(len(w))
count_beginnings | pair of first two letters of a word | w[:2]
""",
    description="Write a function `$fn(words)` that returns a dictionary. It maps every $what "
    "to how many times it occurs in the list words.",
    correct="""
def $fn(words):
    counts = {}
    for w in words:
        counts[$e] = counts.get($e, 0) + 1
    return counts
---
from collections import Counter

def $fn(words):
    return dict(Counter($e for w in words))
---
def $fn(words):
    keys = [$e for w in words]
    return {key: keys.count(key) for key in keys}
---
def $fn(words):
    counts = {}
    for w in words:
        if $e in counts:
            counts[$e] += 1
        else:
            counts[$e] = 1
    return counts
""",
    incorrect="""
def $fn(words):
    return {$e: 1 for w in words}
---
def $fn(words):
    counts = {}
    for w in words:
        if $e in counts:
            counts[$e] += 1
        else:
            counts[$e] = 0
    return counts
---
def $fn(words):
    counts = {}
    for w in words:
        counts[$e] += 1
    return counts
---
def $fn(words):
    return len(set($e for w in words))
---
def $fn(words):
    keys = [$e for w in words]
    print({key: keys.count(key) for key in keys})
---
def $fn(words):
    return {w: words.count(w) for w in words if words.count(w) > 1}
""",
    inputs=[
        [line.split()]
        for line in (
            *("red blue red", "apple Ant apple Bee", "", "one", "Tea tea TEA eat ate"),
            *("ab ba ab abc ab", "noon moon soon", "zz zz zz zz", "to too two to", "He he hE her"),
            "stone store stone star",
        )
    ],
)

_MERGE = expand(
    """
fn | what | e
merge_sum | the sum x + y | x + y
merge_product | the product x * y | x * y
merge_max | the larger of x and y | max(x, y)
merge_min | the smaller of x and y | min(x, y)
merge_distance | the absolute value of x - y | abs(x - y)
merge_pairs | the list [x, y] | [x, y]
""",
    description="Write a function `$fn(a, b)` that returns a dictionary with all keys of the "
    "dictionaries a and b. A key with value x in a and y in b gets $what. "
    "Keys of only one keep their value.",
    correct="""
def $fn(a, b):
    result = dict(a)
    for key, y in b.items():
        if key in a:
            x = a[key]
            result[key] = $e
        else:
            result[key] = y
    return result
---
def $fn(a, b):
    both = {k: $e for k, x in a.items() for j, y in b.items() if k == j}
    return {**a, **b, **both}
---
def $fn(a, b):
    result = a | b
    for key in set(a) & set(b):
        x, y = a[key], b[key]
        result[key] = $e
    return result
---
def $fn(a, b):
    for key, x in a.items():
        y = b.get(key)
        b[key] = x if y is None else $e
    return b
""",
    incorrect="""
def $fn(a, b):
    return {**a, **b}
---
def $fn(a, b):
    return {**b, **a}
---
def $fn(a, b):
    return {k: $e for k, x in a.items() for j, y in b.items() if k == j}
---
def $fn(a, b):
    result = {}
    for key in set(a) | set(b):
        x, y = a[key], b[key]
        result[key] = $e
    return result
---
def $fn(a, b):
    a.update(b)
    print(a)
---
def $fn(a, b):
    return [$e for x, y in zip(a.values(), b.values())]
""",
    inputs=[
        *([{"x": 1, "y": 5}, {"y": 3, "z": 4}], [{"tea": 2}, {"tea": 7}], [{}, {}]),
        *([{"a": 1}, {}], [{}, {"b": 2}], [{"a": 3, "b": 4}, {"b": 4, "a": -3}]),
        *([{"p": -1, "q": -5}, {"q": -2}], [{"k": 0}, {"k": 9}], [{"m": 6}, {"n": 6}]),
        *([{"a": 1, "b": 2, "c": 3}, {"c": 1, "b": 5, "d": 0}], [{"u": 10}, {"u": 10, "v": 1}]),
    ],
)

_LETTER_SETS = expand(
    """
name | what | e | test | show | near
count-common | the number of different letters that are in both words
    | set(a).intersection(b) | c in a and c in b | len(found) | set(a)
count-all | the number of different letters that are in at least one of the words
    | set(a).union(b) | c in a or c in b | len(found) | set(a)
count-missing | the number of different letters of the first word that are not in the second
    | set(a).difference(b) | c in a and c not in b | len(found) | set(b).difference(a)
count-unshared | the number of different letters that are in exactly one of the words
    | set(a).symmetric_difference(b) | (c in a) != (c in b) | len(found) | set(a).difference(b)
list-common | the letters that are in both words, each once, in alphabetical order, without spaces
    | set(a).intersection(b) | c in a and c in b | "".join(sorted(found)) | set(a)
list-all | the letters of the words, each once, in alphabetical order, without spaces
    | set(a).union(b) | c in a or c in b | "".join(sorted(found)) | set(b)
""",
    description="Read two lowercase words, each on its own line. Print $what.",
    correct="""
a, b = input(), input()
found = $e
print($show)
---
a = input()
b = input()
found = {c for c in a + b if $test}
print($show)
---
a = input()
b = input()
found = []
for c in a + b:
    if ($test) and c not in found:
        found.append(c)
print($show)
---
a = input()
b = input()
found = [c for c in "abcdefghijklmnopqrstuvwxyz" if $test]
print($show)
""",
    incorrect="""
a, b = input().split()
found = $e
print($show)
---
a = input("First: ")
b = input("Second: ")
found = $e
print($show)
---
a = input()
b = input()
found = [c for c in a + b if $test]
print($show)
---
a = input()
b = input()
found = $near
print($show)
---
a = input()
b = input()
print($e)
""",
    inputs=[
        f"{a}\n{b}\n"
        for a, b in (
            *(("apple", "pear"), ("banana", "bandana"), ("abc", "cde"), ("a", "a"), ("moon", "no")),
            *(("listen", "silent"), ("zebra", "ax"), ("tree", "e"), ("mississippi", "misty")),
            *(("no", "onion"), ("q", "quick"), ("letters", "sets")),
        )
    ],
)

_FREQUENT_WORDS = expand(
    """
name | what | k | order | other
twice-sorted | in alphabetical order | 2 | sorted(set(words)) | dict.fromkeys(words)
twice-first | in order of first appearance | 2 | dict.fromkeys(words) | sorted(set(words))
thrice-sorted | in alphabetical order | 3 | sorted(set(words)) | dict.fromkeys(words)
thrice-first | in order of first appearance | 3 | dict.fromkeys(words) | sorted(set(words))
four-sorted | in alphabetical order | 4 | sorted(set(words)) | dict.fromkeys(words)
four-first | in order of first appearance | 4 | dict.fromkeys(words) | sorted(set(words))
""",
    description="Read a line of lowercase words. For every word that occurs at least $k times "
    "print a line with the word and its count, $what.",
    correct="""
words = input().split()
for w in $order:
    if words.count(w) >= $k:
        print(w, words.count(w))
---
from collections import Counter
words = input().split()
counts = Counter(words)
for w in $order:
    if counts[w] >= $k:
        print(w, counts[w])
---
words = input().split()
counts = {}
for w in words:
    counts[w] = counts.get(w, 0) + 1
for w in $order:
    if counts[w] > $k - 1:
        print(w, counts[w])
---
words = input().split()
pairs = [(w, words.count(w)) for w in $order]
print("\\n".join(f"{w} {n}" for w, n in pairs if n >= $k))
""",
    incorrect="""
words = input().split()
for w in $order:
    if words.count(w) > $k:
        print(w, words.count(w))
---
words = input().split()
for w in words:
    if words.count(w) >= $k:
        print(w, words.count(w))
---
words = input().split()
for w in $other:
    if words.count(w) >= $k:
        print(w, words.count(w))
---
words = input().split()
for w in $order:
    print(w, words.count(w))
---
words = input("Words: ").split()
for w in $order:
    if words.count(w) >= $k:
        print(w, words.count(w))
---
words = input().split()
for w in $order:
    if words.count(w) >= $k:
        print(w)
""",
    inputs=lambda row: [
        " ".join(line.replace("K", " ".join(["go"] * int(row["k"]))).split()) + "\n"
        for line in (
            *("stop K", "K art K", "run K bee bee bee bee bee ant ant ant ant", "K", "K K to"),
            *("tree K cat dog cat dog cat dog cat dog cat dog", "a K a a a K a", "K in K out K"),
            *("zoo zoo K zoo zoo", "eel K eel eel eel eel eel", "so K so K to to to to"),
        )
    ],
)

TEMPLATES = (
    Template("letter-sets", 3, "stdin", None, _LETTER_SETS, "train"),
    Template("count-by", 3, "call", None, _COUNT_BY, "train"),
    Template("merge-counts", 3, "call", None, _MERGE, "test"),
    Template("frequent-words", 4, "stdin", None, _FREQUENT_WORDS, "train"),
)
