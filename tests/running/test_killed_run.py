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


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_in_the_same_bits(tmp_path, tiny_checkpoint):
    began = time.monotonic()
    assert start(tmp_path / "whole", tiny_checkpoint).wait() == 0
    whole_secs = time.monotonic() - began
    rng = random.Random(0)
    for number in range(4):
        run_dir = tmp_path / f"killed{number}"
        for _ in range(3):
            process = start(run_dir, tiny_checkpoint)
            time.sleep(rng.uniform(0.3, 1.0) * whole_secs)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert start(run_dir, tiny_checkpoint).wait() == 0
        for left, right in zip(params_of(run_dir), params_of(tmp_path / "whole"), strict=True):
            np.testing.assert_array_equal(np.asarray(left), np.asarray(right))
