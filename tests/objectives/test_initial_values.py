"""Initial values made inside the program: profiled for a link, and running."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.objectives import SoftPolicyOptimization, TrajectoryBalance
from spo_jax.objectives.groups import group_range
from spo_jax.objectives.links import CrossEntropyLink, SquaredLink
from spo_jax.objectives.soft_q import group_initial_value, profiled_initial_value

BETA = 0.5


def batch(seed=0, groups=3, size=5):
    rng = np.random.default_rng(seed)
    num = groups * size
    return (
        jnp.asarray(rng.normal(size=num)),
        jnp.asarray(-rng.uniform(0.0, 2.0, size=num)),
        jnp.asarray(rng.uniform(0.5, 2.0, size=num)),
        jnp.repeat(jnp.arange(groups, dtype=jnp.int32), size),
    )


def test_range_of_a_group_ignores_slots_without_weight():
    values = jnp.array([3.0, 1.0, jnp.nan, 7.0, 9.0])
    weights = jnp.array([1.0, 2.0, 0.0, 1.0, 0.0])
    low, high = group_range(values, weights, jnp.array([0, 0, 0, 2, 4]))
    np.testing.assert_array_equal(low, [1.0, 1.0, 1.0, 7.0, 0.0])
    np.testing.assert_array_equal(high, [3.0, 3.0, 3.0, 7.0, 0.0])


@pytest.mark.parametrize("clip", [None, 1e6])
def test_profiled_for_the_squared_link_is_the_group_mean(float64, clip):
    """In closed form, and by halving where the clip is too wide to matter."""
    profiled = profiled_initial_value(*batch(), beta=BETA, link=SquaredLink(clip))
    np.testing.assert_allclose(profiled, group_initial_value(*batch(), beta=BETA), atol=1e-11)


@pytest.mark.parametrize("link", [SquaredLink(0.7), CrossEntropyLink(0.1), CrossEntropyLink(0.5)])
def test_profiled_minimises_the_loss_of_every_group(float64, link):
    sums_B, reward_B, weights_B, group_B = batch()
    profiled_B = profiled_initial_value(*batch(), beta=BETA, link=link)

    def loss_of_groups(value_B):
        loss_B = weights_B * link.loss(value_B / BETA + sums_B, reward_B / BETA)
        return jax.ops.segment_sum(loss_B, group_B, 3)

    least = loss_of_groups(profiled_B)
    for shift in (-0.5, -1e-3, 1e-3, 0.5):
        assert bool((loss_of_groups(profiled_B + shift) > least).all())
    assert np.ptp(profiled_B.reshape(3, 5), axis=1).max() == 0.0


def test_profiled_solves_the_normal_equation(float64):
    """Equation (13), where no residual is beyond the margin."""
    link = CrossEntropyLink(0.1)
    sums_B, reward_B, weights_B, group_B = batch()
    reward_B = reward_B - 1.0
    sums_B = 0.1 * sums_B
    c_B = profiled_initial_value(sums_B, reward_B, weights_B, group_B, beta=BETA, link=link)
    assert float((c_B / BETA + sums_B).max()) < -0.1
    slope_B = weights_B * link.coefficient(c_B / BETA + sums_B, reward_B / BETA)
    np.testing.assert_allclose(jax.ops.segment_sum(slope_B, group_B, 3), 0.0, atol=1e-9)


def test_a_group_of_right_answers_gets_the_lowest_of_its_solutions(float64):
    """Any c with every q in [-margin, 0] solves it; beyond, the slope is not 0."""
    sums_B, zeros_B = jnp.array([0.0, 0.2]), jnp.zeros(2)
    arguments = (sums_B, zeros_B, jnp.ones(2), jnp.zeros(2, jnp.int32))
    c_B = profiled_initial_value(*arguments, beta=BETA, link=CrossEntropyLink(0.5))
    # The bracket itself starts at min s = -beta * 0.2, where both are within the margin.
    np.testing.assert_allclose(c_B, -0.1, atol=1e-12)
    wide_B = profiled_initial_value(
        jnp.array([0.0, 2.0]), *arguments[1:], beta=BETA, link=CrossEntropyLink(0.5)
    )
    assert -1.0 < float(wide_B[0]) < 0.0


def test_a_lone_completion_teaches_nothing(float64):
    for link in (SquaredLink(1.0), CrossEntropyLink(0.1)):
        lone = (jnp.array([0.7]), jnp.array([-0.4]), jnp.ones(1), jnp.zeros(1, jnp.int32))
        c_B = profiled_initial_value(*lone, beta=BETA, link=link)
        np.testing.assert_allclose(c_B, -0.4 - BETA * 0.7, atol=1e-12)


def test_no_gradient_flows_through_an_initial_value():
    _, *rest = batch()
    for link in (SquaredLink(), SquaredLink(0.5), CrossEntropyLink(0.5)):

        def total(sums_B, link=link):
            return jnp.sum(profiled_initial_value(sums_B, *rest, beta=BETA, link=link))

        np.testing.assert_array_equal(jax.grad(total)(batch()[0]), 0.0)


@pytest.mark.parametrize("link", ["squared", "cross_entropy"])
def test_running_takes_the_estimate_where_there_is_one(link, make_inputs):
    objective = SoftPolicyOptimization(link=link, baseline="running")
    assert objective.needs == {"ref_logprobs", "running_initial_value"}
    inputs = make_inputs(num_groups=2, size=3)
    known = jnp.array([-0.4, -0.4, -0.4, jnp.nan, jnp.nan, jnp.nan])
    output = objective(inputs._replace(initial_value_B=known))
    seen = SoftPolicyOptimization(link=link, baseline="profiled")(inputs)
    given = SoftPolicyOptimization(link=link, baseline="initial_value")(inputs)
    np.testing.assert_allclose(output.loss_B[:3], given.loss_B[:3], rtol=1e-6)
    np.testing.assert_allclose(output.loss_B[3:], seen.loss_B[3:], rtol=1e-6, atol=1e-6)
    # What the batch says does not depend on what was known.
    arguments = (inputs.reward_B, inputs.weights_B, inputs.group_B)
    sums_B = jnp.sum(
        jnp.where(inputs.mask_BT, inputs.logprobs_BT - inputs.ref_logprobs_BT, 0.0), axis=1
    )
    chosen = SquaredLink() if link == "squared" else CrossEntropyLink(0.5)
    expected_B = profiled_initial_value(sums_B, *arguments, beta=0.2, link=chosen)
    np.testing.assert_allclose(output.initial_value_B, expected_B, rtol=1e-5)
    assert seen.initial_value_B is None and given.initial_value_B is None


@pytest.mark.parametrize(
    "objective",
    [
        SoftPolicyOptimization(beta=0.5, baseline="running"),
        SoftPolicyOptimization(beta=0.5, link="cross_entropy", baseline="running", margin=0.01),
        TrajectoryBalance(beta=0.5, log_z="running"),
    ],
    ids=["squared", "cross_entropy", "trajectory_balance"],
)
def test_a_running_estimate_finds_the_optimum_and_its_initial_value(world, objective):
    """Off-policy, from an estimate that is far off; equation (14) once an update."""
    behavior_B = world.tree.probabilities(world.behavior)
    learned_B, value = world.fit(objective, behavior_B, initial_value=-2.0, steps=5000, rate=0.1)
    assert world.shortfall(learned_B) < 1e-6
    assert value == pytest.approx(float(world.optimum()[1]), abs=1e-3)


@pytest.mark.parametrize("baseline", ["group", "leave_one_out", "profiled"])
def test_group_baselines_are_immune_to_a_wrong_initial_value(world, baseline):
    weights_B = world.tree.probabilities(world.behavior)
    logits = world.tree.random_logits(21)
    objective = SoftPolicyOptimization(
        beta=world.beta, link="cross_entropy", baseline=baseline, margin=0.01
    )
    right = world.gradient(objective, logits, weights_B, 0.0)
    np.testing.assert_array_equal(world.gradient(objective, logits, weights_B, -7.0), right)
