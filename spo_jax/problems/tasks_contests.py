"""CodeContests and TACO as data sources of seqio: rows become problems while they are read.

`ContestSource` yields `inputs` and `record`, as every task of problems does.
"""

import collections
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spo_jax.errors import UserError
from spo_jax.problems.contests.code_contests import code_contests_problem
from spo_jax.problems.contests.files import SPLITS
from spo_jax.problems.contests.rules import ContestRules, Tally, UnusableRowError
from spo_jax.problems.contests.taco import taco_problem
from spo_jax.problems.quiet import quiet_stderr
from spo_jax.problems.records import line_from_problem
from spo_jax.problems.tasks_builders import CodeContests, Taco, examples, prepared
from spo_jax.types import Problem

with quiet_stderr():
    import seqio
    import tensorflow as tf

CONTESTS = {"code_contests": CodeContests, "taco": Taco}
_SPECIAL_JUDGES = "output_spj.jsonl"  # beside TACO's files: one line for each row of its test split


class ContestSource(seqio.FunctionDataSource):
    """Reads a contest set.

    Args:
      name: 'code_contests' or 'taco'.
      data_dir: directory with the published files; '' for the hub.
      rules: how rows become problems.
      tally: filled with what is left out.
    """

    def __init__(
        self,
        name: str,
        data_dir: str = "",
        rules: ContestRules | None = None,
        tally: Tally | None = None,
    ):
        self._name = name
        self._data_dir = data_dir
        self._rules = rules or ContestRules()
        self._tally = tally or Tally()
        super().__init__(self._dataset, splits=tuple(SPLITS))

    def reading(self, data_dir: str, rules: Any, tally: Tally) -> "ContestSource":
        """The same set from another directory, by other rules.

        Raises:
          UserError: the rules are of another kind of set.
        """
        if not isinstance(rules, ContestRules | None):
            raise UserError(f"rules of task '{self._name}' must be ContestRules, not {rules!r}")
        source = ContestSource(self._name, data_dir or self._data_dir, rules or self._rules)
        source._tally = tally
        return source

    def problems(self, split: str) -> Iterator[Problem]:
        """The usable problems of a split, in the order of the files.

        Raises:
          UserError: no such directory or split, or a file is not in the published schema.
        """
        special = self._special_judges() if split == "test" else frozenset()
        seen: collections.Counter[str] = collections.Counter()
        for number, row in enumerate(self._rows_of(split)):
            problem_id = self._problem_id(row, split, number, seen)
            try:
                yield self._problem(row, problem_id, number in special)
            except UnusableRowError as error:
                self._tally.unusable.append((problem_id, str(error)))

    def _problem_id(
        self, row: dict[str, Any], split: str, number: int, seen: collections.Counter[str]
    ) -> str:
        """TACO has rows without a name, and CodeContests a few names more than once."""
        if self._name == "taco":
            return f"taco/{split}-{number:05d}"
        name = row["name"].decode("utf-8", "replace") or f"{split}-{number:05d}"
        seen[name] += 1
        return f"{self._name}/{name}" + (f" #{seen[name]}" if seen[name] > 1 else "")

    def _problem(self, row: dict[str, Any], problem_id: str, is_special: bool) -> Problem:
        if self._name == "taco":
            return taco_problem(row, problem_id, self._rules, self._tally, is_special)
        return code_contests_problem(row, problem_id, self._rules, self._tally)

    def _special_judges(self) -> frozenset[int]:
        path = Path(self._data_dir).expanduser() / _SPECIAL_JUDGES
        if self._name != "taco" or not self._data_dir or not path.exists():
            return frozenset()
        try:
            rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
            return frozenset(row["idx"] for row in rows if row["special_judge"])
        except (ValueError, KeyError, TypeError) as error:
            rule = "lines must hold 'idx' and 'special_judge'"
            raise UserError(f"{path}: {rule}: {error!r}") from error

    def _dataset(
        self, split: str, shuffle_files: bool = False, seed: int | None = None
    ) -> tf.data.Dataset:
        del shuffle_files, seed  # The order is that of the files; seqio shuffles examples.
        self._rows_of(split)  # complaints come from here, not from inside TensorFlow
        text = tf.TensorSpec((), tf.string)

        def lines() -> Iterator[dict[str, str]]:
            for problem in self.problems(split):
                yield {"inputs": problem.description, "record": line_from_problem(problem)}

        return tf.data.Dataset.from_generator(
            lines, output_signature={"inputs": text, "record": text}
        )

    def _rows_of(self, split: str) -> Iterator[dict[str, Any]]:
        return examples(prepared(CONTESTS[self._name](source_dir=self._data_dir or None)), split)
