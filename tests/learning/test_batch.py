import dataclasses

import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.learning import RowBucket, make_batch, row_buckets

NEEDS = frozenset({"ref_logprobs"})
SMALL = RowBucket(num_rows=2, row_length=16, completions_per_row=4, max_completion_tokens=8)
LARGE = dataclasses.replace(SMALL, row_length=40)


@dataclasses.dataclass
class PlainGroup:
    problem_id: str
    rows: tuple
    initial_value: float | None = None
    reference_id: str | None = None


def batch_of(*rows, buckets=(SMALL, LARGE), needs=NEEDS, pad_id=0, initial_value=None):
    return make_batch([PlainGroup("p", rows, initial_value)], buckets, pad_id=pad_id, needs=needs)


def test_targets_masks_and_reference_logprobs_align(make_row):
    """Time is shifted here and nowhere else: index points at the state before each target."""
    first = make_row("a", completion=(8, 9, 2), ref_logprobs=np.array([-1, -2, -3], np.float32))
    second = make_row("b", completion=(4, 2), ref_logprobs=np.array([-4, -5], np.float32))
    batch = batch_of(first, second)
    (micro,) = batch.micro_batches
    assert batch.trajectory_ids == (("a", "b", "", "", "", "", "", ""),)
    rows = micro.rows
    np.testing.assert_array_equal(rows.tokens_RL[0, :6], [5, 6, 7, 8, 9, 4])
    np.testing.assert_array_equal(rows.targets_RnT[0, 0, :3], [8, 9, 2])
    np.testing.assert_array_equal(rows.index_RnT[0, 0, :3], [2, 3, 4])
    np.testing.assert_array_equal(rows.index_RnT[0, 1, :2], [2, 5])
    np.testing.assert_array_equal(micro.ref_logprobs_BT[0, :4], [-1, -2, -3, 0])
    np.testing.assert_array_equal(micro.ref_logprobs_BT[1, :3], [-4, -5, 0])
    np.testing.assert_array_equal(micro.weights_B, [1, 1, 0, 0, 0, 0, 0, 0])
    assert rows.mask_RnT.sum() == 5


def test_trap_end_token_untrained_when_pad_is_eos(make_row):
    batch = batch_of(make_row(completion=(8, 9, 2)), pad_id=2)
    rows = batch.micro_batches[0].rows
    np.testing.assert_array_equal(rows.mask_RnT[0, 0], [True] * 3 + [False] * 5)
    assert rows.targets_RnT[0, 0, 2] == 2


def test_trap_integer_rewards_truncate(make_row):
    rows = [make_row(f"t{i}", reward=r) for i, r in enumerate((0, np.int64(-1), 0.5, -0.25))]
    reward_B = batch_of(*rows).micro_batches[0].reward_B
    assert reward_B.dtype == np.float32
    np.testing.assert_array_equal(reward_B[:4], [0, -1, 0.5, -0.25])


def test_environment_tokens_are_inputs_but_no_targets(make_row):
    row = make_row(completion=(8, 30, 31, 2), completion_mask=np.array([1, 0, 0, 1], bool))
    rows = batch_of(row).micro_batches[0].rows
    np.testing.assert_array_equal(rows.mask_RnT[0, 0, :4], [True, False, False, True])
    np.testing.assert_array_equal(rows.tokens_RL[0, 3:6], [8, 30, 31])


def test_a_group_takes_the_bucket_with_the_fewest_positions(make_row):
    short = batch_of(make_row("a"), make_row("b"))
    assert short.micro_batches[0].rows.tokens_RL.shape == (2, 16)
    long = [make_row(f"t{i}", completion=range(3, 11)) for i in range(4)]
    # Two rows of 16 hold one long completion each: four need one row of 40.
    assert batch_of(*long).micro_batches[0].rows.tokens_RL.shape == (2, 40)


def test_a_group_may_take_several_rows_but_never_crosses_a_micro_batch(make_group):
    bucket = RowBucket(num_rows=3, row_length=16, completions_per_row=2, max_completion_tokens=8)
    groups = [make_group(number, 4) for number in range(5)]
    batch = make_batch(groups, [bucket], pad_id=0, needs=NEEDS)
    seen = [{name.split("-")[0] for name in ids if name} for ids in batch.trajectory_ids]
    assert sorted(name for names in seen for name in names) == [f"t{i}" for i in range(5)]
    for micro, ids in zip(batch.micro_batches, batch.trajectory_ids, strict=True):
        numbers = {name.split("-")[0]: set() for name in ids if name}
        for b, name in enumerate(ids):
            if name:
                numbers[name.split("-")[0]].add(int(micro.group_B[b]))
        assert all(len(found) == 1 for found in numbers.values())
        assert len(set.union(*numbers.values())) == len(numbers)


def test_different_prompts_of_one_group_do_not_share_a_row(make_row):
    batch = batch_of(make_row("a"), make_row("b", prompt=(5, 6, 8)), make_row("c"))
    (micro,) = batch.micro_batches
    assert [{name for name in lot if name} for lot in np.reshape(batch.trajectory_ids, (2, 4))] in (
        [{"a", "c"}, {"b"}],
        [{"b"}, {"a", "c"}],
    )
    assert len(set(micro.group_B[micro.weights_B > 0])) == 1


def test_too_long_completions_are_dropped_longest_first_and_counted(make_row):
    rows = [
        make_row("fits"),
        make_row("slots", completion=range(3, 12)),  # 9 tokens, 8 slots
        make_row("row", prompt=range(3, 40), completion=range(3, 10)),
    ]
    batch = batch_of(*rows)
    assert [name for name in batch.trajectory_ids[0] if name] == ["fits"]
    assert batch.num_dropped == 2
    assert batch.metrics()["data/dropped_too_long"] == 2.0


def test_nothing_fits_is_an_error_with_the_numbers(make_row):
    with pytest.raises(UserError, match=r"1 too long for the buckets \[\(16, 8\), \(40, 8\)\]"):
        batch_of(make_row(completion=range(3, 20)))


def test_only_what_the_objective_needs_is_packed(make_row):
    row = make_row(ref_logprobs=None, behavior_logprobs=np.array([-1, -2, -3], np.float32))
    micro = batch_of(row, needs=frozenset()).micro_batches[0]
    assert micro.ref_logprobs_BT is None and micro.initial_value_B is None
    micro = batch_of(
        row, needs=frozenset({"behavior_logprobs", "initial_value"}), initial_value=-0.3
    ).micro_batches[0]
    np.testing.assert_array_equal(micro.behavior_logprobs_BT[0, :3], [-1, -2, -3])
    assert micro.initial_value_B[0] == np.float32(-0.3)


@pytest.mark.parametrize(
    ("fields", "needs", "message"),
    [
        ({"reward": None}, NEEDS, "'t0' of problem 'p' has reward None"),
        ({"reward": float("nan")}, NEEDS, "has reward nan; a finite number"),
        ({"completion_tokens": None}, NEEDS, "'t0' of problem 'p' has no tokens"),
        ({"ref_logprobs": None}, NEEDS, "has no ref_logprobs, which the objective needs"),
        ({"ref_logprobs": np.zeros(2)}, NEEDS, "has 2 ref_logprobs for 3 completion tokens"),
        ({"ref_logprobs": np.array([0, np.inf, 0])}, NEEDS, "ref_logprobs that are not finite"),
        (
            {"source": "written"},
            frozenset({"behavior_logprobs"}),
            r"\(source 'written'\) has no behavior_logprobs",
        ),
        ({}, frozenset({"initial_value"}), "problem 'p' has initial_value None"),
    ],
)
def test_bad_trajectories_are_refused_by_name(make_row, fields, needs, message):
    with pytest.raises(UserError, match=message):
        batch_of(make_row(**fields), needs=needs)


def test_row_buckets_follow_the_token_budget_and_the_mesh():
    buckets = row_buckets(
        [256, 64, 256],
        tokens_per_micro_batch=700,
        completions_per_row=4,
        max_completion_tokens=32,
        row_multiple=4,
    )
    assert [(b.num_rows, b.row_length) for b in buckets] == [(8, 64), (4, 256)]
    with pytest.raises(UserError, match="row_length=0 of a row bucket must be at least 1"):
        RowBucket(num_rows=1, row_length=0, completions_per_row=1, max_completion_tokens=1)
