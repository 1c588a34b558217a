import itertools

import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.evaluation import ProblemScore, mean_pass_at_k, paired_difference, pass_at_k


@pytest.mark.parametrize(("n", "c"), [(5, 0), (5, 1), (5, 3), (5, 5), (7, 2)])
def test_equals_the_fraction_of_subsets_that_hold_a_right_answer(n, c):
    right = [i < c for i in range(n)]
    for k in range(1, n + 1):
        subsets = list(itertools.combinations(right, k))
        assert pass_at_k(n, c, k) == pytest.approx(np.mean([any(s) for s in subsets]))


def test_is_unbiased():
    rng, p, n, k = np.random.default_rng(0), 0.3, 10, 4
    counts = rng.binomial(n, p, size=20_000)
    estimate = np.mean([pass_at_k(n, int(c), k) for c in counts])
    assert estimate == pytest.approx(1 - (1 - p) ** k, abs=0.01)


def test_budget_beyond_the_samples_is_refused_with_both_values():
    with pytest.raises(UserError, match=r"pass@11 .*num_samples=10"):
        pass_at_k(10, 3, 11)


def test_every_problem_counts_the_same():
    scores = [ProblemScore("a", 10, 10), ProblemScore("b", 2, 0)]
    assert mean_pass_at_k(scores, 1) == 0.5


def test_paired_difference_ignores_order_and_finds_a_constant_gain():
    before = [ProblemScore(f"p{i}", 10, i % 5) for i in range(40)]
    after = [ProblemScore(s.problem_id, 10, s.num_correct + 2) for s in reversed(before)]
    gain = paired_difference(before, after, 1)
    assert (gain.mean, gain.low, gain.high) == pytest.approx((0.2, 0.2, 0.2))
    assert gain.num_problems == 40


def test_paired_difference_interval_covers_zero_for_pure_noise():
    rng = np.random.default_rng(1)
    before = [ProblemScore(f"p{i}", 10, int(rng.integers(11))) for i in range(60)]
    after = [ProblemScore(f"p{i}", 10, int(rng.integers(11))) for i in range(60)]
    gain = paired_difference(before, after, 1)
    assert gain.low < 0 < gain.high


def test_paired_difference_refuses_different_problems():
    with pytest.raises(UserError, match="'b' is in one only"):
        paired_difference(
            [ProblemScore("b", 1, 0), ProblemScore("c", 1, 0)], [ProblemScore("c", 1, 0)], 1
        )
