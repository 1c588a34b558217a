"""What the compiled update sends between devices, against what each axis must cost by theory.

d, f, s, t are the sizes of 'data', 'fsdp', 'sequence', 'tensor'. On CPU a reduce-scatter appears as
an all-reduce.
"""

import collections
import itertools
import json
import math
import os
import re
import runpy
import subprocess
import sys
import types
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "compiled_meshes.py"
program = types.SimpleNamespace(**runpy.run_path(str(SCRIPT)))
QUICK = (1, 2, 2, 2)  # (data, fsdp, sequence, tensor)
ALL = [s for s in itertools.product((1, 2, 4, 8), repeat=4) if math.prod(s) == 8]

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_COLLECTIVE = re.compile(
    r" = (\(?[^=]*?) (all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)"
    r"(?:-start)?\("
)
_SHAPE = re.compile(r"(\w+)\[([\d,]*)\]")
_NAME = re.compile(r'op_name="([^"]*)"')

Collective = collections.namedtuple("Collective", "computation kind shape name")


def collectives_of(text):
    """Every array that a collective gives a device: one entry each, joined or not."""
    computation, found = "", []
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            computation = header.group(1)
        if collective := _COLLECTIVE.search(line):
            name = _NAME.search(line)
            for dtype, sizes in _SHAPE.findall(collective.group(1)):
                shape = tuple(int(size) for size in sizes.split(",") if size)
                if dtype.startswith("f"):  # ids and masks are small
                    found.append(
                        Collective(
                            computation, collective.group(2), shape, name.group(1) if name else ""
                        )
                    )
    return found


def compiled(shapes):
    """HLO by mesh shape, and what the partitioner said on standard error."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "0"}
    arguments = [",".join(map(str, shape)) for shape in shapes]
    command = [sys.executable, str(SCRIPT), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {tuple(shape): text for shape, text in lines}, done.stderr


def theory(d, f, s, t):
    """Floats that one layer's forward pass gives a device, by kind of collective."""
    p = program
    kv_heads = p.KV_HEADS // t if p.KV_HEADS % t == 0 else p.KV_HEADS
    kernels = (2 * p.EMBED * p.HEADS // t + 2 * p.EMBED * kv_heads) * p.HEAD_DIM
    kernels += 3 * p.EMBED * p.MLP // t
    rows = p.ROWS // (d * f)
    costs = collections.Counter()
    if f * s > 1:
        costs["all-gather"] += kernels
    if s > 1:  # keys and values of whole rows
        costs["all-gather"] += 2 * rows * p.LENGTH * kv_heads * p.HEAD_DIM
    if t > 1:  # after attention and after the MLP
        costs["all-reduce"] += 2 * rows * p.LENGTH // s * p.EMBED
    return costs


def check_layers(collectives, shape):
    """Forward: exactly theory. Backward: at most what two more passes and the gradients take."""
    d, f, s, t = shape
    backward = {c.computation for c in collectives if "transpose(jvp(Transformer))/while" in c.name}
    forward = {c.computation for c in collectives if "jvp(Transformer)/while" in c.name} - backward
    made = collections.Counter()
    for c in collectives:
        if c.computation in forward:
            made[c.kind] += math.prod(c.shape)
    expected = theory(d, f, s, t)
    if program.KV_HEADS % t == 0:
        assert made == expected
    else:  # each device takes the keys of its queries, so queries are gathered too
        assert made["all-reduce"] == expected["all-reduce"]
    gathered = sum(
        math.prod(c.shape)
        for c in collectives
        if c.computation in backward and c.kind == "all-gather"
    )
    if program.KV_HEADS % t == 0:
        assert gathered <= 2 * expected["all-gather"]


def check_nothing_is_replicated(collectives, shape):
    """No stack of layers, no output matrix, no rows of other devices as a whole."""
    d, f, s, t = shape
    p = program
    rows = p.ROWS // (d * f)
    # Of the output matrix a device sees a block at a time; the rest are gradients on their way.
    tokens = p.ROWS * min(p.COMPLETIONS * p.TOKENS, p.LENGTH + p.COMPLETIONS) // (d * f * s)
    block = p.VOCAB // t // (tokens // p.CHUNK_TOKENS)
    for c in (c for c in collectives if c.kind == "all-gather"):
        undivided_kv = p.KV_HEADS % t and c.shape[:1] == (p.NUM_LAYERS,) and p.KV_HEADS in c.shape
        assert c.shape[:1] != (p.NUM_LAYERS,) or undivided_kv, c
        assert p.ROWS not in c.shape or d * f == 1 or c.shape[0] != p.ROWS, c
        if "logits" in c.name or "jvp()/while" in c.name:
            assert math.prod(c.shape) <= block * p.EMBED, c
        if p.LENGTH in c.shape and p.EMBED in c.shape:  # whole rows, once, to pick scored positions
            assert s > 1 and c.shape == (rows, p.LENGTH, p.EMBED), c
            assert "while" not in c.name, c
    # The embedding's columns are traded for rows: the table itself is not gathered over 'fsdp'.
    tables = [c for c in collectives if c.kind == "all-gather" and p.VOCAB // t == c.shape[0]]
    assert all(s > 1 and c.shape == (p.VOCAB // t, p.EMBED // f) for c in tables), tables


def check(shapes):
    texts, said = compiled(shapes)
    assert "Involuntary full rematerialization" not in said
    for shape in shapes:
        collectives = collectives_of(texts[shape])
        assert collectives
        check_layers(collectives, shape)
        check_nothing_is_replicated(collectives, shape)


def test_collectives_are_those_of_theory():
    check([QUICK])


@pytest.mark.slow
def test_collectives_are_those_of_theory_on_every_mesh_of_eight_devices():
    check([shape for shape in ALL if shape != QUICK])


def test_a_broken_rule_is_seen():
    """The checks themselves: what a full rematerialization and a gathered stack look like."""
    rows = Collective("body", "all-gather", (program.ROWS, program.LENGTH, program.EMBED), "while")
    stack = Collective("entry", "all-gather", (program.NUM_LAYERS, program.EMBED, program.MLP), "")
    head = Collective("body", "all-gather", (1, program.VOCAB, program.EMBED), "jvp()/while/body")
    for bad in (rows, stack, head):
        with pytest.raises(AssertionError):
            check_nothing_is_replicated([bad], (1, 8, 1, 1))
