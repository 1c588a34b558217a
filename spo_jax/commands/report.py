"""Write a run's report.html again, or compare several runs.

spo report runs/quickstart [--output FILE] [--json]
spo report runs/seed0 runs/seed1 runs/seed2 [--output comparison.html] [--json]

A report needs no network and no other file. It can be written while a run goes on, and of a run
that was interrupted: it says what is missing. Several runs are compared in a table; of those that
differ in `train.seed` only, it adds mean and standard deviation. Exit status: 0 written, 2 bad
input.
"""

import argparse
import json

HELP = "write a run's report again, or compare several runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_dirs", nargs="+", metavar="RUN_DIR", help="one run, or several")
    parser.add_argument(
        "--output",
        help="the HTML file; default for one run: report.html in it, for several: none is written",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    return _compare(args) if len(args.run_dirs) > 1 else _report(args)


def _report(args: argparse.Namespace) -> int:
    from spo_jax.reporting.records import read_run
    from spo_jax.reporting.report import report_json, status, write_report
    from spo_jax.reporting.summary import format_summary

    [run_dir] = args.run_dirs
    path = write_report(run_dir, args.output)
    record = read_run(run_dir)
    if args.json:
        print(json.dumps(report_json(record, path)))
        return 0
    print(f"run: {record.path} ({status(record)})")
    if record.summary is not None:
        print(format_summary(dict(record.summary)))
    for note in record.notes:
        print(f"note: {note}")
    print(f"report: {path}")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from spo_jax.reporting.comparison import (
        compare_runs,
        comparison_json,
        format_comparison,
        write_comparison,
    )

    comparison = compare_runs(args.run_dirs)
    path = write_comparison(comparison, args.output) if args.output else None
    if args.json:
        print(json.dumps(comparison_json(comparison) | {"report": path and str(path)}))
        return 0
    print(format_comparison(comparison))
    if path is not None:
        print(f"report: {path}")
    return 0
