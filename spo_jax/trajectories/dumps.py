"""Rollouts that other trainers dumped, read row by row without importing any of them.

| format | files | written by |
|---|---|---|
| `verl` | `{step}.jsonl`: input, output, score, step | `trainer.rollout_data_dir` |
| `open-instruct` | `*_rollouts_*.jsonl`: prompt_tokens, response_tokens, reward | `--save_traces` |
| `trl` | `completions_*.parquet`: step, prompt, completion, reward columns | `log_completions` |
| `slime` | `*.pt`: torch.save of plain data | `--save-debug-rollout-data` |
| `jsonl` | prompt, completion, reward | anybody; also `spo trajectories export-jsonl` |

A row that cannot be used is a `Skipped` with its reason: nothing is repaired or guessed.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spo_jax.errors import UserError, nearest
from spo_jax.trajectories.plain_pickle import read_torch_file

_TRL_KNOWN = ("step", "prompt", "completion", "advantage", "mode")
_SUFFIXES = (".jsonl", ".parquet", ".pt")
_BATCH_ROWS = 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class DumpRow:
    """One rollout as dumped: text, tokens or both.

    Attributes:
      place: 'file:line', for messages and metadata.
      prompt: text, or messages with 'role' and 'content', or None where only tokens are known.
      completion: text, or None likewise.
      prompt_tokens, completion_tokens, completion_mask, behavior_logprobs: where dumped.
      reward: as dumped, in the dump's units; None where there is none.
      finish_reason: 'stop' or 'length', or None where the dump does not say.
      problem_id: where dumped. step: of the other trainer. group: what the dump says belongs
        together.
    """

    place: str
    prompt: str | Sequence[Mapping[str, str]] | None = None
    completion: str | None = None
    prompt_tokens: Sequence[int] | None = None
    completion_tokens: Sequence[int] | None = None
    completion_mask: Sequence[bool] | None = None
    behavior_logprobs: Sequence[float] | None = None
    reward: Any = None
    finish_reason: str | None = None
    problem_id: str | None = None
    step: int | None = None
    group: str | None = None


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A row that is left out: where it stands, a word for the count, a line for a person."""

    place: str
    reason: str
    detail: str = ""


def dump_files(path: str) -> list[Path]:
    """The files of a dump, a file or a folder, in the order of the numbers in their names.

    Raises:
      UserError: there is nothing, or nothing that could be a dump.
    """
    root = Path(path)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise UserError(f"'{path}' is neither a file nor a directory")
    found = [file for file in root.rglob("*") if file.suffix in _SUFFIXES and _is_dump(file)]
    if not found:
        raise UserError(f"'{path}' holds no dump: no file ends in {', '.join(_SUFFIXES)}")
    return sorted(found, key=_natural)


def detect_format(file: Path) -> str:
    """The format of a dump's file, by its name's ending and the fields of its first rows.

    Raises:
      UserError: none fits.
    """
    if file.suffix == ".pt":
        return "slime"
    if file.suffix == ".parquet":
        return "trl"
    fields: set[str] = set()
    with file.open("rb") as lines:
        for line, _ in zip(lines, range(100), strict=False):
            row = _parsed(line)
            if isinstance(row, dict):
                fields = set(row)
                break
    for name, needed in (
        ("verl", {"input", "output", "score"}),
        ("open-instruct", {"prompt_tokens", "response_tokens", "reward"}),
        ("jsonl", {"prompt", "completion"}),
        ("jsonl", {"prompt_text", "completion_text"}),
        ("jsonl", {"prompt_tokens", "completion_tokens"}),
    ):
        if needed <= fields:
            return name
    raise UserError(
        f"{file}: no known format has the fields {sorted(fields)}; name one of "
        f"{', '.join(FORMATS)} with --format"
    )


def read_dump(
    file: Path, dump_format: str, reward_columns: Sequence[str] = ()
) -> Iterator[DumpRow | Skipped]:
    """Rows of one file, streaming (a .pt file is held whole).

    Args:
      file: of the dump.
      dump_format: one of `FORMATS`.
      reward_columns: whose sum is the reward, where a dump has several (trl, slime).

    Raises:
      UserError: an unknown format, a file that is not of it, or reward columns that are not there.
    """
    if dump_format not in FORMATS:
        raise UserError(
            f"unknown format '{dump_format}'{nearest(dump_format, FORMATS)} "
            f"(one of {', '.join(FORMATS)})"
        )
    if dump_format == "trl":
        yield from _trl_rows(file, reward_columns)
        return
    if dump_format == "slime":
        yield from _slime_rows(file, reward_columns)
        return
    make = _JSON_ROWS[dump_format]
    for place, row in _json_lines(file):
        yield row if isinstance(row, Skipped) else make(place, row)


def _is_dump(file: Path) -> bool:
    """Leaves out what open-instruct writes beside its rollouts."""
    return not (file.stem.endswith("_metadata") or "_trainer_logprobs_" in file.stem)


def _natural(file: Path) -> list[Any]:
    parts = re.split(r"(\d+)", file.as_posix())
    return [int(part) if number % 2 else part for number, part in enumerate(parts)]


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _json_lines(file: Path) -> Iterator[tuple[str, Any]]:
    """('file:line', object or why not); the last line may have been cut by a crash."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            place = f"{file}:{number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                reason = "bad_json" if line.endswith(b"\n") else "truncated_line"
                yield place, Skipped(place, reason, str(error))
                continue
            if isinstance(row, dict):
                yield place, row
            else:
                yield place, Skipped(place, "bad_json", "a row must be a JSON object")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _verl_row(place: str, row: dict[str, Any]) -> DumpRow:
    return DumpRow(
        place=place,
        prompt=_text(row.get("input")),
        completion=_text(row.get("output")),
        reward=row.get("score"),
        step=_integer(row.get("step")),
        problem_id=_text(row.get("problem_id")),
    )


def _open_instruct_row(place: str, row: dict[str, Any]) -> DumpRow | Skipped:
    calls = (row.get("request_info") or {}).get("num_calls")
    if calls:
        return Skipped(place, "tool_calls", f"{calls} tool calls: whose tokens is not dumped")
    return DumpRow(
        place=place,
        prompt_tokens=row.get("prompt_tokens"),
        completion_tokens=row.get("response_tokens"),
        behavior_logprobs=row.get("logprobs"),
        reward=row.get("reward"),
        finish_reason="stop" if row.get("finish_reason") == "stop" else "length",
        step=_integer(row.get("step")),
        group=str(row.get("prompt_idx")),
    )


def _jsonl_row(place: str, row: dict[str, Any]) -> DumpRow | Skipped:
    prompt = row.get("prompt", row.get("prompt_text"))
    if prompt is not None and not isinstance(prompt, str) and not _are_messages(prompt):
        return Skipped(place, "no_prompt", "prompt must be text or messages")
    return DumpRow(
        place=place,
        prompt=prompt,
        completion=_text(row.get("completion", row.get("completion_text"))),
        prompt_tokens=row.get("prompt_tokens"),
        completion_tokens=row.get("completion_tokens"),
        completion_mask=row.get("completion_mask"),
        behavior_logprobs=row.get("behavior_logprobs"),
        reward=row.get("reward"),
        finish_reason=row.get("finish_reason"),
        problem_id=_text(row.get("problem_id")),
        step=_integer(row.get("step")),
        group=_text(row.get("group_id")),
    )


_JSON_ROWS: dict[str, Callable[[str, dict[str, Any]], DumpRow | Skipped]] = {
    "verl": _verl_row,
    "open-instruct": _open_instruct_row,
    "jsonl": _jsonl_row,
}
FORMATS = (*_JSON_ROWS, "trl", "slime")


def _are_messages(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(m, dict) and isinstance(m.get("content"), str) for m in value)
    )


def _trl_rows(file: Path, reward_columns: Sequence[str]) -> Iterator[DumpRow | Skipped]:
    try:
        table = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        yield Skipped(str(file), "damaged_file", str(error).strip())
        return
    schema = table.schema_arrow
    for name in ("prompt", "completion"):
        if name not in schema.names:
            raise UserError(f"{file}: a trl dump has the column '{name}', this has {schema.names}")
    rewards = _trl_rewards(file, schema, reward_columns)
    columns = [name for name in schema.names if name in (*_TRL_KNOWN, *rewards)]
    number = 0
    try:
        for batch in table.iter_batches(_BATCH_ROWS, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield _trl_row(f"{file}:{number}", row, rewards)
    except (pa.ArrowException, OSError) as error:
        yield Skipped(f"{file}:{number + 1}", "damaged_file", str(error).strip())


def _trl_rewards(file: Path, schema: pa.Schema, wanted: Sequence[str]) -> list[str]:
    """Columns that make the reward. The file does not say which are, nor their weights."""
    numbers = [
        field.name
        for field in schema
        if field.name not in _TRL_KNOWN
        and (pa.types.is_floating(field.type) or pa.types.is_integer(field.type))
    ]
    if wanted:
        for name in wanted:
            if name not in numbers:
                raise UserError(f"{file}: no reward column '{name}'{nearest(name, numbers)}")
        return list(wanted)
    if len(numbers) > 1:
        raise UserError(
            f"{file}: {len(numbers)} columns may be rewards ({', '.join(numbers)}): say whose sum "
            "is the reward with --reward_columns"
        )
    return numbers


def _trl_row(place: str, row: dict[str, Any], rewards: Sequence[str]) -> DumpRow | Skipped:
    completion, prompt = row["completion"], row["prompt"]
    if _are_messages(completion):
        if len(completion) > 1:
            return Skipped(place, "several_turns", f"{len(completion)} messages")
        completion = completion[0]["content"]
    values = [row[name] for name in rewards]
    return DumpRow(
        place=place,
        prompt=prompt if isinstance(prompt, str) or _are_messages(prompt) else None,
        completion=_text(completion),
        reward=None if not values or None in values else sum(values),
        step=_integer(row.get("step")),
    )


def _slime_rows(file: Path, reward_columns: Sequence[str]) -> Iterator[DumpRow | Skipped]:
    try:
        dump = read_torch_file(file)
    except UserError as error:
        yield Skipped(str(file), "not_plain_data", str(error))
        return
    samples = dump.get("samples") if isinstance(dump, dict) else None
    if not isinstance(samples, list):
        raise UserError(f"{file}: a slime dump holds a dict with 'samples'")
    for number, sample in enumerate(samples, 1):
        place = f"{file}:{number}"
        if isinstance(sample, dict):
            yield _slime_row(place, sample, _integer(dump.get("rollout_id")), reward_columns)
        else:
            yield Skipped(place, "bad_sample", type(sample).__name__)


def _slime_row(
    place: str, sample: dict[str, Any], step: int | None, reward_columns: Sequence[str]
) -> DumpRow | Skipped:
    status = sample.get("status")
    if status not in ("completed", "truncated") or sample.get("remove_sample"):
        return Skipped(place, "unfinished", f"status '{status}'")
    tokens, length = sample.get("tokens") or [], sample.get("response_length") or 0
    if not isinstance(length, int) or not 0 <= length <= len(tokens):
        return Skipped(place, "bad_tokens", f"response_length={length} of {len(tokens)} tokens")
    start = len(tokens) - length
    reward = sample.get("reward")
    if isinstance(reward, dict):
        if not reward_columns:
            raise UserError(
                f"{place}: the reward has the parts {', '.join(map(str, reward))}: say whose sum "
                "is the reward with --reward_columns"
            )
        parts = [reward.get(name) for name in reward_columns]
        numbers = [part for part in parts if isinstance(part, int | float)]
        reward = sum(numbers) if len(numbers) == len(parts) else None
    mask = sample.get("loss_mask")
    prompt = sample.get("prompt")
    return DumpRow(
        place=place,
        prompt=prompt if isinstance(prompt, str) or _are_messages(prompt) else None,
        completion=_text(sample.get("response")),
        prompt_tokens=tokens[:start] or None,
        completion_tokens=tokens[start:] or None,
        completion_mask=None if mask is None else [bool(m) for m in mask],
        behavior_logprobs=sample.get("rollout_log_probs"),
        reward=reward,
        finish_reason="length" if status == "truncated" else "stop",
        step=step,
        group=str(sample.get("group_index")),
    )
