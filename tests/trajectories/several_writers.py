"""One of several writers: `python several_writers.py DIRECTORY WRITER_ID NAME`.

Appends ten commits of two rows, one of its own and one that every writer makes, and prints the
object that holds each of its own rows when it is acknowledged.
"""

import sys

import numpy as np

from spo_jax.trajectories import TrajectoryStore
from spo_jax.types import Trajectory


def record(name: str) -> Trajectory:
    return Trajectory(
        trajectory_id=name,
        group_id="g",
        problem_id="p",
        source="online",
        prompt_tokens=np.array([1], np.int32),
        completion_tokens=np.array([2, 3], np.int32),
        completion_mask=np.ones(2, bool),
        reward=1.0,
    )


def main(root: str, writer_id: str, name: str) -> None:
    store = TrajectoryStore(root, writer_id=writer_id)
    for number in range(10):
        commit = store.append([record(f"{name}-{number}"), record(f"shared-{number}")])
        print(f"{name}-{number} {commit.name}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
