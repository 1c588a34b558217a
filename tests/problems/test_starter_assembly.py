import dataclasses

import pytest

from spo_jax.judging import Judge
from spo_jax.problems.starter.assembly import TemplateError, assemble
from spo_jax.problems.starter.table import expand, parse_table, read_lines, read_rows
from spo_jax.problems.starter.template import Template, Variant
from spo_jax.problems.verification import find_mislabels
from spo_jax.types import Solution, Verdict

DOUBLE = Variant(
    name="double",
    description="Write a function `double(n)` that returns n times 2.",
    correct=tuple(
        f"def double(n):\n    return {way}\n" for way in ("n * 2", "n + n", "2 * n", "n - -n")
    ),
    incorrect=tuple(
        f"def double(n):\n    return {way}\n" for way in ("n", "n + 2", "n ** 2", "str(n)")
    ),
    inputs=tuple([n] for n in range(10)),
)


def template(variant, *, name="doubling", split="train", style="call", fn_name="double"):
    return Template(name, 1, style, fn_name, lambda rng: [variant], split)


def change(**fields):
    return dataclasses.replace(DOUBLE, **fields)


def test_outputs_come_from_the_model_solution():
    (problem,) = assemble([template(DOUBLE)])["train"]
    assert problem.id == "starter/doubling-double"
    assert [test.output for test in problem.tests] == [str(2 * n) for n in range(10)]
    assert (len(problem.public_tests), len(problem.private_tests)) == (2, 8)
    assert (problem.fn_name, problem.difficulty, problem.tags) == (
        "double",
        1,
        ("doubling", "call"),
    )


def test_printed_output_is_taken_from_programs():
    variant = change(
        correct=tuple(f"n = int(input())\nprint({way})\n" for way in ("n", "n + 0", "+n", "n * 1")),
        incorrect=tuple(f"print({way})\n" for way in "1234"),
        inputs=tuple(f"{n}\n" for n in range(10)),
    )
    problems = assemble([template(variant, style="stdin", fn_name=None)])
    assert [test.output for test in problems["train"][0].tests] == [f"{n}\n" for n in range(10)]


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (change(correct=DOUBLE.correct[:3]), "3 correct, at least 4 are needed"),
        (change(incorrect=DOUBLE.incorrect[:3]), "3 incorrect, at least 4 are needed"),
        (change(inputs=DOUBLE.inputs[:9]), "9 inputs, at least 10 are needed"),
        (change(inputs=([1], *DOUBLE.inputs)), "inputs holds the same thing twice"),
        (change(description="word " * 46), "46 words, at most 45 are allowed"),
        (change(incorrect=DOUBLE.correct), "correct and incorrect share a program"),
        (
            change(correct=("def double(n):\n    return 1 // n\n", *DOUBLE.correct)),
            r"the model solution fails on \[0\]: ZeroDivisionError",
        ),
        (
            change(correct=("def double(n):\n    return 1\n", *DOUBLE.correct)),
            "every test has the same output",
        ),
    ],
)
def test_rules_are_enforced(variant, message):
    with pytest.raises(TemplateError, match=f"doubling-double: .*{message}"):
        assemble([template(variant)])


def test_styles_must_fit():
    with pytest.raises(TemplateError, match="style stdin does not fit fn_name double"):
        assemble([template(DOUBLE, style="stdin")])


def test_repeated_names_and_statements_are_refused():
    with pytest.raises(TemplateError, match="two templates are named doubling"):
        assemble([template(DOUBLE), template(DOUBLE)])
    with pytest.raises(TemplateError, match="starter/b-double repeats starter/a-double"):
        assemble([template(DOUBLE, name="a"), template(DOUBLE, name="b")])


def test_a_held_out_problem_may_not_repeat_a_training_program():
    renamed = change(
        description="Write a function `twice(x)` that gives x two times.",
        correct=tuple(
            f"def twice(x):\n    return {way}\n" for way in ("x * 2", "x * 4 // 2", "x << 1", "x")
        ),
        fn_name="twice",
    )
    with pytest.raises(TemplateError, match="held-out starter/b-double has the same program"):
        assemble([template(DOUBLE, name="a"), template(renamed, name="b", split="test")])


def test_tables_fill_holes_per_row():
    variants = expand(
        """
fn | k | what
add_one | 1 | n plus $k
add_two | 2 | n plus
    $k
""",
        description="Write `$fn(n)`: $what.",
        correct="def $fn(n):\n    return n + $k\n---\ndef $fn(n):\n    return $k + n",
        incorrect="def $fn(n):\n    return n",
        more_correct={"add-two": "def $fn(n):\n    return n + 1 + 1"},
        inputs=lambda row: [[int(row["k"])]],
    )(None)
    assert [v.name for v in variants] == ["add-one", "add-two"]
    assert [v.fn_name for v in variants] == ["add_one", "add_two"]
    assert variants[1].description == "Write `add_two(n)`: n plus 2."
    assert variants[1].correct == (
        "def add_two(n):\n    return n + 2\n",
        "def add_two(n):\n    return 2 + n\n",
        "def add_two(n):\n    return n + 1 + 1\n",
    )
    assert len(variants[0].correct) == 2
    assert variants[1].inputs == ([2],)


def test_tables_refuse_rows_of_another_length():
    with pytest.raises(ValueError, match="has 1 cells, the header has 2"):
        parse_table("a | b\nx | y\nz")


def test_inputs_are_read_from_short_text():
    assert read_rows("1 -2; 3") == [[1, -2], [3]]
    assert read_lines("1 -2; 3") == ["1 -2\n", "3\n"]


def test_mislabelled_programs_are_found():
    (problem,) = assemble([template(DOUBLE)])["train"]
    swapped = dataclasses.replace(
        problem,
        solutions=(problem.solutions[0], Solution("python3", "def double(n):\n    return n\n")),
        incorrect_solutions=(problem.solutions[1], Solution("cpp", "int main() {}")),
    )
    with Judge() as judge:
        found = find_mislabels([swapped], judge)
    assert [(item.is_correct, item.index, item.judgement.verdict) for item in found] == [
        (True, 1, Verdict.WA),
        (False, 0, Verdict.AC),
    ]
    assert str(found[0]).startswith("starter/doubling-double: solutions[1] got WA")
