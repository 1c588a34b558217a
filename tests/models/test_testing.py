"""The tiny untrained start: loads like a checkpoint and takes every token about equally likely."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.models import Transformer, load_pretrained
from spo_jax.models.testing import byte_tokenizer, character_tokenizer, save_uniform_model
from spo_jax.tokenizers import load_tokenizer

MESSAGES = [{"role": "user", "content": "bad"}]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("uniform")
    save_uniform_model(path, "abcd")
    return path


def test_characters_are_tokens_and_nothing_else_is():
    tokenizer = character_tokenizer("abcd")
    assert (tokenizer.vocab_size, tokenizer.eos_ids) == (5, (0,))
    assert tokenizer.chat_prompt(MESSAGES) == [2, 1, 4, 0]
    assert tokenizer.encode("a?b") == [1, 2]
    assert tokenizer.decode([4, 4, 1, 0]) == "dda"


def test_bytes_come_back_as_text():
    tokenizer = byte_tokenizer()
    text = "naïve 日本語\n"
    assert len(tokenizer.encode(text)) == len(text.encode())
    assert tokenizer.decode(tokenizer.encode(text)) == text
    prompt = tokenizer.decode(tokenizer.chat_prompt(MESSAGES), skip_special_tokens=False)
    assert prompt == "<|user|>bad<|end|><|assistant|>"


def test_the_untrained_start_is_nearly_uniform(directory):
    tokenizer, loaded = load_tokenizer(directory), load_pretrained(directory)
    assert tokenizer.hash == character_tokenizer("abcd").hash
    model = Transformer(loaded.config)
    tokens_1L = jnp.asarray([tokenizer.chat_prompt(MESSAGES) + tokenizer.encode("ddab")])
    positions_1L = jnp.arange(tokens_1L.shape[1])[None]
    variables = {"params": loaded.params}
    hidden = model.apply(variables, tokens_1L, positions_1L, jnp.ones_like(tokens_1L))
    logits = model.apply(variables, hidden, method=model.logits)
    probabilities = np.asarray(jax.nn.softmax(logits))
    assert probabilities.shape[-1] == 5
    assert probabilities.min() > 0.15 and probabilities.max() < 0.25
