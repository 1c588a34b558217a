"""TPU slices by name, and what one chip of them can do."""

import dataclasses
import importlib.util
import math
import os
import re
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

from spo_jax.errors import UserError, nearest
from spo_jax.sharding import MESH_AXES

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One chip's data.

    Attributes:
      name: as in a topology's name.
      hbm_bytes: that a program may use: a little less than is built in.
      flops_per_sec: bfloat16 peak.
      hbm_bytes_per_sec: memory bandwidth.
      ici_bytes_per_sec: what a chip can send to its neighbours over all links together: half of
        the published figure, which adds both directions.
      rank: dimensions of its torus.
    """

    name: str
    hbm_bytes: int
    flops_per_sec: float
    hbm_bytes_per_sec: float
    ici_bytes_per_sec: float
    rank: int


# https://cloud.google.com/tpu/docs/v5e, .../v5p, .../v6e (tables "key chip specifications"). The
# usable memory is what the compiler's own message names when a program does not fit.
CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v5e", int(15.75 * GIB), 197e12, 819e9, 200e9, 2),
        Chip("v5p", int(95.74 * GIB), 459e12, 2765e9, 600e9, 3),
        Chip("v6e", int(31.25 * GIB), 918e12, 1640e9, 400e9, 2),
    )
}
_NAME = re.compile(r"(v\d+[a-z]*):(\d+(?:x\d+)+)")
# Without them libtpu asks a metadata server that is not there, and complains.
_OFFLINE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # compiling takes no chip: plans may run side by side
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",  # any that exists
}


@dataclasses.dataclass(frozen=True, eq=False)
class Slice:
    """A named slice: its chip and the devices that programs are compiled for.

    Attributes:
      name: such as 'v5p:4x4x4'. chip: of all devices.
      devices: of `jax.experimental.topologies`; nothing can run on them.
    """

    name: str
    chip: Chip
    devices: tuple[Any, ...]

    @property
    def hosts(self) -> int:
        return len({device.process_index for device in self.devices})

    def host_mesh(self, tensor: int = 1) -> Mesh:
        """The sampler's mesh: the chips of a host, as `placement.make_local_mesh` has it.

        They are described alone: a host's chips do not count from 0 to 3 in every slice, and the
        compiler knows only as many as a program uses.

        Raises:
          UserError: `tensor` does not divide the chips of a host.
        """
        devices = [device for device in self.devices if device.process_index == 0]
        if self.hosts > 1:
            box = "x".join(["2", "2", "1"][: self.chip.rank])
            alone = named_slice(f"{self.chip.name}:{box}").devices
            devices = list(alone) if len(alone) == len(devices) else devices
        if tensor < 1 or len(devices) % tensor:
            raise UserError(
                f"RolloutSettings.tensor={tensor} of the sampler must divide the {len(devices)} "
                f"chips of a host of {self.name}"
            )
        shape = dict.fromkeys(MESH_AXES, 1) | {"data": len(devices) // tensor, "tensor": tensor}
        return Mesh(np.array(devices).reshape(tuple(shape.values())), MESH_AXES)


def parse_topology(name: str) -> tuple[Chip, int]:
    """Returns the chip and the number of chips of a topology such as 'v5p:4x4x4'.

    Raises:
      UserError: it is not written like one, or the chip is not known.
    """
    found = _NAME.fullmatch(name)
    if not found:
        raise UserError(
            f"topology '{name}' must be a chip and a shape, such as v5p:4x4x4 or v5e:4x4"
        )
    generation, shape = found.groups()
    if generation not in CHIPS:
        raise UserError(
            f"topology '{name}': chip '{generation}' is not one of {', '.join(CHIPS)}"
            f"{nearest(generation, CHIPS)}"
        )
    chip, sides = CHIPS[generation], [int(side) for side in shape.split("x")]
    if len(sides) != chip.rank:
        example = "x".join(["4"] * chip.rank)
        raise UserError(
            f"topology '{name}' has {len(sides)} sides, a slice of {generation} has {chip.rank}, "
            f"such as {generation}:{example}"
        )
    return chip, math.prod(sides)


def compiler_is_installed() -> bool:
    """Whether `named_slice` can work here."""
    return importlib.util.find_spec("libtpu") is not None


def named_slice(name: str) -> Slice:
    """Returns the slice of this name, from the compiler's own description of it.

    Raises:
      UserError: no such slice, or the TPU compiler is not installed.
    """
    chip, _ = parse_topology(name)
    for variable, value in _OFFLINE.items():
        os.environ.setdefault(variable, value)
    try:
        devices = topologies.get_topology_desc(name, "tpu").devices
    except (RuntimeError, ValueError, jax.errors.JaxRuntimeError) as error:
        reason = " ".join(str(error).split())
        if "not installed" in reason:
            raise UserError(
                "the TPU compiler is not installed: pip install 'spo-jax[plan]' (libtpu, in the "
                f"version that this JAX asks for, 213 MB); it said: {reason[:200]}"
            ) from error
        raise UserError(f"topology '{name}' is not a slice that exists: {reason[:200]}") from error
    return Slice(name, chip, tuple(devices))
