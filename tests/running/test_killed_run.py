"""SIGKILL at moments nobody chose: `pytest -m slow tests/running/test_killed_run.py`."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from spo_jax.models import load_pretrained

SCRIPT = Path(__file__).parent / "killed_run.py"


def start(run_dir, checkpoint):
    return subprocess.Popen([sys.executable, str(SCRIPT), str(run_dir), checkpoint])


def params_of(run_dir):
    return jax.tree.leaves(load_pretrained(run_dir / "policies" / "4").params)


def kill_after(process, run_dir, num_records, rng):
    """SIGKILL shortly after the metrics file has so many lines: between any two of what follows."""
    metrics = run_dir / "metrics.jsonl"
    while process.poll() is None:
        if metrics.exists() and metrics.read_bytes().count(b"\n") >= num_records:
            time.sleep(rng.uniform(0.0, 0.3))
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_in_the_same_bits(tmp_path, tiny_checkpoint):
    whole = tmp_path / "whole" / "run"  # the directory's name is part of every id
    assert start(whole, tiny_checkpoint).wait() == 0
    rng = random.Random(0)
    for number in range(3):
        run_dir = tmp_path / f"killed{number}" / "run"
        for num_records in (2, 3, 4):  # the evaluation before, then updates
            kill_after(start(run_dir, tiny_checkpoint), run_dir, num_records, rng)
        assert start(run_dir, tiny_checkpoint).wait() == 0
        for left, right in zip(params_of(run_dir), params_of(whole), strict=True):
            np.testing.assert_array_equal(np.asarray(left), np.asarray(right))
