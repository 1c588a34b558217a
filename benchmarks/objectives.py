"""Objectives on the tiny task, by where their data comes from: a table of means over seeds.

    python benchmarks/objectives.py runs/objectives [--num_seeds 3] [--num_updates 100]
    python benchmarks/objectives.py runs/objectives --methods SPO --regimes offline

Every run is `train` with the settings of configs/runs/tiny_task.gin, from one untrained model; only
the objective, the mixture of data and the seed differ. A run that has finished is read, not
repeated, so the command can be stopped and started again. The table goes to standard output and to
table.md in the directory.

Regimes, in none of which data is chosen by its outcome:

- offline only: written answers, drawn once from a uniform policy.
- stale: samples of the untrained model only, however old they get.
- half-online: half written answers, half samples of any age; the sampler is refreshed every 10
  updates.
- online: samples of the present policy only.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from spo_jax.commands import gin_config
from spo_jax.errors import UserError
from spo_jax.evaluation import mean_distinct_right, mean_pass_at_k, read_samples, scores_of
from spo_jax.learning import NonFiniteLossError
from spo_jax.models.testing import save_uniform_model
from spo_jax.objectives import GRPO, PPO, Objective, SoftPolicyOptimization, Supervised
from spo_jax.problems.letters import ALPHABET
from spo_jax.reporting.summary import evaluation_files
from spo_jax.running.configurables import CONFIGURABLES
from spo_jax.running.settings import ModelSource
from spo_jax.running.stopping import Stopped
from spo_jax.train import train
from spo_jax.trajectories import ReplayConfig

CONFIG = Path(__file__).parents[1] / "configs" / "runs" / "tiny_task.gin"

METHODS: dict[str, Objective] = {
    "SPO, squared": SoftPolicyOptimization(beta=0.2, link="squared"),
    "SPO, cross-entropy": SoftPolicyOptimization(beta=0.2, link="cross_entropy"),
    "PPO": PPO(),
    "PPO, decoupled": PPO(decoupled=True, importance_cap=2.0),
    "GRPO": GRPO(),
    "GRPO without importance weights": GRPO(importance="none"),
    "likelihood of right answers": Supervised(),
}

REGIMES: dict[str, dict[str, Any]] = {
    "offline only": {"replay": ReplayConfig(offline_fraction=1.0, balance_outcomes=False)},
    "stale": {"replay": ReplayConfig(offline_fraction=0.0), "policy_sync_every": sys.maxsize},
    "half-online": {
        "replay": ReplayConfig(offline_fraction=0.5, balance_outcomes=False),
        "policy_sync_every": 10,
    },
    "online": {
        "replay": ReplayConfig(offline_fraction=0.0, max_staleness=0),
        "policy_sync_every": 1,
    },
}

Numbers = dict[str, float]
COLUMNS = ("pass@1", "pass@10", "distinct right answers")


def evaluation_numbers(run_dir: Path, update: int) -> Numbers:
    samples = read_samples(evaluation_files(run_dir)[update])
    scores = scores_of(samples)
    values = (mean_pass_at_k(scores, 1), mean_pass_at_k(scores, 10), mean_distinct_right(samples))
    return dict(zip(COLUMNS, values, strict=True))


def run_once(run_dir: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Trains, or reads what came of it: numbers before and after, or why there are none."""
    result_file = run_dir / "result.json"
    if result_file.exists():
        return json.loads(result_file.read_text(encoding="utf-8"))
    run_dir.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any]
    with (run_dir / "log.txt").open("a", encoding="utf-8") as log:
        try:
            with contextlib.redirect_stderr(log):
                train(str(run_dir), **settings)
        except UserError as error:  # told again at once, so not worth a file
            return {"failed": "refused", "message": str(error)}
        except NonFiniteLossError as error:
            result = {"failed": "diverged", "message": str(error)}
        else:
            numbers = (evaluation_numbers(run_dir, n) for n in (0, settings["num_updates"]))
            result = dict(zip(("before", "after"), numbers, strict=True))
    result_file.write_text(json.dumps(result), encoding="utf-8")
    return result


def over_seeds(results: Sequence[Numbers], column: str) -> str:
    values = [result[column] for result in results]
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def table(results: dict[tuple[str, str], list[dict[str, Any]]]) -> str:
    """Markdown; one row for each data regime and method."""
    lines = ["| data | method | " + " | ".join(COLUMNS) + " |", "|---" * (2 + len(COLUMNS)) + "|"]
    finished = [run for runs in results.values() for run in runs if "before" in run]
    if finished:
        start = " | ".join(over_seeds([finished[0]["before"]], name) for name in COLUMNS)
        lines.append(f"| none | the untrained start | {start} |")
    for (regime, method), runs in results.items():
        failed = [run["failed"] for run in runs if "failed" in run]
        if failed:
            words = failed[0] if len(set(failed)) == 1 else "failed"
            share = "" if len(failed) == len(runs) else f" {len(failed)} of {len(runs)}"
            cells = " | ".join([words + share] * len(COLUMNS))
        else:
            after = [run["after"] for run in runs]
            cells = " | ".join(over_seeds(after, name) for name in COLUMNS)
        lines.append(f"| {regime} | {method} | {cells} |")
    return "\n".join(lines)


def chosen(names: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """Names that contain one of the words; all of them where none is given."""
    return [name for name in names if not wanted or any(word in name for word in wanted)]


def runs_of(
    args: argparse.Namespace, start: str
) -> Iterator[tuple[str, str, Path, dict[str, Any]]]:
    """(regime, method, directory, arguments of `train`) of every run."""
    common = gin_config.configured_arguments(train, CONFIGURABLES, [str(CONFIG)], [])
    common |= {
        "policy": ModelSource(path=start),
        "num_updates": args.num_updates,
        "checkpoint_every": args.num_updates,
    }
    for regime in chosen(list(REGIMES), args.regimes):
        for method in chosen(list(METHODS), args.methods):
            for seed in range(args.num_seeds):
                words = f"{regime} {method} {args.num_updates} {seed}"
                name = words.replace(",", "").replace(" ", "-")
                own = {"objective": METHODS[method], "seed": seed} | REGIMES[regime]
                yield regime, method, Path(args.directory) / name, common | own


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", help="holds all runs; finished ones are not repeated")
    parser.add_argument("--num_seeds", type=int, default=3)
    parser.add_argument("--num_updates", type=int, default=100)
    parser.add_argument("--methods", nargs="+", help="words; methods whose name holds one are run")
    parser.add_argument("--regimes", nargs="+", help="words, likewise")
    args = parser.parse_args()
    directory = Path(args.directory)
    start = directory / "start"
    if not start.exists():
        save_uniform_model(start, ALPHABET)
    jax.config.update("jax_compilation_cache_dir", str((directory / "compiled").absolute()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    runs = list(runs_of(args, str(start)))
    results: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for number, (regime, method, run_dir, settings) in enumerate(runs, start=1):
        began = time.perf_counter()
        try:
            result = run_once(run_dir, settings)
        except Stopped:
            print("stopped; the same command goes on", file=sys.stderr)
            return 130
        results.setdefault((regime, method), []).append(result)
        secs = time.perf_counter() - began
        outcome = result.get("message") or f"pass@1 {result['after']['pass@1']:.3f}"
        print(f"{number}/{len(runs)} {run_dir.name}: {outcome}, {secs:.0f} s", file=sys.stderr)
    text = table(results)
    (directory / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
