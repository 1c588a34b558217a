"""One update of SmolLM2-135M on CPU, with and without huge pages, side by side.

    python benchmarks/update.py [--num_updates 4] [--num_rounds 2]

Each round runs both in a process of its own, one after the other, on the same random batch: 2
prompts of 80 tokens with 8 answers of 25 to 55 each. Prints seconds of wall and CPU time for one
update, page faults, and the ratio of the medians.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

SETTINGS = {"plain": "", "huge pages": "glibc.malloc.hugetlb=1"}


def random_batch():
    from spo_jax.learning import make_batch, row_buckets
    from spo_jax.objectives import SoftPolicyOptimization
    from spo_jax.trajectories.replay import DrawnGroup, DrawnRow
    from spo_jax.types import Trajectory

    rng = np.random.default_rng(0)
    groups = []
    for number in range(2):
        rows, prompt = [], rng.integers(100, 40000, size=80)
        for i in range(8):
            tokens = rng.integers(100, 40000, size=rng.integers(25, 55)).astype(np.int32)
            trajectory = Trajectory(
                trajectory_id=f"{number}-{i}",
                group_id=f"{number}",
                problem_id=f"{number}",
                source="online",
                prompt_tokens=prompt.astype(np.int32),
                completion_tokens=tokens,
                reward=-float(i % 2),
            )
            reference = np.full(len(tokens), -8, np.float32)
            rows.append(DrawnRow(trajectory, reference, is_online=True, staleness=0))
        groups.append(DrawnGroup(f"{number}", None, tuple(rows)))
    buckets = row_buckets(
        (416, 544), tokens_per_micro_batch=544, completions_per_row=8, max_completion_tokens=80
    )
    return make_batch(groups, buckets, pad_id=0, needs=SoftPolicyOptimization().needs)


def measure(num_updates: int) -> None:
    """Prints wall seconds, CPU seconds and page faults of one update; the first one compiles."""
    from spo_jax.learning import AdamW, Learner
    from spo_jax.models import Transformer, load_pretrained
    from spo_jax.objectives import SoftPolicyOptimization

    pretrained = load_pretrained("smollm2", param_dtype="float32", compute_dtype="float32")
    model, batch = Transformer(pretrained.config), random_batch()
    learner = Learner(model, SoftPolicyOptimization(), AdamW(), chunk_tokens=256)
    state = learner.update(learner.init(pretrained.params), batch).state
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(num_updates):
        state = learner.update(state, batch).state
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    faults = after.ru_minflt - before.ru_minflt
    print(wall / num_updates, cpu / num_updates, faults / num_updates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_updates", type=int, default=4)
    parser.add_argument("--num_rounds", type=int, default=2)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.num_updates)
        return
    results: dict[str, list[list[float]]] = {name: [] for name in SETTINGS}
    command = [sys.executable, __file__, "--measure", f"--num_updates={args.num_updates}"]
    for _ in range(args.num_rounds):
        for name, tunables in SETTINGS.items():
            done = subprocess.run(
                command,
                env=os.environ | {"GLIBC_TUNABLES": tunables},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            results[name].append([float(word) for word in done.stdout.split()])
    print("| allocator | wall s | CPU s | page faults |\n|---|---|---|---|")
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in results.items()
    }
    for name, (wall, cpu, faults) in medians.items():
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {faults:,.0f} |")
    plain, huge = medians["plain"], medians["huge pages"]
    print(f"plain / huge pages: wall {plain[0] / huge[0]:.2f}, CPU {plain[1] / huge[1]:.2f}")


if __name__ == "__main__":
    main()
