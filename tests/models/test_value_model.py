import jax
import numpy as np

from spo_jax.models.testing import random_params, tiny_config
from spo_jax.models.transformer import Transformer
from spo_jax.models.value_model import ValueModel
from spo_jax.packing import pack_prompt_groups
from spo_jax.scoring import value_rows

CONFIG = tiny_config(tie_embeddings=False)
PARAMS = random_params(CONFIG, jax.random.key(0))
MODEL = ValueModel(CONFIG)


def packed(*completions):
    return pack_prompt_groups(
        [[5, 6, 7]],
        [list(completions)],
        num_rows=1,
        row_length=16,
        completions_per_row=3,
        max_completion_tokens=5,
        pad_id=0,
    )


def test_it_starts_from_the_language_model_and_predicts_zero():
    params = MODEL.start_from(PARAMS)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), params) == jax.tree.map(
        lambda x: (x.shape, x.dtype), MODEL.param_shapes()
    )
    assert params["backbone"]["embedding"] is PARAMS["embedding"]
    assert "lm_head" not in params["backbone"]
    values_BT = value_rows(MODEL, params, packed([8, 9, 2]))
    np.testing.assert_array_equal(values_BT, np.zeros((3, 5)))


def test_values_are_the_heads_product_with_the_state_before_each_token():
    """Packed with another completion and alone: the same numbers at the same tokens."""
    head = np.random.default_rng(0).normal(size=CONFIG.embed_dim).astype(np.float32)
    params = MODEL.start_from(PARAMS) | {"value_head": head}
    values_BT = value_rows(MODEL, params, packed([8, 9, 2], [4, 2]))
    for b, completion in enumerate(([8, 9, 2], [4, 2])):
        row = np.array([[5, 6, 7, *completion[:-1]]], np.int32)
        positions = np.arange(row.shape[1], dtype=np.int32)[None]
        hidden = Transformer(CONFIG).apply({"params": PARAMS}, row, positions, np.ones_like(row))
        expected = np.asarray(hidden)[0, 2:] @ head
        np.testing.assert_allclose(values_BT[b, : len(completion)], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(values_BT[b, len(completion) :], 0.0)


def test_every_parameter_has_logical_axes():
    axes = MODEL.logical_axes()
    assert axes["value_head"] == jax.sharding.PartitionSpec("embed")
    assert axes["backbone"]["embedding"] == jax.sharding.PartitionSpec("vocab", "embed")
