"""Where a sampler's parameters and slots lie: as they come, or split over a mesh."""

import contextlib
import functools
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding

from spo_jax.models.attention import compiled_platform
from spo_jax.models.caches import best_cache_type
from spo_jax.models.transformer import (
    Params,
    Transformer,
    cache_axes,
    decode_axes,
    decode_params,
    logical_axes,
    param_shapes,
)
from spo_jax.sampling.slots import Slots, empty_slots
from spo_jax.sharding import (
    axis_rules,
    batch_sharding,
    cache_shardings,
    decoding_rules,
    on_mesh,
    param_shardings,
    shard_params,
)


class Anywhere:
    """Computes where the parameters are.

    `cache_type` is what `empty_slots` makes, and what is to be prefilled.
    """

    def __init__(self, model: Transformer, platform: str | None = None) -> None:
        self._model = model
        self.cache_type = best_cache_type(platform or compiled_platform())

    def decode_params(self, params: Params) -> Params:
        """See `transformer.decode_params`."""
        return decode_params(self._model.config, params)

    def empty_slots(self, num_slots: int, length: int, cache_dtype: str) -> Slots:
        """See `slots.empty_slots`."""
        return empty_slots(self._model, num_slots, length, cache_dtype, self.cache_type)

    def context(self) -> contextlib.AbstractContextManager[None]:
        """For calls of the device programs."""
        return contextlib.nullcontext()


class OnMesh(Anywhere):
    """Splits parameters and slots over a mesh from `make_mesh`, local to this host."""

    def __init__(self, model: Transformer, mesh: Mesh) -> None:
        super().__init__(model, mesh.devices.flat[0].platform)
        config = model.config
        self._mesh, self._axes = mesh, logical_axes(config)
        shapes = param_shapes(config)
        self._rules = decoding_rules(axis_rules(mesh, self._axes, shapes))
        places: Any = batch_sharding(mesh)
        shardings = Slots(
            cache=cache_shardings(mesh, self._rules, cache_axes(config, self.cache_type)),
            token_B=places,
            position_B=places,
            drawn_B=places,
            limit_B=places,
            seed_B2=places,
            settings=places,
            active_B=places,
        )
        self._slots_shardings = shardings
        self._empty_slots = jax.jit(
            functools.partial(empty_slots, model),
            static_argnums=(0, 1, 2, 3),
            out_shardings=shardings,
        )
        make = functools.partial(decode_params, config)
        self._decode_shapes = jax.eval_shape(make, shapes)
        self._unstacked = param_shardings(mesh, decode_axes(config), self._decode_shapes)
        self._decode_params = jax.jit(make, out_shardings=self._unstacked)

    def abstract_params(self) -> Params:
        """What `decode_params` gives, as shape structs with shardings."""
        return _abstract(self._decode_shapes, self._unstacked)

    def abstract_slots(self, num_slots: int, length: int, cache_dtype: str) -> Slots:
        """What `empty_slots` gives, as shape structs with shardings."""
        make = functools.partial(super().empty_slots, num_slots, length, cache_dtype)
        return _abstract(jax.eval_shape(make), self._slots_shardings)

    def decode_params(self, params: Params) -> Params:
        with self.context():
            return self._decode_params(shard_params(params, self._mesh, self._axes))

    def empty_slots(self, num_slots: int, length: int, cache_dtype: str) -> Slots:
        return self._empty_slots(num_slots, length, cache_dtype, self.cache_type)

    def context(self) -> contextlib.AbstractContextManager[None]:
        return on_mesh(self._mesh, self._rules)


def _abstract(shapes: Any, shardings: Any) -> Any:
    """`shardings` may say one thing for a whole subtree of `shapes`."""

    def placed(sharding: NamedSharding, part: Any) -> Any:
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), part
        )

    return jax.tree.map(placed, shardings, shapes)
