"""Checkpoints in a bucket, against a service on loopback that answers like Cloud Storage."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_checkpoints_in_a_bucket_are_rotated_restored_and_checked():
    pytest.importorskip("gcsfs")
    script = Path(__file__).parent / "fake_buckets.py"
    url = "gs://bucket/run/checkpoints"
    done = subprocess.run(
        [sys.executable, script, url], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    steps, best, host, value, passed_over, *after_damage = json.loads(done.stdout.splitlines()[-1])
    assert (steps, best) == ([2, 3], [3])
    assert (host, value, passed_over) == ({"step": 3}, 3.0, [])
    host, value, (line,) = after_damage
    assert (host, value) == ({"step": 2}, 2.0)
    assert line.startswith(
        f"checkpoint {url}/00000003 is passed over: the bytes of its file state/"
    )
