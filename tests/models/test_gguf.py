"""GGUF files written here by the `gguf` library, as llama.cpp's converter writes them."""

import gguf
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.models.gguf_io import GgufCheckpoint

EMBED, HEADS, KV_HEADS, HEAD_DIM, MLP, VOCAB = 32, 4, 2, 8, 64, 48

LLAMA = {
    "block_count": 1,
    "context_length": 128,
    "embedding_length": EMBED,
    "feed_forward_length": MLP,
    "attention.head_count": HEADS,
    "attention.head_count_kv": KV_HEADS,
    "attention.layer_norm_rms_epsilon": 1e-5,
    "rope.freq_base": 100000.0,
}


def permute(weights, num_heads):
    """Row order of the conversion: each head's halves become pairs (llama.cpp's `permute`)."""
    halves = weights.reshape(num_heads, 2, -1, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def llama_tensors(rng):
    """Hugging Face names and weights of one layer."""

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    layer = "model.layers.0."
    return {
        "model.embed_tokens.weight": draw(VOCAB, EMBED),
        layer + "input_layernorm.weight": draw(EMBED),
        layer + "self_attn.q_proj.weight": draw(HEADS * HEAD_DIM, EMBED),
        layer + "self_attn.k_proj.weight": draw(KV_HEADS * HEAD_DIM, EMBED),
        layer + "self_attn.v_proj.weight": draw(KV_HEADS * HEAD_DIM, EMBED),
        layer + "self_attn.o_proj.weight": draw(EMBED, HEADS * HEAD_DIM),
        layer + "post_attention_layernorm.weight": draw(EMBED),
        layer + "mlp.gate_proj.weight": draw(MLP, EMBED),
        layer + "mlp.up_proj.weight": draw(MLP, EMBED),
        layer + "mlp.down_proj.weight": draw(EMBED, MLP),
        "model.norm.weight": draw(EMBED),
    }


SHORT = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers.0.input_layernorm": "blk.0.attn_norm",
    "model.layers.0.self_attn.q_proj": "blk.0.attn_q",
    "model.layers.0.self_attn.k_proj": "blk.0.attn_k",
    "model.layers.0.self_attn.v_proj": "blk.0.attn_v",
    "model.layers.0.self_attn.o_proj": "blk.0.attn_output",
    "model.layers.0.post_attention_layernorm": "blk.0.ffn_norm",
    "model.layers.0.mlp.gate_proj": "blk.0.ffn_gate",
    "model.layers.0.mlp.up_proj": "blk.0.ffn_up",
    "model.layers.0.mlp.down_proj": "blk.0.ffn_down",
}


def short_names(tensors, names=SHORT):
    """Renames and permutes as the conversion of Llama does."""
    result = {}
    for name, weights in tensors.items():
        stem, _, suffix = name.rpartition(".")
        if "q_proj" in name:
            weights = permute(weights, HEADS)
        if "k_proj" in name:
            weights = permute(weights, KV_HEADS)
        result[f"{names[stem]}.{suffix}"] = weights
    return result


def write(path, architecture, metadata, tensors, quantization=None):
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in metadata.items():
        key = key if key.startswith(("tokenizer.", "split.")) else f"{architecture}.{key}"
        kinds = {bool: "bool", int: "uint32", float: "float32", str: "string", list: "array"}
        getattr(writer, f"add_{kinds[type(value)]}")(key, value)
    for name, weights in tensors.items():
        if quantization is not None and weights.ndim == 2:
            data = gguf.quantize(weights, quantization)
            writer.add_tensor(name, data, raw_dtype=quantization)
        else:
            writer.add_tensor(name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def tensors():
    return llama_tensors(np.random.default_rng(0))


def test_llama_conversion_is_undone_exactly(tmp_path, tensors):
    bias = np.arange(HEADS * HEAD_DIM, dtype=np.float32)
    tensors["model.layers.0.self_attn.q_proj.bias"] = bias
    path = write(tmp_path / "m.gguf", "llama", LLAMA, short_names(tensors))
    checkpoint = GgufCheckpoint(path)
    assert set(checkpoint.names()) == set(tensors)
    for name, expected in tensors.items():
        assert checkpoint.shape(name) == expected.shape
        np.testing.assert_array_equal(checkpoint.read(name), expected, err_msg=name)


def test_attention_scores_match_the_interleaved_rope_of_the_file(tmp_path, tensors):
    """Why the rows are permuted: GGUF rotates neighbours, Hugging Face rotates halves."""
    rng = np.random.default_rng(1)
    hidden, angles = rng.standard_normal((2, EMBED)), rng.uniform(0, 6, (2, HEAD_DIM // 2))

    def rotate(real, imaginary, angle):
        cos, sin = np.cos(angle), np.sin(angle)
        return np.stack([real * cos - imaginary * sin, real * sin + imaginary * cos])

    def score(q_rows, k_rows, split):
        q, k = q_rows[:HEAD_DIM] @ hidden[0], k_rows[:HEAD_DIM] @ hidden[1]
        return (rotate(*split(q), angles[0]) * rotate(*split(k), angles[1])).sum()

    def halves(x):
        return np.split(x, 2)

    stored = short_names(tensors)
    stored_q, stored_k = stored["blk.0.attn_q.weight"], stored["blk.0.attn_k.weight"]
    read = GgufCheckpoint(write(tmp_path / "m.gguf", "llama", LLAMA, stored)).read
    q = read("model.layers.0.self_attn.q_proj.weight")
    k = read("model.layers.0.self_attn.k_proj.weight")
    expected = score(stored_q, stored_k, lambda x: (x[0::2], x[1::2]))
    assert np.isclose(score(q, k, halves), expected, rtol=1e-5)
    assert not np.isclose(score(stored_q, stored_k, halves), expected, rtol=1e-2)


@pytest.mark.parametrize("kind, tolerance", [("Q8_0", 0.02), ("Q4_1", 0.25), ("BF16", 0.02)])
def test_quantised_tensors_come_back_as_float32(tmp_path, tensors, kind, tolerance):
    quantization = gguf.GGMLQuantizationType[kind]
    path = write(tmp_path / "m.gguf", "llama", LLAMA, short_names(tensors), quantization)
    checkpoint = GgufCheckpoint(path)
    for name, expected in tensors.items():
        found = checkpoint.read(name)
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() < tolerance, name


def test_config_speaks_hugging_face(tmp_path, tensors):
    metadata = LLAMA | {
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.eot_token_id": 5,
    }
    path = write(tmp_path / "m.gguf", "llama", metadata, short_names(tensors))
    config = GgufCheckpoint(path).hf_config()
    expected = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCAB,
        "hidden_size": EMBED,
        "intermediate_size": MLP,
        "num_hidden_layers": 1,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5,
        "rope_theta": 100000.0,
        "rope_scaling": None,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "bos_token_id": 1,
        "eos_token_id": [2, 5],
    }
    assert {key: config[key] for key in expected} == expected


def test_an_output_matrix_means_untied_embeddings(tmp_path, tensors):
    tensors["lm_head.weight"] = np.zeros((VOCAB, EMBED), np.float32)
    path = write(tmp_path / "m.gguf", "llama", LLAMA, short_names(tensors))
    assert GgufCheckpoint(path).hf_config()["tie_word_embeddings"] is False


def test_trap_llama3_rope_scaling_is_read_from_the_divisors(tmp_path, tensors):
    scaling = {"factor": 32.0, "low": 1.0, "high": 4.0, "context": 8192}
    divisors = llama3_divisors(500000.0, 64, **scaling)
    metadata = LLAMA | {"rope.freq_base": 500000.0}
    stored = short_names(tensors) | {"rope_freqs.weight": divisors}
    path = write(tmp_path / "m.gguf", "llama", metadata, stored)
    checkpoint = GgufCheckpoint(path)
    assert checkpoint.hf_config()["rope_theta"] == 500000.0
    assert checkpoint.hf_config()["rope_scaling"] == {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    assert "rope_freqs.weight" not in checkpoint.names()


def test_unpublished_rope_scaling_is_refused(tmp_path, tensors):
    divisors = llama3_divisors(500000.0, 64, factor=8.0, low=1.0, high=2.0, context=8192)
    metadata = LLAMA | {"rope.freq_base": 500000.0}
    stored = short_names(tensors) | {"rope_freqs.weight": divisors}
    path = write(tmp_path / "m.gguf", "llama", metadata, stored)
    with pytest.raises(UserError, match=r"rope_freqs.*high_freq_factor=4\.0.*safetensors"):
        GgufCheckpoint(path).hf_config()


def llama3_divisors(base, head_dim, *, factor, low, high, context):
    """As the converter computes them, one frequency after the other."""
    divisors = []
    for i in range(0, head_dim, 2):
        wavelength = 2 * np.pi * base ** (i / head_dim)
        if wavelength < context / high:
            divisors.append(1.0)
        elif wavelength > context / low:
            divisors.append(factor)
        else:
            smooth = (context / wavelength - low) / (high - low)
            divisors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(divisors, np.float32)


def test_linear_rope_scaling(tmp_path, tensors):
    metadata = LLAMA | {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
    path = write(tmp_path / "m.gguf", "llama", metadata, short_names(tensors))
    scaling = GgufCheckpoint(path).hf_config()["rope_scaling"]
    assert scaling == {"rope_type": "linear", "factor": 4.0}


def gemma_file(path, architecture, layers=7):
    metadata = LLAMA | {
        "block_count": layers,
        "attention.key_length": 16,
        "attention.sliding_window": 512,
    }
    if architecture == "gemma2":
        metadata |= {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
    ones = np.full(EMBED, 1.25, np.float32)
    names = ["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"]
    tensors = {f"blk.0.{name}.weight": ones * (i + 1) for i, name in enumerate(names)}
    tensors["token_embd.weight"] = np.ones((VOCAB, EMBED), np.float32)
    tensors["output_norm.weight"] = ones
    tensors["blk.0.attn_q.weight"] = np.arange(64 * EMBED, dtype=np.float32).reshape(64, EMBED)
    return write(path, architecture, metadata, tensors), tensors


@pytest.mark.parametrize("architecture", ["gemma2", "gemma3"])
def test_gemma_norms_lose_the_added_one_and_rows_stay(tmp_path, architecture):
    path, stored = gemma_file(tmp_path / "m.gguf", architecture)
    checkpoint = GgufCheckpoint(path)
    norms = {
        "input_layernorm": 0.25,
        "post_attention_layernorm": 1.5,
        "pre_feedforward_layernorm": 2.75,
        "post_feedforward_layernorm": 4.0,
    }
    for name, value in norms.items():
        np.testing.assert_array_equal(checkpoint.read(f"model.layers.0.{name}.weight"), value)
    np.testing.assert_array_equal(checkpoint.read("model.norm.weight"), 0.25)
    q = checkpoint.read("model.layers.0.self_attn.q_proj.weight")
    np.testing.assert_array_equal(q, stored["blk.0.attn_q.weight"])
    np.testing.assert_array_equal(checkpoint.read("model.embed_tokens.weight"), 1.0)


def test_gemma_configs(tmp_path):
    gemma2 = GgufCheckpoint(gemma_file(tmp_path / "2.gguf", "gemma2")[0]).hf_config()
    gemma3 = GgufCheckpoint(gemma_file(tmp_path / "3.gguf", "gemma3")[0]).hf_config()
    assert (gemma2["model_type"], gemma3["model_type"]) == ("gemma2", "gemma3_text")
    assert (gemma2["attn_logit_softcapping"], gemma2["final_logit_softcapping"]) == (50.0, 30.0)
    assert gemma3["attn_logit_softcapping"] is None
    assert gemma3["rope_local_base_freq"] == 10000.0
    assert gemma2["query_pre_attn_scalar"] == gemma3["head_dim"] == 16
    local, all_keys = "sliding_attention", "full_attention"
    assert gemma2["layer_types"] == [local, all_keys] * 3 + [local]
    assert gemma3["layer_types"] == [local] * 5 + [all_keys, local]


def test_gemma2_27b_scales_queries_by_hidden_size_per_head(tmp_path):
    path, _ = gemma_file(tmp_path / "m.gguf", "gemma2", layers=46)
    assert GgufCheckpoint(path).hf_config()["query_pre_attn_scalar"] == EMBED // HEADS


def test_truncated_files_are_refused_at_any_length(tmp_path, tensors):
    whole = write(tmp_path / "m.gguf", "llama", LLAMA, short_names(tensors)).read_bytes()
    for keep in (0, 3, 20, 300, len(whole) // 2, len(whole) - 200):
        path = tmp_path / f"{keep}.gguf"
        path.write_bytes(whole[:keep])
        with pytest.raises(UserError, match=rf"{keep}\.gguf: not a GGUF file, or a truncated one"):
            GgufCheckpoint(path)


def test_unsupported_files_are_named(tmp_path, tensors):
    with pytest.raises(UserError, match=r"gone\.gguf: no such file"):
        GgufCheckpoint(tmp_path / "gone.gguf")
    path = write(tmp_path / "a.gguf", "lama", {}, {"x": np.zeros(4, np.float32)})
    with pytest.raises(UserError, match=r"unsupported architecture 'lama'.*did you mean 'llama'"):
        GgufCheckpoint(path)
    experts = {"blk.0.ffn_gate_exps.weight": np.zeros((2, 4), np.float32)}
    path = write(tmp_path / "b.gguf", "llama", LLAMA, experts)
    with pytest.raises(UserError, match=r"'blk\.0\.ffn_gate_exps\.weight' has no place"):
        GgufCheckpoint(path)
    path = write(tmp_path / "c.gguf", "llama", LLAMA | {"split.count": 3}, short_names(tensors))
    with pytest.raises(UserError, match="one of 3 parts"):
        GgufCheckpoint(path)


def test_missing_names_and_metadata_are_named(tmp_path, tensors):
    metadata = {k: v for k, v in LLAMA.items() if k != "block_count"}
    path = write(tmp_path / "m.gguf", "llama", metadata, short_names(tensors))
    checkpoint = GgufCheckpoint(path)
    with pytest.raises(UserError, match=r"no 'llama\.block_count'"):
        checkpoint.hf_config()
    with pytest.raises(UserError, match=r"no tensor 'model\.norms\.weight'.*'model\.norm\.weight'"):
        checkpoint.read("model.norms.weight")
