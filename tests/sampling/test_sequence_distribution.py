"""Whole sequences through the end token, against probabilities multiplied out exactly."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from spo_jax.models.testing import random_params, tiny_config
from spo_jax.models.transformer import Transformer
from spo_jax.sampling import Sampler, SampleRequest
from spo_jax.types import SamplerSettings

V, END, LENGTH, SAMPLES = 5, 2, 3, 3000
PROMPT = [1, 3, 4]
SETTINGS = [
    SamplerSettings(max_completion_tokens=LENGTH),
    SamplerSettings(max_completion_tokens=LENGTH, temperature=0.6),
    SamplerSettings(max_completion_tokens=LENGTH, top_p=0.8),
    SamplerSettings(max_completion_tokens=LENGTH, top_k=2),
    SamplerSettings(max_completion_tokens=LENGTH, temperature=1.5, top_p=0.9, top_k=4),
]


def truncated(logits_V, settings: SamplerSettings):
    """The next-token distribution of the settings, by sorting, in float64."""
    probs_V = np.exp(np.asarray(logits_V, np.float64) / settings.temperature)
    order = np.argsort(-probs_V)
    if settings.top_k:
        probs_V[order[settings.top_k :]] = 0
    probs_V /= probs_V.sum()
    before = np.cumsum(probs_V[order]) - probs_V[order]
    if settings.top_p < 1:
        probs_V[order[before >= settings.top_p]] = 0
    return probs_V / probs_V.sum()


@pytest.fixture(scope="module")
def sequences():
    """Every completion that can come out: up to and including the first end token."""
    found = set()
    for tokens in itertools.product(range(V), repeat=LENGTH):
        found.add(tokens[: tokens.index(END) + 1] if END in tokens else tokens)
    return sorted(found)


@pytest.fixture(scope="module")
def model():
    return Transformer(tiny_config(vocab_size=V))


@pytest.fixture(scope="module")
def params(model):
    return random_params(model.config, jax.random.key(5))


@pytest.fixture(scope="module")
def next_logits(model, params):
    """Logits after the prompt and every prefix of a completion, by one full forward pass."""
    prefixes = [p for k in range(LENGTH) for p in itertools.product(range(V), repeat=k)]
    rows = [PROMPT + list(prefix) for prefix in prefixes]
    length = len(PROMPT) + LENGTH
    tokens_RL = np.array([row + [0] * (length - len(row)) for row in rows], np.int32)
    positions_RL = np.tile(np.arange(length, dtype=np.int32), (len(rows), 1))
    segment_ids_RL = np.array([[1] * len(row) + [0] * (length - len(row)) for row in rows])

    @jax.jit
    def forward(params):
        hidden = model.apply({"params": params}, tokens_RL, positions_RL, segment_ids_RL)
        last = hidden[jnp.arange(len(rows)), np.array([len(row) - 1 for row in rows])]
        return model.apply({"params": params}, last, method=model.logits)

    return dict(zip(prefixes, np.asarray(forward(params)), strict=True))


@pytest.fixture(scope="module")
def completions(model, params):
    sampler = Sampler(
        model,
        eos_ids=(END,),
        num_slots=250,
        max_prompt_tokens=4,
        max_completion_tokens=LENGTH,
        steps_per_call=2,
        prefill_chunk=4,
    )
    seeds = iter(range(10**6))
    requests = [
        SampleRequest(
            prompt_tokens=PROMPT, seeds=list(itertools.islice(seeds, SAMPLES)), settings=settings
        )
        for settings in SETTINGS
    ]
    return sampler.sample_all(params, requests)


@pytest.mark.parametrize("index", range(len(SETTINGS)))
def test_sequences_follow_the_exact_distribution(index, sequences, next_logits, completions):
    settings = SETTINGS[index]
    steps = {p: truncated(logits_V, settings) for p, logits_V in next_logits.items()}
    exact = {s: np.prod([steps[s[:i]][token] for i, token in enumerate(s)]) for s in sequences}
    assert np.isclose(sum(exact.values()), 1)
    counts = dict.fromkeys(sequences, 0)
    for completion in completions[index]:
        tokens = tuple(completion.tokens.tolist())
        counts[tokens] += 1
        assert np.isclose(completion.behavior_logprobs.sum(), np.log(exact[tokens]), atol=1e-4)
        assert completion.finish_reason == ("stop" if tokens[-1] == END else "length")
    expected = np.array([SAMPLES * exact[s] for s in sequences])
    observed = np.array([counts[s] for s in sequences])
    rare = expected < 5  # chi-square wants a few expected in every cell: pool the rare ones
    if rare.any():
        expected = np.append(expected[~rare], expected[rare].sum())
        observed = np.append(observed[~rare], observed[rare].sum())
    possible = expected > 0
    assert possible.sum() > 5  # the model is not so sure that there is nothing to test
    assert not observed[~possible].any()
    result = stats.chisquare(observed[possible], expected[possible], sum_check=False)
    assert result.pvalue > 1e-3
