"""RoPE: frequencies by hand, rotation as an isometry, settings that are refused."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.models.config import Rope
from spo_jax.models.rope import inverse_frequencies, rope_angles, rotate
from spo_jax.models.rope_config import parse_ropes

HF = {"max_position_embeddings": 4096}


def test_default_frequencies():
    np.testing.assert_allclose(inverse_frequencies(Rope(theta=100.0), 4), [1.0, 0.1])


def test_linear_divides_all_frequencies():
    rope = Rope(theta=100.0, rope_type="linear", factor=4.0)
    np.testing.assert_allclose(inverse_frequencies(rope, 4), [0.25, 0.025])


def test_llama3_keeps_fast_slows_slow_and_blends_between():
    rope = Rope(
        theta=8 * math.pi,  # frequencies 1 and 1 / (8 pi)
        rope_type="llama3",
        factor=10.0,
        original_max_position=40,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
    )
    # 1 turns 40 / 2 pi = 6.4 times in the original context: kept. The other turns 2.5 / pi^2 =
    # 0.25 times: divided by the factor.
    slow = 1 / math.sqrt(8 * math.pi)
    turns = 40 * slow / (2 * math.pi)
    keep = (turns - 1) / 3
    blended = keep * slow + (1 - keep) * slow / 10
    np.testing.assert_allclose(inverse_frequencies(rope, 4), [1.0, blended], rtol=1e-6)
    very_slow = inverse_frequencies(Rope(**{**vars(rope), "theta": 1e6}), 4)
    np.testing.assert_allclose(very_slow, [1.0, 1e-4], rtol=1e-6)


def test_yarn_attention_factor_is_the_papers_unless_given():
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}
    rope = parse_ropes({**HF, "rope_scaling": yarn}, None)["rope"]
    assert rope.attention_factor == pytest.approx(0.1 * math.log(4) + 1)
    given = parse_ropes({**HF, "rope_scaling": {**yarn, "attention_factor": 1.0}}, None)["rope"]
    assert given.attention_factor == 1.0
    cos, _ = rope_angles(rope, 8, jnp.zeros((1, 1), jnp.int32))
    np.testing.assert_allclose(cos, rope.attention_factor)


def test_products_depend_on_distance_only():
    rope, x = (
        Rope(theta=50.0),
        np.random.default_rng(0).standard_normal((2, 1, 1, 1, 8), np.float32),
    )

    def at(vector, position):
        return rotate(vector, rope_angles(rope, 8, jnp.full((1, 1), position)))[0, 0, 0]

    q, k = jnp.asarray(x[0]), jnp.asarray(x[1])
    np.testing.assert_allclose(at(q, 9) @ at(k, 4), at(q, 25) @ at(k, 20), rtol=1e-4)
    np.testing.assert_allclose(jnp.linalg.norm(at(q, 9)), jnp.linalg.norm(q), rtol=1e-6)


def test_newer_spelling_by_layer_type():
    ropes = parse_ropes(
        {
            **HF,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
        local_theta=10_000.0,
    )
    assert ropes["rope"] == Rope(theta=1e6, rope_type="linear", factor=8.0)
    assert ropes["local_rope"] == Rope(theta=1e4)


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ({"rope_type": "dynamic", "factor": 2.0}, "rope_type='dynamic' is not supported"),
        ({"rope_type": "linear"}, "rope_type='linear' needs a number 'factor', got None"),
        (
            {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0},
            "rope_type='llama3' needs a number 'high_freq_factor'",
        ),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5 is not supported"),
    ],
)
def test_settings_that_are_refused(scaling, message):
    with pytest.raises(UserError, match=message):
        parse_ropes({**HF, "rope_scaling": scaling}, None)
