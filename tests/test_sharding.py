import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from spo_jax.errors import UserError
from spo_jax.models.testing import tiny_config
from spo_jax.models.transformer import cache_axes, logical_axes, param_shapes
from spo_jax.sharding import (
    AXIS_RULES,
    MESH_AXES,
    axis_rules,
    batch_sharding,
    cache_shardings,
    check_rows,
    decoding_rules,
    make_mesh,
    num_batch_shards,
    optimizer_shardings,
    param_shardings,
    shard_params,
    undivided_axes,
)

AXES = {
    "embedding": PartitionSpec("vocab", "embed"),
    "query": PartitionSpec("layers", "embed", "heads", "head_dim"),
    "scale": PartitionSpec("norm"),
}
SPREAD = ("fsdp", "sequence")


def shapes(vocab=16, embed=8, heads=4):
    sizes = {"embedding": (vocab, embed), "query": (3, embed, heads, 2), "scale": (embed,)}
    return {name: jax.ShapeDtypeStruct(size, jnp.float32) for name, size in sizes.items()}


def test_mesh_takes_the_rest_for_data_and_may_use_fewer_devices():
    sizes = {"data": 1, "fsdp": 2, "sequence": 2, "tensor": 2}
    assert dict(make_mesh(fsdp=2, sequence=2, tensor=2).shape) == sizes
    assert dict(make_mesh(sequence=2).shape) == {"data": 4, "fsdp": 1, "sequence": 2, "tensor": 1}
    assert make_mesh(data=1).size == 1
    assert make_mesh(data=2, tensor=2).size == 4
    assert num_batch_shards(make_mesh(data=2, fsdp=2, tensor=2)) == 4
    assert make_mesh(tensor=2, devices=jax.devices()[4:6]).devices.size == 2


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            {"data": 3},
            r"data=3 \* fsdp=1 \* sequence=1 \* tensor=1 = 3 must divide the number of devices, 8",
        ),
        ({"fsdp": 5}, r"data=1 \* fsdp=5 \* sequence=1 \* tensor=1 = 5 must divide"),
        ({"sequence": 3}, r"data=2 \* fsdp=1 \* sequence=3 \* tensor=1 = 6 must divide"),
        ({"data": 4, "tensor": 4}, r"= 16 must divide the number of devices, 8"),
        ({"tensor": 0}, "tensor=0 must be at least 1"),
        ({"sequence": -1}, "sequence=-1 must be at least 1"),
    ],
)
def test_impossible_meshes_are_refused_with_the_numbers(shape, message):
    with pytest.raises(UserError, match=message):
        make_mesh(**shape)


def test_every_shape_of_all_devices_is_accepted():
    shapes = [s for s in itertools.product((1, 2, 4, 8), repeat=4) if math.prod(s) == 8]
    assert len(shapes) == 20
    for shape in shapes:
        mesh = make_mesh(**dict(zip(MESH_AXES, shape, strict=True)))
        assert mesh.devices.shape == shape and len(set(mesh.devices.flat)) == 8


@dataclasses.dataclass(frozen=True)
class FarDevice:
    """Stands for a device of another process."""

    id: int
    process_index: int
    platform: str = "cpu"
    device_kind: str = "cpu"


def test_several_processes_leave_no_device_idle():
    devices = [FarDevice(number, number // 4) for number in range(8)]
    with pytest.raises(UserError, match=r"= 4 must be the number of devices, 8, .*2 processes"):
        make_mesh(data=4, devices=devices)
    assert make_mesh(data=4, devices=devices[:4]).size == 4


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            {"num_rows": 6, "row_length": 8},
            r"num_rows=6 of a micro-batch must be divisible by the mesh's data \* fsdp = 4",
        ),
        ({"num_rows": 8, "row_length": 9}, r"row_length=9 must be .* the mesh's sequence = 2"),
    ],
)
def test_rows_that_do_not_divide_are_refused(sizes, message):
    mesh = make_mesh(data=2, fsdp=2, sequence=2)
    check_rows(mesh, num_rows=8, row_length=8)
    with pytest.raises(UserError, match=message):
        check_rows(mesh, **sizes)


def test_parameters_lie_by_the_one_table():
    shardings = param_shardings(make_mesh(fsdp=2, sequence=2, tensor=2), AXES, shapes())
    assert shardings["embedding"].spec == PartitionSpec("tensor", SPREAD)
    assert shardings["query"].spec == PartitionSpec(None, SPREAD, "tensor", None)
    assert shardings["scale"].spec == PartitionSpec(None)
    placed = jax.device_put(np.zeros((16, 8)), shardings["embedding"])
    assert placed.addressable_shards[0].data.shape == (8, 2)


def test_parameters_are_placed_and_stay_where_they_are():
    mesh = make_mesh(fsdp=2, sequence=2, tensor=2)
    params = {name: np.ones(x.shape, np.float32) for name, x in shapes().items()}
    placed = shard_params(params, mesh, AXES)
    assert placed["query"].sharding.spec == PartitionSpec(None, SPREAD, "tensor", None)
    again = shard_params(placed, mesh, AXES)
    first = [x.addressable_data(0).unsafe_buffer_pointer() for x in jax.tree.leaves(placed)]
    assert first == [x.addressable_data(0).unsafe_buffer_pointer() for x in jax.tree.leaves(again)]


def test_an_axis_that_does_not_divide_is_replicated_in_parameters_and_activations():
    mesh = make_mesh(data=1, fsdp=2, tensor=4)
    rules = dict(axis_rules(mesh, AXES, shapes(heads=9)))
    assert rules["heads"] is None and rules["activation_heads"] is None
    assert rules["vocab"] == "tensor" and rules["embed"] == SPREAD
    assert param_shardings(mesh, AXES, shapes(heads=9))["query"].spec == PartitionSpec(
        None, SPREAD, None, None
    )


def test_an_axis_takes_the_first_mesh_axes_that_divide_it_and_the_rest_is_told():
    mesh = make_mesh(fsdp=2, sequence=2, tensor=2)
    rules = dict(axis_rules(mesh, AXES, shapes(embed=6)))
    assert rules["embed"] == ("fsdp",) and rules["lookup_embed"] == "fsdp"
    assert undivided_axes(mesh, AXES, shapes(embed=6, heads=9)) == [
        "'embed' (6) is not divided by sequence=2: replicated",
        "'heads' (9) is not divided by tensor=2: replicated",
    ]
    assert undivided_axes(mesh, AXES, shapes()) == []


def test_axes_that_follow_a_parameter_axis_name_one_that_has_a_rule():
    """A typing error in the table would silently replicate activations."""
    rules = dict(AXIS_RULES)
    for name in rules:
        parameter = name.removeprefix("activation_").replace("lookup_embed", "embed")
        assert parameter in rules, name


def test_a_cache_is_split_by_slot_and_head_and_decoding_keeps_positions_whole():
    mesh = make_mesh(data=2, sequence=2, tensor=2)
    config = tiny_config()
    rules = axis_rules(mesh, logical_axes(config), param_shapes(config))
    cache = cache_shardings(mesh, decoding_rules(rules), cache_axes(config))
    leaves = jax.tree.leaves(cache)
    assert len(leaves) == 2 * config.num_layers
    assert {leaf.spec for leaf in leaves} == {PartitionSpec(("data", "fsdp"), "tensor", None, None)}
    assert dict(rules)["length"] == "sequence" and dict(decoding_rules(rules))["length"] is None


def test_a_mesh_axis_is_used_once_per_array():
    axes = {"square": PartitionSpec("embed", "embed")}
    struct = {"square": jax.ShapeDtypeStruct((8, 8), jnp.float32)}
    shardings = param_shardings(make_mesh(fsdp=8), axes, struct)
    assert shardings["square"].spec == PartitionSpec(SPREAD, None)


def test_an_axis_without_a_rule_is_refused():
    axes = {"w": PartitionSpec("embed", "experts")}
    struct = {"w": jax.ShapeDtypeStruct((8, 8), jnp.float32)}
    with pytest.raises(UserError, match=r"logical axes \['experts'\] have no rule"):
        param_shardings(make_mesh(), axes, struct)


def test_moments_lie_as_their_parameters_and_counters_are_replicated():
    mesh = make_mesh(fsdp=4, tensor=2)
    params = param_shardings(mesh, AXES, shapes())
    transformation = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))
    state = optimizer_shardings(transformation, shapes(), params, mesh)
    adam = next(
        s for s in jax.tree.leaves(state, is_leaf=lambda s: hasattr(s, "mu")) if hasattr(s, "mu")
    )
    assert adam.mu == params and adam.nu == params
    assert adam.count.spec == PartitionSpec()


def test_rows_are_split_over_data_and_fsdp():
    mesh = make_mesh(data=2, fsdp=2, tensor=2)
    placed = jax.device_put(np.zeros((8, 5)), batch_sharding(mesh))
    assert placed.addressable_shards[0].data.shape == (2, 5)
