"""Who is alive and who is slow, by a clock that the test turns."""

import dataclasses

import pytest

from spo_jax.acting.shared_files import SharedFiles
from spo_jax.acting.signals import ActorStatus, write_actor
from spo_jax.running.actor_watch import ActorWatch


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def setting(tmp_path):
    clock, files = Clock(), SharedFiles(str(tmp_path))
    watch = ActorWatch(files, groups_per_round=2, every_secs=1, dead_after_secs=10, clock=clock)
    return watch, clock, files


def actor(name, **changes):
    return ActorStatus(actor_id=name, nonce="n", host="h", pid=1, **changes)


def test_an_actor_is_dead_when_its_reports_stop_whatever_its_clock_says(setting, capsys):
    watch, clock, files = setting
    a, b = actor("a"), actor("b")
    for beat in range(4):
        write_actor(files, dataclasses.replace(a, beat=beat))
        write_actor(files, dataclasses.replace(b, beat=min(beat, 1)))
        watch.look()
        clock.now += 6
    assert watch.alive == ["a"]
    assert capsys.readouterr().err.count("actor b (process 1 on h) is dead: silent for") == 1
    assert watch.metrics()["actors/alive"] == 1
    write_actor(files, dataclasses.replace(b, beat=2))
    watch.look()
    assert watch.alive == ["a", "b"]
    assert "actor b (process 1 on h) is back" in capsys.readouterr().err


def test_an_actor_that_ended_is_neither_alive_nor_dead_and_its_error_is_told_once(setting, capsys):
    watch, clock, files = setting
    for _ in range(3):
        write_actor(files, actor("a", state="ended", detail="ValueError: no"))
        watch.look()
        clock.now += 20
    assert watch.alive == []
    said = capsys.readouterr().err
    assert "dead" not in said and "actor a (process 1 on h) ended: ValueError: no" in said


def test_a_slow_actor_is_named_once(setting, capsys):
    """Rounds of 2 groups cost 1 s in the median; one actor is at it for 10 s."""
    watch, clock, files = setting
    fast = actor("fast", state="sampling", num_groups=20, num_rounds=10, secs={"sampling": 10.0})
    slow = actor("slow", state="sampling", num_groups=2, num_rounds=1, secs={"sampling": 1.0})
    for beat in range(4):
        write_actor(files, dataclasses.replace(fast, beat=beat, num_rounds=10 + beat))
        secs = {"sampling": 1.0 + 3 * beat}
        write_actor(files, dataclasses.replace(slow, beat=beat, secs=secs))
        watch.look()
        clock.now += 2
    said = capsys.readouterr().err
    assert said.count("actor slow (process 1 on h) is slow: ") == 1 and "fast" not in said


def test_seconds_are_counted_once_and_those_before_the_attempt_not_at_all(setting):
    watch, clock, files = setting
    write_actor(files, actor("a", beat=1, secs={"sampling": 50.0, "waiting": 1.0}))
    watch.look()
    assert watch.metrics()["actors/sampling_secs"] == 0
    clock.now += 2
    write_actor(files, actor("a", beat=2, secs={"sampling": 53.0, "waiting": 2.0}))
    watch.look()
    values = watch.metrics()
    assert (values["actors/sampling_secs"], values["actors/waiting_secs"]) == (3.0, 1.0)
    # Started again under its name: it counts from nothing.
    clock.now += 2
    write_actor(files, dataclasses.replace(actor("a", secs={"sampling": 4.0}), nonce="m"))
    watch.look()
    assert watch.metrics()["actors/sampling_secs"] == 4.0
