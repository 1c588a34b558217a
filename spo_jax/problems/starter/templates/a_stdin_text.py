"""Standard input, difficulty 1: read a word or a line of text."""

from spo_jax.problems.starter.table import expand, read_lines
from spo_jax.problems.starter.template import Template

_NAMES = read_lines("Ann; Bob; Li; Christopher; x; Zoe; Maria; J; Olga; Sam; Tom; bo")
_LINES = read_lines(
    "hello world; Python; a; one two three; AbC dEf; banana bread; the end; 12 apples;"
    "no, thanks!; x y; to be or not to be; Zebra"
)

_ECHO_TEXT = expand(
    """
name | what | e | f | g | w
upper | it in upper case | text.upper() | "".join(c.upper() for c in text)
    | "".join(map(str.upper, text)) | text.lower()
lower | it in lower case | text.lower() | "".join(c.lower() for c in text)
    | "".join(map(str.lower, text)) | text.title()
backwards | it backwards | text[::-1] | "".join(reversed(text))
    | "".join(text[-i - 1] for i in range(len(text))) | text
length | the number of its characters, spaces included | len(text) | sum(1 for c in text)
    | len(list(text)) | len(text.split())
first-character | its first character | text[0] | text[:1] | next(iter(text)) | text[-1]
last-character | its last character | text[-1] | text[len(text) - 1] | text[::-1][0] | text[0]
""",
    description="Read a line of text. Print $what.",
    correct="""
text = input()
print($e)
---
import sys
text = sys.stdin.readline().rstrip("\\n")
print($f)
---
text = input()
result = $g
print(result)
---
def solve(text):
    return $e

print(solve(input()))
""",
    incorrect="""
text = input("Enter a text: ")
print($e)
---
text = input()
print($w)
---
text = "hello"
print($e)
---
def solve(text):
    return $e
---
text = input()
print("Result:", $e)
""",
    inputs=_LINES,
)

_GREET = expand(
    """
name | left | right | w
hello | Hello, | ! | Hi,
goodbye | Goodbye, | . | goodbye
welcome | Welcome to the team, | ! | Welcome,
my-name | My name is | . | Name:
nice-work | Nice work, | ! | nice work,
question | Are you | ? | Is it
""",
    description="Read a name. Print '$left NAME$right' with the name in place of NAME.",
    correct="""
name = input()
print(f"$left {name}$right")
---
name = input()
print("$left " + name + "$right")
---
print("$left {}$right".format(input()))
---
import sys
name = sys.stdin.readline().strip()
print("$left", name + "$right")
---
name = input()
print("$left %s$right" % name)
""",
    incorrect="""
name = input("What is your name? ")
print(f"$left {name}$right")
---
name = input()
print("$left name$right")
---
name = input()
print("$w " + name + "$right")
---
name = input()
print("$left", name, "$right")
---
def greet(name):
    print("$left " + name + "$right")
---
print("$left NAME$right")
""",
    inputs=_NAMES,
)

_FORMAT_LINE = expand(
    """
name | pairs | a | b | sample | e | f | g | w
age | Ann 7; Bob 12 | name | age | Ann is 7 years old | f"{name} is {age} years old"
    | name + " is " + age + " years old" | "{} is {} years old".format(name, age)
    | f"{age} is {name} years old"
city | Ann Paris; Li Rome | name | city | Ann lives in Paris now | f"{name} lives in {city} now"
    | name + " lives in " + city + " now" | "{} lives in {} now".format(name, city)
    | f"{name} lives in {city}"
price | tea 3; milk 10 | item | price | The tea costs 3 dollars
    | f"The {item} costs {price} dollars" | "The " + item + " costs " + price + " dollars"
    | "The {} costs {} dollars".format(item, price) | f"{item}: {price}"
letter | Ann Bob; Zoe Sam | sender | receiver | From Ann to Bob | f"From {sender} to {receiver}"
    | "From " + sender + " to " + receiver | "From {} to {}".format(sender, receiver)
    | f"From {receiver} to {sender}"
meeting | Ann Bob; Zoe Sam | first | second | Bob, meet Ann! | f"{second}, meet {first}!"
    | second + ", meet " + first + "!" | "{1}, meet {0}!".format(first, second)
    | f"{first}, meet {second}!"
colour | cup red; hat blue | thing | colour | My cup is red. | f"My {thing} is {colour}."
    | "My " + thing + " is " + colour + "." | "My {} is {}.".format(thing, colour)
    | f"My {colour} is {thing}."
""",
    description="Read two lines: $a and $b. Print one line like '$sample' with them.",
    correct="""
$a = input()
$b = input()
print($e)
---
$a = input()
$b = input()
line = $f
print(line)
---
import sys
$a, $b = sys.stdin.read().split("\\n")[:2]
print($g)
---
def line($a, $b):
    return $e

print(line(input(), input()))
""",
    incorrect="""
$a = input("Enter $a: ")
$b = input("Enter $b: ")
print($e)
---
$a, $b = input().split()
print($e)
---
$a = input()
$b = input()
print($w)
---
$a = input()
$b = input()
print($a + $b)
---
$a = "Ann"
$b = "7"
print($e)
""",
    inputs=lambda row: [
        pair.replace(" ", "\n")
        for pair in read_lines(
            f"{row['pairs']}; Kim 100; x 1; a b; Max z; abc def; Q 0; I 5; no x9"
        )
    ],
)

TEMPLATES = (
    Template("echo-text", 1, "stdin", None, _ECHO_TEXT, "train"),
    Template("greet", 1, "stdin", None, _GREET, "train"),
    Template("format-line", 1, "stdin", None, _FORMAT_LINE, "train"),
)
