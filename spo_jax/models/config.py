"""The description of a decoder: frozen, hashable and complete."""

import dataclasses
from typing import Any, Literal

from spo_jax.errors import UserError, nearest

LayerKind = Literal["global", "local"]
REMAT_POLICIES = ("none", "full", "dots", "dots_no_batch")
ATTENTION_KERNELS = ("auto", "plain", "splash", "cudnn")
DTYPES = ("float32", "bfloat16", "float16")
_SIZES = (
    "vocab_size",
    "num_layers",
    "embed_dim",
    "mlp_dim",
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "max_position",
)
ROPE_TYPES = ("default", "linear", "llama3", "yarn")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rope:
    """Rotary position embedding of one layer kind.

    Attributes:
      theta: the base wavelength.
      rope_type: 'default', 'linear', 'llama3' or 'yarn'.
      factor: how much longer than the original context; unused by 'default'.
      original_max_position: the context length of pretraining ('llama3', 'yarn').
      low_freq_factor, high_freq_factor: of 'llama3'.
      beta_fast, beta_slow, truncate: the ramp of 'yarn', in rotations.
      attention_factor: multiplies cos and sin ('yarn'); 1 elsewhere.
    """

    theta: float = 10_000.0
    rope_type: str = "default"
    factor: float = 1.0
    original_max_position: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    attention_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.rope_type not in ROPE_TYPES:
            raise UserError(
                f"rope_type='{self.rope_type}' is not supported; known: {', '.join(ROPE_TYPES)}"
            )
        if self.rope_type in ("llama3", "yarn") and self.original_max_position < 1:
            raise UserError(
                f"rope_type='{self.rope_type}' needs original_max_position_embeddings >= 1, "
                f"got {self.original_max_position}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """One decoder-only language model.

    Attributes:
      family: a key of `families.FAMILIES`.
      vocab_size: rows of the embedding.
      num_layers, embed_dim, mlp_dim, num_heads, num_kv_heads, head_dim: sizes.
      max_position: the context length the checkpoint promises.
      norm_eps: of every RMS norm.
      activation: 'silu' or 'gelu_tanh', of the gated MLP.
      tie_embeddings: logits use the embedding matrix.
      qkv_bias, output_bias, mlp_bias: which projections have a bias.
      qk_norm: RMS norm over the head dimension of queries and keys, before RoPE.
      norm_plus_one: norms multiply by 1 + weight (Gemma).
      post_norms: norms also after attention and after the MLP (Gemma 2, 3).
      embed_scale: multiplies embeddings on the way in.
      query_scale: multiplies q.k; 0 is replaced by head_dim ** -0.5.
      attention_soft_cap, final_soft_cap: cap * tanh(x / cap), or None.
      layer_kinds: 'global' or 'local' for every layer.
      sliding_window: a local layer's token attends to this many positions, itself included.
      rope: of global layers. local_rope: of local layers; None means the same as `rope`.
      compute_dtype: of activations and matrix products; norms and softmax are float32.
      param_dtype: of the parameters.
      remat_policy: what the backward pass recomputes: 'none' saves all, 'full' saves nothing
        inside a block, 'dots' saves matrix products, 'dots_no_batch' those with weights only.
      attention: of packed rows: 'auto' takes the best kernel of the platform that can do it;
        'plain', 'splash' (TPU) or 'cudnn' (GPU) insist. See `attention.attention_kernel`.
      eos_ids: end tokens, end-of-turn first. bos_id, pad_id: or None.
    """

    family: str
    vocab_size: int
    num_layers: int
    embed_dim: int
    mlp_dim: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_position: int
    norm_eps: float = 1e-6
    activation: str = "silu"
    tie_embeddings: bool = True
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    norm_plus_one: bool = False
    post_norms: bool = False
    embed_scale: float = 1.0
    query_scale: float = 0.0
    attention_soft_cap: float | None = None
    final_soft_cap: float | None = None
    layer_kinds: tuple[LayerKind, ...] = ()
    sliding_window: int | None = None
    rope: Rope = Rope()
    local_rope: Rope | None = None
    compute_dtype: str = "float32"
    param_dtype: str = "float32"
    remat_policy: str = "none"
    attention: str = "auto"
    eos_ids: tuple[int, ...] = ()
    bos_id: int | None = None
    pad_id: int | None = None

    def __post_init__(self) -> None:
        if not self.layer_kinds:
            object.__setattr__(self, "layer_kinds", ("global",) * self.num_layers)
        _check_sizes(self)
        if not self.query_scale:
            object.__setattr__(self, "query_scale", self.head_dim**-0.5)
        _check_layer_kinds(self)
        _check_choice("remat_policy", self.remat_policy, REMAT_POLICIES)
        _check_choice("attention", self.attention, ATTENTION_KERNELS)
        _check_choice("compute_dtype", self.compute_dtype, DTYPES)
        _check_choice("param_dtype", self.param_dtype, DTYPES)
        _check_choice("activation", self.activation, ("silu", "gelu_tanh"))

    def replace(self, **changes: Any) -> "ModelConfig":
        """Returns a copy with other values; checked like a new one."""
        return dataclasses.replace(self, **changes)

    @property
    def kinds(self) -> tuple[LayerKind, ...]:
        """The distinct layer kinds, in order of first use."""
        return tuple(dict.fromkeys(self.layer_kinds))

    @property
    def period(self) -> int:
        """Layers per scanned block: the shortest pattern that repeats from the first layer on."""
        kinds = self.layer_kinds
        fits = (p for p in range(1, len(kinds) + 1) if kinds[p:] == kinds[:-p])
        return next(fits)

    @property
    def num_blocks(self) -> int:
        return self.num_layers // self.period

    @property
    def num_tail_layers(self) -> int:
        return self.num_layers % self.period

    def rope_of(self, kind: LayerKind) -> Rope:
        return self.local_rope if kind == "local" and self.local_rope is not None else self.rope

    def window_of(self, kind: LayerKind) -> int | None:
        return self.sliding_window if kind == "local" else None


def _check_sizes(config: ModelConfig) -> None:
    for name in _SIZES:
        value = getattr(config, name)
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{name} must be a positive integer, got {value!r}")
    if config.num_heads % config.num_kv_heads:
        raise UserError(
            f"num_heads={config.num_heads} must be divisible by num_kv_heads={config.num_kv_heads}"
        )
    if config.head_dim % 2:
        raise UserError(f"head_dim={config.head_dim} must be even: RoPE rotates pairs")


def _check_layer_kinds(config: ModelConfig) -> None:
    if len(config.layer_kinds) != config.num_layers:
        raise UserError(
            f"layer_kinds names {len(config.layer_kinds)} layers, num_layers={config.num_layers}"
        )
    for kind in config.layer_kinds:
        _check_choice("layer_kinds", kind, ("global", "local"))
    if "local" in config.layer_kinds and (config.sliding_window or 0) < 1:
        raise UserError(
            f"local layers need sliding_window >= 1, got sliding_window={config.sliding_window}"
        )


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UserError(
            f"{name}='{value}' is not one of {', '.join(known)}{nearest(str(value), known)}"
        )
