"""Rows laid by hand, and the errors of what does not fit."""

import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.packing import pack_prompt_groups, pack_separately, shared_row_length

SIZES = {"row_length": 8, "max_completion_tokens": 3, "pad_id": 9}


def test_prompt_sharing_layout_by_hand():
    rows = pack_prompt_groups(
        [[11, 12]], [[[21, 22, 23], [31]]], num_rows=2, completions_per_row=3, **SIZES
    )
    np.testing.assert_array_equal(
        rows.tokens_RL, [[11, 12, 21, 22, 9, 9, 9, 9], [9, 9, 9, 9, 9, 9, 9, 9]]
    )
    np.testing.assert_array_equal(rows.positions_RL[0], [0, 1, 2, 3, 0, 0, 0, 0])
    np.testing.assert_array_equal(rows.segment_ids_RL[0], [1, 1, 2, 2, 0, 0, 0, 0])
    np.testing.assert_array_equal(rows.prefix_ids_RL[0], [0, 0, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(rows.index_RnT[0], [[1, 2, 3], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(rows.targets_RnT[0], [[21, 22, 23], [31, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(
        rows.mask_RnT[0], [[True, True, True], [True, False, False], [False, False, False]]
    )
    assert not rows.segment_ids_RL[1].any()
    assert not rows.mask_RnT[1].any()


def test_second_completion_starts_over_after_the_prompt():
    rows = pack_prompt_groups(
        [[11, 12]], [[[21, 22], [31, 32, 33]]], num_rows=1, completions_per_row=2, **SIZES
    )
    np.testing.assert_array_equal(rows.tokens_RL[0], [11, 12, 21, 31, 32, 9, 9, 9])
    np.testing.assert_array_equal(rows.positions_RL[0], [0, 1, 2, 2, 3, 0, 0, 0])
    np.testing.assert_array_equal(rows.segment_ids_RL[0], [1, 1, 2, 3, 3, 0, 0, 0])
    np.testing.assert_array_equal(rows.index_RnT[0], [[1, 2, 0], [1, 3, 4]])


def test_separate_layout_is_one_plain_segment():
    rows = pack_separately([[11, 12]], [[21, 22, 23]], num_rows=1, **SIZES)
    np.testing.assert_array_equal(rows.tokens_RL[0], [11, 12, 21, 22, 9, 9, 9, 9])
    np.testing.assert_array_equal(rows.positions_RL[0], [0, 1, 2, 3, 0, 0, 0, 0])
    np.testing.assert_array_equal(rows.segment_ids_RL[0], [1, 1, 1, 1, 0, 0, 0, 0])
    assert not rows.prefix_ids_RL.any()
    np.testing.assert_array_equal(rows.index_RnT[0], [[1, 2, 3]])


def test_every_target_is_the_token_after_its_index():
    rows = pack_separately([[11, 12], [13]], [[21, 22, 23], [31]], num_rows=2, **SIZES)
    for r in range(2):
        for index, target in zip(rows.index_RnT[r, 0], rows.targets_RnT[r, 0], strict=True):
            after = rows.tokens_RL[r, index + 1]
            assert target in (after, 23, 31, 0)  # the last tokens are targets only


def test_environment_tokens_are_inputs_but_not_scored():
    rows = pack_separately(
        [[11]], [[21, 22, 23]], num_rows=1, completion_masks=[[True, False, True]], **SIZES
    )
    np.testing.assert_array_equal(rows.tokens_RL[0, :3], [11, 21, 22])
    np.testing.assert_array_equal(rows.mask_RnT[0, 0], [True, False, True])
    np.testing.assert_array_equal(rows.index_RnT[0, 0], [0, 0, 2])


def test_shared_row_length_is_exact():
    group = [[21, 22, 23], [31], []]
    length = shared_row_length([11, 12], group)
    sizes = {"num_rows": 1, "completions_per_row": 3, "max_completion_tokens": 3, "pad_id": 9}
    rows = pack_prompt_groups([[11, 12]], [group], row_length=length, **sizes)
    assert (rows.segment_ids_RL > 0).all()
    with pytest.raises(UserError, match=f"are {length}, more than row_length={length - 1}"):
        pack_prompt_groups([[11, 12]], [group], row_length=length - 1, **sizes)


@pytest.mark.parametrize(
    ("prompts", "groups", "message"),
    [
        ([[1], [2]], [[], []], "the prompts are 2, more than num_rows=1"),
        ([[]], [[]], "prompt 0 is empty"),
        (
            [[1]],
            [[[2], [3], [4]]],
            "completions of prompt 0 are 3, more than completions_per_row=2",
        ),
        (
            [[1]],
            [[[2], [3, 4, 5, 6]]],
            "tokens of completion 1 of prompt 0 are 4, more than max_completion_tokens=3",
        ),
    ],
)
def test_what_does_not_fit_is_named(prompts, groups, message):
    with pytest.raises(UserError, match=message):
        pack_prompt_groups(prompts, groups, num_rows=1, completions_per_row=2, **SIZES)


def test_mask_of_another_length_is_named():
    with pytest.raises(UserError, match=r"completion_masks\[0\]\[0\] has 1 entries"):
        pack_separately([[1]], [[2, 3]], num_rows=1, completion_masks=[[True]], **SIZES)
