"""Makes the data files of the starter set: `python -m spo_jax.problems.starter.build`.

Every written program is judged; nothing is written unless every right one passes every test of its
problem and every wrong one fails at least one. The files are the same bytes every time.
"""

import argparse
import collections
import gzip
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from spo_jax.judging import Judge
from spo_jax.problems.records import line_from_problem
from spo_jax.problems.starter.assembly import TemplateError, assemble
from spo_jax.problems.starter.template import Split, Template, all_templates
from spo_jax.problems.verification import find_mislabels, num_written, progress_line
from spo_jax.types import Problem

DATA = Path(__file__).parent / "data"


def write_data(problems: Mapping[Split, Sequence[Problem]], directory: Path) -> None:
    """Writes `<split>.jsonl.gz`; the bytes depend on the problems alone."""
    directory.mkdir(parents=True, exist_ok=True)
    for split, items in problems.items():
        text = "".join(line_from_problem(problem) + "\n" for problem in items)
        data = gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0)
        (directory / f"{split}.jsonl.gz").write_bytes(data)


def summary(templates: Sequence[Template], problems: Mapping[Split, Sequence[Problem]]) -> str:
    """A table of templates, then the number of problems by difficulty, style and split."""
    everything = [problem for items in problems.values() for problem in items]
    sizes = collections.Counter(problem.tags[0] for problem in everything)
    lines = [f"{'template':<28}{'split':<7}{'style':<7}{'difficulty':>10}{'problems':>10}"]
    for template in sorted(templates, key=lambda template: (template.difficulty, template.name)):
        lines.append(
            f"{template.name:<28}{template.split:<7}{template.style:<7}"
            f"{template.difficulty:>10}{sizes[template.name]:>10}"
        )
    for difficulty in range(1, 6):
        chosen = [template for template in templates if template.difficulty == difficulty]
        counts = collections.Counter((template.split, template.style) for template in chosen)
        num_problems = sum(sizes[template.name] for template in chosen)
        parts = ", ".join(f"{split} {style} {n}" for (split, style), n in sorted(counts.items()))
        lines.append(
            f"difficulty {difficulty}: {len(chosen)} templates ({parts}), {num_problems} problems"
        )
    counted = ", ".join(f"{len(items)} {split}" for split, items in problems.items())
    lines.append(f"{len(templates)} templates, {len(everything)} problems ({counted})")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Builds, verifies and writes the set; returns 1 when a program is mislabelled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output_dir", type=Path, default=DATA)
    args = parser.parse_args(argv)
    templates = all_templates()
    try:
        problems = assemble(templates)
    except TemplateError as error:
        print(error, file=sys.stderr)
        return 1
    print(summary(templates, problems))
    everything = [*problems["train"], *problems["test"]]
    total = num_written(everything)
    with Judge() as judge:
        mislabels = find_mislabels(everything, judge, progress_line(total))
    for mislabel in mislabels:
        print(mislabel, file=sys.stderr)
    if mislabels:
        print(f"{len(mislabels)} programs are mislabelled: nothing written", file=sys.stderr)
        return 1
    write_data(problems, args.output_dir)
    print(f"{total} programs judged; written to {args.output_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
