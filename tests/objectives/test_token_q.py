"""Per-token Monte-Carlo targets: which of them lead to the optimum, and how the others miss it."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.objectives import ObjectiveOutput, SoftPolicyOptimization, TokenQRegression
from spo_jax.objectives.links import cross_entropy_loss
from spo_jax.objectives.soft_q import log_ratios, soft_q_values
from spo_jax.objectives.token_q import continuation_weights

EXACT = {"importance": "reference", "importance_cap": 1e9}
MISSES = 3e-3  # nats


def behavior_of(world):
    return world.tree.probabilities(world.behavior)


def fit(world, weights_B, **options):
    objective = TokenQRegression(beta=world.beta, margin=0.01, baseline="initial_value", **options)
    return world.fit(objective, weights_B, world.optimum()[1], steps=4000)


def test_weights_of_the_continuation_by_hand():
    """Equation (18): the product over later chosen tokens, 1 at the last, capped."""
    ref = jnp.log(jnp.array([[0.5, 0.4, 0.3, 0.2]]))
    behavior = jnp.log(jnp.array([[0.1, 0.1, 0.6, 0.1]]))
    everything, some = jnp.ones((1, 4), bool), jnp.array([[True, True, False, True]])
    weights = continuation_weights(ref, behavior, everything, cap=100.0)
    np.testing.assert_allclose(weights, [[4.0, 1.0, 2.0, 1.0]], rtol=1e-5)
    capped = continuation_weights(ref, behavior, everything, cap=1.5)
    np.testing.assert_allclose(capped, [[1.5, 1.0, 1.5, 1.0]], rtol=1e-5)
    turns = continuation_weights(ref, behavior, some, cap=100.0)
    np.testing.assert_allclose(turns[some], [8.0, 2.0, 1.0], rtol=1e-5)
    far = continuation_weights(jnp.full((1, 4), 0.0), jnp.full((1, 4), -300.0), everything, cap=2.0)
    np.testing.assert_array_equal(far, [[2.0, 2.0, 2.0, 1.0]])


def test_coefficients_add_up_from_the_end(make_inputs, gradient_of):
    """Equation (17): kappa_t is the sum of the later slopes; here of the squared link."""
    inputs = make_inputs()
    objective = TokenQRegression(beta=0.5, link="squared", baseline="initial_value")
    gradient = gradient_of(objective, inputs)
    deltas = np.where(inputs.mask_BT, inputs.logprobs_BT - inputs.ref_logprobs_BT, 0.0)
    slopes = -0.4 / 0.5 + np.cumsum(deltas, axis=1) - np.asarray(inputs.reward_B)[:, None] / 0.5
    slopes = np.where(inputs.mask_BT, slopes, 0.0)
    expected = np.cumsum(slopes[:, ::-1], axis=1)[:, ::-1] * np.asarray(inputs.mask_BT)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weight", [1.0, 0.4])
def test_exact_weights_towards_the_reference_reach_the_optimum(world, weight):
    assert world.shortfall(behavior_of(world)) > 0.1  # really off-policy
    learned_B = fit(world, behavior_of(world), weight=weight, **EXACT)
    assert world.shortfall(learned_B) < 1e-6


def test_no_weights_are_needed_for_data_of_the_reference(world):
    learned_B = fit(world, world.tree.probabilities(world.reference))
    assert world.shortfall(learned_B) < 1e-6


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"importance": "reference", "importance_cap": 1.0},
        {"link": "squared"},
        {"link": "squared", **EXACT},
    ],
    ids=["unweighted", "truncated", "squared", "squared_weighted"],
)
def test_the_others_miss_it(world, options):
    learned_B = fit(world, behavior_of(world), **options)
    assert world.shortfall(learned_B) > MISSES


def test_annealed_to_zero_the_unweighted_loss_reaches_the_optimum(world):
    learned_B = fit(world, behavior_of(world), weight=0.0)
    assert world.shortfall(learned_B) < 1e-6


def prefix_means(world, weights_B, omega_BT, values_B):
    """For every chosen token the weighted mean of `values_B` over what shares its prefix. [B, T]"""
    tree = world.tree
    means = np.zeros(tree.mask.shape)
    for b, completion in enumerate(tree.completions):
        for t in range(len(completion)):
            prefix = completion[: t + 1]
            same = [i for i, c in enumerate(tree.completions) if c[: t + 1] == prefix]
            shares = np.asarray(weights_B)[same] * np.asarray(omega_BT)[same, t]
            means[b, t] = shares @ np.asarray(values_B)[same] / shares.sum()
    return means


def weights_towards_reference(world, cap):
    tree, mask = world.tree, jnp.asarray(world.tree.mask)
    ref_BT, behavior_BT = tree.logprobs(world.reference), tree.logprobs(world.behavior)
    return continuation_weights(ref_BT, behavior_BT, mask, cap=cap)


def soft_values_after(world):
    """V* of every prefix that a chosen token ends. [B, T]"""
    values = np.zeros(world.tree.mask.shape)
    for b, completion in enumerate(world.tree.completions):
        for t in range(len(completion)):
            values[b, t] = world.values[completion[: t + 1]]
    return values


def test_exact_weights_have_the_soft_values_as_their_means(world):
    """What each q is pulled to: the mean of e^{r/beta} over the *reference's* continuations."""
    exp_reward_B = np.exp(world.reward_B / world.beta)
    omega_BT = weights_towards_reference(world, 1e9)
    means_BT = prefix_means(world, behavior_of(world), omega_BT, exp_reward_B)
    values_BT = np.exp(soft_values_after(world) / world.beta)
    mask = world.tree.mask
    np.testing.assert_allclose(means_BT[mask], values_BT[mask], atol=1e-12)


@pytest.mark.parametrize("cap", [1.0, 2.0])
def test_truncated_weights_have_the_values_of_another_continuation(world, cap):
    """Of the one proportional to min(pi_ref, cap mu)."""
    tree = world.tree
    exp_reward_B = np.exp(world.reward_B / world.beta)
    omega_BT = weights_towards_reference(world, cap)
    means_BT = prefix_means(world, behavior_of(world), omega_BT, exp_reward_B)
    ref_BT = np.where(tree.mask, tree.logprobs(world.reference), 0.0)
    mu_BT = np.where(tree.mask, tree.logprobs(world.behavior), 0.0)
    for b, completion in enumerate(tree.completions):
        for t in range(len(completion)):
            prefix = completion[: t + 1]
            same = [i for i, c in enumerate(tree.completions) if c[: t + 1] == prefix]
            ref = np.exp(ref_BT[same, t + 1 :].sum(axis=1))
            mu = np.exp(mu_BT[same, t + 1 :].sum(axis=1))
            shares = np.minimum(ref, cap * mu)
            expected = shares @ exp_reward_B[same] / shares.sum()
            assert means_BT[b, t] == pytest.approx(expected, abs=1e-12)


def test_unweighted_targets_are_too_high_on_data_of_a_better_policy(world):
    optimum_B, _ = world.optimum()
    ones_BT = np.ones(world.tree.mask.shape)
    means_BT = prefix_means(world, optimum_B, ones_BT, np.exp(world.reward_B / world.beta))
    excess_BT = world.beta * np.log(np.where(world.tree.mask, means_BT, 1.0))
    excess_BT = (excess_BT - soft_values_after(world))[world.tree.mask]
    assert excess_BT.min() > -1e-12 and excess_BT.max() > 0.02


def test_squared_targets_are_too_low_by_jensen(world):
    reference_B = world.tree.probabilities(world.reference)
    ones_BT = np.ones(world.tree.mask.shape)
    means_BT = prefix_means(world, reference_B, ones_BT, world.reward_B)
    gap_BT = (means_BT - soft_values_after(world))[world.tree.mask]
    assert gap_BT.max() < 1e-12 and gap_BT.min() < -0.02


@dataclasses.dataclass(frozen=True)
class Plain:
    """Cross-entropy of e^{Q_t/tau}, differentiated as it stands; each option is a mistake."""

    beta: float
    tau: float
    over_length: bool = False
    terminal: bool = False

    def __call__(self, inputs):
        deltas_BT = log_ratios(inputs.logprobs_BT, inputs.ref_logprobs_BT, inputs.mask_BT)
        q_BT = soft_q_values(deltas_BT, inputs.initial_value_B, self.beta) / self.tau
        rho_BT = jnp.broadcast_to(inputs.reward_B[:, None] / self.tau, q_BT.shape)
        omega_BT = continuation_weights(
            inputs.ref_logprobs_BT, inputs.behavior_logprobs_BT, inputs.mask_BT, cap=1e9
        )
        numbers_BT = jnp.cumsum(inputs.mask_BT, axis=1)
        lengths_B = numbers_BT[:, -1]
        counts_BT = inputs.mask_BT * omega_BT
        if self.terminal:
            counts_BT = inputs.mask_BT * (numbers_BT == lengths_B[:, None])
        loss_BT = counts_BT * cross_entropy_loss(q_BT, rho_BT, 0.01)
        per_row_B = inputs.weights_B / (lengths_B if self.over_length else 1.0)
        loss_B = per_row_B * jnp.sum(loss_BT, axis=1)
        return ObjectiveOutput(jnp.sum(loss_B), jnp.sum(inputs.weights_B), loss_B, {})


def fit_plain(world, **mistakes):
    plain = Plain(**{"beta": world.beta, "tau": world.beta} | mistakes)
    return world.fit(plain, behavior_of(world), world.optimum()[1], steps=4000)


def test_the_temperature_of_the_link_must_be_beta(world):
    """The terminal loss does not mind another; a mean of e^{r/tau} over continuations does."""
    twice = 2 * world.beta
    assert world.shortfall(fit_plain(world, tau=twice, terminal=True)) < 1e-6
    assert world.shortfall(fit_plain(world, tau=twice)) > MISSES


@pytest.mark.parametrize("world", ["with_end_token"], indirect=True)
def test_a_mean_over_each_completion_weighs_continuations_by_their_length(world):
    """So the denominator counts the tokens of the batch. Terminal losses do not mind."""
    assert world.shortfall(fit_plain(world, over_length=True, terminal=True)) < 1e-6
    assert world.shortfall(fit_plain(world)) < 1e-6
    assert world.shortfall(fit_plain(world, over_length=True)) > 1e-4


def test_monte_carlo_targets_keep_a_noise_floor(world):
    """At the optimum the mean gradient is 0, that of a single completion is not."""
    optimum_B, initial_value = world.optimum()
    logits = world.tree.logits_of(optimum_B)
    token_q = TokenQRegression(beta=world.beta, margin=0.01, baseline="initial_value", **EXACT)
    terminal = SoftPolicyOptimization(
        beta=world.beta, link="cross_entropy", margin=0.01, baseline="initial_value"
    )

    def largest(objective, weights_B):
        return float(jnp.abs(world.gradient(objective, logits, weights_B, initial_value)).max())

    single = [np.eye(len(optimum_B))[b] for b in range(0, len(optimum_B), 5)]
    assert largest(token_q, behavior_of(world)) < 1e-10
    assert max(largest(token_q, weights_B) for weights_B in single) > 1e-2
    assert max(largest(terminal, weights_B) for weights_B in single) < 1e-10


def test_needs_name_what_is_read(make_inputs):
    assert TokenQRegression(baseline="group").needs == {"ref_logprobs", "groups"}
    weighted = TokenQRegression(baseline="initial_value", importance="reference")
    assert weighted.needs == {"ref_logprobs", "initial_value", "behavior_logprobs"}
    with pytest.raises(ValueError, match="needs behavior_logprobs_BT and ref_logprobs_BT"):
        weighted(make_inputs()._replace(behavior_logprobs_BT=None))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"importance": "policy"}, "importance='policy' must be one of"),
        ({"importance_cap": 0.0}, "importance_cap must be finite and above 0, got 0.0"),
        ({"weight": -0.1}, r"weight must stay between 0 and 1, got -0\.1"),
        ({"residual_clip": 1.0}, "residual_clip=1.0 belongs to link='squared'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        TokenQRegression(**settings)


def test_cross_entropy_refuses_positive_rewards():
    with pytest.raises(UserError, match="rewards must be <= 0, got 1"):
        TokenQRegression().check_rewards(np.array([1.0, -1.0]))
    TokenQRegression(link="squared").check_rewards(np.array([1.0, -1.0]))


def test_weighted_targets_of_the_optimum_own_data_have_no_variance(world):
    """omega_t e^{r/beta} is e^{V*(s_t)/beta} for every single completion, not only on average."""
    tree, optimum_B = world.tree, world.optimum()[0]
    omega_BT = continuation_weights(
        tree.logprobs(world.reference),
        tree.logprobs(tree.logits_of(optimum_B)),
        jnp.asarray(tree.mask),
        cap=1e9,
    )
    targets_BT = omega_BT * np.exp(world.reward_B / world.beta)[:, None]
    expected_BT = np.exp(soft_values_after(world) / world.beta)
    np.testing.assert_allclose(targets_BT[tree.mask], expected_BT[tree.mask], rtol=1e-9)
