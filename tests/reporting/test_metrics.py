"""metrics.jsonl: what a resumed run keeps, and lines that a crash tore."""

import contextlib
import math

import pytest

from spo_jax.errors import FullDiskError
from spo_jax.reporting.clock import PhaseClock
from spo_jax.reporting.metrics import MetricsWriter, read_metrics


def steps(run_dir, kind=None) -> list[int]:
    return [record["step"] for record in read_metrics(run_dir, kind)]


@pytest.fixture
def run_dir(tmp_path):
    """Five updates, evaluated before the first and after the third."""
    writer = MetricsWriter(tmp_path, tensorboard=False)
    writer.write(0, {"eval/pass@1": 0.1}, kind="eval")
    for step in range(1, 6):
        writer.write(step, {"loss/true": 1 / step})
        if step == 3:
            writer.write(step, {"eval/pass@1": 0.2}, kind="eval")
    writer.close()
    return tmp_path


def test_records_come_back_by_kind(run_dir):
    assert steps(run_dir, "train") == [1, 2, 3, 4, 5]
    assert steps(run_dir, "eval") == [0, 3]
    assert read_metrics(run_dir, "train")[1]["loss/true"] == 0.5


def test_resume_drops_later_steps_and_the_evaluation_that_is_redone(run_dir):
    MetricsWriter(run_dir, resume_step=3, tensorboard=False).close()
    assert steps(run_dir, "train") == [1, 2, 3]
    assert steps(run_dir, "eval") == [0]


def test_resume_drops_a_torn_line(run_dir):
    path = run_dir / "metrics.jsonl"
    with path.open("a") as file:
        file.write('{"step": 6, "kind": "train", "loss/tr')
    assert steps(run_dir, "train")[-1] == 5
    writer = MetricsWriter(run_dir, resume_step=5, tensorboard=False)
    writer.write(6, {"loss/true": 0.0})
    writer.close()
    assert steps(run_dir, "train") == [1, 2, 3, 4, 5, 6]


def test_a_number_that_is_not_finite_becomes_null(tmp_path):
    writer = MetricsWriter(tmp_path, tensorboard=False)
    writer.write(1, {"a": math.nan, "b": math.inf, "c": 2})
    writer.close()
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()
    [record] = read_metrics(tmp_path)
    assert (record["a"], record["b"], record["c"]) == (None, None, 2.0)


def test_tensorboard_events_lie_beside_it(tmp_path):
    writer = MetricsWriter(tmp_path)
    writer.write(1, {"loss/true": 0.5})
    writer.close()
    [events] = (tmp_path / "tensorboard").iterdir()
    assert b"loss/true" in events.read_bytes()


def test_no_file_is_no_records(tmp_path):
    assert read_metrics(tmp_path) == []


def test_clock_sums_phases_and_starts_again(monkeypatch):
    now = iter([0.0, 2.0, 10.0, 13.0, 20.0, 21.0])
    monkeypatch.setattr("spo_jax.reporting.clock.time.monotonic", lambda: next(now))
    clock = PhaseClock()
    with clock("sampling"):
        pass
    with clock("sampling"):
        pass
    with pytest.raises(KeyError), clock("update"):
        raise KeyError
    assert clock.metrics() == {"time/sampling_secs": 5.0, "time/update_secs": 1.0}
    assert clock.metrics() == {}


def test_full_disk_is_told_and_the_torn_line_is_dropped(small_disk):
    writer = MetricsWriter(small_disk, tensorboard=False)
    writer.write(1, {"loss/total": 1.0})
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(b"0" * 4096):
            pass
    long = {f"metric/{i}": 0.5 for i in range(1000)}  # more than is left of the file's last page
    with pytest.raises(
        FullDiskError, match=rf"cannot write '{small_disk}/metrics\.jsonl': No space"
    ):
        writer.write(2, long)
    (small_disk / "filler").unlink()
    assert [record["step"] for record in read_metrics(small_disk)] == [1]
    resumed = MetricsWriter(small_disk, resume_step=1, tensorboard=False)
    resumed.write(2, long)
    assert [record["step"] for record in read_metrics(small_disk)] == [1, 2]
