"""Call style: functions that answer True or False."""

from spo_jax.problems.starter.table import Row, expand
from spo_jax.problems.starter.template import Template

_DIVISIBLE = expand(
    """
fn | k | what
is_even | 2 | n is even
is_divisible_by_three | 3 | n is divisible by 3
is_divisible_by_five | 5 | n is divisible by 5
is_divisible_by_seven | 7 | n is divisible by 7
is_multiple_of_ten | 10 | n is a multiple of 10
is_multiple_of_four | 4 | n is a multiple of 4
""",
    description="Write a function `$fn(n)` that returns True if $what, otherwise False.",
    correct="""
def $fn(n):
    return n % $k == 0
---
def $fn(n):
    if n % $k == 0:
        return True
    return False
---
def $fn(n):
    return not n % $k
---
def $fn(n):
    return n // $k * $k == n
---
def $fn(n):
    return n in range(0, n + 1, $k)
""",
    incorrect="""
def $fn(n):
    return n % $k
---
def $fn(n):
    return n % $k != 0
---
def $fn(n):
    return n // $k == 0
---
def $fn(n):
    print(n % $k == 0)
---
def $fn(n):
    return "True" if n % $k == 0 else "False"
---
def $fn(n):
    return n == $k
""",
    inputs=tuple([n] for n in (10, 7, 0, 1, 2, 3, 4, 5, 12, 15, 21, 40, 70, 99, 105)),
)

_THRESHOLD = expand(
    """
fn | arg | what | e | opposite | strict | k
is_adult | age | age is at least 18 | age >= 18 | age < 18 | age > 18 | 18
is_freezing | temperature | temperature is 0 or below | temperature <= 0 | temperature > 0
    | temperature < 0 | 0
is_passing | score | score is at least 50 | score >= 50 | score < 50 | score > 50 | 50
is_cheap | price | price is below 10 | price < 10 | price >= 10 | price <= 10 | 10
is_too_fast | speed | speed is above 120 | speed > 120 | speed <= 120 | speed >= 120 | 120
is_boiling | temperature | temperature is at least 100 | temperature >= 100 | temperature < 100
    | temperature > 100 | 100
""",
    description="Write a function `$fn($arg)` that returns True if $what, otherwise False.",
    correct="""
def $fn($arg):
    return $e
---
def $fn($arg):
    if $e:
        return True
    else:
        return False
---
def $fn($arg):
    if $opposite:
        return False
    return True
---
def $fn($arg):
    return not $opposite
""",
    incorrect="""
def $fn($arg):
    return $strict
---
def $fn($arg):
    return $opposite
---
def $fn($arg):
    return $arg == $k
---
def $fn($arg):
    if $e:
        print(True)
    else:
        print(False)
---
def $fn($arg):
    if $e:
        return "Yes"
    return "No"
""",
    inputs=lambda row: [[int(row["k"]) + step] for step in (5, -3, 0, 1, -1, 2, -2, 30, -40, 7)],
)

_WORDS = (
    *("level", "hello", "a", "", "noon", "ab", "abba", "abca", "Anna", "racecar", "abc", "aab"),
    *("stop!", "really?", "wow!", "ok", "oko"),
)
_LISTS: tuple[list, ...] = (
    *([1, 2, 1], [1, 2, 3], [], [5], [2, 2], [1, 2], [3, 2, 1], [1, 2, 2, 1], [1, 3, 2]),
    *([4, 4, 4], [1, 1, 2], [9, 8, 8]),
)


def _words_or_lists(row: Row) -> list[str | list]:
    return [[value] for value in (_WORDS if row["arg"] == "text" else _LISTS)]


_MIRROR = expand(
    """
fn | arg | what | e | f | g | h | w | v
is_palindrome | text | text reads the same backwards | text == text[::-1]
    | list(text) == list(reversed(text))
    | all(text[i] == text[-1 - i] for i in range(len(text) // 2))
    | text == "".join(reversed(text)) | text[0] == text[-1] | text == text.reverse()
is_symmetric | items | the list is the same backwards | items == items[::-1]
    | items == list(reversed(items))
    | all(items[i] == items[-1 - i] for i in range(len(items) // 2))
    | all(a == b for a, b in zip(items, items[::-1])) | items == items.reverse()
    | items == sorted(items)
same_ends | items | the list is not empty and its first and last items are equal
    | len(items) > 0 and items[0] == items[-1] | bool(items) and items[0] == items[len(items) - 1]
    | items[:1] == items[-1:] and items != [] | len(items) >= 1 and items[-1] == items[0]
    | items[0] == items[-1] | items == items[::-1]
is_sorted | items | the list is in ascending order (equal neighbours are fine)
    | items == sorted(items) | all(a <= b for a, b in zip(items, items[1:]))
    | all(items[i] <= items[i + 1] for i in range(len(items) - 1))
    | sorted(items)[::-1] == items[::-1] | all(a < b for a, b in zip(items, items[1:]))
    | items == items.sort()
all_equal | items | all items of the list are equal (also when it is empty) | len(set(items)) <= 1
    | all(item == items[0] for item in items) | items[1:] == items[:-1]
    | items.count(items[0]) == len(items) if items else True | len(set(items)) == 1
    | items[0] == items[-1]
all_different | items | no item appears twice in the list | len(set(items)) == len(items)
    | all(items.count(item) == 1 for item in items)
    | all(item not in items[:i] for i, item in enumerate(items))
    | sorted(set(items)) == sorted(items) | len(set(items)) != len(items)
    | all(a != b for a, b in zip(items, items[1:]))
""",
    description="Write a function `$fn($arg)` that returns True if $what, otherwise False.",
    correct="""
def $fn($arg):
    return $e
---
def $fn($arg):
    return $f
---
def $fn($arg):
    return $g
---
def $fn($arg):
    if $h:
        return True
    return False
""",
    incorrect="""
def $fn($arg):
    return $w
---
def $fn($arg):
    return $v
---
def $fn($arg):
    print($e)
---
def $fn($arg):
    return not ($e)
---
def $fn($arg):
    if $e:
        return "Yes"
    return "No"
""",
    inputs=_words_or_lists,
)

_TEXT_TEST = expand(
    """
fn | what | e | f | g | h | w | v
starts_with_a | text starts with the letter a | text.startswith("a") | text[:1] == "a"
    | len(text) > 0 and text[0] == "a" | text.find("a") == 0 | "a" in text | text[0] == "a"
ends_with_question_mark | text ends with ? | text.endswith("?") | text[-1:] == "?"
    | len(text) > 0 and text[-1] == "?" | text[::-1].startswith("?") | "?" in text[:-1]
    | text.startswith("?")
contains_b | text contains the letter b | "b" in text | text.count("b") > 0
    | text.find("b") >= 0 | any(letter == "b" for letter in text) | text.find("b") > 0
    | text == "b"
is_empty | text has no characters | len(text) == 0 | text == "" | not text
    | text in [""] | len(text) > 0 | text is None
is_one_letter | text has exactly one character | len(text) == 1 | text != "" and text[1:] == ""
    | text[:1] == text and bool(text) | sum(1 for _ in text) == 1 | len(text) <= 1
    | len(text) == 2
has_exclamation_mark | text contains an exclamation mark (!) | "!" in text
    | text.count("!") >= 1 | text.find("!") != -1 | any(mark == "!" for mark in text)
    | text.find("!") | "?" in text
""",
    description="Write a function `$fn(text)` that returns True if $what, otherwise False.",
    correct="""
def $fn(text):
    return $e
---
def $fn(text):
    return $f
---
def $fn(text):
    return $g
---
def $fn(text):
    if $h:
        return True
    return False
""",
    incorrect="""
def $fn(text):
    return $w
---
def $fn(text):
    return $v
---
def $fn(text):
    print($e)
---
def $fn(text):
    return not ($e)
---
def $fn(text):
    if $e:
        return "Yes"
    return "No"
""",
    inputs=tuple([word] for word in ("apple", "why? me", "banana", *_WORDS, "b", "?", "!no")),
)

TEMPLATES = (
    Template("divisible", 1, "call", None, _DIVISIBLE, "train"),
    Template("threshold", 1, "call", None, _THRESHOLD, "test"),
    Template("text-test", 1, "call", None, _TEXT_TEST, "train"),
    Template("mirror", 2, "call", None, _MIRROR, "test"),
)
