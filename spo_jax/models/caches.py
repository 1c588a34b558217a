"""Keys and values of one layer that later tokens attend to, in the order each platform likes best.

Letters are defined in `layers.py`.
"""

from typing import NamedTuple, Self

import jax
import jax.numpy as jnp


class HeadsFirst(NamedTuple):
    """Keys [B, K, H, S] and values [B, K, S, H].

    Each is the right-hand side of its product as it lies in memory: on CPU this makes attention
    over a cache three to four times faster than [B, S, K, H].
    """

    keys: jax.Array
    values: jax.Array

    @classmethod
    def empty(cls, shape_BSKH: tuple[int, int, int, int], dtype: str) -> Self:
        B, S, K, H = shape_BSKH
        return cls(jnp.zeros((B, K, H, S), dtype), jnp.zeros((B, K, S, H), dtype))

    @staticmethod
    def axes(heads: str) -> tuple[str | None, ...]:
        """Logical axes of both arrays, `heads` being the name for K."""
        return ("batch", heads, None, None)

    @property
    def length(self) -> int:
        return self.keys.shape[3]

    def written(self, k_BTKH: jax.Array, v_BTKH: jax.Array, positions_BT: jax.Array) -> Self:
        """With each token's key and value at its position; positions >= S are dropped."""
        rows = jnp.arange(k_BTKH.shape[0])[:, None]
        keys, values = k_BTKH.astype(self.keys.dtype), v_BTKH.astype(self.values.dtype)
        return type(self)(
            keys=self.keys.at[rows, :, :, positions_BT].set(keys, mode="drop"),
            values=self.values.at[rows, :, positions_BT, :].set(values, mode="drop"),
        )

    def heads_first(self, head_dim: int) -> "HeadsFirst":
        return self


class HeadsTogether(NamedTuple):
    """Keys and values [B, S, K H]: tokens in order, the heads of each side by side.

    TPUs write single tokens in this order: in another, a program copies the whole cache where it
    begins and where it ends, and has it twice. They lay the last axis out in whole lanes of 128,
    so heads of 64 on an axis of their own would take twice their room.
    """

    keys: jax.Array
    values: jax.Array

    @classmethod
    def empty(cls, shape_BSKH: tuple[int, int, int, int], dtype: str) -> Self:
        B, S, K, H = shape_BSKH
        return cls(jnp.zeros((B, S, K * H), dtype), jnp.zeros((B, S, K * H), dtype))

    @staticmethod
    def axes(heads: str) -> tuple[str | None, ...]:
        """As of `HeadsFirst`."""
        return ("batch", None, heads)

    @property
    def length(self) -> int:
        return self.keys.shape[1]

    def written(self, k_BTKH: jax.Array, v_BTKH: jax.Array, positions_BT: jax.Array) -> Self:
        """As of `HeadsFirst`."""
        rows = jnp.arange(k_BTKH.shape[0])[:, None]
        shape = (*k_BTKH.shape[:2], -1)
        keys = k_BTKH.astype(self.keys.dtype).reshape(shape)
        values = v_BTKH.astype(self.values.dtype).reshape(shape)
        return type(self)(
            keys=self.keys.at[rows, positions_BT].set(keys, mode="drop"),
            values=self.values.at[rows, positions_BT].set(values, mode="drop"),
        )

    def heads_first(self, head_dim: int) -> HeadsFirst:
        """The same keys and values, laid out anew."""
        keys, values = (x.reshape(*x.shape[:2], -1, head_dim) for x in self)
        return HeadsFirst(keys.transpose(0, 2, 3, 1), values.transpose(0, 2, 1, 3))


LayerCache = HeadsFirst | HeadsTogether
CacheType = type[HeadsFirst] | type[HeadsTogether]
# One per layer. Axis 0 of every leaf is the batch.
Cache = tuple[LayerCache, ...]


def best_cache_type(platform: str) -> CacheType:
    """The order of a platform: 'tpu', 'gpu' or 'cpu'."""
    return HeadsTogether if platform == "tpu" else HeadsFirst
