"""Writes tests/models/goldens: what `transformers` computes for every case of `conftest.py`.

Needs torch (`pip install -e '.[parity]'`); the tests that read the files do not. Run it after a
case is added or changed:

    python tests/models/make_goldens.py [CASE ...]

A golden is a directory that `load_pretrained` reads: config.json as `transformers` writes it (the
newer spelling), config_older.json, bfloat16 weights, and expected.npz with the float32 logits of
a batch that holds a full, two left-padded and a right-padded row.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from conftest import CASES

GOLDENS = Path(__file__).parent / "goldens"
LENGTH = 48
PADS = ((0, 0), (9, 0), (0, 11), (30, 0))  # left and right, of each row


def published_config(hf: dict) -> transformers.PretrainedConfig:
    """Reads the older spelling through `transformers`, as it would from the hub."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "config.json").write_text(json.dumps(hf))
        return transformers.AutoConfig.from_pretrained(directory)


def random_model(config: transformers.PretrainedConfig, seed: int) -> transformers.PreTrainedModel:
    """Returns a float32 model whose weights are exact in bfloat16; no term is trivial."""
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    model = model.to(torch.float32).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if name.endswith("norm.weight"):
                offset = 0.0 if "gemma" in config.model_type else 1.0
                noise = offset + 0.3 * noise
            elif name.endswith(("q_proj.weight", "k_proj.weight")):
                noise = noise * 2.0 * weight.shape[-1] ** -0.5
            elif weight.ndim == 2:
                noise = noise * weight.shape[-1] ** -0.5
            else:
                noise = 0.3 * noise
            weight.copy_(noise.to(torch.bfloat16).to(torch.float32))
    return model


def batch(vocab_size: int, seed: int) -> dict[str, np.ndarray]:
    """Returns tokens, attention mask and positions, int64 [4, LENGTH]."""
    tokens = np.random.default_rng(seed).integers(3, vocab_size, (len(PADS), LENGTH))
    mask = np.ones_like(tokens)
    for row, (left, right) in enumerate(PADS):
        mask[row, :left] = 0
        mask[row, LENGTH - right :] = 0
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
    return {"tokens": tokens * mask, "mask": mask, "positions": positions}


def logits(model: transformers.PreTrainedModel, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Returns float32 [4, LENGTH, V]; meaningless where the mask is 0."""
    with torch.no_grad():
        output = model(
            input_ids=torch.tensor(inputs["tokens"]),
            attention_mask=torch.tensor(inputs["mask"]),
            position_ids=torch.tensor(inputs["positions"]),
        )
    return output.logits.numpy()


def make_golden(name: str) -> None:
    """Writes one golden directory."""
    config = published_config(CASES[name])
    model = random_model(config, seed=1)
    directory = GOLDENS / name
    inputs = batch(config.vocab_size, seed=2)
    expected = logits(model, inputs)
    model.to(torch.bfloat16).save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)
    (directory / "config_older.json").write_text(json.dumps(CASES[name], indent=2) + "\n")
    small = {key: value.astype(np.int32) for key, value in inputs.items()}
    np.savez_compressed(directory / "expected.npz", logits=expected, **small)


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make_golden(case)
