"""Templates of the starter set: one template is one idea, its variants are the problems.

Each module of `templates/` exposes `TEMPLATES: tuple[Template, ...]`. Expected outputs are never
written by hand: `build.py` runs the first correct program of a variant under the judge and then
checks that every other correct program agrees and that every wrong one fails a test.
"""

import dataclasses
import importlib
import pkgutil
import random
from collections.abc import Callable, Sequence
from typing import Literal

Style = Literal["stdin", "call"]
Split = Literal["train", "test"]


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """One problem of a template.

    Attributes:
      name: unique within the template, for example 'k3'.
      description: the statement, at most about 45 words.
      correct: at least four right programs that differ in idea; the first is the model solution.
      incorrect: at least four plausible wrong programs.
      inputs: at least ten inputs: standard input as text, or a list of JSON-able arguments. The
        first two become the public tests.
      fn_name: the function to call, where it differs from the template's.
    """

    name: str
    description: str
    correct: tuple[str, ...]
    incorrect: tuple[str, ...]
    inputs: tuple[str | list, ...]
    fn_name: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Template:
    """One idea and the function that writes its variants.

    Attributes:
      name: unique in the set; problem ids are '<set>/<template>-<variant>', or
        '<set>/<variant>' where the variant's name already begins with the template's.
      difficulty: 1 (one expression) to 5 (a small algorithm).
      style: 'stdin' (reads standard input, prints) or 'call' (a function that returns a value).
      fn_name: the function to call, or None (stdin, or every variant names its own).
      variants: makes the variants from a generator seeded by the template's name.
      split: 'train', or 'test' for templates that are held out whole.
    """

    name: str
    difficulty: int
    style: Style
    fn_name: str | None
    variants: Callable[[random.Random], Sequence[Variant]]
    split: Split


def all_templates() -> tuple[Template, ...]:
    """The templates of every module in `templates/`, in the order of module and template."""
    package = importlib.import_module("spo_jax.problems.starter.templates")
    found: list[Template] = []
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        found.extend(importlib.import_module(f"{package.__name__}.{info.name}").TEMPLATES)
    return tuple(found)
