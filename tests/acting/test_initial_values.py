from types import SimpleNamespace

import numpy as np
import pytest

from spo_jax.acting.annotator import Reference
from spo_jax.acting.initial_values import (
    InitialValues,
    InitialValueSettings,
    RunningInitialValues,
)
from spo_jax.errors import UserError
from spo_jax.judging import RewardMap
from spo_jax.trajectories import DrawnGroup, TrajectoryStore
from spo_jax.types import Problem, Trajectory

BINARY = RewardMap()


def group(name):
    return DrawnGroup(name, None, (), "reference")


def test_a_running_value_moves_a_share_of_the_way_to_what_batches_say():
    values = RunningInitialValues(rate=0.25)
    assert values.fill([group("p")])[0].initial_value is None
    values.update({"p": -0.8})
    values.update({"p": -0.4, "q": -1.0})
    filled = values.fill([group("p"), group("q"), group("r")])
    assert [g.initial_value for g in filled] == [pytest.approx(-0.7), -1.0, None]
    assert filled[0].reference_id == "reference"


def test_running_values_survive_a_checkpoint_and_are_forgotten_with_their_reference():
    values = RunningInitialValues(rate=0.5)
    values.update({"p": -0.3})
    restored = RunningInitialValues(rate=0.5)
    restored.load_state_dict(values.state_dict())
    assert restored.fill([group("p")])[0].initial_value == -0.3
    restored.forget()
    assert restored.fill([group("p")])[0].initial_value is None
    assert values.fill([group("p")])[0].initial_value == -0.3


@pytest.mark.parametrize(
    ("rewards", "wants"),
    [
        ([0.0] * 2 + [-1.0] * 2, False),  # as certain as asked for
        ([0.0] + [-1.0] * 3, True),
        ([-1.0] * 4, True),  # equal rewards tell nothing about those not seen
        ([0.0] + [-1.0] * 11, False),  # no room for four more
    ],
)
def test_more_samples_are_taken_while_the_interval_is_wide(rewards, wants):
    settings = InitialValueSettings(num_samples=4, max_samples=12, max_error=0.7)
    estimate = settings.estimate(rewards, 0.2, BINARY)
    error_nats = estimate.standard_error / 0.2
    assert settings.wants_more(len(rewards), error_nats) == wants
    assert not InitialValueSettings(num_samples=4).wants_more(len(rewards), error_nats)


def test_the_pass_rate_estimator_reads_the_runs_two_rewards():
    settings = InitialValueSettings(estimator="pass_rate")
    rewards = RewardMap(accepted=1.0, rejected=-0.5)
    estimate = settings.estimate([1.0] * 3 + [-0.5] * 4, 0.5, rewards)
    share = 3.5 / 8
    assert estimate.value == pytest.approx(
        0.5 * np.log(share * np.exp(2) + (1 - share) * np.exp(-1))
    )
    with pytest.raises(UserError, match="estimator='pass_rate' is for two rewards"):
        settings.check_rewards(RewardMap(partial_credit=True))
    with pytest.raises(UserError, match="estimator='pass_rate' is for two rewards"):
        settings.check_rewards(RewardMap(no_program=-2.0))


class FailingActor:
    """Every sample but the very first has no reward: the judge failed."""

    def __init__(self):
        self.num_taken = 0

    def collect(self, params, problems, *, num_samples, **arguments):
        rewards = [-1.0 if self.num_taken + i == 0 else None for i in range(num_samples)]
        self.num_taken += num_samples
        samples = [
            Trajectory(trajectory_id="t", group_id="g", problem_id="p", source="x", reward=reward)
            for reward in rewards
        ]
        return SimpleNamespace(trajectories=samples)


def test_samples_without_a_reward_count_towards_the_limit(tmp_path):
    actor = FailingActor()
    values = InitialValues(
        actor,
        TrajectoryStore(str(tmp_path), writer_id="main"),
        InitialValueSettings(num_samples=4, max_samples=12),
        beta=0.2,
        reward_map=BINARY,
        max_completion_tokens=4,
    )
    problem = Problem(id="p", name="p", description="")
    found = values.ensure([problem], Reference({}, "reference"), version=0, round_id="0")
    assert actor.num_taken == 12
    assert found["p"].value == -1.0 and found["p"].num_samples == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"estimator": "pass_rat"}, "did you mean 'pass_rate'"),
        ({"num_samples": 0}, "num_samples=0"),
        ({"max_samples": 4}, "max_samples=4 must be at least num_samples=16"),
        ({"max_error": 0.0}, "max_error=0.0 nats must be finite and above 0"),
        ({"running_rate": 1.5}, r"running_rate=1\.5 must lie in \(0, 1\]"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        InitialValueSettings(**settings)
