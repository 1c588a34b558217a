"""Weights and configuration out of a GGUF file, under Hugging Face names.

A GGUF file differs from the published safetensors in four ways, all undone here: tensors have
short names and may be quantised, Llama's q and k rows are permuted for interleaved RoPE, Gemma's
norm weights have 1 added, and Llama 3's RoPE scaling is a tensor of divisors instead of four
numbers.

Source: `convert_hf_to_gguf.py` of https://github.com/ggml-org/llama.cpp.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from spo_jax.errors import UserError, nearest

_ARCHITECTURES = {
    # GGUF name: (model_type, class named in config.json)
    "llama": ("llama", "LlamaForCausalLM"),
    "qwen2": ("qwen2", "Qwen2ForCausalLM"),
    "qwen3": ("qwen3", "Qwen3ForCausalLM"),
    "gemma2": ("gemma2", "Gemma2ForCausalLM"),
    "gemma3": ("gemma3_text", "Gemma3ForCausalLM"),
}
_GEMMA = ("gemma2", "gemma3")

_TOP_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_GEMMA_LAYER_NAMES = _LAYER_NAMES | {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_ROPE_FREQS = "rope_freqs.weight"
_ROWS_AT_A_TIME = 4096  # bounds the dequantiser's temporary copies
_REQUIRED = object()


class GgufFile:
    """Metadata of one GGUF file.

    Raises:
      UserError: the file is missing, truncated, split over several files, or no GGUF file.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._reader = _open(self.path)
        parts = self.metadata("split.count", 1)
        if parts > 1:
            raise UserError(
                f"{self.path} is one of {parts} parts; join them first with llama.cpp's "
                "`llama-gguf-split --merge`"
            )

    def metadata(self, key: str, default: Any = _REQUIRED) -> Any:
        """Returns a metadata value; without `default` a missing key is a UserError."""
        field = self._reader.get_field(key)
        if field is not None:
            return field.contents()
        if default is _REQUIRED:
            raise UserError(f"{self.path}: the GGUF metadata has no '{key}'")
        return default


class GgufCheckpoint(GgufFile):
    """A language model in a GGUF file, seen as a Hugging Face checkpoint.

    Raises:
      UserError: as `GgufFile`, or an unsupported architecture or tensor.
    """

    def __init__(self, path: str | Path):
        super().__init__(path)
        self.architecture: str = self.metadata("general.architecture")
        if self.architecture not in _ARCHITECTURES:
            raise UserError(
                f"{self.path}: unsupported architecture '{self.architecture}'; supported: "
                f"{', '.join(_ARCHITECTURES)}{nearest(self.architecture, _ARCHITECTURES)}"
            )
        self._tensors = {
            self._hf_name(tensor.name): tensor
            for tensor in self._reader.tensors
            if tensor.name != _ROPE_FREQS
        }

    def names(self) -> list[str]:
        """Hugging Face names of all tensors, for example 'model.layers.0.mlp.up_proj.weight'."""
        return list(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor in Hugging Face's order, [output, input] for projections."""
        return tuple(int(size) for size in reversed(self._tensor(name).shape))

    def read(self, name: str) -> np.ndarray:
        """Returns one tensor, dequantised to float32, in Hugging Face's layout.

        Raises:
          UserError: no such tensor, or a quantisation the `gguf` library cannot undo.
        """
        weights = self._dequantize(name)
        if self.architecture == "llama" and "self_attn.q_proj" in name:
            return unpermute_rope_rows(weights, self._integer("attention.head_count"))
        if self.architecture == "llama" and "self_attn.k_proj" in name:
            return unpermute_rope_rows(weights, self._num_kv_heads())
        if self.architecture in _GEMMA and name.endswith("norm.weight"):
            return weights - np.float32(1.0)
        return weights

    def hf_config(self) -> dict[str, Any]:
        """Returns what the checkpoint's `config.json` would say, as far as GGUF knows it."""
        model_type, class_name = _ARCHITECTURES[self.architecture]
        names = set(self._tensors)
        config = {
            "architectures": [class_name],
            "model_type": model_type,
            "vocab_size": self.shape("model.embed_tokens.weight")[0],
            "hidden_size": self._integer("embedding_length"),
            "intermediate_size": self._integer("feed_forward_length"),
            "num_hidden_layers": self._integer("block_count"),
            "num_attention_heads": self._integer("attention.head_count"),
            "num_key_value_heads": self._num_kv_heads(),
            "head_dim": self._head_dim(),
            "max_position_embeddings": self._integer("context_length"),
            "rms_norm_eps": _short_float(self._own("attention.layer_norm_rms_epsilon")),
            "rope_theta": _short_float(self._own("rope.freq_base", 10000.0)),
            "rope_scaling": self._rope_scaling(),
            "tie_word_embeddings": "lm_head.weight" not in names,
            "attention_bias": "model.layers.0.self_attn.q_proj.bias" in names,
            "mlp_bias": "model.layers.0.mlp.gate_proj.bias" in names,
            "hidden_act": "silu",
        }
        if self.architecture in _GEMMA:
            config |= self._gemma_config()
        return config | self._special_ids()

    def _gemma_config(self) -> dict[str, Any]:
        """What only Gemma 2 and 3 have; llama.cpp keeps the constants in its code, as here."""
        layers, heads = self._integer("block_count"), self._integer("attention.head_count")
        # Gemma 2 27B has 46 layers, Gemma 3 27B 62; these two scale queries by hidden/heads.
        is_27b = layers == {"gemma2": 46, "gemma3": 62}[self.architecture]
        scale = self._integer("embedding_length") // heads if is_27b else self._head_dim()
        period = {"gemma2": 2, "gemma3": 6}[self.architecture]
        config = {
            "hidden_act": "gelu_pytorch_tanh",
            "hidden_activation": "gelu_pytorch_tanh",
            "query_pre_attn_scalar": scale,
            "sliding_window": self._own("attention.sliding_window", 4096),
            "layer_types": [
                "sliding_attention" if (i + 1) % period else "full_attention" for i in range(layers)
            ],
            "final_logit_softcapping": self._own("final_logit_softcapping", None),
            "attn_logit_softcapping": self._own("attn_logit_softcapping", None),
        }
        if self.architecture == "gemma3":
            local_base = self._own("rope.freq_base_swa", 10000.0)
            config["rope_local_base_freq"] = _short_float(local_base)
        return config

    def _rope_scaling(self) -> dict[str, Any] | None:
        freqs = [t for t in self._reader.tensors if t.name == _ROPE_FREQS]
        if freqs:
            base = _short_float(self._own("rope.freq_base", 10000.0))
            divisors = gguf.dequantize(freqs[0].data, freqs[0].tensor_type).reshape(-1)
            return _llama3_scaling(self.path, divisors, base)
        kind = self._own("rope.scaling.type", "none")
        if kind == "none":
            return None
        scaling = {"rope_type": kind, "factor": _short_float(self._own("rope.scaling.factor"))}
        original = self._own("rope.scaling.original_context_length", None)
        if original is not None:
            scaling["original_max_position_embeddings"] = original
        return scaling

    def _special_ids(self) -> dict[str, Any]:
        ids = {"bos_token_id": self.metadata("tokenizer.ggml.bos_token_id", None)}
        ends = [self.metadata(f"tokenizer.ggml.{k}_token_id", None) for k in ("eos", "eot")]
        unique = list(dict.fromkeys(end for end in ends if end is not None))
        ids["eos_token_id"] = unique[0] if len(unique) == 1 else (unique or None)
        ids["pad_token_id"] = self.metadata("tokenizer.ggml.padding_token_id", None)
        return ids

    def _hf_name(self, name: str) -> str:
        stem, _, suffix = name.rpartition(".")
        layer = re.fullmatch(r"blk\.(\d+)\.(\w+)", stem)
        table = _GEMMA_LAYER_NAMES if self.architecture in _GEMMA else _LAYER_NAMES
        if layer and layer[2] in table:
            return f"model.layers.{layer[1]}.{table[layer[2]]}.{suffix}"
        if stem in _TOP_NAMES:
            return f"{_TOP_NAMES[stem]}.{suffix}"
        raise UserError(
            f"{self.path}: tensor '{name}' has no place in a dense '{self.architecture}' model"
        )

    def _tensor(self, name: str) -> gguf.ReaderTensor:
        if name not in self._tensors:
            raise UserError(f"{self.path}: no tensor '{name}'{nearest(name, self._tensors)}")
        return self._tensors[name]

    def _dequantize(self, name: str) -> np.ndarray:
        tensor = self._tensor(name)
        result = np.empty(self.shape(name), np.float32)
        for start in range(0, len(result), _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            try:
                result[rows] = gguf.dequantize(tensor.data[rows], tensor.tensor_type)
            except NotImplementedError as error:
                raise UserError(f"{self.path}: tensor '{name}': {error}") from error
        return result

    def _own(self, key: str, default: Any = _REQUIRED) -> Any:
        return self.metadata(f"{self.architecture}.{key}", default)

    def _integer(self, key: str) -> int:
        value = self._own(key)
        if not isinstance(value, int):
            raise UserError(
                f"{self.path}: '{self.architecture}.{key}' must be one integer for all layers, "
                f"got {value!r:.80}"
            )
        return value

    def _num_kv_heads(self) -> int:
        key = "attention.head_count_kv"
        return self._integer(key if self._own(key, None) is not None else "attention.head_count")

    def _head_dim(self) -> int:
        if self._own("attention.key_length", None) is not None:
            return self._integer("attention.key_length")
        return self._integer("embedding_length") // self._integer("attention.head_count")


def unpermute_rope_rows(weights: np.ndarray, num_heads: int) -> np.ndarray:
    """Undoes llama.cpp's row permutation of Llama's q and k projections.

    Conversion turns each head's rows from halves (r0, ..., i0, ...) into pairs (r0, i0, r1, ...).

    Args:
      weights: [num_heads * head_dim, ...], a weight or a bias.
      num_heads: query heads for q, key-value heads for k.
    """
    pairs = weights.reshape(num_heads, -1, 2, *weights.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(weights.shape)


def _open(path: Path) -> gguf.GGUFReader:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        return gguf.GGUFReader(path)
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise UserError(f"{path}: not a GGUF file, or a truncated one ({error})") from error


def _short_float(value: float) -> float:
    """The shortest decimal that is the same float32: 1e-05 instead of 9.999999747378752e-06."""
    return float(str(np.float32(value)))


def _llama3_scaling(path: Path, divisors: Sequence[float] | np.ndarray, base: float) -> dict:
    """Recognises Llama 3.1's published scaling in GGUF's per-frequency divisors [head_dim / 2].

    The low and high frequency factors are not stored; 1 and 4 of an original context of 8192 are
    the only ones published, and the divisors prove it.
    """
    divisors = np.asarray(divisors, np.float64)
    factor = _short_float(float(divisors.max()))
    low, high, context = 1.0, 4.0, 8192
    frequencies = base ** -(np.arange(len(divisors)) / len(divisors))
    smooth = np.clip((context * frequencies / (2 * np.pi) - low) / (high - low), 0.0, 1.0)
    if not np.allclose(1 / divisors, (1 - smooth) / factor + smooth, rtol=1e-4):
        raise UserError(
            f"{path}: '{_ROPE_FREQS}' is not Llama 3.1's scaling (factor={factor}, "
            f"low_freq_factor={low}, high_freq_factor={high}, original context {context}); "
            "load the model's safetensors directory instead"
        )
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": context,
    }
