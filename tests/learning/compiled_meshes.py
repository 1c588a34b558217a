"""Compiles one micro-batch's gradients on several meshes; run as a program by the test beside it.

Prints one JSON line a mesh: [shape, HLO of the compiled module]. What the partitioner warns of goes
to standard error, which only a process of its own can capture.
"""

import json
import sys

import jax
import jax.numpy as jnp

from spo_jax.learning import AdamW, Learner
from spo_jax.learning.batch import MicroBatch
from spo_jax.models.testing import tiny_config
from spo_jax.models.transformer import Transformer
from spo_jax.objectives import SoftPolicyOptimization
from spo_jax.packing import PackedRows
from spo_jax.sharding import MESH_AXES, make_mesh, on_mesh

# All different, so that a shape in the program tells what it is.
NUM_LAYERS, VOCAB, EMBED, MLP, HEADS, KV_HEADS, HEAD_DIM = 3, 480, 32, 80, 8, 4, 16
ROWS, LENGTH, COMPLETIONS, TOKENS = 24, 64, 2, 24
CHUNK_TOKENS = 48


def micro_batch() -> MicroBatch:
    def shape(*sizes, dtype=jnp.float32):
        return jax.ShapeDtypeStruct(sizes, dtype)

    def ids(*sizes):
        return shape(*sizes, dtype=jnp.int32)

    row, tokens, B = (ROWS, LENGTH), (ROWS, COMPLETIONS, TOKENS), ROWS * COMPLETIONS
    rows = PackedRows(*[ids(*row)] * 4, ids(*tokens), ids(*tokens), shape(*tokens, dtype=bool))
    return MicroBatch(
        rows=rows,
        reward_B=shape(B),
        weights_B=shape(B),
        group_B=ids(B),
        is_online_B=shape(B, dtype=bool),
        ref_logprobs_BT=shape(B, TOKENS),
    )


def compiled_text(shape: tuple[int, ...]) -> str:
    config = tiny_config(
        vocab_size=VOCAB,
        num_layers=NUM_LAYERS,
        embed_dim=EMBED,
        mlp_dim=MLP,
        num_heads=HEADS,
        num_kv_heads=KV_HEADS,
        head_dim=HEAD_DIM,
        remat_policy="full",
    )
    mesh = make_mesh(**dict(zip(MESH_AXES, shape, strict=True)))
    learner = Learner(
        Transformer(config), SoftPolicyOptimization(), AdamW(), mesh, chunk_tokens=CHUNK_TOKENS
    )
    params, step = (learner.abstract_state().params, None), jax.ShapeDtypeStruct((), jnp.int32)
    with on_mesh(mesh, learner._policy.rules):
        sums = jax.eval_shape(learner._first_sums, params, micro_batch(), step)
        program = learner._accumulate.lower(params, sums, micro_batch(), step)
        return program.compile().as_text()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        sizes = tuple(map(int, argument.split(",")))
        print(json.dumps([sizes, compiled_text(sizes)]), flush=True)
