"""Dumped rollouts as trajectories: tokens, problem, reward, and an id that stays the same."""

import dataclasses
import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from spo_jax.errors import UserError
from spo_jax.trajectories.dumps import DumpRow, Skipped
from spo_jax.trajectories.validation import check_source, check_trajectories
from spo_jax.types import Trajectory, Turn

Messages = Sequence[Mapping[str, str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportTokenizer:
    """What a tokenizer must do for an import.

    Attributes:
      encode: text to ids, nothing added. decode: ids to text, special tokens left out.
      chat_prompt: messages to the ids of a prompt.
      end_token: ends a completion that finished. vocab_size: ids are below it.
      hash: of the tokenizer.
    """

    encode: Callable[[str], Sequence[int]]
    decode: Callable[[Sequence[int]], str]
    chat_prompt: Callable[[Messages], Sequence[int]]
    end_token: int
    vocab_size: int
    hash: str


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a row belongs.

    Attributes:
      problem_id: of a known problem.
      prompt_tokens: of that problem's prompt as a run asks it, or None to keep the dumped one.
      answer_prefix: how that prompt begins the answer; a completion must begin so too.
    """

    problem_id: str
    prompt_tokens: Sequence[int] | None = None
    answer_prefix: str = ""


# Finds the place of a prompt's text and dumped problem id: None if unknown, or why to skip.
FindPlace = Callable[[str, str | None], Place | str | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """How rows become trajectories.

    Attributes:
      source: 'import:<tool>' or 'run:<name>'.
      reward_scale, reward_offset: the stored reward is scale * dumped + offset.
      chat: a prompt that is text is a user's message, and gets the tokenizer's chat template.
      max_completion_tokens: the limit of the sampler that made the dump: text of at least so many
        tokens was cut off and gets no end token. Only for dumps that do not say how they ended.
      needs_reward: rows without one are skipped; they would never be drawn. False leaves dumped
        rewards aside: the rows will be judged.
    """

    source: str
    reward_scale: float = 1.0
    reward_offset: float = 0.0
    chat: bool = False
    max_completion_tokens: int | None = None
    needs_reward: bool = True

    def __post_init__(self) -> None:
        check_source(self.source)
        if not (math.isfinite(self.reward_scale) and self.reward_scale > 0):
            raise UserError(f"reward_scale={self.reward_scale} must be finite and above 0")
        if not math.isfinite(self.reward_offset):
            raise UserError(f"reward_offset={self.reward_offset} must be finite")
        if self.max_completion_tokens is not None and self.max_completion_tokens < 1:
            raise UserError(
                f"max_completion_tokens={self.max_completion_tokens} must be at least 1"
            )


class Importer:
    """Turns the rows of one file into trajectories; a new one for every file.

    The id hashes step, prompt, completion, tokenizer and how often that combination came before in
    the file. So the same file imported twice, from wherever it lies, gives the same ids.
    """

    def __init__(
        self,
        settings: ImportSettings,
        tokenizer: ImportTokenizer | None = None,
        find_place: FindPlace | None = None,
    ) -> None:
        self._settings = settings
        self._tokenizer = tokenizer
        self._find_place = find_place
        self._occurrences: Counter[bytes] = Counter()

    def trajectories(self, rows: Iterable[DumpRow | Skipped]) -> Iterator[Trajectory | Skipped]:
        """One trajectory, or the reason why not, for every row."""
        for row in rows:
            if isinstance(row, Skipped):
                yield row
                continue
            try:
                yield self._trajectory(row)
            except _SkipError as skip:
                yield Skipped(row.place, skip.reason, skip.detail)

    def _trajectory(self, row: DumpRow) -> Trajectory:
        reward = self._reward(row)
        prompt_text = self._prompt_text(row)
        place = self._place(prompt_text, row.problem_id)
        prompt, tokens, finish_reason = self._tokens(row, place)
        text = self._text(row, place)
        prompt_key = prompt.tobytes() if prompt is not None else prompt_text.encode("utf-8")
        digest = hashlib.blake2b(prompt_key, digest_size=8).hexdigest()
        problem_id = place.problem_id if place else row.problem_id or f"import/{digest}"
        mask = self._mask(row, tokens)
        group = f"{self._settings.source}:{row.step}:{digest}"
        item = Trajectory(
            trajectory_id=f"{group}:{self._name(row, prompt_key, tokens, text)}",
            group_id=group,
            problem_id=problem_id,
            source=self._settings.source,
            turns=_turns(mask),
            prompt_tokens=prompt,
            completion_tokens=tokens,
            completion_mask=mask,
            finish_reason=finish_reason,  # type: ignore[arg-type]
            behavior_logprobs=self._logprobs(row, tokens),
            reward=reward,
            tokenizer_hash=self._tokenizer.hash if self._tokenizer and tokens is not None else None,
            prompt_text=prompt_text or None,
            completion_text=text,
            metadata={"place": row.place, "step": str(row.step)},
        )
        try:
            check_trajectories([item])
        except UserError as error:
            raise _SkipError("invalid", str(error)) from error
        return item

    def _reward(self, row: DumpRow) -> float | None:
        if not self._settings.needs_reward:
            return None
        if row.reward is None:
            raise _SkipError("no_reward")
        if isinstance(row.reward, bool | int | float) and math.isfinite(row.reward):
            scaled = self._settings.reward_scale * row.reward + self._settings.reward_offset
            if math.isfinite(scaled):
                return scaled
        raise _SkipError("bad_reward", repr(row.reward))

    def _prompt_text(self, row: DumpRow) -> str:
        if isinstance(row.prompt, str):
            return row.prompt
        if row.prompt is not None:
            return "\n".join(message["content"] for message in row.prompt)
        if row.prompt_tokens and self._tokenizer is not None:
            return self._tokenizer.decode(_ids(row.prompt_tokens, self._tokenizer).tolist())
        return ""

    def _place(self, prompt_text: str, problem_id: str | None) -> Place | None:
        found = self._find_place(prompt_text, problem_id) if self._find_place else None
        if isinstance(found, str):
            raise _SkipError(found)
        return found

    def _tokens(
        self, row: DumpRow, place: Place | None
    ) -> tuple[np.ndarray | None, np.ndarray | None, str]:
        """Prompt and completion ids (None without a tokenizer), and how the completion ended."""
        tokenizer, finish_reason = self._tokenizer, row.finish_reason or "stop"
        if row.prompt is None and not row.prompt_tokens:
            raise _SkipError("no_prompt")
        if row.completion is None and row.completion_tokens is None:
            raise _SkipError("no_completion")
        if not row.completion and not row.completion_tokens:
            raise _SkipError("empty_completion")
        if row.completion_tokens and row.prompt_tokens:
            tokens = _ids(row.completion_tokens, tokenizer)
            if place is None or place.prompt_tokens is None:
                return _ids(row.prompt_tokens, tokenizer), tokens, finish_reason
            if not place.answer_prefix:
                return np.asarray(place.prompt_tokens, np.int32), tokens, finish_reason
        if tokenizer is None:
            if row.completion is None:
                raise _SkipError("no_completion", "tokens without a prompt, and no tokenizer")
            return None, None, finish_reason
        prompt = self._tokenized_prompt(row, place, tokenizer)
        ids = list(tokenizer.encode(self._text(row, place) or ""))
        limit = self._settings.max_completion_tokens
        if row.finish_reason is None and limit is not None and len(ids) >= limit:
            finish_reason = "length"
        if finish_reason == "stop":
            ids.append(tokenizer.end_token)
        if not ids:
            raise _SkipError("empty_completion")
        return prompt, np.asarray(ids, np.int32), finish_reason

    def _text(self, row: DumpRow, place: Place | None) -> str | None:
        """The completion's text, from where the prompt ends."""
        text, tokenizer = row.completion, self._tokenizer
        if text is None and tokenizer is not None and row.completion_tokens:
            text = tokenizer.decode(_ids(row.completion_tokens, tokenizer).tolist())
        if text is None or place is None or place.prompt_tokens is None:
            return text
        if not text.startswith(place.answer_prefix):
            raise _SkipError("answer_prefix", f"it must begin with {place.answer_prefix!r}")
        return text[len(place.answer_prefix) :]

    def _tokenized_prompt(
        self, row: DumpRow, place: Place | None, tokenizer: ImportTokenizer
    ) -> np.ndarray:
        if place is not None and place.prompt_tokens is not None:
            return np.asarray(place.prompt_tokens, np.int32)
        if isinstance(row.prompt, str) and not self._settings.chat:
            ids = tokenizer.encode(row.prompt)
        elif isinstance(row.prompt, str):
            ids = tokenizer.chat_prompt([{"role": "user", "content": row.prompt}])
        elif row.prompt is not None:
            ids = tokenizer.chat_prompt(row.prompt)
        else:
            ids = list(row.prompt_tokens or ())
        if not len(ids):
            raise _SkipError("no_prompt", "it has no tokens")
        return np.asarray(ids, np.int32)

    def _mask(self, row: DumpRow, tokens: np.ndarray | None) -> np.ndarray | None:
        if tokens is None:
            return None
        if row.completion_mask is None:
            return np.ones(len(tokens), bool)
        if not _are_dumped(tokens, row) or len(row.completion_mask) != len(tokens):
            raise _SkipError("bad_mask", "it does not fit the completion's tokens")
        mask = np.array([bool(m) for m in row.completion_mask])
        if not mask.any():
            raise _SkipError("bad_mask", "no token is the policy's")
        return mask

    def _logprobs(self, row: DumpRow, tokens: np.ndarray | None) -> np.ndarray | None:
        """Kept only beside the very tokens they belong to; dropped where text was encoded anew."""
        if row.behavior_logprobs is None or tokens is None or not _are_dumped(tokens, row):
            return None
        if len(row.behavior_logprobs) != len(tokens):
            return None
        try:
            values = np.asarray(row.behavior_logprobs, np.float32)
        except (TypeError, ValueError):
            return None
        return values if np.isfinite(values).all() else None

    def _name(
        self, row: DumpRow, prompt_key: bytes, tokens: np.ndarray | None, text: str | None
    ) -> str:
        name = hashlib.blake2b(digest_size=12)
        completion = tokens.tobytes() if tokens is not None else (text or "").encode()
        tokenizer = self._tokenizer.hash if self._tokenizer else ""
        for part in (repr(row.step).encode(), prompt_key, completion, tokenizer.encode()):
            name.update(len(part).to_bytes(8, "little") + part)
        digest = name.digest()
        self._occurrences[digest] += 1
        number = self._occurrences[digest]
        return name.hexdigest() + (f".{number}" if number > 1 else "")


class _SkipError(Exception):
    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def _are_dumped(tokens: np.ndarray, row: DumpRow) -> bool:
    """Whether these are the dump's own tokens, and not its text encoded anew."""
    return row.completion_tokens is not None and np.array_equal(tokens, row.completion_tokens)


def _ids(values: Any, tokenizer: ImportTokenizer | None) -> np.ndarray:
    try:
        ids = np.asarray(values)
    except ValueError as error:
        raise _SkipError("bad_tokens", str(error)) from error
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= 2**31:
        raise _SkipError("bad_tokens", "token ids must be natural numbers")
    if tokenizer is not None and ids.max() >= tokenizer.vocab_size:
        raise _SkipError(
            "bad_tokens", f"id {ids.max()}, but the tokenizer has {tokenizer.vocab_size} tokens"
        )
    return ids.astype(np.int32)


def _turns(mask: np.ndarray | None) -> tuple[Turn, ...]:
    """Spans of tokens by who chose them."""
    if mask is None:
        return ()
    turns, position = [], 0
    for chosen, run in itertools.groupby(mask.tolist()):
        length = len(list(run))
        turns.append(Turn("policy" if chosen else "environment", position, position + length))
        position += length
    return tuple(turns)
