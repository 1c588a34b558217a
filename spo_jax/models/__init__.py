"""Decoder-only language models in linen, and their published files.

Names are imported on first use: reading a GGUF file's tokenizer needs no jax.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spo_jax.models.config import ModelConfig, Rope
    from spo_jax.models.pretrained import Pretrained, load_config, load_pretrained, params_id
    from spo_jax.models.saving import save_pretrained
    from spo_jax.models.transformer import (
        Cache,
        Params,
        Transformer,
        decode_params,
        init_cache,
        logical_axes,
        param_shapes,
    )
    from spo_jax.models.value_model import ValueModel

__all__ = [
    "Cache",
    "ModelConfig",
    "Params",
    "Pretrained",
    "Rope",
    "Transformer",
    "ValueModel",
    "decode_params",
    "init_cache",
    "load_config",
    "load_pretrained",
    "logical_axes",
    "param_shapes",
    "params_id",
    "save_pretrained",
]

_MODULES = {
    "config": ("ModelConfig", "Rope"),
    "pretrained": ("Pretrained", "load_config", "load_pretrained", "params_id"),
    "saving": ("save_pretrained",),
    "value_model": ("ValueModel",),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    module = next((m for m, names in _MODULES.items() if name in names), "transformer")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
