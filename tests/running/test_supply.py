"""What the learner waits for."""

import contextlib
import threading
import types

import pytest
from coordination import Service

from spo_jax.acting.policy_sources import Policy
from spo_jax.acting.shared_files import SharedFiles
from spo_jax.acting.signals import read_learner
from spo_jax.errors import EnginesLostError
from spo_jax.running.actor_settings import ActorSettings
from spo_jax.running.hosts import Hosts
from spo_jax.running.stopping import ActorsLostError, Stopped, StopRequest
from spo_jax.running.supply import AsyncSupply
from spo_jax.trajectories import Replay, ReplayConfig, TrajectoryStore
from spo_jax.types import Trajectory

TOKENS = [1, 2]


def make_supply(path, *, store=None, hosts=None, thread=None, **settings):
    """A supply of updates of two problems, of a session that stands at step 3."""
    store = store or TrajectoryStore(str(path))
    parts = types.SimpleNamespace(
        replay=Replay(store, ReplayConfig(offline_fraction=0.0), seed=0),
        batch=types.SimpleNamespace(problems_per_update=2),
        rounds=types.SimpleNamespace(num_problems=2, max_queued=5),
    )
    session = types.SimpleNamespace(
        step=3, behavior=Policy(2, None), clock=lambda _: contextlib.nullcontext()
    )
    quick = {"heartbeat_secs": 0.01, "dead_after_secs": 0.1, "poll_secs": 0.001}
    supply = AsyncSupply(
        session,
        parts,
        ActorSettings(mode="remote", **(quick | settings)),
        SharedFiles(str(path)),
        run_id="run",
        hosts=hosts or Hosts(),
        stop=StopRequest(),
        thread=thread,
    )
    return supply, parts.replay


def commit(store, *problems, name="g"):
    rows = [
        Trajectory(
            trajectory_id=f"{name}-{problem}-{n}",
            group_id=f"{name}-{problem}",
            problem_id=problem,
            source="online",
            policy_version=2,
            prompt_tokens=TOKENS,
            completion_tokens=TOKENS,
            completion_mask=[True, True],
            behavior_logprobs=[0.0, 0.0],
            reward=0.0,
        )
        for problem in problems
        for n in range(2)
    ]
    store.append(rows)


@pytest.fixture
def writer(tmp_path):
    return TrajectoryStore(str(tmp_path), writer_id="a0")


def test_the_learner_takes_the_oldest_and_tells_actors_what_is_left(tmp_path, writer):
    commit(writer, "a", "b")
    commit(writer, "c")
    supply, replay = make_supply(tmp_path)
    with supply:
        problems, metrics = supply.provide(3)
        assert (problems, metrics["actors/queued_groups"]) == (["a", "b"], 3)
        assert read_learner(SharedFiles(str(tmp_path))).queued_groups == 3
        replay.draw(3, 2, 2, 3, problem_ids=problems, fresh_first=True)
        supply.drawn()
        status = read_learner(SharedFiles(str(tmp_path)))
        assert (status.queued_groups, status.commits) == (1, {"trajectories/a0": 2})
        assert (status.step, status.policy_version, status.done) == (3, 2, False)
        supply.finish()
        assert read_learner(SharedFiles(str(tmp_path))).done


def test_a_full_queue_of_too_few_problems_is_no_deadlock(tmp_path, writer):
    """4 groups of one problem, and actors that may be 5 ahead by rounds of 2: none will come."""
    for number in range(4):
        commit(writer, "a", name=f"g{number}")
    supply, _ = make_supply(tmp_path, wait_limit_secs=0.05)
    assert supply.provide(3)[0] == ["a"]


@pytest.mark.parametrize(("fraction", "enough"), [(0.5, True), (0.51, False), (0.0, True)])
def test_how_much_must_be_new_is_a_setting(tmp_path, writer, fraction, enough):
    commit(writer, "a")
    supply, _ = make_supply(tmp_path, fresh_fraction=fraction, wait_limit_secs=0.05)
    with contextlib.nullcontext() if enough else pytest.raises(ActorsLostError):
        assert supply.provide(3)[0] == ["a"]


def test_a_stop_ends_the_wait(tmp_path):
    supply, _ = make_supply(tmp_path)
    supply._stop.requested = True
    with pytest.raises(Stopped):
        supply.provide(3)


def test_a_learner_that_nobody_samples_for_gives_up(tmp_path):
    supply, _ = make_supply(tmp_path, wait_limit_secs=0.01)
    with pytest.raises(ActorsLostError, match="no actor was alive for 0s"):
        supply.provide(3)


class Told:
    """In place of an actor thread: remembers what it was told."""

    def __init__(self):
        self.status = None

    def start(self):
        pass

    stop = check = start

    def tell(self, status):
        self.status = status


@pytest.fixture
def both(tmp_path):
    """Runs `work(supply, host)` on two processes: what each returned or raised, its thread."""
    service = Service()
    hosts = [Hosts(i, 2, service) for i in range(2)]

    def run(work, **settings):
        outcomes, threads = [None] * 2, [Told(), Told()]

        def one(host):
            thread = threads[host.index]
            supply, _ = make_supply(tmp_path, hosts=host, thread=thread, **settings)
            try:
                with supply:
                    outcomes[host.index] = work(supply, host)
            except BaseException as error:
                outcomes[host.index] = error

        running = [threading.Thread(target=one, args=(host,), daemon=True) for host in hosts]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join(30)
        return outcomes, threads

    yield run
    for host in hosts:
        host.close()


def test_several_processes_draw_what_the_main_one_found(both, writer):
    """It waits for `b`; the other process's actor is told of the queue as the main one's is."""
    commit(writer, "a")

    def work(supply, host):
        if host.is_main:
            threading.Timer(0.1, commit, (writer, "b"), {"name": "late"}).start()
        return supply.provide(3)[0]

    outcomes, threads = both(work)
    assert outcomes == [["a", "b"]] * 2
    assert threads[0].status == threads[1].status
    assert (threads[1].status.queued_groups, threads[1].status.step) == (2, 3)


@pytest.mark.parametrize("lost", [0, 1])
def test_engines_that_one_process_lost_end_the_wait_of_all(both, lost):
    """Together, so that they can save together."""

    def work(supply, host):
        def check():
            if host.index == lost:
                raise EnginesLostError("away")

        supply._thread.check = check
        supply.provide(3)

    outcomes, _ = both(work)
    assert [(type(each), str(each)) for each in outcomes] == [(EnginesLostError, "away")] * 2


@pytest.mark.parametrize("stopped", [0, 1])
def test_a_stop_of_one_process_ends_the_wait_of_all(both, stopped):
    def work(supply, host):
        supply._stop.requested = host.index == stopped
        supply.provide(3)

    outcomes, _ = both(work)
    assert [type(outcome) for outcome in outcomes] == [Stopped, Stopped]


def test_all_processes_give_up_together(both):
    outcomes, _ = both(lambda supply, _: supply.provide(3), wait_limit_secs=0.01)
    assert [type(outcome) for outcome in outcomes] == [ActorsLostError] * 2
    assert "no actor was alive" in str(outcomes[1])


def test_only_one_process_decides_to_go_on_without_actors(both, writer, capsys):
    commit(writer, "a")
    outcomes, _ = both(
        lambda supply, _: supply.provide(3)[0], wait_limit_secs=0.01, when_alone="go_on"
    )
    assert outcomes == [["a"], ["a"]]
    assert capsys.readouterr().err.count("drawing what is there") == 1
