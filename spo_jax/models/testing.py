"""Tiny models and tokenizers for tests and for small experiments."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tokenizers

from spo_jax.models.config import ModelConfig, Rope
from spo_jax.models.saving import save_pretrained
from spo_jax.models.transformer import Params, param_shapes
from spo_jax.tokenizers import Tokenizer, tokenizer_of

_TINY: dict[str, Any] = {
    "family": "llama",
    "vocab_size": 48,
    "num_layers": 2,
    "embed_dim": 16,
    "mlp_dim": 32,
    "num_heads": 4,
    "num_kv_heads": 2,
    "head_dim": 8,
    "max_position": 128,
    "eos_ids": (2,),
    "bos_id": 1,
    "pad_id": 0,
}
_GEMMA: dict[str, Any] = {
    "activation": "gelu_tanh",
    "norm_plus_one": True,
    "post_norms": True,
    "embed_scale": 4.0,
    "final_soft_cap": 5.0,
    "sliding_window": 4,
}
_OF_FAMILY: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {"qkv_bias": True},
    "qwen3": {"qk_norm": True, "tie_embeddings": False},
    "gemma2": {**_GEMMA, "attention_soft_cap": 5.0},
    "gemma3": {**_GEMMA, "qk_norm": True, "local_rope": Rope(theta=100.0)},
}


def tiny_config(family: str = "llama", **overrides: Any) -> ModelConfig:
    """Returns a model with what is special to the family; it has two layers unless told.

    Gemma's layers are local and global in turn. `overrides` are fields of `ModelConfig`.
    """
    fields = {**_TINY, "family": family, **_OF_FAMILY[family], **overrides}
    if family in ("gemma2", "gemma3") and "layer_kinds" not in overrides:
        kinds = ("local", "global") * fields["num_layers"]
        fields["layer_kinds"] = kinds[: fields["num_layers"]]
    return ModelConfig(**fields)


def random_params(config: ModelConfig, key: jax.Array) -> Params:
    """Returns random parameters; norm scales and biases vary too, so no term is trivial.

    Drawn by numpy: compiling a random program for every shape would take seconds.
    """
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)))

    def draw(path: tuple[Any, ...], shape: jax.ShapeDtypeStruct) -> jax.Array:
        noise = random.standard_normal(shape.shape, np.float32)
        name, module = path[-1].key, path[-2].key if len(path) > 1 else ""
        if name == "scale":
            noise = 0.1 * noise + (not config.norm_plus_one)
        elif name == "bias":
            noise = 0.1 * noise
        else:
            inputs = {"output": config.num_heads * config.head_dim, "down": config.mlp_dim}
            noise = noise * inputs.get(module, config.embed_dim) ** -0.5
        return jnp.asarray(noise, shape.dtype)

    return jax.tree_util.tree_map_with_path(draw, param_shapes(config))


_CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def byte_tokenizer() -> Tokenizer:
    """One token a byte, and four special tokens: end, the two roles of a chat, padding."""
    specials = ["<|end|>", "<|user|>", "<|assistant|>", "<|pad|>"]
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*specials, *alphabet])}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(specials)
    return tokenizer_of(backend, chat_template=_CHAT, eos_token="<|end|>", pad_token="<|pad|>")


def character_tokenizer(characters: str) -> Tokenizer:
    """One token for each of the characters, and '.', which ends a message of either side.

    A conversation is its messages and nothing else; other characters are left out of it. So small
    a vocabulary leaves a model nothing to waste its probability on.
    """
    vocab = {token: i for i, token in enumerate([".", *characters])}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=[]))
    backend.decoder = tokenizers.decoders.Fuse()
    backend.add_special_tokens(["."])
    template = "{% for m in messages %}{{ m.content }}.{% endfor %}"
    return tokenizer_of(backend, chat_template=template, eos_token=".")


def save_uniform_model(
    directory: str | Path, characters: str, *, seed: int = 0, **overrides: Any
) -> None:
    """Writes an untrained model of two narrow layers that takes every token about equally likely.

    Its embedding, which also makes the logits, is small; the first answers of such a model are
    nearly uniform over strings, and training is quick. Loads by its path like any checkpoint.

    Args:
      directory: receives a Hugging Face checkpoint with its tokenizer.
      characters: of questions and answers; see `character_tokenizer`.
      seed: of the parameters.
      overrides: fields of `ModelConfig`.
    """
    tokenizer = character_tokenizer(characters)
    fields = {"embed_dim": 32, "mlp_dim": 64, "vocab_size": tokenizer.vocab_size} | overrides
    config = tiny_config(eos_ids=tokenizer.eos_ids, bos_id=None, **fields)
    params = random_params(config, jax.random.key(seed))
    params["embedding"] = jax.tree.map(lambda x: 0.1 * x, params["embedding"])
    save_pretrained(directory, config, params, tokenizer=tokenizer)
