"""Families of models: what their published `config.json` means, and how to write one.

One `Family` a row of the table; to add a family, add a row, and a golden file to the tests. Keys
and defaults are those of Hugging Face `transformers`. Both spellings are read: `rope_theta` with
`rope_scaling`, and the newer `rope_parameters`. The older one is written: everything loads it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from spo_jax.errors import UserError, nearest
from spo_jax.models.config import LayerKind, ModelConfig
from spo_jax.models.rope_config import parse_ropes, write_ropes

HfConfig = Mapping[str, Any]
_ACTIVATIONS = {"silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu_tanh"}
_KIND_NAMES: dict[str, LayerKind] = {"full_attention": "global", "sliding_attention": "local"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """One row of the table.

    Attributes:
      architecture: class name in `config.json`. model_type: likewise.
      defaults: what `config.json` may leave out, as the published class has it.
      settings: of its own keys -> fields of `ModelConfig`.
      write: fields of `ModelConfig` -> its own keys.
    """

    architecture: str
    model_type: str
    defaults: HfConfig
    settings: Callable[[HfConfig], dict[str, Any]]
    write: Callable[[ModelConfig], dict[str, Any]]


def parse_config(hf: HfConfig, generation: HfConfig | None = None, **overrides: Any) -> ModelConfig:
    """Returns the model a published configuration describes.

    Args:
      hf: the content of `config.json`.
      generation: of `generation_config.json`, whose end tokens count if it names any.
      overrides: fields of `ModelConfig`, for example compute_dtype.

    Raises:
      UserError: the architecture is unknown, or a setting is missing or not supported.
    """
    name = family_name(hf)
    family = FAMILIES[name]
    if hf.get("quantization_config"):
        raise UserError("quantization_config is set: only unquantised weights or GGUF can be read")
    generation = generation or {}
    merged = {**family.defaults, **_text_part(hf)}
    ropes = parse_ropes(merged, merged["local_theta"])
    fields = {
        "family": name,
        **_common_settings(merged),
        **family.settings(merged),
        **ropes,
        "eos_ids": _ids(_first("eos_token_id", generation, merged)),
        "bos_id": _first("bos_token_id", generation, merged),
        "pad_id": _first("pad_token_id", generation, merged),
    }
    return ModelConfig(**{**fields, **overrides})


def write_config(config: ModelConfig, dtype: str) -> dict[str, Any]:
    """Returns `config.json` of the model; `dtype` is that of the written weights.

    Raises:
      UserError: the family's published form cannot say what `config` says.
    """
    family = FAMILIES[config.family]
    hf = {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.embed_dim,
        "intermediate_size": config.mlp_dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_position,
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tie_embeddings,
        **write_ropes(config),
        **family.write(config),
        "bos_token_id": config.bos_id,
        "eos_token_id": config.eos_ids[0] if len(config.eos_ids) == 1 else list(config.eos_ids),
        "pad_token_id": config.pad_id,
        "torch_dtype": dtype,
        "dtype": dtype,
        "use_cache": True,
    }
    if not config.eos_ids:
        del hf["eos_token_id"]
    _check_same(config, parse_config(hf))
    return hf


def family_name(hf: HfConfig) -> str:
    """Returns the family's key.

    Raises:
      UserError: it is none of the table.
    """
    named = [*(hf.get("architectures") or ()), hf.get("model_type")]
    for name, family in FAMILIES.items():
        known = {family.architecture, family.model_type}
        if name == "gemma3":
            known |= {"Gemma3ForConditionalGeneration", "gemma3"}
        if named[0] in known:
            return name
    supported = [family.architecture for family in FAMILIES.values()]
    raise UserError(
        f"unsupported architecture '{named[0]}'; supported: {', '.join(supported)}"
        f"{nearest(str(named[0]), supported)}"
    )


def _text_part(hf: HfConfig) -> dict[str, Any]:
    """The language model's own settings; a multimodal configuration nests them."""
    text = hf.get("text_config")
    if not text:
        return dict(hf)
    outer = {key: hf[key] for key in ("eos_token_id", "bos_token_id", "pad_token_id") if key in hf}
    return {**outer, **text}


def _common_settings(hf: HfConfig) -> dict[str, Any]:
    heads = _get(hf, "num_attention_heads")
    head_dim = hf.get("head_dim")
    if head_dim is None:
        if _get(hf, "hidden_size") % heads:
            raise UserError(
                f"head_dim is not given and hidden_size={hf['hidden_size']} is not divisible by "
                f"num_attention_heads={heads}"
            )
        head_dim = _get(hf, "hidden_size") // heads
    return {
        "vocab_size": _get(hf, "vocab_size"),
        "num_layers": _get(hf, "num_hidden_layers"),
        "embed_dim": _get(hf, "hidden_size"),
        "mlp_dim": _get(hf, "intermediate_size"),
        "num_heads": heads,
        "num_kv_heads": hf.get("num_key_value_heads") or heads,
        "head_dim": head_dim,
        "max_position": _get(hf, "max_position_embeddings"),
        "norm_eps": _get(hf, "rms_norm_eps"),
        "tie_embeddings": _get(hf, "tie_word_embeddings"),
        "activation": _activation(hf.get("hidden_activation") or _get(hf, "hidden_act")),
    }


def _llama_settings(hf: HfConfig) -> dict[str, Any]:
    bias = bool(hf.get("attention_bias"))
    return {"qkv_bias": bias, "output_bias": bias, "mlp_bias": bool(hf.get("mlp_bias"))}


def _llama_write(config: ModelConfig) -> dict[str, Any]:
    return {
        "hidden_act": "silu",
        "attention_bias": config.qkv_bias,
        "mlp_bias": config.mlp_bias,
    }


def _qwen2_settings(hf: HfConfig) -> dict[str, Any]:
    return {"qkv_bias": True, **_qwen_windows(hf)}


def _qwen3_settings(hf: HfConfig) -> dict[str, Any]:
    bias = bool(hf.get("attention_bias"))
    return {"qkv_bias": bias, "output_bias": bias, "qk_norm": True, **_qwen_windows(hf)}


def _qwen_windows(hf: HfConfig) -> dict[str, Any]:
    """Layers from `max_window_layers` on are local, if windows are used at all."""
    if not hf.get("use_sliding_window") or hf.get("sliding_window") is None:
        return {}
    first = hf.get("max_window_layers", 28)
    names = hf.get("layer_types") or [
        "sliding_attention" if i >= first else "full_attention"
        for i in range(hf["num_hidden_layers"])
    ]
    return {"layer_kinds": _kinds(names), "sliding_window": hf["sliding_window"]}


def _qwen_write(config: ModelConfig) -> dict[str, Any]:
    kinds = config.layer_kinds
    hf = {
        "hidden_act": "silu",
        "use_sliding_window": "local" in kinds,
        "sliding_window": config.sliding_window,
        "max_window_layers": kinds.index("local") if "local" in kinds else config.num_layers,
        "layer_types": _kind_names(config),
    }
    return hf if config.family == "qwen2" else {**hf, "attention_bias": config.qkv_bias}


def _gemma_settings(hf: HfConfig) -> dict[str, Any]:
    if hf.get("use_bidirectional_attention"):
        raise UserError("use_bidirectional_attention is set: only causal models are supported")
    bias, pattern = bool(hf.get("attention_bias")), hf["sliding_window_pattern"]
    names = hf.get("layer_types") or [
        "sliding_attention" if (i + 1) % pattern else "full_attention"
        for i in range(hf["num_hidden_layers"])
    ]
    return {
        "qkv_bias": bias,
        "output_bias": bias,
        "norm_plus_one": True,
        "post_norms": True,
        "embed_scale": hf["hidden_size"] ** 0.5,
        "query_scale": hf["query_pre_attn_scalar"] ** -0.5,
        "attention_soft_cap": hf["attn_logit_softcapping"],
        "final_soft_cap": hf["final_logit_softcapping"],
        "layer_kinds": _kinds(names),
        "sliding_window": hf["sliding_window"],
    }


def _gemma3_settings(hf: HfConfig) -> dict[str, Any]:
    # The published implementation never applies an attention soft cap, whatever the file says.
    return {**_gemma_settings(hf), "qk_norm": True, "attention_soft_cap": None}


def _gemma_write(config: ModelConfig) -> dict[str, Any]:
    scalar = config.query_scale**-2
    return {
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": config.qkv_bias,
        "query_pre_attn_scalar": round(scalar) if abs(scalar - round(scalar)) < 1e-6 else scalar,
        "attn_logit_softcapping": config.attention_soft_cap,
        "final_logit_softcapping": config.final_soft_cap,
        "sliding_window": config.sliding_window,
        "layer_types": _kind_names(config),
    }


def _kinds(names: list[str]) -> tuple[LayerKind, ...]:
    for name in names:
        if name not in _KIND_NAMES:
            raise UserError(f"layer type '{name}' is not one of {', '.join(_KIND_NAMES)}")
    return tuple(_KIND_NAMES[name] for name in names)


def _kind_names(config: ModelConfig) -> list[str]:
    names = {kind: name for name, kind in _KIND_NAMES.items()}
    return [names[kind] for kind in config.layer_kinds]


def _activation(name: str) -> str:
    if name not in _ACTIVATIONS:
        raise UserError(f"activation '{name}' is not one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


def _get(hf: HfConfig, key: str) -> Any:
    value = hf.get(key)
    if value is None:
        raise UserError(f"the configuration has no '{key}'")
    return value


def _first(key: str, *sources: HfConfig) -> Any:
    return next((source[key] for source in sources if source.get(key) is not None), None)


def _ids(value: int | list[int] | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)


def _check_same(config: ModelConfig, written: ModelConfig) -> None:
    """The file must mean what `config` says, apart from how it is computed here."""
    here = ("compute_dtype", "param_dtype", "remat_policy", "attention")
    for field in dataclasses.fields(config):
        ours, theirs = getattr(config, field.name), getattr(written, field.name)
        same = abs(ours - theirs) < 1e-9 if isinstance(ours, float) and theirs else ours == theirs
        if field.name not in here and not same:
            raise UserError(
                f"family '{config.family}' cannot express {field.name}={ours}; "
                f"its published form would mean {theirs}"
            )


_SMALL_DEFAULTS = {
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "local_theta": None,
}
_GEMMA_DEFAULTS = {
    "vocab_size": 256_000,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "sliding_window_pattern": 2,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "local_theta": None,
}
FAMILIES: dict[str, Family] = {
    "llama": Family(
        architecture="LlamaForCausalLM",
        model_type="llama",
        defaults={**_SMALL_DEFAULTS, "max_position_embeddings": 2048},
        settings=_llama_settings,
        write=_llama_write,
    ),
    "qwen2": Family(
        architecture="Qwen2ForCausalLM",
        model_type="qwen2",
        defaults={**_SMALL_DEFAULTS, "max_position_embeddings": 32_768},
        settings=_qwen2_settings,
        write=_qwen_write,
    ),
    "qwen3": Family(
        architecture="Qwen3ForCausalLM",
        model_type="qwen3",
        defaults={**_SMALL_DEFAULTS, "head_dim": 128, "max_position_embeddings": 32_768},
        settings=_qwen3_settings,
        write=_qwen_write,
    ),
    "gemma2": Family(
        architecture="Gemma2ForCausalLM",
        model_type="gemma2",
        defaults=_GEMMA_DEFAULTS,
        settings=_gemma_settings,
        write=_gemma_write,
    ),
    "gemma3": Family(
        architecture="Gemma3ForCausalLM",
        model_type="gemma3_text",
        defaults={
            **_GEMMA_DEFAULTS,
            "vocab_size": 262_208,
            "max_position_embeddings": 131_072,
            "sliding_window_pattern": 6,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "rope_theta": 1_000_000.0,
            "local_theta": 10_000.0,
        },
        settings=_gemma3_settings,
        write=_gemma_write,
    ),
}
