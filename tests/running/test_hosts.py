"""What the processes of a run tell each other, with threads in their place."""

import threading
import time

import numpy as np
import pytest
from coordination import Service

from spo_jax.acting.evaluator import merge_evaluation
from spo_jax.errors import UserError
from spo_jax.evaluation import read_samples, write_samples
from spo_jax.running import hosts as module
from spo_jax.running.hosts import Hosts, HostsError, joined
from spo_jax.running.stopping import Stopped, StopRequest
from spo_jax.running.together import Together
from spo_jax.running.writers import is_writer_of_run, next_generation, saved_writers, writer_id
from spo_jax.trajectories import TrajectoryStore, Watermark
from spo_jax.types import Problem, Trajectory


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(module, "_BEAT_SECS", 0.02)
    monkeypatch.setattr(module, "_SLICE_SECS", 0.05)
    return Service()


@pytest.fixture
def together(service):
    """Runs a function on every one of three processes; what each returned or raised."""
    made = []

    def run(work, **settings):
        outcomes = [None] * 3

        def one(host):
            try:
                outcomes[host.index] = work(host)
            except Exception as error:
                outcomes[host.index] = error

        hosts = [Hosts(i, 3, service, **settings) for i in range(3)]
        made.extend(hosts)
        threads = [threading.Thread(target=one, args=(host,), daemon=True) for host in hosts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        return outcomes

    yield run
    for host in made:
        host.close()


def test_all_know_what_each_said(together):
    said = together(lambda host: [host.gather("a", {"i": host.index}), host.broadcast("b", 1.5)])
    assert said == [[[{"i": 0}, {"i": 1}, {"i": 2}], 1.5]] * 3


def test_many_rounds_leave_few_keys_behind(together, service):
    together(lambda host: [host.any(f"round {i}", host.index == i) for i in range(20)])
    assert sum(key.startswith("spo_jax/round/") for key in service.values) <= 8


def test_a_flag_of_one_is_known_to_all(together):
    assert together(lambda host: host.any("stop", host.index == 2)) == [True] * 3
    assert Hosts().any("stop", False) is False


def test_each_item_is_one_process_share(together):
    shares = together(lambda host: host.share("abcdefg"))
    assert sorted(item for share in shares for item in share) == list("abcdefg")
    assert Hosts().share("abc") == ["a", "b", "c"]


def test_processes_that_differ_are_named_on_all_of_them(together):
    outcomes = together(lambda host: host.check_same("configuration", host.index == 1))
    assert [type(outcome) for outcome in outcomes] == [HostsError] * 3
    assert "processes [1] of 3 have another configuration than process 0" in str(outcomes[2])


def test_processes_at_different_places_do_not_take_each_others_values(together):
    outcomes = together(lambda host: host.gather("publish" if host.index == 2 else "collect"))
    assert all("different places" in str(outcome) for outcome in outcomes)


def test_failure_of_one_ends_the_waiting_of_the_others(together, monkeypatch):
    monkeypatch.setattr(threading, "Timer", lambda *_: threading.Thread(target=lambda: None))

    def work(host):
        if host.index == 1:
            host.fail(UserError("the disk is full"))
            return None
        return host.gather("collect")

    outcomes = together(work)
    assert (
        str(outcomes[0])
        == str(outcomes[2])
        == ("process 1 of 3 stopped: UserError: the disk is full")
    )


def test_silence_ends_the_waiting_within_bounds(together, service):
    def work(host):
        if host.index == 2:
            host._watch._closed.set()  # as if killed: no beat, no word
            return None
        return host.gather("collect")

    start = time.monotonic()
    outcomes = together(work, dead_after_secs=0.5)
    assert "process 2 of 3 gave no sign of life for" in str(outcomes[0])
    assert isinstance(outcomes[1], HostsError)
    assert time.monotonic() - start < 20


def test_a_process_that_left_is_not_waited_for(together, monkeypatch):
    monkeypatch.setattr(threading, "Timer", lambda *_: threading.Thread(target=lambda: None))

    def work(host):
        if host.index == 1:
            return host.close()
        try:
            return host.gather("collect")
        except HostsError as error:
            host.fail(error)  # as a process does that an exception leaves
            raise

    outcomes = together(work)
    assert str(outcomes[0]) == "process 1 of 3 left before 'collect'"
    assert str(outcomes[2]).endswith("process 1 of 3 left before 'collect'")


def test_stop_of_one_is_known_soon(together):
    def work(host):
        if host.index == 1:
            host.announce_stop()
            return True
        deadline = time.monotonic() + 10
        while not host.stop_requested and time.monotonic() < deadline:
            time.sleep(0.01)
        return host.stop_requested

    assert together(work) == [True] * 3


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"JAX_NUM_PROCESSES": "2"}, "JAX_COORDINATOR_ADDRESS, JAX_PROCESS_ID is not"),
        (
            {
                "JAX_COORDINATOR_ADDRESS": "here",
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": "0",
            },
            "JAX_COORDINATOR_ADDRESS='here' must be host:port",
        ),
        (
            {
                "JAX_COORDINATOR_ADDRESS": "here:1",
                "JAX_NUM_PROCESSES": "two",
                "JAX_PROCESS_ID": "0",
            },
            "JAX_NUM_PROCESSES='two' must be a whole number",
        ),
        (
            {
                "JAX_COORDINATOR_ADDRESS": "here:1",
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": "2",
            },
            "JAX_PROCESS_ID=2 must be below JAX_NUM_PROCESSES=2",
        ),
    ],
)
def test_environment_is_checked_by_name(monkeypatch, variables, message):
    for name in module._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message), joined(True):
        pass


def test_another_number_of_processes_writes_elsewhere(service):
    one = Hosts()
    two = [Hosts(i, 2, service) for i in range(2)]
    assert writer_id(one) == "main"
    assert [writer_id(host) for host in two] == ["main-0-0of2", "main-0-1of2"]
    assert next_generation(one, {}) == 0
    assert next_generation(two[0], {}) == 1
    assert next_generation(two[0], saved_writers(two[0], 4)) == 4
    assert next_generation(one, saved_writers(two[0], 4)) == 5
    assert writer_id(one, 5) == "main-5-0of1"
    names = ["main", "main-0-0of2", "main-12-63of64", "actor-1", "main-x", "mainly"]
    assert [is_writer_of_run(name) for name in names] == [True, True, True, False, False, False]
    for host in two:
        host.close()


def test_all_leave_their_shares_when_one_is_asked_to_stop(together):
    def work(host):
        stop = StopRequest()
        stop.requested = host.index == 1
        shares = Together(host, stop)
        left = []

        def share():
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                try:
                    shares.leave_if_stopped()
                except Stopped:
                    left.append(True)
                    raise
                time.sleep(0.01)

        try:
            shares.do_shares("collect", share)
        except Stopped:
            return left
        return "went on"

    assert together(work) == [[True]] * 3


def test_watermark_is_what_all_committed_and_no_more(together, tmp_path, commit):
    """A process knows its own commits; what a vanished one left past the checkpoint is hidden."""
    for name in ("main-0-0of3", "main-0-1of3", "main-0-2of3", "main", "import"):
        commit(TrajectoryStore(tmp_path, writer_id=name))

    def work(host):
        store = TrajectoryStore(tmp_path, writer_id=writer_id(host))
        store.rewind(Watermark.from_dict({}), also=is_writer_of_run)
        host.barrier("rewound")
        if host.index == 2:
            commit(store)
        return Together(host, StopRequest()).watermark(store)

    marks = together(work)
    assert marks[0] == marks[1] == marks[2]
    assert {k: n for k, n in marks[0].as_dict().items() if n} == {
        "trajectories/import": 1,
        "trajectories/main-0-2of3": 1,
    }


@pytest.fixture
def commit():
    """Appends one trajectory, named after the writer, to a store."""

    def append(store):
        tokens = np.array([1, 2], np.int32)
        return store.append(
            [
                Trajectory(
                    trajectory_id=f"t-{store.writer_id}",
                    group_id="g",
                    problem_id="p",
                    source="online",
                    prompt_tokens=tokens,
                    completion_tokens=tokens,
                    completion_mask=np.ones(2, bool),
                    reward=0.0,
                )
            ]
        )

    return append


def test_shares_of_an_evaluation_are_joined_in_the_order_of_the_problems(tmp_path):
    problems = [Problem(id=name, name=name, description="") for name in "abcd"]
    for part, ids in enumerate(("ac", "bd")):
        write_samples(
            tmp_path / f"{part}.jsonl", [{"problem_id": i, "n": n} for i in ids for n in range(2)]
        )
    merge_evaluation([tmp_path / "0.jsonl", tmp_path / "1.jsonl"], problems, tmp_path / "all.jsonl")
    joined_samples = [(s["problem_id"], s["n"]) for s in read_samples(tmp_path / "all.jsonl")]
    assert joined_samples == [(name, n) for name in "abcd" for n in range(2)]


def test_a_folder_that_some_do_not_see_is_refused_by_all(together, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LAG_SECS", 0.3)
    for host in range(3):
        (tmp_path / f"disk{host}").mkdir()

    def work(host):
        host.check_shared(tmp_path / "disk0")
        host.check_shared(tmp_path / f"disk{host.index % 2}")

    errors = together(work)
    assert not list((tmp_path / "disk0").iterdir())
    assert [type(error) for error in errors] == [UserError] * 3
    assert "processes [1] of 3 do not see" in str(errors[0])
