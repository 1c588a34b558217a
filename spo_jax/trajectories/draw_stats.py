"""What one draw did, in counts."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class DrawStats:
    """Account of one draw.

    Attributes:
      num_groups, num_rows: drawn.
      num_offline: of the rows.
      staleness: updates to number of online rows.
      uses: how often a row had been drawn before, to number of rows.
      dropped: reason to length bucket to number of rows that could not be drawn. Reasons, in the
        order they are tried: 'untokenized', 'no_reward', 'other_tokenizer', 'source_weight',
        'too_long', 'stale', 'used_up', 'offline_fraction' (the mixture wants none of that side),
        and of the rest 'other_prompt' (the problem's group was formed of another prompt).
      filled: rows of one side that stand in for the other's ('online' for missing offline rows).
      num_short_groups: groups with fewer rows than asked for.
      missing_problems: problems asked for that had too few rows.
      num_unannotated: rows drawn without reference logprobs.
    """

    num_groups: int
    num_rows: int
    num_offline: int
    staleness: Mapping[int, int]
    uses: Mapping[int, int]
    dropped: Mapping[str, Mapping[str, int]]
    filled: Mapping[str, int]
    num_short_groups: int
    missing_problems: tuple[str, ...]
    num_unannotated: int

    @property
    def offline_fraction(self) -> float:
        """Share of offline rows that was realised; 0 for an empty draw."""
        return self.num_offline / max(self.num_rows, 1)

    def metrics(self) -> dict[str, float]:
        """Scalars for the metrics log."""
        dropped = {f"data/dropped_{r}": float(sum(n.values())) for r, n in self.dropped.items()}
        return {
            "data/offline_fraction": self.offline_fraction,
            "data/staleness_updates": _mean(self.staleness),
            "data/staleness_max": float(max(self.staleness, default=0)),
            "data/uses": _mean(self.uses),
            "data/num_groups": float(self.num_groups),
            "data/num_rows": float(self.num_rows),
            "data/num_short_groups": float(self.num_short_groups),
            "data/num_missing_problems": float(len(self.missing_problems)),
            "data/num_filled_online": float(self.filled.get("online", 0)),
            "data/num_filled_offline": float(self.filled.get("offline", 0)),
            "data/num_unannotated": float(self.num_unannotated),
            **dropped,
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        return dataclasses.asdict(self) | {"offline_fraction": self.offline_fraction}


def length_buckets(prompt_lengths: np.ndarray, completion_lengths: np.ndarray) -> list[str]:
    """The bucket of each row: prompt plus completion up to a power of two, or 'unknown'."""
    return [
        "unknown" if completion < 0 else f"<={1 << int(prompt + completion - 1).bit_length()}"
        for prompt, completion in zip(
            prompt_lengths.tolist(), completion_lengths.tolist(), strict=True
        )
    ]


def histogram(values: Iterable[int]) -> dict[int, int]:
    """Value to count, by ascending value."""
    return dict(sorted(Counter(values).items()))


def _mean(counts: Mapping[int, int]) -> float:
    return sum(value * count for value, count in counts.items()) / max(sum(counts.values()), 1)
