"""Learner and actors side by side: a thread or other processes, bounds, failures, resuming."""

import collections
import threading
import types

import jax
import pytest

from spo_jax.act import act
from spo_jax.acting.actor import Actor
from spo_jax.acting.shared_files import SharedFiles
from spo_jax.acting.signals import read_actor, read_learner
from spo_jax.commands import gin_config
from spo_jax.errors import UserError
from spo_jax.reporting.metrics import read_metrics
from spo_jax.running.actor_devices import check_shared_device, split_devices
from spo_jax.running.actor_settings import ActorSettings
from spo_jax.running.configurables import CONFIGURABLES
from spo_jax.running.session import Session
from spo_jax.running.settings import BatchSettings, ModelSource
from spo_jax.running.stopping import ActorsLostError, Stopped, StopRequest
from spo_jax.sharding import make_mesh
from spo_jax.train import train
from spo_jax.trajectories import ReplayConfig, TrajectoryStore

QUICK = {"heartbeat_secs": 0.2, "dead_after_secs": 5.0, "poll_secs": 0.02}
PER_UPDATE = 16 * 8  # samples


def settings(mode="thread", **changes):
    return ActorSettings(mode=mode, **(QUICK | changes))


def online(run_dir):
    return [t for t in TrajectoryStore(str(run_dir)).read() if t.source == "online"]


def assert_drawn_once(run_dir, num_updates):
    """Every update was of samples that no other had drawn, and all of them are in the store."""
    records = read_metrics(run_dir, "train")
    assert [record["step"] for record in records] == list(range(1, num_updates + 1))
    assert all(record["data/uses"] == 0 for record in records)
    assert all(record["data/num_short_groups"] == 0 for record in records)
    names = collections.Counter(t.trajectory_id for t in online(run_dir))
    assert set(names.values()) == {1} and len(names) >= num_updates * PER_UPDATE


def test_a_thread_may_share_the_learners_device(tmp_path, uniform_checkpoint, tiny_task):
    run_dir = tmp_path / "run"
    tiny_task(run_dir, uniform_checkpoint, actors=settings(devices=0), num_updates=4)
    assert_drawn_once(run_dir, 4)


def test_a_thread_samples_while_the_learner_learns(
    tmp_path, uniform_checkpoint, tiny_task, monkeypatch
):
    """On a device of its own; the run is stopped and resumed in between."""
    run_dir = tmp_path / "run"
    changes = {
        "actors": settings(devices=1),
        "num_updates": 8,
        "policy_sync_every": 2,
        "checkpoint_every": 3,
        "replay": ReplayConfig(offline_fraction=0.0, max_staleness=8),
    }
    publish = Session.publish

    def stopping(self):
        self._together.stop.requested = True
        publish(self)

    monkeypatch.setattr(Session, "publish", stopping)
    with pytest.raises(Stopped):
        tiny_task(run_dir, uniform_checkpoint, **changes)
    monkeypatch.setattr(Session, "publish", publish)
    before = {t.trajectory_id for t in online(run_dir)}
    tiny_task(run_dir, uniform_checkpoint, **changes)
    assert before <= {t.trajectory_id for t in online(run_dir)}
    assert_drawn_once(run_dir, 8)
    records = read_metrics(run_dir, "train")
    assert max(record["data/staleness_max"] for record in records) <= 8
    assert {"time/waiting_secs", "actors/sampling_secs", "actors/queued_groups"} <= set(records[-1])
    versions = {t.policy_version for t in online(run_dir)}
    assert versions <= {0, 2, 4, 6} and len(versions) > 1
    status = read_learner(SharedFiles(str(run_dir)))
    assert status.done and status.step == 8
    actor = read_actor(SharedFiles(str(run_dir)), "thread0")
    assert actor.state == "ended" and actor.num_rounds * PER_UPDATE == len(online(run_dir))


def start_actor(run_dir, checkpoint, task_file, actor_id, actors, stop):
    """`spo actor`, but for the process."""
    config = gin_config.configured_arguments(train, CONFIGURABLES, [str(task_file)], [])
    names = ("problems", "prompt", "rollouts", "replay", "batch", "judge")
    arguments = {name: config[name] for name in names if name in config}
    failures = []

    def run():
        try:
            act(
                str(run_dir),
                actor_id=actor_id,
                policy=ModelSource(path=checkpoint),
                actors=actors,
                devices=jax.devices()[2:4],
                stop=stop,
                commit_log=f"{run_dir}.{actor_id}.jsonl",
                **arguments,
            )
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.failures = failures
    thread.start()
    return thread


def test_actors_elsewhere_come_and_go_while_the_learner_is_stopped_and_resumed(
    tmp_path, uniform_checkpoint, tiny_task, tiny_task_file, monkeypatch
):
    """Two actors by the run's files alone; one leaves and returns, the learner stops too."""
    run_dir, actors = tmp_path / "run", settings("remote")
    stops = {name: StopRequest() for name in ("a0", "a1")}
    start = lambda name: start_actor(  # noqa: E731
        run_dir, uniform_checkpoint, tiny_task_file, name, actors, stops[name]
    )
    threads = {name: start(name) for name in stops}  # before there is a run
    publish = Session.publish

    def stopping(self):
        if self.step == 4:
            stops["a0"].requested = True
        if self.step == 6:
            self._together.stop.requested = True
        publish(self)

    monkeypatch.setattr(Session, "publish", stopping)
    changes = {"actors": actors, "num_updates": 10, "checkpoint_every": 3}
    with pytest.raises(Stopped):
        tiny_task(run_dir, uniform_checkpoint, **changes)
    threads["a0"].join(timeout=60)
    assert not threads["a0"].is_alive() and threads["a1"].is_alive()
    assert not read_learner(SharedFiles(str(run_dir))).done
    assert [type(error) for error in threads["a0"].failures] == [Stopped]
    stops["a0"] = StopRequest()
    threads["a0"] = start("a0")
    monkeypatch.setattr(Session, "publish", publish)
    tiny_task(run_dir, uniform_checkpoint, **changes)
    for thread in threads.values():
        thread.join(timeout=60)
        assert not thread.is_alive() and not thread.failures
    assert_drawn_once(run_dir, 10)
    rounds = {name: read_actor(SharedFiles(str(run_dir)), name).num_rounds for name in threads}
    assert min(rounds.values()) > 0 and sum(rounds.values()) * PER_UPDATE == len(online(run_dir))


def test_actors_that_see_a_bucket_and_nothing_of_the_run(
    tmp_path, uniform_checkpoint, tiny_task, tiny_task_file
):
    url = f"memory://{tmp_path.name}"
    actors, stop = settings("remote", shared_url=url), StopRequest()
    thread = start_actor(
        tmp_path / "nowhere", uniform_checkpoint, tiny_task_file, "a0", actors, stop
    )
    tiny_task(tmp_path / "run", uniform_checkpoint, actors=actors, num_updates=3)
    thread.join(timeout=60)
    assert not thread.is_alive() and not thread.failures
    stored = online(url)
    assert len(stored) >= 3 * PER_UPDATE and max(t.policy_version for t in stored) > 0
    assert not (tmp_path / "run" / "trajectories").exists()
    assert "train.actors" in SharedFiles(url).read_text("config.gin")


def test_what_ends_the_thread_ends_the_run(tmp_path, uniform_checkpoint, tiny_task, monkeypatch):
    begin, rounds = Actor.begin, []

    def failing(self, *args, **named):
        rounds.append(1)
        if len(rounds) == 3:
            raise ValueError("the sampler broke")
        return begin(self, *args, **named)

    monkeypatch.setattr(Actor, "begin", failing)
    with pytest.raises(ValueError, match="the sampler broke"):
        tiny_task(tmp_path / "run", uniform_checkpoint, actors=settings(), num_updates=10)
    actor = read_actor(SharedFiles(str(tmp_path / "run")), "thread0")
    assert actor.detail == "ValueError: the sampler broke"


def test_without_actors_the_run_stops_or_goes_on_with_what_there_is(
    tmp_path, uniform_checkpoint, tiny_task
):
    run_dir = tmp_path / "run"
    alone = settings("remote", wait_limit_secs=0.3)
    changes = {"replay": ReplayConfig(offline_fraction=0.5), "num_updates": 2}
    with pytest.raises(ActorsLostError, match=r"no actor was alive for 0s .*spo actor --run_dir="):
        tiny_task(run_dir, uniform_checkpoint, actors=alone, **changes)
    alone = settings("remote", wait_limit_secs=0.3, when_alone="go_on")
    tiny_task(tmp_path / "other", uniform_checkpoint, actors=alone, **changes)
    records = read_metrics(tmp_path / "other", "train")
    assert [record["data/offline_fraction"] for record in records] == [1.0, 1.0]


@pytest.mark.slow
def test_initial_values_are_estimated_for_what_was_drawn(tmp_path, uniform_checkpoint, tiny_task):
    """Actors know no reference: the learner samples it where it needs to."""
    bindings = [
        "train.initial_values = @InitialValueSettings()",
        "SoftPolicyOptimization.baseline = 'initial_value'",
    ]
    tiny_task(tmp_path / "run", uniform_checkpoint, bindings, actors=settings(), num_updates=2)
    store = TrajectoryStore(str(tmp_path / "run"))
    [reference] = store.reference_ids()
    assert len(store.initial_values(reference, 0.2)) >= 16


def test_a_process_keeps_devices_for_learning():
    devices = jax.devices()
    assert split_devices(settings("remote")).learner == devices
    split = split_devices(settings(devices=2))
    assert (split.learner, split.actor) == (devices[:6], devices[6:])
    assert split_devices(settings()).actor == devices[4:]  # half of them
    assert split_devices(settings(), devices[:1]).actor == ()
    with pytest.raises(UserError, match="devices=8 of ActorSettings must be below the 8 devices"):
        split_devices(settings(devices=8))
    with pytest.raises(UserError, match="cannot share 2 devices with the learner"):
        check_shared_device(settings(devices=0), make_mesh(data=2))
    check_shared_device(settings(devices=0), make_mesh(data=1))
    chips = [types.SimpleNamespace(platform="tpu", process_index=i // 4, id=i) for i in range(8)]
    with pytest.raises(
        UserError, match=r"leave 2 chips of each of 2 hosts out .* use mode 'remote'"
    ):
        split_devices(settings(), chips)


def test_threads_of_several_processes_share_the_problems_of_an_update():
    batch, replay = BatchSettings(problems_per_update=16), ReplayConfig(offline_fraction=0.0)

    def sizes(num_processes, **changes):
        rounds = settings(**changes).rounds(batch, replay, 1, 1000, num_processes)
        return rounds.num_problems, rounds.max_queued

    assert sizes(1) == (16, 32)
    assert sizes(4) == (4, 32)
    assert sizes(3) == (6, 36)
    assert sizes(4, problems_per_round=16) == (16, 128)
    assert sizes(4, mode="remote") == (16, 32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "threads"}, r"mode='threads' must be one of .*did you mean 'thread'"),
        ({"fresh_fraction": 1.5}, r"fresh_fraction=1.5 must lie in \[0, 1\]"),
        ({"dead_after_secs": 0.3}, "dead_after_secs=0.3 must be at least twice heartbeat_secs=0.2"),
        ({"poll_secs": 0.0}, "poll_secs=0.0 must be above 0"),
        ({"max_pending_rounds": -1}, "max_pending_rounds=-1 must be at least 0"),
    ],
)
def test_settings_that_cannot_be(changes, message):
    with pytest.raises(UserError, match=message):
        settings(**changes)


def test_settings_that_do_not_fit_the_run(tmp_path, uniform_checkpoint, tiny_task):
    def run(actors, name="run", **changes):
        tiny_task(tmp_path / name, uniform_checkpoint, actors=actors, **changes)

    with pytest.raises(UserError, match="max_queued=4 groups must be at least problems_per_round="):
        run(settings(max_queued=4))
    with pytest.raises(UserError, match=r"offline_fraction=1.0 no update draws samples"):
        run(settings(), "other", replay=ReplayConfig(offline_fraction=1.0))
    with pytest.raises(UserError, match="mode='inline' of ActorSettings: this run samples by its"):
        act(str(tmp_path / "run"), actor_id="a0", actors=ActorSettings())
    with pytest.raises(UserError, match="actor_id='main' is the learner's own name"):
        act(str(tmp_path / "run"), actor_id="main")
    with pytest.raises(UserError, match="actor_id='a/b' must be 1 to 128 letters"):
        act(str(tmp_path / "run"), actor_id="a/b")
