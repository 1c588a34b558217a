"""Every objective on the tiny task, through the whole real path: what it is for gets better.

Nothing differs from configs/runs/tiny_task.gin but the line of the objective and its coefficients.
"""

import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.evaluation import read_samples
from spo_jax.reporting.metrics import read_metrics
from spo_jax.running.settings import MeshShape
from spo_jax.trajectories import ReplayConfig, TrajectoryStore

# The objective's line, then bindings of its coefficients.
OBJECTIVES = {
    "spo_squared": ["@SoftPolicyOptimization()"],
    "spo_cross_entropy": [
        "@SoftPolicyOptimization()",
        "SoftPolicyOptimization.link = 'cross_entropy'",
    ],
    "spo_initial_value": [
        "@SoftPolicyOptimization()",
        "SoftPolicyOptimization.baseline = 'initial_value'",
        "InitialValueSettings.max_samples = 64",
    ],
    "spo_running": ["@SoftPolicyOptimization()", "SoftPolicyOptimization.baseline = 'running'"],
    "spo_and_policy_gradient": [
        "@SoftPolicyOptimization()",
        "SoftPolicyOptimization.policy_gradient = 0.5",
    ],
    "spo_beta_schedule": [
        "@SoftPolicyOptimization()",
        "SoftPolicyOptimization.beta = @LinearSchedule()",
        "LinearSchedule.start = 0.4",
        "LinearSchedule.end = 0.1",
        "LinearSchedule.num_updates = 30",
    ],
    "token_q": ["@TokenQRegression()"],
    "token_q_importance": ["@TokenQRegression()", "TokenQRegression.importance = 'reference'"],
    "advantage_regression": ["@AdvantageRegression()"],
    "trajectory_balance": ["@TrajectoryBalance()"],
    "ppo": ["@PPO()"],
    "ppo_decoupled": [
        "@PPO()",
        "PPO.decoupled = True",
        "PPO.importance_cap = 2.0",
        "PPO.kl_coefficient = 0.05",
        "BatchSettings.num_passes = 2",
    ],
    "grpo": ["@GRPO()"],
    "rloo": ["@RLOO()", "RLOO.kl_coefficient = 0.05", "RLOO.importance_cap = 2.0"],
    "reinforce": ["@Reinforce()", "Reinforce.baseline = 'running'"],
    "supervised": ["@Supervised()"],
}
# One of each kind; the others, which share their code, take a minute: `pytest -m slow`.
QUICK = ("spo_cross_entropy", "token_q", "ppo_decoupled", "grpo", "supervised")


def bindings_of(name):
    line, *coefficients = OBJECTIVES[name]
    values = ["train.initial_values = @InitialValueSettings()", *coefficients]
    return [f"train.objective = {line}", *values]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in OBJECTIVES],
)
def test_every_objective_learns_the_tiny_task(tmp_path, uniform_checkpoint, tiny_task, name):
    summary = tiny_task(tmp_path / "run", uniform_checkpoint, bindings_of(name))
    assert summary["pass"]["1"]["before"] < 0.2
    assert summary["pass"]["1"]["low"] > 0.05  # the gain, as sure as the held-out questions allow
    records = read_metrics(tmp_path / "run", "train")
    assert all(np.isfinite(record["loss/total"]) for record in records)
    sampled = [record["reward/online_mean"] for record in records]
    assert np.mean(sampled[-10:]) > np.mean(sampled[:10]) + 0.05


@pytest.mark.parametrize("name", ["spo_squared"])
def test_spo_learns_from_answers_of_a_uniform_policy_alone(
    tmp_path, uniform_checkpoint, tiny_task, name
):
    bindings = [*bindings_of(name), "ReplayConfig.offline_fraction = 1.0"]
    summary = tiny_task(tmp_path / "run", uniform_checkpoint, bindings)
    assert {t.source for t in TrajectoryStore(str(tmp_path / "run")).read()} == {"written"}
    assert summary["pass"]["1"]["low"] > 0.05


@pytest.mark.parametrize("name", ["ppo", "grpo", "token_q_importance"])
def test_behavior_logprobs_of_written_answers_are_refused_before_the_run(
    tmp_path, uniform_checkpoint, tiny_task, name
):
    with pytest.raises(UserError, match=r"needs behavior_logprobs, which written solutions do not"):
        tiny_task(
            tmp_path / "run",
            uniform_checkpoint,
            bindings_of(name),
            replay=ReplayConfig(offline_fraction=0.5),
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("bindings", "message"),
    [
        (["RolloutSettings.temperature = 0.7"], r"temperature=0\.7.*must be 1\.0, 1\.0 and 0"),
        (["BatchSettings.completions_per_problem = 1"], "completions_per_problem=1 must be at lea"),
    ],
)
def test_settings_that_an_objective_cannot_use_are_refused(
    tmp_path, uniform_checkpoint, tiny_task, bindings, message
):
    with pytest.raises(UserError, match=message):
        tiny_task(tmp_path / "run", uniform_checkpoint, [*bindings_of("grpo"), *bindings])


def test_more_reference_samples_where_the_initial_value_is_uncertain(
    tmp_path, uniform_checkpoint, tiny_task
):
    bindings = [
        *bindings_of("spo_initial_value"),
        "InitialValueSettings.num_samples = 8",
        "InitialValueSettings.max_samples = 32",
        "InitialValueSettings.max_error = 0.6",
        "InitialValueSettings.estimator = 'pass_rate'",
    ]
    tiny_task(tmp_path / "run", uniform_checkpoint, bindings, num_updates=1)
    store = TrajectoryStore(str(tmp_path / "run"))
    (reference_id,) = store.reference_ids()
    values = store.initial_values(reference_id, 0.2).values()
    counts = {value.num_samples for value in values}
    assert counts <= {8, 16, 24, 32} and len(counts) > 1
    for value in values:
        assert value.standard_error <= 0.6 * 0.2 or value.num_samples == 32
    samples = [t for t in store.read() if t.source == "reference"]
    assert len(samples) == sum(value.num_samples for value in values)


def test_answers_are_judged_as_text_without_a_sandbox(tmp_path, uniform_checkpoint, tiny_task):
    tiny_task(tmp_path / "run", uniform_checkpoint, num_updates=1)
    assert not (tmp_path / "run" / "verdicts.jsonl").exists()
    for sample in read_samples(tmp_path / "run" / "evaluations" / "step_00000001.jsonl"):
        named = set(sample["problem_id"].removeprefix("letters/"))
        is_right = 1 <= len(sample["text"]) <= 4 and set(sample["text"]) <= named
        assert sample["verdict"] == ("AC" if is_right else "WA")


def test_written_answers_are_judged_too_where_not_trusted(tmp_path, uniform_checkpoint, tiny_task):
    bindings = [
        "train.objective = @Supervised()",
        "ProblemSource.trust_labels = False",
        "ReplayConfig.offline_fraction = 0.5",
    ]
    tiny_task(tmp_path / "run", uniform_checkpoint, bindings, num_updates=1)
    (record,) = read_metrics(tmp_path / "run", "train")
    assert "q/residual_abs" not in record
    written = [t for t in TrajectoryStore(str(tmp_path / "run")).read() if t.source == "written"]
    assert {t.metadata["verdict_from"] for t in written} == {"judge"}


def test_a_mesh_of_eight_devices_trains_like_one(tmp_path, uniform_checkpoint, tiny_task):
    """The whole loop sharded; sampled tokens may differ by rounding, so the data is written."""
    losses = []
    for name, mesh in (("one", MeshShape(data=1)), ("many", MeshShape(data=2, fsdp=2, tensor=2))):
        run_dir = tmp_path / name / "run"
        tiny_task(
            run_dir,
            uniform_checkpoint,
            ["ReplayConfig.offline_fraction = 1.0"],
            mesh=mesh,
            num_updates=3,
        )
        losses.append([record["loss/true"] for record in read_metrics(run_dir, "train")])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
