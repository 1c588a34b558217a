"""GRPO: by hand, its variants, its relation to RLOO, and where it is biased."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.objectives import GRPO, RLOO

DR_GRPO = GRPO(normalize_std=False, aggregation="sequence_sum")


def means(output):
    return {name: float(n / d) for name, (n, d) in output.metrics.items() if d > 0}


@pytest.fixture
def pair(make_inputs):
    """One group: one token right, three wrong; fresh, so every ratio is 1. Weights 1 and 1."""
    logprobs = jnp.log(jnp.full((2, 3), 0.5))
    return make_inputs(num_groups=1, size=2, length=3)._replace(
        logprobs_BT=logprobs,
        behavior_logprobs_BT=logprobs,
        mask_BT=jnp.array([[True, False, False], [True, True, True]]),
        reward_B=jnp.array([0.0, -1.0]),
    )


@pytest.mark.parametrize(
    ("aggregation", "gradient", "weight"),
    [
        ("sequence_mean", [[-1, 0, 0], [1 / 3, 1 / 3, 1 / 3]], 2),
        ("token_mean", [[-1, 0, 0], [1, 1, 1]], 4),
        ("sequence_sum", [[-1, 0, 0], [1, 1, 1]], 2),
    ],
)
def test_aggregations_by_hand(pair, gradient_of, aggregation, gradient, weight):
    """Rewards 0 and -1: normalised advantages are 1 and -1."""
    objective = GRPO(aggregation=aggregation)
    np.testing.assert_allclose(gradient_of(objective, pair), gradient, rtol=1e-6)
    assert objective(pair).weight_sum == weight
    plain = GRPO(aggregation=aggregation, normalize_std=False)
    np.testing.assert_allclose(2 * gradient_of(plain, pair), gradient, rtol=1e-6)


def test_clipping_by_hand(pair, gradient_of):
    """Ratios 1.5 and 0.5: up is beyond 1.2 but not beyond 1.6; down is beyond 0.8."""
    old = pair.logprobs_BT - jnp.log(jnp.array([[1.5], [0.5]]))
    stale = pair._replace(behavior_logprobs_BT=old)
    np.testing.assert_array_equal(gradient_of(GRPO(), stale), np.zeros((2, 3)))
    assert means(GRPO()(stale))["policy/clip_fraction"] == 1.0
    assert means(GRPO()(stale))["loss/policy"] == pytest.approx((-1.2 + 0.8) / 2)
    higher = GRPO(clip_high=0.6)
    np.testing.assert_allclose(gradient_of(higher, stale), [[-1.5, 0, 0], [0, 0, 0]], rtol=1e-6)
    assert means(higher(stale))["policy/clip_fraction"] == 0.75


def test_an_idle_clip_equals_none(make_inputs, gradient_of):
    inputs = make_inputs()
    near = inputs._replace(behavior_logprobs_BT=inputs.logprobs_BT + 0.1)
    np.testing.assert_array_equal(
        gradient_of(GRPO(clip=0.2), near), gradient_of(GRPO(clip=np.inf), near)
    )


def test_without_normalisations_on_policy_it_is_rloo_times_n_minus_1_over_n(
    make_inputs, gradient_of
):
    inputs = make_inputs(num_groups=3, size=4)
    fresh = inputs._replace(
        behavior_logprobs_BT=inputs.logprobs_BT,
        reward_B=jnp.asarray(np.random.default_rng(0).normal(size=12), jnp.float32),
    )
    expected = gradient_of(RLOO(), fresh) * 3 / 4
    np.testing.assert_allclose(gradient_of(DR_GRPO, fresh), expected, rtol=1e-4, atol=1e-6)
    assert DR_GRPO(fresh).weight_sum == RLOO()(fresh).weight_sum


def test_no_importance_is_every_row_taken_for_fresh(make_inputs, gradient_of):
    inputs = make_inputs()
    blind = GRPO(importance="none")
    fresh = inputs._replace(behavior_logprobs_BT=inputs.logprobs_BT)
    np.testing.assert_array_equal(gradient_of(blind, inputs), gradient_of(GRPO(), fresh))
    assert float(jnp.abs(gradient_of(GRPO(), inputs) - gradient_of(blind, inputs)).max()) > 0.1


def test_no_importance_in_later_passes_clips_against_the_first(make_inputs, gradient_of):
    inputs = make_inputs()
    started = inputs.logprobs_BT - 0.7
    later = inputs._replace(proximal_logprobs_BT=started)
    sampled = inputs._replace(behavior_logprobs_BT=started)
    np.testing.assert_array_equal(
        gradient_of(GRPO(importance="none"), later), gradient_of(GRPO(), sampled)
    )


def test_sequence_ratio_by_hand(pair, gradient_of):
    """Token ratios 2, 2 and 1/2: their geometric mean 2^(1/3) is on every token, unclipped."""
    old = pair.logprobs_BT - jnp.log(jnp.array([[1.0, 1.0, 1.0], [2.0, 2.0, 0.5]]))
    stale = pair._replace(behavior_logprobs_BT=old)
    gradient = gradient_of(GRPO(importance="sequence", clip=0.5), stale)
    share = 2 ** (1 / 3) / 3
    np.testing.assert_allclose(gradient, [[-1, 0, 0], [share, share, share]], rtol=1e-6)


def test_sequence_ratio_clips_whole_sequences(make_inputs, gradient_of):
    inputs = make_inputs(num_groups=2, size=6)
    gradient = gradient_of(GRPO(importance="sequence"), inputs)
    is_taught = np.asarray(gradient) != 0
    np.testing.assert_array_equal(
        is_taught, np.asarray(inputs.mask_BT) & is_taught.any(axis=1, keepdims=True)
    )
    clipped = means(GRPO(importance="sequence")(inputs))["policy/clip_fraction"]
    assert 0 < clipped < 1


def test_sequence_and_token_ratios_agree_on_single_tokens(make_inputs, gradient_of):
    inputs = make_inputs(length=1)
    np.testing.assert_allclose(
        gradient_of(GRPO(importance="sequence"), inputs), gradient_of(GRPO(), inputs), rtol=1e-6
    )


@pytest.mark.parametrize("estimator", ["k2", "k3"])
def test_kl_term_pulls_towards_the_reference(make_inputs, gradient_of, estimator):
    """Equal rewards leave only the KL term; at the reference that is flat as well."""
    objective = GRPO(kl_coefficient=0.3, kl_estimator=estimator)
    inputs = make_inputs()
    equal = inputs._replace(reward_B=jnp.full(12, -0.3))
    gradient = np.asarray(gradient_of(objective, equal))
    deltas = np.asarray(inputs.logprobs_BT - inputs.ref_logprobs_BT)
    slopes = {"k2": deltas, "k3": 1 - np.exp(-deltas)}[estimator]
    lengths = np.asarray(inputs.mask_BT).sum(axis=1, keepdims=True)
    expected = np.where(inputs.mask_BT, 0.3 * slopes / lengths, 0.0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    there = equal._replace(ref_logprobs_BT=inputs.logprobs_BT)
    np.testing.assert_array_equal(gradient_of(objective, there), 0.0)


def test_equal_rewards_teach_exactly_nothing(make_inputs, gradient_of):
    equal = make_inputs(num_groups=4, size=3)._replace(reward_B=jnp.full(12, -0.9))
    np.testing.assert_array_equal(gradient_of(GRPO(), equal), 0.0)
    assert means(GRPO()(equal))["policy/advantage_square"] == 0.0


@pytest.mark.parametrize(
    "objective",
    [
        GRPO(clip_high=0.4, kl_coefficient=0.2),
        GRPO(
            importance="sequence", aggregation="token_mean", kl_coefficient=0.2, kl_estimator="k2"
        ),
    ],
    ids=["token", "sequence"],
)
def test_gradients_are_those_of_the_value(float64, make_inputs, objective):
    inputs = make_inputs(num_groups=2, size=3, length=4, dtype=jnp.float64)
    noise = jax.random.normal(jax.random.key(2), inputs.logprobs_BT.shape)
    inputs = inputs._replace(behavior_logprobs_BT=inputs.logprobs_BT + 0.3 * noise)
    step = 1e-6
    loss = jax.value_and_grad(lambda array: objective(inputs._replace(logprobs_BT=array)).loss_sum)
    loss, array = jax.jit(loss), inputs.logprobs_BT
    gradient = np.asarray(loss(array)[1])
    for b, t in np.argwhere(inputs.mask_BT):
        up, down = (loss(array.at[b, t].add(sign * step))[0] for sign in (1, -1))
        np.testing.assert_allclose(gradient[b, t], (up - down) / (2 * step), atol=1e-7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip": -0.1}, "clip must be above 0, got -0.1"),
        ({"clip_high": 0.0}, "clip_high must be above 0, got 0.0"),
        ({"aggregation": "token"}, "aggregation='token' must be one of.*did you mean 'token_mean'"),
        ({"importance": "sequences"}, "importance='sequences' must be one of.*mean 'sequence'"),
        ({"kl_estimator": "k1"}, "kl_estimator='k1' must be one of"),
        ({"kl_coefficient": np.nan}, "kl_coefficient must be finite and at least 0, got nan"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        GRPO(**settings)


def test_needs_name_what_is_read(make_inputs):
    assert GRPO().needs == {"groups", "behavior_logprobs"}
    assert GRPO(importance="none", kl_coefficient=0.1).needs == {"groups", "ref_logprobs"}
    bare = make_inputs()._replace(
        ref_logprobs_BT=None, behavior_logprobs_BT=None, values_BT=None, initial_value_B=None
    )
    assert bool(jnp.isfinite(GRPO(importance="none")(bare).loss_sum))
    with pytest.raises(ValueError, match="GRPO needs behavior_logprobs_BT"):
        GRPO()(bare)
    with pytest.raises(ValueError, match="GRPO needs ref_logprobs_BT"):
        GRPO(importance="none", kl_coefficient=0.1)(bare)
