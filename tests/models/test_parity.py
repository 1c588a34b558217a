"""Live parity with `transformers` and torch: `pip install -e '.[parity]'; pytest -m parity`."""

import functools
import importlib.util
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.models import Transformer, decode_params, init_cache, load_pretrained, save_pretrained
from spo_jax.tokenizers import load_tokenizer

pytestmark = pytest.mark.parity
TOLERANCE = 1e-4  # of the largest logit


@pytest.fixture(scope="module")
def goldens_script():
    """The module make_goldens.py, which needs torch."""
    pytest.importorskip("torch")
    folder = Path(__file__).parent
    sys.path.insert(0, str(folder))  # it reads the cases from conftest.py
    try:
        spec = importlib.util.spec_from_file_location("make_goldens", folder / "make_goldens.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


def our_logits(pretrained, inputs):
    model = Transformer(pretrained.config)
    rows = [jnp.asarray(inputs[name], jnp.int32) for name in ("tokens", "positions", "mask")]

    @jax.jit
    def logits(params, *rows):
        hidden = model.apply({"params": params}, *rows)
        return model.apply({"params": params}, hidden, method="logits")

    return np.asarray(logits(pretrained.params, *rows))


def assert_close(ours, theirs, mask):
    real = mask > 0
    assert np.abs(ours - theirs)[real].max() < TOLERANCE * np.abs(theirs[real]).max()


@pytest.mark.parametrize("seed", [11, 12])
def test_both_directions(goldens_script, hf_config, seed, tmp_path):
    config = goldens_script.published_config(hf_config)
    reference = goldens_script.random_model(config, seed)
    inputs = goldens_script.batch(config.vocab_size, seed)
    expected = goldens_script.logits(reference, inputs)

    reference.save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    pretrained = load_pretrained(tmp_path / "theirs")
    assert_close(our_logits(pretrained, inputs), expected, inputs["mask"])

    save_pretrained(tmp_path / "ours", pretrained.config, pretrained.params)
    loaded = goldens_script.transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "ours", attn_implementation="eager"
    )
    np.testing.assert_array_equal(goldens_script.logits(loaded.eval(), inputs), expected)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """SmolLM2 from its GGUF file, as a Hugging Face directory."""
    directory = tmp_path_factory.mktemp("smollm2")
    pretrained, tokenizer = load_pretrained("smollm2"), load_tokenizer("smollm2")
    save_pretrained(directory, pretrained.config, pretrained.params, tokenizer=tokenizer)
    return directory, pretrained, tokenizer


def test_smollm2_logits(goldens_script, exported):
    directory, pretrained, tokenizer = exported
    reference = goldens_script.transformers.AutoModelForCausalLM.from_pretrained(directory).eval()
    text = "def fibonacci(n):\n    '''Returns the n-th Fibonacci number.'''\n"
    tokens = np.array([tokenizer.encode(text) * 3] * 3)
    mask = np.ones_like(tokens)
    mask[1, :17], mask[2, -9:] = 0, 0
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
    inputs = {"tokens": tokens * mask, "mask": mask, "positions": positions}
    expected = goldens_script.logits(reference, inputs)
    assert_close(our_logits(pretrained, inputs), expected, mask)


def test_smollm2_writes_the_same_greedy_text(goldens_script, exported):
    directory, pretrained, tokenizer = exported
    transformers = goldens_script.transformers
    prompt = tokenizer.chat_prompt([{"role": "user", "content": "What is the capital of France?"}])
    fast = transformers.AutoTokenizer.from_pretrained(directory)
    assert fast(fast.decode(prompt), add_special_tokens=False)["input_ids"] == prompt
    reference = transformers.AutoModelForCausalLM.from_pretrained(directory).eval()
    ids = goldens_script.torch.tensor([prompt])
    theirs = reference.generate(ids, do_sample=False, max_new_tokens=40)[0, len(prompt) :].tolist()
    ours = greedy(pretrained, prompt, 40, tokenizer.eos_ids)
    assert ours == theirs and "Paris" in fast.decode(theirs)


def greedy(pretrained, prompt, max_tokens, eos_ids):
    config = pretrained.config
    model = Transformer(config)
    params = decode_params(config, pretrained.params)

    @functools.partial(jax.jit, donate_argnums=2)
    def step(tokens, positions, cache):
        variables = {"params": params}
        hidden, cache = model.apply(variables, tokens, positions, cache, method="decode")
        logits = model.apply(variables, hidden[:, -1], method="logits")
        return jnp.argmax(logits, axis=-1), cache

    cache = init_cache(config, 1, len(prompt) + max_tokens)
    token, cache = step(jnp.array([prompt]), jnp.arange(len(prompt))[None], cache)
    made = [int(token[0])]
    while len(made) < max_tokens and made[-1] not in eos_ids:
        position = len(prompt) + len(made) - 1
        token, cache = step(token[:, None], jnp.array([[position]]), cache)
        made.append(int(token[0]))
    return made
