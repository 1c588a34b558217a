"""How many different right answers there are among samples."""

from collections.abc import Iterable, Mapping
from typing import Any

from spo_jax.errors import UserError
from spo_jax.types import Verdict


def mean_distinct_right(samples: Iterable[Mapping[str, Any]]) -> float:
    """Number of different accepted texts of a problem, averaged over problems.

    It grows with the number of samples: compare equal numbers only.

    Args:
      samples: as `read_samples` gives them, with 'problem_id', 'verdict' and 'text'.

    Raises:
      UserError: there are no samples.
    """
    texts: dict[str, set[str]] = {}
    for sample in samples:
        right = texts.setdefault(sample["problem_id"], set())
        if sample["verdict"] == Verdict.AC:
            right.add(sample["text"])
    if not texts:
        raise UserError("distinct right answers need at least one sample, got 0")
    return sum(map(len, texts.values())) / len(texts)
