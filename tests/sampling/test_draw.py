"""Draws against exact probabilities, and the sets that truncation keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from spo_jax.sampling.draw import DrawSettings, draw_tokens

SETTINGS = [  # temperature, top_p, top_k
    (1.0, 1.0, 0),
    (0.6, 1.0, 0),
    (1.7, 1.0, 0),
    (1.0, 0.7, 0),
    (1.0, 1.0, 3),
    (0.8, 0.6, 4),
    (1.3, 0.05, 0),
    (1.0, 1.0, 1),
]
DRAWS = 4000
draw = jax.jit(draw_tokens)


def exact_distribution(logits_V, temperature, top_p, top_k):
    """Sorts, cuts and renormalises, in float64."""
    scaled_V = np.asarray(logits_V, np.float64) / temperature
    probs_V = np.exp(scaled_V - scaled_V.max())
    order = np.argsort(-probs_V, kind="stable")
    if top_k:
        probs_V[order[top_k:]] = 0
    probs_V /= probs_V.sum()
    before = np.cumsum(probs_V[order]) - probs_V[order]
    if top_p < 1:
        probs_V[order[before >= top_p]] = 0
    return probs_V / probs_V.sum()


def settings_of(rows) -> DrawSettings:
    temperature, top_p, top_k = zip(*rows, strict=True)
    return DrawSettings(jnp.float32(temperature), jnp.float32(top_p), jnp.int32(top_k))


@pytest.fixture(scope="module")
def mixed_draws():
    """All settings side by side in one call, on a vocabulary of 11."""
    logits_V = np.random.default_rng(3).normal(size=11).astype(np.float32) * 1.5
    B = DRAWS * len(SETTINGS)
    uniforms_B2 = jax.random.uniform(jax.random.key(0), (B, 2))
    settings = settings_of([row for row in SETTINGS for _ in range(DRAWS)])
    tokens_B, logprobs_B = draw(np.tile(logits_V, (B, 1)), uniforms_B2, settings)
    shape = (len(SETTINGS), DRAWS)
    return logits_V, np.asarray(tokens_B).reshape(shape), np.asarray(logprobs_B).reshape(shape)


@pytest.mark.parametrize("index", range(len(SETTINGS)))
def test_draws_follow_the_exact_distribution(mixed_draws, index):
    logits_V, tokens, logprobs = (mixed_draws[0], mixed_draws[1][index], mixed_draws[2][index])
    probs_V = exact_distribution(logits_V, *SETTINGS[index])
    counts_V = np.bincount(tokens, minlength=11)
    assert not counts_V[probs_V == 0].any()
    np.testing.assert_allclose(logprobs, np.log(probs_V[tokens]), atol=2e-6)
    kept = probs_V > 0
    if kept.sum() > 1:
        assert stats.chisquare(counts_V[kept], DRAWS * probs_V[kept]).pvalue > 1e-3


def test_greedy_takes_the_first_of_the_highest_with_certainty():
    logits_BV = jnp.float32([[0, 3, 1, 3], [5, 3, 1, 3]])
    settings = settings_of([(0.0, 1.0, 0), (0.0, 0.5, 2)])
    tokens_B, logprobs_B = draw(logits_BV, jnp.full((2, 2), 0.99), settings)
    np.testing.assert_array_equal(tokens_B, [1, 0])
    np.testing.assert_array_equal(logprobs_B, [0, 0])


def test_truncation_keeps_exactly_the_right_set_of_a_large_vocabulary():
    """The log-probability of a draw gives the kept mass: one token too many would show."""
    rng = np.random.default_rng(0)
    V = 3001  # not a multiple of the block size
    cases = [(1.0, 0.95, 0), (0.4, 0.95, 0), (1.0, 1.0, 50), (0.7, 0.9, 200), (1.5, 0.999, 0)]
    logits_BV = rng.normal(size=(len(cases), V)).astype(np.float32) * 4
    tokens_B, logprobs_B = draw(
        logits_BV, rng.uniform(size=(len(cases), 2)).astype(np.float32), settings_of(cases)
    )
    for logits_V, case, token, logprob in zip(logits_BV, cases, tokens_B, logprobs_B, strict=True):
        expected = np.log(exact_distribution(logits_V, *case)[token])
        np.testing.assert_allclose(logprob, expected, atol=1e-5)


def test_tied_logits_at_the_edge_are_kept_together():
    logits_BV = jnp.zeros((1, 6)).at[0, :2].set(3.0)
    uniforms_B2 = jnp.float32([[0.9999, 0.9999]])
    _, logprobs_B = draw(logits_BV, uniforms_B2, settings_of([(1.0, 1.0, 3)]))
    expected = exact_distribution(logits_BV[0], 1.0, 1.0, 0)
    assert np.isclose(np.exp(logprobs_B[0]), expected[0], atol=1e-6) or np.isclose(
        np.exp(logprobs_B[0]), expected[5], atol=1e-6
    )


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24])
def test_extreme_uniforms_never_draw_what_has_no_mass(uniform):
    logits_V = np.full(300, -np.inf, np.float32)
    logits_V[[40, 41, 200]] = [1.0, 2.0, 1.5]
    settings = settings_of([(1.0, 1.0, 0)])
    tokens_B, logprobs_B = draw(logits_V[None], jnp.full((1, 2), uniform), settings)
    assert int(tokens_B[0]) in (40, 200)
    assert np.isfinite(logprobs_B).all()


def test_very_low_temperature_stays_finite():
    logits_BV = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32) * 30
    settings = settings_of([(0.01, 1.0, 0), (0.01, 0.9, 20)])
    tokens_B, logprobs_B = draw(logits_BV, jnp.full((2, 2), 0.5), settings)
    np.testing.assert_array_equal(tokens_B, logits_BV.argmax(axis=-1))
    np.testing.assert_allclose(logprobs_B, 0, atol=1e-6)
