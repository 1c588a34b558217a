"""Gradients of every regression against numerical derivatives of the loss it says it has."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.objectives import (
    AdvantageRegression,
    SoftPolicyOptimization,
    TokenQRegression,
    TrajectoryBalance,
)

ENTROPY = {"link": "cross_entropy", "margin": 0.3}
REGRESSIONS = [
    SoftPolicyOptimization(baseline="initial_value"),
    SoftPolicyOptimization(baseline="initial_value", residual_clip=0.5),
    SoftPolicyOptimization(baseline="group"),
    SoftPolicyOptimization(baseline="profiled", residual_clip=0.5),
    SoftPolicyOptimization(baseline="initial_value", **ENTROPY),
    SoftPolicyOptimization(baseline="profiled", **ENTROPY),
    TokenQRegression(baseline="initial_value", margin=0.3),
    TokenQRegression(
        baseline="initial_value", margin=0.3, importance="reference", importance_cap=1.5, weight=0.3
    ),
    TokenQRegression(baseline="initial_value", link="squared", residual_clip=0.5),
    AdvantageRegression(baseline="initial_value", target="sequence"),
    AdvantageRegression(baseline="initial_value", target="uniform"),
    AdvantageRegression(baseline="initial_value", target="values", critic_weight=0.0),
    TrajectoryBalance(),
]


@partial(jax.jit, static_argnums=(0, 1))
def loss_and_gradient(world, objective, logits_SV, weights_B, initial_value):
    """`loss/true`, and the gradient of the surrogate; per weight."""

    def loss(logits_SV):
        output = objective(world.inputs(logits_SV, weights_B, initial_value))
        numerator, denominator = output.metrics["loss/true"]
        return output.loss_sum / output.weight_sum, numerator / denominator

    gradient, true_loss = jax.grad(loss, has_aux=True)(logits_SV)
    return true_loss, gradient


@pytest.mark.parametrize("world", ["with_end_token"], indirect=True)
@pytest.mark.parametrize("objective", REGRESSIONS, ids=str)
def test_gradient_is_that_of_the_loss_it_reports(world, objective):
    """The initial value is a constant, and where it is profiled its own slope is 0."""
    rng = np.random.default_rng(4)
    weights_B = world.tree.probabilities(world.behavior)
    logits = jnp.asarray(world.reference + 0.3 * rng.normal(size=world.reference.shape))
    direction = jnp.asarray(rng.normal(size=logits.shape))
    initial_value = world.optimum()[1] - 0.1
    evaluate = partial(loss_and_gradient, world, objective)
    _, gradient = evaluate(logits, weights_B, initial_value)
    step = 1e-6
    above, _ = evaluate(logits + step * direction, weights_B, initial_value)
    below, _ = evaluate(logits - step * direction, weights_B, initial_value)
    numeric = float(above - below) / (2 * step)
    assert abs(numeric) > 1e-3
    assert float(jnp.sum(gradient * direction)) == pytest.approx(numeric, rel=1e-6, abs=1e-8)
