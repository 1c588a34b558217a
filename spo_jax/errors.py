"""What a user can put right: `UserError` and the wording of "did you mean"."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input. The message names the thing, the rule and the offending values.

    The command line prints the message without a traceback and exits with status 2.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns `; did you mean 'x'?` for the closest of `known`, or the empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{matches[0]}'?" if matches else ""
