"""A published tiny model with a tokenizer, and the command line run in this process."""

import jax
import pytest
import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, trainers

from spo_jax import main
from spo_jax.models.saving import save_pretrained
from spo_jax.models.testing import random_params, tiny_config
from spo_jax.tokenizers import Tokenizer

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer() -> Tokenizer:
    """Bytes and three special tokens, no merges."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=259,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([], trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", bos_token="<|im_start|>"
    )
    fast.chat_template = TEMPLATE
    return Tokenizer(fast)


@pytest.fixture(scope="session")
def model_directories(tmp_path_factory):
    """Two models with one tokenizer: (policy, reference)."""
    config = tiny_config(vocab_size=264, eos_ids=(2,), bos_id=1, pad_id=None)
    directories = []
    for i, name in enumerate(("policy", "reference")):
        directory = tmp_path_factory.mktemp(name)
        params = random_params(config, jax.random.key(i))
        save_pretrained(directory, config, params, tokenizer=byte_tokenizer())
        directories.append(directory)
    return tuple(directories)


@pytest.fixture
def spo(capsys):
    """spo("score", ...) runs a command and returns (exit status, standard output)."""

    def run(*arguments):
        status = main.run([str(argument) for argument in arguments])
        return status, capsys.readouterr().out

    return run
