"""The reference moves: annotations are made anew, initial values follow, and a resume finds it."""

import jax
import numpy as np
import pytest

from spo_jax.acting.initial_values import InitialValueSettings
from spo_jax.errors import UserError
from spo_jax.models import load_pretrained
from spo_jax.objectives import SoftPolicyOptimization, Supervised
from spo_jax.reporting.metrics import read_metrics
from spo_jax.running.session import Session
from spo_jax.trajectories import TrajectoryStore


def moving(tiny_task, run_dir, checkpoint, **changes):
    """Six updates; the reference moves before the third and the fifth."""
    settings = {"num_updates": 6, "reference_update_every": 2, "checkpoint_every": 1}
    return tiny_task(run_dir, checkpoint, **(settings | changes))


def test_log_ratios_start_at_zero_after_every_move(tmp_path, uniform_checkpoint, tiny_task):
    run_dir = tmp_path / "run"
    moving(tiny_task, run_dir, uniform_checkpoint)
    records = read_metrics(run_dir, "train")
    noise = [record.get("q/reference_noise") for record in records]
    assert [value is not None for value in noise] == [True, False] * 3
    assert all(value < 1e-3 for value in noise[::2])
    assert records[1]["policy/log_ratio_abs"] > 0.01
    store = TrajectoryStore(str(run_dir))
    assert len(store.reference_ids()) == 3


def test_a_trajectory_keeps_what_each_reference_said(tmp_path, uniform_checkpoint, tiny_task):
    """Nothing is edited: the same trajectory has one annotation for each reference it met."""
    run_dir = tmp_path / "run"
    moving(tiny_task, run_dir, uniform_checkpoint)
    store = TrajectoryStore(str(run_dir))
    ids = [trajectory.trajectory_id for trajectory in store.read()]
    by_reference = [store.ref_logprobs(name, ids) for name in store.reference_ids()]
    met_twice = [
        pair for pair in zip(*by_reference, strict=True) if sum(x is not None for x in pair) > 1
    ]
    assert met_twice
    first, second, *_ = (x for x in met_twice[0] if x is not None)
    assert first.shape == second.shape and not np.array_equal(first, second)


def test_initial_values_are_estimated_anew_from_the_new_reference(
    tmp_path, uniform_checkpoint, tiny_task
):
    run_dir = tmp_path / "run"
    objective = SoftPolicyOptimization(beta=0.2, baseline="initial_value")
    moving(
        tiny_task,
        run_dir,
        uniform_checkpoint,
        objective=objective,
        initial_values=InitialValueSettings(num_samples=4),
    )
    store = TrajectoryStore(str(run_dir))
    known = [store.initial_values(name, 0.2) for name in store.reference_ids()]
    assert all(known)
    samples = [t for t in store.read() if t.source == "reference"]
    assert {t.policy_version for t in samples} == {0, 2, 4}
    assert sum(map(len, known)) * 4 == len(samples)


def test_initial_values_are_sampled_for_whole_collects(tmp_path, uniform_checkpoint, tiny_task):
    objective = SoftPolicyOptimization(beta=0.2, baseline="initial_value")
    with pytest.raises(UserError, match="reference_update_every=2 must be a multiple of it"):
        moving(
            tiny_task, tmp_path / "run", uniform_checkpoint, objective=objective, collect_every=4
        )


def test_trap_resume_finds_its_policy_and_reference_however_many_came_after(
    tmp_path, uniform_checkpoint, tiny_task, monkeypatch
):
    """Only the newest few published policies stay, and the one the checkpoint names."""
    settings = {"num_updates": 11, "reference_update_every": 1, "checkpoint_every": 5}
    whole, run = tmp_path / "whole" / "run", tmp_path / "run"
    tiny_task(whole, uniform_checkpoint, **settings)
    original = Session.draw

    def crashing(self, problems):
        if self.step == 9:
            raise RuntimeError("crash")
        return original(self, problems)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "draw", crashing)
        with pytest.raises(RuntimeError, match="crash"):
            tiny_task(run, uniform_checkpoint, **settings)
    tiny_task(run, uniform_checkpoint, **settings)
    for a, b in zip(
        jax.tree.leaves(load_pretrained(whole / "policies" / "11").params),
        jax.tree.leaves(load_pretrained(run / "policies" / "11").params),
        strict=True,
    ):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("method", ["move_reference", "save"])
def test_trap_resume_with_another_reference(
    tmp_path, uniform_checkpoint, tiny_task, monkeypatch, method
):
    objective = SoftPolicyOptimization(beta=0.2, baseline="running")
    whole, run = tmp_path / "whole" / "run", tmp_path / "run"  # the name is part of every id
    moving(tiny_task, whole, uniform_checkpoint, objective=objective)
    original, calls = getattr(Session, method), []

    def crashing(self, *args):
        original(self, *args)
        calls.append(method)
        if len(calls) == (2 if method == "move_reference" else 5):
            raise RuntimeError("crash")

    with monkeypatch.context() as patch:
        patch.setattr(Session, method, crashing)
        with pytest.raises(RuntimeError, match="crash"):
            moving(tiny_task, run, uniform_checkpoint, objective=objective)
    moving(tiny_task, run, uniform_checkpoint, objective=objective)
    for folder, version in (("policies", "6"), ("references", "4")):
        left, right = (
            jax.tree.leaves(load_pretrained(run_dir / folder / version).params)
            for run_dir in (whole, run)
        )
        for a, b in zip(left, right, strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_an_objective_without_a_reference_has_none_to_move(tmp_path, uniform_checkpoint, tiny_task):
    with pytest.raises(UserError, match="Supervised reads no reference: reference_update_every=2"):
        moving(tiny_task, tmp_path / "run", uniform_checkpoint, objective=Supervised())
    assert not (tmp_path / "run").exists()
