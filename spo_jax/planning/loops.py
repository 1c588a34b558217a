"""How often a loop of a compiled program runs, where its condition and its counter say so."""

import re

from spo_jax.planning.hlo import Computation, Instruction, Module


def counted_trips(module: Module, where: Computation, it: Instruction) -> int | None:
    """Trips of `for i in range(first, last, step)`; None where the loop is none such."""
    condition = module.computations[it.called("condition") or ""]
    body = module.computations[it.called("body") or ""]
    compare = condition.result
    if compare.opcode != "compare" or "direction=LT" not in compare.attributes:
        return None
    counter, last = condition.instructions[compare.operands[0]], compare.operands[1]
    if counter.opcode != "get-tuple-element":
        return None
    index = _tuple_index(counter)
    start = _operand(where, where.instructions[it.operands[0]], index)
    step = _step(body, index)
    values = (_constant(where, start), _constant(condition, last), step)
    if values[1] is None or not values[2]:
        return None
    return max(0, -(-(values[1] - (values[0] or 0)) // values[2]))


def _step(body: Computation, index: int) -> int | None:
    """What a trip adds to element `index` of the carry."""
    new = body.instructions.get(_operand(body, body.result, index) or "")
    while new is not None and new.opcode in ("copy", "bitcast"):
        new = body.instructions[new.operands[0]]
    if new is None or new.opcode != "add":
        return None
    constants = [value for name in new.operands if (value := _constant(body, name)) is not None]
    return constants[0] if len(constants) == 1 else None


def _operand(where: Computation, it: Instruction, index: int) -> str | None:
    """The name behind element `index` of a tuple, where it is made in sight."""
    return it.operands[index] if it.opcode == "tuple" else None


def _constant(where: Computation, name: str | None) -> int | None:
    it = where.instructions.get(name or "")
    while it is not None and it.opcode in ("copy", "bitcast", "convert"):
        it = where.instructions.get(it.operands[0])
    if it is None or it.opcode != "constant" or not re.fullmatch(r"-?\d+", it.literal):
        return None
    return int(it.literal)


def _tuple_index(it: Instruction) -> int:
    found = re.search(r"index=(\d+)", it.attributes)
    assert found is not None
    return int(found.group(1))
