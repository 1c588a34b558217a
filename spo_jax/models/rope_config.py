"""RoPE settings in `config.json`: both published spellings in, the older one out.

Older: `rope_theta`, `rope_scaling`, and Gemma 3's `rope_local_base_freq`. Newer:
`rope_parameters`, flat, or one for each of 'full_attention' and 'sliding_attention'.
"""

import math
from collections.abc import Mapping
from typing import Any

from spo_jax.errors import UserError
from spo_jax.models.config import ModelConfig, Rope

_FULL, _SLIDING = "full_attention", "sliding_attention"


def parse_ropes(hf: Mapping[str, Any], local_theta: float | None) -> dict[str, Rope]:
    """Returns the fields 'rope' and, where local layers have their own, 'local_rope'.

    Args:
      hf: `config.json`, family defaults filled in.
      local_theta: the family's default base of local layers; None if all layers share one RoPE.

    Raises:
      UserError: an unknown type, or a missing setting.
    """
    context, theta = hf["max_position_embeddings"], hf.get("rope_theta") or 10_000.0
    newer = hf.get("rope_parameters") or {}
    nested = _FULL in newer or _SLIDING in newer
    main = newer.get(_FULL) if nested else newer
    ropes = {"rope": _parse({**(hf.get("rope_scaling") or {}), **(main or {})}, theta, context)}
    if local_theta is not None or nested:
        base = hf.get("rope_local_base_freq") or local_theta or theta
        ropes["local_rope"] = _parse(newer.get(_SLIDING) or {}, base, context)
    return ropes


def write_ropes(config: ModelConfig) -> dict[str, Any]:
    """Returns the keys of `config.json` that `parse_ropes` reads back."""
    scaling = _write(config.rope)
    hf: dict[str, Any] = {"rope_theta": config.rope.theta, "rope_scaling": scaling or None}
    local = config.local_rope
    if local is None:
        return hf
    hf["rope_local_base_freq"] = local.theta
    if local.rope_type != "default":  # which the older spelling cannot say
        hf["rope_parameters"] = {
            _FULL: {"rope_type": "default", "rope_theta": config.rope.theta, **scaling},
            _SLIDING: {"rope_theta": local.theta, **_write(local)},
        }
    return hf


def _parse(settings: Mapping[str, Any], theta: float, context: int) -> Rope:
    kind = settings.get("rope_type") or settings.get("type") or "default"
    if settings.get("partial_rotary_factor", 1.0) not in (1.0, None):
        raise UserError(
            f"partial_rotary_factor={settings['partial_rotary_factor']} is not supported: "
            "RoPE must rotate the whole head"
        )
    fields: dict[str, Any] = {"theta": float(settings.get("rope_theta") or theta)}
    if kind == "default":
        return Rope(**fields)
    fields |= {"rope_type": kind, "factor": _number(settings, "factor", kind)}
    if kind in ("llama3", "yarn"):
        original = settings.get("original_max_position_embeddings") or context
        fields["original_max_position"] = original
    if kind == "llama3":
        for name in ("low_freq_factor", "high_freq_factor"):
            fields[name] = _number(settings, name, kind)
    if kind == "yarn":
        fields["beta_fast"] = float(settings.get("beta_fast") or 32)
        fields["beta_slow"] = float(settings.get("beta_slow") or 1)
        fields["truncate"] = settings.get("truncate", True)
        fields["attention_factor"] = _yarn_attention_factor(settings, fields["factor"])
    return Rope(**fields)


def _write(rope: Rope) -> dict[str, Any]:
    if rope.rope_type == "default":
        return {}
    hf: dict[str, Any] = {"rope_type": rope.rope_type, "factor": rope.factor}
    if rope.rope_type == "llama3":
        hf |= {"low_freq_factor": rope.low_freq_factor, "high_freq_factor": rope.high_freq_factor}
    if rope.rope_type == "yarn":
        hf |= {"beta_fast": rope.beta_fast, "beta_slow": rope.beta_slow}
        hf |= {"attention_factor": rope.attention_factor}
        hf |= {} if rope.truncate else {"truncate": False}
    if rope.original_max_position:
        hf["original_max_position_embeddings"] = rope.original_max_position
    return hf


def _number(settings: Mapping[str, Any], name: str, kind: str) -> float:
    value = settings.get(name)
    if not isinstance(value, int | float):
        raise UserError(f"rope_type='{kind}' needs a number '{name}', got {value!r}")
    return float(value)


def _yarn_attention_factor(settings: Mapping[str, Any], factor: float) -> float:
    """What multiplies cos and sin: 0.1 ln(factor) + 1 by default, section 3.4 of the paper."""
    if settings.get("attention_factor") is not None:
        return float(settings["attention_factor"])

    def magnitude(scale: float) -> float:
        return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0

    top, bottom = settings.get("mscale"), settings.get("mscale_all_dim")
    return magnitude(top) / magnitude(bottom) if top and bottom else magnitude(1.0)
