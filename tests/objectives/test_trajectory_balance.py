import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.objectives import SoftPolicyOptimization, TrajectoryBalance
from spo_jax.objectives.soft_q import group_initial_value


def test_loss_by_hand(make_inputs):
    """Equation (23), of two completions with S = 1 and -1, and of one prompt: log Z = -2."""
    inputs = make_inputs(num_groups=1, size=2, length=1)._replace(
        logprobs_BT=jnp.array([[-1.0], [-3.0]]),
        ref_logprobs_BT=jnp.array([[-2.0], [-2.0]]),
        reward_B=jnp.array([0.0, -1.0]),
    )
    loss_B = jax.jit(lambda inputs: TrajectoryBalance(beta=0.25)(inputs).loss_B)(inputs)
    # reward / beta - S is -1 and -3: log Z is -2, the imbalances are -1 and 1.
    np.testing.assert_allclose(loss_B, [1.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize(("log_z", "baseline"), [("group", "group"), ("running", "running")])
def test_gradient_is_twice_that_of_squared_spo(log_z, baseline, make_inputs, gradient_of):
    """(q - rho)^2 against (q - rho)^2 / 2; the VarGrad relation of equation (8)."""
    inputs = make_inputs()
    ours = TrajectoryBalance(beta=0.3, log_z=log_z)
    spo = SoftPolicyOptimization(beta=0.3, baseline=baseline)
    np.testing.assert_allclose(gradient_of(ours, inputs), 2 * gradient_of(spo, inputs), rtol=1e-5)
    if log_z == "running":
        np.testing.assert_array_equal(ours(inputs).initial_value_B, spo(inputs).initial_value_B)


def test_a_gradient_through_the_group_mean_would_change_nothing(make_inputs, gradient_of, float64):
    """VarGrad: the loss is n times the variance of s within a group, in nats."""
    inputs = make_inputs(num_groups=3, size=4)
    inputs = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, inputs)

    def variance_sum(logprobs_BT):
        ratios_BT = jnp.where(inputs.mask_BT, logprobs_BT - inputs.ref_logprobs_BT, 0.0)
        s_B = inputs.reward_B / 0.3 - jnp.sum(ratios_BT, axis=1)
        return 4 * jnp.sum(jnp.var(s_B.reshape(3, 4), axis=1))

    expected = jax.grad(variance_sum)(inputs.logprobs_BT)
    objective = TrajectoryBalance(beta=0.3)
    np.testing.assert_allclose(gradient_of(objective, inputs), expected, atol=1e-10)
    loss_sum = jax.jit(lambda inputs: objective(inputs).loss_sum)(inputs)
    np.testing.assert_allclose(loss_sum, variance_sum(inputs.logprobs_BT), rtol=1e-12)


def test_times_n_over_n_minus_1_it_is_rloo_of_the_kl_regularised_reward(make_inputs, gradient_of):
    inputs = make_inputs(num_groups=2, size=6)
    beta, n = 0.3, 6
    sums_B = jnp.sum(
        jnp.where(inputs.mask_BT, inputs.logprobs_BT - inputs.ref_logprobs_BT, 0.0), axis=1
    )
    penalised_B = inputs.reward_B - beta * sums_B
    totals_B = jnp.repeat(penalised_B.reshape(2, n).sum(axis=1), n)
    advantage_B = penalised_B - (totals_B - penalised_B) / (n - 1)
    rloo = jnp.where(inputs.mask_BT, -advantage_B[:, None], 0.0)
    ours = gradient_of(TrajectoryBalance(beta=beta), inputs) * beta / 2 * n / (n - 1)
    np.testing.assert_allclose(ours, rloo, rtol=1e-4, atol=1e-5)


def test_following_the_batch_is_descending_the_loss_in_log_z(make_inputs, gradient_of):
    """d loss / d log Z is 2 sum w (log Z - (r / beta - S)), so equation (14) is a gradient step."""
    inputs = make_inputs(num_groups=1, size=5)
    objective = TrajectoryBalance(beta=0.3, log_z="running")
    slope = jnp.sum(gradient_of(objective, inputs, "initial_value_B")) * 0.3
    seen = float(jax.jit(lambda inputs: objective(inputs).initial_value_B[0])(inputs))
    np.testing.assert_allclose(slope, 2 * 5 * (-0.4 - seen) / 0.3, rtol=1e-4)


def test_reaches_the_optimum_from_off_policy_data(world):
    behavior_B = world.tree.probabilities(world.behavior)
    learned_B = world.fit(TrajectoryBalance(beta=world.beta), behavior_B)
    assert world.shortfall(learned_B) < 1e-6


def test_the_group_mean_is_the_batch_estimate_of_beta_log_z(make_inputs):
    inputs = make_inputs()
    sums_B = jnp.sum(
        jnp.where(inputs.mask_BT, inputs.logprobs_BT - inputs.ref_logprobs_BT, 0.0), axis=1
    )
    expected_B = group_initial_value(
        sums_B, inputs.reward_B, inputs.weights_B, inputs.group_B, beta=0.3
    )
    output = TrajectoryBalance(beta=0.3, log_z="running")(inputs)
    np.testing.assert_allclose(output.initial_value_B, expected_B, rtol=1e-5)


def test_needs_and_refusals():
    assert TrajectoryBalance().needs == {"ref_logprobs", "groups"}
    assert TrajectoryBalance(log_z="running").needs == {"ref_logprobs", "running_initial_value"}
    with pytest.raises(UserError, match="log_z='learned' must be one of"):
        TrajectoryBalance(log_z="learned")
    with pytest.raises(UserError, match="beta must be finite and above 0"):
        TrajectoryBalance(beta=-1.0)
