"""Counts what a compiled program does on one chip: matrix products, memory traffic, collectives.

XLA's own `cost_analysis()` counts the body of a loop once; here it counts as often as the loop
runs. Loops whose number of trips depends on data count `dynamic_trips` times.
"""

import dataclasses
import math
import re
from collections.abc import Mapping

from spo_jax.planning.hlo import Computation, Instruction, Module, parse_hlo
from spo_jax.planning.loops import counted_trips
from spo_jax.planning.products import convolution_flops, dot_flops, splash_flops

COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
    "ragged-all-to-all",
)
# No traffic of their own: names for what is there, or regions that are counted inside.
_FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional"),
    *("call", "after-all", "partition-id", "replica-id", "opt-barrier", "add-dependency"),
}


# What writes a part of an array, in place where the array is at hand.
_IN_PLACE = ("dynamic-update-slice", "scatter")


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


@dataclasses.dataclass(frozen=True)
class Costs:
    """Of one run of a program on one chip.

    Attributes:
      flops: of matrix products, those of splash attention and of kernels that declare theirs
        included.
      hbm_bytes: read and written by instructions that are not fused away.
      collectives: by kind.
      kernels: calls of Pallas kernels, by name.
    """

    flops: float = 0.0
    hbm_bytes: float = 0.0
    collectives: Mapping[str, Traffic] = dataclasses.field(default_factory=dict)
    kernels: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __add__(self, other: "Costs") -> "Costs":
        kinds = {*self.collectives, *other.collectives}
        names = {*self.kernels, *other.kernels}
        nothing = Traffic()
        return Costs(
            self.flops + other.flops,
            self.hbm_bytes + other.hbm_bytes,
            {
                kind: self.collectives.get(kind, nothing) + other.collectives.get(kind, nothing)
                for kind in kinds
            },
            {name: self.kernels.get(name, 0) + other.kernels.get(name, 0) for name in names},
        )

    def times(self, factor: float) -> "Costs":
        return Costs(
            self.flops * factor,
            self.hbm_bytes * factor,
            {kind: traffic.times(factor) for kind, traffic in self.collectives.items()},
            {name: count * factor for name, count in self.kernels.items()},
        )

    @property
    def payload_bytes(self) -> float:
        return sum(traffic.payload_bytes for traffic in self.collectives.values())

    @property
    def wire_bytes(self) -> float:
        return sum(traffic.wire_bytes for traffic in self.collectives.values())


def program_costs(
    hlo_text: str, *, num_devices: int, dynamic_trips: int = 1, splash_share: float = 1.0
) -> Costs:
    """Returns the costs of a compiled program.

    Args:
      hlo_text: `compiled.as_text()`: the program of one device.
      num_devices: that it was partitioned over.
      dynamic_trips: of loops that end when data says so.
      splash_share: of the blocks of queries and keys, those that a call of splash attention visits
        (which it decides at run time).
    """
    return _Counter(parse_hlo(hlo_text), num_devices, dynamic_trips, splash_share).entry()


class _Counter:
    def __init__(self, module: Module, num_devices: int, dynamic_trips: int, splash_share: float):
        self._module = module
        self._num_devices = num_devices
        self._dynamic_trips = dynamic_trips
        self._splash_share = splash_share
        self._known: dict[str, Costs] = {}

    def entry(self) -> Costs:
        return self.of(self._module.entry)

    def of(self, name: str) -> Costs:
        """Costs of one run of a computation."""
        if name not in self._known:
            total = Costs()
            computation = self._module.computations[name]
            for instruction in computation.instructions.values():
                total += self._instruction(computation, instruction)
            self._known[name] = total
        return self._known[name]

    def _instruction(self, where: Computation, it: Instruction) -> Costs:
        kind = it.opcode.removesuffix("-start")
        if kind in COLLECTIVES:
            return self._collective(where, it, kind) + self._traffic(where, it)
        if it.opcode == "while":
            body, condition = it.called("body"), it.called("condition")
            assert body is not None and condition is not None
            return (self.of(body) + self.of(condition)).times(self._trips(where, it))
        if it.opcode == "conditional":
            return max((self.of(name) for name in _branches(it)), key=lambda costs: costs.flops)
        if it.opcode in ("call", "async-start"):
            called = it.called("to_apply") or it.called("calls")
            return self.of(called) if called else Costs()
        if it.opcode == "fusion":
            return self._fusion(where, it)
        own = self._traffic(where, it)
        if it.opcode == "dot":
            return own + Costs(flops=dot_flops(where, it))
        if it.opcode == "convolution":
            return own + Costs(flops=convolution_flops(where, it))
        if it.opcode == "custom-call":
            return own + self._kernel(where, it)
        return own

    def _fusion(self, where: Computation, it: Instruction) -> Costs:
        name = it.called("calls")
        assert name is not None
        inside = self.of(name)
        collectives = inside.collectives
        if "all-reduce-scatter" in name and "all-reduce" in collectives:
            # XLA on TPU reduces and scatters at once, whatever the fused instructions are.
            reduced = collectives["all-reduce"]
            scattered = Traffic(reduced.payload_bytes, reduced.wire_bytes / 2, reduced.count)
            collectives = {"reduce-scatter": scattered}
        traffic = self._fusion_bytes(where, it, self._module.computations[name])
        return Costs(inside.flops, traffic, collectives, inside.kernels)

    def _fusion_bytes(self, where: Computation, it: Instruction, fused: Computation) -> float:
        """What a fusion reads and writes: of an array that it only slices, the slices."""
        users: dict[str, list[Instruction]] = {}
        for each in fused.instructions.values():
            for operand in each.operands:
                users.setdefault(operand, []).append(each)
        total = 0.0
        for number, parameter in fused.parameters().items():
            if number >= len(it.operands) or not _in_hbm(where, it.operands[number]):
                continue
            reads = _through_bitcasts(parameter, users)
            if reads and all(each.opcode in ("dynamic-slice", "slice", "gather") for each in reads):
                total += sum(each.num_bytes for each in reads)
            elif not _is_updated_in_place(parameter, reads, fused):
                total += parameter.num_bytes
        roots = [fused.result]
        if fused.result.opcode == "tuple":
            roots = [fused.instructions[name] for name in fused.result.operands]
        for root, shape in zip(roots, it.shapes, strict=False):
            if shape.in_hbm:
                total += _written_bytes(root, fused)
        return total

    def _traffic(self, where: Computation, it: Instruction) -> Costs:
        if it.opcode in _FREE or it.opcode.endswith("-done"):
            return Costs()
        if it.opcode in ("dynamic-slice", "slice", "gather"):
            return Costs(hbm_bytes=2.0 * it.num_bytes)
        if it.opcode in _IN_PLACE:
            return Costs(hbm_bytes=2.0 * _part_bytes(it, where))
        read = sum(
            where.instructions[name].num_bytes for name in it.operands if _in_hbm(where, name)
        )
        shapes = it.shapes[: len(it.shapes) // 2] if it.opcode.endswith("-start") else it.shapes
        return Costs(hbm_bytes=float(read + sum(s.num_bytes for s in shapes if s.in_hbm)))

    def _collective(self, where: Computation, it: Instruction, kind: str) -> Costs:
        operands = sum(where.instructions[name].num_bytes for name in it.operands)
        size = _group_size(it.attributes) or self._num_devices
        payload = float(operands * size if kind == "all-gather" else operands)
        share = (size - 1) / size
        if kind in ("collective-permute", "collective-broadcast"):
            share = 1.0
        wire = payload * share * (2 if kind == "all-reduce" else 1)
        return Costs(collectives={kind: Traffic(payload, wire, 1.0)})

    def _kernel(self, where: Computation, it: Instruction) -> Costs:
        """A Pallas kernel, with the FLOPs it declares (`cost_estimate`); splash declares none."""
        if 'custom_call_target="tpu_custom_call"' not in it.attributes:
            return Costs()
        name = re.search(r'op_name="([^"]*)"', it.attributes)
        label = (name.group(1) if name else it.name).rsplit("/", 1)[-1]
        flops = splash_flops(where, it)
        if flops is not None:
            return Costs(flops=flops * self._splash_share, kernels={label: 1.0})
        declared = re.search(r'"flops":\s*"?(\d+)', it.attributes)
        return Costs(flops=float(declared.group(1)) if declared else 0.0, kernels={label: 1.0})

    def _trips(self, where: Computation, it: Instruction) -> int:
        known = re.search(r'known_trip_count"?:\s*\{"?n"?:\s*"?(\d+)', it.attributes)
        if known:
            return int(known.group(1))
        trips = counted_trips(self._module, where, it)
        return self._dynamic_trips if trips is None else trips


def _branches(it: Instruction) -> list[str]:
    listed = re.search(r"branch_computations=\{([^}]*)\}", it.attributes)
    if listed:
        return re.findall(r"%?([\w.\-]+)", listed.group(1))
    return [name for key in ("true_computation", "false_computation") if (name := it.called(key))]


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


def _in_hbm(where: Computation, name: str) -> bool:
    it = where.instructions[name]
    return it.opcode != "constant" and all(shape.in_hbm for shape in it.shapes)


def _through_bitcasts(it: Instruction, users: Mapping[str, list[Instruction]]) -> list[Instruction]:
    found = []
    for user in users.get(it.name, ()):
        if user.opcode in ("bitcast", "reshape", "copy"):
            found += _through_bitcasts(user, users)
        else:
            found.append(user)
    return found


def _is_updated_in_place(
    parameter: Instruction, reads: list[Instruction], fused: Computation
) -> bool:
    return bool(reads) and all(
        each.opcode in _IN_PLACE and _origin(fused, each.operands[0]) == parameter.name
        for each in reads
    )


def _origin(fused: Computation, name: str) -> str:
    it = fused.instructions[name]
    while it.opcode in ("bitcast", "reshape", "copy") and it.operands:
        it = fused.instructions[it.operands[0]]
    return it.name


def _written_bytes(root: Instruction, fused: Computation) -> float:
    while root.opcode in ("bitcast", "reshape", "copy") and root.operands:
        root = fused.instructions[root.operands[0]]
    if root.opcode in _IN_PLACE:
        origin = fused.instructions[_origin(fused, root.operands[0])]
        if origin.opcode == "parameter":
            return _part_bytes(root, fused)
    return float(root.num_bytes)


def _part_bytes(it: Instruction, where: Computation) -> float:
    """What is written by an instruction that writes a part of its first operand(s)."""
    if it.opcode == "dynamic-update-slice":
        return float(where.instructions[it.operands[1]].num_bytes)
    updates = it.operands[len(it.operands) // 2 + 1 :]  # n arrays, indices, n updates
    return float(sum(where.instructions[name].num_bytes for name in updates))
