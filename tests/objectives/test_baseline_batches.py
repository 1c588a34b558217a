"""What the policy-gradient baselines must not read, and must not teach."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.objectives import GRPO, PPO, RLOO, Reinforce, Supervised

BASELINES = [
    PPO(decoupled=True, kl_coefficient=0.1, value_clip=0.2),
    GRPO(kl_coefficient=0.1),
    GRPO(importance="sequence"),
    RLOO(kl_coefficient=0.1, importance_cap=2.0),
    Reinforce(baseline="running", kl_coefficient=0.1),
    Supervised(reward_threshold=None),
]
each_baseline = pytest.mark.parametrize("objective", BASELINES, ids=lambda o: str(o)[:60])


@partial(jax.jit, static_argnums=(0, 3))
def output_and_gradients(objective, arrays, rest, names):
    """The output, and the gradients of its loss sum in the inputs `names`."""

    def loss(arrays):
        output = objective(rest._replace(**dict(zip(names, arrays, strict=True))))
        return output.loss_sum, output

    (_, output), gradients = jax.value_and_grad(loss, has_aux=True)(arrays)
    return output, dict(zip(names, gradients, strict=True))


def evaluate(objective, inputs, *names):
    return output_and_gradients(objective, [getattr(inputs, n) for n in names], inputs, names)


@pytest.fixture
def later_pass(make_inputs):
    """Every optional input is there, proximal ones included."""
    inputs = make_inputs()
    return inputs._replace(
        proximal_logprobs_BT=inputs.logprobs_BT - 0.1, proximal_values_BT=inputs.values_BT + 0.1
    )


@each_baseline
def test_no_gradient_flows_into_constants(objective, later_pass):
    names = (
        "entropy_BT",
        "reward_B",
        "ref_logprobs_BT",
        "initial_value_B",
        "behavior_logprobs_BT",
        "proximal_logprobs_BT",
        "proximal_values_BT",
    )
    _, gradients = evaluate(objective, later_pass, "logprobs_BT", *names)
    assert float(jnp.abs(gradients["logprobs_BT"]).max()) > 0
    for name in names:
        np.testing.assert_array_equal(gradients[name], 0.0, err_msg=name)


@each_baseline
def test_garbage_in_masked_entries_and_rows_without_weight_is_not_read(objective, later_pass):
    """Holes in the mask and a row of weight 0 whose mask is set: NaN there changes nothing."""
    rng = np.random.default_rng(4)
    mask_BT = later_pass.mask_BT & jnp.asarray(rng.uniform(size=later_pass.mask_BT.shape) < 0.8)
    clean = later_pass._replace(
        mask_BT=mask_BT.at[5].set(True), weights_B=later_pass.weights_B.at[5].set(0.0)
    )
    is_read_BT = clean.mask_BT & (clean.weights_B > 0)[:, None]
    dirty = clean._replace(
        **{
            name: jnp.where(is_read_BT, getattr(clean, name), jnp.nan)
            for name in clean._fields
            if name.endswith("_BT") and name != "mask_BT"
        },
        reward_B=clean.reward_B.at[5].set(jnp.nan),
    )
    names = ("logprobs_BT", "values_BT")
    jax.tree.map(
        np.testing.assert_array_equal,
        evaluate(objective, clean, *names),
        evaluate(objective, dirty, *names),
    )
    gradient = evaluate(objective, dirty, *names)[1]["logprobs_BT"]
    np.testing.assert_array_equal(np.asarray(gradient)[~np.asarray(is_read_BT)], 0.0)


@each_baseline
def test_absurdly_stale_samples_keep_everything_finite(objective, later_pass):
    """A policy 100 nats a token away from all it is compared with."""
    far = later_pass._replace(
        logprobs_BT=later_pass.logprobs_BT - 100.0,
        behavior_logprobs_BT=later_pass.behavior_logprobs_BT.at[0].add(-300.0),
    )
    results = evaluate(objective, far, "logprobs_BT", "values_BT")
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(results))


@each_baseline
def test_every_pair_of_metrics_is_a_scalar_and_named_for_its_group(objective, later_pass):
    output, _ = evaluate(objective, later_pass, "logprobs_BT")
    for name, (numerator, denominator) in output.metrics.items():
        assert numerator.shape == denominator.shape == (), name
        assert name.split("/")[0] in {"loss", "policy", "value", "reward", "data"}, name
        if name.endswith("_square"):
            assert name.removesuffix("_square") + "_mean" in output.metrics
    np.testing.assert_array_equal(output.metrics["loss/total"][0], output.loss_sum)


@each_baseline
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rewards_must_be_finite(objective, bad):
    objective.check_rewards(np.array([-1.0, 0.5]))
    with pytest.raises(UserError, match="rewards must be finite: 1 of 3 are not"):
        objective.check_rewards(np.array([0.0, bad, -1.0]))
