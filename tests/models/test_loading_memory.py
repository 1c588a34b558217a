"""Peak host memory of loading: at most 1.3x of the parameters' bytes, in a process of its own."""

import json
import subprocess
import sys

import jax
import pytest

from spo_jax.models.families import write_config
from spo_jax.models.tensors import tensors_by_leaf
from spo_jax.models.testing import tiny_config
from spo_jax.models.transformer import param_shapes

_CODES = {"float32": ("F32", 4), "bfloat16": ("BF16", 2)}
_PROGRAM = """
import re, sys
import jax
from spo_jax.models import load_pretrained

def status(key):  # of this process alone; getrusage would count what its parent held
    return 1024 * int(re.search(key + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1])

jax.device_put(1.0).block_until_ready()
load_pretrained(sys.argv[1], param_dtype=sys.argv[3])  # tiny: everything is imported and warm
before = status("VmRSS")
params = load_pretrained(sys.argv[2], param_dtype=sys.argv[3]).params
jax.block_until_ready(params)
print(sum(leaf.nbytes for leaf in jax.tree.leaves(params)), status("VmHWM") - before)
"""


def write_hollow(directory, config, dtype):
    """A checkpoint of zeros: a sparse file, so that it takes no time to make."""
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(write_config(config, dtype)))
    code, size = _CODES[dtype]
    header, offset = {}, 0
    for tensors in tensors_by_leaf(config).values():
        for tensor in tensors:
            num_bytes = size
            for length in tensor.shape:
                num_bytes *= length
            fields = {"dtype": code, "shape": tensor.shape}
            header[tensor.name] = {**fields, "data_offsets": [offset, offset + num_bytes]}
            offset += num_bytes
    text = json.dumps(header).encode()
    with (directory / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("stored", "wanted"),
    [("bfloat16", "float32"), ("float32", "bfloat16")],
)
@pytest.mark.parametrize(
    "sizes",
    [
        {"vocab_size": 60_000, "mlp_dim": 1024},  # the embedding is most of it
        {"vocab_size": 1000, "mlp_dim": 6000, "num_layers": 8},  # the stacked leaves are
    ],
    ids=["embedding", "layers"],
)
def test_peak_memory_of_loading(tmp_path, sizes, stored, wanted):
    config = tiny_config(embed_dim=512, num_heads=8, num_kv_heads=4, head_dim=64).replace(
        **{"layer_kinds": (), **sizes}
    )
    write_hollow(tmp_path / "tiny", tiny_config(), stored)
    write_hollow(tmp_path / "large", config, stored)
    command = [sys.executable, "-c", _PROGRAM, tmp_path / "tiny", tmp_path / "large", wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    num_bytes, peak = map(int, done.stdout.split())
    count = sum(leaf.size for leaf in jax.tree.leaves(param_shapes(config)))
    assert num_bytes == count * _CODES[wanted][1] and num_bytes > 60_000_000
    assert peak <= 1.3 * num_bytes
