import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.objectives.groups import group_mean, leave_one_out_mean
from spo_jax.objectives.masked import masked_mean, masked_sum

VALUES = jnp.array([[1.0, 2.0, jnp.nan], [jnp.inf, 5.0, 7.0]])
MASK = jnp.array([[True, True, False], [False, True, True]])


def test_masked_entries_reach_neither_value_nor_gradient():
    assert masked_sum(VALUES, MASK) == 15.0
    np.testing.assert_array_equal(masked_sum(VALUES, MASK, axis=1), [3.0, 12.0])
    np.testing.assert_array_equal(masked_mean(VALUES, MASK, axis=1), [1.5, 6.0])
    gradient = jax.grad(lambda values: masked_mean(values, MASK))(VALUES)
    np.testing.assert_allclose(gradient, [[0.25, 0.25, 0.0], [0.0, 0.25, 0.25]])


def test_empty_mask_gives_zero_and_a_finite_gradient():
    empty = jnp.zeros_like(MASK)
    assert masked_mean(VALUES, empty) == 0.0
    assert bool(jnp.isfinite(jax.grad(lambda v: masked_mean(v, empty))(VALUES)).all())


def test_bfloat16_is_summed_in_float32():
    ones = jnp.ones(4096, jnp.bfloat16)  # bfloat16 alone stops counting at 256
    total = masked_sum(ones, jnp.ones(4096, bool))
    assert total.dtype == jnp.float32
    assert total == 4096.0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"values \(2, 3\) and mask \(3,\)"):
        masked_sum(VALUES, MASK[0, :3])


def test_group_means_count_real_slots_only():
    values = jnp.array([1.0, 3.0, 1000.0, 10.0, 20.0, 60.0])
    weights = jnp.array([1.0, 1.0, 0.0, 1.0, 1.0, 2.0])
    groups = jnp.array([0, 0, 0, 4, 4, 4])
    mean = group_mean(values, weights, groups)
    np.testing.assert_allclose(mean[jnp.array([0, 1, 3, 4, 5])], [2.0, 2.0, 37.5, 37.5, 37.5])
    others = leave_one_out_mean(values, weights, groups)
    expected = [3.0, 1.0, 140 / 3, 130 / 3, 15.0]
    np.testing.assert_allclose(others[jnp.array([0, 1, 3, 4, 5])], expected, rtol=1e-6)


def test_a_group_of_one_is_its_own_leave_one_out_mean():
    values, weights = jnp.array([4.0, 9.0]), jnp.array([1.0, 0.0])
    others = leave_one_out_mean(values, weights, jnp.array([0, 0]))
    assert others[0] == 4.0
    assert bool(jnp.isfinite(others).all())


def test_an_empty_batch_has_finite_means():
    zeros, groups = jnp.zeros(3), jnp.zeros(3, jnp.int32)
    assert bool(jnp.isfinite(group_mean(zeros, zeros, groups)).all())
    assert bool(jnp.isfinite(leave_one_out_mean(zeros, zeros, groups)).all())
