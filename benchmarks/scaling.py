"""Tables of docs/scaling.md: what fits which TPU slice, compiled ahead of time on this machine.

    python benchmarks/scaling.py --results=benchmarks/results/scaling.jsonl --write_docs

Compiles what is missing, then writes the tables. Every case is one `spo plan --json` in a process
of its own, one to five minutes on two cores; its result is one line of the file. Cases that have a
line are not compiled again, so the command can be interrupted and repeated. The most important
cases come first.
"""

import argparse
import dataclasses
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "scaling.md"
GIB = 2**30
LEARNER = "accumulate,apply,annotate"
PROMPT_TOKENS, NEW_TOKENS, NUM_SLOTS = 1024, 3072, 32  # as in configs/plans/base.gin


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of a table. `rows` are sequences of a micro-batch and of an update: one a chip."""

    table: str
    model: str
    topology: str
    data: int
    fsdp: int
    tensor: int = 1
    sequence: int = 1
    length: int = 4096
    objective: str = "SPO"
    programs: str = "accumulate,apply"

    @property
    def key(self) -> str:
        mesh = f"{self.data},{self.fsdp},{self.sequence},{self.tensor}"
        what = f"{self.model} {self.topology} {mesh} {self.length} {self.objective}"
        return f"{self.table}: {what} {self.programs}"

    @property
    def rows(self) -> int:
        return self.data * self.fsdp

    def arguments(self) -> list[str]:
        # One completion fills a row, but for SmolLM2: its context is 8192, so a row holds several.
        fills = "smollm2" not in self.model
        completion = self.length - PROMPT_TOKENS if fills else NEW_TOKENS
        bindings = {
            "MeshShape.data": self.data,
            "MeshShape.fsdp": self.fsdp,
            "MeshShape.sequence": self.sequence,
            "MeshShape.tensor": self.tensor,
            "BatchSettings.row_lengths": f"({self.length},)",
            "BatchSettings.tokens_per_micro_batch": self.rows * self.length,
            "BatchSettings.problems_per_update": max(1, self.rows // 8),
            "RolloutSettings.max_completion_tokens": completion,
        }
        if self.objective != "SPO":
            bindings["train.objective"] = f"@{self.objective}()"
        return [
            f"--gin_file=configs/plans/{self.model}.gin",
            f"--topology={self.topology}",
            f"--programs={self.programs}",
            *(f"--gin.{name}={value}" for name, value in bindings.items()),
        ]


def cases() -> list[Case]:
    """All of them, the most important first."""
    weak = [
        Case("weak", "llama-3.1-8b", topology, data, 16)
        for topology, data in (
            ("v5p:2x2x4", 1),
            ("v5p:4x8x8", 16),
            ("v5p:4x4x4", 4),
            ("v5e:4x4", 1),
            ("v5e:16x16", 16),
        )
    ]
    # The 8B model does not fit v5e at 16, this one does.
    weak_small = [
        Case("weak", "smollm2-1.7b", topology, data, 16)
        for topology, data in (("v5e:4x4", 1), ("v5e:8x8", 4), ("v5e:16x16", 16))
    ]
    first = Case("fit", "llama-3.1-8b", "v5p:4x4x4", 1, 64)
    scored = dataclasses.replace(first, table="annotate", programs="annotate,prefill,decode")
    found = [first, *weak[:2], scored, *weak[2:]]
    # Slices of 64 chips where the model is small, of 256 where it is large.
    slices = {
        "llama-3.1-8b": (("v5p:4x4x4", 64), ("v6e:8x8", 64), ("v5e:8x8", 64)),
        "smollm2-1.7b": (("v5p:2x2x4", 16), ("v6e:4x4", 16), ("v5e:4x4", 16)),
        "qwen3-8b": (("v5p:4x4x4", 64), ("v6e:8x8", 64), ("v5e:8x8", 64)),
        "llama-3.1-70b": (("v5p:4x8x8", 256), ("v6e:16x16", 256), ("v5e:16x16", 256)),
    }
    for length in (4096, 16384):
        for objective in ("SPO", "PPO"):
            for place in range(3):
                for model, named in slices.items():
                    topology, chips = named[place]
                    found.append(
                        Case("fit", model, topology, 1, chips, length=length, objective=objective)
                    )
    sampled = [
        Case("sampling", model, named[place][0], 1, named[place][1], programs="prefill,decode")
        for place in range(3)
        for model, named in slices.items()
    ]
    return list(dict.fromkeys(found + sampled + weak_small))


def planned(case: Case) -> dict[str, Any]:
    """Runs one case; a refusal is a result too."""
    command = [sys.executable, "-m", "spo_jax.main", "plan", "--json", "--no_knobs"]
    begin = time.perf_counter()
    done = subprocess.run(
        [*command, *case.arguments()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    lines = done.stdout.strip().splitlines()
    result = json.loads(lines[-1]) if lines else {"error": done.stderr.strip()[-500:]}
    secs = round(time.perf_counter() - begin, 1)
    return {"key": case.key, "case": dataclasses.asdict(case), "wall_secs": secs} | result


def read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    lines = (json.loads(line) for line in path.read_text().splitlines() if line.strip())
    return {line["key"]: line for line in lines if "error" not in line}


def failed(path: Path) -> set[str]:
    """Cases that ended in an error: they are tried again after all others."""
    if not path.is_file():
        return set()
    lines = (json.loads(line) for line in path.read_text().splitlines() if line.strip())
    return {line["key"] for line in lines if "error" in line}


def fit_table(results: dict[str, dict[str, Any]]) -> list[str]:
    heads = (
        "model | slice | tokens a row | objective | state | gradients | temporaries | peak / HBM "
        "| fits | TFLOP | sent GB | update, s"
    )
    lines = [f"| {heads} |", "|" + "---|" * 12]
    for case in sorted(cases(), key=lambda c: (c.model, c.length, c.topology, c.objective)):
        result = results.get(case.key)
        if case.table == "fit" and result is not None:
            lines.append(_fit_row(case, result))
    return lines


def _fit_row(case: Case, result: dict[str, Any]) -> str:
    resident, programs = result["resident_bytes"], result["programs"]
    names = ("params", "optimizer", "critic_params", "critic_optimizer", "reference")
    state = sum(resident[name] for name in names)
    accumulate = programs["accumulate"]
    learner = [programs[n] for n in programs if n in LEARNER]
    peak = max(program["peak_bytes"] for program in learner)
    secs = result["update_secs"]
    cells = [
        case.model,
        case.topology,
        f"{case.length}",
        case.objective,
        f"{state / GIB:.2f}",
        f"{resident['gradients'] / GIB:.2f}",
        f"{accumulate['temp_bytes'] / GIB:.2f}",
        f"{peak / GIB:.1f} / {result['hbm_bytes'] / GIB:.1f}",
        "yes" if all(program["fits"] for program in learner) else "no",
        f"{accumulate['flops'] / 1e12:.0f}" if secs else "-",
        f"{accumulate['wire_bytes'] / 1e9:.1f}" if secs else "-",
        f"{secs['overlapped_secs']:.2f} to {secs['serial_secs']:.2f}" if secs else "-",
    ]
    return "| " + " | ".join(cells) + " |"


def sampling_table(results: dict[str, dict[str, Any]]) -> list[str]:
    heads = (
        "model | slice | chips of a host | policy | cache | decode temporaries | peak, apart "
        "| fits | fits beside the learner | ms a token"
    )
    lines = [f"| {heads} |", "|" + "---|" * 10]
    for case in sorted(cases(), key=lambda c: (c.model, c.topology)):
        result = results.get(case.key)
        if case.table == "sampling" and result is not None:
            lines.append(_sampling_row(case, result))
    return lines


def _sampling_row(case: Case, result: dict[str, Any]) -> str:
    resident, decode = result["resident_bytes"], result["programs"]["decode"]
    learner = sum(
        resident[name]
        for name in ("params", "optimizer", "critic_params", "critic_optimizer", "reference")
    )
    apart = [result["programs"][n]["peak_bytes"] - learner for n in ("prefill", "decode")]
    mesh = " ".join(f"{axis}={n}" for axis, n in result["sampler_mesh"].items() if n > 1)
    fits_apart = max(apart) <= result["hbm_bytes"] and not decode["failure"]
    secs = result["sampling_secs"]
    cells = [
        case.model,
        case.topology,
        mesh,
        f"{resident['sampler_params'] / GIB:.2f}",
        f"{resident['cache'] / GIB:.2f}",
        f"{decode['temp_bytes'] / GIB:.2f}",
        f"{max(apart) / GIB:.1f} / {result['hbm_bytes'] / GIB:.1f}",
        "yes" if fits_apart else "no",
        "yes" if result["fits"] else "no",
        f"{1000 * secs['overlapped_secs'] / (NEW_TOKENS * _rounds(case, result)):.1f}"
        if secs
        else "-",
    ]
    return "| " + " | ".join(cells) + " |"


def _rounds(case: Case, result: dict[str, Any]) -> int:
    """How often all slots are filled to draw the samples of an update."""
    hosts = case.rows // math.prod(result["sampler_mesh"].values())
    return -(-max(8, case.rows // 8 * 8) // (NUM_SLOTS * hosts))


def weak_table(results: dict[str, dict[str, Any]]) -> list[str]:
    heads = (
        "model | slice | chips | data x fsdp | arrays GB | sent GB | against 16 chips | fits "
        "| by kind, GB"
    )
    lines = [f"| {heads} |", "|" + "---|" * 9]
    found = [(case, results[case.key]) for case in cases() if case.key in results]
    weak = [pair for pair in found if pair[0].table == "weak"]
    for case, result in sorted(weak, key=lambda pair: (_series(pair[0]), pair[0].rows)):
        accumulate = result["programs"]["accumulate"]
        base = [
            r["programs"]["accumulate"]["wire_bytes"]
            for c, r in weak
            if c.rows == 16 and _series(c) == _series(case)
        ]
        growth = f"{accumulate['wire_bytes'] / base[0] - 1:+.1%}" if base else "-"
        kinds = sorted(accumulate["collectives"].items(), key=lambda p: -p[1]["wire_bytes"])
        moved = ", ".join(
            f"{kind} {traffic['wire_bytes'] / 1e9:.2f}"
            for kind, traffic in kinds
            if traffic["wire_bytes"] > 5e6
        )
        cells = [
            case.model,
            case.topology,
            f"{case.rows}",
            f"{case.data} x {case.fsdp}",
            f"{accumulate['payload_bytes'] / 1e9:.1f}",
            f"{accumulate['wire_bytes'] / 1e9:.1f}",
            growth,
            "yes" if result["fits"] else "no",
            moved,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _series(case: Case) -> tuple[str, str]:
    """What is compared over numbers of chips."""
    return case.model, case.topology.partition(":")[0]


def write_docs(results: dict[str, dict[str, Any]]) -> None:
    """Replaces what stands between the markers of docs/scaling.md."""
    text = DOCS.read_text()
    tables = {
        "fit": fit_table(results),
        "sampling": sampling_table(results),
        "weak": weak_table(results),
    }
    for name, lines in tables.items():
        begin, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = before + begin + "\n".join(lines) + "\n" + end + after
    DOCS.write_text(text)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", default="benchmarks/results/scaling.jsonl")
    parser.add_argument("--max_cases", type=int, default=1000, help="compile no more than these")
    parser.add_argument("--max_secs", type=float, default=1e9, help="then start no other case")
    parser.add_argument("--write_docs", action="store_true")
    args = parser.parse_args(argv)
    path = Path(args.results)
    path.parent.mkdir(parents=True, exist_ok=True)
    results = read(path)
    again = failed(path)
    missing = [case for case in cases() if case.key not in results]
    missing = sorted(missing, key=lambda case: case.key in again)[: args.max_cases]
    begin = time.perf_counter()
    for number, case in enumerate(missing, 1):
        if time.perf_counter() - begin > args.max_secs:
            break
        print(f"[{number}/{len(missing)}] {case.key}", file=sys.stderr, flush=True)
        result = planned(case)
        with path.open("a") as file:
            file.write(json.dumps(result) + "\n")
        outcome = result.get("error") or ("fits" if result["fits"] else "does not fit")
        print(f"    {result['wall_secs']} s: {outcome}", file=sys.stderr, flush=True)
    if args.write_docs:
        write_docs(read(path))


if __name__ == "__main__":
    main()
