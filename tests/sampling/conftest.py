"""A tiny model with a sliding window, and one sampler of it that most tests share."""

import jax
import pytest

from spo_jax.models.testing import random_params, tiny_config
from spo_jax.models.transformer import Transformer
from spo_jax.sampling import Sampler

END = 2


@pytest.fixture(scope="session")
def model():
    return Transformer(
        tiny_config(layer_kinds=("local", "global"), sliding_window=5, eos_ids=(END,))
    )


@pytest.fixture(scope="session")
def params(model):
    return random_params(model.config, jax.random.key(1))


@pytest.fixture(scope="session")
def make_sampler(model):
    """Awkward on purpose: chunks shorter than prompts, several looks per sample."""

    def make(num_slots, **changes):
        sizes = {"steps_per_call": 7, "prefill_batch": 3, "prefill_chunk": 8}
        return Sampler(
            model,
            eos_ids=(END,),
            num_slots=num_slots,
            max_prompt_tokens=20,
            max_completion_tokens=24,
            **(sizes | changes),
        )

    return make


@pytest.fixture(scope="session")
def sampler(make_sampler):
    """Few slots, so that samples wait for one."""
    return make_sampler(5)
