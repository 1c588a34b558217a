"""Published configurations: what they mean, and writing them back."""

import pytest

from spo_jax.errors import UserError
from spo_jax.models.config import ModelConfig, Rope
from spo_jax.models.families import FAMILIES, parse_config, write_config
from spo_jax.models.testing import tiny_config

LLAMA_3_2_1B = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128008, 128009],
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 16,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}
# As published: a multimodal model that leaves most of the language model's settings out.
GEMMA_3_4B = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "eos_token_id": [1, 106],
    "model_type": "gemma3",
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "vision_config": {"hidden_size": 1152},
}


def test_llama_3_2():
    config = parse_config(LLAMA_3_2_1B, {"eos_token_id": [128009, 128001]})
    assert config.rope.theta == 500_000.0
    assert config.rope.rope_type == "llama3" and config.rope.factor == 32.0
    assert (config.num_layers, config.embed_dim, config.mlp_dim) == (16, 2048, 8192)
    assert (config.num_heads, config.num_kv_heads, config.head_dim) == (32, 8, 64)
    assert config.eos_ids == (128009, 128001)  # generation_config.json decides
    assert config.tie_embeddings and config.period == 1


def test_gemma_3_inside_a_multimodal_configuration():
    config = parse_config(GEMMA_3_4B)
    assert (config.vocab_size, config.num_heads, config.num_kv_heads) == (262_208, 8, 4)
    assert config.layer_kinds[:6] == ("local",) * 5 + ("global",)
    assert (config.period, config.num_blocks, config.num_tail_layers) == (6, 5, 4)
    assert config.rope == Rope(theta=1e6, rope_type="linear", factor=8.0)
    assert config.local_rope == Rope(theta=1e4)
    assert config.embed_scale == 2560**0.5 and config.query_scale == 256**-0.5
    assert config.qk_norm and config.final_soft_cap is None
    assert config.eos_ids == (1, 106)


def test_qwen_windows_are_off_unless_used():
    hf = {
        **LLAMA_3_2_1B,
        "architectures": ["Qwen2ForCausalLM"],
        "sliding_window": 99,
        "max_window_layers": 12,
    }
    assert parse_config(hf).kinds == ("global",)
    used = parse_config({**hf, "use_sliding_window": True})
    assert used.layer_kinds == ("global",) * 12 + ("local",) * 4 and used.sliding_window == 99


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_writing_then_reading_is_the_identity(family):
    config = tiny_config(family, num_layers=3, eos_ids=(5, 2))
    assert parse_config(write_config(config, "bfloat16")) == config


def test_case_survives_writing(hf_config):
    config = parse_config(hf_config)
    assert parse_config(write_config(config, "float32")) == config


def test_scaled_local_rope_survives_writing():
    scaled = Rope(theta=77.0, rope_type="linear", factor=2.0)
    config = tiny_config("gemma3", local_rope=scaled)
    assert parse_config(write_config(config, "float32")) == config


def test_what_a_family_cannot_express_is_refused():
    config = tiny_config("llama", qkv_bias=True)  # a published Llama has all four biases or none
    with pytest.raises(UserError, match="family 'llama' cannot express output_bias=False"):
        write_config(config, "float32")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"architectures": ["Qwen3MoeForCausalLM"]},
            "unsupported architecture 'Qwen3MoeForCausalLM'; supported: LlamaForCausalLM, .*"
            "did you mean 'Qwen3ForCausalLM'",
        ),
        ({"hidden_size": None}, "the configuration has no 'hidden_size'"),
        ({"hidden_act": "relu"}, "activation 'relu' is not one of silu"),
        ({"num_key_value_heads": 5}, "num_heads=32 must be divisible by num_kv_heads=5"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is set"),
        ({"num_hidden_layers": 0}, "num_layers must be a positive integer, got 0"),
        ({"head_dim": None, "hidden_size": 2049}, "hidden_size=2049 is not divisible by"),
    ],
)
def test_refusals_name_the_setting(change, message):
    with pytest.raises(UserError, match=message):
        parse_config({**LLAMA_3_2_1B, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer_kinds": ("local", "global")}, "local layers need sliding_window >= 1"),
        ({"layer_kinds": ("global",)}, "layer_kinds names 1 layers, num_layers=2"),
        ({"remat_policy": "ful"}, "remat_policy='ful' is not one of .* did you mean 'full'"),
        ({"compute_dtype": "float64"}, "compute_dtype='float64' is not one of"),
        ({"head_dim": 7}, "head_dim=7 must be even"),
    ],
)
def test_configurations_that_make_no_sense(change, message):
    with pytest.raises(UserError, match=message):
        tiny_config().replace(**change)


def test_blocks_are_the_shortest_period():
    def blocks(*kinds):
        config = tiny_config(num_layers=len(kinds), layer_kinds=kinds, sliding_window=4)
        return config.period, config.num_blocks, config.num_tail_layers

    assert blocks("global", "global", "global") == (1, 3, 0)
    assert blocks("local", "global", "local", "global", "local") == (2, 2, 1)
    assert blocks("global", "local", "local") == (3, 1, 0)


def test_configurations_are_hashable():
    assert isinstance(hash(tiny_config("gemma3")), int)
    assert {tiny_config(): 1}[ModelConfig(**vars(tiny_config()))] == 1
