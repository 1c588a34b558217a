"""`spo trajectories import`: what others made, into a store."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spo_jax.errors import UserError, nearest

if TYPE_CHECKING:
    from spo_jax.acting.prompt_matching import PromptMatcher
    from spo_jax.acting.rollouts import Prompter
    from spo_jax.tokenizers import Tokenizer
    from spo_jax.trajectories import TrajectoryStore
    from spo_jax.types import Problem

_OWN_FORMATS = ("run", "written")


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--format", help="import: verl, open-instruct, trl, slime, jsonl, run or written")
    add("--problems", metavar="SET", help="import: set or seqio task that prompts are matched to")
    add("--train_split", default="train", help="import: of the set (default train)")
    add("--eval_split", default="test", help="import: held out: its rows are skipped (test)")
    add("--prompt", metavar="TEMPLATE", help="import: ask known problems as a run does, by this")
    add("--chat", action="store_true", help="import: prompts are messages to the assistant")
    add("--judge", action="store_true", help="import: judge anew instead of believing the reward")
    add("--reward_scale", type=float, default=1.0, help="import: stored = scale * dumped + offset")
    add("--reward_offset", type=float, default=0.0, help="import: see --reward_scale")
    add("--reward_columns", metavar="A,B", help="import: trl, slime: their sum is the reward")
    add("--max_completion_tokens", type=int, help="import: the limit the dump was sampled with")
    add("--strict", action="store_true", help="import: stop at the first row that is unusable")


def output_store(args: argparse.Namespace, writer_id: str) -> "TrajectoryStore":
    """The store that --output names, opened to write."""
    from spo_jax.trajectories import TrajectoryStore

    if args.output is None:
        raise UserError(f"trajectories {args.action} needs --output, the store to write to")
    return TrajectoryStore(args.output, writer_id=writer_id)


def run_import(args: argparse.Namespace) -> int:
    """Exit status 1 if rows were read and none of them is in the store now."""
    from spo_jax.trajectories import FORMATS

    known = (*FORMATS, *_OWN_FORMATS)
    if args.format is not None and args.format not in known:
        raise UserError(
            f"--format={args.format} is unknown{nearest(args.format, known)} "
            f"(one of {', '.join(known)})"
        )
    if args.judge and args.problems is None:
        raise UserError("--judge needs --problems, the set whose tests judge")
    if args.prompt is not None and (args.problems is None or args.tokenizer is None):
        raise UserError("--prompt needs --problems and --tokenizer")
    if args.format == "run":
        return _import_runs(args)
    return _import_written(args) if args.format == "written" else _import_dumps(args)


def _import_runs(args: argparse.Namespace) -> int:
    from spo_jax.trajectories import RowWriter, copy_annotations, copy_store, open_stored

    target = output_store(args, "import-run")
    writer, damaged = RowWriter(target), dict[str, str]()
    for path in args.stores:
        source, name = open_stored(path)
        copy_store(source, writer, run_name=args.source or name)
        copy_annotations(source, target)
        damaged |= source.damaged
    report = {"num_added": writer.num_added, "num_known": writer.num_known, "damaged": damaged}
    _print(args, report)
    return 1 if damaged else 0


def _import_written(args: argparse.Namespace) -> int:
    from spo_jax.acting.written import add_written_solutions
    from spo_jax.judging import Judge, RewardMap

    if args.tokenizer is None:
        raise UserError("--format=written needs --tokenizer")
    target, tokenizer = output_store(args, "import-written"), _tokenizer(args.tokenizer)
    prompter = _prompter(tokenizer, args.prompt or "fence")
    problems = [p for name in args.stores for p in _load_problems(name, args.train_split)]
    before = len(target.index())
    with Judge() as judge:
        written = add_written_solutions(
            target,
            problems,
            prompter,
            reward_map=RewardMap(),
            judge=judge,
            max_completion_tokens=args.max_completion_tokens or sys.maxsize,
        )
    added = len(target.index()) - before
    report = {
        "num_added": added,
        "num_known": len(written.trajectories) - added,
        "num_mislabelled": written.disagreements,
        "skipped": dict(written.skipped),
    }
    _print(args, report)
    return 0 if written.trajectories else 1


def _import_dumps(args: argparse.Namespace) -> int:
    import contextlib

    from spo_jax.acting.dump_import import Rejudge, import_dump, import_tokenizer
    from spo_jax.judging import Judge, RewardMap
    from spo_jax.trajectories import ImportSettings, detect_format, dump_files

    files = [file for path in args.stores for file in dump_files(path)]
    name = args.source or args.format or detect_format(files[0])
    settings = ImportSettings(
        source=name if ":" in name else f"import:{name}",
        reward_scale=args.reward_scale,
        reward_offset=args.reward_offset,
        chat=args.chat,
        max_completion_tokens=args.max_completion_tokens,
        needs_reward=not args.judge,
    )
    tokenizer = _tokenizer(args.tokenizer) if args.tokenizer else None
    prompter = _prompter(tokenizer, args.prompt) if tokenizer and args.prompt else None
    matcher = _matcher(args, prompter)
    with contextlib.ExitStack() as stack:
        rejudge = None
        if args.judge and matcher is not None:
            rejudge = Rejudge(stack.enter_context(Judge()), matcher, RewardMap())
        report = import_dump(
            output_store(args, "import"),
            files,
            settings,
            dump_format=args.format,
            reward_columns=args.reward_columns.split(",") if args.reward_columns else (),
            tokenizer=import_tokenizer(tokenizer) if tokenizer else None,
            matcher=matcher,
            rejudge=rejudge,
            strict=args.strict,
            progress=lambda done, rows: print(
                f"{done} of {len(files)} files, {rows} rows", file=sys.stderr
            ),
        )
    _print(args, report.as_dict())
    return 0 if report.num_added + report.num_known else 1


def _matcher(args: argparse.Namespace, prompter: "Prompter | None") -> "PromptMatcher | None":
    from spo_jax.acting.prompt_matching import PromptMatcher

    if args.problems is None:
        return None
    return PromptMatcher.of(
        _load_problems(args.problems, args.train_split),
        _load_problems(args.problems, args.eval_split),
        prompter,
    )


def _load_problems(name: str, split: str) -> "Sequence[Problem]":
    """Of a bundled set, or of a registered seqio task."""
    from spo_jax.problems import load_problems
    from spo_jax.problems.sets import problem_sets

    if name in problem_sets():
        return load_problems(name, split)
    from spo_jax.problems.tasks import load_task_problems

    return load_task_problems(name, split)


def _tokenizer(path: str) -> "Tokenizer":
    from spo_jax.models.pretrained import resolve
    from spo_jax.tokenizers import load_tokenizer

    return load_tokenizer(resolve(path))


def _prompter(tokenizer: "Tokenizer", template: str) -> "Prompter":
    from spo_jax.acting.rollouts import Prompter
    from spo_jax.problems.prompts import PROMPT_TEMPLATES

    if template not in PROMPT_TEMPLATES:
        hint = nearest(template, PROMPT_TEMPLATES)
        raise UserError(f"--prompt={template} is unknown{hint}")
    return Prompter(tokenizer, PROMPT_TEMPLATES[template])


def _print(args: argparse.Namespace, report: dict[str, Any]) -> None:
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
        return
    print(f"{report['num_added']} trajectories added, {report['num_known']} were there already")
    if report.get("num_unmatched"):
        print(f"{report['num_unmatched']} rows answer no known problem")
    if report.get("num_mislabelled"):
        print(f"{report['num_mislabelled']} are not what their label says")
    for reason, count in report.get("skipped", {}).items():
        example = report.get("examples", {}).get(reason, [])[:1]
        print(f"skipped: {count} {reason}" + "".join(f" ({e})" for e in example))
    for name, why in report.get("damaged", {}).items():
        print(f"damaged: {name}: {why}")
