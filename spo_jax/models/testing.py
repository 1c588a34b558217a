"""Tiny models for tests."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spo_jax.models.config import ModelConfig, Rope
from spo_jax.models.transformer import Params, param_shapes

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
