"""Score token sequences: log-probabilities under a model, and soft Q-values against a reference.

The input has one JSON object per line, of either form:
  {"token_ids": [5, 17, 3]}                  no tokenizer needed
  {"prompt": "2 + 2 = ", "completion": "4"}  text, tokenized as it stands

The output repeats every row, in order, and adds
  logprobs    float32 log-probabilities in nats at temperature 1: for token_ids rows of each token
              after the first; for prompt/completion rows of the completion's tokens only, which
              are added as completion_token_ids
and with --reference, for the same tokens,
  log_ratios  logprobs minus those of the reference
  soft_q      initial value + beta * (sum of log_ratios up to and including the token)
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spo_jax.commands.jsonl import read_jsonl
from spo_jax.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from spo_jax.packing import PackedRows

HELP = "add log-probabilities (and soft Q-values) to token sequences or texts"

_SHORTEST_BATCH = 32  # tokens; shorter rows are padded to this length
_PROGRESS_SECS = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Row:
    """One line of the input: `place` is 'file:line', the tokens after `num_prompt` are scored."""

    place: str
    fields: dict[str, Any]
    tokens: list[int]
    num_prompt: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Batch:
    """Rows of like length: their indices in the input, and how they are laid."""

    indices: list[int]
    rows: "PackedRows"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    source = "a model directory, .gguf file, hub id or 'smollm2'"
    add("--model", required=True, metavar="DIR", help=source)
    add("--reference", metavar="DIR", help="the frozen reference, likewise; needs --beta")
    add("--beta", type=float, help="units of reward per nat; above 0")
    add("--initial_value", type=float, default=0.0, help="Q_0 of every row (default 0)")
    add("--input", required=True, metavar="IN.jsonl", help="rows to score")
    add("--output", required=True, metavar="OUT.jsonl", help="written whole when all is done")
    add("--add_bos", action="store_true", help="put the beginning token before every text prompt")
    add("--batch_tokens", type=int, default=4096, help="tokens per forward pass (default 4096)")
    add("--compute_dtype", default="float32", help="of matrix products (default float32)")
    add("--json", action="store_true", help="print a summary as one JSON object")


def run(args: argparse.Namespace) -> int:
    from spo_jax.models.pretrained import load_config

    _check_flags(args)
    lines = read_jsonl("--input", args.input)
    for place, fields in lines:
        _check_fields(place, fields)
    # Everything that can be wrong with the rows is found before any weights are read.
    sources = [args.model] if args.reference is None else [args.model, args.reference]
    configs = [load_config(source) for source in sources]
    rows = _tokenize(args, lines)
    for source, config in zip(sources, configs, strict=True):
        for row in rows:
            _check_tokens(row, source, config.vocab_size, config.max_position)
    batches = list(_batches(rows, args.batch_tokens, min(c.max_position for c in configs)))
    started = time.monotonic()
    scores = [_forward(source, args.compute_dtype, batches) for source in sources]
    added = _added_fields(args, rows, batches, scores)
    _write(Path(args.output), rows, added)
    num_tokens = sum(len(row.tokens) - row.num_prompt for row in rows)
    _report(args, len(rows), num_tokens, time.monotonic() - started)
    return 0


def _check_flags(args: argparse.Namespace) -> None:
    if (args.reference is None) != (args.beta is None):
        given, absent = ("beta", "reference") if args.reference is None else ("reference", "beta")
        raise UserError(f"--{given} needs --{absent}: soft Q-values take both")
    if args.beta is not None and not args.beta > 0:
        raise UserError(f"--beta={args.beta} must be above 0")
    if args.batch_tokens < 1:
        raise UserError(f"--batch_tokens={args.batch_tokens} must be at least 1")
    directory = Path(args.output).absolute().parent
    if not directory.is_dir():
        raise UserError(f"--output={args.output}: there is no directory {directory}")


def _check_fields(place: str, fields: dict[str, Any]) -> None:
    has_text = "prompt" in fields and "completion" in fields
    if has_text == ("token_ids" in fields):
        raise UserError(
            f'{place}: a row must have either "token_ids" or both "prompt" and "completion"; '
            f"it has {sorted(fields)}"
        )
    for name in ("prompt", "completion") if has_text else ():
        if not isinstance(fields[name], str):
            raise UserError(f'{place}: "{name}" must be a string, got {fields[name]!r}')
    if not has_text:
        ids = fields["token_ids"]
        if not isinstance(ids, list) or not all(type(token) is int for token in ids) or not ids:
            raise UserError(f'{place}: "token_ids" must be a list of at least one integer')


def _tokenize(args: argparse.Namespace, lines: Sequence[tuple[str, dict[str, Any]]]) -> list[_Row]:
    from spo_jax.models.pretrained import resolve
    from spo_jax.tokenizers import load_tokenizer

    tokenizer = None
    if any("token_ids" not in fields for _, fields in lines):
        tokenizer = load_tokenizer(resolve(args.model))
        if args.add_bos and tokenizer.bos_id is None:
            raise UserError(f"--add_bos: the tokenizer of {args.model} has no beginning token")
    rows = []
    for place, fields in lines:
        if tokenizer is None or "token_ids" in fields:
            rows.append(_Row(place, fields, fields["token_ids"], num_prompt=1))
            continue
        prompt = tokenizer.encode(fields["prompt"])
        if args.add_bos and tokenizer.bos_id is not None:
            prompt = [tokenizer.bos_id, *prompt]
        if not prompt:
            raise UserError(f'{place}: "prompt" has no tokens; it must have one to predict from')
        tokens = prompt + tokenizer.encode(fields["completion"])
        rows.append(_Row(place, fields, tokens, len(prompt)))
    return rows


def _check_tokens(row: _Row, model: str, vocab_size: int, max_position: int) -> None:
    for token in row.tokens:
        if not 0 <= token < vocab_size:
            raise UserError(
                f"{row.place}: token id {token} is outside the vocabulary of {model}, "
                f"which has {vocab_size}"
            )
    if len(row.tokens) > max_position:
        raise UserError(
            f"{row.place}: {len(row.tokens)} tokens, more than the context of {model}, "
            f"which is {max_position}"
        )


def _batches(rows: list[_Row], batch_tokens: int, max_position: int) -> Iterator[_Batch]:
    """Groups rows by padded length, so that few shapes are compiled and little is padding."""
    from spo_jax.packing import pack_separately

    by_length: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        length = min(_padded_length(len(row.tokens)), max_position)
        by_length.setdefault(length, []).append(index)
    for length, indices in sorted(by_length.items()):
        size = min(max(1, batch_tokens // length), len(indices))
        for start in range(0, len(indices), size):
            chosen = indices[start : start + size]
            tokens = [(rows[i].tokens, rows[i].num_prompt) for i in chosen]
            packed = pack_separately(
                [ids[:n] for ids, n in tokens],
                [ids[n:] for ids, n in tokens],
                num_rows=size,
                row_length=length,
                max_completion_tokens=length,
                pad_id=0,
            )
            yield _Batch(chosen, packed)


def _padded_length(length: int) -> int:
    """Rounds up to a power of two or one and a half times one."""
    size = _SHORTEST_BATCH
    while size < length:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


def _forward(source: str, compute_dtype: str, batches: list[_Batch]) -> "list[np.ndarray]":
    """Returns the log-probabilities [B, T] of every batch under one model, which is then freed."""
    import jax
    import numpy as np

    from spo_jax.models.pretrained import load_pretrained
    from spo_jax.models.transformer import Transformer
    from spo_jax.scoring import score_rows

    loaded = load_pretrained(source, compute_dtype=compute_dtype)
    model = Transformer(loaded.config)
    score = jax.jit(lambda params, rows: score_rows(model, params, rows).logprobs_BT)
    progress = _Progress(f"scoring under {source}", sum(len(batch.indices) for batch in batches))
    scores = []
    for batch in batches:
        scores.append(np.asarray(score(loaded.params, batch.rows)))
        progress.advance(len(batch.indices))
    return scores


class _Progress:
    """A line on stderr every few seconds, with the rate and the time left."""

    def __init__(self, label: str, num_rows: int) -> None:
        self._label, self._num_rows, self._done = label, num_rows, 0
        self._started = self._printed = time.monotonic()

    def advance(self, num_rows: int) -> None:
        self._done += num_rows
        now = time.monotonic()
        if now - self._printed < _PROGRESS_SECS:
            return
        self._printed = now
        rate = self._done / (now - self._started)
        print(
            f"{self._label}: {self._done}/{self._num_rows} rows, {rate:.1f} rows/s, "
            f"about {(self._num_rows - self._done) / rate:.0f} s left",
            file=sys.stderr,
            flush=True,
        )


def _by_row(batches: list[_Batch], values: "list[np.ndarray]") -> "list[np.ndarray]":
    """Returns each row's scored values [T], in the order of the input."""
    by_index = {}
    for batch, values_BT in zip(batches, values, strict=True):
        for b, index in enumerate(batch.indices):
            by_index[index] = values_BT[b, batch.rows.mask_RnT[b, 0]]
    return [by_index[index] for index in range(len(by_index))]


def _added_fields(
    args: argparse.Namespace,
    rows: list[_Row],
    batches: list[_Batch],
    scores: "list[list[np.ndarray]]",
) -> list[dict[str, Any]]:
    """Returns what each row gains, from the scores under the model and perhaps the reference."""
    added: list[dict[str, Any]] = [{} for _ in rows]
    for row, new in zip(rows, added, strict=True):
        if "token_ids" not in row.fields:
            new["completion_token_ids"] = row.tokens[row.num_prompt :]
    columns = {"logprobs": scores[0]}
    if len(scores) > 1:
        columns |= _soft_q_columns(args, batches, *scores)
    for name, column in columns.items():
        for new, values in zip(added, _by_row(batches, column), strict=True):
            new[name] = _numbers(values)
    return added


def _soft_q_columns(
    args: argparse.Namespace,
    batches: list[_Batch],
    logprobs: "list[np.ndarray]",
    ref_logprobs: "list[np.ndarray]",
) -> "dict[str, list[np.ndarray]]":
    import jax.numpy as jnp
    import numpy as np

    from spo_jax.objectives.soft_q import log_ratios, soft_q_values

    ratios, values = [], []
    for batch, policy_BT, reference_BT in zip(batches, logprobs, ref_logprobs, strict=True):
        mask_BT = jnp.asarray(batch.rows.mask_RnT[:, 0])
        ratios_BT = log_ratios(jnp.asarray(policy_BT), jnp.asarray(reference_BT), mask_BT)
        initial_value_B = jnp.full(len(policy_BT), args.initial_value)
        ratios.append(np.asarray(ratios_BT))
        values.append(np.asarray(soft_q_values(ratios_BT, initial_value_B, args.beta)))
    return {"log_ratios": ratios, "soft_q": values}


def _numbers(values: "np.ndarray") -> list[float]:
    """Nine digits, which is all that a float32 has."""
    return [float(f"{value:.9g}") for value in values]


def _write(path: Path, rows: list[_Row], added: list[dict[str, Any]]) -> None:
    """Writes beside the target and renames: a reader sees all of the output or none of it."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.absolute().parent, prefix=f".{path.name}.", delete=False
    ) as file:
        try:
            for row, new in zip(rows, added, strict=True):
                file.write(json.dumps(row.fields | new, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _report(args: argparse.Namespace, num_rows: int, num_tokens: int, secs: float) -> None:
    if args.json:
        summary = {"rows": num_rows, "scored_tokens": num_tokens, "secs": round(secs, 3)}
        print(json.dumps(summary | {"output": args.output}))
    else:
        print(f"scored {num_tokens} tokens in {num_rows} rows ({secs:.1f} s) -> {args.output}")
