"""Tiny models of every family with awkward settings, in the older spelling of `config.json`."""

from typing import Any

import pytest

_SIZES = {
    "vocab_size": 40,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_LLAMA = {**_SIZES, "architectures": ["LlamaForCausalLM"], "model_type": "llama"}
_QWEN2 = {**_SIZES, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
_QWEN3 = {**_SIZES, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
_GEMMA = {"hidden_activation": "gelu_pytorch_tanh", "head_dim": 8}
_GEMMA2 = {**_SIZES, **_GEMMA, "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2"}
_GEMMA3 = {**_SIZES, **_GEMMA, "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text"}

# Rows of the batch are 48 tokens long: beyond every original context and every window here.
CASES: dict[str, dict[str, Any]] = {
    # untied, no grouping, all biases, head_dim * heads != hidden
    "llama2": {
        **_LLAMA,
        "num_key_value_heads": 4,
        "head_dim": 8,
        "attention_bias": True,
        "mlp_bias": True,
        "tie_word_embeddings": False,
    },
    "llama3": {
        **_LLAMA,
        "rope_theta": 500.0,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
        "tie_word_embeddings": True,
    },
    "llama_linear": {
        **_LLAMA,
        "head_dim": 4,
        "num_key_value_heads": 1,
        "rope_scaling": {"type": "linear", "factor": 4.0},
        "tie_word_embeddings": True,
        "eos_token_id": [3, 2],
    },
    "qwen2": {
        **_QWEN2,
        "rope_theta": 1000.0,
        "rope_scaling": {
            "type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 16,
            "beta_fast": 4,
        },
        "use_sliding_window": True,
        "sliding_window": 7,
        "max_window_layers": 1,
        "tie_word_embeddings": True,
    },
    "qwen3": {
        **_QWEN3,
        "head_dim": 10,
        "rope_theta": 100.0,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 2.0,
            "original_max_position_embeddings": 24,
            "attention_factor": 1.3,
        },
        "attention_bias": True,
        "tie_word_embeddings": False,
    },
    # soft caps low enough to bend, an odd query scale, a tail after the last whole period
    "gemma2": {
        **_GEMMA2,
        "num_hidden_layers": 5,
        "query_pre_attn_scalar": 20,
        "sliding_window": 6,
        "attn_logit_softcapping": 3.0,
        "final_logit_softcapping": 2.0,
        "tie_word_embeddings": True,
    },
    "gemma3": {
        **_GEMMA3,
        "num_hidden_layers": 8,
        "query_pre_attn_scalar": 5,
        "sliding_window": 9,
        "sliding_window_pattern": 3,
        "rope_theta": 2000.0,
        "rope_local_base_freq": 50.0,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        "final_logit_softcapping": 5.0,
        "tie_word_embeddings": True,
    },
}


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> str:
    """The name of each case in turn."""
    return request.param


@pytest.fixture
def hf_config(case: str) -> dict[str, Any]:
    """The case's `config.json`."""
    return CASES[case]
