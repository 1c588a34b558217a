"""PPO: by hand, in its limits, against exact policy gradients, and where gradients must not go."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.objectives import PPO
from spo_jax.objectives.ppo import value_loss

UNCLIPPED = PPO(clip=np.inf, value_coefficient=0.0)


def means(output):
    return {name: float(n / d) for name, (n, d) in output.metrics.items() if d > 0}


def on_policy(inputs):
    return inputs._replace(behavior_logprobs_BT=inputs.logprobs_BT)


@pytest.fixture
def one_row(make_inputs):
    """Two chosen tokens, a token of the environment between them, padding behind; reward 1."""
    return make_inputs(num_groups=1, size=1, length=4)._replace(
        logprobs_BT=jnp.log(jnp.array([[0.5, 0.1, 0.5, 0.9]])),
        behavior_logprobs_BT=jnp.log(jnp.array([[0.25, jnp.nan, 0.5, jnp.nan]])),
        mask_BT=jnp.array([[True, False, True, False]]),
        values_BT=jnp.array([[0.1, jnp.nan, 0.2, jnp.nan]]),
        reward_B=jnp.array([1.0]),
        weights_B=jnp.array([2.0]),
    )


def test_by_hand(one_row, gradient_of):
    """Ratios 2 and 1, advantages 0.9 and 0.8: the first token is clipped at 1.2."""
    output = PPO()(one_row)
    policy, value = -1.2 * 0.9 - 0.8, 0.5 * (0.81 + 0.64)
    np.testing.assert_allclose(output.loss_sum, 2 * (policy + 0.5 * value), rtol=1e-6)
    assert output.weight_sum == 4.0
    metrics = means(output)
    assert metrics["loss/policy"] == pytest.approx(policy / 2)
    assert metrics["loss/value"] == pytest.approx(value / 2)
    assert metrics["policy/clip_fraction"] == 0.5
    assert metrics["policy/advantage_mean"] == pytest.approx(0.85)
    assert metrics["policy/importance_ratio_square"] == pytest.approx(2.5)
    np.testing.assert_allclose(gradient_of(PPO(), one_row), [[0, 0, -1.6, 0]], rtol=1e-6)
    critic = gradient_of(PPO(), one_row, "values_BT")
    np.testing.assert_allclose(critic, [[-0.9, 0, -0.8, 0]], rtol=1e-6)


def test_explained_variance_by_hand(one_row):
    metrics = means(PPO(discount=0.5)(one_row))
    returns, residuals = np.array([0.5, 1.0]), np.array([0.4, 0.8])
    assert metrics["value/return_mean"] == pytest.approx(returns.mean())
    assert metrics["value/return_square"] == pytest.approx((returns**2).mean())
    assert metrics["value/residual_mean"] == pytest.approx(residuals.mean())
    assert metrics["value/residual_square"] == pytest.approx((residuals**2).mean())


def test_on_policy_with_lambda_1_is_reinforce_with_a_value_baseline(make_inputs, gradient_of):
    inputs = on_policy(make_inputs())
    advantages = np.asarray(inputs.reward_B)[:, None] - np.asarray(inputs.values_BT)
    expected = np.where(inputs.mask_BT, -advantages, 0.0)
    gradient = gradient_of(PPO(clip=0.2), inputs)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_a_wide_clip_equals_none(make_inputs, gradient_of):
    inputs = make_inputs()
    wide = PPO(clip=1e6, value_coefficient=0.0)
    np.testing.assert_array_equal(gradient_of(wide, inputs), gradient_of(UNCLIPPED, inputs))
    clipped = gradient_of(PPO(value_coefficient=0.0), inputs)
    assert bool((clipped != gradient_of(wide, inputs)).any())
    assert means(wide(inputs))["policy/clip_fraction"] == 0.0


def test_decoupled_from_the_behaviour_itself_is_plain(make_inputs, gradient_of):
    inputs = make_inputs()
    inputs = inputs._replace(proximal_logprobs_BT=inputs.behavior_logprobs_BT)
    np.testing.assert_allclose(
        gradient_of(PPO(decoupled=True), inputs), gradient_of(PPO(), inputs), rtol=1e-6
    )


def test_decoupled_weights_by_hand(one_row, gradient_of):
    """First pass: the clipped ratio is 1, the weights are 2, of which 1.5 is allowed, and 1."""
    gradient = gradient_of(PPO(decoupled=True), one_row)
    np.testing.assert_allclose(gradient, [[-3.6, 0, -1.6, 0]], rtol=1e-6)
    capped = PPO(decoupled=True, importance_cap=1.5)
    np.testing.assert_allclose(gradient_of(capped, one_row), [[-2.7, 0, -1.6, 0]], rtol=1e-6)
    metrics = means(capped(one_row))
    assert metrics["policy/importance_weight_mean"] == pytest.approx(1.25)
    assert metrics["policy/importance_ratio_mean"] == pytest.approx(1.5)
    assert metrics["policy/clip_fraction"] == 0.0


def test_decoupled_clips_against_the_proximal_policy(one_row, gradient_of):
    """Second pass: a ratio of 1.25 to the proximal policy is beyond 1.2, one of 1.1 is not."""
    proximal = jnp.log(jnp.array([[0.4, 1.0, 0.5 / 1.1, 1.0]]))
    later = one_row._replace(
        proximal_logprobs_BT=proximal, proximal_values_BT=jnp.full((1, 4), 0.5)
    )
    gradient = gradient_of(PPO(decoupled=True), later)
    expected = -2.0 * 0.5 * 1.1 * (1 / 1.1)  # weight, advantage, ratio, proximal / behaviour
    np.testing.assert_allclose(gradient, [[0, 0, expected, 0]], rtol=1e-5)


def test_kl_penalty_is_part_of_the_return(one_row, gradient_of):
    """k1 to the reference is log 2 on the first token and 0 on the second."""
    inputs = one_row._replace(
        behavior_logprobs_BT=one_row.logprobs_BT,
        ref_logprobs_BT=jnp.log(jnp.array([[0.25, jnp.nan, 0.5, jnp.nan]])),
    )
    objective = PPO(kl_coefficient=0.1, value_coefficient=0.0)
    first = 0.9 - 0.1 * np.log(2.0)
    gradient = gradient_of(objective, inputs)
    np.testing.assert_allclose(gradient, [[-2 * first, 0, -1.6, 0]], rtol=1e-5)
    later = inputs._replace(proximal_logprobs_BT=inputs.ref_logprobs_BT)
    np.testing.assert_allclose(gradient_of(objective, later), [[-1.8, 0, -1.6, 0]], rtol=1e-5)


def test_value_loss_by_hand():
    """Old value 0: a move to 0.5 counts as 0.2, and the worse of both losses is taken."""
    values, returns = jnp.array([[0.5, 0.5, 0.1]]), jnp.array([[1.0, -1.0, 1.0]])
    old = jnp.zeros((1, 3))
    free = value_loss(values, old, returns, None)
    np.testing.assert_allclose(free, [[0.125, 1.125, 0.405]], rtol=1e-6)
    held = value_loss(values, old, returns, 0.2)
    np.testing.assert_allclose(held, [[0.32, 1.125, 0.405]], rtol=1e-6)
    slopes = jax.grad(lambda v: jnp.sum(value_loss(v, old, returns, 0.2)))(values)
    np.testing.assert_allclose(slopes, [[0.0, 1.5, -0.9]], rtol=1e-6)


def test_value_clip_is_idle_in_the_first_pass(make_inputs, gradient_of):
    inputs = make_inputs()
    gradients = [gradient_of(PPO(value_clip=c), inputs, "values_BT") for c in (None, 0.01)]
    np.testing.assert_allclose(*gradients, rtol=1e-6)


def test_the_policy_term_teaches_the_critic_nothing(make_inputs, gradient_of):
    inputs = make_inputs()
    critic_only = gradient_of(PPO(value_coefficient=1.0), inputs, "values_BT")
    assert float(jnp.abs(critic_only).max()) > 0.1
    np.testing.assert_array_equal(gradient_of(UNCLIPPED, inputs, "values_BT"), 0.0)


def test_later_passes_keep_the_advantages_of_the_first(make_inputs, gradient_of):
    """The policy term reads proximal values, the critic's loss the present ones."""
    inputs = make_inputs()
    moved = inputs._replace(proximal_values_BT=inputs.values_BT, values_BT=inputs.values_BT + 0.3)
    np.testing.assert_array_equal(gradient_of(PPO(), moved), gradient_of(PPO(), inputs))
    shift = gradient_of(PPO(), moved, "values_BT") - gradient_of(PPO(), inputs, "values_BT")
    expected = np.where(inputs.mask_BT, 0.5 * 0.3, 0.0)
    np.testing.assert_allclose(shift, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["logprobs_BT", "values_BT"])
def test_gradients_are_those_of_the_value(float64, make_inputs, name):
    """Finite differences; with proximal inputs nothing of the loss hides behind constants."""
    inputs = make_inputs(num_groups=2, size=2, length=4, dtype=jnp.float64)
    near = jax.random.normal(jax.random.key(1), (2, *inputs.logprobs_BT.shape))
    inputs = inputs._replace(
        proximal_logprobs_BT=inputs.logprobs_BT + 0.3 * near[0],
        proximal_values_BT=inputs.values_BT + 0.3 * near[1],
    )
    objective = PPO(
        decoupled=True, gae_lambda=0.9, discount=0.95, value_clip=0.2, kl_coefficient=0.1
    )
    array, step = getattr(inputs, name), 1e-6
    loss = jax.value_and_grad(lambda array: objective(inputs._replace(**{name: array})).loss_sum)
    loss = jax.jit(loss)
    gradient = np.asarray(loss(array)[1])
    for b, t in np.argwhere(inputs.mask_BT):
        up, down = (loss(array.at[b, t].add(sign * step))[0] for sign in (1, -1))
        np.testing.assert_allclose(gradient[b, t], (up - down) / (2 * step), atol=1e-7)


def policy_values(world, logits, score_BT):
    """Before each token, the expectation of `score_BT` (a return from that token on). [B, T]"""
    tree = world.tree
    weights = np.where(tree.mask, np.asarray(tree.probabilities(logits))[:, None], 0.0)
    totals, seen = np.zeros((2, len(tree.prefixes)))
    np.add.at(totals, tree.states, weights * np.where(tree.mask, score_BT, 0.0))
    np.add.at(seen, tree.states, weights)
    return jnp.asarray((totals / seen)[tree.states])


def returns_to_go(world, logits, beta):
    """Reward less beta times the log-ratios from each token on. [B, T]"""
    tree = world.tree
    deltas = np.where(tree.mask, tree.logprobs(logits) - tree.logprobs(world.reference), 0.0)
    return world.reward_B[:, None] - beta * np.cumsum(deltas[:, ::-1], axis=1)[:, ::-1]


def policy_gradient(world, logits, beta):
    """-grad of E r - beta KL(policy || reference), by enumeration. [S, V]"""

    def loss(logits):
        p = world.tree.probabilities(logits)
        log_ratio = jnp.log(p) - jnp.log(world.tree.probabilities(world.reference))
        return -jnp.sum(p * (world.reward_B - beta * log_ratio))

    return jax.jit(jax.grad(loss))(logits)


def expected_gradient(world, objective, logits, values_BT):
    """Of the loss summed over completions weighted by their probability. [S, V]"""
    policy_B = world.tree.probabilities(logits)

    def loss(logits):
        inputs = on_policy(world.inputs(logits, policy_B, 0.0))
        return objective(inputs._replace(values_BT=values_BT)).loss_sum

    return jax.jit(jax.grad(loss))(logits)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_exact_values_give_the_exact_policy_gradient_for_any_lambda(world, gae_lambda, beta):
    """Also of the KL-regularised return, where `kl_coefficient` is beta."""
    logits = jnp.asarray(world.tree.random_logits(21))
    values_BT = policy_values(world, logits, returns_to_go(world, logits, beta))
    objective = PPO(gae_lambda=gae_lambda, kl_coefficient=beta, value_coefficient=0.0)
    gradient = expected_gradient(world, objective, logits, values_BT)
    np.testing.assert_allclose(gradient, policy_gradient(world, logits, beta), atol=1e-12)


def test_wrong_values_bias_every_lambda_but_1(world):
    logits = jnp.asarray(world.tree.random_logits(22))
    noise = jnp.asarray(np.random.default_rng(2).normal(size=len(world.tree.prefixes)))
    values_BT = noise[world.tree.states]  # a function of the prefix, as a critic is
    exact = policy_gradient(world, logits, 0.0)
    errors = {
        gae_lambda: float(
            jnp.abs(
                expected_gradient(
                    world, PPO(gae_lambda=gae_lambda, value_coefficient=0.0), logits, values_BT
                )
                - exact
            ).max()
        )
        for gae_lambda in (0.0, 1.0)
    }
    assert errors[1.0] < 1e-12
    assert errors[0.0] > 1e-2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip": 0.0}, "clip must be above 0, got 0.0"),
        ({"clip_high": -1.0}, "clip_high must be above 0, got -1.0"),
        ({"value_clip": float("nan")}, "value_clip must be above 0, got nan"),
        ({"gae_lambda": 1.1}, "gae_lambda must be from 0 to 1, got 1.1"),
        ({"discount": -0.1}, "discount must be from 0 to 1, got -0.1"),
        ({"kl_coefficient": -1.0}, "kl_coefficient must be finite and at least 0, got -1.0"),
        ({"value_coefficient": np.inf}, "value_coefficient must be finite"),
        ({"importance_cap": 2.0}, r"importance_cap=2\.0 limits.*decoupled=True, got decoupled=F"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        PPO(**settings)


def test_needs_name_what_is_read(make_inputs):
    assert PPO().needs == {"behavior_logprobs", "values"}
    assert PPO(kl_coefficient=0.1).needs == {"behavior_logprobs", "values", "ref_logprobs"}
    inputs = make_inputs()._replace(ref_logprobs_BT=None, initial_value_B=None)
    assert bool(jnp.isfinite(PPO()(inputs).loss_sum))
    for name in ("values_BT", "behavior_logprobs_BT", "ref_logprobs_BT"):
        with pytest.raises(ValueError, match=f"PPO needs {name}"):
            PPO(kl_coefficient=0.1)(make_inputs()._replace(**{name: None}))
