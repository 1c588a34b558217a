"""What an update changes, and where each part of it lies on the mesh."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from spo_jax.errors import UserError
from spo_jax.learning.optimizer import Optimizer
from spo_jax.models.transformer import Params
from spo_jax.sharding import AxisRules, axis_rules, optimizer_shardings, param_shardings


class CriticState(NamedTuple):
    """A value model that is trained beside the policy: its parameters and its own optimizer's."""

    params: Params
    opt_state: Any


class TrainState(NamedTuple):
    """What an update changes; a pytree.

    Attributes:
      step: int32 scalar, updates made.
      params: the policy's parameters. opt_state: the optimizer's.
      key: the run's base key, never changed: fold the step and a purpose into it.
      critic: where the objective reads values, else None.
    """

    step: Any
    params: Params
    opt_state: Any
    key: Any
    critic: CriticState | None = None


class Trained:
    """One set of parameters with its optimizer: their shapes, their places, and one step.

    Args:
      optimizer: a description such as `AdamW`.
      mesh: where it lies.
      axes, shapes: the parameter tree, of logical axis names and of shape structs.
    """

    def __init__(self, optimizer: Optimizer, mesh: Mesh, axes: Any, shapes: Params):
        self.shapes = shapes
        self.rules: AxisRules = axis_rules(mesh, axes, shapes)
        self.params_sharding = param_shardings(mesh, axes, shapes)
        self.transformation = optimizer.transformation()
        self.schedule = optimizer.schedule()
        self.opt_sharding = optimizer_shardings(
            self.transformation, shapes, self.params_sharding, mesh
        )

    def init(self, params: Params) -> tuple[Params, Any]:
        """A copy of the parameters in their place, and the optimizer's first state.

        Raises:
          UserError: a parameter is missing, or of another shape or type than the model's.
        """
        _check_params(params, self.shapes)
        # device_put may share buffers with its argument; a jitted copy never does.
        placed = jax.device_put(params, self.params_sharding)
        copy = jax.jit(partial(jax.tree.map, jnp.copy), out_shardings=self.params_sharding)
        params = copy(placed)
        init = jax.jit(self.transformation.init, out_shardings=self.opt_sharding)
        return params, init(params)

    def zeros(self) -> Params:
        """float32 gradients to add to."""
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), self.shapes)

    def step(self, grads: Params, params: Params, opt_state: Any) -> tuple[Params, Any]:
        updates, opt_state = self.transformation.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state


def _check_params(params: Params, shapes: Params) -> None:
    given = {jax.tree_util.keystr(k): v for k, v in jax.tree_util.tree_leaves_with_path(params)}
    wanted = {jax.tree_util.keystr(k): v for k, v in jax.tree_util.tree_leaves_with_path(shapes)}
    if given.keys() != wanted.keys():
        differing = sorted(given.keys() ^ wanted.keys())
        raise UserError(f"parameters do not match the model; differing: {', '.join(differing)}")
    for name, leaf in wanted.items():
        got = given[name]
        if got.shape != leaf.shape or got.dtype != leaf.dtype:
            raise UserError(
                f"parameter {name} is {got.dtype}{list(got.shape)}, "
                f"the model's is {leaf.dtype}{list(leaf.shape)}"
            )
