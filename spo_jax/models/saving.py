"""Writes a model as a Hugging Face directory, which `transformers` and vLLM load."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from spo_jax.errors import UserError
from spo_jax.models.config import ModelConfig
from spo_jax.models.families import write_config
from spo_jax.models.pretrained import check_vocabulary
from spo_jax.models.safetensors_io import TensorSpec, write_safetensors
from spo_jax.models.tensors import Path, Tensor, leaf_at, tensors_by_leaf
from spo_jax.models.transformer import Params
from spo_jax.tokenizers import Tokenizer

MAX_FILE_BYTES = 5 * 10**9


def save_pretrained(
    directory: str | FilePath,
    config: ModelConfig,
    params: Params,
    *,
    tokenizer: Tokenizer | None = None,
    dtype: str | Mapping[str, str] | None = None,
    max_file_bytes: int = MAX_FILE_BYTES,
) -> None:
    """Writes config.json, generation_config.json, weights and the tokenizer's files.

    Args:
      directory: created if absent; files of the same name are replaced.
      config: of the model. params: its plain parameter tree.
      tokenizer: its end tokens go into generation_config.json.
      dtype: of all tensors, or one for each published name; None keeps the parameters' own.
      max_file_bytes: of one weight file.

    Raises:
      UserError: the tokenizer has more tokens than the embedding has rows, the family's published
        form cannot express `config`, or the dtype is unknown. Before anything is written.
    """
    if tokenizer is not None:
        check_vocabulary(tokenizer, config)
    table = tensors_by_leaf(config)
    specs = [
        TensorSpec(tensor.name, _dtype_of(tensor, leaf_at(params, path), dtype), tensor.shape)
        for path, tensors in table.items()
        for tensor in tensors
    ]
    hf = write_config(config, _main_dtype(specs))
    target = FilePath(directory)
    target.mkdir(parents=True, exist_ok=True)
    write_safetensors(target, specs, _published(params, table), max_file_bytes)
    _write_json(target / "config.json", hf)
    _write_json(target / "generation_config.json", _generation_config(config, tokenizer))
    if tokenizer is not None:
        tokenizer.save(target)


def _published(params: Params, table: dict[Path, list[Tensor]]) -> Iterator[np.ndarray]:
    """Published tensors one by one; one leaf at a time is on the host."""
    for path, tensors in table.items():
        leaf = np.asarray(leaf_at(params, path))
        for tensor in tensors:
            yield tensor.published_view(leaf)


def _dtype_of(tensor: Tensor, leaf: Any, dtype: str | Mapping[str, str] | None) -> str:
    if isinstance(dtype, Mapping):
        if tensor.name not in dtype:
            raise UserError(f"no dtype is given for tensor '{tensor.name}'")
        return dtype[tensor.name]
    return dtype or np.dtype(leaf.dtype).name


def _main_dtype(specs: list[TensorSpec]) -> str:
    """The dtype of most bytes."""
    sizes: dict[str, int] = {}
    for spec in specs:
        sizes[spec.dtype] = sizes.get(spec.dtype, 0) + spec.num_bytes
    return max(sizes, key=lambda name: sizes[name])


def _generation_config(config: ModelConfig, tokenizer: Tokenizer | None) -> dict[str, Any]:
    eos_ids = tokenizer.eos_ids if tokenizer is not None else config.eos_ids
    known = {
        "bos_token_id": config.bos_id,
        "eos_token_id": eos_ids[0] if len(eos_ids) == 1 else list(eos_ids) or None,
        "pad_token_id": config.pad_id if tokenizer is None else tokenizer.pad_id,
    }
    return {key: value for key, value in known.items() if value is not None}


def _write_json(path: FilePath, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
