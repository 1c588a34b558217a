"""A published tiny model with a tokenizer, and the command line run in this process."""

import jax
import pytest

from spo_jax import main
from spo_jax.models.saving import save_pretrained
from spo_jax.models.testing import byte_tokenizer, random_params, tiny_config


@pytest.fixture(scope="session")
def model_directories(tmp_path_factory):
    """Two models with one tokenizer: (policy, reference)."""
    tokenizer = byte_tokenizer()
    config = tiny_config(vocab_size=264, eos_ids=tokenizer.eos_ids, bos_id=None, pad_id=None)
    directories = []
    for i, name in enumerate(("policy", "reference")):
        directory = tmp_path_factory.mktemp(name)
        params = random_params(config, jax.random.key(i))
        save_pretrained(directory, config, params, tokenizer=tokenizer)
        directories.append(directory)
    return tuple(directories)


@pytest.fixture
def spo(capsys):
    """spo("score", ...) runs a command and returns (exit status, standard output)."""

    def run(*arguments):
        status = main.run([str(argument) for argument in arguments])
        return status, capsys.readouterr().out

    return run
