"""Pretrained models by directory, GGUF file, hub id or alias; and the identity of weights."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from spo_jax.errors import UserError
from spo_jax.models.config import ModelConfig
from spo_jax.models.families import parse_config
from spo_jax.models.gguf_io import GgufCheckpoint
from spo_jax.models.loading import load_params
from spo_jax.models.multimodal import TextCheckpoint, is_multimodal
from spo_jax.models.safetensors_io import Checkpoint, SafetensorsCheckpoint
from spo_jax.models.smollm2 import smollm2_path
from spo_jax.models.transformer import Params
from spo_jax.placement import to_host

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_HUB_FILES = ["*.json", "*.jinja", "model*.safetensors"]
# Names of tokens that a text model's tokenizer may carry although the embedding has no row for it.
_IMAGE_TOKEN = "<image_soft_token>"


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A loaded model.

    Attributes:
      config: what it is. params: its weights, a plain tree.
      source: the name it was asked for by.
      path: the directory or file it was read from; `load_tokenizer` takes it.
      dtypes: published tensor name -> published dtype; 'float32' throughout for GGUF.
    """

    config: ModelConfig
    params: Params
    source: str
    path: Path
    dtypes: Mapping[str, str]

    @property
    def num_parameters(self) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))


def load_pretrained(
    source: str | Path,
    *,
    param_dtype: str = "float32",
    compute_dtype: str = "float32",
    remat_policy: str = "none",
    attention: str = "auto",
    mesh: Mesh | None = None,
) -> Pretrained:
    """Loads a model, tensor by tensor, placed as it is read.

    Args:
      source: a directory with `config.json` and safetensors, a .gguf file, a hub id
        ('owner/name') or the alias 'smollm2'.
      param_dtype: of the parameters; 'published' takes the checkpoint's own if it has one.
      compute_dtype, remat_policy, attention: see `ModelConfig`.
      mesh: where to place the parameters; None is the default device.

    Raises:
      UserError: there is no such model, its architecture or a setting is not supported, a tensor
        is missing, unexpected or misshaped, a file is truncated, or the tokenizer beside it has
        more tokens than the embedding has rows. All before any weight is read.
    """
    path = resolve(source)
    checkpoint, generation = _open(path)
    dtypes = _published_dtypes(checkpoint)
    if param_dtype == "published":
        unique = set(dtypes.values())
        param_dtype = unique.pop() if len(unique) == 1 else "float32"
    config = _parse(checkpoint, generation, path).replace(
        param_dtype=param_dtype,
        compute_dtype=compute_dtype,
        remat_policy=remat_policy,
        attention=attention,
    )
    _check_tokenizer_file(path, config)
    params = load_params(checkpoint, config, str(path), mesh)
    return Pretrained(config, params, str(source), path, dtypes)


def load_config(source: str | Path) -> ModelConfig:
    """Returns the configuration of a model without reading its weights. Arguments: see above."""
    path = resolve(source)
    return _parse(*_open(path), path)


def resolve(source: str | Path) -> Path:
    """Returns the directory or GGUF file that `source` names, fetching it if need be.

    Raises:
      UserError: it names nothing, or cannot be fetched.
    """
    if str(source) == "smollm2":
        return smollm2_path()
    path = Path(source).expanduser()
    if path.is_dir() or (path.suffix == ".gguf" and path.is_file()):
        return path
    if path.suffix != ".gguf" and _HUB_ID.fullmatch(str(source)):
        if path.parent.is_dir():  # 'runs/mine/policies' and the like: not worth minutes of retries
            raise UserError(
                f"no model '{source}': there is a directory '{path.parent}' here, but nothing "
                f"named '{path.name}' in it; for a hub id of that name, run elsewhere"
            )
        return _fetch(str(source))
    raise UserError(
        f"no model '{source}': neither a directory, a .gguf file, a hub id (owner/name) nor "
        "'smollm2'"
    )


def params_id(params: Params, config: ModelConfig, *, scoring_version: int = 1) -> str:
    """Returns a hash that is equal for models which give equal logprobs.

    It covers the weights with their dtype, the settings that decide the forward pass, the
    precision of matrix products and `scoring_version`. sha256; about a second per gigabyte. Where
    the parameters lie on devices of several processes, all of them call it and get the same.
    """
    digest = hashlib.sha256()
    settings = {
        field.name: repr(getattr(config, field.name))
        for field in dataclasses.fields(config)
        # What equals its default is left out: a field added later changes no known hash.
        if field.name not in _NOT_IDENTITY and getattr(config, field.name) != field.default
    }
    settings["matmul_precision"] = repr(jax.config.values["jax_default_matmul_precision"])
    settings["scoring_version"] = repr(scoring_version)
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        array = np.ascontiguousarray(to_host(leaf))
        digest.update(f"{jax.tree_util.keystr(path)}{array.dtype}{array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


_NOT_IDENTITY = ("remat_policy", "attention", "eos_ids", "bos_id", "pad_id", "max_position")


def _open(path: Path) -> tuple[Checkpoint, dict[str, Any]]:
    if path.is_dir():
        files = SafetensorsCheckpoint(path)
        generation = files.generation_config()
        if is_multimodal(files.hf_config()):
            return TextCheckpoint(files), generation
        return files, generation
    return GgufCheckpoint(path), {}


def _parse(checkpoint: Checkpoint, generation: dict[str, Any], path: Path) -> ModelConfig:
    try:
        return parse_config(checkpoint.hf_config(), generation)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _published_dtypes(checkpoint: Checkpoint) -> dict[str, str]:
    if isinstance(checkpoint, SafetensorsCheckpoint | TextCheckpoint):
        return {name: checkpoint.dtype(name) for name in checkpoint.names()}
    return dict.fromkeys(checkpoint.names(), "float32")


def _check_tokenizer_file(path: Path, config: ModelConfig) -> None:
    """Reads the ids in `tokenizer.json`, if there is one, without building the tokenizer."""
    file = path / "tokenizer.json"
    if not file.is_file():
        return
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: not valid JSON ({error})") from error
    vocabulary = (content.get("model") or {}).get("vocab") or {}
    if isinstance(vocabulary, list):  # unigram models list pairs
        vocabulary = {token: i for i, (token, _) in enumerate(vocabulary)}
    ids = {**vocabulary, **{t["content"]: t["id"] for t in content.get("added_tokens") or ()}}
    beyond = [t for t, i in ids.items() if i >= config.vocab_size and t != _IMAGE_TOKEN]
    if beyond:
        raise UserError(
            f"{file}: the tokenizer's largest id is {max(ids.values())} ('{beyond[-1]}'), but the "
            f"embedding has {config.vocab_size} rows (vocab_size={config.vocab_size})"
        )


def check_vocabulary(tokenizer: Any, config: ModelConfig) -> None:
    """Raises UserError if a `Tokenizer` has ids that the embedding has no row for."""
    excess = range(config.vocab_size, tokenizer.vocab_size)
    beyond = [i for i in excess if tokenizer.decode([i], skip_special_tokens=False) != _IMAGE_TOKEN]
    if beyond:
        raise UserError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, but the embedding has "
            f"{config.vocab_size} rows (vocab_size={config.vocab_size})"
        )


def _fetch(hub_id: str) -> Path:
    import huggingface_hub
    from huggingface_hub import errors

    try:
        return Path(huggingface_hub.snapshot_download(hub_id, allow_patterns=_HUB_FILES))
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"cannot fetch '{hub_id}' from the Hugging Face hub: {reason}; check the name and the "
            "network (gated models need a login), or give a local directory"
        ) from error
