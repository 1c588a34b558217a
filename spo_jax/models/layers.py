"""One decoder layer in linen. Modules name logical axes; `sharding.py` maps them to the mesh.

Letters: B sequences (R for packed rows), T token positions, S key positions, D model, F mlp,
N heads, K key-value heads, G = N / K query heads per key-value head, H head dim, V vocabulary.

Logical axes of parameters: 'vocab', 'embed', 'norm', 'heads', 'kv_heads', 'head_dim', 'mlp', and
'layers' for the scanned axis. Of activations: 'batch', 'length', 'key_length', 'activation_embed',
'activation_heads', 'activation_kv_heads', 'activation_mlp', 'activation_vocab'.
"""

import math
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from spo_jax.models.attention import AttentionRows, row_attention
from spo_jax.models.caches import LayerCache
from spo_jax.models.config import LayerKind, ModelConfig
from spo_jax.models.masked_attention import attend
from spo_jax.models.rope import rotate


class LayerInputs(NamedTuple):
    """What every layer of one kind shares.

    Attributes:
      cos, sin: float32 [B, T, H / 2].
      rows: of packed rows; None with a cache.
      mask: bool [B, T, S], True where the query may attend to the key; None without a cache.
      positions: int32 [B, T], the cache index of each token; None without a cache.
    """

    cos: jax.Array
    sin: jax.Array
    rows: AttentionRows | None = None
    mask: jax.Array | None = None
    positions: jax.Array | None = None


def kernel_init(fan_in: int) -> nn.initializers.Initializer:
    return nn.initializers.normal(stddev=fan_in**-0.5)


def parameter(
    module: nn.Module,
    name: str,
    init: nn.initializers.Initializer,
    shape: tuple[int, ...],
    axes: tuple[str, ...],
    dtype: str,
) -> jax.Array:
    """Declares a parameter of `module` with logical axis names; returns its value."""
    value = module.param(name, nn.with_logical_partitioning(init, axes), shape, dtype)
    return cast(jax.Array, value)


class RMSNorm(nn.Module):
    """x / rms(x) times weight (or 1 + weight), reduced in float32 over the last axis."""

    config: ModelConfig
    axis: str = "norm"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = nn.initializers.zeros if self.config.norm_plus_one else nn.initializers.ones
        shape, dtype = (x.shape[-1],), self.config.param_dtype
        scale = parameter(self, "scale", init, shape, (self.axis,), dtype)
        scale = scale.astype(jnp.float32) + float(self.config.norm_plus_one)
        x32 = x.astype(jnp.float32)
        mean_square = jnp.mean(jnp.square(x32), axis=-1, keepdims=True)
        normed = x32 * jax.lax.rsqrt(mean_square + self.config.norm_eps)
        scale = scale.reshape((1,) * (x.ndim - 1) + scale.shape)
        return (normed * scale).astype(x.dtype)


class Projection(nn.Module):
    """A dense map from the last axes of `in_shape` to `out_shape`, in the compute dtype.

    The kernel is [*in_shape, *out_shape]: one matrix product after free reshapes.
    """

    config: ModelConfig
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    axes: tuple[str, ...]
    use_bias: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        c, num_in = self.config, len(self.in_shape)
        init, shape = kernel_init(math.prod(self.in_shape)), self.in_shape + self.out_shape
        kernel = parameter(self, "kernel", init, shape, self.axes, c.param_dtype)
        contract = (tuple(range(x.ndim - num_in, x.ndim)), tuple(range(num_in)))
        y = jax.lax.dot_general(
            x.astype(c.compute_dtype), kernel.astype(c.compute_dtype), (contract, ((), ()))
        )
        if not self.use_bias:
            return y
        zeros, axes = nn.initializers.zeros, self.axes[num_in:]
        bias = parameter(self, "bias", zeros, self.out_shape, axes, c.param_dtype)
        return y + bias.astype(y.dtype).reshape((1,) * (y.ndim - bias.ndim) + bias.shape)


class Attention(nn.Module):
    """Causal grouped-query self-attention, over the rows themselves or over a cache."""

    config: ModelConfig

    def _project(self, name: str, num_heads: int, axis: str, x: jax.Array) -> jax.Array:
        c = self.config
        shape, axes = (num_heads, c.head_dim), ("embed", axis, "head_dim")
        return Projection(c, (c.embed_dim,), shape, axes, c.qkv_bias, name=name)(x)

    @nn.compact
    def __call__(
        self, x_BTD: jax.Array, inputs: LayerInputs, cache: LayerCache | None
    ) -> tuple[jax.Array, LayerCache | None]:
        c = self.config
        q = self._project("query", c.num_heads, "heads", x_BTD)
        k = self._project("key", c.num_kv_heads, "kv_heads", x_BTD)
        v = self._project("value", c.num_kv_heads, "kv_heads", x_BTD)
        if c.qk_norm:
            q = RMSNorm(c, axis="head_dim", name="query_norm")(q)
            k = RMSNorm(c, axis="head_dim", name="key_norm")(k)
        q, k = rotate(q, (inputs.cos, inputs.sin)), rotate(k, (inputs.cos, inputs.sin))
        q = nn.with_logical_constraint(q, ("batch", "length", "activation_heads", None))
        k, v = _over_whole_rows(k), _over_whole_rows(v)
        scale, soft_cap = c.query_scale, c.attention_soft_cap
        if cache is None:
            assert inputs.rows is not None
            out = row_attention(q, k, v, inputs.rows, scale=scale, soft_cap=soft_cap)
        else:
            assert inputs.positions is not None and inputs.mask is not None
            cache = cache.written(k, v, inputs.positions)
            out = attend(q, cache, inputs.mask, scale=scale, soft_cap=soft_cap)
        axes = ("heads", "head_dim", "embed")
        heads = (c.num_heads, c.head_dim)
        out = Projection(c, heads, (c.embed_dim,), axes, c.output_bias, name="output")(out)
        return out, cache


def _over_whole_rows(x_BTKH: jax.Array) -> jax.Array:
    """Keys or values: made where their tokens lie, then given to the queries of the whole row."""
    for length in ("length", "key_length"):
        axes = ("batch", length, "activation_kv_heads", None)
        x_BTKH = nn.with_logical_constraint(x_BTKH, axes)
    return x_BTKH


class Mlp(nn.Module):
    """down(activation(gate(x)) * up(x))."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        c = self.config
        into = ((c.embed_dim,), (c.mlp_dim,), ("embed", "mlp"), c.mlp_bias)
        gate = Projection(c, *into, name="gate")(x_BTD)
        up = Projection(c, *into, name="up")(x_BTD)
        gate = nn.silu(gate) if c.activation == "silu" else nn.gelu(gate, approximate=True)
        hidden = nn.with_logical_constraint(gate * up, ("batch", "length", "activation_mlp"))
        out = ((c.mlp_dim,), (c.embed_dim,), ("mlp", "embed"), c.mlp_bias)
        return Projection(c, *out, name="down")(hidden)


class DecoderLayer(nn.Module):
    """Attention and MLP with residuals; norms before both, and after both where configured."""

    config: ModelConfig

    @nn.compact
    def __call__(
        self, x_BTD: jax.Array, inputs: LayerInputs, cache: LayerCache | None = None
    ) -> tuple[jax.Array, LayerCache | None]:
        c = self.config
        normed = RMSNorm(c, name="attention_norm")(x_BTD)
        out, cache = Attention(c, name="attention")(normed, inputs, cache)
        if c.post_norms:
            out = RMSNorm(c, name="post_attention_norm")(out)
        x_BTD = x_BTD + out
        out = Mlp(c, name="mlp")(RMSNorm(c, name="mlp_norm")(x_BTD))
        if c.post_norms:
            out = RMSNorm(c, name="post_mlp_norm")(out)
        x_BTD = nn.with_logical_constraint(x_BTD + out, ("batch", "length", "activation_embed"))
        return x_BTD, cache


def layer_name(index: int) -> str:
    return f"layer_{index}"


class Block(nn.Module):
    """One period of layer kinds: the unit that is scanned and rematerialised."""

    config: ModelConfig
    kinds: tuple[LayerKind, ...]

    @nn.compact
    def __call__(
        self, x_BTD: jax.Array, inputs: dict[LayerKind, LayerInputs]
    ) -> tuple[jax.Array, None]:
        for i, kind in enumerate(self.kinds):
            x_BTD, _ = DecoderLayer(self.config, name=layer_name(i))(x_BTD, inputs[kind])
        return x_BTD, None
