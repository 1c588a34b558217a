"""Call style: functions of one text."""

from spo_jax.problems.starter.table import expand
from spo_jax.problems.starter.template import Template

_TEXTS = tuple(
    [text]
    for text in (
        *("hello", "Python code", "", "a", "AbC", "one two three", "banana", "Mississippi river"),
        *("Queue 2 you", "x1y22z333", "ALL CAPS", "no vwls", "e, i, o", "1,000,000", "Zzz..."),
    )
)

_FOUR_WAYS = """
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
    result = $start
    for letter in text:
        $step
    return result
"""
_WRONG_WAYS = """
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
    for letter in text:
        return letter
---
def $fn(text):
    $e
    return text + " "
"""

_REWRITE_TEXT = expand(
    """
fn | what | e | f | g | start | step | w | v
to_upper | text in upper case | text.upper() | "".join(letter.upper() for letter in text)
    | "".join(map(str.upper, text)) | "" | result += letter.upper() | text.lower()
    | text.capitalize()
to_lower | text in lower case | text.lower() | "".join(letter.lower() for letter in text)
    | "".join(map(str.lower, text)) | "" | result += letter.lower() | text.upper()
    | text.swapcase()
reverse_text | text backwards | text[::-1] | "".join(reversed(text))
    | "".join(text[i] for i in range(len(text) - 1, -1, -1)) | "" | result = letter + result
    | text.reverse() | reversed(text)
double_letters | text with every character written twice
    | "".join(letter * 2 for letter in text) | "".join(letter + letter for letter in text)
    | "".join([text[i // 2] for i in range(2 * len(text))]) | "" | result += letter + letter
    | text * 2 | text + text[-1:]
remove_spaces | text without its spaces | text.replace(" ", "") | "".join(text.split(" "))
    | "".join(letter for letter in text if letter != " ") | ""
    | result += letter if letter != " " else "" | text.strip() | text.replace(" ", "", 1)
spaces_to_dashes | text with every space replaced by a dash (-) | text.replace(" ", "-")
    | "-".join(text.split(" "))
    | "".join("-" if letter == " " else letter for letter in text) | ""
    | result += "-" if letter == " " else letter | text.replace("-", " ") | text + "-"
""",
    description="Write a function `$fn(text)` that returns $what.",
    correct=_FOUR_WAYS,
    incorrect=_WRONG_WAYS,
    inputs=_TEXTS,
)

_COUNT_LETTER = expand(
    """
fn | what | c | d
count_letter_a | how many times the letter a appears in text | "a" | "e"
count_letter_e | how many times the letter e appears in text | "e" | "i"
count_letter_z | how many times the letter z appears in text | "z" | "Z"
count_spaces | the number of spaces in text | " " | ""
count_commas | the number of commas in text | "," | "."
count_zeros | how many times the digit 0 appears in text | "0" | "1"
""",
    description="Write a function `$fn(text)` that returns $what.",
    correct="""
def $fn(text):
    return text.count($c)
---
def $fn(text):
    count = 0
    for letter in text:
        if letter == $c:
            count += 1
    return count
---
def $fn(text):
    return sum(letter == $c for letter in text)
---
def $fn(text):
    return len([letter for letter in text if letter == $c])
---
def $fn(text):
    return len(text) - len(text.replace($c, ""))
""",
    incorrect="""
def $fn(text):
    return text.count($d)
---
def $fn(text):
    return len(text)
---
def $fn(text):
    print(text.count($c))
---
def $fn(text):
    return $c in text
---
def $fn(text):
    count = 0
    for letter in text:
        if letter == $c:
            count += 1
            return count
---
def $fn(text):
    return text.find($c)
""",
    inputs=_TEXTS,
)

_COUNT_KIND = expand(
    """
fn | what | e | w | v
count_vowels | vowels (a, e, i, o, u, also in upper case) | letter in "aeiouAEIOU"
    | letter in "aeiou" | letter not in "aeiouAEIOU"
count_digits | digits (0 to 9) | letter in "0123456789" | letter in "123456789" | letter.isalpha()
count_uppercase | upper case letters | "A" <= letter <= "Z" | "A" <= letter < "Z"
    | letter == letter.upper()
count_lowercase | lower case letters | "a" <= letter <= "z" | "a" <= letter < "z"
    | letter == letter.lower()
count_letters | letters (a to z, both cases) | "a" <= letter.lower() <= "z"
    | "a" <= letter <= "z" | letter != " "
count_consonants | consonants: letters a to z, both cases, that are not a, e, i, o or u
    | letter.isalpha() and letter.lower() not in "aeiou" | letter not in "aeiouAEIOU"
    | letter.isalpha() and letter not in "aeiou"
""",
    description="Write a function `$fn(text)` that returns the number of $what in text.",
    correct="""
def $fn(text):
    count = 0
    for letter in text:
        if $e:
            count += 1
    return count
---
def $fn(text):
    return sum(1 for letter in text if $e)
---
def $fn(text):
    return len([letter for letter in text if $e])
---
def $fn(text):
    return sum($e for letter in text)
---
def $fn(text):
    return len(list(filter(lambda letter: $e, text)))
""",
    incorrect="""
def $fn(text):
    count = 0
    for letter in text:
        if $w:
            count += 1
    return count
---
def $fn(text):
    return sum(1 for letter in text if $v)
---
def $fn(text):
    count = 0
    for letter in text:
        if $e:
            count += 1
        return count
---
def $fn(text):
    return [letter for letter in text if $e]
---
def $fn(text):
    return len(text)
---
def $fn(text):
    print(sum(1 for letter in text if $e))
""",
    inputs=_TEXTS,
)

_FRAME = expand(
    """
fn | what | left | right | example
add_stars | one star (*) before and one after it | * | * | *hi*
add_brackets | [ before and ] after it | [ | ] | [hi]
add_parentheses | ( before and ) after it | ( | ) | (hi)
make_bold | ** before and ** after it | ** | ** | **hi**
make_tag | <b> before and </b> after it | <b> | </b> | <b>hi</b>
add_arrows | >> before and << after it | >> | << | >>hi<<
""",
    description="Write a function `$fn(text)` that returns text with $what. "
    "For example `$fn('hi')` is '$example'.",
    correct="""
def $fn(text):
    return "$left" + text + "$right"
---
def $fn(text):
    return f"$left{text}$right"
---
def $fn(text):
    return "$left{}$right".format(text)
---
def $fn(text):
    return "".join(["$left", text, "$right"])
---
def $fn(text):
    return "$left%s$right" % text
""",
    incorrect="""
def $fn(text):
    return "$left" + text
---
def $fn(text):
    return text + "$right"
---
def $fn(text):
    print("$left" + text + "$right")
---
def $fn(text):
    return "$left " + text + " $right"
---
def $fn(text):
    return "$lefttext$right"
""".replace("$lefttext", "${left}text"),
    inputs=_TEXTS,
)

_ALTER_WORDS = expand(
    """
fn | what | e | f | start | step | w | v
first_letters | the first letters of the words of text, joined without spaces
    | "".join(word[0] for word in text.split()) | "".join([word[:1] for word in text.split()])
    | "" | result += word[0] | text[0] | [word[0] for word in text.split()]
last_letters | the last letters of the words of text, joined without spaces
    | "".join(word[-1] for word in text.split()) | "".join([word[-1:] for word in text.split()])
    | "" | result += word[-1] | text[-1:] | [word[-1] for word in text.split()]
word_lengths | a list with the length of each word of text
    | [len(word) for word in text.split()] | list(map(len, text.split()))
    | [] | result.append(len(word)) | len(text.split()) | [len(word) for word in text]
total_letters_in_words | the sum of the lengths of the words of text
    | sum(len(word) for word in text.split()) | len("".join(text.split()))
    | 0 | result += len(word) | len(text) | len(text.split())
words_backwards | the words of text in reverse order, joined by single spaces
    | " ".join(text.split()[::-1]) | " ".join(reversed(text.split()))
    | "" | result = (word + " " + result).strip() | text[::-1] | text.split()[::-1]
reverse_each_word | text with each word reversed and the words in the same order
    | " ".join(word[::-1] for word in text.split())
    | " ".join(text[::-1].split()[::-1])
    | "" | result = (result + " " + word[::-1]).strip() | text[::-1]
    | [word[::-1] for word in text.split()]
""",
    description="Write a function `$fn(text)` that returns $what. "
    "Words are separated by single spaces.",
    correct="""
def $fn(text):
    return $e
---
def $fn(text):
    return $f
---
def $fn(text):
    result = $start
    for word in text.split():
        $step
    return result
---
def $fn(text):
    words = text.split()
    result = $start
    while words:
        word = words.pop(0)
        $step
    return result
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
    result = $start
    for word in text:
        $step
    return result
---
def $fn(text):
    result = $start
    for word in text.split():
        $step
        return result
""",
    inputs=tuple(
        [text]
        for text in (
            *("hello world", "the quick brown fox", "one", "", "a b c", "never odd or even"),
            *("Python is fun", "big red dog runs", "x yy zzz", "to be or not to be", "go home"),
        )
    ),
)

TEMPLATES = (
    Template("rewrite-text", 1, "call", None, _REWRITE_TEXT, "train"),
    Template("count-letter", 1, "call", None, _COUNT_LETTER, "train"),
    Template("frame-text", 1, "call", None, _FRAME, "test"),
    Template("count-kind", 2, "call", None, _COUNT_KIND, "train"),
    Template("each-word", 3, "call", None, _ALTER_WORDS, "train"),
)
