"""Call style: text letter by letter and word by word."""

from spo_jax.problems.starter.table import Row, expand
from spo_jax.problems.starter.template import Template

_REMOVE = expand(
    """
fn | what | char
remove_a | the letter a | a
remove_e | the letter e | e
remove_dashes | the dashes (-) | -
remove_commas | the commas (,) | ,
remove_dots | the dots (.) | .
remove_zeros | the zeros (0) | 0
""",
    description="Write a function `$fn(text)` that returns text without $what.",
    correct="""
def $fn(text):
    return text.replace("$char", "")
---
def $fn(text):
    return "".join(c for c in text if c != "$char")
---
def $fn(text):
    result = ""
    for c in text:
        if c != "$char":
            result += c
    return result
---
def $fn(text):
    return "".join(text.split("$char"))
---
def $fn(text):
    return text.translate({ord("$char"): None})
""",
    incorrect="""
def $fn(text):
    return text.strip("$char")
---
def $fn(text):
    text.replace("$char", "")
    return text
---
def $fn(text):
    return text.replace("$char", "", 1)
---
def $fn(text):
    return text.replace("$char", " ")
---
def $fn(text):
    print(text.replace("$char", ""))
---
def $fn(text):
    return [c for c in text if c != "$char"]
""",
    inputs=lambda row: [
        [text.replace("_", row["char"])]
        for text in (
            *("b_n_n_", "_x_", "", "_", "___", "plus", "A b_E c", "__z__z__", "q_w q", "1_2_3"),
            "no _ then yes",
        )
    ],
)

_CHANGE_WORDS = expand(
    """
fn | what | e | near
capitalize_words | the first letter of each word in upper case | w[0].upper() + w[1:]
    | w.capitalize()
upper_last_letters | the last letter of each word in upper case | w[:-1] + w[-1].upper()
    | w[0].upper() + w[1:]
first_letter_last | the first letter of each word moved to its end | w[1:] + w[0] | w[::-1]
cut_words | each word cut to its first two letters | w[:2] | w[:1]
shout_long_words | each word of more than 3 letters in upper case | w.upper() if len(w) > 3 else w
    | w.upper() if len(w) >= 3 else w
hide_words | each word replaced by as many stars (*) as it has letters | "*" * len(w) | "*"
""",
    description="Write a function `$fn(text)` that returns text with $what. Words are separated "
    "by single spaces. Everything else stays as it is.",
    correct="""
def $fn(text):
    return " ".join($e for w in text.split())
---
def $fn(text):
    words = text.split()
    for i, w in enumerate(words):
        words[i] = $e
    return " ".join(words)
---
def $fn(text):
    return " ".join(map(lambda w: $e, text.split(" ")))
---
import re

def change(match):
    w = match.group()
    return $e

def $fn(text):
    return re.sub("[^ ]+", change, text)
""",
    incorrect="""
def $fn(text):
    w = text
    return $e
---
def $fn(text):
    return [$e for w in text.split()]
---
def $fn(text):
    return "".join($e for w in text.split())
---
def $fn(text):
    return " ".join($near for w in text.split())
---
def $fn(text):
    return " ".join($e for w in text)
---
def $fn(text):
    for w in text.split():
        w = $e
    return text
""",
    inputs=[
        [text]
        for text in (
            *("hello big world", "the cat sat", "a", "John met aNNa", "one two three four"),
            *("x y z", "python", "it is so", "Red CAR", "go going gone", "McDonald had a farm"),
        )
    ],
)

_SHIFT = expand(
    """
fn | places | k | back
shift_by_one | 1 place | 1 | -1
shift_by_two | 2 places | 2 | -2
shift_by_three | 3 places | 3 | -3
shift_by_five | 5 places | 5 | -5
shift_by_ten | 10 places | 10 | -10
shift_back | 1 place back | -1 | 1
""",
    description="Write a function `$fn(text)` that moves every letter a to z in text by $places, "
    "going around at the ends of the alphabet, and returns the result. "
    "Other characters stay unchanged.",
    correct="""
def $fn(text):
    result = ""
    for c in text:
        if "a" <= c <= "z":
            c = chr((ord(c) - 97 + $k) % 26 + 97)
        result += c
    return result
---
def $fn(text):
    abc = "abcdefghijklmnopqrstuvwxyz"
    return "".join(abc[(abc.index(c) + $k) % 26] if c in abc else c for c in text)
---
from string import ascii_lowercase as abc

def $fn(text):
    return text.translate(str.maketrans(abc, abc[$k:] + abc[:$k]))
---
def $fn(text):
    abc = "abcdefghijklmnopqrstuvwxyz"
    code = dict(zip(abc, abc[$k:] + abc[:$k]))
    return "".join(code.get(c, c) for c in text)
""",
    incorrect="""
def $fn(text):
    return "".join(chr(ord(c) + $k) for c in text)
---
def $fn(text):
    return "".join(chr(ord(c) + $k) if c.isalpha() else c for c in text)
---
def $fn(text):
    return "".join(chr((ord(c) - 97 + $k) % 26 + 97) for c in text)
---
def $fn(text):
    abc = "abcdefghijklmnopqrstuvwxyz"
    return "".join(abc[(abc.index(c) + $back) % 26] if c in abc else c for c in text)
---
def $fn(text):
    abc = "abcdefghijklmnopqrstuvwxyz"
    return "".join(abc[(abc.index(c) + $k) % 25] if c in abc else c for c in text)
""",
    inputs=[
        [text]
        for text in (
            *("abc xyz", "hello, world", "a", "zoo", "", "so 42!", "qrstuvwxyz", "jazz-rock"),
            *("abcdefghijklmnopqrstuvwxyz", "i like tea.", "yes/no"),
        )
    ],
)


def _texts_with_pattern(row: Row) -> list[list[str]]:
    """Texts in which the pattern stands once, often, never, and overlapping itself."""
    p, twice = row["pattern"], row["twice"]
    texts = (f"q{twice}q", p, "", p[0], p[:-1] + "z", twice, twice + twice, "q" + twice + p)
    return [[text] for text in (*texts, f"{p}q{p}", p[0] * 9, "none", f"q{p[:-1]}q{twice}")]


_COUNT_PATTERN = expand(
    """
fn | pattern | twice | n
count_aa | aa | aaa | 2
count_aba | aba | ababa | 3
count_dots | ... | ..... | 3
count_xx | xx | xxx | 2
count_101 | 101 | 10101 | 3
count_abab | abab | ababab | 4
""",
    description="Write a function `$fn(text)` that returns how many times '$pattern' appears in "
    "text. Count overlapping ones too.",
    correct="""
def $fn(text):
    return sum(text[i:i + $n] == "$pattern" for i in range(len(text)))
---
def $fn(text):
    count = 0
    for i in range(len(text)):
        if text.startswith("$pattern", i):
            count += 1
    return count
---
def $fn(text):
    count = 0
    i = text.find("$pattern")
    while i != -1:
        count += 1
        i = text.find("$pattern", i + 1)
    return count
---
def $fn(text):
    if len(text) < $n:
        return 0
    return int(text[:$n] == "$pattern") + $fn(text[1:])
""",
    incorrect="""
def $fn(text):
    return text.count("$pattern")
---
def $fn(text):
    return int("$pattern" in text)
---
def $fn(text):
    return sum(text[i:i + $n] == "$pattern" for i in range(len(text) - $n))
---
def $fn(text):
    return sum(text[i:i + $n] == "$pattern" for i in range(0, len(text), $n))
---
def $fn(text):
    return sum(c in "$pattern" for c in text)
---
def $fn(text):
    return text.find("$pattern")
""",
    inputs=_texts_with_pattern,
)

_ENCODE_RUNS = expand(
    """
fn | what | shown | e
encode_runs | the letter and then the length of the run | a3b1a2 | c + str(n)
encode_counts_first | the length of the run and then the letter | 3a1b2a | str(n) + c
encode_long_runs | the letter, and its length only if it is more than 1 | a3ba2
    | c + str(n) if n > 1 else c
encode_in_brackets | the letter and then the length in brackets | a(3)b(1)a(2) | f"{c}({n})"
encode_lengths | only the length of the run and a comma | 3,1,2, | f"{n},"
encode_short | at most two copies of the letter | aabaa | c * min(n, 2)
""",
    description="Write a function `$fn(text)` that replaces every run of equal letters in text by "
    "$what, and returns the new text. 'aaabaa' gives '$shown'.",
    correct="""
from itertools import groupby

def $fn(text):
    result = ""
    for c, run in groupby(text):
        n = len(list(run))
        result += $e
    return result
---
def $fn(text):
    result = ""
    while text:
        c = text[0]
        n = len(text) - len(text.lstrip(c))
        result += $e
        text = text[n:]
    return result
---
def $fn(text):
    result, n = "", 0
    for i, c in enumerate(text):
        n += 1
        if text[i + 1:i + 2] != c:
            result += $e
            n = 0
    return result
---
import re

def $fn(text):
    runs = [m.group() for m in re.finditer(r"(.)\\1*", text)]
    return "".join($e for c, n in ((r[0], len(r)) for r in runs))
""",
    incorrect="""
def $fn(text):
    result = ""
    for c in dict.fromkeys(text):
        n = text.count(c)
        result += $e
    return result
---
def $fn(text):
    result, n = "", 1
    for i in range(1, len(text)):
        c = text[i - 1]
        if text[i] == c:
            n += 1
        else:
            result += $e
            n = 1
    return result
---
def $fn(text):
    result = ""
    for c in text:
        n = text.count(c)
        result += $e
    return result
---
def $fn(text):
    result, n = "", 0
    for i, c in enumerate(text):
        n += 1
        if text[i + 1:i + 2] != c:
            result += $e
    return result
""",
    inputs=[
        [text]
        for text in (
            *("aaabaa", "bbbb", "abc", "", "z", "aabbccaabb", "mississippi", "xxxxxxxxxxxx"),
            *("abababa", "noon", "aaaaabaaaaa"),
        )
    ],
)

TEMPLATES = (
    Template("remove-character", 1, "call", None, _REMOVE, "train"),
    Template("change-words", 2, "call", None, _CHANGE_WORDS, "train"),
    Template("shift-letters", 3, "call", None, _SHIFT, "train"),
    Template("count-pattern", 3, "call", None, _COUNT_PATTERN, "test"),
    Template("encode-runs", 4, "call", None, _ENCODE_RUNS, "test"),
)
