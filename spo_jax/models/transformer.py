"""The decoder: embedding, scanned blocks, final norm; and a cached path for sampling.

Letters are defined in `layers.py`; R packed rows, L row length, X any leading axes.

The parameters are a plain tree (no metadata boxes):
  embedding [V, D]; layers/layer_<i>/... with a leading [num_blocks], i within one period;
  tail/layer_<i>/... for layers after the last whole period; final_norm/scale [D];
  lm_head [V, D] where embeddings are not tied.
"""

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from spo_jax.models.attention import attention_rows
from spo_jax.models.caches import Cache, CacheType, HeadsFirst, LayerCache
from spo_jax.models.config import LayerKind, ModelConfig
from spo_jax.models.layers import (
    Block,
    DecoderLayer,
    LayerInputs,
    RMSNorm,
    kernel_init,
    layer_name,
    parameter,
)
from spo_jax.models.rope import rope_angles

Params = dict[str, Any]

_UNSTACKED = "unstacked_layers"
_REMAT = {
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_saveable,
    "dots_no_batch": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


def init_cache(
    config: ModelConfig,
    batch_size: int,
    length: int,
    dtype: str | None = None,
    cache_type: CacheType = HeadsFirst,
) -> Cache:
    """Returns zeros for `batch_size` sequences of up to `length` tokens, one pair per layer.

    Layers are separate leaves so that a `lax.while_loop` updates each in place.
    """
    shape = (batch_size, length, config.num_kv_heads, config.head_dim)
    dtype = dtype or config.compute_dtype
    return tuple(cache_type.empty(shape, dtype) for _ in range(config.num_layers))


def cache_mask(positions_BT: jax.Array, length: int, window: int | None) -> jax.Array:
    """Returns bool [B, T, S]: keys at cache indices up to the token's position, in its window."""
    distance = positions_BT[:, :, None] - jnp.arange(length)[None, None, :]
    mask = distance >= 0
    return mask if window is None else mask & (distance < window)


class Transformer(nn.Module):
    """A decoder-only language model. `params` below means `{"params": params}` for `apply`."""

    config: ModelConfig

    def setup(self) -> None:
        c = self.config
        init, shape = kernel_init(c.embed_dim), (c.vocab_size, c.embed_dim)
        axes = ("vocab", "embed")
        self.embedding = parameter(self, "embedding", init, shape, axes, c.param_dtype)
        block = Block
        if c.remat_policy != "none":
            block = nn.remat(Block, policy=_REMAT[c.remat_policy], prevent_cse=False)
        scanned = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,
            length=c.num_blocks,
            metadata_params={nn.PARTITION_NAME: "layers"},
        )
        self.layers = scanned(c, c.layer_kinds[: c.period])
        if c.num_tail_layers:
            self.tail = block(c, c.layer_kinds[-c.num_tail_layers :])
        self.final_norm = RMSNorm(c)
        if not c.tie_embeddings:
            self.lm_head = parameter(self, "lm_head", init, shape, axes, c.param_dtype)

    def __call__(
        self,
        tokens_RL: jax.Array,
        positions_RL: jax.Array,
        segment_ids_RL: jax.Array,
        prefix_ids_RL: jax.Array | None = None,
    ) -> jax.Array:
        """Returns final-norm hidden states [R, L, D] in the compute dtype.

        Args:
          tokens_RL: int32. Left-padded, right-padded and packed rows are all segments and
            positions; a pad has segment 0 and its output is finite and meaningless.
          positions_RL: int32, of each token within its own sequence.
          segment_ids_RL: int32, > 0 for tokens.
          prefix_ids_RL: int32 or None: one more segment each token may attend to, 0 for none.
            A row [prompt, completion 1, completion 2, ...] whose completions name the prompt's
            segment, each with positions that go on from the prompt, shares the prompt.
        """
        c = self.config
        inputs = {
            kind: self._inputs(
                kind,
                positions_RL,
                rows=attention_rows(c, kind, positions_RL, segment_ids_RL, prefix_ids_RL),
            )
            for kind in c.kinds
        }
        x_RLD = self._embed(tokens_RL)
        x_RLD, _ = self.layers(x_RLD, inputs)
        if c.num_tail_layers:
            x_RLD, _ = self.tail(x_RLD, inputs)
        return self.final_norm(x_RLD)

    def head(self, params: Params) -> jax.Array:
        """The output matrix [V, D] among the parameters."""
        return params["embedding" if self.config.tie_embeddings else "lm_head"]

    def logits(self, hidden_XD: jax.Array, head_VD: jax.Array | None = None) -> jax.Array:
        """Returns float32 [..., V]; the product is in the compute dtype, summed in float32.

        `head_VD`: rows of the output matrix, to have only their logits.
        """
        c = self.config
        kernel = self.embedding if c.tie_embeddings else self.lm_head
        kernel = kernel if head_VD is None else head_VD
        logits = jax.lax.dot_general(
            hidden_XD.astype(c.compute_dtype),
            kernel.astype(c.compute_dtype),
            (((hidden_XD.ndim - 1,), (1,)), ((), ())),
            preferred_element_type=jnp.float32,
        )
        if c.final_soft_cap is not None:
            logits = c.final_soft_cap * jnp.tanh(logits / c.final_soft_cap)
        return logits

    def decode(
        self, tokens_BT: jax.Array, positions_BT: jax.Array, cache: Cache
    ) -> tuple[jax.Array, Cache]:
        """Extends cached sequences by T tokens each; returns ([B, T, D], the new cache).

        Keys and values are written at index `positions_BT` of each sequence's cache, then keys at
        indices up to a token's own position (and in its window) are attended to. T > 1 is prefill:
        pad on the right; what pads write is overwritten before any later token can see it.
        Layers are unrolled: a scan over a stacked cache would copy it at every step. Inside a
        loop, apply with `decode_params(config, params)`, made outside of it: a layer cut out of
        stacked parameters is copied at every step (twice the time on CPU).
        """
        c = self.config
        length = cache[0].length
        inputs = {
            kind: self._inputs(
                kind,
                positions_BT,
                mask=cache_mask(positions_BT, length, c.window_of(kind)),
                positions=positions_BT,
            )
            for kind in c.kinds
        }
        x_BTD = self._embed(tokens_BT)
        new_cache: list[LayerCache] = []
        for i, kind in enumerate(c.layer_kinds):
            variables = {"params": layer_params(c, self.variables["params"], i)}
            layer: Any = DecoderLayer(c, parent=None)
            x_BTD, layer_cache = layer.apply(variables, x_BTD, inputs[kind], cache[i])
            new_cache.append(layer_cache)
        return self.final_norm(x_BTD), tuple(new_cache)

    def _embed(self, tokens_BT: jax.Array) -> jax.Array:
        c = self.config
        # Each device looks up its columns for the rows of all, then columns are traded for rows.
        table = nn.with_logical_constraint(self.embedding, ("vocab", "lookup_embed"))
        # In two steps, for want of one that the partitioner knows: split rows, then gather them.
        for batch in ("batch", "lookup_batch"):
            tokens_BT = nn.with_logical_constraint(tokens_BT, (batch, "length"))
        x_BTD = jnp.take(table, tokens_BT, axis=0).astype(c.compute_dtype)
        axes = ("lookup_batch", "length", "lookup_embed")
        x_BTD = nn.with_logical_constraint(x_BTD, axes)
        x_BTD = x_BTD * jnp.asarray(c.embed_scale, c.compute_dtype)
        return nn.with_logical_constraint(x_BTD, ("batch", "length", "activation_embed"))

    def _inputs(self, kind: LayerKind, positions_BT: jax.Array, **attention: Any) -> LayerInputs:
        positions_BT = nn.with_logical_constraint(positions_BT, ("batch", "length"))
        cos, sin = rope_angles(self.config.rope_of(kind), self.config.head_dim, positions_BT)
        return LayerInputs(cos=cos, sin=sin, **attention)


def layer_params(config: ModelConfig, params: Mapping[str, Any], index: int) -> Params:
    """Returns the parameters of layer `index` from a plain tree or from `decode_params`."""
    if _UNSTACKED in params:
        return params[_UNSTACKED][layer_name(index)]
    block, offset = divmod(index, config.period)
    name = layer_name(offset)
    if block == config.num_blocks:
        return params["tail"][name]
    return jax.tree.map(lambda x: x[block], params["layers"][name])


@functools.partial(jax.jit, static_argnames="config")
def decode_params(config: ModelConfig, params: Params) -> Params:
    """Returns a copy of the parameters made for `decode` and `logits`; `__call__` cannot use it.

    Layers are separate leaves, and all but the norms are in the compute dtype already.
    """

    def in_compute_dtype(path: tuple[Any, ...], x: jax.Array) -> jax.Array:
        return x if path[-1].key == "scale" else x.astype(config.compute_dtype)

    params = jax.tree_util.tree_map_with_path(in_compute_dtype, params)
    layers = {layer_name(i): layer_params(config, params, i) for i in range(config.num_layers)}
    shared = {name: x for name, x in params.items() if name not in ("layers", "tail")}
    return {**shared, _UNSTACKED: layers}


def decode_axes(config: ModelConfig) -> Params:
    """Returns the tree of `decode_params` with a `PartitionSpec` of logical names at every leaf."""
    axes = logical_axes(config)

    def of_layer(index: int) -> Any:
        block, offset = divmod(index, config.period)
        name = layer_name(offset)
        if block == config.num_blocks:
            return axes["tail"][name]
        return jax.tree.map(lambda spec: PartitionSpec(*spec[1:]), axes["layers"][name])

    layers = {layer_name(i): of_layer(i) for i in range(config.num_layers)}
    shared = {name: x for name, x in axes.items() if name not in ("layers", "tail")}
    return {**shared, _UNSTACKED: layers}


def cache_axes(config: ModelConfig, cache_type: CacheType = HeadsFirst) -> Cache:
    """Returns the tree of `init_cache` with a `PartitionSpec` of logical names at every leaf."""
    spec: Any = PartitionSpec(*cache_type.axes("kv_heads"))
    return tuple(cache_type(spec, spec) for _ in range(config.num_layers))


def boxed_shapes(module: nn.Module) -> Any:
    """Returns the parameters of a module called on rows, as shapes in boxes of axis names."""
    ids = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    return jax.eval_shape(module.init, jax.random.key(0), ids, ids, ids)["params"]


@functools.cache
def param_shapes(config: ModelConfig) -> Params:
    """Returns the parameter tree as `jax.ShapeDtypeStruct`s."""
    return nn.unbox(boxed_shapes(Transformer(config)))


@functools.cache
def logical_axes(config: ModelConfig) -> Any:
    """Returns the parameter tree with a `PartitionSpec` of logical axis names at every leaf."""
    return nn.get_partition_spec(boxed_shapes(Transformer(config)))
