"""`spo import` and `spo export` on a tiny published model."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from spo_jax.errors import UserError
from spo_jax.tokenizers import load_tokenizer

WEIGHTS = "model.safetensors"


@pytest.fixture
def run_directory(tmp_path, model_directories):
    """A run that has published versions 2 and 10; LATEST names 10."""
    policies = tmp_path / "run" / "policies"
    policies.mkdir(parents=True)
    for version, source in zip(("2", "10"), model_directories, strict=True):
        shutil.copytree(source, policies / version)
    (policies / "LATEST").write_text("10\n")
    return tmp_path / "run"


def same_weights(a, b):
    left, right = load_file(a / WEIGHTS), load_file(b / WEIGHTS)
    assert left.keys() == right.keys()
    return all(left[name].tobytes() == right[name].tobytes() for name in left)


def test_import_is_the_identity_and_brings_the_tokenizer(spo, model_directories, tmp_path):
    source, target = model_directories[0], tmp_path / "imported"
    status, out = spo("import", source, target, "--json")
    assert status == 0
    assert same_weights(source, target)
    assert load_tokenizer(target).hash == load_tokenizer(source).hash
    assert json.loads(out) == {
        "source": str(source),
        "directory": str(target),
        "family": "llama",
        "num_parameters": sum(t.size for t in load_file(source / WEIGHTS).values()),
        "dtype": "float32",
        "tokenizer": True,
    }


def test_dtype_of_the_written_weights(spo, model_directories, tmp_path):
    spo("import", model_directories[0], tmp_path / "half", "--dtype", "bfloat16")
    tensors = load_file(tmp_path / "half" / WEIGHTS)
    assert {tensor.dtype.name for tensor in tensors.values()} == {"bfloat16"}
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "bfloat16"
    # Published bfloat16 stays bfloat16 unless told otherwise.
    spo("import", tmp_path / "half", tmp_path / "again")
    assert same_weights(tmp_path / "half", tmp_path / "again")
    spo("import", tmp_path / "half", tmp_path / "full", "--dtype", "float32")
    widened = load_file(tmp_path / "full" / WEIGHTS)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor.astype(np.float32), widened[name])


def test_a_model_without_tokenizer(spo, model_directories, tmp_path, capsys):
    bare = shutil.copytree(model_directories[0], tmp_path / "bare")
    (bare / "tokenizer.json").unlink()
    assert spo("import", bare, tmp_path / "out")[0] == 0
    assert not (tmp_path / "out" / "tokenizer.json").exists()
    spo("import", model_directories[0], tmp_path / "left_out", "--without_tokenizer")
    assert not (tmp_path / "left_out" / "tokenizer.json").exists()


def test_export_takes_the_newest_policy(spo, run_directory, tmp_path):
    policies = run_directory / "policies"
    spo("export", run_directory, tmp_path / "newest")
    assert same_weights(tmp_path / "newest", policies / "10")
    spo("export", run_directory, tmp_path / "chosen", "--version", "2")
    assert same_weights(tmp_path / "chosen", policies / "2")
    assert not same_weights(tmp_path / "newest", tmp_path / "chosen")
    spo("export", policies / "2", tmp_path / "one")
    assert same_weights(tmp_path / "one", policies / "2")
    assert load_tokenizer(tmp_path / "one").eos_ids == load_tokenizer(policies / "2").eos_ids


def test_a_target_with_files_is_not_touched_unless_told(spo, model_directories, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"target is not empty; give another directory or --overw"):
        spo("import", model_directories[0], target)
    assert [path.name for path in target.iterdir()] == ["notes.txt"]
    assert spo("import", model_directories[0], target, "--overwrite")[0] == 0
    with pytest.raises(UserError, match="source and target are the same directory"):
        spo("import", target, target, "--overwrite")
    with pytest.raises(UserError, match="is a file; DIR must be a directory"):
        spo("import", model_directories[0], target / "notes.txt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{run}/nowhere"], "nowhere: no such directory"),
        (["{run}", "--version", "7"], "no policy '7'; there are 10, 2"),
        (["{run}/policies/2", "--version", "2"], "is one policy; --version chooses among"),
        (["{run}/.."], "neither a policy .* nor a run with policies"),
    ],
)
def test_policies_that_do_not_exist(spo, run_directory, tmp_path, arguments, message):
    arguments = [argument.format(run=run_directory) for argument in arguments]
    with pytest.raises(UserError, match=message):
        spo("export", arguments[0], tmp_path / "out", *arguments[1:])
