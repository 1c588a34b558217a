"""Merging stores, and leaving out repeats."""

import numpy as np

from spo_jax.trajectories import RowWriter, TrajectoryStore, copy_store, dedup, merge_stores
from spo_jax.types import InitialValue


def open_store(path):
    return TrajectoryStore(path, writer_id="w")


def test_merge_takes_each_id_once_with_annotations(tmp_path, trajectory, logprobs):
    left, right, target = (open_store(tmp_path / name) for name in ("left", "right", "all"))
    left.append([trajectory("a", reward=-1.0), trajectory("b")])
    right.append([trajectory("a", reward=0.0), trajectory("c")])
    left.annotate([logprobs("a", "ref", -1.0)])
    value = InitialValue(
        problem_id="set/a",
        reference_id="ref",
        beta=0.1,
        value=-0.5,
        standard_error=0.1,
        num_samples=4,
        estimator="pass_rate",
    )
    right.annotate([logprobs("c", "ref", -2.0), value])
    report = merge_stores([left, right], target)
    assert report == {"num_added": 3, "num_known": 1, "num_annotations": 3, "num_damaged": 0}
    assert {item.trajectory_id: item.reward for item in target.read()}["a"] == -1.0
    found = target.ref_logprobs("ref", ["a", "b", "c"])
    np.testing.assert_array_equal(found[2], np.float32([-2, -2, -2]))
    assert found[1] is None
    assert target.initial_values("ref", 0.1) == {"set/a": value}
    again = merge_stores([left, right], target)
    assert again == {"num_added": 0, "num_known": 4, "num_annotations": 0, "num_damaged": 0}


def test_a_runs_own_samples_become_offline_data(tmp_path, trajectory):
    run, target = open_store(tmp_path / "run"), open_store(tmp_path / "target")
    run.append([trajectory("a"), trajectory("b", source="written")])
    copy_store(run, RowWriter(target), run_name="old")
    assert [item.source for item in target.read()] == ["run:old", "written"]


def test_dedup_leaves_the_first_of_equal_answers(tmp_path, trajectory, logprobs):
    store, target = open_store(tmp_path / "store"), open_store(tmp_path / "distinct")
    store.append(
        [
            trajectory("a", reward=0.0),
            trajectory("same", reward=-1.0),
            trajectory("longer", num_tokens=4),
            trajectory("other problem", problem_id="set/b"),
        ]
    )
    store.annotate([logprobs("a", "ref", -1.0)])
    report = dedup(store, target)
    assert report == {
        "num_rows": 4,
        "num_distinct": 3,
        "num_repeats": 1,
        "repeats_by_source": {"online": 1},
        "num_reward_conflicts": 1,
    }
    assert [item.trajectory_id for item in target.read()] == ["a", "longer", "other problem"]
    assert target.ref_logprobs("ref", ["a"])[0] is not None
    assert len(list(store.read())) == 4


def test_a_writer_that_died_goes_on_where_it_was(tmp_path, trajectory):
    store = open_store(tmp_path / "store")
    writer = RowWriter(store, rows_per_object=2)
    for name in "abc":
        writer.add(trajectory(name))
    assert len(store.index()) == 2  # c was not flushed
    again = RowWriter(store, rows_per_object=2)
    assert [again.add(trajectory(name)) for name in "abc"] == [False, False, True]
    again.flush()
    assert [item.trajectory_id for item in store.read()] == ["a", "b", "c"]
