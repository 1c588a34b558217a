"""Scores against the plain computation, invariances of the layout, and compiled memory."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.models.testing import random_params, tiny_config
from spo_jax.models.transformer import Transformer, logical_axes, param_shapes
from spo_jax.packing import PackedRows, pack_prompt_groups, pack_separately
from spo_jax.scoring import score_rows
from spo_jax.sharding import axis_rules, batch_sharding, make_mesh, on_mesh, shard_params

PROMPTS = [[1, 5, 9, 4], [1, 7]]
GROUPS = [[[11, 12, 13, 2], [21, 2], [31, 32, 33, 34, 35]], [[41, 42, 2], [43]]]
T = 6
CONFIG = tiny_config()
MODEL = Transformer(CONFIG)


@pytest.fixture(scope="module")
def params():
    return random_params(CONFIG, jax.random.key(0))


def shared_rows(*, num_rows=2, row_length=16, max_tokens=T, pad_id=0) -> PackedRows:
    return pack_prompt_groups(
        PROMPTS,
        GROUPS,
        num_rows=num_rows,
        row_length=row_length,
        completions_per_row=3,
        max_completion_tokens=max_tokens,
        pad_id=pad_id,
    )


def separate_rows(*, row_length=12, max_tokens=T, pad_id=0) -> PackedRows:
    """The same sequences in the order of the shared layout; the unused slot is an empty one."""
    return pack_separately(
        [PROMPTS[0]] * 3 + [PROMPTS[1]] * 3,
        [*GROUPS[0], *GROUPS[1], []],
        num_rows=6,
        row_length=row_length,
        max_completion_tokens=max_tokens,
        pad_id=pad_id,
    )


def plain_scores(model, params, rows: PackedRows):
    """All logits at once: what `score_rows` must equal."""
    inputs = (rows.tokens_RL, rows.positions_RL, rows.segment_ids_RL, rows.prefix_ids_RL)
    hidden_RLD = model.apply({"params": params}, *inputs)
    logits_RLV = model.apply({"params": params}, hidden_RLD, method=model.logits)
    log_softmax_RLV = jax.nn.log_softmax(logits_RLV.astype(jnp.float32), axis=-1)
    entropy_RL = -(jnp.exp(log_softmax_RLV) * log_softmax_RLV).sum(axis=-1)
    R, n, T = rows.index_RnT.shape
    r = np.arange(R)[:, None, None]
    logprobs_RnT = log_softmax_RLV[r, rows.index_RnT, rows.targets_RnT]
    entropy_RnT = entropy_RL[r, rows.index_RnT]
    return tuple(
        jnp.where(rows.mask_RnT, x, 0.0).reshape(R * n, T) for x in (logprobs_RnT, entropy_RnT)
    )


@functools.partial(jax.jit, static_argnames=("score",))
def values_and_gradient(params, rows, weights_BT, *, score):
    """Scores, and the gradient of an arbitrary function of both kinds of score."""

    def loss(params):
        logprobs_BT, entropy_BT = score(params, rows)
        value = (weights_BT * (jnp.square(logprobs_BT) + 0.3 * entropy_BT)).sum()
        return value, (logprobs_BT, entropy_BT)

    return jax.grad(loss, has_aux=True)(params)


CHUNKED = functools.partial(score_rows, MODEL, chunk_tokens=4)
PLAIN = functools.partial(plain_scores, MODEL)
WEIGHTS = np.random.default_rng(0).normal(size=(6, T)).astype(np.float32)


@pytest.fixture(scope="module")
def shared_result(params):
    """Gradient and scores of the prompt-sharing rows: what other layouts must give too."""
    return values_and_gradient(params, shared_rows(), WEIGHTS, score=CHUNKED)


def assert_same(actual, expected):
    """Differences are at most 1e-5 of each array's largest magnitude."""

    def check(a, b):
        scale = max(np.abs(np.asarray(b)).max(), 1e-3)
        np.testing.assert_allclose(a, b, atol=1e-5 * scale, rtol=0)

    jax.tree.map(check, actual, expected)


def test_equals_the_plain_computation_in_values_and_gradients(params, shared_result):
    rows = shared_rows()
    assert_same(shared_result, values_and_gradient(params, rows, WEIGHTS, score=PLAIN))
    logprobs_BT = np.asarray(shared_result[1][0])
    assert (logprobs_BT[rows.mask_RnT.reshape(6, T)] < 0).all()


@pytest.mark.parametrize("chunk_tokens", [1, 10**6])
def test_chunk_size_does_not_matter(params, shared_result, chunk_tokens):
    rows = shared_rows()
    actual = jax.jit(functools.partial(score_rows, MODEL, chunk_tokens=chunk_tokens))(params, rows)
    assert_same(tuple(actual), shared_result[1])


def test_prompt_sharing_rows_equal_separate_rows(params, shared_result):
    separate = values_and_gradient(params, separate_rows(), WEIGHTS, score=CHUNKED)
    assert_same(shared_result, separate)


def test_padding_changes_nothing(params, shared_result):
    padded = shared_rows(num_rows=4, row_length=21, max_tokens=T + 3, pad_id=7)
    weights = np.full((12, T + 3), 5.0, np.float32)
    weights[:6, :T] = WEIGHTS
    gradient, scores = values_and_gradient(params, padded, weights, score=CHUNKED)
    assert_same((gradient, tuple(x[:6, :T] for x in scores)), shared_result)
    assert not np.asarray(scores[0][6:]).any()
    assert not np.asarray(scores[1][:, T:]).any()


def test_masked_equals_sliced(params):
    """Masking a completion's last tokens is the same as not having them."""
    prompts, long, short = [[1, 5, 9]], [[11, 12, 13, 14]], [[11, 12]]
    sizes = {"num_rows": 1, "row_length": 8, "max_completion_tokens": T, "pad_id": 0}
    masked = pack_separately(prompts, long, completion_masks=[[True, True, False, False]], **sizes)
    sliced = pack_separately(prompts, short, **sizes)
    results = [
        values_and_gradient(params, rows, WEIGHTS[:1], score=CHUNKED) for rows in (masked, sliced)
    ]
    assert_same(*results)


def test_nothing_to_score_gives_zeros_and_finite_gradients(params):
    rows = shared_rows()
    rows = rows._replace(mask_RnT=np.zeros_like(rows.mask_RnT))
    gradient, scores = values_and_gradient(params, rows, WEIGHTS, score=CHUNKED)
    assert not any(np.asarray(x).any() for x in scores)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
    ("family", "vocab_size", "chunk_tokens"),
    [
        # An output matrix of its own, capped logits; blocks that do not divide the vocabulary.
        ("llama", 50, 2),
        pytest.param("qwen3", 48, 1, marks=pytest.mark.slow),  # blocks that do
        pytest.param("gemma2", 50, 1024, marks=pytest.mark.slow),  # one block
    ],
)
def test_vocabulary_blocks_on_a_mesh_equal_the_plain_computation(family, vocab_size, chunk_tokens):
    config = tiny_config(
        family, vocab_size=vocab_size, tie_embeddings=False, final_soft_cap=5.0, num_layers=1
    )
    model, params = Transformer(config), random_params(config, jax.random.key(3))
    rows = shared_rows(num_rows=4)
    weights = np.concatenate([WEIGHTS] * 2)
    plain = functools.partial(plain_scores, model)
    expected = values_and_gradient(params, rows, weights, score=plain)
    mesh = make_mesh(fsdp=2, sequence=2, tensor=2)
    axes = logical_axes(config)
    with on_mesh(mesh, axis_rules(mesh, axes, params)):
        actual = values_and_gradient(
            shard_params(params, mesh, axes),
            jax.device_put(rows, batch_sharding(mesh)),
            jax.device_put(weights, batch_sharding(mesh)),
            score=functools.partial(score_rows, model, chunk_tokens=chunk_tokens),
        )
    assert_same(jax.device_get(actual), jax.device_get(expected))


class CountingModel:
    """Hidden states are tokens; every logits call reports how many tokens met the vocabulary."""

    def __init__(self):
        self.counted = []

    def apply(self, variables, *args, method=None):
        if method is None:
            return jax.nn.one_hot(args[0], 8) * variables["params"][None, None]
        return method(args[0])

    def logits(self, hidden_XD):
        jax.debug.callback(self.counted.append, np.prod(hidden_XD.shape[:-1]))
        return hidden_XD


def test_prompts_and_pads_never_meet_the_vocabulary():
    rows = pack_separately(
        [[1] * 50, [2]],
        [[3], [4, 5]],
        num_rows=2,
        row_length=64,
        max_completion_tokens=40,
        pad_id=0,
    )
    model = CountingModel()
    score_rows(model, jnp.ones(8), rows, chunk_tokens=4)
    jax.effects_barrier()
    assert sum(map(int, model.counted)) == 4  # 3 tokens to score, 115 positions, 80 slots


def test_hand_values():
    """Logits are a one-hot of the input token, so both scores are known in closed form."""
    rows = pack_separately(
        [[1]], [[1, 3]], num_rows=1, row_length=4, max_completion_tokens=3, pad_id=0
    )
    scores = score_rows(CountingModel(), jnp.ones(8), rows)
    log_norm = np.log(np.e + 7)
    entropy = log_norm - np.e / (np.e + 7)
    np.testing.assert_allclose(scores.logprobs_BT, [[1 - log_norm, -log_norm, 0]], rtol=1e-6)
    np.testing.assert_allclose(scores.entropy_BT, [[entropy, entropy, 0]], rtol=1e-6)


def large_vocabulary_gradient(score):
    """Compiles the gradient on 4 x 64 tokens and a vocabulary of 4096."""
    config = tiny_config(vocab_size=4096)
    model, params = Transformer(config), param_shapes(config)
    rows = pack_separately(
        [[1]] * 4, [[3] * 64] * 4, num_rows=4, row_length=64, max_completion_tokens=64, pad_id=0
    )
    weights = np.ones((4, 64), np.float32)
    lowered = values_and_gradient.lower(
        params, rows, weights, score=functools.partial(score, model)
    )
    return lowered.compile()


def test_trap_btv_float32_logits():
    """Neither the forward nor the backward pass holds logits of all tokens at once."""
    chunked = large_vocabulary_gradient(functools.partial(score_rows, chunk_tokens=16))
    plain = large_vocabulary_gradient(plain_scores)
    all_logits = 4 * 64 * 4096
    assert largest_float_array(plain) >= all_logits
    assert largest_float_array(chunked) < all_logits
    temporary = chunked.memory_analysis().temp_size_in_bytes
    assert temporary < 4 * all_logits
    assert temporary < plain.memory_analysis().temp_size_in_bytes / 3


def largest_float_array(compiled) -> int:
    shapes = re.findall(r"f32\[([\d,]+)\]", compiled.as_text())
    return max(int(np.prod([int(size) for size in shape.split(",")])) for shape in shapes)
