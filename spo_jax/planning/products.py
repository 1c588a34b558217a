"""Operations of matrix products: dots, convolutions as XLA has them on TPUs, splash attention."""

import math
import re
from collections.abc import Mapping

import numpy as np

from spo_jax.planning.hlo import Computation, Instruction


def dot_flops(where: Computation, it: Instruction) -> float:
    lhs = where.instructions[it.operands[0]].shapes[0]
    contracted = [lhs.dims[axis] for axis in it.dims("lhs_contracting_dims")]
    return 2.0 * math.prod(it.shapes[0].dims) * math.prod(contracted)


def convolution_flops(where: Computation, it: Instruction) -> float:
    """As XLA's `HloCostAnalysis::HandleConvolution`: only taps that meet an input count."""
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", it.attributes)
    assert labels is not None
    lhs, kernel, out = (
        dict(zip(names, shape.dims, strict=True))
        for names, shape in zip(
            labels.groups(),
            (*(where.instructions[name].shapes[0] for name in it.operands[:2]), it.shapes[0]),
            strict=True,
        )
    )
    spatial = sorted(name for name in lhs if name.isdigit())
    window = _window(it.attributes, len(spatial))
    taps = 1.0
    for axis, settings in zip(spatial, window, strict=True):
        taps *= _valid_taps(lhs[axis], kernel[axis], out[axis], settings)
    groups = re.search(r"batch_group_count=(\d+)", it.attributes)
    batch = lhs["b"] / (int(groups.group(1)) if groups else 1)
    return 2.0 * batch * kernel["i"] * kernel["o"] * taps


# Matrix products of a block of queries and keys: q k and p v; with q k again, the gradients of p,
# of v and k, of q.
_SPLASH_PRODUCTS = {"fwd": 2, "dkv": 4, "dq": 3}


def splash_flops(where: Computation, it: Instruction) -> float | None:
    """Of a call of JAX's splash attention, had it to visit all blocks; None for other kernels."""
    found = re.match(r"splash_mha_(fwd|dkv|dq)_", it.name)
    if not found:
        return None
    shapes = (where.instructions[name].shapes[0] for name in it.operands)
    # [heads, tokens, head_dim]; before them stand integers that say which blocks to visit.
    queries, keys = [x.dims for x in shapes if len(x.dims) == 3 and x.dtype != "s32"][:2]
    return 2.0 * _SPLASH_PRODUCTS[found.group(1)] * math.prod(queries) * keys[1]


def _window(attributes: str, rank: int) -> list[dict[str, int]]:
    """Stride, low padding and dilations of every spatial dimension."""
    found = re.search(r"window=\{([^}]*)\}", attributes)
    fields = dict(part.split("=") for part in found.group(1).split()) if found else {}

    def values(name: str, default: int) -> list[int]:
        given = fields.get(name)
        return [int(x.split("_")[0]) for x in given.split("x")] if given else [default] * rank

    names = (("stride", 1), ("pad", 0), ("lhs_dilate", 1), ("rhs_dilate", 1))
    columns = {name: values(name, default) for name, default in names}
    return [{name: column[i] for name, column in columns.items()} for i in range(rank)]


def _valid_taps(size: int, kernel: int, out: int, window: Mapping[str, int]) -> float:
    places = np.arange(out, dtype=np.int64) * window["stride"] - window["pad"]
    total = 0
    for tap in range(kernel):
        dilated = places + tap * window["rhs_dilate"]
        at, rest = np.divmod(dilated, window["lhs_dilate"])
        total += int(((rest == 0) & (at >= 0) & (at < size)).sum())
    return float(total)
