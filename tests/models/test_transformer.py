"""The decoder: rows, packing, prompt sharing, the cached path, remat and precision."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from spo_jax.models.config import ModelConfig
from spo_jax.models.testing import random_params, tiny_config
from spo_jax.models.transformer import (
    Transformer,
    decode_params,
    init_cache,
    logical_axes,
    param_shapes,
)

LENGTH = 12


def tokens_of(config: ModelConfig, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, config.vocab_size, shape).astype(np.int32)


@functools.cache
def params_of(config: ModelConfig):
    return random_params(config, jax.random.key(1))


@functools.cache
def compiled(config: ModelConfig, method: str):
    """(params, *arrays) -> outputs; compiled once for each configuration and shape."""
    apply = functools.partial(Transformer(config).apply, method=method)
    return jax.jit(lambda params, *arrays: apply({"params": params}, *arrays))


def decoder(config: ModelConfig):
    return functools.partial(compiled(config, "decode"), params_of(config))


def whole(config, params, tokens_RL):
    """Hidden states of rows that are one sequence each."""
    rows, length = tokens_RL.shape
    positions = np.broadcast_to(np.arange(length, dtype=np.int32), (rows, length))
    return forward(config, params, tokens_RL, positions, np.ones_like(tokens_RL))


def forward(config, params, *rows):
    return np.asarray(compiled(config, "__call__")(params, *rows))


PLAIN = tiny_config()
# All that any family has at once; a period of two and a tail.
FULL = tiny_config("gemma3", num_layers=3, qkv_bias=True, output_bias=True, attention_soft_cap=5.0)


@pytest.fixture(params=[PLAIN, FULL], ids=["plain", "full"])
def model(request):
    return request.param, params_of(request.param)


@pytest.mark.parametrize("prepare", [lambda config, params: params, decode_params])
def test_cached_path_equals_full_forward(prepare):
    config, params = FULL, params_of(FULL)
    tokens = tokens_of(config, 2, LENGTH)
    expected = whole(config, params, tokens)
    decode = functools.partial(compiled(config, "decode"), prepare(config, params))
    cache, pieces = init_cache(config, 2, 20), []
    for start, stop in [(0, 5), (5, 10), (10, 11), (11, 12)]:
        positions = np.broadcast_to(np.arange(start, stop, dtype=np.int32), (2, stop - start))
        hidden, cache = decode(tokens[:, start:stop], positions, cache)
        pieces.append(hidden)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), expected, atol=2e-5)


def test_prefill_padded_on_the_right_is_overwritten():
    config = PLAIN
    params = params_of(config)
    tokens = tokens_of(config, 1, LENGTH)
    decode = decoder(config)
    prompt = np.where(np.arange(8) < 5, tokens[:, :8], 7)  # three pads
    _, cache = decode(prompt, np.arange(8)[None], init_cache(config, 1, LENGTH))
    for i in range(5, LENGTH):
        hidden, cache = decode(tokens[:, i : i + 1], np.array([[i]]), cache)
    np.testing.assert_allclose(hidden[:, 0], whole(config, params, tokens)[:, -1], atol=2e-5)


def test_rows_of_a_cache_advance_apart():
    config = PLAIN
    params = params_of(config)
    tokens = tokens_of(config, 1, 6)
    decode = decoder(config)
    both = np.concatenate([tokens[:, :5], tokens[:, :5]])
    positions = np.broadcast_to(np.arange(5), (2, 5))
    _, cache = decode(both, positions, init_cache(config, 2, 8))
    # Row 0 goes on at position 5; row 1 repeats position 4.
    step = np.array([[tokens[0, 5]], [tokens[0, 4]]])
    hidden, _ = decode(step, np.array([[5], [4]]), cache)
    expected = whole(config, params, tokens)[0, [5, 4]]
    np.testing.assert_allclose(hidden[:, 0], expected, atol=2e-5)


def test_positions_past_the_cache_are_dropped():
    config = PLAIN
    decode = decoder(config)
    tokens = tokens_of(config, 1, 4)
    _, cache = decode(tokens, np.arange(4)[None], init_cache(config, 1, 4))
    _, after = decode(tokens[:, :1], np.array([[4]]), cache)
    jax.tree.map(np.testing.assert_array_equal, cache, after)


def test_decoding_in_a_loop_holds_no_second_cache():
    config = tiny_config(num_layers=4)
    params = decode_params(config, random_params(config, jax.random.key(1)))
    cache = init_cache(config, 16, 512)

    @functools.partial(jax.jit, donate_argnums=1)
    def generate(params, cache, token):
        def step(state):
            i, token, cache = state
            positions = jnp.full_like(token, i)
            hidden, cache = Transformer(config).apply(
                {"params": params}, token, positions, cache, method="decode"
            )
            return i + 1, hidden[..., 0].astype(jnp.int32) % 7, cache

        return jax.lax.while_loop(lambda state: state[0] < 9, step, (0, token, cache))

    program = generate.lower(params, cache, jnp.ones((16, 1), jnp.int32)).compile()
    one_layer = sum(leaf.nbytes for leaf in cache[0])
    assert program.memory_analysis().temp_size_in_bytes < one_layer


def test_trap_pads_attended_to(model):
    config, params = model
    tokens, other = tokens_of(config, 3, LENGTH), tokens_of(config, 3, LENGTH, seed=5)
    starts, stops = np.array([4, 0, 0])[:, None], np.array([LENGTH, LENGTH - 5, LENGTH])[:, None]
    index = np.arange(LENGTH, dtype=np.int32)[None]
    real = (index >= starts) & (index < stops)  # left-padded, right-padded, full
    positions = np.maximum(index - starts, 0).astype(np.int32)
    segments = real.astype(np.int32)
    hidden = forward(config, params, tokens, positions, segments)
    changed = forward(config, params, np.where(real, tokens, other), positions, segments)
    np.testing.assert_array_equal(hidden[real], changed[real])
    assert np.isfinite(changed).all()
    np.testing.assert_allclose(hidden[0, 4:], whole(config, params, tokens[:1, 4:])[0], atol=2e-5)
    np.testing.assert_allclose(
        hidden[1, :-5], whole(config, params, tokens[1:2, :-5])[0], atol=2e-5
    )


def test_pads_have_finite_gradients():
    config = PLAIN
    params = params_of(config)
    tokens = tokens_of(config, 1, LENGTH)

    def loss(params):
        zeros = np.zeros_like(tokens)
        hidden = Transformer(config).apply({"params": params}, tokens, zeros, zeros)
        return (hidden**2).sum()

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.jit(jax.grad(loss))(params)))


def test_packed_sequences_equal_separate_ones(model):
    config, params = model
    a, b = tokens_of(config, 1, 7), tokens_of(config, 1, 4, seed=3)
    positions = np.concatenate([np.arange(7), np.arange(4), [0]])[None].astype(np.int32)
    segments = np.array([[1] * 7 + [2] * 4 + [0]], np.int32)
    assert config.sliding_window in (None, 4)  # shorter than the first sequence
    packed = np.concatenate([a, b, [[9]]], axis=1).astype(np.int32)
    hidden = forward(config, params, packed, positions, segments)
    np.testing.assert_allclose(hidden[:, :7], whole(config, params, a), atol=2e-5)
    np.testing.assert_allclose(hidden[:, 7:11], whole(config, params, b), atol=2e-5)


def test_shared_prompt_equals_separate_sequences(model):
    config, params = model
    prompt = tokens_of(config, 1, 5)
    completions = [tokens_of(config, 1, n, seed=n) for n in (4, 4, 4)]
    row, positions, segments, prefixes = prompt, np.arange(5), np.ones(5), np.zeros(5)
    for i, completion in enumerate(completions):
        count = completion.shape[1]
        row = np.concatenate([row, completion], axis=1)
        positions = np.concatenate([positions, 5 + np.arange(count)])
        segments = np.concatenate([segments, np.full(count, i + 2)])
        prefixes = np.concatenate([prefixes, np.ones(count)])
    rows = [x[None].astype(np.int32) for x in (positions, segments, prefixes)]
    hidden = forward(config, params, row.astype(np.int32), *rows)
    start = 5
    for completion in completions:
        alone = whole(config, params, np.concatenate([prompt, completion], axis=1))
        stop = start + completion.shape[1]
        np.testing.assert_allclose(hidden[:, start:stop], alone[:, 5:], atol=2e-5)
        np.testing.assert_allclose(hidden[:, :5], alone[:, :5], atol=2e-5)
        start = stop


def gradient_and_bytes(remat_policy):
    config = tiny_config(num_layers=4, remat_policy=remat_policy)
    params, tokens = params_of(config.replace(remat_policy="none")), tokens_of(config, 2, LENGTH)

    def loss(params):
        positions = np.broadcast_to(np.arange(LENGTH), (2, LENGTH))
        hidden = Transformer(config).apply(
            {"params": params}, tokens, positions, np.ones_like(tokens)
        )
        return (hidden**3).sum()

    program = jax.jit(jax.grad(loss)).lower(params).compile()
    return program(params), program.memory_analysis().temp_size_in_bytes


def test_remat_changes_memory_not_gradients():
    plain, plain_bytes = gradient_and_bytes("none")
    num_bytes = {}
    for policy in ("dots_no_batch", "full"):
        saved, num_bytes[policy] = gradient_and_bytes(policy)
        close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
        jax.tree.map(close, plain, saved)
    assert num_bytes["full"] < num_bytes["dots_no_batch"] < plain_bytes


def test_bfloat16_compute_keeps_float32_logits_close():
    config = PLAIN
    params = params_of(config)
    tokens = tokens_of(config, 2, LENGTH)

    def logits(config):
        hidden = whole(config, params, tokens)
        return hidden, compiled(config, "logits")(params, hidden)

    exact_hidden, exact = logits(config)
    hidden, rounded = logits(config.replace(compute_dtype="bfloat16"))
    assert hidden.dtype == jnp.bfloat16 and exact_hidden.dtype == np.float32
    assert rounded.dtype == jnp.float32
    difference = np.abs(rounded - exact).max()
    assert 1e-4 < difference < 0.1 * np.abs(exact).max()


def test_soft_cap_bounds_logits():
    config = tiny_config("gemma2", final_soft_cap=0.5)
    params = params_of(config)
    logits = compiled(config, "logits")(params, 9 * jnp.ones((3, 16)))
    assert 0.4 < np.abs(logits).max() <= 0.5


def test_layers_are_stacked_by_block():
    config = tiny_config("gemma3", num_layers=5)
    shapes = param_shapes(config)
    assert (config.period, config.num_blocks, config.num_tail_layers) == (2, 2, 1)
    assert shapes["layers"]["layer_1"]["mlp"]["up"]["kernel"].shape == (2, 16, 32)
    assert shapes["tail"]["layer_0"]["mlp"]["up"]["kernel"].shape == (16, 32)


def test_every_parameter_has_logical_axes(model):
    config, params = model
    axes = logical_axes(config)
    is_spec = lambda leaf: isinstance(leaf, PartitionSpec)  # noqa: E731
    jax.tree.map(lambda leaf, spec: pytest.fail() if leaf.ndim != len(spec) else None, params, axes)
    names = {name for spec in jax.tree.leaves(axes, is_leaf=is_spec) for name in spec}
    assert names == {
        "vocab",
        "embed",
        "norm",
        "heads",
        "kv_heads",
        "head_dim",
        "mlp",
        "layers",
    }
