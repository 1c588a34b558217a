"""The short form of `test_two_processes.py`: what two processes do together with their devices."""

import json

import jax
import numpy as np
import processes
import pytest
import two_learners

from spo_jax.models import load_pretrained
from spo_jax.running.hosts import Hosts


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Of two processes with four devices each, and of this one with its eight."""
    shared, alone = (tmp_path_factory.mktemp(name) for name in ("shared", "alone"))
    cache = tmp_path_factory.mktemp("cache")
    log_dir = shared / "logs"
    command = [two_learners.__file__, str(shared)]
    started = processes.start(command, 2, log_dir, cache_dir=cache)
    theirs_alone = two_learners.work(Hosts(), alone)
    assert processes.wait(started, timeout=240) == [0, 0], processes.logs(log_dir)
    return json.loads((shared / "outcome.json").read_text()), theirs_alone, shared, alone


def test_two_processes_learn_what_one_learns(outcomes):
    """The same sums in another order: 1e-5 is a hundred times what float32 rounds them to."""
    ours, alone, _, _ = outcomes
    assert (ours["devices"], alone["devices"]) == ([8, 4], [8, 8])
    np.testing.assert_allclose(ours["losses"], alone["losses"], rtol=1e-5)


def test_reference_is_the_same_and_scores_alike(outcomes):
    ours, alone, _, _ = outcomes
    assert ours["reference_id"] == alone["reference_id"]
    assert ours["ref_logprobs"].keys() == alone["ref_logprobs"].keys()
    for name, values in alone["ref_logprobs"].items():
        np.testing.assert_allclose(ours["ref_logprobs"][name], values, rtol=1e-5, atol=1e-6)


def test_published_policy_is_whole_on_every_process_and_on_disk(outcomes):
    ours, alone, shared, alone_dir = outcomes
    assert ours["published_is_read"]
    assert alone["published_is_read"]
    left, right = (
        jax.tree.leaves(load_pretrained(directory / "policies" / "2").params)
        for directory in (shared, alone_dir)
    )
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-6)
