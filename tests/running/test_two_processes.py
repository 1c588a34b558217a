"""Two processes with four devices each do what one with eight does, also through a resume.

The whole command on loopback, with Gloo between the processes; minutes:
`pytest -m slow tests/running/test_two_processes.py`. The short form is `test_two_learners.py`.
"""

import re
import signal

import numpy as np
import processes
import pytest

from spo_jax.reporting.metrics import read_metrics
from spo_jax.trajectories import TrajectoryStore

NUM_UPDATES = 6
# Of 1e-6 in float32 sums that are added up in another order, six Adam steps of 5e-3 make more.
TOLERANCE = {"rtol": 2e-4, "atol": 2e-5}
SAME = ("loss/true", "optimizer/grad_norm", "policy/entropy", "q/initial_value")
EXACT = ("sampling/reward_mean", "sampling/completion_tokens", "policy/version", "data/sequences")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def launch(tmp_path_factory, uniform_checkpoint):
    """Starts the tiny task in so many processes; one process has eight devices, two have four."""
    cache_dir = tmp_path_factory.mktemp("cache")

    def start(run_dir, num_processes, *more, num_updates=NUM_UPDATES):
        bindings = [f"--gin.train.num_updates={num_updates}", "--gin.train.checkpoint_every=2"]
        return processes.start_train(
            [*bindings, *more], num_processes, run_dir, uniform_checkpoint, cache_dir=cache_dir
        )

    return start


@pytest.fixture(scope="module")
def whole(tmp_path_factory, launch):
    """The run of one process that nobody interrupted."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"  # the name is part of every id
    processes.finish(launch(run_dir, 1))
    return run_dir


def trajectories(run_dir):
    rows = TrajectoryStore(str(run_dir)).read()
    return {t.trajectory_id: (t.completion_tokens.tolist(), t.reward) for t in rows}


def assert_same_run(left, right):
    assert trajectories(left) == trajectories(right)
    ours, theirs = read_metrics(left, "train"), read_metrics(right, "train")
    assert [r["step"] for r in ours] == [r["step"] for r in theirs] == [*range(1, NUM_UPDATES + 1)]
    for name in SAME:
        values = [[record[name] for record in records] for records in (ours, theirs)]
        np.testing.assert_allclose(*values, **TOLERANCE, err_msg=name)
    for name in EXACT:
        assert [r[name] for r in ours] == pytest.approx([r[name] for r in theirs]), name
    evaluations = [read_metrics(run_dir, "eval") for run_dir in (left, right)]
    passes = [
        [r["eval/pass@1"] for r in records if r["step"] in (0, NUM_UPDATES)]
        for records in evaluations
    ]
    assert passes[0] == passes[1]


def test_two_processes_give_the_numbers_of_one(launch, whole, tmp_path):
    processes.finish(launch(tmp_path / "run", 2))
    assert_same_run(tmp_path / "run", whole)
    writers = {path.name for path in (tmp_path / "run" / "trajectories").iterdir()}
    assert writers == {"main-0-0of2", "main-0-1of2"}


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_killed_run_goes_on_with_another_number_of_processes(
    launch, whole, tmp_path, before, after
):
    """Update 3 is past the checkpoint of update 2: what it collected is collected again."""
    run_dir = tmp_path / "run"
    started = launch(run_dir, before)
    processes.wait_for_updates(started, run_dir, 3)
    processes.kill(started)
    saved = sorted(path.name for path in (run_dir / "checkpoints").glob("*/manifest.json"))
    assert saved, "killed before the first checkpoint"
    processes.finish(launch(run_dir, after))
    assert_same_run(run_dir, whole)


def test_killed_run_of_two_processes_goes_on_bit_for_bit(launch, tmp_path):
    """Same processes, devices and mesh: nothing is added up in another order."""
    whole, killed = tmp_path / "whole" / "run", tmp_path / "killed" / "run"
    for run_dir in (whole, killed):
        run_dir.parent.mkdir()
    processes.finish(launch(whole, 2))
    started = launch(killed, 2)
    processes.wait_for_updates(started, killed, 3)
    processes.kill(started)
    assert list((killed / "checkpoints").glob("*/manifest.json"))
    processes.finish(launch(killed, 2))
    assert trajectories(killed) == trajectories(whole)
    records = [
        [{k: v for k, v in r.items() if not k.startswith("time")} for r in read_metrics(d, "train")]
        for d in (killed, whole)
    ]
    assert records[0] == records[1]
    weights = [
        (d / "policies" / str(NUM_UPDATES) / "model.safetensors").read_bytes()
        for d in (killed, whole)
    ]
    assert weights[0] == weights[1]


# Process 0 takes the coordination service with it: JAX may abort the others before we can speak.
@pytest.mark.parametrize(
    ("victim", "statuses", "message"),
    [
        (0, (1, -signal.SIGABRT), r"error: process 0 of 2|the leader task was preempted/died"),
        (1, (1,), r"error: process 1 of 2 gave no sign of life for \d+ s"),
    ],
)
def test_the_others_end_with_an_error_when_a_process_dies(
    launch, tmp_path, victim, statuses, message
):
    started = launch(tmp_path / "run", 2, num_updates=1000)
    processes.wait_for_updates(started, tmp_path / "run", 1)
    running, log_dir = started
    running[victim].send_signal(signal.SIGKILL)
    survivor = 1 - victim
    try:
        assert running[survivor].wait(timeout=90) in statuses, processes.logs(log_dir)
    finally:
        processes.kill(started)
    said = (log_dir / f"process{survivor}.log").read_text()
    assert re.search(message, said), said[-4000:]


def test_sigterm_of_one_process_stops_all_after_the_same_update(launch, tmp_path):
    run_dir = tmp_path / "run"
    started = launch(run_dir, 2, "--gin.train.checkpoint_every=1000", num_updates=1000)
    processes.wait_for_updates(started, run_dir, 1)
    started[0][1].send_signal(signal.SIGTERM)
    assert processes.wait(started[0], timeout=120) == [130, 130], processes.logs(started[1])
    (checkpoint,) = (run_dir / "checkpoints").iterdir()
    assert int(checkpoint.name) == read_metrics(run_dir, "train")[-1]["step"]
