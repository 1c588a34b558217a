"""A store of a million rows: seconds to open it and draw, and the memory that takes.

    python benchmarks/store.py [--num_rows 1000000] [--rows_per_object 100000] [--store DIR]

Builds the store (kept if --store is given, and used again), then opens it in fresh processes: the
first builds the local index, the later ones map it. Prints a Markdown table.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from spo_jax.trajectories import Replay, ReplayConfig, TrajectoryStore
from spo_jax.types import Trajectory, Turn

TOKENS = 16
SAMPLES_PER_PROBLEM = 16


def rows(start: int, count: int) -> list[Trajectory]:
    """Short rows: online samples and imported ones, 16 to a problem."""
    made = []
    for number in range(start, start + count):
        problem = number // SAMPLES_PER_PROBLEM
        made.append(
            Trajectory(
                trajectory_id=f"run:{number // 4096:08d}:{problem:08d}:{number:010d}",
                group_id=f"group:{problem:08d}",
                problem_id=f"set/problem-{problem:08d}",
                source="online" if number % 2 else "import:verl",
                policy_version=number * 100 // 1_000_000 if number % 2 else None,
                turns=(Turn("policy", 0, TOKENS),),
                prompt_tokens=np.full(TOKENS, problem % 1000, np.int32),
                completion_tokens=np.arange(number, number + TOKENS, dtype=np.int32),
                completion_mask=np.ones(TOKENS, bool),
                reward=-float(number % 3 > 0),
                tokenizer_hash="tokenizer",
            )
        )
    return made


def build(url: str, num_rows: int, rows_per_object: int) -> None:
    store = TrajectoryStore(url, writer_id="bench")
    for start in range(len(store.index()), num_rows, rows_per_object):
        store.append(rows(start, min(rows_per_object, num_rows - start)))


def resident_mib() -> float:
    """Memory of this process now, pages of the mapped index that were touched included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def measure(url: str) -> dict[str, float]:
    """Seconds and memory of this process, from opening to the second draw."""
    pa.array([0])  # pyarrow imports pandas at its first use: not the store's time
    before = resident_mib()
    started = time.perf_counter()
    store = TrajectoryStore(url)
    num_rows = len(store.index())
    opened = time.perf_counter()
    replay = Replay(store, ReplayConfig(), seed=0, tokenizer_hash="tokenizer")
    replay.draw(0, 8, 8, 100)
    drawn = time.perf_counter()
    replay.draw(1, 8, 8, 100)
    return {
        "num_rows": num_rows,
        "open_secs": opened - started,
        "first_draw_secs": drawn - opened,
        "next_draw_secs": time.perf_counter() - drawn,
        "memory_mib": resident_mib() - before,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_rows", type=int, default=1_000_000)
    parser.add_argument("--rows_per_object", type=int, default=100_000)
    parser.add_argument("--store")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure)))
        return
    with tempfile.TemporaryDirectory() as folder:
        url = args.store or folder
        build(url, args.num_rows, args.rows_per_object)
        print("| opened | rows | open, s | first draw, s | next draw, s | memory, MiB |")
        print("|---|---|---|---|---|---|")
        for name in ("first time", "again", "and again"):
            done = subprocess.run(
                [sys.executable, __file__, "--measure", url], capture_output=True, check=True
            )
            values = json.loads(done.stdout)
            print(f"| {name} | " + " | ".join(f"{v:.3g}" for v in values.values()) + " |")


if __name__ == "__main__":
    main()
