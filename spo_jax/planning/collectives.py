"""What the collectives of a compiled program move, per chip."""

import dataclasses
import math
import re

from spo_jax.planning.hlo import Computation, Instruction, Module

COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
    "ragged-all-to-all",
)
_CHANNEL = re.compile(r"channel_id=(\d+)")
_START = 'custom_call_target="AsyncCollectiveStart"'


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Bytes of the collectives of one kind, per chip.

    Attributes:
      payload_bytes: of the whole array that is gathered, reduced, scattered or passed on.
      wire_bytes: what a chip sends when the collective is done in rings: (n - 1) / n of the payload
        among n chips, twice that for an all-reduce.
      count: how often one runs.
    """

    payload_bytes: float = 0.0
    wire_bytes: float = 0.0
    count: float = 0.0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            self.payload_bytes + other.payload_bytes,
            self.wire_bytes + other.wire_bytes,
            self.count + other.count,
        )

    def times(self, factor: float) -> "Traffic":
        return Traffic(self.payload_bytes * factor, self.wire_bytes * factor, self.count * factor)


def collective_kind(it: Instruction) -> str | None:
    """Of `COLLECTIVES`; None for any other instruction."""
    kind = it.opcode.removesuffix("-start")
    return kind if kind in COLLECTIVES else None


def collective_traffic(where: Computation, it: Instruction, num_devices: int) -> Traffic:
    """Of one collective among all devices, or among the groups that it names."""
    kind = collective_kind(it)
    operands = sum(where.instructions[name].num_bytes for name in it.operands)
    size = _group_size(it.attributes) or num_devices
    payload = float(operands * size if kind == "all-gather" else operands)
    share = (size - 1) / size
    if kind in ("collective-permute", "collective-broadcast"):
        share = 1.0
    return Traffic(payload, payload * share * (2 if kind == "all-reduce" else 1), 1.0)


def continuations(module: Module) -> set[Instruction]:
    """Instructions that go on with a collective that was started elsewhere.

    XLA on TPU lets a collective go on inside fusions that compute something else ('async collective
    fusion'), and writes the collective again in each of them, under one channel: in the fusion
    that starts it, in all those it goes on in (in a loop, at every trip), and where it ends.
    """
    started: set[str] = set()
    channels: dict[Instruction, str] = {}
    for computation in module.computations.values():
        starting = {
            operand
            for it in computation.instructions.values()
            if _START in it.attributes
            for operand in it.operands
        }
        for it in computation.instructions.values():
            channel = _CHANNEL.search(it.attributes) if collective_kind(it) else None
            if channel is None:
                continue
            if it.name in starting:
                started.add(channel.group(1))
            else:
                channels[it] = channel.group(1)
    return {it for it, channel in channels.items() if channel in started}


def _group_size(attributes: str) -> int | None:
    """Chips that take part in one collective; None where all do."""
    mesh = re.search(
        r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\(\S*\))?\s*\{([^}]*)\}", attributes
    )
    if mesh:
        sizes = dict(re.findall(r"'([\w.]+)'=(\d+)", mesh.group(1)))
        axes = re.findall(r"'([\w.]+)'(?::\(\d+\)(\d+))?", mesh.group(2))
        return math.prod(int(part or sizes[axis]) for axis, part in axes)
    iota = re.search(r"replica_groups=\[(\d+),(\d+)\]<=", attributes)
    if iota:
        return int(iota.group(2))
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", attributes)
    return len(listed.group(1).split(",")) if listed else None
