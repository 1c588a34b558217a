"""Which devices of a process learn and which sample, where an actor runs beside the learner."""

import dataclasses
import math
from collections.abc import Sequence

import jax
from jax.sharding import Mesh

from spo_jax.errors import UserError
from spo_jax.running.actor_settings import ActorSettings


@dataclasses.dataclass(frozen=True)
class DeviceSplit:
    """`learner`: of all processes. `actor`: of this one; empty where both share one device."""

    learner: Sequence[jax.Device]
    actor: Sequence[jax.Device]


def split_devices(
    actors: ActorSettings,
    devices: Sequence[jax.Device] | None = None,
    *,
    needs_own: bool = True,
) -> DeviceSplit:
    """Gives the last devices of each process to its actor thread, the others to the learner.

    By default half of them: numbers that divide the same slots, mostly.

    Args:
      actors: who samples.
      devices: to be split; by default all there are.
      needs_own: whether the thread computes; with an engine it does not.

    Raises:
      UserError: an actor would get all devices of a process, or chips of a TPU slice of several
        hosts, where a learner has to have all.
    """
    everything = list(jax.devices() if devices is None else devices)
    if actors.mode != "thread" or not needs_own:
        return DeviceSplit(everything, ())
    by_process: dict[int, list[jax.Device]] = {}
    for device in everything:
        by_process.setdefault(device.process_index, []).append(device)
    fewest = min(map(len, by_process.values()))
    count = fewest // 2 if actors.devices is None else actors.devices
    if count >= fewest:
        raise UserError(
            f"devices={count} of ActorSettings must be below the {fewest} devices that a process "
            "has: the learner needs one; with mode 'remote' actors are elsewhere"
        )
    if count and len(by_process) > 1 and everything[0].platform == "tpu":
        raise UserError(
            f"mode 'thread' of ActorSettings would leave {count} chips of each of "
            f"{len(by_process)} hosts out of the learner's mesh, and collectives of a TPU slice "
            "need all chips: use mode 'remote' with actors on another slice, or 'inline'"
        )
    if not count:
        return DeviceSplit(everything, ())
    own = by_process[jax.process_index()][-count:]
    learner = [device for many in by_process.values() for device in many[:-count]]
    return DeviceSplit(learner, own)


def check_shared_device(actors: ActorSettings, learner_mesh: Mesh) -> None:
    """Raises UserError where a sampling thread would share several devices with the learner.

    Two threads that start programs on several devices may start them in another order on each,
    and collectives then wait for each other for ever.
    """
    if actors.mode != "thread" or split_devices(actors).actor:
        return
    size = math.prod(learner_mesh.shape.values())
    if size > 1:
        raise UserError(
            f"an actor thread cannot share {size} devices with the learner: give it some of its "
            "own (ActorSettings.devices, where a process has several), or use mode 'remote' or "
            "'inline'"
        )
