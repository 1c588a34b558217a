"""Counts what a compiled program does on one chip: matrix products, memory traffic, collectives.

XLA's own `cost_analysis()` counts the body of a loop once; here it counts as often as the loop
runs. Loops whose number of trips depends on data count `dynamic_trips` times.
"""

import dataclasses
import re
from collections.abc import Mapping

from spo_jax.planning.collectives import (
    Traffic,
    collective_kind,
    collective_traffic,
    continuations,
)
from spo_jax.planning.hlo import Computation, Instruction, Module, parse_hlo
from spo_jax.planning.loops import counted_trips
from spo_jax.planning.memory_traffic import fusion_bytes, instruction_bytes
from spo_jax.planning.products import convolution_flops, dot_flops, splash_flops


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
        self._continuations = continuations(module)
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
        if it in self._continuations:
            return Costs()
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
        own = Costs(hbm_bytes=instruction_bytes(where, it))
        kind = collective_kind(it)
        if kind is not None:
            traffic = collective_traffic(where, it, self._num_devices)
            return own + Costs(collectives={kind: traffic})
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
        moved = fusion_bytes(where, it, self._module.computations[name], self._continuations)
        return Costs(inside.flops, moved, collectives, inside.kernels)

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
