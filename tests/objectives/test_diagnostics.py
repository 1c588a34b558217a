import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.objectives import AdvantageRegression, SoftPolicyOptimization, TokenQRegression
from spo_jax.objectives.diagnostics import (
    clip_fraction,
    finished_metrics,
    moments_by_source,
    quarters,
    split_by_source,
)


def test_means_are_divided_once_and_empty_ones_left_out():
    finished = finished_metrics({"a": (3.0, 4.0), "b_online": (0.0, 0.0), "c": (0.0, 2.0)})
    assert finished == {"a": 0.75, "c": 0.0}


def test_spreads_follow_from_means_and_squares_by_source():
    values, select = jnp.array([1.0, 5.0, 3.0, -7.0]), jnp.array([True, True, True, False])
    online = jnp.array([True, True, False, False])
    finished = finished_metrics(moments_by_source("q/x", values, select, online))
    assert finished["q/x_std"] == pytest.approx(np.std([1.0, 5.0, 3.0]))
    assert finished["q/x_std_online"] == pytest.approx(2.0)
    assert finished["q/x_std_offline"] == 0.0
    assert finished["q/x_mean"] == 3.0 and finished["q/x_square_offline"] == 9.0


def test_rounding_never_makes_a_spread_imaginary():
    assert finished_metrics({"x_mean": (3.0, 3.0), "x_square": (2.9999, 3.0)})["x_std"] == 0.0


def test_effective_fraction_of_importance_weights():
    """Three weights of 1, 1 and 0 are worth two of three samples."""
    weights = jnp.array([1.0, 1.0, 0.0])
    sums = moments_by_source("q/importance_weight", weights, weights >= 0, weights > 1)
    finished = finished_metrics(sums)
    assert finished["q/importance_effective_fraction"] == pytest.approx(2 / 3)
    assert finished["q/importance_effective_fraction_offline"] == pytest.approx(2 / 3)
    assert "q/importance_effective_fraction_online" not in finished


def test_explained_variance_of_a_critic():
    returns, values = jnp.array([0.0, -1.0, -1.0, 0.0]), jnp.array([-0.2, -0.8, -0.8, -0.2])
    everything, online = returns < 9, jnp.array([True, True, False, False])
    sums = moments_by_source("value/residual", values - returns, everything, online)
    sums |= moments_by_source("value/return", returns, everything, online)
    finished = finished_metrics(sums)
    assert finished["value/explained_variance"] == pytest.approx(1 - 0.04 / 0.25, rel=1e-5)
    assert finished["value/explained_variance_online"] == pytest.approx(0.84, rel=1e-5)
    constant = moments_by_source("value/residual", values, everything, online)
    constant |= moments_by_source("value/return", jnp.ones(4), everything, online)
    assert "value/explained_variance" not in finished_metrics(constant)


def test_clip_fractions_count_tokens_by_source():
    clipped = jnp.array([[True, False, True], [True, True, True]])
    mask = jnp.array([[True, True, False], [True, False, False]])
    finished = finished_metrics(
        clip_fraction("policy/clip", clipped, mask, jnp.array([True, False]))
    )
    assert finished == {
        "policy/clip": pytest.approx(2 / 3),
        "policy/clip_online": 0.5,
        "policy/clip_offline": 1.0,
    }


def test_split_never_reads_what_is_not_selected():
    values = jnp.array([1.0, jnp.nan])
    select = jnp.array([True, False])
    assert finished_metrics(split_by_source("x", values, select, select)) == {
        "x": 1.0,
        "x_online": 1.0,
    }


def test_quarters_count_chosen_tokens_only_and_end_in_the_fourth():
    mask = np.array(
        [
            [1, 1, 1, 1, 1, 1, 1, 1],
            [1, 0, 1, 0, 1, 0, 1, 0],
            [0, 0, 0, 0, 0, 1, 0, 0],
            [1, 1, 0, 0, 0, 0, 0, 0],
        ],
        bool,
    )
    expected = [[1, 1, 2, 2, 3, 3, 4, 4], [1, 2, 3, 4], [4], [2, 4]]
    found = np.asarray(quarters(jnp.asarray(mask)))
    assert [list(row[keep]) for row, keep in zip(found, mask, strict=True)] == expected


def two_answers(make_inputs):
    """Log-ratios 0.1, 0.2, 0.3, 0.4 of a right online answer, and -1 of a wrong offline one."""
    ratios = np.array([[0.1, 0.2, 0.3, 0.4], [-1.0, 9.0, 9.0, 9.0]])
    return make_inputs(num_groups=1, size=2, length=4)._replace(
        logprobs_BT=jnp.asarray(ratios, jnp.float32),
        ref_logprobs_BT=jnp.zeros((2, 4)),
        mask_BT=jnp.asarray([[True] * 4, [True, False, False, False]]),
        reward_B=jnp.array([0.0, -1.0]),
        is_online_B=jnp.array([True, False]),
        initial_value_B=jnp.full(2, -0.5),
    )


def test_residuals_along_the_answer_by_hand(make_inputs):
    objective = SoftPolicyOptimization(beta=0.5, baseline="initial_value")
    finished = finished_metrics(objective(two_answers(make_inputs)).metrics)
    q = -0.5 + 0.5 * np.cumsum([0.1, 0.2, 0.3, 0.4])  # of the right answer, whose reward is 0
    for i in range(3):
        assert finished[f"q/residual_quarter{i + 1}_mean"] == pytest.approx(q[i], abs=1e-6)
        assert finished[f"q/right_quarter{i + 1}"] == pytest.approx(q[i], abs=1e-6)
        assert f"q/wrong_quarter{i + 1}" not in finished
    # The wrong answer has one token: Q = -1, and its residual is 0.
    assert finished["q/wrong_quarter4"] == pytest.approx(-1.0)
    assert finished["q/residual_quarter4_mean"] == pytest.approx(q[3] / 2, abs=1e-6)
    assert finished["q/residual_quarter4_mean_offline"] == pytest.approx(0.0, abs=1e-6)
    assert finished["q/residual_quarter4_std"] == pytest.approx(abs(q[3]) / 2, abs=1e-6)
    assert finished["q/residual_mean_online"] == pytest.approx(q[3], abs=1e-6)
    assert finished["q/final_right_online"] == pytest.approx(q[3], abs=1e-6)
    assert finished["q/final_wrong_offline"] == pytest.approx(-1.0)
    assert finished["q/beta"] == 0.5 and finished["q/initial_value"] == -0.5


def test_log_ratio_sums_and_calibration_by_hand(make_inputs):
    objective = SoftPolicyOptimization(beta=0.5, baseline="initial_value")
    finished = finished_metrics(objective(two_answers(make_inputs)).metrics)
    assert finished["policy/kl_to_reference"] == pytest.approx(1.0)
    assert finished["policy/log_ratio_mean"] == pytest.approx(0.0, abs=1e-6)
    assert finished["policy/log_ratio_std"] == pytest.approx(1.0)
    assert finished["policy/log_ratio_mean_offline"] == finished["policy/log_ratio_offline"]
    # Q_T is 0 for reward 0 and -1 for reward -1: it explains the outcome entirely.
    assert finished["q/explained_variance"] == pytest.approx(1.0)
    assert finished["q/return_std"] == pytest.approx(0.5)


def test_objectives_report_what_is_theirs(make_inputs):
    token_q = TokenQRegression(importance="reference", importance_cap=1.0)
    finished = finished_metrics(token_q(make_inputs()).metrics)
    assert 0 < finished["q/importance_effective_fraction"] <= 1
    values = finished_metrics(AdvantageRegression(target="values")(make_inputs()).metrics)
    assert {"value/explained_variance", "q/advantage_error_std", "loss/critic"} <= values.keys()
