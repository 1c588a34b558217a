"""The quickstart with sampling in turn and beside the updates: time to the same number of updates.

    python benchmarks/async_actors.py runs/async [--num_updates 20] [--gin.train.seed=1 ...]
    python benchmarks/async_actors.py runs/async --only sync async_10

One run each, one after the other, with nothing emulated: `sync` is configs/runs/quickstart.gin as
it stands, `sync_1` samples for and publishes after every single update, `async_1` and `async_10`
have an actor in a thread and publish the policy every 1 or 10 updates. A finished run is read, not
repeated; a stopped one would not give a time and is refused. Prints a table, and writes
results.json and times.html (the time stacks of the report) to the directory.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from spo_jax.reporting.curves import actors_figure, time_figure
from spo_jax.reporting.metrics import read_metrics
from spo_jax.reporting.page import grid, page, table, write_whole
from spo_jax.reporting.records import read_run

CONFIG = Path(__file__).parents[1] / "configs" / "runs" / "quickstart.gin"
ASYNC = ["--gin.train.actors=@ActorSettings()", "--gin.ActorSettings.mode=thread"]
CONFIGURATIONS = {
    "sync": [],
    "sync_1": ["--gin.train.collect_every=1", "--gin.train.policy_sync_every=1"],
    "async_1": [*ASYNC, "--gin.train.policy_sync_every=1"],
    "async_10": [*ASYNC, "--gin.train.policy_sync_every=10"],
}
DEFAULT = ("sync", "async_1", "async_10")


def measure(folder: Path, name: str, config: Path, bindings: list[str]) -> dict[str, Any]:
    """Runs one configuration, or reads what it gave."""
    result_file, run_dir = folder / f"{name}.json", folder / name
    if result_file.exists():
        return json.loads(result_file.read_text())
    if run_dir.exists():
        sys.exit(f"'{run_dir}' holds a run that was stopped: its time means nothing; remove it")
    command = [sys.executable, "-m", "spo_jax.main", "train", f"--gin_file={config}"]
    command += [f"--run_dir={run_dir}", *CONFIGURATIONS[name], *bindings]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    result = {"command": command[1:], "process_secs": time.monotonic() - began}
    result |= measured(run_dir)
    result_file.write_text(json.dumps(result, indent=1) + "\n")
    return result


def measured(run_dir: Path) -> dict[str, Any]:
    """Wall seconds of the updates, evaluations left out; pass@k; seconds by what they went into."""
    train, evals = read_metrics(run_dir, "train"), read_metrics(run_dir, "eval")
    between = [each for each in evals if 0 < each["step"] < train[-1]["step"]]
    evaluating = sum(each["time/evaluation_secs"] for each in between)
    summary = json.loads((run_dir / "summary.json").read_text())
    phases, actors = stack(train, "time/"), stack(train, "actors/")
    actors.pop("wait", None)
    return {
        "num_updates": train[-1]["step"],
        "update_secs": train[-1]["time"] - evals[0]["time"] - evaluating,
        "pass": summary["pass"],
        "learner_secs": phases,
        "actor_secs": actors,
        "staleness_mean": mean(train, "data/staleness_updates"),
        "staleness_max": max(each["data/staleness_max"] for each in train),
        "uses_mean": mean(train, "data/uses"),
    }


def stack(records: list[dict[str, Any]], prefix: str) -> dict[str, float]:
    totals: dict[str, float] = {}
    for record in records:
        for name, value in record.items():
            phase = name.removeprefix(prefix).removesuffix("_secs")
            if name == f"{prefix}{phase}_secs" and "/" not in phase:
                totals[phase] = totals.get(phase, 0.0) + (value or 0.0)
    return {phase: round(secs, 2) for phase, secs in sorted(totals.items())}


def mean(records: list[dict[str, Any]], name: str) -> float:
    return sum(record[name] for record in records) / len(records)


def rows(results: dict[str, dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    head = ["run", "updates", "wall s of the updates", "relative", "wall s of the process"]
    first = next(iter(results.values()))
    head += [f"pass@{k} after" for k in first["pass"]]
    head += ["staleness mean / max", "learner s", "actor s"]
    base = first["update_secs"]
    body = []
    for name, result in results.items():
        passes = [f"{each['after']:.3f}" for each in result["pass"].values()]
        stacks = [
            ", ".join(f"{phase} {secs:.0f}" for phase, secs in result[key].items() if secs >= 0.5)
            for key in ("learner_secs", "actor_secs")
        ]
        secs = result["update_secs"]
        numbers = [f"{secs:.1f}", f"{secs / base:.2f}", f"{result['process_secs']:.1f}"]
        staleness = f"{result['staleness_mean']:.1f} / {result['staleness_max']:.0f}"
        body.append([name, str(result["num_updates"]), *numbers, *passes, staleness, *stacks])
    return head, body


def write_page(folder: Path, results: dict[str, dict[str, Any]]) -> Path:
    sections = [("Time and pass@k", table(*rows(results)))]
    for name in results:
        record = read_run(folder / name)
        sections.append((name, grid(time_figure(record, []) + actors_figure(record))))
    path = folder / "times.html"
    write_whole(
        path, page("Synchronous and asynchronous", "<h1>Where the time goes</h1>", sections)
    )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--num_updates", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=list(CONFIGURATIONS), default=list(DEFAULT))
    parser.add_argument("--gin_file", type=Path, default=CONFIG)
    args, bindings = parser.parse_known_args()
    if wrong := [word for word in bindings if not word.startswith("--gin.")]:
        parser.error(f"unknown argument '{wrong[0]}'")
    args.folder.mkdir(parents=True, exist_ok=True)
    bindings = [f"--gin.train.num_updates={args.num_updates}", *bindings]
    results = {name: measure(args.folder, name, args.gin_file, bindings) for name in args.only}
    (args.folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    head, body = rows(results)
    print("\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body]))
    print(f"time stacks: {write_page(args.folder, results)}", file=sys.stderr)


if __name__ == "__main__":
    main()
