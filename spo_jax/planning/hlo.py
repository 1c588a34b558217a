"""Reads the text of a compiled XLA program: computations, instructions, shapes.

Only what plans count is understood; the rest is kept as text. The grammar is that of
`jax.stages.Compiled.as_text()` on CPU and TPU (XLA's `HloInstruction::Print`).
"""

import dataclasses
import math
import re

_DTYPE_BITS = {
    "pred": 8,
    "token": 0,
    "opaque": 0,
    "bf16": 16,
    "c64": 64,
    "c128": 128,
}
_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,<=]*)\](\{[^}]*\})?")
_OPERAND = re.compile(r"%([\w.\-]+)")
_HEADER = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"\s+(ROOT )?%?([\w.\-]+) = ")


@dataclasses.dataclass(frozen=True)
class Array:
    """One array shape; `in_hbm` is False where the compiler put it into another memory."""

    dtype: str
    dims: tuple[int, ...]
    in_hbm: bool = True

    @property
    def num_bytes(self) -> int:
        return math.prod(self.dims) * _bits(self.dtype) // 8


@dataclasses.dataclass(frozen=True, eq=False)
class Instruction:
    """One line: `name = shapes opcode(operands), attributes`. `literal` is of a constant."""

    name: str
    opcode: str
    shapes: tuple[Array, ...]
    operands: tuple[str, ...]
    attributes: str
    literal: str = ""

    @property
    def num_bytes(self) -> int:
        return sum(shape.num_bytes for shape in self.shapes)

    def called(self, key: str) -> str | None:
        """The computation named by an attribute such as `body=`."""
        found = re.search(rf"\b{key}=%?([\w.\-]+)", self.attributes)
        return found.group(1) if found else None

    def dims(self, key: str) -> tuple[int, ...]:
        """The integers of an attribute such as `lhs_contracting_dims={1}`."""
        found = re.search(rf"\b{key}=\{{([\d,]*)\}}", self.attributes)
        return tuple(map(int, found.group(1).split(","))) if found and found.group(1) else ()


@dataclasses.dataclass(eq=False)
class Computation:
    """Instructions by name, in order. `root` is the name of the one whose value is returned."""

    name: str
    instructions: dict[str, Instruction] = dataclasses.field(default_factory=dict)
    root: str = ""

    @property
    def result(self) -> Instruction:
        return self.instructions[self.root]

    def parameters(self) -> dict[int, Instruction]:
        """The parameters by number."""
        return {
            int(each.literal): each
            for each in self.instructions.values()
            if each.opcode == "parameter"
        }


@dataclasses.dataclass(eq=False)
class Module:
    """All computations; `entry` is the name of the one that is run."""

    computations: dict[str, Computation]
    entry: str


def parse_hlo(text: str) -> Module:
    """Parses a module.

    Raises:
      ValueError: the text has no entry computation.
    """
    computations: dict[str, Computation] = {}
    entry, current = "", None
    for line in text.splitlines():
        if not line.startswith(" "):
            header = _HEADER.match(line)
            if header:
                current = Computation(header.group(2))
                computations[current.name] = current
                entry = current.name if header.group(1) else entry
            continue
        instruction = _INSTRUCTION.match(line)
        if instruction is None or current is None:
            continue
        parsed = _instruction(instruction.group(2), line[instruction.end() :])
        current.instructions[parsed.name] = parsed
        if instruction.group(1) or not current.root:
            current.root = parsed.name
    if not entry:
        raise ValueError("no ENTRY computation in the HLO text")
    return Module(computations, entry)


def _instruction(name: str, rest: str) -> Instruction:
    end = _closing(rest, 0) if rest.startswith("(") else rest.index(" ")
    shapes, rest = rest[:end], rest[end:].lstrip()
    opening = rest.index("(")
    end = _closing(rest, opening)
    inside = rest[opening + 1 : end - 1]
    opcode = rest[:opening]
    keeps_text = opcode in ("constant", "parameter")
    return Instruction(
        name=name,
        opcode=opcode,
        shapes=_arrays(shapes),
        operands=() if keeps_text else tuple(_OPERAND.findall(inside)),
        attributes=rest[end:],
        literal=inside if keeps_text else "",
    )


def _closing(text: str, start: int) -> int:
    """The position after the parenthesis that closes the one at `start`."""
    depth = 0
    for found in re.compile(r"[()]").finditer(text, start):
        depth += 1 if found.group() == "(" else -1
        if depth == 0:
            return found.end()
    return len(text)


def _arrays(text: str) -> tuple[Array, ...]:
    found = (match.groups() for match in _ARRAY.finditer(text))
    return tuple(
        Array(
            dtype,
            tuple(int(dim.lstrip("<=")) for dim in dims.split(",") if dim),
            # S(n) names a memory space: 0, HBM, is never printed.
            in_hbm=not re.search(r"S\([1-9]\)", layout or ""),
        )
        for dtype, dims, layout in found
    )


def _bits(dtype: str) -> int:
    if dtype in _DTYPE_BITS:
        return _DTYPE_BITS[dtype]
    digits = re.match(r"[a-z]+(\d+)", dtype)
    return int(digits.group(1)) if digits else 0
