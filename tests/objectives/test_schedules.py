import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.objectives import (
    AdvantageRegression,
    GeometricSchedule,
    LinearSchedule,
    SoftPolicyOptimization,
    TokenQRegression,
    TrajectoryBalance,
)
from spo_jax.objectives.schedules import extremes, value_at


def test_linear_by_hand():
    schedule = LinearSchedule(start=1.0, end=0.0, num_updates=4)
    assert [schedule(step) for step in (-1, 0, 1, 4, 9)] == [1.0, 1.0, 0.75, 0.0, 0.0]


def test_geometric_by_hand():
    schedule = GeometricSchedule(start=0.8, end=0.1, num_updates=3)
    assert [schedule(step) for step in (0, 1, 2, 3, 7)] == pytest.approx([0.8, 0.4, 0.2, 0.1, 0.1])


@pytest.mark.parametrize("schedule", [LinearSchedule(2.0, 0.5, 7), GeometricSchedule(2.0, 0.5, 7)])
def test_traced_steps_give_what_host_steps_give(schedule):
    traced = jax.jit(schedule)
    for step in (0, 3, 7, 100):
        np.testing.assert_allclose(traced(jnp.int32(step)), schedule(step), rtol=1e-6)


def test_a_number_stays_itself_and_a_schedule_knows_its_ends():
    assert value_at(0.3, 5) == 0.3
    assert value_at(LinearSchedule(0.0, 1.0, 2), 1) == 0.5
    assert extremes(0.3) == (0.3, 0.3)
    assert extremes(LinearSchedule(2.0, 0.5, 7)) == (0.5, 2.0)


@pytest.mark.parametrize(
    "kind", [SoftPolicyOptimization, TokenQRegression, AdvantageRegression, TrajectoryBalance]
)
def test_an_objective_has_the_beta_of_its_step(kind, make_inputs):
    scheduled = kind(beta=LinearSchedule(0.5, 0.1, 4))
    assert hash(scheduled) == hash(kind(beta=LinearSchedule(0.5, 0.1, 4)))
    inputs = make_inputs()
    for step, beta in ((0, 0.5), (2, 0.3), (8, 0.1)):
        output = scheduled(inputs._replace(step=jnp.int32(step)))
        expected = kind(beta=beta)(inputs)
        np.testing.assert_allclose(output.loss_sum, expected.loss_sum, rtol=1e-5)
        total, count = output.metrics["q/beta"]
        np.testing.assert_allclose(total / count, beta, rtol=1e-6)


def test_a_step_needs_no_compilation_of_its_own(make_inputs):
    objective = SoftPolicyOptimization(beta=LinearSchedule(0.5, 0.1, 4))
    traces = []

    @jax.jit
    def loss_sum(inputs):
        traces.append(inputs)
        return objective(inputs).loss_sum

    losses = {float(loss_sum(make_inputs()._replace(step=jnp.int32(step)))) for step in range(5)}
    assert len(traces) == 1 and len(losses) == 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearSchedule(1.0, float("nan"), 3), "end=nan of a LinearSchedule must be fini"),
        (lambda: LinearSchedule(1.0, 0.0, 0), "num_updates=0 of a LinearSchedule must be at lea"),
        (lambda: GeometricSchedule(1.0, 0.0, 3), "end=0.0 of a GeometricSchedule must be above"),
        (
            lambda: SoftPolicyOptimization(beta=LinearSchedule(0.5, 0.0, 4)),
            "beta must be finite and above 0, got 0.0",
        ),
        (
            lambda: SoftPolicyOptimization(
                beta=LinearSchedule(0.5, 0.1, 4), baseline="initial_value"
            ),
            r"belong to one beta, got beta=LinearSchedule\(start=0.5, end=0.1",
        ),
        (
            lambda: TokenQRegression(weight=LinearSchedule(1.5, 0.0, 4)),
            r"weight must stay between 0 and 1, got LinearSchedule\(start=1.5",
        ),
    ],
)
def test_nonsense_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_a_weight_that_falls_to_zero_leaves_the_terminal_loss(make_inputs):
    """Weighted by the length of a completion, which moves no terminal optimum."""
    inputs = make_inputs()
    annealed = TokenQRegression(weight=LinearSchedule(1.0, 0.0, 4))
    lengths_B = jnp.sum(inputs.mask_BT, axis=1)
    weighted = inputs._replace(weights_B=lengths_B * inputs.weights_B)
    terminal = SoftPolicyOptimization(link="cross_entropy", baseline="initial_value")
    ended = TokenQRegression(baseline="initial_value", weight=LinearSchedule(1.0, 0.0, 4))
    output, expected = ended(inputs._replace(step=9)), terminal(weighted)
    np.testing.assert_allclose(output.loss_sum, expected.loss_sum, rtol=1e-5)
    assert output.weight_sum == expected.weight_sum
    assert not np.isclose(annealed(inputs).loss_sum, annealed(inputs._replace(step=4)).loss_sum)
