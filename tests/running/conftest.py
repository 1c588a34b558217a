"""A tiny language model with a tokenizer and chat template, as a Hugging Face directory."""

import json

import jax
import pytest
import tokenizers
import transformers

from spo_jax.models import save_pretrained
from spo_jax.models.testing import random_params, tiny_config
from spo_jax.tokenizers import Tokenizer

_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory):
    """Runs of one shape share their compiled programs: a dozen runs compile as one."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    yield
    jax.config.update("jax_compilation_cache_dir", None)


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """Bytes and four special tokens."""
    specials = ["<|end|>", "<|user|>", "<|assistant|>", "<|pad|>"]
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*specials, *alphabet])}
    fast = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=[]))
    fast.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = tokenizers.decoders.ByteLevel()
    fast.add_special_tokens(specials)
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=fast, eos_token="<|end|>", pad_token="<|pad|>"
    )
    wrapped.chat_template = _TEMPLATE
    return Tokenizer(wrapped)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory, tiny_tokenizer):
    """Directory of a random two-layer model over that tokenizer."""
    path = tmp_path_factory.mktemp("tiny") / "model"
    config = tiny_config(
        vocab_size=tiny_tokenizer.vocab_size, max_position=512, eos_ids=tiny_tokenizer.eos_ids
    )
    params = random_params(config, jax.random.key(0))
    save_pretrained(path, config, params, tokenizer=tiny_tokenizer)
    assert json.loads((path / "config.json").read_text())["model_type"] == "llama"
    return str(path)
