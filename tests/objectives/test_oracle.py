"""The objectives against exact soft-optimal policies on an enumerated token tree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.objectives import ObjectiveOutput, SoftPolicyOptimization, Supervised
from spo_jax.objectives.soft_q import group_initial_value, log_ratios, soft_q_values


def kl(p, q):
    return float(jnp.sum(p * (jnp.log(p) - jnp.log(q))))


def last_entries(values_BT, mask_BT):
    return values_BT[np.arange(len(mask_BT)), mask_BT.sum(axis=1) - 1]


def test_dynamic_programming_equals_enumeration(world):
    optimum_B, initial_value = world.optimum()
    values = world.values
    assert abs(values[()] - initial_value) < 1e-12
    log_ref = np.where(world.tree.mask, world.tree.logprobs(world.reference), 0.0)
    expected = np.exp(log_ref.sum(axis=1) + (world.reward_B - values[()]) / world.beta)
    np.testing.assert_allclose(optimum_B, expected, atol=1e-12)


def test_soft_q_of_the_optimum_is_the_value_of_every_prefix(world):
    """Equation (2) at the optimum: Q_t = V*(s_t), and Q_T = r on *every* completion."""
    tree = world.tree
    optimum_B, initial_value = world.optimum()
    deltas = log_ratios(
        tree.logprobs(tree.logits_of(optimum_B)), tree.logprobs(world.reference), tree.mask
    )
    q_BT = soft_q_values(deltas, jnp.full(len(optimum_B), initial_value), world.beta)
    values = world.values
    for b, completion in enumerate(tree.completions):
        expected = [values[completion[: t + 1]] for t in range(len(completion))]
        np.testing.assert_allclose(q_BT[b, : len(completion)], expected, atol=1e-12)
    np.testing.assert_allclose(last_entries(q_BT, tree.mask), world.reward_B, atol=1e-12)


def test_soft_bellman_holds_for_any_parameters(world):
    """Equation (9): beta log sum_a pi_ref(a|s) exp(Q(s, a) / beta) = V(s), untrained."""
    tree, beta = world.tree, world.beta
    ref_BT = tree.logprobs(world.reference)
    deltas = log_ratios(tree.logprobs(tree.random_logits(7)), ref_BT, tree.mask)
    q_BT = np.asarray(soft_q_values(deltas, jnp.full(len(deltas), -0.3), beta))
    q, log_ref = {(): -0.3}, {}
    for b, completion in enumerate(tree.completions):
        for t in range(len(completion)):
            q[completion[: t + 1]] = q_BT[b, t]
            log_ref[completion[: t + 1]] = float(ref_BT[b, t])
    for prefix in tree.prefixes:
        children = [(*prefix, a) for a in range(tree.vocab)]
        backed_up = beta * np.log(sum(np.exp(log_ref[c] + q[c] / beta) for c in children))
        assert abs(backed_up - q[prefix]) < 1e-12


@pytest.mark.parametrize(
    ("link", "baseline"),
    [
        ("squared", "initial_value"),
        ("squared", "group"),
        ("squared", "leave_one_out"),
        ("cross_entropy", "initial_value"),
        ("cross_entropy", "group"),
        ("cross_entropy", "profiled"),
    ],
)
def test_terminal_losses_reach_the_optimum_from_off_policy_data(world, link, baseline):
    objective = SoftPolicyOptimization(beta=world.beta, link=link, baseline=baseline, margin=0.01)
    optimum_B, initial_value = world.optimum()
    behavior_B = world.tree.probabilities(world.behavior)
    assert kl(optimum_B, behavior_B) > 0.1  # really off-policy
    learned_B = world.fit(objective, behavior_B, initial_value)
    assert kl(optimum_B, learned_B) < 1e-6


def test_positive_weights_do_not_move_the_optimum(world):
    weights_B = np.random.default_rng(3).uniform(0.2, 5.0, size=len(world.tree.completions))
    optimum_B, _ = world.optimum()
    learned_B = world.fit(SoftPolicyOptimization(beta=world.beta), weights_B)
    assert kl(optimum_B, learned_B) < 1e-6


def test_a_loss_divided_by_the_length_keeps_its_optimum(world):
    """A weight of 1 / T is a positive weight like any other."""
    weights_B = world.tree.probabilities(world.behavior) / world.tree.mask.sum(axis=1)
    learned_B = world.fit(SoftPolicyOptimization(beta=world.beta), weights_B, steps=4000)
    assert world.shortfall(learned_B) < 1e-6


@pytest.mark.parametrize("offline_weight", [0.2, 5.0])
def test_weights_of_sources_do_not_move_the_optimum(world, offline_weight):
    """Half of every completion's data is offline; `make_batch` may weigh it as it likes."""
    behavior_B = world.tree.probabilities(world.behavior)
    is_offline_B = np.arange(len(behavior_B)) % 2 == 0
    weights_B = np.where(is_offline_B, offline_weight, 1.0) * behavior_B
    learned_B = world.fit(SoftPolicyOptimization(beta=world.beta), weights_B, steps=4000)
    assert world.shortfall(learned_B) < 1e-6


class MeanOfLogRatios:
    """Squared regression of c + beta * (mean over tokens of Delta): a residual per length."""

    def __init__(self, beta):
        self.beta = beta

    def __call__(self, inputs):
        deltas_BT = log_ratios(inputs.logprobs_BT, inputs.ref_logprobs_BT, inputs.mask_BT)
        means_B = jnp.sum(deltas_BT, axis=1) / jnp.sum(inputs.mask_BT, axis=1)
        residual_B = inputs.initial_value_B + self.beta * means_B - inputs.reward_B
        loss_B = 0.5 * inputs.weights_B * residual_B**2
        return ObjectiveOutput(jnp.sum(loss_B), jnp.sum(inputs.weights_B), loss_B, {})


def test_a_residual_divided_by_the_length_has_another_optimum(world):
    behavior_B = world.tree.probabilities(world.behavior)
    learned_B = world.fit(MeanOfLogRatios(world.beta), behavior_B, world.optimum()[1])
    assert world.shortfall(learned_B) > 0.1


@pytest.mark.parametrize("baseline", ["group", "leave_one_out", "profiled", "initial_value"])
def test_rewards_of_any_sign_shift_with_their_initial_value(make_inputs, gradient_of, baseline):
    """Squared link: only reward - Q_0 is read, so a constant on both changes nothing."""
    objective = SoftPolicyOptimization(baseline=baseline, residual_clip=2.0)
    inputs = make_inputs()
    shifted = inputs._replace(
        reward_B=inputs.reward_B + 8.0, initial_value_B=inputs.initial_value_B + 8.0
    )
    np.testing.assert_allclose(
        gradient_of(objective, shifted), gradient_of(objective, inputs), atol=1e-4
    )


@pytest.mark.parametrize("baseline_error", [0.0, -3.0, 2.0])
def test_on_policy_gradient_is_the_kl_regularised_policy_gradient(world, baseline_error):
    """Squared link, data from the policy itself: beta * gradient = -grad J, whatever Q_0 is."""
    tree, logits = world.tree, jnp.asarray(world.tree.random_logits(11))
    _, initial_value = world.optimum()
    policy_B = tree.probabilities(logits)
    objective = SoftPolicyOptimization(beta=world.beta, baseline="initial_value")
    gradient = world.gradient(objective, logits, policy_B, initial_value + baseline_error)

    def expected_return(logits):
        p = tree.probabilities(logits)
        penalty = jnp.log(p) - jnp.log(tree.probabilities(world.reference))
        return jnp.sum(p * (world.reward_B - world.beta * penalty))

    np.testing.assert_allclose(
        world.beta * gradient, -jax.jit(jax.grad(expected_return))(logits), atol=1e-12
    )


def test_return_falls_short_by_the_kl_to_the_optimum(world):
    """J(pi) = Q_0 - beta KL(pi || pi*)."""
    optimum_B, initial_value = world.optimum()
    policy_B = world.tree.probabilities(world.tree.random_logits(12))
    reference_B = world.tree.probabilities(world.reference)
    returned = jnp.sum(policy_B * world.reward_B) - world.beta * kl(policy_B, reference_B)
    assert abs(returned - (initial_value - world.beta * kl(policy_B, optimum_B))) < 1e-12


def test_group_residual_times_n_over_n_minus_1_is_rloo(float64):
    """And `leave_one_out` is exactly that: s_i minus the mean of the others, negated."""
    rng = np.random.default_rng(5)
    n, beta = 6, 0.3
    sums_B, reward_B = jnp.asarray(rng.normal(size=n)), jnp.asarray(-rng.uniform(size=n))
    s_B = reward_B - beta * sums_B
    rloo_B = s_B - (jnp.sum(s_B) - s_B) / (n - 1)
    arguments = (sums_B, reward_B, jnp.ones(n), jnp.zeros(n, jnp.int32))
    group_B = group_initial_value(*arguments, beta=beta)
    others_B = group_initial_value(*arguments, beta=beta, leave_one_out=True)
    np.testing.assert_allclose((s_B - group_B) * n / (n - 1), rloo_B, atol=1e-12)
    np.testing.assert_allclose(s_B - others_B, rloo_B, atol=1e-12)


def test_at_the_optimum_no_single_completion_has_a_gradient(world):
    """Terminal losses interpolate: no noise floor."""
    optimum_B, initial_value = world.optimum()
    logits = world.tree.logits_of(optimum_B)
    for link in ("squared", "cross_entropy"):
        objective = SoftPolicyOptimization(
            beta=world.beta, link=link, baseline="initial_value", margin=0.01
        )
        for b in (0, 3, len(optimum_B) - 1):
            weights_B = np.eye(len(optimum_B))[b]
            gradient = world.gradient(objective, logits, weights_B, initial_value)
            assert float(jnp.abs(gradient).max()) < 1e-10


def test_cross_entropy_starts_centred_and_squared_pushes_down(world):
    """Policy = reference on reference data: E[kappa] is 0, and (Q_0 - E r) / beta > 0."""
    reference_B = world.tree.probabilities(world.reference)
    _, initial_value = world.optimum()
    expected = {
        "cross_entropy": 0.0,
        "squared": float(initial_value - jnp.sum(reference_B * world.reward_B)) / world.beta,
    }
    assert expected["squared"] > 0.01
    for link, mean in expected.items():
        objective = SoftPolicyOptimization(
            beta=world.beta, link=link, baseline="initial_value", margin=0.01
        )

        # S is 0 at policy = reference, so kappa is read off the derivative in S.
        def loss(shift, objective=objective):
            inputs = world.inputs(world.reference, reference_B, initial_value)
            is_first_T = jnp.arange(inputs.logprobs_BT.shape[1]) == 0
            return objective(
                inputs._replace(logprobs_BT=inputs.logprobs_BT + shift * is_first_T[None])
            ).loss_sum

        value, slope = jax.jit(jax.value_and_grad(loss))(0.0)
        assert float(value) == 0.0
        assert abs(float(slope) - mean) < 1e-12


def test_plain_likelihood_ends_in_the_right_part_of_the_data(world):
    """The control copies the behaviour among right answers; it knows no reference."""
    behavior_B = world.tree.probabilities(world.behavior)
    threshold = float(np.median(world.reward_B))
    is_right_B = world.reward_B >= threshold
    learned_B = world.fit(Supervised(reward_threshold=threshold), behavior_B, steps=4000)
    target_B = jnp.where(is_right_B, behavior_B, 0.0) / jnp.sum(behavior_B[is_right_B])
    assert float(jnp.abs(learned_B - target_B).max()) < 1e-3
