"""Arrays of a mesh of several processes, given to each of them: for its sampler, for its files.

Every process calls these functions in the same order: they move data between devices. Arrays are
moved one by one, so that one of them at a time is there twice.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from spo_jax.errors import UserError
from spo_jax.sharding import MESH_AXES, param_shardings


def make_local_mesh(devices: Iterable[jax.Device], *, tensor: int = 1) -> Mesh:
    """Returns a mesh over those devices that are this process's, with the axes of the learner's.

    Args:
      devices: of the learner's mesh.
      tensor: devices each layer is split over; the others hold copies.

    Raises:
      UserError: `tensor` does not divide the number of devices.
    """
    own = _by_process(devices)[jax.process_index()]
    if tensor < 1 or len(own) % tensor:
        raise UserError(
            f"tensor={tensor} of the sampler must divide the {len(own)} devices of a host"
        )
    shape = dict.fromkeys(MESH_AXES, 1) | {"data": len(own) // tensor, "tensor": tensor}
    return Mesh(np.array(own).reshape(tuple(shape.values())), MESH_AXES)


def make_own_mesh(devices: Sequence[jax.Device] | None = None, *, tensor: int = 1) -> Mesh | None:
    """Returns a mesh of devices of this process alone; None for the only one there is.

    Args:
      devices: of this process; by default all.
      tensor: as of `make_local_mesh`.
    """
    own = list(jax.local_devices() if devices is None else devices)
    if own == jax.local_devices() and max(len(own), tensor) == 1:
        return None
    return make_local_mesh(own, tensor=tensor)


def is_local_mesh(mesh: Mesh) -> bool:
    """Whether all its devices are of this process."""
    own = jax.process_index()
    return all(device.process_index == own for device in mesh.devices.flat)


def is_local(tree: Any) -> bool:
    """Whether this process has all of every array."""
    return all(getattr(leaf, "is_fully_addressable", True) for leaf in jax.tree.leaves(tree))


def to_local(array: jax.Array, mesh: Mesh, spec: PartitionSpec) -> jax.Array:
    """The array on a mesh of `make_local_mesh`; every process gets all of it.

    Args:
      array: on a mesh of several processes, or on devices of this one.
      mesh: of this process; of the same shape on all.
      spec: how it is split over `mesh`.
    """
    sharding = NamedSharding(mesh, spec)
    if array.is_fully_addressable:
        return jax.device_put(array, sharding)
    devices = np.array(list(_by_process(array.sharding.device_set).values())).reshape(
        -1, *mesh.devices.shape
    )
    everywhere = Mesh(devices, ("process", *mesh.axis_names))
    placed = jax.device_put(array, NamedSharding(everywhere, spec))
    shards = [shard.data for shard in placed.addressable_shards]
    return jax.make_array_from_single_device_arrays(array.shape, sharding, shards)


def params_to_local(params: Any, mesh: Mesh, axes: Any) -> Any:
    """Parameters on a mesh of this process, split as `param_shardings` says."""
    shardings = param_shardings(mesh, axes, params)
    return jax.tree.map(lambda leaf, s: to_local(leaf, mesh, s.spec), params, shardings)


def to_host(array: Any) -> np.ndarray:
    """The whole array in host memory, on every process.

    An array that is split stays split over the devices of each process, where they divide it: no
    device need hold all of it.
    """
    if not isinstance(array, jax.Array) or array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    mesh = make_local_mesh(array.sharding.device_set)
    return np.asarray(to_local(array, mesh, _split_as(array, mesh)))


def from_host(array: Any, sharding: NamedSharding) -> jax.Array:
    """An array that every process has whole, on a mesh of all; each places its own part."""
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def _split_as(array: jax.Array, mesh: Mesh) -> PartitionSpec:
    """One of the axes that the array is split over already, if the mesh's devices divide it."""
    names = array.sharding.spec if isinstance(array.sharding, NamedSharding) else ()
    for axis, name in enumerate(names):
        if name is not None and array.shape[axis] % mesh.size == 0:
            return PartitionSpec(*[None] * axis, "data")
    return PartitionSpec()


def _by_process(devices: Iterable[jax.Device]) -> dict[int, list[jax.Device]]:
    """Devices by process and then by id.

    Raises:
      UserError: the processes have different numbers of devices.
    """
    found: dict[int, list[jax.Device]] = {}
    for device in sorted(devices, key=lambda device: (device.process_index, device.id)):
        found.setdefault(device.process_index, []).append(device)
    counts = sorted({len(many) for many in found.values()})
    if len(counts) > 1:
        raise UserError(
            f"all processes must have equally many devices of a mesh, they have {counts}"
        )
    return found
