"""Attention over packed rows: one function, with the best kernel of each platform behind it.

Letters are defined in `layers.py`. docs/attention.md says which kernel runs where, and why.

  plain   jnp, everywhere; materialises scores [R, K, T, G, S]
  splash  JAX's Pallas kernel for TPUs (`splash.py`)
  cudnn   cuDNN's flash attention for NVIDIA GPUs, through `jax.nn.dot_product_attention`
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from spo_jax.errors import UserError
from spo_jax.models.caches import HeadsFirst
from spo_jax.models.config import LayerKind, ModelConfig
from spo_jax.models.masked_attention import attend, cudnn_attention, row_mask

_NATIVE = {"tpu": "splash", "gpu": "cudnn"}
_CUDNN_MAX_HEAD_DIM = 128  # 256 from Hopper on

_QUERY = ("batch", "length", "activation_heads", None)
_KEY = ("batch", "key_length", "activation_kv_heads", None)
_MASK = ("batch", "length", "key_length")


class KernelChoice(NamedTuple):
    """Which kernel runs ('plain', 'splash' or 'cudnn') and why, in words."""

    name: str
    reason: str


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("positions_RL", "segment_ids_RL", "prefix_ids_RL", "mask_RLS"),
    meta_fields=("window", "kernel"),
)
@dataclasses.dataclass(frozen=True)
class AttentionRows:
    """How tokens lie in rows, for the layers of one kind; made by `attention_rows`.

    Attributes:
      positions_RL, segment_ids_RL, prefix_ids_RL: see `Transformer.__call__`.
      mask_RLS: bool, see `row_mask`; None for a kernel that works from the ids.
      window: of this kind of layer, or None.
      kernel: name of a `KernelChoice`.
    """

    positions_RL: jax.Array
    segment_ids_RL: jax.Array
    prefix_ids_RL: jax.Array | None
    mask_RLS: jax.Array | None
    window: int | None
    kernel: str


def attention_kernel(config: ModelConfig, platform: str, row_length: int) -> KernelChoice:
    """Returns the kernel for rows of this length on a platform ('cpu', 'tpu', 'gpu').

    `config.attention` is a kernel's name or 'auto', which takes the platform's own kernel where it
    can do what the model needs, and 'plain' elsewhere. 'splash' on a CPU is interpreted, for tests.

    Raises:
      UserError: the configuration names a kernel that cannot do it.
    """
    asked = config.attention
    if asked == "plain":
        return KernelChoice("plain", "attention='plain'")
    name = _NATIVE.get(platform) if asked == "auto" else asked
    if name is None:
        return KernelChoice("plain", f"there is no other kernel for platform '{platform}'")
    obstacle = _obstacle(name, config, platform, row_length)
    if obstacle is None:
        why = f"the kernel of platform '{platform}'" if asked == "auto" else f"attention='{asked}'"
        return KernelChoice(name, why)
    if asked == "auto":
        return KernelChoice("plain", obstacle)
    raise UserError(f"attention='{asked}': {obstacle}; use 'auto' or 'plain'")


def _obstacle(name: str, config: ModelConfig, platform: str, row_length: int) -> str | None:
    """What keeps a kernel from running, or None."""
    if name == "splash":
        if platform not in ("tpu", "cpu"):
            return f"splash attention needs platform 'tpu', not '{platform}'"
        return None
    if platform != "gpu":
        return f"cuDNN needs platform 'gpu', not '{platform}'"
    if config.compute_dtype not in ("bfloat16", "float16"):
        return f"cuDNN needs compute_dtype bfloat16 or float16, not {config.compute_dtype}"
    if config.attention_soft_cap is not None:
        return f"cuDNN has no soft cap, and attention_soft_cap={config.attention_soft_cap}"
    if config.head_dim % 8 or config.head_dim > _CUDNN_MAX_HEAD_DIM:
        limit = _CUDNN_MAX_HEAD_DIM
        return f"cuDNN needs head_dim a multiple of 8 up to {limit}, not {config.head_dim}"
    if row_length % 2:
        return f"cuDNN needs an even row length, not {row_length}"
    return None


def compiled_platform() -> str:
    """Returns what a function traced now is compiled for: the mesh's platform, or the default."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    if device is not None:
        return str(device.platform)
    default = jax.config.jax_default_device  # type: ignore[attr-defined]
    if isinstance(default, jax.Device):
        return str(default.platform)
    return default or jax.default_backend()


def attention_rows(
    config: ModelConfig,
    kind: LayerKind,
    positions_RL: jax.Array,
    segment_ids_RL: jax.Array,
    prefix_ids_RL: jax.Array | None,
) -> AttentionRows:
    """Returns what `row_attention` needs of the rows, once for all layers of a kind.

    Raises:
      UserError: `config` names a kernel that cannot run here.
    """
    window = config.window_of(kind)
    name = attention_kernel(config, compiled_platform(), segment_ids_RL.shape[1]).name
    mask = None
    if name != "splash":
        mask = row_mask(positions_RL, segment_ids_RL, prefix_ids_RL, window)
        mask = nn.with_logical_constraint(mask, _MASK)
    return AttentionRows(positions_RL, segment_ids_RL, prefix_ids_RL, mask, window, name)


def row_attention(
    q_RLNH: jax.Array,
    k_RLKH: jax.Array,
    v_RLKH: jax.Array,
    rows: AttentionRows,
    *,
    scale: float,
    soft_cap: float | None,
) -> jax.Array:
    """Causal attention within segments and to named prefixes; returns [R, L, N, H] in q's dtype.

    The softmax is in float32. What pads give is finite and meaningless, and differs by kernel.
    Kernels run on each device's shard of a mesh: rows and heads where the rules put them, queries
    split by 'length', keys whole.

    Args:
      q_RLNH, k_RLKH, v_RLKH: rotated; N divisible by K.
      rows: from `attention_rows`.
      scale: multiplies q. soft_cap: of the scores, or None.
    """
    if rows.kernel == "splash":
        from spo_jax.models import splash  # half a second of imports that only TPUs need

        attend_shard = functools.partial(
            splash.splash_attention,
            scale=scale,
            soft_cap=soft_cap,
            window=rows.window,
            interpret=compiled_platform() != "tpu",
        )
        ids = splash.row_ids(
            rows.positions_RL, rows.segment_ids_RL, rows.prefix_ids_RL, rows.window
        )
        return _on_shards(attend_shard, q_RLNH, k_RLKH, v_RLKH, ids, splash.ID_AXES)
    assert rows.mask_RLS is not None
    if rows.kernel == "cudnn":
        attend_shard = functools.partial(cudnn_attention, scale=scale)
        return _on_shards(attend_shard, q_RLNH, k_RLKH, v_RLKH, rows.mask_RLS, _MASK)
    attended = HeadsFirst(k_RLKH.transpose(0, 2, 3, 1), v_RLKH.transpose(0, 2, 1, 3))
    return attend(q_RLNH, attended, rows.mask_RLS, scale=scale, soft_cap=soft_cap)


def _on_shards(
    attention: Callable[..., jax.Array],
    q_RLNH: jax.Array,
    k_RSKH: jax.Array,
    v_RSKH: jax.Array,
    extra: Any,
    extra_axes: Any,
) -> jax.Array:
    """Calls `attention` on each device's shard; as it is without a mesh.

    Args:
      extra: a pytree of more arguments. extra_axes: the same tree of tuples of logical axes.
    """
    mesh = jax.sharding.get_abstract_mesh()
    group = q_RLNH.shape[2] // k_RSKH.shape[2]
    if mesh.empty:
        return attention(q_RLNH, k_RSKH, v_RSKH, extra)
    query, key = _spec(q_RLNH, _QUERY), _spec(k_RSKH, _KEY)

    def on_shard(q: jax.Array, k: jax.Array, v: jax.Array, extra: Any) -> jax.Array:
        if k.shape[2] * group != q.shape[2]:
            heads = _own_kv_heads(q.shape[2], group, query[2])
            k, v = jnp.take(k, heads, axis=2), jnp.take(v, heads, axis=2)
        return attention(q, k, v, extra)

    specs = jax.tree.map(
        lambda x, axes: None if x is None else _spec(x, axes),
        extra,
        extra_axes,
        is_leaf=lambda x: x is None,
    )
    return jax.shard_map(
        on_shard, in_specs=(query, key, key, specs), out_specs=query, check_vma=False
    )(q_RLNH, k_RSKH, v_RSKH, extra)


def _spec(x: jax.Array, axes: tuple[str | None, ...]) -> PartitionSpec:
    """Where the rules put an array; a dimension that its mesh axes do not divide is not split."""
    sizes = jax.sharding.get_abstract_mesh().shape

    def divided(names: str | tuple[str, ...] | None, size: int) -> str | tuple[str, ...] | None:
        listed = (names,) if isinstance(names, str) else names or ()
        return None if size % math.prod(sizes[name] for name in listed) else names

    spec = nn.logical_to_mesh_axes(axes) or ()
    return PartitionSpec(*(divided(*pair) for pair in zip(spec, x.shape, strict=True)))


def _own_kv_heads(num_heads: int, group: int, mesh_axes: str | tuple[str, ...] | None) -> jax.Array:
    """Which key-value heads a shard of the query heads needs, where every shard has them all.

    One for each of its query heads where those do not fill or share whole groups.
    """
    shard = jax.lax.axis_index(mesh_axes) if mesh_axes else 0
    if num_heads % group == 0:
        local = group * jnp.arange(num_heads // group)
    elif group % num_heads == 0:
        local = jnp.zeros(1, jnp.int32)
    else:
        local = jnp.arange(num_heads)
    return (shard * num_heads + local) // group
