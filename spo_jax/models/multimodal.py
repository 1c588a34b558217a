"""The text model inside a multimodal Gemma 3 checkpoint: its tensors under their usual names."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from spo_jax.models.safetensors_io import SafetensorsCheckpoint

# As first published, and as `transformers` 5 saves them; the longer prefix is tried first.
_PREFIXES = {
    "model.language_model.": "model.",
    "language_model.model.": "model.",
    "language_model.lm_head.": "lm_head.",
    "lm_head.": "lm_head.",
}


def is_multimodal(hf: Mapping[str, Any]) -> bool:
    return bool(hf.get("text_config"))


class TextCheckpoint:
    """Shows the language model's tensors of `files`; the vision tower and projector are left."""

    def __init__(self, files: SafetensorsCheckpoint):
        self._files = files
        self._published = {
            ours + name.removeprefix(prefix): name
            for name in files.names()
            for prefix, ours in _PREFIXES.items()
            if name.startswith(prefix)
        }

    def hf_config(self) -> dict[str, Any]:
        return self._files.hf_config()

    def names(self) -> list[str]:
        return list(self._published)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._files.shape(self._published.get(name, name))

    def dtype(self, name: str) -> str:
        return self._files.dtype(self._published.get(name, name))

    def read(self, name: str) -> np.ndarray:
        return self._files.read(self._published.get(name, name))

    def read_rows(self, name: str, start: int, stop: int) -> np.ndarray:
        return self._files.read_rows(self._published.get(name, name), start, stop)
