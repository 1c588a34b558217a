"""Call style: algorithms on whole numbers (divisors, primes, bases, factors)."""

from spo_jax.problems.starter.table import expand
from spo_jax.problems.starter.template import Template

_DIVISORS = expand(
    """
fn | what | e
divisors | a list of the divisors of n from small to large, 1 and n included | found
count_divisors | the number of divisors of n, 1 and n included | len(found)
sum_divisors | the sum of the divisors of n, 1 and n included | sum(found)
divisors_descending | a list of the divisors of n from large to small, 1 and n included
    | found[::-1]
proper_divisors | a list of the divisors of n from small to large, 1 included but not n
    | found[:-1]
odd_divisors | a list of the odd divisors of n from small to large, 1 included
    | [d for d in found if d % 2]
""",
    description="Write a function `$fn(n)` that returns $what. n is a positive integer.",
    correct="""
def $fn(n):
    found = [d for d in range(1, n + 1) if n % d == 0]
    return $e
---
def $fn(n):
    found = []
    for d in range(1, n + 1):
        if n % d == 0:
            found.append(d)
    return $e
---
def $fn(n):
    found = set()
    d = 1
    while d * d <= n:
        if n % d == 0:
            found |= {d, n // d}
        d += 1
    found = sorted(found)
    return $e
---
def $fn(n):
    found = list(filter(lambda d: n // d * d == n, range(1, n + 1)))
    return $e
""",
    incorrect="""
def $fn(n):
    found = [d for d in range(1, n) if n % d == 0]
    return $e
---
def $fn(n):
    found = [d for d in range(2, n + 1) if n % d == 0]
    return $e
---
def $fn(n):
    found = [d for d in range(1, n // 2) if n % d == 0] + [n]
    return $e
---
def $fn(n):
    found = [d for d in range(1, n + 1) if d % n == 0]
    return $e
---
def $fn(n):
    found = [d for d in range(1, n + 1) if n % d == 0]
    print($e)
""",
    inputs=[[n] for n in (12, 7, 1, 2, 9, 10, 36, 45, 64, 97, 30, 15)],
)

_PRIMES = expand(
    """
fn | what | stop | e
primes_up_to | a list of all primes up to n (n included) | n + 1 | found
count_primes_up_to | the number of primes up to n (n included) | n + 1 | len(found)
sum_primes_up_to | the sum of all primes up to n (n included) | n + 1 | sum(found)
primes_below | a list of all primes less than n | n | found
count_primes_below | the number of primes less than n | n | len(found)
sum_primes_below | the sum of all primes less than n | n | sum(found)
""",
    description="Write a function `$fn(n)` that returns $what. 1 is not a prime.",
    correct="""
def $fn(n):
    found = [p for p in range(2, $stop) if all(p % d for d in range(2, p))]
    return $e
---
def $fn(n):
    found = []
    for p in range(2, $stop):
        if all(p % q != 0 for q in found):
            found.append(p)
    return $e
---
def $fn(n):
    found = []
    for p in range(2, $stop):
        for d in range(2, int(p**0.5) + 1):
            if p % d == 0:
                break
        else:
            found.append(p)
    return $e
---
def $fn(n):
    left = list(range(2, $stop))
    found = []
    while left:
        p = left[0]
        found.append(p)
        left = [x for x in left if x % p]
    return $e
""",
    incorrect="""
def $fn(n):
    found = [p for p in range(1, $stop) if all(p % d for d in range(2, p))]
    return $e
---
def $fn(n):
    found = [p for p in range(2, $stop - 1) if all(p % d for d in range(2, p))]
    return $e
---
def $fn(n):
    found = [p for p in range(2, $stop) if p % 2 == 1 or p == 2]
    return $e
---
def $fn(n):
    found = [p for p in range(2, $stop) if all(p % d for d in range(2, int(p**0.5)))]
    return $e
---
def $fn(n):
    found = [p for p in range(2, $stop) if any(p % d for d in range(2, p))]
    return $e
""",
    inputs=[[n] for n in (10, 7, 1, 2, 3, 4, 12, 20, 23, 24, 50, 97)],
)

_TO_BASE = expand(
    """
fn | k | digits
to_binary | 2 | 0 and 1
to_base_three | 3 | 0, 1 and 2
to_base_four | 4 | 0 to 3
to_base_five | 5 | 0 to 4
to_base_six | 6 | 0 to 5
to_octal | 8 | 0 to 7
""",
    description="Write a function `$fn(n)` that returns the integer n in base $k: a string of the "
    "digits $digits. n is 0 or more; 0 gives '0'.",
    correct="""
def $fn(n):
    digits = ""
    while n > 0:
        digits = str(n % $k) + digits
        n //= $k
    return digits or "0"
---
def $fn(n):
    if n < $k:
        return str(n)
    return $fn(n // $k) + str(n % $k)
---
def $fn(n):
    digits = []
    while True:
        n, digit = divmod(n, $k)
        digits.append(str(digit))
        if n == 0:
            return "".join(digits[::-1])
---
def $fn(n):
    power = 1
    while power * $k <= n:
        power *= $k
    result = ""
    while power > 0:
        result += str(n // power % $k)
        power //= $k
    return result
""",
    incorrect="""
def $fn(n):
    digits = ""
    while n > 0:
        digits = str(n % $k) + digits
        n //= $k
    return digits
---
def $fn(n):
    digits = ""
    while n > 0:
        digits += str(n % $k)
        n //= $k
    return digits or "0"
---
def $fn(n):
    digits = ""
    while n >= $k:
        digits = str(n % $k) + digits
        n //= $k
    return digits or "0"
---
def $fn(n):
    return int(str(n), $k)
---
def $fn(n):
    return hex(n)
""",
    inputs=[[n] for n in (10, 25, 0, 1, 2, 7, 8, 36, 64, 100, 255, 1000)],
)

_FACTORS = expand(
    """
fn | what | e
prime_factors | the list of its factors from small to large | found
prime_factors_descending | the list of its factors from large to small | found[::-1]
count_prime_factors | the number of its factors | len(found)
sum_prime_factors | the sum of its factors | sum(found)
distinct_prime_factors | the list of its different factors from small to large
    | sorted(set(found))
count_distinct_prime_factors | the number of its different factors | len(set(found))
""",
    description="Every n > 1 is a product of primes, its prime factors: 12 = 2 * 2 * 3 has the "
    "factors 2, 2, 3. Write a function `$fn(n)` that returns $what.",
    correct="""
def $fn(n):
    found = []
    p = 2
    while n > 1:
        if n % p == 0:
            found.append(p)
            n //= p
        else:
            p += 1
    return $e
---
def $fn(n):
    found = []
    for p in range(2, n + 1):
        while n % p == 0:
            found.append(p)
            n //= p
    return $e
---
def factors(n):
    for p in range(2, n + 1):
        if n % p == 0:
            return [p] + factors(n // p)
    return []

def $fn(n):
    found = factors(n)
    return $e
---
def $fn(n):
    found = []
    p = 2
    while p * p <= n:
        while n % p == 0:
            found.append(p)
            n //= p
        p += 1
    if n > 1:
        found.append(n)
    return $e
""",
    incorrect="""
def $fn(n):
    found = [p for p in range(2, n + 1) if n % p == 0]
    return $e
---
def $fn(n):
    found = []
    for p in range(2, n + 1):
        if n % p == 0:
            found.append(p)
            n //= p
    return $e
---
def $fn(n):
    found = []
    p = 2
    while p * p <= n:
        while n % p == 0:
            found.append(p)
            n //= p
        p += 1
    return $e
---
def $fn(n):
    found = [1]
    for p in range(2, n + 1):
        while n % p == 0:
            found.append(p)
            n //= p
    return $e
---
def $fn(n):
    found = [p for p in range(2, n + 1) if all(p % d for d in range(2, p))]
    return $e
""",
    inputs=[[n] for n in (12, 35, 2, 8, 13, 30, 49, 64, 97, 100, 16, 84)],
)

TEMPLATES = (
    Template("divisors", 3, "call", None, _DIVISORS, "train"),
    Template("primes", 4, "call", None, _PRIMES, "train"),
    Template("to-base", 4, "call", None, _TO_BASE, "train"),
    Template("prime-factors", 5, "call", None, _FACTORS, "test"),
)
