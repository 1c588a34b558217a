"""Samples of an evaluation on disk: JSON lines, one sample each, written whole or not at all."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spo_jax.errors import writing
from spo_jax.evaluation.pass_at_k import ProblemScore
from spo_jax.types import Verdict


def write_samples(path: str | os.PathLike[str], samples: Iterable[Mapping[str, Any]]) -> None:
    """Writes samples: each has at least 'problem_id', 'verdict' and 'num_tokens'."""
    path = Path(path)
    partial = path.with_suffix(".partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            for sample in samples:
                file.write(json.dumps(sample) + "\n")
        partial.replace(path)


def read_samples(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """All samples of a file."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def scores_of(samples: Iterable[Mapping[str, Any]]) -> tuple[ProblemScore, ...]:
    """Samples and accepted samples by problem, in order of first appearance."""
    totals: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    for sample in samples:
        totals[sample["problem_id"]] += 1
        accepted[sample["problem_id"]] += sample["verdict"] == Verdict.AC
    return tuple(ProblemScore(name, count, accepted[name]) for name, count in totals.items())
