"""Text to token ids and back, with the chat template and the end-of-turn token of a checkpoint.

A tokenizer comes from a directory or hub id with the published `tokenizer.json`, or from the
metadata of a GGUF file. `transformers` does the work (no torch needed); it is imported on loading.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import tokenizers

from spo_jax.errors import UserError, nearest
from spo_jax.models.gguf_io import GgufFile
from spo_jax.models.smollm2 import smollm2_path

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_QWEN2 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}|{_REST}"
_LLAMA3 = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}"

# GGUF's `tokenizer.ggml.pre` -> how text is cut before byte-pair merging.
_DIGITS_AND_GPT2, _GPT2_ONLY, _QWEN2_REGEX, _LLAMA3_REGEX = "digits", "gpt2", "qwen2", "llama3"
_PRE_TOKENIZERS = {
    "smollm": _DIGITS_AND_GPT2,
    "starcoder": _DIGITS_AND_GPT2,
    "refact": _DIGITS_AND_GPT2,
    "gpt-2": _GPT2_ONLY,
    "olmo": _GPT2_ONLY,
    "qwen2": _QWEN2_REGEX,
    "deepseek-r1-qwen": _QWEN2_REGEX,
    "llama-bpe": _LLAMA3_REGEX,
    "llama3": _LLAMA3_REGEX,
    "llama-v3": _LLAMA3_REGEX,
}
_STAND_IN = "<answer>"  # in the place of an answer whose tokens are known
_CONTROL_TYPES = (2, 3)  # unknown, control
_USER_DEFINED_TYPE = 4
_UNUSED_TYPE = 5


class Tokenizer:
    """A fast tokenizer with explicit end-of-turn handling.

    Attributes:
      hash: sha256 of the vocabulary and the rules that cut text; equal after save and load.
      vocab_size: largest token id plus one, added tokens included.
      eos_ids: tokens that end an answer; the one the chat template writes comes first.
      pad_id: fills unused positions. May equal an end token if the checkpoint says so: what is
        padding is known from masks, never from this id.
      bos_id: or None.
      unk_id: or None.
    """

    def __init__(self, fast: Any, *, extra_eos_ids: Iterable[int] = ()):
        """Wraps a `transformers.PreTrainedTokenizerFast`.

        Args:
          fast: the tokenizer.
          extra_eos_ids: ends besides its `eos_token`, as in `generation_config.json`.

        Raises:
          UserError: the tokenizer has no end token.
        """
        self._fast = fast
        self.hash = _hash(fast.backend_tokenizer)
        self.vocab_size = max(fast.get_vocab().values()) + 1
        self.bos_id: int | None = fast.bos_token_id
        self.unk_id: int | None = fast.unk_token_id
        ends = [self._end_of_turn_id(), fast.eos_token_id, *extra_eos_ids]
        self.eos_ids = tuple(dict.fromkeys(end for end in ends if end is not None))
        if not self.eos_ids:
            raise UserError("the tokenizer names no end-of-sequence token (eos_token)")
        self.pad_id = self._choose_pad_id()

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; adds no special tokens, but recognises those written in it."""
        return self._fast.encode(text, add_special_tokens=False)

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """Text of token ids; bytes that are no valid UTF-8 become U+FFFD."""
        return self._fast.decode(
            [int(i) for i in ids],
            skip_special_tokens=skip_special_tokens,
            clean_up_tokenization_spaces=False,
        )

    def chat_prompt(
        self, messages: Sequence[Mapping[str, str]], *, answer_prefix: str = ""
    ) -> list[int]:
        """Token ids of a conversation up to where the assistant goes on.

        Args:
          messages: turns with keys 'role' and 'content'.
          answer_prefix: opens the answer, for example with a code fence.

        Raises:
          UserError: there is no chat template, or it refuses the messages.
        """
        return self.encode(self._render(messages, add_generation_prompt=True) + answer_prefix)

    def chat_follow_up(
        self,
        messages: Sequence[Mapping[str, str]],
        follow_up: str,
        *,
        answer_prefix: str = "",
        num_answers: int = 1,
    ) -> list[int]:
        """Token ids between one answer of the assistant and the next: the user's message.

        What the assistant wrote is not rendered: a stand-in marks its place, so its own tokens stay
        as they are. They begin with the template's end of turn (see `eos_ids`), which the caller
        leaves out where the answer ended with it. Special tokens written in `follow_up` are broken
        up: what a program printed cannot end a turn.

        Args:
          messages: the conversation before the first answer.
          follow_up: the user's message after the answer.
          answer_prefix: opens every answer.
          num_answers: answers so far.

        Raises:
          UserError: the template writes earlier turns anew when a later one is added.
        """
        answer = {"role": "assistant", "content": answer_prefix + _STAND_IN}
        pair = [answer, {"role": "user", "content": _STAND_IN}]
        before = [*messages, *pair * (num_answers - 1)]
        user = {"role": "user", "content": self._without_specials(follow_up)}
        known = self._render(before, add_generation_prompt=True) + answer_prefix + _STAND_IN
        text = self._render([*before, answer, user], add_generation_prompt=True)
        if not text.startswith(known):
            raise UserError(
                "the chat template writes earlier turns anew when a turn is added (after "
                f"{len(before)} messages), so an answer cannot be followed by feedback; use "
                "max_turns=1 or a template that only appends"
            )
        return self.encode(text[len(known) :] + answer_prefix)

    def save(self, directory: str | Path) -> None:
        """Writes the files from which `transformers` and vLLM load the same tokenizer."""
        self._fast.save_pretrained(directory)
        path = Path(directory) / "tokenizer_config.json"
        config = json.loads(path.read_text())
        # transformers 5 writes a class name of its own that version 4 does not know
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")

    def _render(self, messages: Sequence[Mapping[str, str]], **options: Any) -> str:
        if not self._fast.chat_template:
            raise UserError("the tokenizer has no chat template; use an instruction-tuned model")
        try:
            return self._fast.apply_chat_template(list(messages), tokenize=False, **options)
        except jinja2.TemplateError as error:
            raise UserError(f"the chat template refuses the messages: {error}") from error

    def _without_specials(self, text: str) -> str:
        for token in self._fast.added_tokens_decoder.values():
            if token.special:
                text = text.replace(token.content, " ".join(token.content))
        return text

    def _end_of_turn_id(self) -> int | None:
        """The special token which the chat template writes after an assistant's message."""
        if not self._fast.chat_template:
            return None
        question = {"role": "user", "content": "question"}
        text = self._render([question, {"role": "assistant", "content": "<answer>"}])
        specials = set(self._fast.all_special_ids)
        after = self.encode(text.rpartition("<answer>")[2])
        return next((token for token in after if token in specials), None)

    def _choose_pad_id(self) -> int:
        if self._fast.pad_token_id is not None:
            return self._fast.pad_token_id
        candidates = [self.unk_id, self.bos_id, *range(len(self.eos_ids) + 1)]
        return next(i for i in candidates if i is not None and i not in self.eos_ids)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Loads the tokenizer of a checkpoint.

    Args:
      path: a directory with `tokenizer.json`, a .gguf file, a hub id, or 'smollm2'.

    Raises:
      UserError: there is no such tokenizer, or it is of a kind that is not supported.
    """
    if str(path) == "smollm2":
        path = smollm2_path()
    if Path(path).suffix == ".gguf":
        return _from_gguf(GgufFile(path))
    return _from_pretrained(str(path))


def tokenizer_of(
    backend: tokenizers.Tokenizer,
    *,
    chat_template: str | None = None,
    extra_eos_ids: Iterable[int] = (),
    **special: str,
) -> Tokenizer:
    """Makes a tokenizer of rules that were put together in code.

    Args:
      backend: vocabulary and rules.
      chat_template: Jinja text. extra_eos_ids: as of `Tokenizer`.
      special: tokens by role, for example `eos_token="<|end|>"`.
    """
    fast = _import_transformers().PreTrainedTokenizerFast(
        tokenizer_object=backend, clean_up_tokenization_spaces=False, **special
    )
    fast.chat_template = chat_template
    return Tokenizer(fast, extra_eos_ids=extra_eos_ids)


def _from_pretrained(path: str) -> Tokenizer:
    transformers = _import_transformers()
    if Path(path).is_dir() and not (Path(path) / "tokenizer.json").is_file():
        raise UserError(f"{path}: no tokenizer.json in the directory")
    try:
        fast = transformers.PreTrainedTokenizerFast.from_pretrained(path)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"cannot load a tokenizer from '{path}': {reason}") from error
    return Tokenizer(fast, extra_eos_ids=_published_eos_ids(path, transformers))


def _published_eos_ids(path: str, transformers: Any) -> list[int]:
    """End tokens named by `generation_config.json`, or else by `config.json`."""
    for name in ("generation_config.json", "config.json"):
        file = transformers.utils.cached_file(
            path,
            name,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        ids = json.loads(Path(file).read_text()).get("eos_token_id") if file else None
        if ids is not None:
            return [ids] if isinstance(ids, int) else list(ids)
    return []


def _from_gguf(file: GgufFile) -> Tokenizer:
    kind = file.metadata("tokenizer.ggml.model")
    if kind != "gpt2":
        raise UserError(
            f"{file.path}: tokenizers of kind '{kind}' cannot be rebuilt from GGUF, only "
            "byte-level BPE ('gpt2'); take the tokenizer from the model's directory or hub id"
        )
    tokens = file.metadata("tokenizer.ggml.tokens")
    special = {
        f"{name}_token": tokens[index]
        for name, key in [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")]
        if (index := file.metadata(f"tokenizer.ggml.{key}_token_id", None)) is not None
    }
    ends = [file.metadata(f"tokenizer.ggml.{key}_token_id", None) for key in ("eot", "eom")]
    return tokenizer_of(
        _byte_level_bpe(file, tokens),
        chat_template=file.metadata("tokenizer.chat_template", None),
        extra_eos_ids=[end for end in ends if end is not None],
        **special,
    )


def _byte_level_bpe(file: GgufFile, tokens: list[str]) -> tokenizers.Tokenizer:
    """Rebuilds the published `tokenizer.json` from a GGUF file's metadata."""
    pre = file.metadata("tokenizer.ggml.pre")
    if pre not in _PRE_TOKENIZERS:
        raise UserError(
            f"{file.path}: unknown pre-tokenizer '{pre}'; known: {', '.join(_PRE_TOKENIZERS)}"
            f"{nearest(pre, _PRE_TOKENIZERS)}; take the tokenizer from the model's directory"
        )
    cut = _PRE_TOKENIZERS[pre]
    types = file.metadata("tokenizer.ggml.token_type")
    used = [(i, token) for i, token in enumerate(tokens) if types[i] != _UNUSED_TYPE]
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            vocab={token: i for i, token in used},
            merges=[tuple(merge.split(" ", 1)) for merge in file.metadata("tokenizer.ggml.merges")],
            ignore_merges=cut == _LLAMA3_REGEX,
        )
    )
    if cut == _QWEN2_REGEX:
        backend.normalizer = tokenizers.normalizers.NFC()
    backend.pre_tokenizer = _pre_tokenizer(cut)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_tokens(
        [
            tokenizers.AddedToken(token, special=types[i] in _CONTROL_TYPES, normalized=False)
            for i, token in used
            if types[i] in (*_CONTROL_TYPES, _USER_DEFINED_TYPE)
        ]
    )
    _write_bos(backend, file, tokens, default=cut == _LLAMA3_REGEX)
    return backend


def _pre_tokenizer(cut: str) -> Any:
    library = tokenizers.pre_tokenizers
    if cut == _GPT2_ONLY:
        return library.ByteLevel(add_prefix_space=False)
    if cut == _DIGITS_AND_GPT2:
        digits = library.Digits(individual_digits=True)
        return library.Sequence([digits, library.ByteLevel(add_prefix_space=False)])
    regex = tokenizers.Regex(_QWEN2 if cut == _QWEN2_REGEX else _LLAMA3)
    return library.Sequence(
        [
            library.Split(regex, behavior="isolated"),
            library.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _write_bos(
    backend: tokenizers.Tokenizer, file: GgufFile, tokens: list[str], *, default: bool
) -> None:
    """Lets a saved tokenizer open plain text with the begin token where the published one does."""
    bos_id = file.metadata("tokenizer.ggml.bos_token_id", None)
    if bos_id is None or not file.metadata("tokenizer.ggml.add_bos_token", default):
        return
    bos = tokens[bos_id]
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, bos_id)]
    )


def _hash(backend: tokenizers.Tokenizer) -> str:
    """sha256 over what decides `encode`: padding, truncation and added begin tokens do not."""
    content = json.loads(backend.to_str())
    for key in ("truncation", "padding", "post_processor"):
        content.pop(key, None)
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _import_transformers() -> Any:
    """Imports the library on first use: it takes a second and warns that torch is missing."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    import transformers

    return transformers
