"""Tokenizers rebuilt from GGUF against the library's own, trained here on a few lines."""

import json
import subprocess
import sys

import gguf
import pytest
import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from spo_jax.errors import UserError
from spo_jax.tokenizers import load_tokenizer

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'tool' %}{{ raise_exception('no tools') }}"
    "{% endif %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LINES = [
    "def add(first, second):\n    return first + second\n",
    "for i in range(10):\n\tprint(i, 2024 * 1000)\n",
    "It's we'll WE'RE   three  spaces, naïve café 日本語 😀 ∑ x²\r\n\n\n",
]
PROBES = [
    *LINES,
    "",
    " ",
    "   leading and trailing   ",
    "1234567890 3.14159 v2 x10 ٣٤ ½",
    "if a:\n        b = [1,22,333]\n\n\n    # done!\n",
    "<|im_start|>user\nhi<|im_end|>",
    "e\u0301 combining, zero\u200bwidth, tab\tand\rreturn",
    "I'LL he'd THEY'VE don't",
]

# The published `tokenizer.json` of each kind (pre-tokenizer, normalizer).
REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def published_cut(kind):
    if kind == "gpt-2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if kind == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    regex = tokenizers.Regex(REGEX % {"qwen2": "", "llama-bpe": "{1,3}"}[kind])
    split = pre_tokenizers.Split(regex, "isolated")
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([split, bytes_only])


def train(kind):
    """A byte-level BPE of about 340 tokens, cut as the published tokenizer of this kind."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = published_cut(kind)
    backend.decoder = decoders.ByteLevel()
    if kind == "qwen2":
        backend.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(LINES * 3, trainer)
    return backend


def write_gguf(path, backend, **metadata):
    """What llama.cpp's converter writes of a tokenizer."""
    content = json.loads(backend.to_str())["model"]
    tokens = sorted(content["vocab"], key=content["vocab"].get)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    values = {
        "model": "gpt2",
        "pre": "smollm",
        "tokens": tokens,
        "token_type": [int(control if token in SPECIALS else normal) for token in tokens],
        "merges": [" ".join(pair) for pair in content["merges"]],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
        "padding_token_id": 2,
    } | metadata
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in values.items():
        kinds = {bool: "bool", int: "uint32", str: "string", list: "array"}
        if value is not None:
            getattr(writer, f"add_{kinds[type(value)]}")(f"tokenizer.ggml.{key}", value)
    writer.add_string("tokenizer.chat_template", TEMPLATE)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def smollm(tmp_path_factory):
    return load_tokenizer(write_gguf(tmp_path_factory.mktemp("t") / "t.gguf", train("smollm")))


@pytest.mark.parametrize("kind", ["smollm", "gpt-2", "qwen2", "llama-bpe"])
def test_gguf_tokenizer_equals_the_published_kind(tmp_path, kind):
    published = train(kind)
    tokenizer = load_tokenizer(write_gguf(tmp_path / "t.gguf", published, pre=kind))
    for text in PROBES:
        expected = published.encode(text, add_special_tokens=False).ids
        assert tokenizer.encode(text) == expected, text
        assert tokenizer.decode(expected) == published.decode(expected), text


@pytest.mark.parametrize("text", PROBES)
def test_text_survives_the_round_trip(smollm, text):
    ids = smollm.encode(text)
    assert smollm.decode(ids, skip_special_tokens=False) == text
    assert all(0 <= i < smollm.vocab_size for i in ids)


def test_digits_are_single_tokens_for_smollm_and_up_to_three_for_llama(tmp_path, smollm):
    assert [smollm.decode([i]) for i in smollm.encode("x2024")] == ["x", "2", "0", "2", "4"]
    llama = load_tokenizer(write_gguf(tmp_path / "t.gguf", train("llama-bpe"), pre="llama-bpe"))
    cuts = llama._fast.backend_tokenizer.pre_tokenizer.pre_tokenize_str("x2024")
    assert [cut for cut, _ in cuts] == ["x", "202", "4"]


def test_special_tokens_are_recognised_and_skipped(smollm):
    ids = smollm.encode("a<|im_end|>b")
    assert ids.count(2) == 1
    assert smollm.decode(ids) == "ab"
    assert smollm.decode(ids, skip_special_tokens=False) == "a<|im_end|>b"


def test_chat_prompt_opens_the_answer(smollm):
    messages = [{"role": "user", "content": "add two"}]
    ids = smollm.chat_prompt(messages, answer_prefix="```python\n")
    assert smollm.decode(ids, skip_special_tokens=False) == (
        "<|im_start|>user\nadd two<|im_end|>\n<|im_start|>assistant\n```python\n"
    )


def test_chat_template_complaints_are_user_errors(smollm):
    with pytest.raises(UserError, match="refuses the messages: no tools"):
        smollm.chat_prompt([{"role": "tool", "content": "x"}])


def test_end_of_turn_comes_first_then_every_other_end(tmp_path):
    path = write_gguf(tmp_path / "t.gguf", train("smollm"), eos_token_id=0, eot_token_id=7)
    assert load_tokenizer(path).eos_ids == (2, 0, 7)


def test_pad_is_the_checkpoints_or_else_no_end_token(tmp_path, smollm):
    assert smollm.pad_id == 2  # the checkpoint says so
    unknown = write_gguf(tmp_path / "a.gguf", train("smollm"), padding_token_id=None)
    assert load_tokenizer(unknown).pad_id == 0
    settings = {"padding_token_id": None, "unknown_token_id": None, "bos_token_id": 2}
    free = load_tokenizer(write_gguf(tmp_path / "b.gguf", train("smollm"), **settings))
    assert free.pad_id not in free.eos_ids


def test_saved_directory_gives_the_same_tokenizer(tmp_path, smollm):
    smollm.save(tmp_path)
    again = load_tokenizer(tmp_path)
    for name in ("hash", "vocab_size", "eos_ids", "pad_id", "bos_id", "unk_id"):
        assert getattr(again, name) == getattr(smollm, name), name
    messages = [{"role": "user", "content": "12 spaces   here"}]
    assert again.chat_prompt(messages) == smollm.chat_prompt(messages)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_transformers_loads_the_saved_directory(tmp_path, smollm):
    smollm.save(tmp_path)
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in PROBES:
        assert auto.encode(text, add_special_tokens=False) == smollm.encode(text)
    assert auto.chat_template == TEMPLATE


def test_generation_config_adds_end_tokens(tmp_path, smollm):
    smollm.save(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [0, 2, 9]}')
    assert load_tokenizer(tmp_path).eos_ids == (2, 0, 9)
    (tmp_path / "generation_config.json").unlink()
    (tmp_path / "config.json").write_text('{"model_type": "llama", "eos_token_id": 5}')
    assert load_tokenizer(tmp_path).eos_ids == (2, 5)


def test_hash_tells_vocabularies_and_cuts_apart(tmp_path, smollm):
    trained = train("smollm")
    same = load_tokenizer(write_gguf(tmp_path / "a.gguf", trained))
    other_cut = load_tokenizer(write_gguf(tmp_path / "b.gguf", trained, pre="gpt-2"))
    other_words = load_tokenizer(write_gguf(tmp_path / "c.gguf", train("gpt-2")))
    assert same.hash == smollm.hash
    assert len({smollm.hash, other_cut.hash, other_words.hash}) == 3


def test_padding_rows_of_the_embedding_are_no_tokens(tmp_path):
    trained = train("qwen2")
    content = json.loads(trained.to_str())["model"]["vocab"]
    tokens = [*sorted(content, key=content.get), "[PAD340]", "[PAD341]"]
    types = [3] * 3 + [1] * (len(content) - 3) + [5] * 2
    path = write_gguf(tmp_path / "t.gguf", trained, pre="qwen2", tokens=tokens, token_type=types)
    assert load_tokenizer(path).vocab_size == len(content)


def test_unsupported_tokenizers_are_named(tmp_path):
    trained = train("smollm")
    path = write_gguf(tmp_path / "a.gguf", trained, model="llama")
    with pytest.raises(UserError, match=r"kind 'llama' cannot be rebuilt.*directory or hub id"):
        load_tokenizer(path)
    path = write_gguf(tmp_path / "b.gguf", trained, pre="smolm")
    with pytest.raises(UserError, match=r"'smolm'; known: .*did you mean 'smollm'"):
        load_tokenizer(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no tokenizer\.json"):
        load_tokenizer(tmp_path / "empty")
    with pytest.raises(UserError, match="cannot load a tokenizer from 'no/such-model'"):
        load_tokenizer("no/such-model")
    path = write_gguf(tmp_path / "c.gguf", trained, token_type=None)
    with pytest.raises(UserError, match=r"no 'tokenizer\.ggml\.token_type'"):
        load_tokenizer(path)


def test_module_does_not_import_transformers():
    check = "import spo_jax.tokenizers, sys; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


@pytest.mark.slow
def test_smollm2_equals_the_published_tokenizer():
    """The hash is that of the published `tokenizer.json` of SmolLM2-135M-Instruct."""
    tokenizer = load_tokenizer("smollm2")
    assert tokenizer.hash == "a4544d3901aec8f64fab57af65050dfbeaf53524fb773a18756281bed6765fe1"
    expected = [1604, 275, 24, 94, 727, 472, 1003, 304, 26, 33, 32, 34, 36, 1232, 216, 35, 30]
    assert tokenizer.encode("def f(n):\n    return n*1024 + 3.14\n") == [*expected, 33, 36, 198]
    assert (tokenizer.eos_ids, tokenizer.pad_id, tokenizer.vocab_size) == ((2,), 2, 49152)
