"""From templates to problems: expected outputs, ids, and the rules a starter problem obeys."""

import ast
import builtins
import contextlib
import io
import json
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spo_jax.problems.starter.template import Split, Template, Variant
from spo_jax.types import Problem, Solution, TestCase

SET_NAME = "starter"
_NUM_PUBLIC_TESTS = 2
_MOST_WORDS = 45
_FEWEST = {"correct": 4, "incorrect": 4, "inputs": 10}
_TIME_LIMIT_SECS = 1.0
_MEMORY_LIMIT_BYTES = 256 * 2**20


class TemplateError(Exception):
    """A template or one of its variants breaks a rule of the set."""


def assemble(templates: Sequence[Template]) -> dict[Split, list[Problem]]:
    """The problems of every template by split.

    First comes the first variant of every template, the easiest template first, then the second
    ones, and so on: the beginning of a split is a fair sample of its templates.

    Model solutions run in this process: they are part of the source tree, not a model's.

    Raises:
      TemplateError: a rule is broken; the message names the template and the variant.
    """
    problems: dict[Split, list[Problem]] = {"train": [], "test": []}
    places: dict[str, tuple[int, int, str]] = {}
    names = set()
    for template in templates:
        if template.name in names:
            raise TemplateError(f"two templates are named {template.name}")
        names.add(template.name)
        for place, variant in enumerate(template.variants(random.Random(template.name))):
            problem = _problem(template, variant)
            problems[template.split].append(problem)
            places[problem.id] = (place, template.difficulty, template.name)
    everything = problems["train"] + problems["test"]
    _refuse_repeats((problem.id, problem.id) for problem in everything)
    _refuse_repeats((problem.description, problem.id) for problem in everything)
    _refuse_leaks(problems)
    for items in problems.values():
        items.sort(key=lambda problem: places[problem.id])
    return problems


def _problem(template: Template, variant: Variant) -> Problem:
    repeats = variant.name.startswith(template.name)
    where = variant.name if repeats else f"{template.name}-{variant.name}"
    fn_name = variant.fn_name or template.fn_name
    if (fn_name is None) != (template.style == "stdin"):
        raise TemplateError(f"{where}: style {template.style} does not fit fn_name {fn_name}")
    _check_variant(variant, where)
    tests = tuple(
        TestCase(
            input=given if isinstance(given, str) else json.dumps(given),
            output=_expected_output(variant.correct[0], fn_name, given, where),
        )
        for given in variant.inputs
    )
    if len({test.output for test in tests}) < 2:
        raise TemplateError(f"{where}: every test has the same output")
    return Problem(
        id=f"{SET_NAME}/{where}",
        name=where,
        description=variant.description,
        public_tests=tests[:_NUM_PUBLIC_TESTS],
        private_tests=tests[_NUM_PUBLIC_TESTS:],
        solutions=tuple(Solution("python3", code) for code in variant.correct),
        incorrect_solutions=tuple(Solution("python3", code) for code in variant.incorrect),
        time_limit_secs=_TIME_LIMIT_SECS,
        memory_limit_bytes=_MEMORY_LIMIT_BYTES,
        fn_name=fn_name,
        source=SET_NAME,
        difficulty=template.difficulty,
        tags=(template.name, template.style),
    )


def _check_variant(variant: Variant, where: str) -> None:
    num_words = len(variant.description.split())
    if num_words > _MOST_WORDS:
        raise TemplateError(f"{where}: {num_words} words, at most {_MOST_WORDS} are allowed")
    for field, fewest in _FEWEST.items():
        items = getattr(variant, field)
        different = {json.dumps(item) for item in items}
        if len(different) < len(items):
            raise TemplateError(f"{where}: {field} holds the same thing twice")
        if len(items) < fewest:
            raise TemplateError(f"{where}: {len(items)} {field}, at least {fewest} are needed")
    both = set(variant.correct) & set(variant.incorrect)
    if both:
        raise TemplateError(f"{where}: correct and incorrect share a program:\n{both.pop()}")


def _expected_output(code: str, fn_name: str | None, given: str | list, where: str) -> str:
    """What the program prints, or the JSON text of what the function returns."""
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = io.StringIO()
    stdin = sys.stdin
    sys.stdin = io.StringIO(given if isinstance(given, str) else "")
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(code, where, "exec"), names)
            if fn_name is not None:
                return json.dumps(names[fn_name](*json.loads(json.dumps(given))))
    except Exception as error:
        raise TemplateError(f"{where}: the model solution fails on {given!r}: {error!r}") from error
    finally:
        sys.stdin = stdin
    return printed.getvalue()


def _refuse_repeats(keys_and_ids: Iterable[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for key, problem_id in keys_and_ids:
        if key in seen:
            raise TemplateError(f"{problem_id} repeats {seen[key]}: {key}")
        seen[key] = problem_id


def _refuse_leaks(problems: Mapping[Split, Sequence[Problem]]) -> None:
    """No held-out problem has a program that solves a training problem, up to names."""
    trained: dict[str, str] = {}
    for problem in problems["train"]:
        for solution in problem.solutions:
            trained.setdefault(_shape(solution.code), problem.id)
    for problem in problems["test"]:
        for solution in problem.solutions:
            twin = trained.get(_shape(solution.code))
            if twin is not None:
                raise TemplateError(
                    f"held-out {problem.id} has the same program as {twin}:\n{solution.code}"
                )


def _shape(code: str) -> str:
    """The syntax of a program with its own names numbered in order of appearance."""
    numbers: dict[str, str] = {}

    def number(name: str) -> str:
        return name if hasattr(builtins, name) else numbers.setdefault(name, f"n{len(numbers)}")

    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.name = number(node.name)
        elif isinstance(node, ast.arg):
            node.arg = number(node.arg)
        elif isinstance(node, ast.Name):
            node.id = number(node.id)
    return ast.dump(tree)
