"""Rows of schema version 1: what goes in comes out, and what must not go in does not."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spo_jax.errors import UserError
from spo_jax.trajectories import TrajectoryStore
from spo_jax.types import InitialValue, Trajectory, Turn, Verdict


def assert_same(left: Trajectory, right: Trajectory) -> None:
    for field in dataclasses.fields(Trajectory):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        else:
            assert a == b, field.name


def test_a_full_trajectory_comes_back_bit_for_bit(store, trajectory):
    item = trajectory(
        "t",
        num_tokens=4,
        turns=(Turn("policy", 0, 2), Turn("environment", 2, 3), Turn("policy", 3, 4)),
        completion_mask=np.array([True, True, False, True]),
        behavior_logprobs=np.array([-0.1, -1e-30, 0.0, -3.25], np.float32),
        finish_reason="length",
        seed=-5,
        prompt_text="prompt",
        completion_text="a\nb",
    )
    store.append([item])
    [found] = TrajectoryStore(store.url).read()
    assert_same(item, found)


def test_absent_fields_stay_absent(store):
    text_only = Trajectory(
        trajectory_id="t",
        group_id="g",
        problem_id="p",
        source="import:verl",
        completion_text="text",
    )
    store.append([text_only])
    [found] = store.read()
    assert_same(text_only, found)


def test_trap_fractional_rewards_are_not_truncated(store, trajectory):
    """A reward of 0 first must not make the column one of integers."""
    rewards = [0, 1, 0.25, -0.875, np.float32(0.5), np.int64(2), None]
    store.append([trajectory(str(n), reward=reward) for n, reward in enumerate(rewards)])
    found = [item.reward for item in store.read()]
    assert found == [0.0, 1.0, 0.25, -0.875, 0.5, 2.0, None]
    assert all(isinstance(reward, float) for reward in found if reward is not None)
    assert store.index().rewards.dtype == np.float64


def test_objects_are_plain_parquet_with_the_version_in_their_metadata(store, trajectory, tmp_path):
    name = store.append([trajectory("t", reward=0.5)]).name
    table = pq.read_table(tmp_path / "store" / name)
    assert table.schema.metadata[b"spo_jax.schema_version"] == b"1"
    [row] = table.to_pylist()
    assert row["completion_tokens"] == [1, 2, 3]
    assert row["turns"] == [{"role": "policy", "start": 0, "end": 3}]
    assert row["sampler"]["temperature"] == 0.4
    assert row["reward"] == 0.5
    assert (row["prompt_length"], row["completion_length"]) == (2, 3)


def test_round_trip_through_pandas(store, trajectory, tmp_path):
    """A data frame of the objects, written again, is a store of the same rows."""
    pandas = pytest.importorskip("pandas")
    store.append([trajectory("a"), trajectory("b", behavior_logprobs=None, reward=None)])
    name = "trajectories/host0/00000000.parquet"
    frame = pandas.read_parquet(tmp_path / "store" / name)
    assert frame["trajectory_id"].tolist() == ["a", "b"]
    assert frame["completion_mask"][0].tolist() == [True, True, True]

    schema = pq.read_schema(tmp_path / "store" / name)
    copy = tmp_path / "copy" / name
    copy.parent.mkdir(parents=True)
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(schema.metadata), copy)
    for left, right in zip(
        store.read(), TrajectoryStore(tmp_path / "copy", create=False).read(), strict=True
    ):
        assert_same(left, right)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trajectory_id": ""}, "trajectory_id must be a non-empty string"),
        ({"source": "onlin"}, "source 'onlin' is unknown; did you mean 'online'?"),
        ({"source": "run"}, "must be 'online', 'reference', 'written', 'run:<name>'"),
        ({"completion_mask": np.ones(2, bool)}, "completion_mask has length 2, .* have 3"),
        ({"completion_mask": np.ones(3, np.int32)}, "completion_mask must be bool"),
        ({"completion_mask": np.zeros(3, bool)}, "no token that the policy chose"),
        ({"completion_tokens": np.ones(3, np.float32)}, "completion_tokens must be integers"),
        ({"completion_tokens": np.array([1, 2, 2**31])}, r"must lie in \[0, 2\^31\)"),
        ({"prompt_tokens": np.array([], np.int32)}, "prompt_tokens must be integers .* T > 0"),
        ({"prompt_tokens": None}, "completion_tokens need prompt_tokens"),
        ({"behavior_logprobs": np.zeros(2, np.float32)}, "behavior_logprobs has length 2"),
        ({"behavior_logprobs": np.array([0.0, np.nan, 0.0])}, "must be finite, got nan"),
        ({"reward": float("inf")}, "reward=inf must be finite"),
        ({"reward": True}, "reward must be a number, got True"),
        ({"reward": "1"}, "reward must be a number, got '1'"),
        ({"verdict": Verdict.IE}, "verdict IE never becomes a reward"),
        ({"verdict": "AC"}, "verdict must be a Verdict"),
        ({"seed": 2**64}, "seed=18446744073709551616 must be an integer"),
        ({"policy_version": -1}, "policy_version=-1 must be an integer in"),
        ({"finish_reason": "eos"}, "finish_reason='eos' must be 'stop' or 'length'"),
        ({"turns": (Turn("policy", 0, 2),)}, "turns end at 2, completion_tokens at 3"),
        ({"turns": (Turn("policy", 1, 3),)}, r"\[1, 3\) follows position 0"),
        ({"turns": (Turn("environment", 0, 3),)}, "True inside the environment's turn"),
        ({"metadata": {"line": 3}}, "metadata must map strings to strings"),
    ],
)
def test_an_invalid_trajectory_is_refused_by_name_and_nothing_is_written(
    store, trajectory, changes, message
):
    with pytest.raises(UserError, match=message):
        store.append([trajectory("good"), trajectory("bad", **changes)])
    assert list(store.read()) == []


def test_an_id_twice_in_a_commit_is_refused(store, trajectory):
    with pytest.raises(UserError, match="trajectory_id 't' occurs 2 times in one commit"):
        store.append([trajectory("t"), trajectory("t")])
    with pytest.raises(UserError, match="a commit needs at least one trajectory"):
        store.append([])


def test_invalid_annotations_are_refused(store, logprobs):
    with pytest.raises(UserError, match=r"ref_logprobs of trajectory 't'.*must be finite"):
        store.annotate([logprobs("t", "ref", float("nan"))])
    with pytest.raises(UserError, match="reference_id='a/b' must be"):
        store.annotate([logprobs("t", "a/b", 0.0)])
    value = InitialValue(
        problem_id="p",
        reference_id="ref",
        beta=0.0,
        value=-1.0,
        standard_error=0.1,
        num_samples=4,
        estimator="log_mean_exp",
    )
    with pytest.raises(UserError, match=r"beta=0\.0 must be positive"):
        store.annotate([value])
    assert store.reference_ids() == []


def rewrite(path, **metadata: str) -> None:
    """Writes an object again with other file metadata."""
    table = pq.read_table(path)
    new = {f"spo_jax.{key}".encode(): value.encode() for key, value in metadata.items()}
    changed = {**table.schema.metadata, **new}
    pq.write_table(table.replace_schema_metadata(changed), path)


def test_another_schema_version_is_refused_by_name(store, trajectory, tmp_path):
    name = store.append([trajectory("t")]).name
    rewrite(tmp_path / "store" / name, schema_version="2")
    with pytest.raises(UserError, match=f"{name}: schema version 2, but .* reads version 1"):
        TrajectoryStore(store.url).index()


def test_a_parquet_file_of_another_tool_is_refused_by_name(store, tmp_path):
    path = tmp_path / "store/trajectories/tool/00000000.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(UserError, match=r"tool/00000000\.parquet: not an object of a trajectory"):
        TrajectoryStore(store.url).index()
