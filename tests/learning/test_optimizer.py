import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.learning import AdamW
from spo_jax.learning.optimizer import decayed


def rates(optimizer, steps):
    schedule = optimizer.schedule()
    return [float(schedule(step)) for step in steps]


def test_warmup_moves_from_the_first_update_and_reaches_the_peak():
    optimizer = AdamW(learning_rate=0.4, warmup_steps=4)
    np.testing.assert_allclose(
        rates(optimizer, range(6)), [0.1, 0.2, 0.3, 0.4, 0.4, 0.4], rtol=1e-6
    )
    assert rates(AdamW(learning_rate=0.4), [0, 9]) == pytest.approx([0.4, 0.4])


def test_decays_end_at_the_final_fraction_and_stay_there():
    for decay, middle in (("linear", 0.55), ("cosine", 0.55)):
        optimizer = AdamW(
            learning_rate=1.0, warmup_steps=2, decay=decay, total_steps=12, final_fraction=0.1
        )
        np.testing.assert_allclose(
            rates(optimizer, [0, 1, 2, 7, 12, 50]), [0.5, 1.0, 1.0, middle, 0.1, 0.1], rtol=1e-5
        )


def test_norms_and_biases_do_not_decay_though_scanning_stacks_them():
    params = {
        "layers": {
            "norm": {"scale": jnp.ones((2, 4))},
            "dense": {"kernel": jnp.ones((2, 4, 4)), "bias": jnp.ones((2, 4))},
        },
        "embedding": jnp.ones((8, 4)),
    }
    mask = decayed(params)
    assert mask["layers"] == {"norm": {"scale": False}, "dense": {"kernel": True, "bias": False}}
    assert mask["embedding"]
    transformation = AdamW(learning_rate=0.1, weight_decay=0.5).transformation()
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = transformation.update(zeros, transformation.init(params), params)
    np.testing.assert_allclose(updates["embedding"], -0.05, rtol=1e-6)
    np.testing.assert_array_equal(updates["layers"]["norm"]["scale"], 0.0)


def test_gradients_are_clipped_by_their_global_norm():
    """Adam divides scale away, so clipping shows in the first moment."""
    params = {"a": {"kernel": jnp.zeros(2)}, "b": {"kernel": jnp.zeros(1)}}
    grads = {"a": {"kernel": jnp.array([3.0, 0.0])}, "b": {"kernel": jnp.array([4.0])}}
    for limit, scale in ((1.0, 0.2), (None, 1.0), (10.0, 1.0)):
        transformation = AdamW(max_grad_norm=limit, b1=0.0).transformation()
        _, state = transformation.update(grads, transformation.init(params), params)
        moments = [x for x in jax.tree.leaves(state) if x.shape == (2,)]
        np.testing.assert_allclose(moments[0], [3.0 * scale, 0.0], rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decay": "cosin"}, "decay='cosin' must be one of.*did you mean 'cosine'"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        ({"max_grad_norm": -1.0}, "max_grad_norm must be above 0 or None, got -1.0"),
        (
            {"decay": "linear", "warmup_steps": 5, "total_steps": 5},
            "needs total_steps=5 above warmup_steps=5",
        ),
        ({"decay": "cosine"}, "needs total_steps=None above warmup_steps=0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        AdamW(**settings)
