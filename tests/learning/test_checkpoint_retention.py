"""Which checkpoints stay, which is the best, and what a failed save leaves."""

import json
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import FullDiskError, UserError
from spo_jax.learning import (
    Checkpointer,
    CheckpointError,
    CheckpointSettings,
    agreement,
    checkpoint_arrays,
    checkpoint_files,
)


def state_of(value):
    return {"w": jnp.full((64, 8), value, jnp.float32), "key": jax.random.key(3)}


TEMPLATE = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state_of(0.0)
)


def save_all(checkpointer, steps):
    for step in steps:
        checkpointer.save(step, state_of(step), {"step": step})
    checkpointer.wait()


def restored_value(path, settings=CheckpointSettings()):
    restored = Checkpointer(str(path), settings).restore_latest(TEMPLATE)
    return float(restored.state["w"][0, 0])


def test_every_so_many_steps_stay_for_ever(tmp_path):
    checkpointer = Checkpointer(str(tmp_path), CheckpointSettings(keep=1, keep_every=4))
    save_all(checkpointer, [0, 2, 4, 6, 8, 10])
    assert checkpointer.steps() == [4, 8, 10]
    assert checkpointer.kept() == {4, 8, 10}


@pytest.mark.parametrize(("mode", "stay"), [("max", [2, 4, 5]), ("min", [1, 3, 5])])
def test_best_stay_and_are_recorded(tmp_path, mode, stay):
    settings = CheckpointSettings(keep=1, keep_best=2, metric="eval/pass@1", mode=mode)
    checkpointer = Checkpointer(str(tmp_path), settings)
    for step, value in ((1, 0.2), (2, 0.5), (3, 0.1), (4, 0.4), (5, 0.3)):
        save_all(checkpointer, [step])
        if checkpointer.is_best(step, {"eval/pass@1": value}):
            checkpointer.record_best(step, {"eval/pass@1": value})
    save_all(checkpointer, [5])  # its own evaluation is not among the best; nothing changes
    best = [2, 4] if mode == "max" else [3, 1]
    assert checkpointer.steps() == stay
    assert checkpointer.best_steps() == best
    recorded = json.loads((tmp_path / "best.json").read_text())
    assert [item["step"] for item in recorded["best"]] == best
    assert Checkpointer(str(tmp_path), settings).best_steps() == best


@pytest.fixture
def release(monkeypatch):
    """Event that a checkpoint's thread waits for before it commits."""
    release, original = threading.Event(), checkpoint_arrays.ArrayFiles.wait

    def held(self):
        assert release.wait(timeout=60)
        original(self)

    monkeypatch.setattr(checkpoint_arrays.ArrayFiles, "wait", held)
    return release


@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "being written"])
def test_the_last_step_may_take_the_place_of_the_best(tmp_path, release, is_committed):
    """As an evaluation at the end of a run does: no later checkpoint deletes the one before."""
    release.set()
    checkpointer = Checkpointer(str(tmp_path), CheckpointSettings(keep=1, keep_best=1))
    save_all(checkpointer, [1])
    checkpointer.record_best(1, {"eval/pass@1": 0.2})
    save_all(checkpointer, [2, 3])
    release.clear()
    checkpointer.save(4, state_of(4), {"step": 4})
    if is_committed:
        release.set()
        checkpointer.wait()
    assert checkpointer.is_best(4, {"eval/pass@1": 0.5})
    checkpointer.record_best(4, {"eval/pass@1": 0.5})
    release.set()
    checkpointer.save(4, state_of(4), {"step": 4})  # it is there already
    checkpointer.finish()
    assert checkpointer.steps() == [4]
    assert checkpointer.kept() == {4}


def test_training_does_not_wait_while_a_new_best_takes_the_place_of_another(tmp_path, monkeypatch):
    checkpointer = Checkpointer(str(tmp_path), CheckpointSettings(keep=1, keep_best=1))
    for step in (1, 3):
        save_all(checkpointer, [step])
        checkpointer.record_best(step, {"eval/pass@1": 0.1 * step})
    original, threads = checkpoint_files.delete, []

    def deleting(path):
        threads.append(threading.current_thread())
        original(path)

    monkeypatch.setattr(checkpoint_files, "delete", deleting)
    save_all(checkpointer, [4])
    assert threads
    assert threading.main_thread() not in threads
    assert checkpointer.steps() == [3, 4]
    assert checkpointer.kept() == {3, 4}


@pytest.mark.parametrize("is_best", [True, False])
def test_an_old_checkpoint_that_cannot_be_read_undoes_no_new_one(tmp_path, monkeypatch, is_best):
    checkpointer = Checkpointer(str(tmp_path), CheckpointSettings(keep=1, keep_best=1))
    save_all(checkpointer, [1])
    checkpointer.record_best(1, {"eval/pass@1": 0.1})
    save_all(checkpointer, [2])
    original = checkpoint_files.read_manifest

    def read(path):
        if path.name == "00000001":
            raise PermissionError(13, "Permission denied")
        return original(path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_files, "read_manifest", read)
        save_all(checkpointer, [3])
        if is_best:
            checkpointer.record_best(3, {"eval/pass@1": 0.2})
            checkpointer.finish()
    assert checkpointer.steps() == [1, 2, 3]
    assert checkpointer.kept() == {1, 2, 3}
    save_all(checkpointer, [4])
    assert checkpointer.steps() == ([3, 4] if is_best else [1, 4])


def test_a_new_best_that_could_not_be_saved_deletes_no_other(tmp_path, monkeypatch):
    checkpointer = Checkpointer(str(tmp_path), CheckpointSettings(keep=1, keep_best=1))
    save_all(checkpointer, [1])
    checkpointer.record_best(1, {"eval/pass@1": 0.2})
    save_all(checkpointer, [2])

    def broken(*_):
        raise OSError("broken")

    monkeypatch.setattr(checkpoint_files, "write_manifest", broken)
    checkpointer.save(3, state_of(3), {"step": 3})
    checkpointer.record_best(3, {"eval/pass@1": 0.5})
    with pytest.raises(OSError, match="broken"):
        checkpointer.wait()
    checkpointer.finish()
    assert checkpointer.steps() == [1, 2]
    assert checkpointer.best_steps() == [1]
    monkeypatch.undo()
    save_all(checkpointer, [4])
    assert checkpointer.steps() == [1, 4]


def test_a_new_best_whose_writer_is_killed_takes_no_place(tmp_path, release):
    settings = CheckpointSettings(keep=1, keep_best=1)
    killed = Checkpointer(str(tmp_path), settings)
    release.set()
    save_all(killed, [1])
    killed.record_best(1, {"eval/pass@1": 0.2})
    save_all(killed, [2])
    release.clear()
    killed.save(3, state_of(3), {"step": 3})
    killed.record_best(3, {"eval/pass@1": 0.5})
    again = Checkpointer(str(tmp_path), settings)
    assert again.restore_latest(TEMPLATE).step == 2
    assert again.recorded_best() == again.best_steps() == [1]
    assert again.steps() == [1, 2]
    release.set()
    killed.wait()
    assert killed.recorded_best() == [3]


def test_a_process_that_fails_waits_for_no_other(tmp_path, monkeypatch):
    """Others may be elsewhere in the run: only `finish`, at its end, is a thing of all."""
    checkpointer = Checkpointer(str(tmp_path), CheckpointSettings(keep=1, keep_best=1))
    for step in (1, 2):
        save_all(checkpointer, [step])
        checkpointer.record_best(step, {"eval/pass@1": 0.1 * step})

    def asked(*_):
        raise AssertionError("asked the others")

    monkeypatch.setattr(agreement.Agreement, "gather", asked)
    checkpointer.wait()
    with pytest.raises(AssertionError, match="asked the others"):
        checkpointer.finish()


def test_best_of_another_metric_are_forgotten(tmp_path):
    checkpointer = Checkpointer(str(tmp_path), CheckpointSettings(keep_best=1))
    save_all(checkpointer, [1])
    checkpointer.record_best(1, {"eval/pass@1": 0.5})
    other = Checkpointer(str(tmp_path), CheckpointSettings(keep_best=1, metric="eval/pass@10"))
    assert other.best_steps() == []


def test_best_beyond_the_restored_step_is_found_anew(tmp_path):
    settings = CheckpointSettings(keep_best=1)
    checkpointer = Checkpointer(str(tmp_path), settings)
    save_all(checkpointer, [1, 2])
    checkpointer.record_best(2, {"eval/pass@1": 0.5})
    (tmp_path / "00000002" / "manifest.json").unlink()
    again = Checkpointer(str(tmp_path), settings)
    assert again.restore_latest(TEMPLATE).step == 1
    assert again.best_steps() == []


def test_nan_is_never_the_best(tmp_path):
    checkpointer = Checkpointer(str(tmp_path), CheckpointSettings(keep_best=1))
    assert not checkpointer.is_best(1, {"eval/pass@1": float("nan")})


def test_unknown_metric_is_refused_by_name(tmp_path):
    checkpointer = Checkpointer(str(tmp_path), CheckpointSettings(keep_best=1, metric="eval/pas@1"))
    with pytest.raises(UserError, match=r"metric='eval/pas@1' is not measured.*'eval/pass@1'"):
        checkpointer.is_best(1, {"eval/pass@1": 0.5})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep_every": -1}, "keep_every=-1 checkpoints must be at least 0"),
        ({"mode": "best"}, "mode='best' of the best checkpoints must be 'max' or 'min'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        CheckpointSettings(**settings)


def test_training_goes_on_while_files_are_written(tmp_path, release):
    """`save` returns before the commit, and a donation after it changes nothing that is saved."""
    checkpointer = Checkpointer(str(tmp_path))
    state = state_of(1.0)
    checkpointer.save(1, state, {"step": 1})
    assert checkpointer.steps() == []  # not committed
    assert checkpointer.kept() == {1}  # but what it names must stay
    update = jax.jit(lambda w: w * 0 + 9.0, donate_argnums=0)
    for _ in range(3):
        state["w"] = update(state["w"])
    release.set()
    checkpointer.wait()
    assert restored_value(tmp_path) == 1.0


def test_synchronous_save_is_committed_when_it_returns(tmp_path):
    checkpointer = Checkpointer(str(tmp_path), CheckpointSettings(asynchronous=False))
    checkpointer.save(1, state_of(1.0), {})
    assert checkpointer.steps() == [1]


@pytest.mark.parametrize("when", ["arrays", "manifest", "start"])
def test_error_of_a_save_surfaces_by_name_and_the_one_before_stands(tmp_path, monkeypatch, when):
    checkpointer = Checkpointer(str(tmp_path))
    save_all(checkpointer, [1])

    original = checkpoint_arrays.ArrayFiles.wait

    def broken(*args, **kwargs):
        if when == "arrays":
            original(*args)
        raise ValueError("cannot reach the disk")

    place = {
        "arrays": (checkpoint_arrays.ArrayFiles, "wait"),
        "start": (checkpoint_arrays.ArrayFiles, "save"),
        "manifest": (checkpoint_files, "write_manifest"),
    }[when]
    with monkeypatch.context() as patch:
        patch.setattr(*place, broken)
        with pytest.raises(CheckpointError, match=r"00000002 could not be saved: cannot reach"):
            save_all(checkpointer, [2])
    assert checkpointer.kept() == {1}
    assert [path.name for path in tmp_path.iterdir()] == ["00000001"]
    save_all(checkpointer, [3])
    assert restored_value(tmp_path) == 3.0


def largest_file(path):
    return max((p for p in path.rglob("*") if p.is_file()), key=lambda file: file.stat().st_size)


@pytest.mark.parametrize("name", ["arrays", "host.json", "manifest.json"])
def test_flipped_bits_are_found(tmp_path, name):
    checkpointer = Checkpointer(str(tmp_path))
    save_all(checkpointer, [1, 2])
    path = tmp_path / "00000002"
    file = largest_file(path / "state") if name == "arrays" else path / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    checkpointer = Checkpointer(str(tmp_path))
    restored = checkpointer.restore_latest(TEMPLATE)
    assert restored.step == 1
    assert len(restored.passed_over) == 1
    assert str(path) in restored.passed_over[0]
    if name != "manifest.json":
        wanted = file.relative_to(path)
        assert f"the bytes of its file {wanted} are not those written" in restored.passed_over[0]
    # A damaged one counts for nothing when old ones are deleted, and goes when the run passes it.
    save_all(checkpointer, [3])
    assert checkpointer.steps() == [1, 3]
    assert not path.exists()


def test_full_disk_is_told_with_path_and_bytes(tmp_path, small_disk):
    """The save fails, what it left is removed, and the checkpoint before can be restored."""
    checkpointer = Checkpointer(str(small_disk / "checkpoints"))
    save_all(checkpointer, [1])
    with pytest.raises(FullDiskError) as raised:
        big = {"w": jnp.zeros((2048, 1024), jnp.float32), "key": jax.random.key(3)}
        checkpointer.save(2, big, {})
        checkpointer.wait()
    message = str(raised.value)
    assert f"cannot write '{small_disk}/checkpoints/00000002': No space left on device" in message
    assert "it needs 8,388,616 bytes, " in message
    assert [path.name for path in (small_disk / "checkpoints").iterdir()] == ["00000001"]
    assert restored_value(small_disk / "checkpoints") == 1.0


def test_quota_is_told_like_a_full_disk(tmp_path, small_files):
    checkpointer = Checkpointer(str(tmp_path))
    save_all(checkpointer, [1])
    with pytest.raises(FullDiskError, match=r"cannot write '.*/00000002': .*needs 131,080 bytes"):
        checkpointer.save(
            2, {"w": jnp.zeros((256, 128), jnp.float32), "key": jax.random.key(3)}, {}
        )
        checkpointer.wait()
    assert restored_value(tmp_path) == 1.0


@pytest.mark.parametrize("mesh", [{"fsdp": 2}, {"data": 2, "tensor": 2}, {"tensor": 4}])
def test_arrays_saved_over_eight_devices_are_restored_elsewhere(tmp_path, mesh):
    values = np.arange(64 * 8, dtype=np.float32).reshape(64, 8)
    spec = jax.sharding.PartitionSpec("fsdp", "tensor")

    def sharding(**sizes):
        sizes = {"data": 1, "fsdp": 1, "tensor": 1} | sizes
        shape = jax.make_mesh(
            tuple(sizes.values()),
            tuple(sizes),
            devices=jax.devices()[: np.prod(list(sizes.values()))],
        )
        return jax.sharding.NamedSharding(shape, spec)

    checkpointer = Checkpointer(str(tmp_path))
    checkpointer.save(1, {"w": jax.device_put(values, sharding(fsdp=8))}, {})
    checkpointer.wait()
    wanted = sharding(**mesh)
    template = {"w": jax.ShapeDtypeStruct(values.shape, values.dtype, sharding=wanted)}
    restored = Checkpointer(str(tmp_path)).restore_latest(template).state["w"]
    assert restored.sharding == wanted
    np.testing.assert_array_equal(np.asarray(restored), values)
