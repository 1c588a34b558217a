import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from spo_jax.errors import UserError
from spo_jax.sharding import (
    axis_rules,
    batch_sharding,
    make_mesh,
    num_batch_shards,
    optimizer_shardings,
    param_shardings,
)

AXES = {
    "embedding": PartitionSpec("vocab", "embed"),
    "query": PartitionSpec("layers", "embed", "heads", "head_dim"),
    "scale": PartitionSpec("embed"),
}


def shapes(vocab=16, embed=8, heads=4):
    sizes = {"embedding": (vocab, embed), "query": (3, embed, heads, 2), "scale": (embed,)}
    return {name: jax.ShapeDtypeStruct(size, jnp.float32) for name, size in sizes.items()}


def test_mesh_takes_the_rest_for_data_and_may_use_fewer_devices():
    assert dict(make_mesh(fsdp=2, tensor=2).shape) == {"data": 2, "fsdp": 2, "tensor": 2}
    assert make_mesh(data=1).size == 1
    assert make_mesh(data=2, tensor=2).size == 4
    assert num_batch_shards(make_mesh(data=2, fsdp=2, tensor=2)) == 4


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"data": 3}, r"data=3 \* fsdp=1 \* tensor=1 = 3 must divide the number of devices, 8"),
        ({"fsdp": 5}, r"data=1 \* fsdp=5 \* tensor=1 = 5 must divide"),
        ({"data": 4, "tensor": 4}, r"= 16 must divide the number of devices, 8"),
        ({"tensor": 0}, "tensor=0 must be at least 1"),
    ],
)
def test_impossible_meshes_are_refused_with_the_numbers(shape, message):
    with pytest.raises(UserError, match=message):
        make_mesh(**shape)


def test_parameters_lie_by_the_one_table():
    shardings = param_shardings(make_mesh(fsdp=2, tensor=2), AXES, shapes())
    assert shardings["embedding"].spec == PartitionSpec("tensor", "fsdp")
    assert shardings["query"].spec == PartitionSpec(None, "fsdp", "tensor", None)
    placed = jax.device_put(np.zeros((16, 8)), shardings["embedding"])
    assert placed.addressable_shards[0].data.shape == (8, 4)


def test_an_axis_that_does_not_divide_is_replicated_in_parameters_and_activations():
    mesh = make_mesh(data=1, fsdp=2, tensor=4)
    rules = dict(axis_rules(mesh, AXES, shapes(heads=9)))
    assert rules["heads"] is None and rules["activation_heads"] is None
    assert rules["vocab"] == "tensor" and rules["embed"] == "fsdp"
    assert param_shardings(mesh, AXES, shapes(heads=9))["query"].spec == PartitionSpec(
        None, "fsdp", None, None
    )


def test_a_mesh_axis_is_used_once_per_array():
    axes = {"square": PartitionSpec("embed", "embed")}
    struct = {"square": jax.ShapeDtypeStruct((8, 8), jnp.float32)}
    shardings = param_shardings(make_mesh(fsdp=8), axes, struct)
    assert shardings["square"].spec == PartitionSpec("fsdp", None)


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
