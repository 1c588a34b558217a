"""SIGKILL at moments nobody chose: `pytest -m slow tests/running/test_killed_run.py`."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "killed_run.py"


def kill(*, kills, seed):
    """Runs the harness, whose output names the seed and the moments of a failure."""
    command = [sys.executable, str(SCRIPT), f"--kills={kills}", f"--seed={seed}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-6000:]
    return done.stdout


@pytest.mark.slow
def test_runs_killed_at_fifty_random_moments_end_in_the_same_bits():
    assert "ended in the same bits" in kill(kills=50, seed=0)
