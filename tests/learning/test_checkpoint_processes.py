"""Several processes save, restore and fail together; another number of them restores."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "checkpoint_process.py"
SUM = sum(range(64)) + 64.0  # of step 1; each step adds 64


def run(directory, num_processes, action):
    """Last output line of each process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, directory, port, str(num_processes), str(i), action],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(num_processes)
    ]
    told = [process.communicate(timeout=240) for process in processes]
    assert all(process.returncode == 0 for process in processes), told
    return [out.splitlines()[-1] for out, _ in told]


@pytest.mark.slow
def test_processes_save_together_and_another_number_restores(tmp_path):
    assert run(tmp_path, 2, "save") == ["[1, 2]"] * 2
    for num_processes in (2, 1, 4):
        expected = f"2 {SUM + 64} {{'step': 2}}"
        assert run(tmp_path, num_processes, "restore") == [expected] * num_processes


@pytest.mark.slow
def test_processes_agree_on_the_best_while_one_still_writes(tmp_path):
    assert run(tmp_path, 2, "best") == ["[2] [2]"] * 2


@pytest.mark.slow
def test_processes_agree_that_a_checkpoint_is_damaged_and_that_a_save_failed(tmp_path):
    run(tmp_path, 2, "save")
    state = tmp_path / "00000002" / "state"
    largest = max((f for f in state.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    told = run(tmp_path, 2, "restore")
    assert told[0] == told[1]
    assert told[0].startswith(
        f"1 {SUM} {{'step': 1}} checkpoint {tmp_path}/00000002 is passed over"
    )
    told = run(tmp_path, 2, "full")
    assert told[0].startswith(f"FullDiskError cannot write '{tmp_path}/00000003'")
    assert "No space left on device" in told[1]
    assert run(tmp_path, 1, "restore")[0].startswith("1 ")
    assert not (tmp_path / "00000003").exists()
