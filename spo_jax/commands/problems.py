"""Problem sets: list them, show a problem, count, or judge their written solutions again.

spo problems list [--set starter] [--split train] [--json]
spo problems show starter/convert-units-minutes-to-seconds [--prompt fence] [--json]
spo problems show my_problem.json
spo problems stats [--json]
spo problems check [--split test] [--limit 20] [--json]
spo problems check --task code_contests --data_dir DIRECTORY --write_exclusions unusable.jsonl
spo problems decontaminate --train code_contests:train --test code_contests:test [--json]
"""

import argparse
import collections
import json
from collections.abc import Sequence
from pathlib import Path

from spo_jax.commands import problem_checks
from spo_jax.errors import UserError, nearest
from spo_jax.problems.contests.rules import Tally
from spo_jax.problems.prompts import PROMPT_TEMPLATES
from spo_jax.problems.records import read_problem_file, record_from_problem
from spo_jax.problems.sets import find_problem, load_problems, problem_sets
from spo_jax.types import Problem

HELP = "list, show, count, re-judge or decontaminate programming problems"

_ACTIONS = ("list", "show", "stats", "check", "decontaminate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", help=f"one of {', '.join(_ACTIONS)}")
    parser.add_argument("problem", nargs="?", help="show: a problem's id or a JSON file")
    parser.add_argument("--set", default="starter", help="problem set (default: starter)")
    parser.add_argument("--split", help="one split of the set (default: all)")
    parser.add_argument("--task", help="a registered seqio task instead of a bundled set")
    parser.add_argument("--data_dir", default="", help="directory with the files of --task")
    parser.add_argument("--limit", type=int, help="list, check: at most so many problems")
    problem_checks.add_arguments(parser)
    parser.add_argument("--prompt", help="show: the prompt of this template instead of the problem")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    if args.action not in _ACTIONS:
        hint = nearest(args.action, _ACTIONS)
        raise UserError(f"unknown action '{args.action}'{hint} (problems {', '.join(_ACTIONS)})")
    if args.limit is not None and args.limit < 1:
        raise UserError(f"--limit={args.limit} must be at least 1")
    if args.action == "show":
        return _show(args)
    if args.action == "decontaminate":
        return problem_checks.decontaminate(args)
    if args.problem is not None:
        raise UserError(f"problems {args.action} takes no problem; got '{args.problem}'")
    tally = Tally()
    by_split = _chosen(args, tally)
    if args.action == "check":
        return problem_checks.check(by_split, tally, args)
    return {"list": _list, "stats": _stats}[args.action](by_split, args)


def _chosen(args: argparse.Namespace, tally: Tally) -> dict[str, list[Problem]]:
    if args.task is not None:
        from spo_jax.problems.tasks import task_splits

        known = task_splits(args.task)
        split = args.split or ("train" if "train" in known else known[0])
        return {split: problem_checks.task_problems(args, args.task, split, tally)[: args.limit]}
    sets = problem_sets()
    splits = [args.split] if args.split else sets.get(args.set, ("train",))
    return {split: load_problems(args.set, split)[: args.limit] for split in splits}


def _list(by_split: dict[str, list[Problem]], args: argparse.Namespace) -> int:
    for split, problems in by_split.items():
        for problem in problems:
            row = {
                "id": problem.id,
                "split": split,
                "difficulty": problem.difficulty,
                "style": _style(problem),
                "description": problem.description,
            }
            if args.json:
                print(json.dumps(row, ensure_ascii=False))
            else:
                print("{id:<52} {split:<6}{difficulty:<2}{style:<6} {description}".format(**row))
    return 0


def _show(args: argparse.Namespace) -> int:
    if args.problem is None:
        raise UserError("problems show needs a problem: an id or a JSON file")
    problem = _named_problem(args)
    if args.prompt is not None:
        return _show_prompt(problem, args)
    if args.json:
        print(json.dumps(record_from_problem(problem), ensure_ascii=False, indent=2))
        return 0
    print(f"{problem.id}  (difficulty {problem.difficulty}, {_style(problem)})\n")
    print(problem.description)
    for number, test in enumerate(problem.public_tests, start=1):
        print(
            f"\npublic test {number}: input\n{test.input.rstrip()}\noutput\n{test.output.rstrip()}"
        )
    hidden = len(problem.tests) - len(problem.public_tests)
    print(f"\n{hidden} hidden tests")
    for title, solutions in (
        ("solution", problem.solutions),
        ("wrong solution", problem.incorrect_solutions),
    ):
        for number, solution in enumerate(solutions, start=1):
            print(f"\n# {title} {number} ({solution.language})\n{solution.code.rstrip()}")
    return 0


def _named_problem(args: argparse.Namespace) -> Problem:
    if args.task is None:
        is_file = args.problem.endswith(".json") or Path(args.problem).is_file()
        return read_problem_file(args.problem) if is_file else find_problem(args.problem)
    (problems,) = _chosen(args, Tally()).values()
    by_id = {problem.id: problem for problem in problems}
    if args.problem not in by_id:
        raise UserError(
            f"unknown problem '{args.problem}' of task '{args.task}'{nearest(args.problem, by_id)} "
            "(--split names another split)"
        )
    return by_id[args.problem]


def _show_prompt(problem: Problem, args: argparse.Namespace) -> int:
    if args.prompt not in PROMPT_TEMPLATES:
        hint = nearest(args.prompt, PROMPT_TEMPLATES)
        known = ", ".join(PROMPT_TEMPLATES)
        raise UserError(f"unknown prompt template '{args.prompt}'{hint} (known: {known})")
    template = PROMPT_TEMPLATES[args.prompt]
    messages, prefix = template.messages(problem), template.answer_prefix(problem)
    if args.json:
        print(json.dumps({"messages": messages, "answer_prefix": prefix}, ensure_ascii=False))
        return 0
    for message in messages:
        print(f"[{message['role']}]\n{message['content']}\n")
    print(f"[the answer begins]\n{prefix}")
    return 0


def _stats(by_split: dict[str, list[Problem]], args: argparse.Namespace) -> int:
    rows = [_split_stats(split, problems) for split, problems in by_split.items()]
    if args.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        levels = ", ".join(f"{level}: {n}" for level, n in row["by_difficulty"].items())
        print(
            f"{args.task or args.set}/{row['split']}: {row['problems']} problems, "
            f"{row['templates']} templates, "
            f"{row['call']} call and {row['stdin']} stdin\n"
            f"  by difficulty  {levels}\n"
            f"  {row['solutions']} right and {row['incorrect_solutions']} wrong solutions, "
            f"{row['tests']} tests"
        )
    return 0


def _split_stats(split: str, problems: Sequence[Problem]) -> dict:
    styles = collections.Counter(_style(problem) for problem in problems)
    levels = collections.Counter(problem.difficulty for problem in problems)
    return {
        "split": split,
        "problems": len(problems),
        "templates": len({problem.tags[0] for problem in problems if problem.tags}),
        "call": styles["call"],
        "stdin": styles["stdin"],
        "by_difficulty": dict(sorted(levels.items())),
        "solutions": sum(len(problem.solutions) for problem in problems),
        "incorrect_solutions": sum(len(problem.incorrect_solutions) for problem in problems),
        "tests": sum(len(problem.tests) for problem in problems),
    }


def _style(problem: Problem) -> str:
    return "stdin" if problem.fn_name is None else "call"
