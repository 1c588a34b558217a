"""Data sources of seqio whose problems are read from a file, or made, when a task is loaded."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from spo_jax.errors import UserError
from spo_jax.problems.human_eval import human_eval_problems
from spo_jax.problems.mbpp import MBPP_SPLITS, mbpp_problems
from spo_jax.problems.prompt_answers import PromptColumns, prompt_answer_problems
from spo_jax.problems.quiet import quiet_stderr
from spo_jax.problems.reasoning_gym import ReasoningGymSet, reasoning_gym_problems
from spo_jax.problems.records import line_from_problem
from spo_jax.types import Problem

with quiet_stderr():
    import seqio
    import tensorflow as tf

_TEXT = tf.TensorSpec((), tf.string)


class FileSource(seqio.FunctionDataSource):
    """Problems of a set outside the package.

    Args:
      name: of the task, for complaints.
      load: makes the problems of a split from `data_dir`, and from `rules` if there is a kind.
      splits: it has.
      rules_kind: class of the rules that the set takes, or None.
      data_dir, rules: what `load` gets.
    """

    def __init__(
        self,
        name: str,
        load: Callable[..., Iterable[Problem]],
        splits: Sequence[str],
        *,
        rules_kind: type | None = None,
        data_dir: str = "",
        rules: Any = None,
    ):
        self.name = name
        self._load = load
        self._rules_kind = rules_kind
        self._data_dir = data_dir
        self._rules = rules
        super().__init__(self._dataset, splits=tuple(splits))

    def reading(self, data_dir: str, rules: Any, tally: object) -> "FileSource":
        """The same set from another place, by other rules. Nothing of it is left out."""
        del tally
        if rules is not None and not isinstance(rules, self._rules_kind or ()):
            wanted = f"must be {self._rules_kind.__name__}" if self._rules_kind else "must be None"
            raise UserError(f"rules of task '{self.name}' {wanted}, not {rules!r}")
        return FileSource(
            self.name,
            self._load,
            self.splits,
            rules_kind=self._rules_kind,
            data_dir=data_dir or self._data_dir,
            rules=rules or self._rules,
        )

    def _dataset(
        self, split: str, shuffle_files: bool = False, seed: int | None = None
    ) -> tf.data.Dataset:
        del shuffle_files, seed  # The order is that of the file; seqio shuffles examples.
        arguments = () if self._rules_kind is None else (self._rules or self._rules_kind(),)
        # Read now: complaints come from here, not from inside TensorFlow.
        problems = list(self._load(split, self._data_dir, *arguments))

        def examples() -> Iterator[dict[str, str]]:
            for problem in problems:
                yield {"inputs": problem.description, "record": line_from_problem(problem)}

        return tf.data.Dataset.from_generator(
            examples, output_signature={"inputs": _TEXT, "record": _TEXT}
        )


FILE_SOURCES = (
    FileSource("mbpp", mbpp_problems, tuple(MBPP_SPLITS)),
    FileSource("human_eval", human_eval_problems, ("test",)),
    FileSource(
        "prompt_answer",
        prompt_answer_problems,
        ("train", "validation", "test"),
        rules_kind=PromptColumns,
    ),
    FileSource(
        "reasoning_gym", reasoning_gym_problems, ("train", "test"), rules_kind=ReasoningGymSet
    ),
)
