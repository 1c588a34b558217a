"""Runs `spo` as several processes that find each other on loopback.

What is started is passed on as a pair: the processes, and the folder of their logs.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import spo_jax
from spo_jax.reporting.metrics import read_metrics

ROOT = Path(spo_jax.__file__).parents[1]
NUM_DEVICES = 8


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(command, num_processes, log_dir, *, cache_dir, variables=()):
    """Starts processes that share eight devices; their output goes to `log_dir`/process<i>.log."""
    log_dir.mkdir(parents=True, exist_ok=True)
    devices = NUM_DEVICES // num_processes
    shared = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_COMPILATION_CACHE_DIR": str(cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}",
        "JAX_NUM_PROCESSES": str(num_processes),
    }
    processes = []
    for index in range(num_processes):
        with (log_dir / f"process{index}.log").open("w") as log:
            processes.append(
                subprocess.Popen(
                    [sys.executable, *command],
                    env=shared | {"JAX_PROCESS_ID": str(index)} | dict(variables),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
    return processes


def wait(processes, *, timeout=600):
    """Exit statuses; whatever still runs when time is up is killed."""
    try:
        return [process.wait(timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()


def logs(log_dir):
    """What all processes said, for a failing test's message."""
    return "\n".join(f"== {p.name}\n{p.read_text()[-4000:]}" for p in sorted(log_dir.iterdir()))


def start_train(bindings, num_processes, run_dir, checkpoint, *, cache_dir):
    """A learner of the tiny task on a mesh of fsdp=2, in so many processes."""
    command = [
        *("-m", "spo_jax.main", "train", "--distributed", "--host_timeout_secs=20"),
        f"--gin_file={ROOT / 'configs' / 'runs' / 'tiny_task.gin'}",
        f"--run_dir={run_dir}",
        f"--gin.ModelSource.path='{checkpoint}'",
        "--gin.train.policy_sync_every=2",
        "--gin.train.mesh=@MeshShape()",
        "--gin.MeshShape.fsdp=2",
        "--gin.EvaluationSettings.num_samples=10",
        *bindings,
    ]
    log_dir = run_dir.parent / f"logs{num_processes}.{time.monotonic_ns()}"
    return start(command, num_processes, log_dir, cache_dir=cache_dir), log_dir


def finish(started):
    running, log_dir = started
    assert wait(running) == [0] * len(running), logs(log_dir)


def wait_for_updates(started, run_dir, count):
    """Until so many updates have a line in the metrics file."""
    running, log_dir = started
    while len(read_metrics(run_dir, "train")) < count:
        assert all(process.poll() is None for process in running), logs(log_dir)
        time.sleep(0.02)


def kill(started):
    for process in started[0]:
        process.send_signal(signal.SIGKILL)
    wait(started[0])
