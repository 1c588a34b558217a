"""`spo sample` on a tiny published model."""

import json

import pytest

from spo_jax.errors import UserError
from spo_jax.tokenizers import load_tokenizer


def sample(spo, model_directories, *flags):
    status, output = spo(
        "sample", "--model", model_directories[0], "--max_tokens", 6, "--json", *flags
    )
    assert status == 0
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("sample") / "prompts.jsonl"
    messages = [{"role": "user", "content": "hi"}]
    path.write_text(json.dumps({"prompt": "def f(x):"}) + "\n" + json.dumps({"messages": messages}))
    return path


def test_samples_come_in_order_and_repeat_with_their_seed(spo, model_directories, prompts):
    flags = ["--input", prompts, "--num_samples", 3]
    rows = sample(spo, model_directories, *flags)
    assert [(row["prompt_index"], row["sample_index"]) for row in rows] == [
        (prompt, sample) for prompt in range(2) for sample in range(3)
    ]
    assert len({row["seed"] for row in rows}) == 6
    assert len({tuple(row["token_ids"]) for row in rows}) == 6
    tokenizer = load_tokenizer(model_directories[0])
    for row in rows:
        assert row["text"] == tokenizer.decode(row["token_ids"])
        assert len(row["behavior_logprobs"]) == len(row["token_ids"]) <= 6
        assert row["finish_reason"] in ("stop", "length")
    assert sample(spo, model_directories, *flags) == rows
    assert sample(spo, model_directories, *flags, "--seed", 1) != rows


def test_chat_is_another_prompt_and_text_output_names_the_sample(spo, model_directories):
    flags = ["--prompt", "hi", "--temperature", 0]
    plain = sample(spo, model_directories, *flags)
    chat = sample(spo, model_directories, *flags, "--chat")
    assert plain[0]["token_ids"] != chat[0]["token_ids"]
    _, output = spo("sample", "--model", model_directories[0], "--max_tokens", 6, *flags)
    assert output.startswith("--- prompt 1, sample 1 (")
    assert plain[0]["text"] in output


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--prompt", ""], "--prompt: the prompt has no tokens"),
        (["--prompt", "x", "--temperature", -1], "temperature=-1.0 must be at least 0"),
        (["--prompt", "x", "--top_p", 1.5], "top_p=1.5 must be above 0 and at most 1"),
        (["--prompt", "x", "--num_samples", 0], "--num_samples=0 must be at least 1"),
        (["--prompt", "x", "--max_tokens", 128], "max_prompt_tokens=1 .*=128 exceed .* 128"),
        (["--input", "absent.jsonl"], "--input=absent.jsonl is not a file"),
    ],
)
def test_bad_flags_are_named(spo, model_directories, flags, message):
    with pytest.raises(UserError, match=message):
        spo("sample", "--model", model_directories[0], *flags)


def test_rows_without_a_prompt_are_named(spo, model_directories, tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "x"}\n{"messages": [{"role": "user"}]}\n')
    with pytest.raises(UserError, match=r'prompts.jsonl:2: a row must have "prompt"'):
        spo("sample", "--model", model_directories[0], "--input", path)
