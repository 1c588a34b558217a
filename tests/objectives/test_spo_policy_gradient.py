"""SPO plus a policy gradient: equation (15), and what its coefficient is worth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.objectives import SoftPolicyOptimization
from spo_jax.objectives.diagnostics import finished_metrics

LAMBDA = 0.7


@pytest.mark.parametrize("baseline", ["group", "profiled"])
def test_on_policy_it_is_spo_with_a_smaller_beta(world, baseline):
    """In units of reward, beta times the gradient, it is (1 + lambda) times that of SPO."""
    beta, smaller = world.beta, world.beta / (1 + LAMBDA)
    logits = world.tree.random_logits(31)
    added = SoftPolicyOptimization(beta=beta, baseline=baseline, policy_gradient=LAMBDA)
    plain = SoftPolicyOptimization(beta=smaller, baseline=baseline)
    np.testing.assert_allclose(
        beta * world.gradient(added, logits),
        (1 + LAMBDA) * smaller * world.gradient(plain, logits),
        atol=1e-12,
    )


@pytest.mark.parametrize("baseline", ["group", "leave_one_out"])
def test_of_sampled_groups_too(make_inputs, gradient_of, baseline):
    """Group by group, whatever was sampled, while the policy is the one that sampled it."""
    inputs = make_inputs()
    inputs = inputs._replace(
        is_online_B=jnp.ones(12, bool), behavior_logprobs_BT=inputs.logprobs_BT
    )
    added = SoftPolicyOptimization(beta=0.3, baseline=baseline, policy_gradient=LAMBDA)
    plain = SoftPolicyOptimization(beta=0.3 / (1 + LAMBDA), baseline=baseline)
    np.testing.assert_allclose(
        gradient_of(added, inputs), gradient_of(plain, inputs), rtol=1e-4, atol=1e-4
    )


def test_its_fixed_point_is_the_optimum_of_the_smaller_beta(world):
    """Of fresh data; with off-policy data for the regression only the mixture would differ."""
    objective = SoftPolicyOptimization(beta=world.beta, policy_gradient=LAMBDA)
    learned_B = world.fit(objective, steps=4000)
    tilted_B = world.tree.probabilities(world.reference) * np.exp(
        world.reward_B * (1 + LAMBDA) / world.beta
    )
    target_B = tilted_B / tilted_B.sum()
    assert float(jnp.sum(target_B * jnp.log(target_B / learned_B))) < 1e-6
    assert world.shortfall(learned_B) > 1e-2
    assert learned_B @ world.reward_B > world.optimum()[0] @ world.reward_B + 0.02


def online_inputs(make_inputs):
    """One online group of right and wrong, the policy as it was sampled, and one offline group."""
    inputs = make_inputs(num_groups=2, size=2, length=2)
    return inputs._replace(
        reward_B=jnp.array([0.0, -1.0, 0.0, -1.0]),
        is_online_B=jnp.array([True, True, False, False]),
        mask_BT=jnp.ones((4, 2), bool),
        behavior_logprobs_BT=jnp.where(jnp.arange(4)[:, None] < 2, inputs.logprobs_BT, 0.0),
    )


def added_gradient(gradient_of, inputs, **options):
    """What the policy gradient adds to each token's gradient, times beta / lambda."""
    with_it = SoftPolicyOptimization(beta=0.3, policy_gradient=LAMBDA, **options)
    without = SoftPolicyOptimization(beta=0.3)
    return (gradient_of(with_it, inputs) - gradient_of(without, inputs)) * 0.3 / LAMBDA


def test_only_online_sequences_are_pushed_by_it(make_inputs, gradient_of):
    added = added_gradient(gradient_of, online_inputs(make_inputs))
    np.testing.assert_allclose(added[:2], [[-0.5, -0.5], [0.5, 0.5]], rtol=1e-3)
    np.testing.assert_array_equal(added[2:], 0.0)


def test_offline_members_do_not_count_in_the_baseline_of_online_ones(make_inputs, gradient_of):
    inputs = online_inputs(make_inputs)._replace(group_B=jnp.zeros(4, jnp.int32))
    inputs = inputs._replace(reward_B=jnp.array([0.0, -1.0, -9.0, -9.0]))
    added = added_gradient(gradient_of, inputs)
    np.testing.assert_allclose(added[:2], [[-0.5, -0.5], [0.5, 0.5]], rtol=2e-3)


def test_stale_samples_are_weighed_up_to_the_cap(make_inputs, gradient_of):
    inputs = online_inputs(make_inputs)
    older = jnp.log(jnp.array([[1.25, 10.0], [0.5, 1.0], [1.0, 1.0], [1.0, 1.0]]))
    inputs = inputs._replace(behavior_logprobs_BT=inputs.behavior_logprobs_BT - older)
    added = added_gradient(gradient_of, inputs, importance_cap=2.0)
    np.testing.assert_allclose(added[:2], [[-0.625, -1.0], [0.25, 0.5]], rtol=1e-3)


def test_later_passes_are_clipped_around_the_policy_the_update_began_with(make_inputs, gradient_of):
    """A ratio that went far enough the way its advantage points gets no further push."""
    inputs = online_inputs(make_inputs)
    moved = jnp.log(jnp.array([[1.1, 1.3], [0.7, 1.3], [1.0, 1.0], [1.0, 1.0]]))
    inputs = inputs._replace(proximal_logprobs_BT=inputs.logprobs_BT - moved)
    inputs = inputs._replace(behavior_logprobs_BT=inputs.proximal_logprobs_BT)
    added = added_gradient(gradient_of, inputs, clip_range=0.2)
    expected = [[-0.5 * 1.1, 0.0], [0.0, 0.5 * 1.3]]
    np.testing.assert_allclose(added[:2], expected, rtol=1e-3, atol=1e-4)
    objective = SoftPolicyOptimization(beta=0.3, policy_gradient=LAMBDA)
    clipped = jax.jit(lambda inputs: objective(inputs).metrics["policy/clip_fraction"])(inputs)
    assert [float(each) for each in clipped] == [2.0, 4.0]


def test_a_first_pass_has_the_present_policy_as_its_proximal_one(make_inputs, gradient_of):
    inputs = online_inputs(make_inputs)
    explicit = inputs._replace(proximal_logprobs_BT=inputs.logprobs_BT)
    objective = SoftPolicyOptimization(policy_gradient=LAMBDA)
    np.testing.assert_allclose(
        gradient_of(objective, explicit), gradient_of(objective, inputs), rtol=1e-6
    )


def test_effective_beta_is_reported_where_it_is_exact(make_inputs):
    squared = SoftPolicyOptimization(beta=0.3, policy_gradient=0.5)
    finished = finished_metrics(squared(make_inputs()).metrics)
    assert finished["q/effective_beta"] == pytest.approx(0.2)
    assert finished["q/beta"] == pytest.approx(0.3)
    entropy = SoftPolicyOptimization(link="cross_entropy", policy_gradient=0.5)
    assert "q/effective_beta" not in entropy(make_inputs()).metrics


def test_needs_and_refusals(make_inputs):
    online = {"online_behavior_logprobs", "groups"}
    added = SoftPolicyOptimization(baseline="initial_value", policy_gradient=0.1)
    assert added.needs == {"ref_logprobs", "initial_value"} | online
    assert not SoftPolicyOptimization(baseline="initial_value").needs & online
    with pytest.raises(ValueError, match="policy_gradient > 0 needs behavior_logprobs_BT"):
        added(make_inputs()._replace(behavior_logprobs_BT=None))
    with pytest.raises(UserError, match="policy_gradient must be finite and at least 0, got -0"):
        SoftPolicyOptimization(policy_gradient=-0.5)
    with pytest.raises(UserError, match="clip_range must be finite and above 0, got 0"):
        SoftPolicyOptimization(policy_gradient=0.5, clip_range=0)
