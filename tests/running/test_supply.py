"""What the learner waits for."""

import contextlib
import types

import pytest

from spo_jax.acting.policy_sources import Policy
from spo_jax.acting.shared_files import SharedFiles
from spo_jax.acting.signals import read_learner
from spo_jax.running.actor_settings import ActorSettings
from spo_jax.running.stopping import ActorsLostError, Stopped, StopRequest
from spo_jax.running.supply import AsyncSupply
from spo_jax.trajectories import Replay, ReplayConfig, TrajectoryStore
from spo_jax.types import Trajectory

TOKENS = [1, 2]


def make_supply(path, *, store=None, **settings):
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
        stop=StopRequest(),
        thread=None,
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
