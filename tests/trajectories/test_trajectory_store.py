"""The store: commits, watermarks, exact resume, damage, annotations."""

import logging

import numpy as np
import pyarrow.parquet as pq
import pytest

from spo_jax.errors import UserError
from spo_jax.trajectories import TrajectoryStore, Watermark
from spo_jax.types import InitialValue


def ids(store: TrajectoryStore, watermark: Watermark | None = None) -> list[str]:
    return [item.trajectory_id for item in store.read(watermark)]


@pytest.fixture(params=["local", "memory"])
def url(request, tmp_path) -> str:
    return str(tmp_path / "s") if request.param == "local" else f"memory://{tmp_path.name}/s"


# --- commits ---


def test_what_was_appended_is_seen_by_another_reader(url, trajectory):
    store = TrajectoryStore(url, writer_id="host0")
    first = store.append([trajectory("a"), trajectory("b")])
    second = store.append([trajectory("c")])
    assert (first.name, second.name) == (
        "trajectories/host0/00000000.parquet",
        "trajectories/host0/00000001.parquet",
    )
    assert first.created
    assert ids(TrajectoryStore(url)) == ["a", "b", "c"]
    assert sorted(TrajectoryStore(url).objects()) == [first.name, second.name]


def test_a_retry_of_an_acknowledged_append_changes_nothing(url, trajectory):
    TrajectoryStore(url, writer_id="host0").append([trajectory("a"), trajectory("b")])
    again = TrajectoryStore(url, writer_id="host0")
    again.append([trajectory("a"), trajectory("b")])
    assert ids(again) == ["a", "b"]
    assert again.index().num_duplicates == 2
    assert again.append_missing([trajectory("b"), trajectory("c")]).records[0].trajectory_id == "c"
    assert again.append_missing([trajectory("a")]) is None
    assert ids(again) == ["a", "b", "c"]


def test_a_chosen_commit_number_is_idempotent(url, trajectory):
    store = TrajectoryStore(url, writer_id="host0")
    assert store.append([trajectory("a")], commit=0).created
    redone = TrajectoryStore(url, writer_id="host0").append([trajectory("a")], commit=0)
    assert not redone.created
    assert len(store.objects()) == 1
    with pytest.raises(UserError, match=r"commit=0: .*00000000.parquet holds other rows"):
        store.append([trajectory("b")], commit=0)
    with pytest.raises(UserError, match="commit=2 must be at most 1, the next commit"):
        store.append([trajectory("b")], commit=2)
    assert ids(store) == ["a"]


def test_the_first_row_of_an_id_wins_for_every_reader(url, trajectory):
    TrajectoryStore(url, writer_id="b").append([trajectory("t", reward=2.0)])
    TrajectoryStore(url, writer_id="a").append([trajectory("x"), trajectory("t", reward=1.0)])
    for _ in range(2):
        reader = TrajectoryStore(url)
        assert [(item.trajectory_id, item.reward) for item in reader.read()] == [
            ("x", -1.0),
            ("t", 1.0),
        ]


def test_rows_are_fetched_by_number_across_objects_and_row_groups(url, trajectory):
    store = TrajectoryStore(url, writer_id="host0", cache_bytes=1)
    for start in (0, 300):
        store.append(
            [trajectory(str(n), seed=n, num_tokens=1 + n % 5) for n in range(start, start + 300)]
        )
    index = store.index()
    rows = [599, 0, 256, 255, 0]
    assert [item.seed for item in store.fetch(index, rows)] == rows
    assert [len(item.completion_tokens) for item in store.fetch(index, rows)] == [5, 1, 2, 1, 1]
    assert store.get(["17", "3"])[0].seed == 17
    with pytest.raises(UserError, match="no trajectory 'nobody'"):
        store.get(["nobody"])


def test_opening_what_is_not_there_is_an_error(tmp_path, trajectory):
    with pytest.raises(UserError, match=r"there is no trajectory store at '.*nowhere'"):
        TrajectoryStore(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file, not a trajectory store"):
        TrajectoryStore(tmp_path / "file", writer_id="w")
    with pytest.raises(UserError, match="writer_id='a/b' must be"):
        TrajectoryStore(tmp_path / "s", writer_id="a/b")
    with pytest.raises(UserError, match="cannot open 'nosuch://x'"):
        TrajectoryStore("nosuch://x", writer_id="w")
    reader = TrajectoryStore(tmp_path / "s", create=True)
    with pytest.raises(UserError, match="opened without a writer_id"):
        reader.append([trajectory("t")])


# --- watermarks and resume ---


def test_a_watermark_pins_what_is_seen(url, trajectory, logprobs):
    store = TrajectoryStore(url, writer_id="a")
    store.append([trajectory("a0")])
    mark = store.watermark()
    store.append([trajectory("a1")])
    store.annotate([logprobs("a0", "ref", -1.0)])
    TrajectoryStore(url, writer_id="0-before-a").append([trajectory("other")])
    reader = TrajectoryStore(url)
    assert ids(reader, mark) == ["a0"]
    assert reader.ref_logprobs("ref", ["a0"], mark) == [None]
    assert ids(reader) == ["other", "a0", "a1"]
    assert ids(reader, Watermark()) == []
    assert Watermark.from_dict(mark.as_dict()) == mark
    with pytest.raises(UserError, match="must be a natural number, got -1"):
        Watermark.from_dict({"trajectories/a": -1})


def test_trap_resume_redoes_a_collect_without_skipping_or_doubling(url, trajectory, logprobs):
    """Commits 0 and 1 are checkpointed; 2 and 3 were acknowledged, then the process died."""
    store = TrajectoryStore(url, writer_id="host0")
    seen, marks = [], []
    for step in range(4):
        store.append([trajectory(f"{step}", reward=-float(step))])
        store.annotate([logprobs(f"{step}", "ref", -float(step))])
        marks.append(store.watermark())
        seen.append(ids(store, marks[-1]))

    resumed = TrajectoryStore(url, writer_id="host0")
    resumed.rewind(marks[1])
    assert ids(resumed) == seen[1]
    assert resumed.ref_logprobs("ref", ["2"]) == [None]
    for step in (2, 3):
        # The judge's clock may say something else now; the acknowledged row stands.
        redone = resumed.append([trajectory(f"{step}", reward=99.0)])
        assert not redone.created
        assert redone.records[0].reward == -float(step)
        resumed.annotate([logprobs(f"{step}", "ref", -float(step))])
        assert resumed.watermark() == marks[step]
        assert ids(resumed) == seen[step]
    assert resumed.append([trajectory("4")]).created
    assert ids(TrajectoryStore(url)) == ["0", "1", "2", "3", "4"]
    assert TrajectoryStore(url).index().num_duplicates == 0


def test_a_reconfigured_run_keeps_what_was_acknowledged(url, trajectory):
    store = TrajectoryStore(url, writer_id="host0")
    mark = store.watermark()
    store.append([trajectory("old0")])
    store.append([trajectory("old1")])
    resumed = TrajectoryStore(url, writer_id="host0")
    resumed.rewind(mark)
    assert resumed.append([trajectory("new")]).created
    assert ids(resumed) == ids(TrajectoryStore(url)) == ["old0", "old1", "new"]


def test_rewinding_leaves_other_writers_alone(url, trajectory):
    a, b = (TrajectoryStore(url, writer_id=name) for name in "ab")
    mark = a.watermark()
    a.append([trajectory("a")])
    b.append([trajectory("b")])
    a.rewind(mark)
    assert ids(a) == ["b"]
    assert ids(b) == ["a", "b"]


def test_processes_of_one_run_rewind_each_other_and_write_on_elsewhere(url, trajectory):
    """Commit 1 of either is past the checkpoint; the run goes on as one process."""
    a, b = (TrajectoryStore(url, writer_id=name) for name in ("run-a", "run-b"))
    marks = []
    for number in range(2):
        a.append([trajectory(f"a{number}")])
        b.append([trajectory(f"b{number}")])
        marks.append(a.watermark())
    TrajectoryStore(url, writer_id="other").append([trajectory("other")])
    assert a.own_commits() == {"trajectories/run-a": 2}
    assert a.shows(marks[1])
    assert not a.shows(marks[1].updated({"trajectories/run-b": 3}))
    resumed = TrajectoryStore(url, writer_id="run-a")
    resumed.write_as("run-c")
    resumed.rewind(marks[0], also=lambda name: name.startswith("run-"))
    assert ids(resumed) == ["other", "a0", "b0"]
    assert resumed.append([trajectory("a1"), trajectory("b1")]).created
    assert ids(resumed) == ["other", "a0", "b0", "a1", "b1"]
    assert sorted(ids(TrajectoryStore(url))) == ["a0", "a1", "b0", "b1", "other"]
    with pytest.raises(UserError, match="to read only"):
        TrajectoryStore(url).write_as("run-d")


def test_unacknowledged_redone_rows_with_other_contents_are_reported(url, trajectory, caplog):
    TrajectoryStore(url, writer_id="w").append([trajectory("t")], commit=0)
    with caplog.at_level(logging.WARNING):
        TrajectoryStore(url, writer_id="w").append([trajectory("t", reward=0.0)], commit=0)
    assert "00000000.parquet holds these rows with other contents: they stand" in caplog.text


# --- damage ---


def corrupt(path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "noise":
        path.write_bytes(bytes(range(256)) * 8)
    elif how == "one bit":  # in the first data page, behind its header
        position = data.index(b"(\xb5/\xfd") + 9  # a zstd frame
        data[position] ^= 0x10
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["truncated", "empty", "noise", "one bit"])
def test_a_damaged_object_is_named_and_set_aside(store, trajectory, tmp_path, caplog, how):
    names = [store.append([trajectory(f"{n}")]).name for n in range(3)]
    corrupt(tmp_path / "store" / names[1], how)
    reader = TrajectoryStore(store.url)
    with caplog.at_level(logging.WARNING):
        assert ids(reader) == ["0", "2"]
    assert list(reader.damaged) == [names[1]]
    assert f"set aside damaged object {names[1]}" in caplog.text
    assert (tmp_path / "store" / names[1]).exists()
    assert list(TrajectoryStore(store.url).verify()) == [names[1]]


def test_damaged_tokens_are_found_when_they_are_drawn(store, trajectory, tmp_path):
    """The index reads no tokens: damage there shows later, and costs only that object."""
    names = [store.append([trajectory(f"{n}")]).name for n in range(2)]
    path = tmp_path / "store" / names[0]
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    [tokens] = [c for c in columns if c.path_in_schema.startswith("completion_tokens")]
    data = bytearray(path.read_bytes())
    data[tokens.data_page_offset + tokens.total_compressed_size // 2] ^= 1
    path.write_bytes(data)
    reader = TrajectoryStore(store.url)
    assert len(reader.index()) == 2
    assert ids(reader) == ["1"]
    assert "checksum" in reader.damaged[names[0]].lower()


def test_a_damaged_commit_is_written_again_beside_the_damaged_object(store, trajectory, tmp_path):
    mark = store.watermark()
    name = store.append([trajectory("t")]).name
    store.append([trajectory("u")])
    corrupt(tmp_path / "store" / name, "truncated")
    resumed = TrajectoryStore(store.url, writer_id="host0")
    resumed.rewind(mark)
    repaired = resumed.append([trajectory("t")])
    assert repaired.name == "trajectories/host0/00000000.repair1.parquet"
    assert ids(resumed) == ["t"]
    assert ids(TrajectoryStore(store.url)) == ["t", "u"]


def test_a_removed_object_is_named_and_does_not_hide_later_ones(store, trajectory, tmp_path):
    names = [store.append([trajectory(f"{n}")]).name for n in range(3)]
    path = tmp_path / "store" / names[1]
    content = path.read_bytes()
    path.unlink()
    reader = TrajectoryStore(store.url)
    assert ids(reader) == ["0", "2"]
    assert reader.damaged == {names[1]: "missing"}
    path.write_bytes(content)
    assert ids(reader) == ["0", "1", "2"]
    assert reader.damaged == {}


def test_a_stray_file_is_named(store, trajectory, tmp_path):
    name = store.append([trajectory("t")]).name
    copy = tmp_path / "store/trajectories/host0/copy of 0.parquet"
    copy.write_bytes((tmp_path / "store" / name).read_bytes())
    reader = TrajectoryStore(store.url)
    assert ids(reader) == ["t"]
    assert reader.damaged == {
        "trajectories/host0/copy of 0.parquet": "not a name of this store's objects"
    }


def test_no_flipped_bit_changes_what_is_read(store, trajectory, tmp_path):
    """Of every 23rd byte: the object is set aside, or the rows are the same."""
    name = store.append([trajectory("t", metadata={})]).name
    path = tmp_path / "store" / name
    data = path.read_bytes()
    [wanted] = store.read()
    wrong = []
    for position in range(0, len(data), 23):
        damaged = bytearray(data)
        damaged[position] ^= 0x04
        path.write_bytes(damaged)
        try:
            for item in TrajectoryStore(store.url).read():
                if repr(item) != repr(wanted):
                    wrong.append(position)
        except UserError as error:
            assert name in str(error)
    assert wrong == []


# --- annotations ---


def test_annotations_belong_to_one_reference(url, trajectory, logprobs):
    store = TrajectoryStore(url, writer_id="host0")
    store.append([trajectory("a"), trajectory("b")])
    store.annotate([logprobs("a", "old", -1.0), logprobs("b", "old", -2.0)])
    store.annotate([logprobs("b", "new", -3.0)])
    reader = TrajectoryStore(url)
    old = reader.ref_logprobs("old", ["b", "a", "b"])
    assert [values[0] for values in old] == [-2.0, -1.0, -2.0]
    assert old[0].dtype == np.float32
    new = reader.ref_logprobs("new", ["a", "b"])
    assert new[0] is None
    np.testing.assert_array_equal(new[1], np.full(3, -3.0))
    assert reader.ref_logprobs("unknown", ["a"]) == [None]
    assert reader.missing_ref_logprobs("new") == ["a"]
    assert reader.missing_ref_logprobs("old") == []
    assert reader.reference_ids() == ["new", "old"]


def test_the_first_reference_logprobs_stand(url, trajectory, logprobs):
    store = TrajectoryStore(url, writer_id="host0")
    store.append([trajectory("a")])
    store.annotate([logprobs("a", "ref", -1.0)])
    store.annotate([logprobs("a", "ref", -2.0)])
    [values] = store.ref_logprobs("ref", ["a"])
    assert values[0] == -1.0


def estimate(problem: str, value: float, num_samples: int, beta: float = 0.1) -> InitialValue:
    return InitialValue(
        problem_id=problem,
        reference_id="ref",
        beta=beta,
        value=value,
        standard_error=0.1,
        num_samples=num_samples,
        estimator="log_mean_exp",
    )


def test_the_initial_value_with_most_samples_counts_for_its_beta(url):
    store = TrajectoryStore(url, writer_id="host0")
    store.annotate([estimate("p", -1.0, 4), estimate("q", -2.0, 8)])
    mark = store.watermark()
    store.annotate([estimate("p", -0.5, 16), estimate("p", -9.0, 64, beta=0.2)])
    store.annotate([estimate("p", -7.0, 16), estimate("q", -7.0, 4)])
    values = store.initial_values("ref", 0.1)
    assert {name: item.value for name, item in values.items()} == {"p": -0.5, "q": -2.0}
    assert store.initial_values("ref", 0.2)["p"].value == -9.0
    assert store.initial_values("ref", 0.3) == {}
    assert store.initial_values("other", 0.1) == {}
    assert store.initial_values("ref", 0.1, mark)["p"].value == -1.0


def test_a_damaged_annotation_leaves_its_rows_without_one(store, trajectory, logprobs, tmp_path):
    store.append([trajectory("a")])
    [commit] = store.annotate([logprobs("a", "ref", -1.0)])
    corrupt(tmp_path / "store" / commit.name, "truncated")
    reader = TrajectoryStore(store.url)
    assert reader.ref_logprobs("ref", ["a"]) == [None]
    assert reader.missing_ref_logprobs("ref") == ["a"]
    assert list(reader.damaged) == [commit.name]
