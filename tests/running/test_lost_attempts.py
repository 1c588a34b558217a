"""What an attempt left behind that got further than its last checkpoint must not count."""

import pytest

from spo_jax.acting.policies import LATEST
from spo_jax.running.session import Session
from spo_jax.running.stopping import Stopped

SETTINGS = {"num_updates": 10, "checkpoint_every": 5, "policy_sync_every": 1}


class Crash(BaseException):
    """As sudden as a kill: nothing is saved."""


def ending_at(step, ending, method):
    """`method` of the session, which ends the attempt when so many updates were made."""

    def instead(self, *args):
        if self.step == step:
            raise ending
        return method(self, *args)

    return instead


def versions(run_dir, folder="policies"):
    return sorted(int(p.name) for p in (run_dir / folder).iterdir() if p.name.isdigit())


def last_files(run_dir):
    return {p.name: p.read_bytes() for p in (run_dir / "policies" / "10").iterdir()}


@pytest.mark.parametrize("reference_update_every", [0, 1])
def test_policies_published_after_a_resume_stay(
    tmp_path, uniform_checkpoint, tiny_task, monkeypatch, reference_update_every
):
    settings = SETTINGS | {"reference_update_every": reference_update_every}
    whole, run_dir = tmp_path / "whole" / "run", tmp_path / "ended" / "run"
    tiny_task(whole, uniform_checkpoint, **settings)
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(Session, "update", ending_at(9, Crash, Session.update))
        tiny_task(run_dir, uniform_checkpoint, **settings)
    assert versions(run_dir) == [5, 7, 8, 9]  # the checkpoint after update 5 names 5
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Session, "check_stop", ending_at(6, Stopped, Session.check_stop))
        tiny_task(run_dir, uniform_checkpoint, **settings)
    assert versions(run_dir)[-1] == 6
    assert (run_dir / "policies" / LATEST).read_text() == "6\n"
    tiny_task(run_dir, uniform_checkpoint, **settings)
    assert last_files(run_dir) == last_files(whole)


def test_an_asynchronous_run_forgets_evaluations_of_policies_that_are_gone(
    tmp_path, uniform_checkpoint, tiny_task, monkeypatch
):
    run_dir = tmp_path / "run"
    settings = SETTINGS | {"evaluate_every": 2, "checkpoint_every": 3}
    bindings = [
        "train.actors = @ActorSettings()",
        "ActorSettings.mode = 'thread'",
        "ActorSettings.devices = 0",
    ]
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(Session, "update", ending_at(5, Crash, Session.update))
        tiny_task(run_dir, uniform_checkpoint, bindings, **settings)
    later = run_dir / "evaluations" / "step_00000004.jsonl"
    assert later.exists()
    seen = []
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(
            Session, "publish", lambda self: seen.append(later.exists()) or ending_now(Crash)
        )
        tiny_task(run_dir, uniform_checkpoint, bindings, **settings)
    assert seen == [False]


def ending_now(ending):
    raise ending
