"""Trajectories of a run or a store: list, count, check every byte, export, import, merge, dedup.

spo trajectories show runs/quickstart [--problem ID] [--source online] [--limit 20] [--json]
spo trajectories show runs/quickstart --id TRAJECTORY_ID
spo trajectories stats runs/quickstart [--json]
spo trajectories verify runs/quickstart [--tokenizer DIR]   (exit status 1 if something is wrong)
spo trajectories export-jsonl runs/quickstart --output rows.jsonl [--reference ID]
spo trajectories import dumps/ --output imported --tokenizer DIR [--format verl] [--source NAME]
    [--problems SET [--prompt TEMPLATE] [--judge]] [--reward_offset -1]   (see docs/trajectories.md)
spo trajectories import SET --format written --output imported --tokenizer DIR   (judged solutions)
spo trajectories import runs/old --format run --output imported
spo trajectories merge STORE STORE ... --output merged
spo trajectories dedup STORE [--output distinct]
"""

import argparse
import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spo_jax.commands.trajectories_import import (
    add_import_arguments,
    output_store,
    run_import,
)
from spo_jax.errors import UserError, nearest

if TYPE_CHECKING:
    from spo_jax.trajectories import Index, TrajectoryStore
    from spo_jax.types import Trajectory

HELP = "show, count, verify, export, import or merge trajectories"

_ACTIONS = ("show", "stats", "verify", "export-jsonl", "import", "merge", "dedup")
_SEVERAL = ("import", "merge")
_LISTED = ("trajectory_id", "source", "policy_version", "reward", "verdict", "completion_length")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", help=f"one of {', '.join(_ACTIONS)}")
    add("stores", nargs="+", metavar="store", help="a run directory, or a store's directory or URL")
    add("--id", help="show: one trajectory, whole")
    add("--problem", help="show, export-jsonl: of this problem only")
    add("--source", help="show, export-jsonl: from this source only; import: the name to give")
    add("--limit", type=int, help="show, export-jsonl: at most so many")
    add("--output", help="export-jsonl: a file (default: print); import, merge, dedup: a store")
    add("--reference", help="export-jsonl: add ref_logprobs of this reference id")
    add("--tokenizer", metavar="DIR", help="import: of the text; verify: of the tokens")
    add_import_arguments(parser)
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    if args.action not in _ACTIONS:
        hint = nearest(args.action, _ACTIONS)
        raise UserError(
            f"unknown action '{args.action}'{hint} (trajectories {', '.join(_ACTIONS)})"
        )
    if args.limit is not None and args.limit < 1:
        raise UserError(f"--limit={args.limit} must be at least 1")
    if args.action == "import":
        return run_import(args)
    if len(args.stores) > 1 and args.action not in _SEVERAL:
        raise UserError(f"trajectories {args.action} takes one store, got {len(args.stores)}")
    if args.action == "merge":
        return _merge(args)
    actions = {
        "show": _show,
        "stats": _stats,
        "verify": _verify,
        "export-jsonl": _export,
        "dedup": _dedup,
    }
    return actions[args.action](_open(args.stores[0]), args)


def _open(path: str) -> "TrajectoryStore":
    """The store in a run directory, or the store itself."""
    from spo_jax.trajectories import open_stored

    return open_stored(path)[0]


def _merge(args: argparse.Namespace) -> int:
    from spo_jax.trajectories import merge_stores

    sources = [_open(path) for path in args.stores]
    report = merge_stores(sources, output_store(args, "merge"))
    if args.json:
        print(json.dumps(report))
    else:
        print(
            f"{report['num_added']} trajectories added, {report['num_known']} were there already; "
            f"{report['num_annotations']} annotations"
        )
    for source in sources:
        _print_damaged(source.damaged, sys.stderr)
    return 1 if report["num_damaged"] else 0


def _dedup(store: "TrajectoryStore", args: argparse.Namespace) -> int:
    from spo_jax.trajectories import dedup

    target = output_store(args, "dedup") if args.output is not None else None
    if target is not None and target.objects():
        raise UserError(f"--output={args.output} holds trajectories already; name a new store")
    report = dedup(store, target)
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
        return 0
    print(
        f"{report['num_rows']} trajectories, {report['num_distinct']} distinct; of "
        f"{report['num_repeats']} repeats {report['num_reward_conflicts']} have another reward"
    )
    for source, count in report["repeats_by_source"].items():
        print(f"{source}: {count} repeats")
    _print_damaged(store.damaged)
    return 0


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
        names, counts = np.unique(verdict_codes[rows], return_counts=True)
        versions = index.policy_versions[rows]
        report[str(source)] = {
            "num_trajectories": int(rows.sum()),
            "num_problems": len(np.unique(problems[rows])),
            "num_accepted": int(accepted[rows].sum()),
            "verdicts": {
                str(verdicts[name]): int(n) for name, n in zip(names, counts, strict=True)
            },
            "num_without_reward": int(np.isnan(rewards).sum()),
            "reward_mean": _mean(rewards[~np.isnan(rewards)]),
            "reward_quantiles": _quantiles(rewards[~np.isnan(rewards)]),
            "completion_tokens_mean": _mean(lengths[lengths >= 0]),
            "completion_tokens_quantiles": _quantiles(lengths[lengths >= 0]),
            "num_untokenized": int((lengths < 0).sum()),
            "policy_version_max": int(versions.max()) if versions.max() >= 0 else None,
            "staleness_quantiles": _quantiles(versions.max() - versions[versions >= 0]),
        }
    return report


def _mean(values: Any) -> float | None:
    return float(values.mean()) if len(values) else None


def _quantiles(values: Any) -> list[float] | None:
    """Minimum, quartiles and maximum. Staleness is counted from the source's newest version."""
    import numpy as np

    return np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist() if len(values) else None


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _verify(store: "TrajectoryStore", args: argparse.Namespace) -> int:
    damaged = store.verify()
    objects = store.objects()
    index: Index | None
    try:
        index = store.index()
    except UserError:  # of a foreign schema version: named in `damaged`, and nothing is counted
        index = None
    others = _other_tokenizers(index, args.tokenizer)
    report = {
        "num_objects": len(objects),
        "num_bytes": sum(objects.values()),
        "num_trajectories": None if index is None else len(index),
        "num_duplicates": None if index is None else index.num_duplicates,
        "other_tokenizers": others,
        "damaged": damaged,
    }
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        print(
            f"{len(objects)} objects, {report['num_bytes']} bytes: {report['num_trajectories']} "
            f"trajectories, {report['num_duplicates']} duplicates, {len(damaged)} damaged objects"
        )
        for name, count in others.items():
            print(f"other tokenizer: {count} trajectories of {name}")
        _print_damaged(damaged)
    return 1 if damaged or others else 0


def _other_tokenizers(index: "Index | None", path: str | None) -> dict[str, int]:
    """Tokenizer hash to number of rows, of all but the given tokenizer; text has none."""
    if index is None or path is None:
        return {}
    from spo_jax.models.pretrained import resolve
    from spo_jax.tokenizers import load_tokenizer

    expected = load_tokenizer(resolve(path)).hash
    codes, hashes = index.codes("tokenizer_hash")
    counts = [int((codes[index.completion_lengths >= 0] == c).sum()) for c in range(len(hashes))]
    return {
        str(name): count
        for name, count in zip(hashes, counts, strict=True)
        if count and name != expected
    }


def _print_damaged(damaged: dict[str, str], file: Any = None) -> None:
    for name, reason in sorted(damaged.items()):
        print(f"damaged: {name}: {reason}", file=file)


def _export(store: "TrajectoryStore", args: argparse.Namespace) -> int:
    if args.reference is not None and args.reference not in store.reference_ids():
        hint = nearest(args.reference, store.reference_ids())
        raise UserError(f"no annotations of reference '{args.reference}'{hint}")
    rows = _export_rows(store, args)
    if args.output in (None, "-"):
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
