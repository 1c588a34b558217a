"""The device mesh, one table from logical axes to mesh axes, and the shardings that follow.

Mesh axes: 'data' (batch), 'fsdp' (batch, and parameters spread over it), 'tensor' (heads, MLP,
vocabulary). Modules name logical axes only; this is the one place that knows both.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import optax
from jax.experimental import mesh_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from spo_jax.errors import UserError

MESH_AXES = ("data", "fsdp", "tensor")
BATCH_AXES = ("data", "fsdp")

MeshAxes = str | tuple[str, ...] | None
AxisRules = tuple[tuple[str, MeshAxes], ...]

# Logical axis to mesh axis; None is replicated. 'activation_x' follows the parameter axis 'x'.
AXIS_RULES: AxisRules = (
    ("batch", BATCH_AXES),
    ("length", None),
    ("layers", None),
    ("vocab", "tensor"),
    ("embed", "fsdp"),
    ("mlp", "tensor"),
    ("heads", "tensor"),
    ("kv_heads", "tensor"),
    ("head_dim", None),
    ("activation_embed", None),
    ("activation_mlp", "tensor"),
    ("activation_heads", "tensor"),
    ("activation_kv_heads", "tensor"),
    ("activation_vocab", "tensor"),
)


def make_mesh(
    *,
    data: int | None = None,
    fsdp: int = 1,
    tensor: int = 1,
    devices: Sequence[jax.Device] | None = None,
) -> Mesh:
    """Returns a mesh over the first data * fsdp * tensor devices.

    Args:
      data: copies of the parameters; None takes all devices the other two leave.
      fsdp: devices the parameters of one copy are spread over.
      tensor: devices each layer is split over.
      devices: all of them by default.

    Raises:
      UserError: a size below 1, or a product that does not divide the number of devices.
    """
    devices = list(jax.devices() if devices is None else devices)
    for name, size in (("data", data), ("fsdp", fsdp), ("tensor", tensor)):
        if size is not None and size < 1:
            raise UserError(f"{name}={size} must be at least 1")
    if data is None:
        data = max(1, len(devices) // (fsdp * tensor))
    shape = (data, fsdp, tensor)
    needed = math.prod(shape)
    if len(devices) % needed:
        raise UserError(
            f"data={data} * fsdp={fsdp} * tensor={tensor} = {needed} must divide the number of "
            f"devices, {len(devices)}"
        )
    return Mesh(mesh_utils.create_device_mesh(shape, devices[:needed]), MESH_AXES)


def num_batch_shards(mesh: Mesh) -> int:
    """Into how many parts the mesh splits the rows of a micro-batch."""
    return math.prod(mesh.shape[axis] for axis in BATCH_AXES)


def replicated(mesh: Mesh) -> NamedSharding:
    """A full copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first axis split over 'data' and 'fsdp', for arrays of any rank above 0."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def axis_rules(mesh: Mesh, axes: Any, shapes: Any) -> AxisRules:
    """Returns `AXIS_RULES` for one model: an axis that its mesh axis does not divide is replicated.

    Args:
      mesh: from `make_mesh`.
      axes: parameter tree of `PartitionSpec`s of logical names.
      shapes: the same tree of arrays or shape structs.
    """
    sizes: dict[str, set[int]] = {}
    for spec, leaf in zip(_specs(axes), jax.tree.leaves(shapes), strict=True):
        for name, size in zip(spec, leaf.shape, strict=False):
            sizes.setdefault(name, set()).add(size)

    def divided(logical: str, target: MeshAxes) -> MeshAxes:
        parts = mesh.shape[target] if isinstance(target, str) else 1
        known = sizes.get(logical.removeprefix("activation_"), set())
        return target if all(size % parts == 0 for size in known) else None

    return tuple((logical, divided(logical, target)) for logical, target in AXIS_RULES)


def param_shardings(mesh: Mesh, axes: Any, shapes: Any) -> Any:
    """Returns the parameter tree with a `NamedSharding` at every leaf. Arguments: `axis_rules`."""
    table = dict(axis_rules(mesh, axes, shapes))

    def sharding(spec: PartitionSpec) -> NamedSharding:
        unknown = [name for name in spec if name is not None and name not in table]
        if unknown:
            raise UserError(f"logical axes {unknown} have no rule; known: {', '.join(table)}")
        names = [None if name is None else table[name] for name in spec]
        # A mesh axis may shard one dimension of an array only: the first that asks for it.
        once = [None if name in names[:i] else name for i, name in enumerate(names)]
        return NamedSharding(mesh, PartitionSpec(*once))

    structure = jax.tree.structure(shapes)
    return jax.tree.unflatten(structure, [sharding(spec) for spec in _specs(axes)])


def optimizer_shardings(
    transformation: optax.GradientTransformation, shapes: Any, shardings: Any, mesh: Mesh
) -> Any:
    """Returns the optimizer state's tree of shardings: moments lie as their parameters do.

    Args:
      transformation: whose `init` makes the state.
      shapes, shardings: the parameter tree, of shape structs and of `NamedSharding`s.
      mesh: for what is not per parameter, such as counters: replicated.
    """
    state = jax.eval_shape(transformation.init, shapes)
    return optax.tree_utils.tree_map_params(
        transformation,
        lambda _, sharding: sharding,
        state,
        shardings,
        transform_non_params=lambda _: replicated(mesh),
    )


@contextlib.contextmanager
def on_mesh(mesh: Mesh, rules: AxisRules) -> Iterator[None]:
    """Inside, modules' logical constraints mean this mesh; wrap calls of jitted functions in it."""
    with jax.set_mesh(mesh), nn.logical_axis_rules(rules):
        yield


def _specs(axes: Any) -> list[PartitionSpec]:
    return jax.tree.leaves(axes, is_leaf=lambda leaf: isinstance(leaf, PartitionSpec))
