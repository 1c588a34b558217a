"""Every kernel against the plain one, forward and backward, where it can run; its choice; its HLO.

Kernels for TPUs are interpreted here; those for GPUs can only be lowered.
"""

import contextlib
import importlib.util
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.cudnn import fused_attention_stablehlo
from jax.experimental import topologies
from jax.sharding import Mesh

from spo_jax.errors import UserError
from spo_jax.models import splash, splash_masks
from spo_jax.models.attention import (
    AttentionRows,
    attention_kernel,
    attention_rows,
    compiled_platform,
    row_attention,
)
from spo_jax.models.masked_attention import cudnn_attention
from spo_jax.models.testing import random_params, tiny_config
from spo_jax.models.transformer import Transformer, param_shapes

SCALE = 0.3
AXES = ("data", "fsdp", "sequence", "tensor")
RULES = (
    ("batch", ("data", "fsdp")),
    ("length", "sequence"),
    ("activation_heads", "tensor"),
    ("activation_kv_heads", "tensor"),
)


def packed(length, *rows):
    """positions, segment_ids, prefix_ids [R, L]; of (start, size, segment, prefix, first)."""
    positions, segments, prefixes = np.zeros((3, len(rows), length), np.int32)
    for r, parts in enumerate(rows):
        for start, size, segment, prefix, first_position in parts:
            span = slice(start, start + size)
            positions[r, span] = first_position + np.arange(size)
            segments[r, span] = segment
            prefixes[r, span] = prefix
    return positions, segments, prefixes


# A prompt with two completions; then pads on the left, two prompts side by side and an odd id.
ROWS = packed(
    256,
    [(0, 100, 1, 0, 0), (100, 60, 2, 1, 100), (160, 90, 3, 1, 100)],
    [(5, 40, 1, 0, 0), (45, 30, 2, 0, 0), (75, 50, 4, 2, 30), (125, 90, 7, 1, 40)],
)


def rows_of(kernel, ids, window=None, *, prefixes=True):
    config = tiny_config(
        attention=kernel, sliding_window=window or 1, layer_kinds=("local", "global")
    )
    ids = ids if prefixes else (*ids[:2], None)
    return attention_rows(config, "global" if window is None else "local", *ids)


def arrays_of(ids, num_heads=4, num_kv_heads=2, head_dim=8, dtype=np.float32):
    """q, k, v and a gradient of the output."""
    random = np.random.default_rng(0)
    heads = (num_heads, num_kv_heads, num_kv_heads, num_heads)
    return [jnp.asarray(random.standard_normal((*ids[0].shape, n, head_dim)), dtype) for n in heads]


def output_and_gradients(arrays, rows, soft_cap=None):
    """[out, dq, dk, dv] with pads' outputs left out."""
    q, k, v, gradient = arrays
    is_token = (rows.segment_ids_RL > 0)[:, :, None, None]

    @jax.jit
    def run(q, k, v, rows):
        def loss(q, k, v):
            out = row_attention(q, k, v, rows, scale=SCALE, soft_cap=soft_cap)
            out = jnp.where(is_token, out, 0)
            return jnp.sum(out * gradient), out

        grads, out = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(q, k, v)
        return [out, *grads]

    return [np.asarray(x, np.float32) for x in run(q, k, v, rows)]


def assert_same(actual, expected, atol=1e-5):
    for name, a, b in zip(("out", "dq", "dk", "dv"), actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=atol, err_msg=name)


@contextlib.contextmanager
def on_mesh(**sizes):
    shape = [sizes.get(axis, 1) for axis in AXES]
    devices = np.array(jax.devices()[: np.prod(shape)]).reshape(shape)
    with jax.set_mesh(Mesh(devices, AXES)), nn.logical_axis_rules(RULES):
        yield


@pytest.mark.parametrize(
    ("window", "soft_cap", "prefixes"),
    [
        (None, None, True),
        pytest.param(20, 5.0, True, marks=pytest.mark.slow),
        pytest.param(None, None, False, marks=pytest.mark.slow),
        pytest.param(20, None, False, marks=pytest.mark.slow),
        pytest.param(20, None, True, marks=pytest.mark.slow),
        pytest.param(None, 5.0, True, marks=pytest.mark.slow),
    ],
)
def test_splash_attention_gives_the_output_and_the_gradients_of_plain(window, soft_cap, prefixes):
    arrays = arrays_of(ROWS)
    expected, actual = (
        output_and_gradients(arrays, rows_of(kernel, ROWS, window, prefixes=prefixes), soft_cap)
        for kernel in ("plain", "splash")
    )
    assert_same(actual, expected)


@pytest.mark.slow
@pytest.mark.parametrize("window", [None, 150])
def test_splash_attention_skips_blocks_and_pads_rows_without_a_difference(window):
    """Three blocks of 384 and a short last one: some are skipped, some partly masked."""
    ids = packed(
        1100,
        [(0, 400, 1, 0, 0), (400, 300, 2, 1, 400), (700, 400, 3, 1, 400)],
        [(0, 90, 1, 0, 0), (90, 50, 2, 1, 90), (140, 210, 3, 1, 90)],
        [(0, 1100, 1, 0, 0)],
    )
    arrays = arrays_of(ids)
    expected, actual = (
        output_and_gradients(arrays, rows_of(kernel, ids, window)) for kernel in ("plain", "splash")
    )
    assert_same(actual, expected, atol=3e-5)


@pytest.mark.slow
def test_splash_attention_in_bfloat16_is_as_close_to_float32_as_plain():
    exact = output_and_gradients(arrays_of(ROWS), rows_of("plain", ROWS))
    errors = {}
    for kernel in ("plain", "splash"):
        ours = output_and_gradients(arrays_of(ROWS, dtype=jnp.bfloat16), rows_of(kernel, ROWS))
        errors[kernel] = [np.abs(a - b).mean() for a, b in zip(ours, exact, strict=True)]
    for plain, ours in zip(errors["plain"], errors["splash"], strict=True):
        assert ours < 1.5 * plain


def test_blocks_that_no_query_may_attend_to_are_not_visited():
    """One row of 4 blocks: a prompt of one and a half, two completions, half a block of pads."""
    _, segments, prefixes = packed(
        512, [(0, 192, 1, 0, 0), (192, 64, 2, 1, 192), (256, 192, 3, 1, 192)]
    )
    ids = splash_masks.row_ids(None, segments, prefixes, None)
    _, (own, prefix) = splash_masks.make_passes(ids, None, 128, 128)
    lower = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    np.testing.assert_array_equal(own.by_query.block_mask[0], lower)
    to_prompt = [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]
    np.testing.assert_array_equal(prefix.by_query.block_mask[0], to_prompt)
    np.testing.assert_array_equal(prefix.by_key.block_mask[0], to_prompt)


def test_a_step_that_visits_nothing_names_the_next_block_that_is():
    visited = jnp.array([[[0, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0]]], bool)
    found = splash_masks.next_visited(visited, 2)
    np.testing.assert_array_equal(found, [[[1, 1, 4, 4, 4, 4], [0, 0, 0, 0, 0, 0]]])


@pytest.mark.parametrize(
    ("length", "block"), [(128, 128), (4096, 512), (640, 128), (1152, 384), (1100, 384), (100, 128)]
)
def test_blocks_are_as_large_as_little_padding_allows(length, block):
    assert splash.block_size(length) == block


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "heads"),
    [
        ({"data": 2, "sequence": 2, "tensor": 2}, (4, 2)),
        ({"data": 2, "tensor": 4}, (8, 2)),
        ({"sequence": 8}, (2, 1)),
    ],
)
def test_splash_attention_on_a_mesh_is_that_of_one_device(sizes, heads):
    arrays = arrays_of(ROWS, *heads)
    expected = output_and_gradients(arrays, rows_of("plain", ROWS, 20))
    with on_mesh(**sizes):
        actual = output_and_gradients(arrays, rows_of("splash", ROWS, 20))
    assert_same(actual, expected)


@pytest.mark.parametrize(
    ("sizes", "heads"),
    [
        ({"data": 2, "sequence": 2, "tensor": 2}, (4, 2)),
        ({"fsdp": 2, "tensor": 4}, (8, 2)),  # two query heads of each device share a key head
        ({"tensor": 2}, (6, 3)),  # each device has three query heads, of one group and a half
        ({"data": 4, "tensor": 2}, (3, 3)),  # neither rows nor heads divide
    ],
)
def test_shards_find_their_keys_heads_and_masks(sizes, heads, monkeypatch):
    """With cuDNN's arguments in XLA's own attention, which needs no kernel."""
    ids = packed(32, *[[(0, 10, 1, 0, 0), (10, 9, 2, 1, 10), (19, 8, 3, 1, 10)]] * 2)
    arrays = arrays_of(ids, *heads)
    plain = rows_of("plain", ids)
    expected = output_and_gradients(arrays, plain)
    use_xla(monkeypatch)
    with on_mesh(**sizes):
        actual = output_and_gradients(arrays, as_cudnn(plain))
    assert_same(actual, expected)


def as_cudnn(rows: AttentionRows) -> AttentionRows:
    ids = (rows.positions_RL, rows.segment_ids_RL, rows.prefix_ids_RL)
    return AttentionRows(*ids, rows.mask_RLS, rows.window, "cudnn")


def use_xla(monkeypatch):
    def attention(*arrays, scale):
        return cudnn_attention(*arrays, scale=scale, implementation="xla")

    monkeypatch.setattr("spo_jax.models.attention.cudnn_attention", attention)


@pytest.mark.parametrize("window", [None, 20])
def test_what_cudnn_is_given_means_plain_attention(window, monkeypatch):
    plain = rows_of("plain", ROWS, window)
    expected = output_and_gradients(arrays_of(ROWS), plain)
    use_xla(monkeypatch)
    assert_same(output_and_gradients(arrays_of(ROWS), as_cudnn(plain)), expected)


def test_cudnn_kernels_are_in_the_program_for_gpus(monkeypatch):
    monkeypatch.setattr(fused_attention_stablehlo, "check_cudnn_version", lambda: 91000)
    arrays = arrays_of(ROWS, head_dim=64, dtype=jnp.bfloat16)[:3]
    rows = as_cudnn(rows_of("plain", ROWS))

    @jax.jit
    def gradient(q, k, v):
        def loss(q, k, v):
            return row_attention(q, k, v, rows, scale=SCALE, soft_cap=None).sum()

        return jax.grad(loss, argnums=(0, 1, 2))(q, k, v)

    text = gradient.trace(*arrays).lower(lowering_platforms=("cuda",)).as_text()
    assert "__cudnn$fmhaScaleBiasSoftmax(" in text
    assert "__cudnn$fmhaScaleBiasSoftmaxBackward" in text


CHIP = "v5e:2x2"
needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="compiles for TPUs: needs libtpu"
)


@needs_libtpu
@pytest.mark.parametrize("attention", ["auto", "plain"])
def test_a_model_compiled_for_tpus_has_splash_kernels_and_no_scores(attention, monkeypatch):
    """Of two rows of 256, four heads: scores are [2, 4, 256, 256] in some order, masks less."""
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")
    monkeypatch.setenv("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    topology = topologies.get_topology_desc(CHIP, "tpu")
    mesh = Mesh(np.array(topology.devices).reshape(2, 1, 1, 2), AXES)
    config = tiny_config(attention=attention, head_dim=64, compute_dtype="bfloat16")
    model = Transformer(config)
    params, ids = param_shapes(config), jax.ShapeDtypeStruct((4, 256), jnp.int32)

    @jax.jit
    def gradient(params, *rows):
        def loss(params):
            return model.apply({"params": params}, *rows).astype(jnp.float32).sum()

        return jax.grad(loss)(params)

    with jax.set_mesh(mesh), nn.logical_axis_rules(RULES):
        assert compiled_platform() == "tpu"
        text = gradient.lower(params, ids, ids, ids, ids).compile().as_text()
    kernels = {name for name in ("fwd", "dq", "dkv") if f"splash_mha_{name}_segmented" in text}
    squares = re.findall(r"\[[\d,]*256,256[\d,]*\]", text)
    if attention == "plain":
        assert not kernels and squares  # what the other case looks for is to be found here
    else:
        assert kernels == {"fwd", "dq", "dkv"}
        assert text.count("tpu_custom_call") >= 6
        assert not squares


@pytest.mark.slow
def test_a_whole_model_with_splash_attention_is_that_with_plain():
    config = tiny_config("gemma3", num_layers=3, attention_soft_cap=5.0, sliding_window=20)
    params = random_params(config, jax.random.key(0))
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, ROWS[0].shape)
    models = [Transformer(config.replace(attention=kernel)) for kernel in ("plain", "splash")]
    hidden = [jax.jit(model.apply)({"params": params}, tokens, *ROWS) for model in models]
    is_token = ROWS[1] > 0
    np.testing.assert_allclose(hidden[0][is_token], hidden[1][is_token], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("fields", "platform", "length", "name", "reason"),
    [
        ({}, "cpu", 64, "plain", "no other kernel for platform 'cpu'"),
        ({"compute_dtype": "bfloat16"}, "tpu", 64, "splash", "the kernel of platform 'tpu'"),
        ({"attention_soft_cap": 5.0}, "tpu", 63, "splash", "the kernel of platform 'tpu'"),
        ({"compute_dtype": "bfloat16"}, "gpu", 64, "cudnn", "the kernel of platform 'gpu'"),
        ({}, "gpu", 64, "plain", "compute_dtype bfloat16 or float16, not float32"),
        ({"compute_dtype": "bfloat16"}, "gpu", 63, "plain", "an even row length, not 63"),
        (
            {"compute_dtype": "bfloat16", "attention_soft_cap": 5.0},
            *("gpu", 64, "plain", "attention_soft_cap=5.0"),
        ),
        (
            {"compute_dtype": "bfloat16", "head_dim": 256},
            *("gpu", 64, "plain", "up to 128, not 256"),
        ),
        ({"attention": "plain"}, "tpu", 64, "plain", "attention='plain'"),
        ({"attention": "splash"}, "cpu", 64, "splash", "attention='splash'"),
    ],
)
def test_the_kernel_follows_the_platform_and_says_why(fields, platform, length, name, reason):
    choice = attention_kernel(tiny_config(**fields), platform, length)
    assert choice.name == name
    assert reason in choice.reason


@pytest.mark.parametrize(
    ("attention", "platform", "message"),
    [
        ("cudnn", "cpu", "attention='cudnn': cuDNN needs platform 'gpu', not 'cpu'"),
        ("splash", "gpu", "attention='splash': splash attention needs platform 'tpu', not 'gpu'"),
    ],
)
def test_a_kernel_that_is_asked_for_and_cannot_run_is_an_error(attention, platform, message):
    with pytest.raises(UserError, match=message):
        attention_kernel(tiny_config(attention=attention), platform, 64)


def test_an_unknown_kernel_is_an_error():
    with pytest.raises(UserError, match="attention='spalsh' is not one of auto, plain, splash"):
        tiny_config(attention="spalsh")
