"""Writes the untrained model that configs/runs/tiny_task.gin starts from.

    python benchmarks/tiny_start.py runs/tiny_start [--seed 0]

Two layers, 32 wide, a token for each letter of the task; any next token is about equally likely.
"""

import argparse

from spo_jax.models.testing import save_uniform_model
from spo_jax.problems.letters import ALPHABET


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    save_uniform_model(args.directory, ALPHABET, seed=args.seed)
    print(args.directory)


if __name__ == "__main__":
    main()
