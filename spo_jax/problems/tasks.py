"""Problem sets as seqio tasks. Importing this module imports TensorFlow and registers the tasks.

A task of problems yields examples with two features: `inputs`, the tokens of the statement (with
`inputs_pretokenized`, its text), and `record`, the whole problem as JSON in the schema of
CodeContests. Any registered task or mixture with a `record` feature can be trained on by its name.
"""

import functools
import sys
from collections.abc import Callable, Iterator, Sequence

from spo_jax.errors import UserError, nearest
from spo_jax.problems.contests.rules import ContestRules, Tally
from spo_jax.problems.exclusion import read_exclusions
from spo_jax.problems.prompt_answers import PromptColumns
from spo_jax.problems.quiet import quiet_stderr
from spo_jax.problems.reasoning_gym import ReasoningGymSet
from spo_jax.problems.records import line_from_problem, problem_from_line
from spo_jax.problems.sets import load_problems, problem_sets
from spo_jax.types import Problem

with quiet_stderr():  # a page of notes about instruction sets and missing GPUs
    import seqio
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # The accelerator belongs to JAX.

    from spo_jax.problems.tasks_contests import CONTESTS, ContestSource
    from spo_jax.problems.tasks_files import FILE_SOURCES, FileSource

_READERS = (ContestSource, FileSource)
_STRING = tf.TensorSpec((), tf.string)


def problem_source(
    load: Callable[[str], Sequence[Problem]], splits: Sequence[str]
) -> seqio.FunctionDataSource:
    """A data source of problems in the order in which `load(split)` returns them."""

    def examples(split: str) -> Iterator[dict[str, str]]:
        for problem in load(split):
            yield {"inputs": problem.description, "record": line_from_problem(problem)}

    def dataset_fn(split: str, shuffle_files: bool = False, seed: int | None = None):
        del shuffle_files, seed  # There are no files; seqio shuffles examples.
        return tf.data.Dataset.from_generator(
            functools.partial(examples, split),
            output_signature={"inputs": _STRING, "record": _STRING},
        )

    return seqio.FunctionDataSource(dataset_fn, splits=splits)


def register_problems(
    name: str, source: seqio.DataSource, vocabulary: seqio.Vocabulary | None = None
) -> seqio.Task:
    """Registers a task of problems under a name of your choice.

    Args:
      name: of the task.
      source: yields `inputs` and `record` as text, for example from `problem_source`.
      vocabulary: of `inputs`, for example a `TokenizerVocabulary`; bytes by default.

    Raises:
      ValueError: the name is taken (from seqio).
    """
    feature = seqio.Feature(vocabulary or seqio.ByteVocabulary(), add_eos=False)
    return seqio.TaskRegistry.add(
        name,
        source=source,
        preprocessors=[seqio.preprocessors.tokenize],
        output_features={"inputs": feature},
    )


def load_task_problems(
    name: str,
    split: str,
    *,
    data_dir: str = "",
    rules: ContestRules | PromptColumns | ReasoningGymSet | None = None,
    exclude: str = "",
    tally: Tally | None = None,
) -> list[Problem]:
    """The problems of a registered seqio task, or of the tasks of a mixture one after the other.

    What is left out of a contest set, and how many problems are excluded, goes to standard error.

    Args:
      name, split: of the task.
      data_dir: of a contest set (`code_contests`, `taco`): directory with the published files; of
        another set that is read from a file (`mbpp`, `human_eval`, `prompt_answer`): that file.
      rules: how rows become problems, of the kind that the set takes.
      exclude: file of problems to leave out.
      tally: filled with what was left out of a contest set, instead of saying so.

    Raises:
      UserError: there is no such task or split, an example has no valid `record`, the task reads
        no directory, or an excluded id is in a file that cannot be read.
    """
    known = [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]
    if name not in known:
        raise UserError(f"unknown seqio task '{name}'{nearest(name, known)}")
    excluded = read_exclusions(exclude) if exclude else {}
    provider = seqio.get_mixture_or_task(name)
    tasks = provider.tasks if isinstance(provider, seqio.Mixture) else [provider]
    if data_dir and not any(isinstance(task.source, _READERS) for task in tasks):
        readers = [*CONTESTS, *(source.name for source in FILE_SOURCES)]
        raise UserError(
            f"data_dir='{data_dir}' is for tasks that read a directory, such as "
            f"{', '.join(readers)}; '{name}' does not"
        )
    problems: list[Problem] = []
    for task in tasks:
        counted = Tally() if tally is None else tally
        if isinstance(task.source, _READERS):
            task = task.replace(source=task.source.reading(data_dir, rules, counted))
        problems += _task_problems(task, split)
        for line in counted.lines() if tally is None else ():
            print(f"{task.name}/{split}: {line}", file=sys.stderr)
    kept = [problem for problem in problems if problem.id not in excluded]
    if len(kept) < len(problems):
        count = len(problems) - len(kept)
        print(f"{name}/{split}: {count} problems excluded by {exclude}", file=sys.stderr)
    return kept


def takes_contest_rules(name: str) -> bool:
    """Whether `ContestRules` are the rules of a registered task."""
    task = seqio.TaskRegistry.get(name) if name in seqio.TaskRegistry.names() else None
    return task is not None and isinstance(task.source, ContestSource)


def task_splits(name: str) -> tuple[str, ...]:
    """The splits of a registered task or mixture.

    Raises:
      UserError: there is no such task.
    """
    known = [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]
    if name not in known:
        raise UserError(f"unknown seqio task '{name}'{nearest(name, known)}")
    return tuple(seqio.get_mixture_or_task(name).splits)


def _task_problems(task: seqio.Task, split: str) -> Iterator[Problem]:
    if split not in task.splits:
        hint = nearest(split, task.splits)
        raise UserError(
            f"seqio task '{task.name}' has no split '{split}'{hint} "
            f"(its splits: {', '.join(task.splits)})"
        )
    dataset = task.get_dataset(sequence_length=None, split=split, shuffle=False)
    for number, example in enumerate(dataset.as_numpy_iterator()):
        where = f"{task.name}/{split} example {number}"
        if "record" not in example:
            fields = ", ".join(sorted(example))
            raise UserError(f"{where} has no feature 'record' (it has {fields})")
        yield problem_from_line(example["record"].decode("utf-8"), where=where)


for _name, _splits in problem_sets().items():
    register_problems(
        f"spo_{_name}", problem_source(functools.partial(load_problems, _name), _splits)
    )
for _name in CONTESTS:
    register_problems(_name, ContestSource(_name))
for _source in FILE_SOURCES:
    register_problems(_source.name, _source)
