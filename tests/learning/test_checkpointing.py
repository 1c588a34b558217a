import logging

import jax
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.learning import Checkpointer, CheckpointSettings, RowBucket, make_batch

ROW = RowBucket(num_rows=1, row_length=40, completions_per_row=4, max_completion_tokens=8)
HOST = {"policy_version": 3, "replay": {"watermark": ["a", 7]}, "cursor": 0.1 + 0.2}


def bits(state):
    data = [
        jax.random.key_data(leaf)
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        else leaf
        for leaf in jax.tree.leaves(state)
    ]
    return [np.asarray(leaf).tobytes() for leaf in data]


def saved(checkpointer, step, state, host_state=HOST):
    """The directory of a checkpoint that is committed."""
    path = checkpointer.save(step, state, host_state)
    checkpointer.wait()
    return path


@pytest.fixture
def trained(make_learner, params, groups):
    """(learner, state after one update, the batch)."""
    learner = make_learner()
    batch = make_batch(groups, [ROW], pad_id=0, needs=learner.objective.needs)
    state, _, _ = learner.update(learner.init(params, seed=4), batch)
    return learner, state, batch


def test_restored_state_is_bit_equal_and_trains_on_identically(tmp_path, trained):
    learner, state, batch = trained
    before = bits(state)
    saved(Checkpointer(str(tmp_path)), 1, state, HOST)
    restored = Checkpointer(str(tmp_path)).restore_latest(learner.abstract_state())
    assert bits(restored.state) == before
    assert jax.tree.structure(restored.state) == jax.tree.structure(state)
    assert (restored.step, restored.host_state, restored.passed_over) == (1, HOST, ())
    for _ in range(2):
        state, metrics, _ = learner.update(state, batch)
    resumed = restored.state
    for _ in range(2):
        resumed, resumed_metrics, _ = learner.update(resumed, batch)
    assert bits(resumed) == bits(state)
    assert resumed_metrics == metrics


def test_state_is_restored_onto_another_mesh(tmp_path, trained, make_learner):
    _, state, _ = trained
    saved(Checkpointer(str(tmp_path)), 1, state, {})
    spread = make_learner(data=2, fsdp=2, tensor=2)
    restored = Checkpointer(str(tmp_path)).restore_latest(spread.abstract_state()).state
    assert bits(restored) == bits(state)
    wanted = spread.abstract_state().params["embedding"].sharding
    assert restored.params["embedding"].sharding.is_equivalent_to(wanted, 2)


@pytest.mark.parametrize(
    "left", ["nothing", "no_manifest", "torn_manifest", "short_file", "no_file"]
)
def test_trap_half_written_checkpoint_breaks_next_start(tmp_path, trained, caplog, left):
    learner, state, _ = trained
    checkpointer = Checkpointer(str(tmp_path))
    saved(checkpointer, 1, state, {"which": "older"})
    path = tmp_path / "00000002"
    if left == "nothing":
        path.mkdir()
    else:
        saved(checkpointer, 2, state, {"which": "newer"})
        largest = max(path.rglob("*"), key=lambda file: file.stat().st_size)
        if left == "no_manifest":
            (path / "manifest.json").unlink()
        elif left == "torn_manifest":
            (path / "manifest.json").write_text('{"version": 1, "fil')
        elif left == "short_file":
            largest.write_bytes(largest.read_bytes()[:-1])
        else:
            largest.unlink()
    with caplog.at_level(logging.WARNING):
        restored = Checkpointer(str(tmp_path)).restore_latest(learner.abstract_state())
    assert restored.host_state == {"which": "older"}
    assert len(restored.passed_over) == 1
    assert f"checkpoint {path} is passed over" in caplog.text
    # The step is reached again and saved again, over the remains.
    saved(checkpointer, 2, state, {"which": "again"})
    restored = checkpointer.restore_latest(learner.abstract_state())
    assert (restored.step, restored.host_state) == (2, {"which": "again"})


def test_starting_fresh_is_fine_only_where_nothing_was_committed(tmp_path, trained):
    learner, state, _ = trained
    checkpointer = Checkpointer(str(tmp_path / "runs" / "new"))
    assert checkpointer.restore_latest(learner.abstract_state()) is None
    (tmp_path / "runs" / "new" / "00000001").mkdir(parents=True)  # killed within the first save
    assert checkpointer.restore_latest(learner.abstract_state()) is None
    path = saved(checkpointer, 1, state, {})
    (path / "host.json").write_text("")
    with pytest.raises(UserError, match=r"no checkpoint can be restored.*host\.json has 0 bytes"):
        checkpointer.restore_latest(learner.abstract_state())


def test_only_the_newest_are_kept(tmp_path, trained):
    _, state, _ = trained
    checkpointer = Checkpointer(str(tmp_path), CheckpointSettings(keep=2))
    for step in (5, 10, 15):
        saved(checkpointer, step, state, {})
    assert checkpointer.steps() == [10, 15]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000010", "00000015"]


def test_a_committed_step_stays_as_it_is(tmp_path, trained):
    learner, state, _ = trained
    checkpointer = Checkpointer(str(tmp_path))
    saved(checkpointer, 1, state, {"which": "first"})
    saved(checkpointer, 1, state, {"which": "second"})
    assert checkpointer.restore_latest(learner.abstract_state()).host_state == {"which": "first"}


def test_host_state_that_json_cannot_hold_fails_before_anything_is_written(tmp_path, trained):
    _, state, _ = trained
    with pytest.raises(TypeError, match="not JSON serializable"):
        saved(Checkpointer(str(tmp_path)), 1, state, {"array": np.zeros(2)})
    assert list(tmp_path.iterdir()) == []


def test_another_models_checkpoint_is_refused_by_name(tmp_path, trained):
    learner, state, _ = trained
    saved(Checkpointer(str(tmp_path)), 1, state, {})
    template = learner.abstract_state()
    embedding = template.params["embedding"]
    wrong = jax.ShapeDtypeStruct((64, 16), embedding.dtype, sharding=embedding.sharding)
    template = template._replace(params=template.params | {"embedding": wrong})
    message = r"params\.embedding is float32\[48, 16\] there, float32\[64, 16\] here"
    with pytest.raises(UserError, match=message):
        Checkpointer(str(tmp_path)).restore_latest(template)


def test_keep_must_be_positive():
    with pytest.raises(UserError, match="keep=0 checkpoints must be at least 1"):
        CheckpointSettings(keep=0)
