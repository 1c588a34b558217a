"""Tiny language models with their tokenizers, as Hugging Face directories."""

import json
import os
from pathlib import Path

import jax
import pytest

import spo_jax
from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.commands import gin_config
from spo_jax.models import save_pretrained
from spo_jax.models.testing import (
    byte_tokenizer,
    random_params,
    save_uniform_model,
    tiny_config,
)
from spo_jax.problems.letters import ALPHABET
from spo_jax.running.configurables import CONFIGURABLES
from spo_jax.running.settings import MeshShape, ModelSource
from spo_jax.train import train

TINY_TASK = Path(spo_jax.__file__).parents[1] / "configs" / "runs" / "tiny_task.gin"


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory):
    """Runs of one shape share their compiled programs: a dozen runs compile as one.

    Tiny programs compile in half the time without most optimizations; they compute the same.
    """
    jax.config.update("jax_disable_most_optimizations", True)
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    jax.config.update("jax_compilation_cache_dir", str(shared / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    yield
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory):
    """Directory of a random two-layer model over bytes."""
    path = tmp_path_factory.mktemp("tiny") / "model"
    tokenizer = byte_tokenizer()
    config = tiny_config(
        vocab_size=tokenizer.vocab_size, max_position=512, eos_ids=tokenizer.eos_ids
    )
    params = random_params(config, jax.random.key(0))
    save_pretrained(path, config, params, tokenizer=tokenizer)
    assert json.loads((path / "config.json").read_text())["model_type"] == "llama"
    return str(path)


@pytest.fixture(scope="session")
def uniform_checkpoint(tmp_path_factory):
    """Directory of the untrained model that the tiny task starts from."""
    path = tmp_path_factory.mktemp("uniform") / "model"
    save_uniform_model(path, ALPHABET)
    return str(path)


@pytest.fixture(scope="session")
def tiny_task_file():
    return TINY_TASK


@pytest.fixture(scope="session")
def tiny_task():
    """Trains by configs/runs/tiny_task.gin: bindings change it, then arguments of `train`."""

    def run(run_dir, checkpoint, bindings=(), **changes):
        settings = gin_config.configured_arguments(train, CONFIGURABLES, [str(TINY_TASK)], bindings)
        settings |= {
            "policy": ModelSource(path=checkpoint),
            "mesh": MeshShape(data=1),
            "evaluation": EvaluationSettings(
                num_samples=32, temperature=1.0, top_p=1.0, max_completion_tokens=6
            ),
            "num_updates": 30,
            "checkpoint_every": 30,
        }
        return train(str(run_dir), **(settings | changes))

    return run
