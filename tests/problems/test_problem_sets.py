import subprocess
import sys

import pytest

from spo_jax.errors import UserError
from spo_jax.problems import find_problem, load_problems, problem_sets


def test_splits_load_in_a_fixed_order():
    assert problem_sets() == {"starter": ("train", "test"), "letters": ("train", "test")}
    first, again = load_problems("starter", "train"), load_problems()
    assert first == again
    first.clear()  # a caller's list is its own
    assert load_problems() == again


def test_problems_are_found_by_id():
    problem = load_problems("starter", "test")[3]
    assert find_problem(problem.id) == problem


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("startre", "train", "unknown problem set 'startre'; did you mean 'starter'"),
        ("starter", "tset", "unknown split of 'starter' 'tset'; did you mean 'test'"),
        ("starter", "valid", r"unknown split of 'starter' 'valid' \(known: train, test\)"),
    ],
)
def test_unknown_sets_and_splits_name_the_nearest(name, split, message):
    with pytest.raises(UserError, match=message):
        load_problems(name, split)


def test_an_unknown_id_names_the_nearest():
    message = "unknown problem 'starter/number-step-doubel'; did you mean 'starter/number-step-dou"
    with pytest.raises(UserError, match=message):
        find_problem("starter/number-step-doubel")


def test_loading_needs_neither_tensorflow_nor_jax():
    code = (
        "import sys; from spo_jax.problems import load_problems; load_problems();"
        "print([name for name in ('tensorflow', 'seqio', 'jax') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
