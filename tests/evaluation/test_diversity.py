import pytest

from spo_jax.errors import UserError
from spo_jax.evaluation import mean_distinct_right


def sample(problem_id, verdict, text):
    return {"problem_id": problem_id, "verdict": verdict, "text": text}


def test_different_right_texts_are_counted_by_problem_and_averaged():
    samples = [
        sample("a", "AC", "x"),
        sample("a", "AC", "x"),
        sample("a", "AC", "y"),
        sample("a", "WA", "z"),
        sample("b", "WA", "x"),
    ]
    assert mean_distinct_right(samples) == (2 + 0) / 2


def test_no_samples_are_refused():
    with pytest.raises(UserError, match="at least one sample, got 0"):
        mean_distinct_right([])
