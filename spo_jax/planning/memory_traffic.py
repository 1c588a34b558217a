"""Bytes that the instructions of a compiled program read from and write to a chip's HBM."""

import re
from collections.abc import Mapping, Set

from spo_jax.planning.hlo import Computation, Instruction

# No traffic of their own: names for what is there, or regions that are counted inside.
_FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional"),
    *("call", "after-all", "partition-id", "replica-id", "opt-barrier", "add-dependency"),
}
_RENAMES = ("bitcast", "reshape", "copy")
_SLICES = ("dynamic-slice", "slice", "gather")
# What writes a part of an array, in place where the array is at hand.
_IN_PLACE = ("dynamic-update-slice", "scatter")
_END = 'custom_call_target="AsyncCollectiveDone"'


def instruction_bytes(where: Computation, it: Instruction) -> float:
    """Of anything but a fusion."""
    if it.opcode in _FREE or it.opcode.endswith("-done"):
        return 0.0
    if it.opcode in _SLICES:
        return 2.0 * it.num_bytes
    if it.opcode in _IN_PLACE:
        return 2.0 * _part_bytes(it, where)
    if it.opcode.removesuffix("-start") in _SLICES:  # operands, the slice, a context
        part = it.shapes[len(it.operands)]
        return float(part.num_bytes * (_in_hbm(where, it.operands[0]) + part.in_hbm))
    read = sum(where.instructions[name].num_bytes for name in it.operands if _in_hbm(where, name))
    shapes = it.shapes[: len(it.shapes) // 2] if it.opcode.endswith("-start") else it.shapes
    return float(read + sum(s.num_bytes for s in shapes if s.in_hbm))


def fusion_bytes(
    where: Computation, it: Instruction, fused: Computation, continuations: Set[Instruction]
) -> float:
    """Of an array that a fusion only slices, the slices; of one that stays in place, nothing.

    Args:
      where, it: the fusion.
      fused: what it calls.
      continuations: of the program: collectives that were counted where they start.
    """
    return _read_bytes(where, it, fused, continuations) + _result_bytes(it, fused, continuations)


def _read_bytes(
    where: Computation, it: Instruction, fused: Computation, continuations: Set[Instruction]
) -> float:
    users: dict[str, list[Instruction]] = {}
    for each in fused.instructions.values():
        if not (each in continuations or _END in each.attributes):
            for operand in each.operands:
                users.setdefault(operand, []).append(each)
    aliased, total = _aliased_results(it), 0.0
    copied = {root for number, root in enumerate(_roots(fused)) if number not in aliased}
    for number, parameter in fused.parameters().items():
        if number >= len(it.operands) or not _in_hbm(where, it.operands[number]):
            continue
        reads = _through_renames(parameter, users)
        if parameter in copied:
            total += parameter.num_bytes
        elif all(each.opcode in _SLICES for each in reads):
            total += sum(each.num_bytes for each in reads)
        elif not _is_updated_in_place(parameter, reads, fused):
            total += parameter.num_bytes
    return total


def _result_bytes(it: Instruction, fused: Computation, continuations: Set[Instruction]) -> float:
    roots = _roots(fused)
    aliased, total = _aliased_results(it), 0.0
    if len(roots) != len(it.shapes):  # one call with several results, such as a collective's start
        results = enumerate(it.shapes)
        return float(sum(s.num_bytes for i, s in results if s.in_hbm and i not in aliased))
    for number, (root, shape) in enumerate(zip(roots, it.shapes, strict=True)):
        stays = root.opcode == "parameter" or root in continuations or _END in root.attributes
        if shape.in_hbm and not (stays and number in aliased):
            total += _written_bytes(root, fused)
    return total


def _roots(fused: Computation) -> list[Instruction]:
    """What computes each result of a fusion."""
    if fused.result.opcode == "tuple":
        return [fused.instructions[name] for name in fused.result.operands]
    return [fused.result]


def _aliased_results(it: Instruction) -> set[int]:
    """Results of a fusion that are one of its operands, perhaps written in place."""
    listed = re.search(r"output_to_operand_aliasing=\{(.*?\))\}", it.attributes)
    if not listed:
        return set()
    return {int(number or 0) for number in re.findall(r"\{(\d*)\}: \(", listed.group(1))}


def _in_hbm(where: Computation, name: str) -> bool:
    it = where.instructions[name]
    return it.opcode != "constant" and all(shape.in_hbm for shape in it.shapes)


def _through_renames(it: Instruction, users: Mapping[str, list[Instruction]]) -> list[Instruction]:
    """The instructions that read an array; results of the fusion do not."""
    found = []
    for user in users.get(it.name, ()):
        if user.opcode in _RENAMES:
            found += _through_renames(user, users) or [user]
        elif user.opcode != "tuple":
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
    while it.opcode in _RENAMES and it.operands:
        it = fused.instructions[it.operands[0]]
    return it.name


def _written_bytes(root: Instruction, fused: Computation) -> float:
    while root.opcode in _RENAMES and root.operands:
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
