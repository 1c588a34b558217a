"""Which folder of the store each process of a run writes to, and what a resumed run makes of them.

A stream of commits is redone in the order in which it was made, so a process must find its own
rounds in it. With another number of processes each has other problems: such a run goes on in new
folders, the next *generation*. Commits past the checkpoint in the folders it leaves do not count;
their rows are made again, under the same ids, in the new ones.
"""

import re
from collections.abc import Mapping
from typing import Any

from spo_jax.running.hosts import Hosts

WRITER_ID = "main"  # of a run that was always of one process

_WRITER = re.compile(r"main(-\d+-\d+of\d+)?")


def writer_id(hosts: Hosts, generation: int = 0) -> str:
    """The folder of one process."""
    if hosts.count == 1 and generation == 0:
        return WRITER_ID
    return f"main-{generation}-{hosts.index}of{hosts.count}"


def is_writer_of_run(name: str) -> bool:
    """Whether a folder is a run's own, of whichever process and generation."""
    return _WRITER.fullmatch(name) is not None


def is_actor_stream(name: str) -> bool:
    """Whether a stream of the store has an actor's samples; the run itself adds others."""
    kind, _, writer = name.partition("/")
    return kind == "trajectories" and not is_writer_of_run(writer)


def saved_writers(hosts: Hosts, generation: int) -> dict[str, int]:
    """What a checkpoint says about the folders."""
    return {"generation": generation, "processes": hosts.count}


def next_generation(hosts: Hosts, saved: Mapping[str, Any]) -> int:
    """The generation of a run that goes on from a checkpoint, by what `saved_writers` saved."""
    generation = int(saved.get("generation", 0))
    return generation if int(saved.get("processes", 1)) == hosts.count else generation + 1
