"""Loading and saving: identity, placement, errors before long work, the identity of weights."""

import json
import shutil
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from spo_jax.errors import UserError
from spo_jax.models import load_config, load_pretrained, params_id, save_pretrained
from spo_jax.models.families import write_config
from spo_jax.models.pretrained import resolve
from spo_jax.models.testing import random_params, tiny_config
from spo_jax.models.transformer import logical_axes, param_shapes
from spo_jax.sharding import make_mesh, param_shardings

GOLDENS = Path(__file__).parent / "goldens"
WEIGHTS = "model.safetensors"


def tree_equal(a, b):
    same = jax.tree.map(lambda x, y: x.dtype == y.dtype and np.array_equal(x, y), a, b)
    return all(jax.tree.leaves(same))


@pytest.fixture
def checkpoint(tmp_path):
    """A copy of one golden checkpoint that a test may damage."""
    return Path(shutil.copytree(GOLDENS / "llama3", tmp_path / "checkpoint"))


def change_tensors(directory, change):
    tensors = load_file(directory / WEIGHTS)
    change(tensors)
    save_file(tensors, directory / WEIGHTS)


def test_import_then_export_is_the_identity_on_every_tensor(case, tmp_path):
    pretrained = load_pretrained(GOLDENS / case)
    assert set(pretrained.dtypes.values()) == {"bfloat16"}
    assert pretrained.config.param_dtype == "float32"
    save_pretrained(tmp_path, pretrained.config, pretrained.params, dtype="bfloat16")
    published, written = load_file(GOLDENS / case / WEIGHTS), load_file(tmp_path / WEIGHTS)
    assert published.keys() == written.keys()
    for name, tensor in published.items():
        assert tensor.dtype == written[name].dtype == ml_dtypes.bfloat16
        assert tensor.tobytes() == written[name].tobytes(), name
    again = load_pretrained(tmp_path)
    assert again.config == pretrained.config and tree_equal(again.params, pretrained.params)


def test_each_tensor_can_keep_its_own_dtype(checkpoint, tmp_path):
    def mix(tensors):
        tensors["model.norm.weight"] = tensors["model.norm.weight"].astype(np.float32) * 1.1
        name = "model.layers.1.mlp.up_proj.weight"
        tensors[name] = tensors[name].astype(np.float16)

    change_tensors(checkpoint, mix)
    pretrained = load_pretrained(checkpoint, param_dtype="published")
    assert pretrained.config.param_dtype == "float32"  # holds all three exactly
    save_pretrained(tmp_path / "out", pretrained.config, pretrained.params, dtype=pretrained.dtypes)
    published, written = load_file(checkpoint / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    assert {t.dtype.name for t in written.values()} == {"float32", "float16", "bfloat16"}
    assert all(published[name].tobytes() == written[name].tobytes() for name in published)


def test_published_dtype_is_kept_when_there_is_one(checkpoint):
    pretrained = load_pretrained(checkpoint, param_dtype="published")
    assert pretrained.config.param_dtype == "bfloat16"
    assert {leaf.dtype.name for leaf in jax.tree.leaves(pretrained.params)} == {"bfloat16"}


def test_sharded_files(tmp_path):
    config = tiny_config("gemma3", num_layers=5)
    params = random_params(config, jax.random.key(0))
    save_pretrained(tmp_path, config, params, max_file_bytes=20_000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    files = set(index["weight_map"].values())
    assert len(files) > 2 and not (tmp_path / WEIGHTS).exists()
    stored = {name: load_file(tmp_path / file) for file in files for name in [file]}
    total = sum(t.nbytes for tensors in stored.values() for t in tensors.values())
    assert total == index["metadata"]["total_size"]
    assert all((tmp_path / file).stat().st_size < 26_000 for file in files)
    assert tree_equal(load_pretrained(tmp_path).params, params)


def test_saving_again_replaces_a_sharded_checkpoint(tmp_path):
    config = tiny_config()
    old, new = (random_params(config, jax.random.key(seed)) for seed in (0, 1))
    save_pretrained(tmp_path, config, old, max_file_bytes=10_000)
    save_pretrained(tmp_path, config, new)
    assert tree_equal(load_pretrained(tmp_path).params, new)


def test_config_says_what_vllm_and_transformers_look_for(tmp_path):
    config = tiny_config("qwen2", eos_ids=(7, 2))
    save_pretrained(tmp_path, config, random_params(config, jax.random.key(0)), dtype="float16")
    hf = json.loads((tmp_path / "config.json").read_text())
    assert hf["architectures"] == ["Qwen2ForCausalLM"] and hf["model_type"] == "qwen2"
    assert hf["torch_dtype"] == hf["dtype"] == "float16"
    generation = json.loads((tmp_path / "generation_config.json").read_text())
    assert generation == {"bos_token_id": 1, "eos_token_id": [7, 2], "pad_token_id": 0}


def test_parameters_are_placed_on_the_mesh(tmp_path):
    config = tiny_config("gemma2", num_layers=3)
    params = random_params(config, jax.random.key(0))
    save_pretrained(tmp_path, config, params)
    mesh = make_mesh(data=2, fsdp=2, tensor=2)
    placed = load_pretrained(tmp_path, mesh=mesh).params
    expected = param_shardings(mesh, logical_axes(config), param_shapes(config))
    kernel = placed["layers"]["layer_0"]["mlp"]["up"]["kernel"]
    assert kernel.sharding.shard_shape(kernel.shape) == (1, 8, 16)
    for leaf, sharding in zip(jax.tree.leaves(placed), jax.tree.leaves(expected), strict=True):
        assert leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
    assert tree_equal(placed, params)


def test_text_model_of_a_multimodal_checkpoint(tmp_path):
    source = GOLDENS / "gemma3"
    text_config = json.loads((source / "config.json").read_text())
    hf = {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": text_config}
    expected = load_pretrained(source)
    for prefix in ("language_model.model.", "model.language_model."):
        tensors = {
            name.replace("model.", prefix, 1): tensor
            for name, tensor in load_file(source / WEIGHTS).items()
        }
        tensors["vision_tower.patch.weight"] = np.zeros((3, 3), np.float32)
        directory = tmp_path / prefix
        directory.mkdir()
        save_file(tensors, directory / WEIGHTS)
        (directory / "config.json").write_text(json.dumps(hf))
        loaded = load_pretrained(directory)
        assert loaded.config == expected.config
        assert tree_equal(loaded.params, expected.params)


def test_derived_and_repeated_tensors_are_tolerated(checkpoint):
    expected = load_pretrained(checkpoint).params

    def add(tensors):
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.zeros(3, np.float32)
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()

    change_tensors(checkpoint, add)
    assert tree_equal(load_pretrained(checkpoint).params, expected)

    def untie(tensors):
        tensors["lm_head.weight"] = tensors["lm_head.weight"] * 2

    change_tensors(checkpoint, untie)
    with pytest.raises(UserError, match=r"tie_word_embeddings is true, but 'lm_head.weight'"):
        load_pretrained(checkpoint)


K_PROJ = "model.layers.1.self_attn.k_proj.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(K_PROJ), rf"tensor '{K_PROJ}' is missing; did you mean"),
        (
            lambda t: t.update({K_PROJ: t[K_PROJ][:8]}),
            rf"tensor '{K_PROJ}' has shape \[8, 24\], the configuration needs \[12, 24\]",
        ),
        (
            lambda t: t.update({"model.layers.3.mlp.up_proj.weight": t[K_PROJ]}),
            "1 tensors have no place in a 'llama' model .* 'model.layers.3.mlp.up_proj.weight'",
        ),
        (
            lambda t: t.update({K_PROJ: t[K_PROJ].astype(np.int8)}),
            rf"tensor '{K_PROJ}' has dtype I8; supported: F32, F16, BF16",
        ),
    ],
    ids=["missing", "misshaped", "unexpected", "dtype"],
)
def test_wrong_tensors_are_named(checkpoint, change, message):
    change_tensors(checkpoint, change)
    with pytest.raises(UserError, match=message):
        load_pretrained(checkpoint)


@pytest.mark.parametrize("keep", [4, 100, 0.5, 0.999])
def test_truncated_file(checkpoint, keep):
    content = (checkpoint / WEIGHTS).read_bytes()
    size = int(len(content) * keep) if keep < 1 else int(keep)
    (checkpoint / WEIGHTS).write_bytes(content[:size])
    with pytest.raises(UserError, match=rf"{WEIGHTS}: .*truncated.*{size}"):
        load_pretrained(checkpoint)


def test_no_safetensors_file_at_all(checkpoint):
    (checkpoint / WEIGHTS).write_bytes(b"<!DOCTYPE html><html>not found</html>")
    with pytest.raises(UserError, match="not a safetensors file, or a truncated one"):
        load_pretrained(checkpoint)
    (checkpoint / WEIGHTS).unlink()
    with pytest.raises(UserError, match=f"neither {WEIGHTS} nor model.safetensors.index.json"):
        load_pretrained(checkpoint)


def test_missing_shard(tmp_path):
    config = tiny_config()
    params = random_params(config, jax.random.key(0))
    save_pretrained(tmp_path, config, params, max_file_bytes=10_000)
    name = sorted(path.name for path in tmp_path.glob("*.safetensors"))[1]
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=f"{name}: the file is missing"):
        load_pretrained(tmp_path)


def test_tokenizer_that_exceeds_the_embedding(checkpoint):
    def write(vocabulary, added):
        content = {"model": {"vocab": vocabulary}, "added_tokens": added}
        (checkpoint / "tokenizer.json").write_text(json.dumps(content))

    write({"a": 0, "b": 39}, [])
    load_pretrained(checkpoint)
    write({"a": 0}, [{"content": "<end>", "id": 40}])
    with pytest.raises(UserError, match=r"largest id is 40 \('<end>'\), but the embedding has 40"):
        load_pretrained(checkpoint)
    write({"a": 0}, [{"content": "<image_soft_token>", "id": 40}])  # Gemma 3 1B is published so
    load_pretrained(checkpoint)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no/such/place", "no model 'no/such/place': neither a directory"),
        ("missing.gguf", "no model 'missing.gguf'"),
        ("owner/model", "cannot fetch 'owner/model' from the Hugging Face hub"),
    ],
)
def test_sources_that_do_not_exist(source, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        load_pretrained(source)


def test_configuration_errors_name_the_directory(checkpoint):
    path = checkpoint / "config.json"
    hf = json.loads(path.read_text())
    path.write_text(json.dumps({**hf, "architectures": ["PhiForCausalLM"]}))
    with pytest.raises(UserError, match=f"{checkpoint}: unsupported architecture 'PhiForCausalLM'"):
        load_config(checkpoint)
    path.write_text("{")
    with pytest.raises(UserError, match=r"config.json: not valid JSON"):
        load_config(checkpoint)


def test_params_id_covers_what_decides_logprobs():
    config = tiny_config()
    params = random_params(config, jax.random.key(0))
    same = params_id(params, config)
    assert params_id(jax.tree.map(np.array, params), config) == same
    assert params_id(params, config.replace(remat_policy="full", eos_ids=(9,))) == same
    changed = {**params, "embedding": params["embedding"].at[3, 3].add(1e-3)}
    different = [
        params_id(changed, config),
        params_id(params, config.replace(compute_dtype="bfloat16")),
        params_id(params, config.replace(norm_eps=1e-5)),
        params_id(params, config, scoring_version=2),
        params_id(jax.tree.map(lambda x: x.astype("bfloat16"), params), config),
    ]
    assert len({same, *different}) == 6


def test_unknown_dtype_is_refused_before_anything_is_written(tmp_path):
    config = tiny_config()
    with pytest.raises(UserError, match="dtype 'float8' is not one of float32, float16, bfloat16"):
        save_pretrained(
            tmp_path / "out", config, random_params(config, jax.random.key(0)), dtype="float8"
        )
    assert not (tmp_path / "out").exists()
    assert write_config(config, "float32")["vocab_size"] == config.vocab_size


def test_a_missing_directory_is_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(UserError, match="a directory 'runs' here, but nothing named 'start' in it"):
        resolve("runs/start")
