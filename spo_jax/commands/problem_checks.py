"""`spo problems check` and `decontaminate`: which problems to leave out, and why."""

import argparse
import collections
import dataclasses
import json
from collections.abc import Mapping

from spo_jax.errors import UserError
from spo_jax.problems.contests.rules import ContestRules, Tally
from spo_jax.problems.exclusion import read_exclusions, write_exclusions
from spo_jax.types import Problem

_SHOWN = 20  # lines of a table; --json has all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--languages", default="python3", help="check: judged, comma-separated")
    parser.add_argument("--max_solutions", type=int, help="check: judged right and wrong ones each")
    parser.add_argument("--exclude", default="", help="a file of problems that are left out")
    parser.add_argument("--write_exclusions", help="write the problems to leave out to this file")
    parser.add_argument("--train", help="decontaminate: TASK or TASK:SPLIT trained on")
    parser.add_argument("--test", help="decontaminate: TASK or TASK:SPLIT tested on")
    parser.add_argument("--test_data_dir", help="decontaminate: directory of --test, if another")
    parser.add_argument(
        "--min_share", type=float, default=0.3, help="decontaminate: of 13-grams or of tests"
    )


def task_problems(
    args: argparse.Namespace, task: str, split: str, tally: Tally, data_dir: str | None = None
) -> list[Problem]:
    """The problems of a registered task; its solutions in `--languages` are kept."""
    from spo_jax.problems.tasks import load_task_problems, takes_contest_rules

    return load_task_problems(
        task,
        split,
        data_dir=args.data_dir if data_dir is None else data_dir,
        rules=ContestRules(languages=_languages(args)) if takes_contest_rules(task) else None,
        exclude=args.exclude,
        tally=tally,
    )


def check(by_split: Mapping[str, list[Problem]], tally: Tally, args: argparse.Namespace) -> int:
    """Judges the written programs again; status 1 where a problem is unusable or mislabelled."""
    from spo_jax.judging import Judge
    from spo_jax.problems.usability import check_problems, num_programs
    from spo_jax.problems.verification import progress_line

    if args.max_solutions is not None and args.max_solutions < 1:
        raise UserError(f"--max_solutions={args.max_solutions} must be at least 1")
    excluded = read_exclusions(args.exclude) if args.exclude else {}
    problems = [each for split in by_split.values() for each in split if each.id not in excluded]
    languages = _languages(args)
    total = num_programs(problems, languages, args.max_solutions)
    if not total:
        name = args.task or args.set
        raise UserError(f"problem set '{name}' has no written programs that could be judged")
    with Judge() as judge:
        result = check_problems(
            problems,
            judge,
            languages=languages,
            max_solutions=args.max_solutions,
            progress=progress_line(total),
        )
    unusable = dict(tally.unusable) | result.unusable
    if args.write_exclusions:
        write_exclusions(args.write_exclusions, excluded | unusable)
    skipped = dict(collections.Counter(result.skipped) + tally.dropped)
    verified = sum(each.is_verified for each in result.problems)
    report = {
        "problems": len(problems) + len(tally.unusable),
        "verified": verified,
        "unverified": len(problems) - len(result.unusable) - verified,
        "programs": total,
        "skipped": skipped,
        "unusable": [{"id": name, "reason": reason} for name, reason in unusable.items()],
        "mislabelled": [
            {
                "problem": item.problem_id,
                "field": "solutions" if item.is_correct else "incorrect_solutions",
                "index": item.index,
                "verdict": str(item.judgement.verdict),
            }
            for item in result.mislabels
        ],
    }
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        for item in result.mislabels:
            print(item)
        _print_check(report)
    return 1 if unusable or result.mislabels else 0


def _print_check(report: Mapping) -> None:
    print(
        f"{report['programs']} programs of {report['problems']} problems judged, "
        f"{len(report['mislabelled'])} mislabelled\n"
        f"{report['verified']} problems verified, {report['unverified']} without a right solution "
        f"that could be judged, {len(report['unusable'])} unusable"
    )
    reasons = collections.Counter(row["reason"] for row in report["unusable"])
    for reason, count in reasons.most_common():
        print(f"  {count:>6}  {reason}")
    for row in report["unusable"][:_SHOWN]:
        print(f"  {row['id']}: {row['reason']}")
    for what, count in report["skipped"].items():
        print(f"  {count:>6}  {what}: skipped")


def decontaminate(args: argparse.Namespace) -> int:
    """Prints which training problems resemble which test problems."""
    from spo_jax.problems.decontamination import TestIndex

    if args.train is None or args.test is None:
        raise UserError("problems decontaminate needs --train TASK[:SPLIT] and --test TASK[:SPLIT]")
    (train_task, train_split), (test_task, test_split) = (
        (name.partition(":")[0], name.partition(":")[2] or default)
        for name, default in ((args.train, "train"), (args.test, "test"))
    )
    test_dir = args.data_dir if args.test_data_dir is None else args.test_data_dir
    index = TestIndex(task_problems(args, test_task, test_split, Tally(), test_dir))
    train = task_problems(args, train_task, train_split, Tally())
    pairs = index.resemblances(train, min_statement=args.min_share, min_tests=args.min_share)
    if args.write_exclusions:
        reasons: dict[str, str] = {}
        for pair in pairs:
            reasons.setdefault(pair.train_id, f"resembles {pair.test_id}")
        known = read_exclusions(args.exclude) if args.exclude else {}
        write_exclusions(args.write_exclusions, known | reasons)
    train_ids = {pair.train_id for pair in pairs}
    if args.json:
        rows = [dataclasses.asdict(pair) for pair in pairs]
        print(json.dumps({"train_problems": len(train), "resembling": rows}, ensure_ascii=False))
        return 0
    print("statement  tests  training problem -> test problem")
    for pair in pairs[:_SHOWN]:
        print(f"{pair.statement:>9.2f} {pair.tests:>6.2f}  {pair.train_id} -> {pair.test_id}")
    hidden = len(pairs) - _SHOWN
    more = f" ({hidden} pairs not shown; --json has all)" if hidden > 0 else ""
    print(f"{len(train_ids)} of {len(train)} training problems resemble a test problem{more}")
    return 0


def _languages(args: argparse.Namespace) -> tuple[str, ...]:
    return tuple(filter(None, args.languages.split(",")))
