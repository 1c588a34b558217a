"""A value model: the decoder with a scalar head instead of logits. What PPO's critic is.

Letters: R packed rows, L row length, D model.

The parameters are {"backbone": those of `Transformer`, "value_head": [D]}.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from spo_jax.models.config import ModelConfig
from spo_jax.models.layers import parameter
from spo_jax.models.transformer import Params, Transformer, boxed_shapes


class ValueModel(nn.Module):
    """Predicts one number at every token. `config` is that of the language model it starts from."""

    config: ModelConfig

    def setup(self) -> None:
        # No logits are computed, so an untied output matrix would be dead weight.
        self.backbone = Transformer(dataclasses.replace(self.config, tie_embeddings=True))
        shape, dtype = (self.config.embed_dim,), self.config.param_dtype
        self.value_head = parameter(
            self, "value_head", nn.initializers.zeros, shape, ("embed",), dtype
        )

    def __call__(
        self,
        tokens_RL: jax.Array,
        positions_RL: jax.Array,
        segment_ids_RL: jax.Array,
        prefix_ids_RL: jax.Array | None = None,
    ) -> jax.Array:
        """Returns float32 [R, L]; arguments as of `Transformer`."""
        hidden_RLD = self.backbone(tokens_RL, positions_RL, segment_ids_RL, prefix_ids_RL)
        head_D = self.value_head.astype(jnp.float32)
        return jnp.einsum("rld,d->rl", hidden_RLD.astype(jnp.float32), head_D)

    def param_shapes(self) -> Params:
        """The parameter tree as `jax.ShapeDtypeStruct`s."""
        return nn.unbox(boxed_shapes(self))

    def logical_axes(self) -> Params:
        """The parameter tree with a `PartitionSpec` of logical axis names at every leaf."""
        return nn.get_partition_spec(boxed_shapes(self))

    def start_from(self, params: Params) -> Params:
        """Parameters that share the language model's arrays and predict 0 everywhere."""
        backbone = {name: leaf for name, leaf in params.items() if name != "lm_head"}
        head = jnp.zeros((self.config.embed_dim,), self.config.param_dtype)
        return {"backbone": backbone, "value_head": head}
