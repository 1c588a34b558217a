"""Progress lines: rates, time left, and no more of them than asked for."""

import io

import pytest

from spo_jax.reporting.progress import Progress, format_secs


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("spo_jax.reporting.progress.time.monotonic", clock)
    return clock


@pytest.mark.parametrize(
    ("secs", "text"),
    [(0.4, "0s"), (59.6, "1m00s"), (185, "3m05s"), (7620, "2h07m"), (-3, "0s")],
)
def test_format_secs(secs, text):
    assert format_secs(secs) == text


def test_rate_and_time_left(clock):
    stream = io.StringIO()
    progress = Progress("evaluation", 40, "samples", stream=stream)
    clock.now += 10
    progress.add(20, tokens=500)
    assert stream.getvalue() == (
        "evaluation 20/40 samples · 10s · 2.0 samples/s · 50 tokens/s · 10s left\n"
    )


def test_slow_work_is_counted_by_the_minute_and_values_follow(clock):
    stream = io.StringIO()
    progress = Progress("training", 30, "updates", stream=stream)
    clock.now += 40
    progress.update(4, {"loss/true": 0.25})
    assert stream.getvalue().endswith("6.0 updates/min · 4m20s left · loss/true 0.250\n")


def test_work_of_an_earlier_attempt_does_not_count_as_speed(clock):
    stream = io.StringIO()
    progress = Progress("training", 30, "updates", done=20, stream=stream)
    clock.now += 50
    progress.update(25, {})
    assert "25/30 updates · 50s · 6.0 updates/min · 50s left" in stream.getvalue()


def test_lines_come_at_most_so_often_and_always_at_the_end(clock):
    stream = io.StringIO()
    progress = Progress("evaluation", 5, "samples", every_secs=10, stream=stream)
    for _ in range(5):
        clock.now += 3
        progress.add(1)
    assert [line.split(" ·")[0] for line in stream.getvalue().splitlines()] == [
        "evaluation 4/5 samples",
        "evaluation 5/5 samples",
    ]
