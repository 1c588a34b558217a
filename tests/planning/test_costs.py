"""Counts of a compiled program: small texts, and a scanned model against its unrolled twin."""

# ruff: noqa: E501 (lines of HLO)

import jax
import jax.numpy as jnp
import pytest

from spo_jax.learning import AdamW, Learner, RowBucket
from spo_jax.models import Transformer
from spo_jax.models.testing import tiny_config
from spo_jax.objectives import PPO, SoftPolicyOptimization
from spo_jax.planning.costs import program_costs
from spo_jax.planning.hlo import Array, parse_hlo
from spo_jax.sharding import make_mesh

# A loop of 5 trips (1, 3, 5, 7, 9 of range(1, 11, 2)) in a loop of 3, as XLA prints it for TPUs.
NESTED = """\
HloModule jit_f, is_scheduled=true, entry_computation_layout={(f32[8,4]{1,0})->f32[8,4]{1,0}}

%inner_condition (p.1: (s32[], f32[8,4])) -> pred[] {
  %last.1 = s32[]{:T(128)} constant(11)
  %p.1 = (s32[]{:T(128)}, f32[8,4]{1,0:T(8,128)}) parameter(0)
  %i.1 = s32[]{:T(128)} get-tuple-element(%p.1), index=0
  ROOT %lt.1 = pred[]{:T(512)} compare(%i.1, %last.1), direction=LT
}

%add.1 (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%inner_body (p.2: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %p.2 = (s32[]{:T(128)}, f32[8,4]{1,0:T(8,128)}) parameter(0)
  %i.2 = s32[]{:T(128)} get-tuple-element(%p.2), index=0
  %x.2 = f32[8,4]{1,0:T(8,128)} get-tuple-element(%p.2), index=1
  %step.2 = s32[]{:T(128)} constant(2)
  %next.2 = s32[]{:T(128)} add(%i.2, %step.2)
  %dot.2 = f32[8,8]{1,0:T(8,128)} dot(%x.2, %x.2), lhs_contracting_dims={1}, rhs_contracting_dims={1}
  %sum.2 = f32[8,8]{1,0:T(8,128)} all-reduce(%dot.2), channel_id=1, replica_groups=mesh['axis_0'=16,'axis_1'=4] {'axis_0':(2)8}, use_global_device_ids=true, to_apply=%add.1
  %y.2 = f32[8,4]{1,0:T(8,128)} slice(%sum.2), slice={[0:8], [0:4]}
  ROOT %out.2 = (s32[]{:T(128)}, f32[8,4]{1,0:T(8,128)}) tuple(%next.2, /*index=1*/%y.2)
}

%outer_condition (p.3: (s32[], f32[8,4])) -> pred[] {
  %p.3 = (s32[], f32[8,4]{1,0}) parameter(0)
  ROOT %unknown = pred[] get-tuple-element(%p.3), index=0
}

%outer_body (p.4: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %p.4 = (s32[], f32[8,4]{1,0}) parameter(0)
  %i.4 = s32[] get-tuple-element(%p.4), index=0
  %x.4 = f32[8,4]{1,0} get-tuple-element(%p.4), index=1
  %first.4 = s32[] constant(1)
  %init.4 = (s32[], f32[8,4]{1,0}) tuple(%first.4, %x.4)
  %while.4 = (s32[], f32[8,4]{1,0}) while(%init.4), condition=%inner_condition, body=%inner_body
  %x.5 = f32[8,4]{1,0} get-tuple-element(%while.4), index=1
  ROOT %out.4 = (s32[], f32[8,4]{1,0}) tuple(%i.4, %x.5)
}

ENTRY %main (x.0: f32[8,4]) -> f32[8,4] {
  %x.0 = f32[8,4]{1,0} parameter(0)
  %zero = s32[] constant(0)
  %init = (s32[], f32[8,4]{1,0}) tuple(%zero, %x.0)
  %while = (s32[], f32[8,4]{1,0}) while(%init), condition=%outer_condition, body=%outer_body, OUTER
  ROOT %out = f32[8,4]{1,0} get-tuple-element(%while), index=1
}
"""


@pytest.mark.parametrize(
    ("outer", "dynamic_trips"),
    [('backend_config={"known_trip_count":{"n":"3"}}', 7), ("metadata={}", 3)],
    ids=["known", "dynamic"],
)
def test_nested_loops_multiply(outer, dynamic_trips):
    text = NESTED.replace("OUTER", outer)
    costs = program_costs(text, num_devices=64, dynamic_trips=dynamic_trips)
    runs, size = 3 * 5, 8 * 8 * 4
    assert costs.flops == runs * 2 * 8 * 8 * 4
    reduced = costs.collectives["all-reduce"]
    assert (reduced.count, reduced.payload_bytes) == (runs, runs * size)
    assert reduced.wire_bytes == pytest.approx(runs * size * 2 * 7 / 8)


def entry(*lines: str) -> str:
    body = "\n".join(f"  {line}" for line in lines)
    return f"HloModule m\n\nENTRY %main (p: bf16[16,128]) -> bf16[16,128] {{\n{body}\n}}\n"


@pytest.mark.parametrize(
    ("line", "kind", "payload", "wire"),
    [
        (
            "%g = bf16[64,128]{1,0} all-gather(%p), channel_id=1, replica_groups=[16,4]<=[64], "
            "dimensions={0}",
            "all-gather",
            16384,
            12288,
        ),
        (
            "%g = (bf16[16,128]{1,0}, bf16[64,128]{1,0}) all-gather-start(%p), "
            "replica_groups={{0,1,2,3},{4,5,6,7}}, dimensions={0}",
            "all-gather",
            16384,
            12288,
        ),
        (
            "%g = bf16[4,128]{1,0} reduce-scatter(%p), replica_groups={{0,1,2,3}}, dimensions={0}",
            "reduce-scatter",
            4096,
            3072,
        ),
        (
            "%g = (bf16[16,128]{1,0}, bf16[16,128]{1,0}, u32[], u32[]) "
            "collective-permute-start(%p), source_target_pairs={{0,1},{1,0}}",
            "collective-permute",
            4096,
            4096,
        ),
        ("%g = bf16[16,128]{1,0} all-to-all(%p), dimensions={0}", "all-to-all", 4096, 3584),
    ],
)
def test_collectives_by_kind(line, kind, payload, wire):
    done = "%d = bf16[16,128]{1,0} all-gather-done(%g)"
    text = entry("%p = bf16[16,128]{1,0} parameter(0)", line, f"ROOT {done}")
    costs = program_costs(text, num_devices=8)
    assert set(costs.collectives) == {kind}
    traffic = costs.collectives[kind]
    assert (traffic.payload_bytes, traffic.wire_bytes, traffic.count) == (payload, wire, 1)


def test_a_fused_reduce_scatter_is_no_all_reduce():
    fused = """\
HloModule m

%all-reduce-scatter.1 (q: bf16[16,128]) -> bf16[4,128] {
  %q = bf16[16,128]{1,0} parameter(0)
  %r = bf16[16,128]{1,0} all-reduce(%q), replica_groups={{0,1,2,3}}, to_apply=%add
  %zero = s32[] constant(0)
  ROOT %s = bf16[4,128]{1,0} dynamic-slice(%r, %zero, %zero), dynamic_slice_sizes={4,128}
}

ENTRY %main (p: bf16[16,128]) -> bf16[4,128] {
  %p = bf16[16,128]{1,0} parameter(0)
  ROOT %f = bf16[4,128]{1,0} fusion(%p), kind=kCustom, calls=%all-reduce-scatter.1
}
"""
    (pair,) = program_costs(fused, num_devices=4).collectives.items()
    assert pair[0] == "reduce-scatter"
    assert (pair[1].payload_bytes, pair[1].wire_bytes) == (4096, 3072)


# Started before a loop of 3 trips, goes on in a product at each, ended after it; as libtpu 0.0.42
# prints it for v5e. Gathered in HBM, from a shard in another memory.
SPREAD = """\
HloModule m

%start (s: bf16[16,128]) -> (bf16[16,128], bf16[64,128], u32[]) {
  %s = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  %g.1 = bf16[64,128]{1,0:T(8,128)(2,1)} all-gather(%s), channel_id=7, replica_groups=[4,4]<=[16], dimensions={0}, use_global_device_ids=true, frontend_attributes={chain_id="2"}
  ROOT %call.1 = (bf16[16,128]{1,0:T(8,128)(2,1)S(1)}, bf16[64,128]{1,0:T(8,128)(2,1)}, u32[]{:S(2)}) custom-call(%g.1), custom_call_target="AsyncCollectiveStart"
}

%async_collective_fusion.1 (s: bf16[16,128], g: bf16[64,128], c: u32[], x: bf16[32,64]) -> (bf16[32,32], bf16[16,128], bf16[64,128], bf16[64,128], u32[]) {
  %x = bf16[32,64]{1,0:T(8,128)(2,1)} parameter(3)
  %y = bf16[32,32]{1,0:T(8,128)(2,1)} dot(%x, %x), lhs_contracting_dims={1}, rhs_contracting_dims={1}
  %s = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  %g = bf16[64,128]{1,0:T(8,128)(2,1)} parameter(1)
  %c = u32[]{:S(2)} parameter(2)
  %g.2 = bf16[64,128]{1,0:T(8,128)(2,1)} all-gather(%s), channel_id=7, replica_groups=[4,4]<=[16], dimensions={0}, use_global_device_ids=true, frontend_attributes={chain_id="2"}
  ROOT %all = (bf16[32,32]{1,0:T(8,128)(2,1)}, bf16[16,128]{1,0:T(8,128)(2,1)S(1)}, bf16[64,128]{1,0:T(8,128)(2,1)}, bf16[64,128]{1,0:T(8,128)(2,1)}, u32[]{:S(2)}) tuple(%y, %s, %g, %g.2, %c)
}

%end (s: bf16[16,128], g: bf16[64,128], c: u32[]) -> bf16[64,128] {
  %s = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  %g = bf16[64,128]{1,0:T(8,128)(2,1)} parameter(1)
  %g.3 = bf16[64,128]{1,0:T(8,128)(2,1)} all-gather(%s), channel_id=7, replica_groups=[4,4]<=[16], dimensions={0}, use_global_device_ids=true, frontend_attributes={chain_id="2"}
  %c = u32[]{:S(2)} parameter(2)
  ROOT %call.3 = bf16[64,128]{1,0:T(8,128)(2,1)} custom-call(%s, %g, %g.3, %c), custom_call_target="AsyncCollectiveDone"
}

%going_on (p: (bf16[16,128], bf16[64,128], u32[], bf16[32,64])) -> pred[] {
  %p = (bf16[16,128], bf16[64,128], u32[], bf16[32,64]) parameter(0)
  ROOT %unknown = pred[] get-tuple-element(%p), index=0
}

%body (p: (bf16[16,128], bf16[64,128], u32[], bf16[32,64])) -> (bf16[16,128], bf16[64,128], u32[], bf16[32,64]) {
  %p = (bf16[16,128], bf16[64,128], u32[], bf16[32,64]) parameter(0)
  %s = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} get-tuple-element(%p), index=0
  %g = bf16[64,128]{1,0:T(8,128)(2,1)} get-tuple-element(%p), index=1
  %c = u32[]{:S(2)} get-tuple-element(%p), index=2
  %x = bf16[32,64]{1,0:T(8,128)(2,1)} get-tuple-element(%p), index=3
  %f = (bf16[32,32]{1,0:T(8,128)(2,1)}, bf16[16,128]{1,0:T(8,128)(2,1)S(1)}, bf16[64,128]{1,0:T(8,128)(2,1)}, bf16[64,128]{1,0:T(8,128)(2,1)}, u32[]{:S(2)}) fusion(%s, %g, %c, %x), kind=kOutput, output_to_operand_aliasing={{1}: (0, {}), {2}: (1, {}), {3}: (1, {}), {4}: (2, {})}, calls=%async_collective_fusion.1
  %s.1 = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} get-tuple-element(%f), index=1
  %g.1 = bf16[64,128]{1,0:T(8,128)(2,1)} get-tuple-element(%f), index=2
  ROOT %out = (bf16[16,128], bf16[64,128], u32[], bf16[32,64]) tuple(%s.1, %g.1, %c, %x)
}

ENTRY %main (s: bf16[16,128], x: bf16[32,64]) -> bf16[64,128] {
  %s = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  %x = bf16[32,64]{1,0:T(8,128)(2,1)} parameter(1)
  %async-collective-start = (bf16[16,128]{1,0:T(8,128)(2,1)S(1)}, bf16[64,128]{1,0:T(8,128)(2,1)}, u32[]{:S(2)}) fusion(%s), kind=kCustom, output_to_operand_aliasing={{0}: (0, {})}, calls=%start
  %s.1 = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} get-tuple-element(%async-collective-start), index=0
  %g.1 = bf16[64,128]{1,0:T(8,128)(2,1)} get-tuple-element(%async-collective-start), index=1
  %c = u32[]{:S(2)} get-tuple-element(%async-collective-start), index=2
  %init = (bf16[16,128], bf16[64,128], u32[], bf16[32,64]) tuple(%s.1, %g.1, %c, %x)
  %loop = (bf16[16,128], bf16[64,128], u32[], bf16[32,64]) while(%init), condition=%going_on, body=%body
  %s.2 = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} get-tuple-element(%loop), index=0
  %g.2 = bf16[64,128]{1,0:T(8,128)(2,1)} get-tuple-element(%loop), index=1
  ROOT %async-collective-done = bf16[64,128]{1,0:T(8,128)(2,1)} fusion(%s.2, %g.2, %c), kind=kCustom, output_to_operand_aliasing={{}: (1, {})}, calls=%end
}
"""


def test_a_collective_that_goes_on_in_other_fusions_counts_once():
    costs = program_costs(SPREAD, num_devices=16, dynamic_trips=3)
    (gathered,) = costs.collectives.values()
    assert (gathered.count, gathered.payload_bytes) == (1, 4 * 16 * 128 * 2)
    assert costs.flops == 3 * 2 * 32 * 32 * 64
    # The gathered array is written once; each product reads and writes its own.
    assert costs.hbm_bytes == 64 * 128 * 2 + 3 * (32 * 64 + 32 * 32) * 2


@pytest.mark.parametrize(
    ("from_", "to", "times"), [("", "S(1)", 1), ("S(1)", "", 1), ("", "", 2), ("S(1)", "S(1)", 0)]
)
def test_a_slice_that_is_fetched_ahead_is_read_not_the_whole_array(from_, to, times):
    """And what lies in another memory, `S(1)`, is not read from HBM or written to it."""
    text = f"""\
HloModule m

ENTRY %main (w: bf16[64,128]) -> bf16[16,128] {{
  %w = bf16[64,128]{{1,0:T(8,128)(2,1){from_}}} parameter(0)
  %slice-start = ((bf16[64,128]{{1,0:T(8,128)(2,1){from_}}}), bf16[16,128]{{1,0:T(8,128)(2,1){to}}}, s32[]{{:S(2)}}) slice-start(%w), slice={{[0:16], [0:128]}}
  ROOT %slice-done = bf16[16,128]{{1,0:T(8,128)(2,1){to}}} slice-done(%slice-start)
}}
"""
    assert program_costs(text, num_devices=1).hbm_bytes == times * 16 * 128 * 2


@pytest.mark.parametrize(
    ("aliasing", "copies"), [("output_to_operand_aliasing={{0}: (0, {})}, ", 0), ("", 2)]
)
def test_what_passes_through_a_fusion_is_copied_unless_it_stays_in_place(aliasing, copies):
    text = f"""\
HloModule m

%fused (x: f32[1024], y: f32[256]) -> (f32[1024], f32[256]) {{
  %x = f32[1024]{{0}} parameter(0)
  %y = f32[256]{{0}} parameter(1)
  %z = f32[256]{{0}} negate(%y)
  ROOT %both = (f32[1024]{{0}}, f32[256]{{0}}) tuple(%x, %z)
}}

ENTRY %main (a: f32[1024], b: f32[256]) -> (f32[1024], f32[256]) {{
  %a = f32[1024]{{0}} parameter(0)
  %b = f32[256]{{0}} parameter(1)
  ROOT %f = (f32[1024]{{0}}, f32[256]{{0}}) fusion(%a, %b), kind=kLoop, {aliasing}calls=%fused
}}
"""
    assert program_costs(text, num_devices=1).hbm_bytes == copies * 4096 + 2 * 1024


def test_slices_of_a_stack_are_read_not_the_stack():
    text = """\
HloModule m

%fused (stack: f32[32,1024], i: s32[], into: f32[32,1024]) -> f32[32,1024] {
  %stack = f32[32,1024]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %into = f32[32,1024]{1,0} parameter(2)
  %zero = s32[] constant(0)
  %row = f32[1,1024]{1,0} dynamic-slice(%stack, %i, %zero), dynamic_slice_sizes={1,1024}
  ROOT %out = f32[32,1024]{1,0} dynamic-update-slice(%into, %row, %i, %zero)
}

ENTRY %main (a: f32[32,1024], b: s32[], c: f32[32,1024]) -> f32[32,1024] {
  %a = f32[32,1024]{1,0} parameter(0)
  %b = s32[] parameter(1)
  %c = f32[32,1024]{1,0} parameter(2)
  ROOT %f = f32[32,1024]{1,0} fusion(%a, %b, %c), kind=kLoop, calls=%fused
}
"""
    assert program_costs(text, num_devices=1).hbm_bytes == 2 * 4096 + 4


def test_a_scatter_writes_its_updates_not_the_whole_array():
    """As a decoding step stores one key of every slot."""
    text = """\
HloModule m

%replace (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  ROOT %b = f32[] parameter(1)
}

%fused (cache: f32[32,1024,8], at: s32[32,2], new: f32[32,8]) -> f32[32,1024,8] {
  %cache = f32[32,1024,8]{2,1,0} parameter(0)
  %at = s32[32,2]{1,0} parameter(1)
  %new = f32[32,8]{1,0} parameter(2)
  ROOT %out = f32[32,1024,8]{2,1,0} scatter(%cache, %at, %new), update_window_dims={1}, inserted_window_dims={0,1}, scatter_dims_to_operand_dims={0,1}, index_vector_dim=1, to_apply=%replace
}

ENTRY %main (a: f32[32,1024,8], b: s32[32,2], c: f32[32,8]) -> f32[32,1024,8] {
  %a = f32[32,1024,8]{2,1,0} parameter(0)
  %b = s32[32,2]{1,0} parameter(1)
  %c = f32[32,8]{1,0} parameter(2)
  ROOT %f = f32[32,1024,8]{2,1,0} fusion(%a, %b, %c), kind=kLoop, calls=%fused
}
"""
    assert program_costs(text, num_devices=1).hbm_bytes == 2 * 32 * 8 * 4 + 32 * 2 * 4


def test_a_scatter_into_zeros_writes_all_of_them():
    """As the gradient of an embedding may be made."""
    text = """\
HloModule m

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%fused (at: s32[32,1], new: f32[32,8]) -> f32[1024,8] {
  %at = s32[32,1]{1,0} parameter(0)
  %new = f32[32,8]{1,0} parameter(1)
  %zero = f32[] constant(0)
  %zeros = f32[1024,8]{1,0} broadcast(%zero), dimensions={}
  ROOT %out = f32[1024,8]{1,0} scatter(%zeros, %at, %new), update_window_dims={1}, inserted_window_dims={0}, scatter_dims_to_operand_dims={0}, index_vector_dim=1, to_apply=%add
}

ENTRY %main (a: s32[32,1], b: f32[32,8]) -> f32[1024,8] {
  %a = s32[32,1]{1,0} parameter(0)
  %b = f32[32,8]{1,0} parameter(1)
  ROOT %f = f32[1024,8]{1,0} fusion(%a, %b), kind=kLoop, calls=%fused
}
"""
    read = 32 * 4 + 32 * 8 * 4
    assert program_costs(text, num_devices=1).hbm_bytes == read + 1024 * 8 * 4


def test_a_convolution_counts_the_taps_that_meet_an_input():
    """As TPUs write a product over heads: of 63 taps for every output, one meets an input."""
    text = """\
HloModule m

ENTRY %main (x: bf16[64,16], w: bf16[16,32,8]) -> bf16[64,32,8] {
  %x = bf16[64,1,16]{2,1,0} parameter(0)
  %w = bf16[16,32,8]{2,1,0} parameter(1)
  ROOT %y = bf16[64,32,8]{2,1,0} convolution(%x, %w), window={size=32 pad=31_31 rhs_reversal=1}, dim_labels=b0f_i0o->b0f
}
"""
    assert program_costs(text, num_devices=1).flops == 2 * 64 * 32 * 8 * 16


@pytest.mark.parametrize(("kernel", "products"), [("fwd", 2), ("dkv", 4), ("dq", 3)])
def test_splash_attention_counts_the_blocks_it_visits(kernel, products):
    """By hand: a product of 4096 queries of 32 heads with as many keys, and so on."""
    text = f"""\
HloModule m

ENTRY %main (next: s32[1,8,8], q: bf16[32,4096,128], k: bf16[8,4096,128]) -> bf16[32,4096,128] {{
  %next = s32[1,8,8]{{2,1,0}} parameter(0)
  %q = bf16[32,4096,128]{{2,1,0}} parameter(1)
  %k = bf16[8,4096,128]{{2,1,0}} parameter(2)
  ROOT %splash_mha_{kernel}_segmented.7 = bf16[32,4096,128]{{2,1,0}} custom-call(%next, %next, %q, %k, %k), custom_call_target="tpu_custom_call"
}}
"""
    all_blocks = products * 2 * 32 * 4096 * 4096 * 128
    costs = program_costs(text, num_devices=1, splash_share=0.25)
    assert costs.flops == 0.25 * all_blocks
    assert costs.kernels == {f"splash_mha_{kernel}_segmented.7": 1.0}


def test_shapes_and_memory_spaces():
    text = entry(
        "%p = bf16[16,128]{1,0:T(8,128)(2,1)S(1)} parameter(0)",
        "ROOT %t = (bf16[16,128]{1,0}, pred[<=7]{0}, s4[8]{0}) custom-call(%p)",
    )
    main = parse_hlo(text).computations["main"]
    assert main.instructions["p"].shapes == (Array("bf16", (16, 128), in_hbm=False),)
    assert main.result.num_bytes == 4096 + 7 + 4
    with pytest.raises(ValueError, match="no ENTRY"):
        parse_hlo("HloModule m\n")


def test_products_agree_with_xla_where_there_is_no_loop():
    def f(x, w):
        return jnp.einsum("bij,bjk->bik", jnp.tanh(x @ w), x)

    x, w = jnp.zeros((3, 64, 64)), jnp.zeros((64, 64))
    compiled = jax.jit(f).lower(x, w).compile()
    costs = program_costs(compiled.as_text(), num_devices=1)
    assert costs.flops == 2 * 2 * 3 * 64**3
    assert costs.flops == pytest.approx(compiled.cost_analysis()["flops"], rel=0.02)


def compiled_update(kinds, mesh, objective):
    """Layers of one kind are scanned; a pattern that does not repeat is one unrolled block.

    The window is as long as the row, so both are the same model.
    """
    config = tiny_config(
        num_layers=len(kinds),
        layer_kinds=kinds,
        sliding_window=64,
        embed_dim=64,
        mlp_dim=128,
        vocab_size=256,
        remat_policy="none",  # a block of all layers recomputes more than single layers do
    )
    learner = Learner(Transformer(config), objective, AdamW(), mesh, chunk_tokens=64)
    bucket = RowBucket(num_rows=8, row_length=64, completions_per_row=1, max_completion_tokens=48)
    return learner.lowered(bucket)["accumulate"].compile()


@pytest.mark.parametrize(
    "objective",
    [SoftPolicyOptimization(baseline="group"), pytest.param(PPO(), marks=pytest.mark.slow)],
    ids=["spo", "ppo"],
)
def test_a_scanned_model_counts_as_its_unrolled_twin(objective):
    """On eight devices: products are the same, what the collectives move agrees to 5%."""
    mesh = make_mesh(fsdp=4, tensor=2)
    scanned = compiled_update(("global",) * 4, mesh, objective)
    unrolled = compiled_update(("global", *("local",) * 3), mesh, objective)
    one, two = (program_costs(c.as_text(), num_devices=8) for c in (scanned, unrolled))
    assert one.flops == two.flops
    assert one.payload_bytes == pytest.approx(two.payload_bytes, rel=0.05)
    assert one.wire_bytes == pytest.approx(two.wire_bytes, rel=0.05)
    # What XLA itself says of the loop is one layer's worth of it.
    assert scanned.cost_analysis()["flops"] < 0.7 * two.flops


@pytest.mark.parametrize(
    ("groups", "size"),
    [
        ("mesh['axis_0'=64,'axis_1'=1] {'axis_0'}", 64),
        ("mesh['a'=1,'b'=16,'c'=16], device_ids=([16,16]T(1,0)) {'b'}", 16),
        ("mesh['a'=16,'b'=4] {'a':(2)8,'b'}", 32),
        ("[16,8]<=[128]", 8),
        ("{{0,1,2,3},{4,5,6,7}}", 4),
    ],
)
def test_the_size_of_a_group_of_chips(groups, size):
    text = f"""
%add (a: f32[], b: f32[]) -> f32[] {{
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}}

ENTRY %main (x: f32[8]) -> f32[8] {{
  %x = f32[8]{{0}} parameter(0)
  ROOT %y = f32[8]{{0}} all-reduce(%x), channel_id=1, replica_groups={groups}, to_apply=%add
}}
"""
    costs = program_costs(text, num_devices=256)
    assert costs.wire_bytes == pytest.approx(2 * 32 * (size - 1) / size)
