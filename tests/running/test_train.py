"""The whole loop on a tiny model: real sampler, judge, store, learner, checkpoints."""

import json

import jax
import numpy as np
import pytest

from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.acting.initial_values import InitialValueSettings
from spo_jax.errors import UserError
from spo_jax.learning import AdamW
from spo_jax.models import load_pretrained
from spo_jax.objectives import SoftPolicyOptimization, Supervised
from spo_jax.problems.prompts import PromptTemplate
from spo_jax.reporting.metrics import read_metrics
from spo_jax.running.session import Session
from spo_jax.running.settings import (
    BatchSettings,
    MeshShape,
    ModelSource,
    ProblemSource,
    RolloutSettings,
)
from spo_jax.running.stopping import Stopped
from spo_jax.train import train
from spo_jax.trajectories import ReplayConfig, TrajectoryStore

PROMPT = PromptTemplate(stdin_instruction="", call_instruction="")


def tiny_run(run_dir, checkpoint, **changes):
    """Trains for four updates; `changes` are arguments of `train`."""
    settings = {
        "policy": ModelSource(path=checkpoint),
        "problems": ProblemSource(max_problems=8, trust_labels=True),
        "prompt": PROMPT,
        "objective": SoftPolicyOptimization(beta=0.2),
        "optimizer": AdamW(learning_rate=1e-2),
        "rollouts": RolloutSettings(
            max_prompt_tokens=320, max_completion_tokens=128, num_slots=8, steps_per_call=32
        ),
        "replay": ReplayConfig(offline_fraction=0.5),
        "batch": BatchSettings(
            problems_per_update=2,
            completions_per_problem=4,
            row_lengths=(768,),
            tokens_per_micro_batch=1536,
        ),
        "evaluation": EvaluationSettings(
            num_problems=2, num_samples=2, ks=(1, 2), max_completion_tokens=8
        ),
        "mesh": MeshShape(data=1),
        "num_updates": 4,
        "policy_sync_every": 2,
        "checkpoint_every": 1,
        "seed": 1,
    }
    return train(str(run_dir), **(settings | changes))


def final_params(run_dir, version=4):
    return jax.tree.leaves(load_pretrained(run_dir / "policies" / str(version)).params)


def assert_same_bits(left, right):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_checkpoint):
    """A run that nobody interrupted."""
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    return run_dir, tiny_run(run_dir, tiny_checkpoint)


def test_run_leaves_everything_a_user_looks_for(finished):
    run_dir, summary = finished
    for name in ("config.gin", "attempts.jsonl", "metrics.jsonl", "report.html", "summary.json"):
        assert (run_dir / name).stat().st_size > 0, name
    assert json.loads((run_dir / "summary.json").read_text()) == summary
    assert (run_dir / "policies" / "LATEST").read_text() == "4\n"
    assert summary["num_problems"] == 2
    assert [r["step"] for r in read_metrics(run_dir, "train")] == [1, 2, 3, 4]
    assert [r["step"] for r in read_metrics(run_dir, "eval")] == [0, 4]


def test_batches_are_half_offline_and_the_policy_is_as_old_as_configured(finished):
    run_dir, _ = finished
    records = read_metrics(run_dir, "train")
    assert [r["data/offline_fraction"] for r in records] == [0.5] * 4
    assert [r["policy/version"] for r in records] == [0, 0, 2, 2]
    assert [r["data/staleness_updates"] for r in records] == [0, 1, 0, 1]


def test_trap_decode_logprobs_in_place_of_scored_ones_log_ratios_start_at_zero(finished):
    """At the first update policy = reference, so every log-ratio sum is 0 up to rounding."""
    assert read_metrics(finished[0], "train")[0]["q/reference_noise"] < 1e-3


def test_online_samples_and_written_solutions_lie_in_one_store(finished):
    trajectories = list(TrajectoryStore(str(finished[0])).read())
    sources = {t.source for t in trajectories}
    assert sources == {"online", "written"}
    assert sum(t.source == "online" for t in trajectories) == 4 * 2 * 2
    assert {t.reward for t in trajectories if t.source == "written"} == {0.0, -1.0}


@pytest.mark.parametrize("method", ["collect", "draw", "update", "publish", "save"])
def test_trap_resume_replays_or_skips_data(
    finished, tmp_path, tiny_checkpoint, monkeypatch, method
):
    """A crash right after a phase, before anything else is written, ends in the same bits."""
    original = getattr(Session, method)
    calls = []

    def crashing(self, *args):
        result = original(self, *args)
        calls.append(method)
        if len(calls) == (1 if method == "publish" else 3):
            raise RuntimeError("crash")
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Session, method, crashing)
        with pytest.raises(RuntimeError, match="crash"):
            tiny_run(tmp_path / "run", tiny_checkpoint)
    tiny_run(tmp_path / "run", tiny_checkpoint)
    assert_same_bits(final_params(tmp_path / "run"), final_params(finished[0]))
    assert_same_data_and_losses(tmp_path / "run", finished[0])


def assert_same_data_and_losses(left, right):
    ids = [sorted(t.trajectory_id for t in TrajectoryStore(str(d)).read()) for d in (left, right)]
    assert ids[0] == ids[1]
    losses = [[r["loss/true"] for r in read_metrics(d, "train")] for d in (left, right)]
    assert losses[0] == losses[1]


def test_stop_request_saves_and_the_next_start_goes_on(
    finished, tmp_path, tiny_checkpoint, monkeypatch
):
    original = Session.draw

    def stopping(self, problems):
        if self.step == 2:
            self._together.stop.requested = True
        self._together.stop.check()
        return original(self, problems)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "draw", stopping)
        with pytest.raises(Stopped):
            tiny_run(tmp_path / "run", tiny_checkpoint, checkpoint_every=100)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["00000002"]
    tiny_run(tmp_path / "run", tiny_checkpoint, checkpoint_every=100)
    assert_same_bits(final_params(tmp_path / "run"), final_params(finished[0]))


def test_same_directory_refuses_another_configuration(finished, tiny_checkpoint):
    with pytest.raises(UserError, match=r"holds a run of another configuration.*beta"):
        tiny_run(finished[0], tiny_checkpoint, objective=SoftPolicyOptimization(beta=0.3))


def test_initial_values_come_from_stored_reference_samples(tmp_path, tiny_checkpoint):
    objective = SoftPolicyOptimization(beta=0.2, baseline="initial_value", link="cross_entropy")
    tiny_run(
        tmp_path / "run",
        tiny_checkpoint,
        objective=objective,
        num_updates=1,
        initial_values=InitialValueSettings(num_samples=3),
    )
    store = TrajectoryStore(str(tmp_path / "run"))
    samples = [t for t in store.read() if t.source == "reference"]
    assert len(samples) == 2 * 3
    assert all(t.sampler.temperature == 1 and t.sampler.top_p == 1 for t in samples)
    (reference_id,) = store.reference_ids()
    values = store.initial_values(reference_id, 0.2)
    assert {value.num_samples for value in values.values()} == {3}


def test_control_trains_on_right_written_solutions_alone(tmp_path, tiny_checkpoint, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_run(
        "run",  # a relative directory, as on the command line
        tiny_checkpoint,
        objective=Supervised(),
        replay=ReplayConfig(offline_fraction=1.0, balance_outcomes=False),
        num_updates=2,
    )
    records = read_metrics(tmp_path / "run", "train")
    assert records[1]["loss/total"] < records[0]["loss/total"]
    assert {t.source for t in TrajectoryStore(str(tmp_path / "run")).read()} == {"written"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_updates": 0}, "num_updates=0 must be at least 1"),
        ({"problems": ProblemSource(task="spo_startr")}, "did you mean 'spo_starter'"),
        ({"batch": BatchSettings(problems_per_update=900)}, "problems_per_update=900"),
        (
            {"replay": ReplayConfig(source_weights={"run:last": 2.0})},
            "source_weights names the source 'run:last', which no trajectory",
        ),
        (
            {"batch": BatchSettings(problems_per_update=2, loss_weights={"run:last": 2.0})},
            "loss_weights names the source 'run:last'",
        ),
    ],
)
def test_bad_settings_are_refused_by_name(tmp_path, tiny_checkpoint, changes, message):
    with pytest.raises(UserError, match=message):
        tiny_run(tmp_path / "run", tiny_checkpoint, **changes)


# Three updates on written solutions alone, so that no sampled token can depend on rounding. The
# values may change only with a change that is meant to change what is learned: the commit message
# says which.
GOLDEN = {
    "loss/true": [2.34375, 2.12738, 2.98193],
    "optimizer/grad_norm": [94.4005, 138.976, 110.884],
    "q/initial_value": [-0.75, -0.748855, -0.768448],
}


def test_golden_run(tmp_path, tiny_checkpoint):
    offline = ReplayConfig(offline_fraction=1.0)
    slowly = AdamW(learning_rate=1e-3)
    tiny_run(tmp_path / "run", tiny_checkpoint, replay=offline, optimizer=slowly, num_updates=3)
    records = read_metrics(tmp_path / "run", "train")
    for name, golden in GOLDEN.items():
        np.testing.assert_allclose([r[name] for r in records], golden, rtol=1e-3, err_msg=name)
