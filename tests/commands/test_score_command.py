"""`spo score` on a tiny published model, against a plain forward pass."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.models.pretrained import load_pretrained
from spo_jax.models.transformer import Transformer
from spo_jax.tokenizers import load_tokenizer

ROWS = [
    {"token_ids": [5, 17, 200, 9], "note": "kept\u2028as it is"},
    {"prompt": "2 + 2 = ", "completion": "4\n"},
    {"token_ids": list(range(40, 100))},  # another length bucket
    {"token_ids": [7]},
]


def write_rows(path, rows):
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return path


def plain_logprobs(directory, tokens):
    """Of every token after the first."""
    loaded = load_pretrained(directory)
    model, variables = Transformer(loaded.config), {"params": loaded.params}
    tokens_1L = np.array([tokens], np.int32)
    hidden = model.apply(variables, tokens_1L, np.arange(len(tokens))[None], tokens_1L * 0 + 1)
    log_softmax = jax.nn.log_softmax(model.apply(variables, hidden, method=model.logits))[0]
    return np.asarray(log_softmax[jnp.arange(len(tokens) - 1), tokens_1L[0, 1:]])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("score") / "in.jsonl", ROWS)


def test_logprobs_soft_q_and_order(spo, model_directories, inputs, tmp_path):
    policy, reference = model_directories
    output = tmp_path / "out.jsonl"
    status, printed = spo(
        "score", "--model", policy, "--reference", reference, "--beta", 0.5,
        "--initial_value", -0.25, "--input", inputs, "--output", output, "--json",
    )  # fmt: skip
    assert status == 0
    assert json.loads(printed)["scored_tokens"] == 3 + 2 + 59 + 0
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").split("\n") if line]
    assert len(rows) == len(ROWS)
    tokenizer = load_tokenizer(policy)
    for given, row in zip(ROWS, rows, strict=True):
        assert {name: row[name] for name in given} == given
        tokens, num_scored = given.get("token_ids"), -1
        if tokens is None:
            completion = tokenizer.encode(given["completion"])
            assert row["completion_token_ids"] == completion
            tokens, num_scored = tokenizer.encode(given["prompt"]) + completion, len(completion)
        num_scored = len(tokens) - 1 if num_scored < 0 else num_scored
        if not num_scored:
            assert row["logprobs"] == row["log_ratios"] == row["soft_q"] == []
            continue
        expected = plain_logprobs(policy, tokens)[-num_scored:]
        ratios = expected - plain_logprobs(reference, tokens)[-num_scored:]
        np.testing.assert_allclose(row["logprobs"], expected, atol=2e-5)
        np.testing.assert_allclose(row["log_ratios"], ratios, atol=4e-5)
        np.testing.assert_allclose(row["soft_q"], -0.25 + 0.5 * np.cumsum(ratios), atol=2e-4)


def test_log_ratios_start_at_zero_and_no_reference_adds_nothing(
    spo, model_directories, inputs, tmp_path
):
    policy, _ = model_directories
    output = tmp_path / "out.jsonl"
    spo("score", "--model", policy, "--reference", policy, "--beta", 1, "--input", inputs,
        "--output", output)  # fmt: skip
    for line in output.read_text(encoding="utf-8").split("\n")[:-1]:
        assert not any(json.loads(line)["log_ratios"])
    spo("score", "--model", policy, "--input", inputs, "--output", output)
    assert "soft_q" not in output.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("rows", "flags", "message"),
    [
        ([{"token_ids": [3]}, {"text": "x"}], [], r"bad.jsonl:2: a row must have either"),
        ([{"token_ids": [3, 264]}], [], r"bad.jsonl:1: token id 264 is outside .* has 264"),
        ([{"token_ids": [3] * 129}], [], r"bad.jsonl:1: 129 tokens, more than .* is 128"),
        ([{"token_ids": ["3"]}], [], r"bad.jsonl:1: \"token_ids\" must be a list"),
        ([{"token_ids": []}], [], r"bad.jsonl:1: \"token_ids\" must be a list of at least one"),
        ([{"prompt": 3, "completion": "x"}], [], r"bad.jsonl:1: \"prompt\" must be a string"),
        ([{"prompt": "", "completion": "x"}], [], r"bad.jsonl:1: \"prompt\" has no tokens"),
        ([[1, 2]], [], r"bad.jsonl:1: a row must be a JSON object"),
        ([], [], r"bad.jsonl has no rows"),
        ([{"token_ids": [3]}], ["--beta", 1], r"--beta needs --reference"),
        ([{"token_ids": [3]}], ["--reference", "x"], r"--reference needs --beta"),
        ([{"token_ids": [3]}], ["--output", "/nowhere/at/all.jsonl"], r"no directory /nowhere/at"),
    ],
)
def test_bad_rows_and_flags_are_named(spo, model_directories, tmp_path, rows, flags, message):
    path = write_rows(tmp_path / "bad.jsonl", rows)
    output = tmp_path / "out.jsonl"
    with pytest.raises(UserError, match=message):
        spo("score", "--model", model_directories[0], "--input", path, "--output", output, *flags)
    assert [file.name for file in tmp_path.iterdir()] == ["bad.jsonl"]


def test_broken_json_is_named_with_its_line(spo, model_directories, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"token_ids": [3]}\n{"token_ids": [3\n')
    with pytest.raises(UserError, match=r"bad.jsonl:2: not JSON"):
        spo("score", "--model", model_directories[0], "--input", path, "--output", path)


def test_scoring_does_not_import_tensorflow(model_directories, inputs, tmp_path):
    arguments = ["score", "--model", str(model_directories[0]), "--input", str(inputs)]
    code = (
        "import sys; from spo_jax import main; "
        f"main.run({[*arguments, '--output', str(tmp_path / 'out.jsonl')]!r}); "
        "assert 'tensorflow' not in sys.modules and 'seqio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
