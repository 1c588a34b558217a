"""Moving the reference: what K switches amount to, and what a half-done switch costs."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.objectives import SoftPolicyOptimization


@pytest.fixture
def binary(world):
    """The same tree with rewards 0 and -1.5."""
    is_right_B = np.random.default_rng(9).random(len(world.tree.completions)) < 0.3
    return dataclasses.replace(world, reward_B=np.where(is_right_B, 0.0, -1.5))


def odds(policy_B, is_right_B):
    share = float(np.asarray(policy_B)[is_right_B].sum())
    return share / (1 - share)


def switched(world, num_switches):
    """The world whose reference is the optimum after so many switches."""
    for _ in range(num_switches):
        world = dataclasses.replace(world, reference=world.tree.logits_of(world.optimum()[0]))
    return world


@pytest.mark.parametrize("num_switches", [1, 2, 3])
def test_after_k_switches_the_reward_counts_k_times(binary, num_switches):
    """Equation (26): pi_K is pi_ref e^{K r / beta} / Z_K, and Q_0 is beta log(Z_K / Z_{K-1})."""
    reference_B = np.asarray(binary.tree.probabilities(binary.reference))

    def normaliser(times):
        return float((reference_B * np.exp(times * binary.reward_B / binary.beta)).sum())

    before = switched(binary, num_switches - 1)
    optimum_B, initial_value = before.optimum()
    tilted_B = reference_B * np.exp(num_switches * binary.reward_B / binary.beta)
    np.testing.assert_allclose(optimum_B, tilted_B / normaliser(num_switches), atol=1e-12)
    expected = binary.beta * np.log(normaliser(num_switches) / normaliser(num_switches - 1))
    assert float(initial_value) == pytest.approx(expected, abs=1e-10)


def test_every_switch_multiplies_the_odds_and_keeps_the_right_answers_apart(binary):
    """Equation (27): by e^{R / beta}, and among right answers the policy stays the reference's."""
    is_right_B = binary.reward_B == 0
    reference_B = np.asarray(binary.tree.probabilities(binary.reference))
    kept_B = reference_B[is_right_B] / reference_B[is_right_B].sum()
    for num_switches in (1, 2, 3):
        policy_B = np.asarray(switched(binary, num_switches - 1).optimum()[0])
        gain = odds(policy_B, is_right_B) / odds(reference_B, is_right_B)
        assert gain == pytest.approx(np.exp(num_switches * 1.5 / binary.beta), rel=1e-9)
        np.testing.assert_allclose(
            policy_B[is_right_B] / policy_B[is_right_B].sum(), kept_B, atol=1e-12
        )


@pytest.mark.parametrize("baseline", ["initial_value", "group"])
def test_a_whole_switch_reaches_the_new_optimum(binary, baseline):
    """New reference logprobs of the old data, and the initial value under the new reference."""
    moved = switched(binary, 1)
    _, initial_value = moved.optimum()
    objective = SoftPolicyOptimization(beta=binary.beta, baseline=baseline)
    behavior_B = binary.tree.probabilities(binary.behavior)
    learned_B = moved.fit(objective, behavior_B, initial_value, steps=4000)
    assert moved.shortfall(learned_B) < 1e-6


def test_stale_reference_logprobs_with_a_new_initial_value_are_wrong(binary):
    """Neither the old optimum nor the new one: a batch must never mix the two."""
    moved = switched(binary, 1)
    objective = SoftPolicyOptimization(beta=binary.beta, baseline="initial_value")
    behavior_B = binary.tree.probabilities(binary.behavior)
    learned_B = binary.fit(objective, behavior_B, moved.optimum()[1], steps=4000)
    assert moved.shortfall(learned_B) > 0.05
    assert binary.shortfall(learned_B) > 0.05


def test_stale_reference_logprobs_of_some_rows_are_wrong_too(binary):
    """Half the store annotated under the old reference, and any baseline."""
    moved = switched(binary, 1)
    old_BT = binary.tree.logprobs(jnp.asarray(binary.reference))
    is_old_B = np.arange(len(binary.reward_B)) % 2 == 0
    objective = SoftPolicyOptimization(beta=binary.beta)

    class Mixed:
        def __call__(self, inputs):
            mixed_BT = jnp.where(is_old_B[:, None], old_BT, inputs.ref_logprobs_BT)
            return objective(inputs._replace(ref_logprobs_BT=mixed_BT))

    behavior_B = binary.tree.probabilities(binary.behavior)
    assert moved.shortfall(moved.fit(Mixed(), behavior_B, steps=4000)) > 0.02
