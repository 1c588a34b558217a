"""Likelihood with and without a threshold."""

import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.objectives import Supervised


def test_without_a_threshold_every_row_is_copied(make_inputs, gradient_of):
    inputs = make_inputs()._replace(weights_B=jnp.linspace(0.5, 2.0, 12))
    gradient = gradient_of(Supervised(reward_threshold=None), inputs)
    expected = -np.where(inputs.mask_BT, inputs.weights_B[:, None], 0.0)
    np.testing.assert_array_equal(gradient, expected)
    output = Supervised(reward_threshold=None)(inputs)
    np.testing.assert_allclose(output.weight_sum, -expected.sum(), rtol=1e-6)


def test_a_threshold_below_every_reward_equals_none(make_inputs, gradient_of):
    inputs = make_inputs()
    low = gradient_of(Supervised(reward_threshold=-1.0), inputs)
    np.testing.assert_array_equal(low, gradient_of(Supervised(reward_threshold=None), inputs))
    some = gradient_of(Supervised(reward_threshold=0.0), inputs)
    assert 0 < int((some != 0).sum()) < int((low != 0).sum())


@pytest.mark.parametrize("threshold", [None, 0.0])
def test_true_loss_is_nats_per_token(threshold, make_inputs):
    inputs = make_inputs()
    chosen = np.asarray(inputs.mask_BT)
    if threshold is not None:
        chosen = chosen & (np.asarray(inputs.reward_B) >= threshold)[:, None]
    total, count = Supervised(reward_threshold=threshold)(inputs).metrics["loss/true"]
    expected = -np.asarray(inputs.logprobs_BT)[chosen].mean()
    np.testing.assert_allclose(total / count, expected, rtol=1e-6)


def test_rewards_that_are_no_numbers_are_refused():
    Supervised().check_rewards(np.array([-3.0, 0.0, 7.0]))
    with pytest.raises(UserError, match="rewards must be finite: 1 of 2 are not, one is nan"):
        Supervised().check_rewards(np.array([0.0, np.nan]))
