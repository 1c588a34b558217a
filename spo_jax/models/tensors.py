"""Where each published tensor lies in the parameter tree.

A projection is published as [output, input]; here it is [*input, *output], heads unfolded, with
the layers of one position in the period stacked.
"""

import dataclasses
import math
from typing import Any

import jax
import numpy as np

from spo_jax.models.config import ModelConfig
from spo_jax.models.transformer import layer_name, param_shapes

Path = tuple[str, ...]

_TOP_NAMES: dict[Path, str] = {
    ("embedding",): "model.embed_tokens.weight",
    ("final_norm", "scale"): "model.norm.weight",
    ("lm_head",): "lm_head.weight",
}
_MODULES: dict[Path, str] = {
    ("attention_norm",): "input_layernorm",
    ("attention", "query"): "self_attn.q_proj",
    ("attention", "key"): "self_attn.k_proj",
    ("attention", "value"): "self_attn.v_proj",
    ("attention", "output"): "self_attn.o_proj",
    ("attention", "query_norm"): "self_attn.q_norm",
    ("attention", "key_norm"): "self_attn.k_norm",
    ("mlp", "gate"): "mlp.gate_proj",
    ("mlp", "up"): "mlp.up_proj",
    ("mlp", "down"): "mlp.down_proj",
    ("post_attention_norm",): "post_attention_layernorm",
    ("post_mlp_norm",): "post_feedforward_layernorm",
}
_LEAVES = {"kernel": "weight", "bias": "bias", "scale": "weight"}


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One published tensor.

    Attributes:
      name: published name. shape: published shape.
      block: index into the leaf's leading axis, or None where the leaf is not stacked.
      leaf_shape: shape here, without the leading axis.
      num_inputs: leading axes of `leaf_shape` that a projection contracts; 0 if it is none.
    """

    name: str
    shape: tuple[int, ...]
    block: int | None
    leaf_shape: tuple[int, ...]
    num_inputs: int

    def published_view(self, leaf: np.ndarray) -> np.ndarray:
        """Returns a contiguous leaf (or its block) in the published shape: to read or fill."""
        block = leaf if self.block is None else leaf[self.block]
        if not self.num_inputs:
            return block.reshape(self.shape)
        return block.reshape(self.shape[::-1]).T


def tensors_by_leaf(config: ModelConfig) -> dict[Path, list[Tensor]]:
    """Returns, for every leaf of the parameter tree, the published tensors that fill it."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(param_shapes(config))
    table = {}
    for keys, leaf in leaves:
        path = tuple(key.key for key in keys)
        table[path] = _tensors_of(config, path, leaf.shape)
    return table


def leaf_at(params: Any, path: Path) -> Any:
    for name in path:
        params = params[name]
    return params


def _tensors_of(config: ModelConfig, path: Path, shape: tuple[int, ...]) -> list[Tensor]:
    if path in _TOP_NAMES:
        return [Tensor(_TOP_NAMES[path], shape, None, shape, 0)]
    group, layer, *module, leaf = path
    period = config.period
    offset = next(i for i in range(period) if layer_name(i) == layer)
    suffix = f"{_module_name(config, tuple(module))}.{_LEAVES[leaf]}"
    if group == "tail":
        index = config.num_blocks * period + offset
        return [_layer_tensor(index, suffix, None, shape, tuple(module), leaf)]
    return [
        _layer_tensor(block * period + offset, suffix, block, shape[1:], tuple(module), leaf)
        for block in range(config.num_blocks)
    ]


def _layer_tensor(
    index: int, suffix: str, block: int | None, shape: tuple[int, ...], module: Path, leaf: str
) -> Tensor:
    num_inputs = 0 if leaf != "kernel" else 2 if module == ("attention", "output") else 1
    published: tuple[int, ...] = (math.prod(shape),)
    if num_inputs:
        published = (math.prod(shape[num_inputs:]), math.prod(shape[:num_inputs]))
    return Tensor(f"model.layers.{index}.{suffix}", published, block, shape, num_inputs)


def _module_name(config: ModelConfig, module: Path) -> str:
    if module == ("mlp_norm",):
        # Where there are four norms, the published "post_attention" one really is after attention.
        return "pre_feedforward_layernorm" if config.post_norms else "post_attention_layernorm"
    return _MODULES[module]
