"""Trajectories of a run or a store: list and show them, count, check every byte, or export.

spo trajectories show runs/quickstart [--problem ID] [--source online] [--limit 20] [--json]
spo trajectories show runs/quickstart --id TRAJECTORY_ID
spo trajectories stats runs/quickstart [--json]
spo trajectories verify runs/quickstart       (exit status 1 if an object is damaged)
spo trajectories export-jsonl runs/quickstart --output rows.jsonl [--reference ID]
"""

import argparse
import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spo_jax.errors import UserError, nearest

if TYPE_CHECKING:
    from spo_jax.trajectories import Index, TrajectoryStore
    from spo_jax.types import Trajectory

HELP = "show, count, verify or export the trajectories of a run"

_ACTIONS = ("show", "stats", "verify", "export-jsonl")
_LISTED = ("trajectory_id", "source", "policy_version", "reward", "verdict", "completion_length")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", help=f"one of {', '.join(_ACTIONS)}")
    parser.add_argument("store", help="a run directory, or a store's directory or URL")
    parser.add_argument("--id", help="show: one trajectory, whole")
    parser.add_argument("--problem", help="show, export-jsonl: of this problem only")
    parser.add_argument("--source", help="show, export-jsonl: from this source only")
    parser.add_argument("--limit", type=int, help="show, export-jsonl: at most so many")
    parser.add_argument("--output", default="-", help="export-jsonl: a file (default: print)")
    parser.add_argument("--reference", help="export-jsonl: add ref_logprobs of this reference id")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    if args.action not in _ACTIONS:
        hint = nearest(args.action, _ACTIONS)
        raise UserError(
            f"unknown action '{args.action}'{hint} (trajectories {', '.join(_ACTIONS)})"
        )
    if args.limit is not None and args.limit < 1:
        raise UserError(f"--limit={args.limit} must be at least 1")
    actions = {"show": _show, "stats": _stats, "verify": _verify, "export-jsonl": _export}
    return actions[args.action](_open(args.store), args)


def _open(path: str) -> "TrajectoryStore":
    """The store in a run directory, or the store itself."""
    from spo_jax.trajectories import TrajectoryStore

    for url in (f"{path.rstrip('/')}/trajectories", path):
        try:
            store = TrajectoryStore(url, create=False)
        except UserError:
            continue
        if store.objects():
            return store
    raise UserError(f"there are no trajectories in '{path}': neither a run directory nor a store")


def _selected(index: "Index", args: argparse.Namespace) -> list[int]:
    """Row numbers that the options ask for."""
    import numpy as np

    chosen = np.ones(len(index), bool)
    for option, column in ((args.problem, "problem_id"), (args.source, "source")):
        if option is not None:
            codes, names = index.codes(column)
            if option not in names:
                hint = nearest(option, [name for name in names if name])
                raise UserError(f"no trajectory has {column} '{option}'{hint}")
            chosen &= codes == names.index(option)
    return np.flatnonzero(chosen)[: args.limit].tolist()


def _show(store: "TrajectoryStore", args: argparse.Namespace) -> int:
    if args.id is not None:
        [item] = store.get([args.id])
        record = _as_json(item)
        if args.json:
            print(json.dumps(record, ensure_ascii=False))
            return 0
        for name, value in record.items():
            print(f"{name}: {value}")
        return 0
    index = store.index()
    columns = index.table.select(["problem_id", *_LISTED]).take(_selected(index, args))
    for row in columns.to_pylist():
        if args.json:
            print(json.dumps(row, ensure_ascii=False))
        else:
            print(
                f"{row['trajectory_id']}  {row['source']}  version={row['policy_version']}  "
                f"reward={row['reward']}  {row['verdict']}  tokens={row['completion_length']}"
            )
    return 0


def _stats(store: "TrajectoryStore", args: argparse.Namespace) -> int:
    index, objects = store.index(), store.objects()
    by_source = _by_source(index)
    num_tokenized = int((index.completion_lengths >= 0).sum())
    references = {
        name: num_tokenized - len(store.missing_ref_logprobs(name))
        for name in store.reference_ids()
    }
    report = {
        "store": store.url,
        "num_trajectories": len(index),
        "num_duplicates": index.num_duplicates,
        "num_objects": len(objects),
        "num_bytes": sum(objects.values()),
        "sources": by_source,
        "references": references,
        "damaged": store.damaged,
    }
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
        return 0
    print(f"{len(index)} trajectories in {len(objects)} objects, {report['num_bytes']} bytes")
    print(f"{'source':<24}{'rows':>8}{'problems':>10}{'accepted':>10}{'reward':>9}{'tokens':>8}")
    for source, row in by_source.items():
        print(
            f"{source:<24}{row['num_trajectories']:>8}{row['num_problems']:>10}"
            f"{row['num_accepted']:>10}{_number(row['reward_mean'], 3):>9}"
            f"{_number(row['completion_tokens_mean'], 0):>8}"
        )
    for name, count in references.items():
        print(f"reference {name}: {count} trajectories have ref_logprobs")
    _print_damaged(store.damaged)
    return 0


def _by_source(index: "Index") -> dict[str, dict[str, Any]]:
    import numpy as np

    codes, sources = index.codes("source")
    problems, _ = index.codes("problem_id")
    verdict_codes, verdicts = index.codes("verdict")
    accepted = np.array([verdict == "AC" for verdict in verdicts], bool)[verdict_codes]
    report = {}
    for code, source in sorted(enumerate(sources), key=lambda pair: str(pair[1])):
        rows = codes == code
        rewards = index.rewards[rows]
        lengths = index.completion_lengths[rows]
        newest = int(index.policy_versions[rows].max())
        names, counts = np.unique(verdict_codes[rows], return_counts=True)
        report[str(source)] = {
            "num_trajectories": int(rows.sum()),
            "num_problems": len(np.unique(problems[rows])),
            "num_accepted": int(accepted[rows].sum()),
            "verdicts": {
                str(verdicts[name]): int(n) for name, n in zip(names, counts, strict=True)
            },
            "num_without_reward": int(np.isnan(rewards).sum()),
            "reward_mean": _mean(rewards[~np.isnan(rewards)]),
            "completion_tokens_mean": _mean(lengths[lengths >= 0]),
            "policy_version_max": newest if newest >= 0 else None,
        }
    return report


def _mean(values: Any) -> float | None:
    return float(values.mean()) if len(values) else None


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _verify(store: "TrajectoryStore", args: argparse.Namespace) -> int:
    damaged = store.verify()
    index, objects = store.index(), store.objects()
    report = {
        "num_objects": len(objects),
        "num_bytes": sum(objects.values()),
        "num_trajectories": len(index),
        "num_duplicates": index.num_duplicates,
        "damaged": damaged,
    }
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        print(
            f"{len(objects)} objects, {report['num_bytes']} bytes: {len(index)} trajectories, "
            f"{index.num_duplicates} duplicates, {len(damaged)} damaged objects"
        )
        _print_damaged(damaged)
    return 1 if damaged else 0


def _print_damaged(damaged: dict[str, str]) -> None:
    for name, reason in sorted(damaged.items()):
        print(f"damaged: {name}: {reason}")


def _export(store: "TrajectoryStore", args: argparse.Namespace) -> int:
    if args.reference is not None and args.reference not in store.reference_ids():
        hint = nearest(args.reference, store.reference_ids())
        raise UserError(f"no annotations of reference '{args.reference}'{hint}")
    rows = _export_rows(store, args)
    if args.output == "-":
        count = _write(rows, sys.stdout)
    else:
        with Path(args.output).open("w", encoding="utf-8") as file:
            count = _write(rows, file)
    print(f"{count} trajectories written", file=sys.stderr)
    _print_damaged(store.damaged)
    return 0


def _export_rows(store: "TrajectoryStore", args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    items = (
        item
        for item in store.read()
        if args.problem in (None, item.problem_id) and args.source in (None, item.source)
    )
    chosen = itertools.islice(items, args.limit)
    while chunk := list(itertools.islice(chosen, 256)):
        rows = [_as_json(item) for item in chunk]
        if args.reference is not None:
            ids = [item.trajectory_id for item in chunk]
            for row, logprobs in zip(rows, store.ref_logprobs(args.reference, ids), strict=True):
                row["ref_logprobs"] = None if logprobs is None else logprobs.tolist()
        yield from rows


def _write(rows: Iterator[dict[str, Any]], file: Any) -> int:
    count = 0
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
        count += 1
    return count


def _as_json(item: "Trajectory") -> dict[str, Any]:
    record = dataclasses.asdict(item)
    for name, value in record.items():
        if hasattr(value, "tolist"):
            record[name] = value.tolist()
    return record
