"""Seeds and identifiers derived from what they belong to, so that a redone collect is the same."""

import hashlib


def derived_seed(*parts: object) -> int:
    """A 31-bit seed that depends on every part, for example (run seed, 'online', 3, 'set/p', 0).

    A resumed run asks for the same parts and gets the same samples; two samples never share one.
    """
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def derived_id(*parts: object) -> str:
    """A 24-digit hexadecimal identifier of the parts."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:24]
