"""The device mesh, one table from logical axes to mesh axes, and the shardings that follow.

Mesh axes: 'data' (batch), 'fsdp' (batch, and parameters spread over it), 'sequence' (positions of
a row, and parameters spread over it as over 'fsdp'), 'tensor' (heads, MLP, vocabulary). Modules
name logical axes only; this is the one place that knows both. docs/sharding.md says which to use.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import numpy as np
import optax
from jax.experimental import mesh_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from spo_jax.errors import UserError

MESH_AXES = ("data", "fsdp", "sequence", "tensor")
BATCH_AXES = ("data", "fsdp")

MeshAxes = str | tuple[str, ...] | None
AxisRules = tuple[tuple[str, MeshAxes], ...]

# Logical axis to mesh axes; None is replicated. 'activation_x' follows the parameter axis 'x'.
AXIS_RULES: AxisRules = (
    ("batch", BATCH_AXES),
    ("length", "sequence"),
    # Queries stay where they are; every one of them may look at the keys of its whole row.
    ("key_length", None),
    ("scored", "sequence"),
    ("layers", None),
    ("vocab", "tensor"),
    # Devices that split a row would otherwise hold the same parameters and optimizer state.
    ("embed", ("fsdp", "sequence")),
    # Too small to be worth a collective in every layer.
    ("norm", None),
    ("mlp", "tensor"),
    ("heads", "tensor"),
    ("kv_heads", "tensor"),
    ("head_dim", None),
    # Where embeddings are looked up: tokens travel to the columns, not the table to the tokens.
    ("lookup_batch", "data"),
    ("lookup_embed", "fsdp"),
    ("activation_embed", None),
    ("activation_mlp", "tensor"),
    ("activation_heads", "tensor"),
    ("activation_kv_heads", "tensor"),
    ("activation_vocab", "tensor"),
)
# These follow a parameter axis of another name: (logical axis, parameter axis).
_FOLLOWS = {"lookup_embed": "embed"}


def make_mesh(
    *,
    data: int | None = None,
    fsdp: int = 1,
    sequence: int = 1,
    tensor: int = 1,
    devices: Sequence[jax.Device] | None = None,
) -> Mesh:
    """Returns a mesh over all devices, or over the first of them where `data` asks for fewer.

    Args:
      data: copies of the parameters; None takes all devices that the others leave.
      fsdp: devices the parameters of one copy are spread over.
      sequence: devices each row is split over; parameters are spread over them too.
      tensor: devices each layer is split over.
      devices: all of them by default.

    Raises:
      UserError: a size below 1, a product that does not divide the number of devices, or one that
        leaves devices of several processes idle.
    """
    devices = list(jax.devices() if devices is None else devices)
    sizes = {"data": data, "fsdp": fsdp, "sequence": sequence, "tensor": tensor}
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise UserError(f"{name}={size} must be at least 1")
    if data is None:
        sizes["data"] = max(1, len(devices) // (fsdp * sequence * tensor))
    shape = tuple(cast(int, sizes[axis]) for axis in MESH_AXES)
    needed = math.prod(shape)
    product = " * ".join(f"{axis}={size}" for axis, size in zip(MESH_AXES, shape, strict=True))
    if len(devices) % needed:
        raise UserError(f"{product} = {needed} must divide the number of devices, {len(devices)}")
    num_processes = len({device.process_index for device in devices})
    if needed < len(devices) and num_processes > 1:
        raise UserError(
            f"{product} = {needed} must be the number of devices, {len(devices)}, when they belong "
            f"to {num_processes} processes; leave data out to take them all"
        )
    # Any shape that divides is accepted, also one that cuts through an axis of the chips' torus.
    chosen = devices[:needed]
    try:
        array = mesh_utils.create_device_mesh(shape, chosen, allow_split_physical_axes=True)
    except AssertionError:
        # JAX insists on TPU chips that form a box; those left beside an actor's may form none, and
        # then there is no torus to lay the axes along.
        array = np.array(chosen).reshape(shape)
    return Mesh(array, MESH_AXES)


def num_batch_shards(mesh: Mesh) -> int:
    """Into how many parts the mesh splits the rows of a micro-batch."""
    return math.prod(mesh.shape[axis] for axis in BATCH_AXES)


def replicated(mesh: Mesh) -> NamedSharding:
    """A full copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first axis split over 'data' and 'fsdp', for arrays of any rank above 0."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def check_rows(mesh: Mesh, *, num_rows: int, row_length: int) -> None:
    """Refuses rows that the mesh cannot split evenly.

    Raises:
      UserError: naming the size and the axes that do not divide it.
    """
    shards, sequence = num_batch_shards(mesh), mesh.shape["sequence"]
    if num_rows % shards:
        raise UserError(
            f"num_rows={num_rows} of a micro-batch must be divisible by the mesh's "
            f"data * fsdp = {shards}"
        )
    if row_length % sequence:
        raise UserError(
            f"row_length={row_length} must be divisible by the mesh's sequence = {sequence}"
        )


def axis_rules(mesh: Mesh, axes: Any, shapes: Any) -> AxisRules:
    """Returns `AXIS_RULES` for one model: mesh axes that do not divide an axis leave it whole.

    Where an axis may take several mesh axes, it takes the first ones whose product divides it.

    Args:
      mesh: from `make_mesh`.
      axes: parameter tree of `PartitionSpec`s of logical names.
      shapes: the same tree of arrays or shape structs.
    """
    sizes = _axis_sizes(axes, shapes)
    return tuple(
        (logical, _dividing(mesh, target, sizes.get(_parameter_axis(logical), set())))
        for logical, target in AXIS_RULES
    )


def undivided_axes(mesh: Mesh, axes: Any, shapes: Any) -> list[str]:
    """Returns a sentence for each parameter axis that its mesh axes do not divide.

    Arguments: `axis_rules`. Such an axis is replicated: correct, but its work is not shared.
    """
    sizes, rules = _axis_sizes(axes, shapes), dict(axis_rules(mesh, axes, shapes))
    sentences = []
    for logical, target in AXIS_RULES:
        if logical in sizes and _names(rules[logical]) != _names(target):
            left = _names(target)[len(_names(rules[logical])) :]
            parts = " * ".join(f"{axis}={mesh.shape[axis]}" for axis in left)
            counts = ", ".join(map(str, sorted(sizes[logical])))
            sentences.append(f"'{logical}' ({counts}) is not divided by {parts}: replicated")
    return sentences


def mesh_remarks(mesh: Mesh, axes: Any, shapes: Any) -> list[str]:
    """What a person should know of a mesh: devices that it leaves idle, axes it does not divide.

    Arguments: `axis_rules`.
    """
    undivided = [f"axis {sentence}" for sentence in undivided_axes(mesh, axes, shapes)]
    if mesh.size == jax.device_count():
        return undivided
    used = f"{mesh.size} of {jax.device_count()} devices are used; leave data out to use all"
    return [used, *undivided]


def param_shardings(mesh: Mesh, axes: Any, shapes: Any) -> Any:
    """Returns the parameter tree with a `NamedSharding` at every leaf. Arguments: `axis_rules`."""
    table = dict(axis_rules(mesh, axes, shapes))

    def sharding(spec: PartitionSpec) -> NamedSharding:
        unknown = [name for name in spec if name is not None and name not in table]
        if unknown:
            raise UserError(f"logical axes {unknown} have no rule; known: {', '.join(table)}")
        return NamedSharding(mesh, PartitionSpec(*_used_once(table, spec)))

    structure = jax.tree.structure(shapes)
    return jax.tree.unflatten(structure, [sharding(spec) for spec in _specs(axes)])


def shard_params(params: Any, mesh: Mesh, axes: Any) -> Any:
    """Returns the parameters on the mesh as `param_shardings` says; shares what lies there already.

    Args:
      params: arrays, of jax or numpy; with several processes, each passes the whole of them.
      mesh: from `make_mesh`.
      axes: the same tree of logical names: `logical_axes(config)`.
    """
    return jax.device_put(params, param_shardings(mesh, axes, params))


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


def cache_shardings(mesh: Mesh, rules: AxisRules, axes: Any) -> Any:
    """Returns the tree of a key-value cache with a `NamedSharding` at every leaf.

    Args:
      mesh: from `make_mesh`.
      rules: of the model whose cache it is; it must divide the number of sequences.
      axes: the cache tree of logical names: `cache_axes(config)`.
    """
    table = dict(rules)
    return jax.tree.map(
        lambda spec: NamedSharding(mesh, PartitionSpec(*_used_once(table, spec))), axes
    )


def decoding_rules(rules: AxisRules) -> AxisRules:
    """The rules for programs that take a few positions at a time: 'sequence' cannot split those.

    It spreads the parameters only.
    """
    whole = ("length", "scored")
    return tuple((name, None if name in whole else target) for name, target in rules)


@contextlib.contextmanager
def on_mesh(mesh: Mesh, rules: AxisRules) -> Iterator[None]:
    """Inside, modules' logical constraints mean this mesh; wrap calls of jitted functions in it."""
    with jax.set_mesh(mesh), nn.logical_axis_rules(rules):
        yield


def num_parts(*logical: str) -> int:
    """Into how many parts the present mesh and rules (`on_mesh`) split the named axes together."""
    mesh, rules = jax.sharding.get_abstract_mesh(), dict(nn.get_logical_axis_rules())
    if mesh.empty:
        return 1
    return math.prod(mesh.shape[axis] for name in logical for axis in _names(rules.get(name)))


def _names(target: MeshAxes) -> tuple[str, ...]:
    if target is None:
        return ()
    return (target,) if isinstance(target, str) else tuple(target)


def _parameter_axis(logical: str) -> str:
    return _FOLLOWS.get(logical, logical.removeprefix("activation_"))


def _axis_sizes(axes: Any, shapes: Any) -> dict[str, set[int]]:
    sizes: dict[str, set[int]] = {}
    for spec, leaf in zip(_specs(axes), jax.tree.leaves(shapes), strict=True):
        for name, size in zip(spec, leaf.shape, strict=False):
            sizes.setdefault(name, set()).add(size)
    return sizes


def _dividing(mesh: Mesh, target: MeshAxes, sizes: set[int]) -> MeshAxes:
    """The first of the target's mesh axes, as many as divide all sizes together."""
    taken: tuple[str, ...] = ()
    for axis in _names(target):
        parts = math.prod(mesh.shape[name] for name in (*taken, axis))
        if any(size % parts for size in sizes):
            break
        taken += (axis,)
    if isinstance(target, tuple):
        return taken or None
    return taken[0] if taken else None


def _used_once(table: dict[str, MeshAxes], spec: PartitionSpec) -> list[MeshAxes]:
    """A mesh axis may shard one dimension of an array only: the first that asks for it."""
    used: set[str] = set()
    result: list[MeshAxes] = []
    for name in spec:
        target = None if name is None else table[name]
        left = tuple(axis for axis in _names(target) if axis not in used)
        used.update(left)
        result.append(left if isinstance(target, tuple) and left else (left[0] if left else None))
    return result


def _specs(axes: Any) -> list[PartitionSpec]:
    return jax.tree.leaves(axes, is_leaf=lambda leaf: isinstance(leaf, PartitionSpec))
