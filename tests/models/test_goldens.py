"""Parity with `transformers`, by the golden files of `make_goldens.py`: float32, within 1e-4."""

import functools
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from spo_jax.models import Rope, Transformer, load_pretrained
from spo_jax.models.families import parse_config

GOLDENS = Path(__file__).parent / "goldens"
TOLERANCE = 1e-4  # of the largest logit


@functools.cache
def golden(case):
    return load_pretrained(GOLDENS / case), dict(np.load(GOLDENS / case / "expected.npz"))


def largest_difference(config, params, expected):
    """Over real tokens, in units of the largest expected logit."""
    model = Transformer(config)

    def logits(params, *rows):
        hidden = model.apply({"params": params}, *rows)
        return model.apply({"params": params}, hidden, method="logits")

    rows = (expected["tokens"], expected["positions"], expected["mask"])
    real = expected["mask"] > 0
    difference = np.abs(jax.jit(logits)(params, *rows) - expected["logits"])[real].max()
    return difference / np.abs(expected["logits"][real]).max()


def test_logits_equal_transformers(case):
    pretrained, expected = golden(case)
    assert largest_difference(pretrained.config, pretrained.params, expected) < TOLERANCE


def test_both_spellings_mean_the_same(case):
    read = {
        name: parse_config(json.loads((GOLDENS / case / name).read_text()))
        for name in ("config.json", "config_older.json")
    }
    assert "rope_parameters" in (GOLDENS / case / "config.json").read_text()
    assert read["config.json"] == read["config_older.json"]


def test_older_spelling_is_the_case(case, hf_config):
    assert json.loads((GOLDENS / case / "config_older.json").read_text()) == hf_config


@pytest.mark.parametrize(
    "wrong",
    [{"rope_type": "default"}, {"theta": 10_000.0}, {"factor": 4.0}, {"high_freq_factor": 2.0}],
    ids=str,
)
def test_trap_llama3_rope_theta_or_scaling_ignored(wrong):
    pretrained, expected = golden("llama3")
    right = pretrained.config.rope
    assert (right.rope_type, right.theta, right.original_max_position) == ("llama3", 500.0, 16)
    changed = Rope(**{**vars(right), **wrong})
    config = pretrained.config.replace(rope=changed)
    assert largest_difference(config, pretrained.params, expected) > 20 * TOLERANCE


@pytest.mark.parametrize(
    ("case", "wrong"),
    [
        ("gemma2", {"attention_soft_cap": None}),
        ("gemma2", {"query_scale": 0.0}),
        ("gemma2", {"sliding_window": 7}),
        ("gemma3", {"local_rope": None}),
        ("qwen2", {"sliding_window": 8}),
    ],
    ids=str,
)
def test_goldens_notice_a_wrong_setting(case, wrong):
    pretrained, expected = golden(case)
    config = pretrained.config.replace(**wrong)
    assert largest_difference(config, pretrained.params, expected) > 20 * TOLERANCE
