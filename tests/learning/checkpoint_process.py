"""One of several processes that save and restore together.

    checkpoint_process.py DIRECTORY PORT NUM_PROCESSES PROCESS ACTION

Actions: 'save' saves steps 1 and 2; 'restore' prints the step and the sum of what is restored over
all devices, and what was passed over; 'full' saves a step whose manifest process 0 cannot write;
'best' evaluates two steps while they are written, which the others do later.
"""

import os
import sys
import time

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from spo_jax.learning import (
    Checkpointer,
    CheckpointSettings,
    checkpoint_arrays,
    checkpoint_files,
)


def array_of(step: int, sharding: NamedSharding) -> jax.Array:
    values = np.arange(64, dtype=np.float32).reshape(16, 4) + step
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])


def no_space(*args: object, **kwargs: object) -> None:
    raise OSError(28, "No space left on device")


def write_slowly() -> None:
    original = checkpoint_arrays.ArrayFiles.wait

    def wait(self: checkpoint_arrays.ArrayFiles) -> None:
        time.sleep(1.0)
        original(self)

    checkpoint_arrays.ArrayFiles.wait = wait


def main(directory: str, port: str, num_processes: int, process: int, action: str) -> None:
    if num_processes > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", num_processes, process)
    mesh = jax.make_mesh((jax.device_count(),), ("fsdp",))
    sharding = NamedSharding(mesh, PartitionSpec("fsdp"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    checkpointer = Checkpointer(directory)
    if action == "save":
        for step in (1, 2):
            checkpointer.save(step, {"w": array_of(step, sharding)}, {"step": step})
        checkpointer.wait()
        print(sorted(checkpointer.kept()))
    elif action == "best":
        checkpointer = Checkpointer(directory, CheckpointSettings(keep=1, keep_best=1))
        if process > 0:
            write_slowly()
        for step in (1, 2):
            checkpointer.save(step, {"w": array_of(step, sharding)}, {"step": step})
            if process == 0:
                time.sleep(0.5)  # its files are written, the others' are not
            assert checkpointer.is_best(step, {"eval/pass@1": 0.1 * step})
            checkpointer.record_best(step, {"eval/pass@1": 0.1 * step})
        assert not checkpointer.is_best(3, {"eval/pass@1": 0.1})
        checkpointer.finish()
        print(sorted(checkpointer.kept()), checkpointer.steps())
    elif action == "full":
        if process == 0:
            checkpoint_files.write_manifest = no_space
        try:
            checkpointer.save(3, {"w": array_of(3, sharding)}, {})
            checkpointer.wait()
        except Exception as error:
            print(type(error).__name__, error)
    else:
        template = {"w": jax.ShapeDtypeStruct((16, 4), np.float32, sharding=sharding)}
        restored = checkpointer.restore_latest(template)
        assert restored is not None
        total = jax.jit(lambda w: w.sum(), out_shardings=everywhere)(restored.state["w"])
        print(restored.step, float(total), restored.host_state, *restored.passed_over)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
