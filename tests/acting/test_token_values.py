"""Token values equal a plain computation, answer by answer, and their texts add up."""

import json

import jax
import numpy as np
import pytest

from spo_jax.acting.annotator import Reference
from spo_jax.acting.rollouts import Prompter
from spo_jax.acting.token_values import token_values
from spo_jax.judging import RewardMap
from spo_jax.models import Transformer
from spo_jax.models.testing import byte_tokenizer, random_params, tiny_config
from spo_jax.packing import pack_separately
from spo_jax.problems import PromptTemplate
from spo_jax.scoring import score_rows
from spo_jax.types import Problem

BETA = 0.3
CONFIG = tiny_config(vocab_size=260, max_position=512)
MODEL = Transformer(CONFIG)


@pytest.fixture(scope="module")
def tokenizer():
    """One token a byte, so that characters beyond ASCII take several."""
    return byte_tokenizer()


@pytest.fixture(scope="module")
def params():
    return random_params(CONFIG, jax.random.key(0))


@pytest.fixture(scope="module")
def reference():
    return Reference(random_params(CONFIG, jax.random.key(1)), "frozen")


def problem(name: str) -> Problem:
    return Problem(id=name, name=name, description=f"Double {name}.")


def sample(problem_id: str, verdict: str, text: str, **fields) -> dict:
    record = {
        "problem_id": problem_id,
        "verdict": verdict,
        "tests_passed": 2,
        "num_tests": 4,
        "finish_reason": "stop",
        "text": text,
    }
    return record | fields


SAMPLES = [
    *(sample("easy", "AC", "print(1)") for _ in range(4)),
    sample("mixed", "WA", "naïve = '√'"),
    sample("mixed", "AC", "return 2 * n"),
    sample("mixed", "AC", "n + n"),
    sample("mixed", "IE", "the judge failed"),
]


TEXTS = ("return 2 * n", "naïve = '√'", "n + n")  # in the order they are scored in
REWARDS = np.array([0.0, -1.0, 0.0])


def values(params, reference, tokenizer, samples=SAMPLES, rewards=RewardMap()) -> dict:
    return token_values(
        MODEL,
        params,
        reference,
        samples,
        [problem("easy"), problem("mixed")],
        Prompter(tokenizer, PromptTemplate()),
        beta=BETA,
        rewards=rewards,
    )


@pytest.fixture(scope="module")
def result(params, reference, tokenizer):
    return values(params, reference, tokenizer)


@pytest.fixture(scope="module")
def plain(params, reference, tokenizer):
    """Policy and reference logprobs of `TEXTS`, each text in a row of its own. [2, 3, T]"""
    prompt = Prompter(tokenizer, PromptTemplate()).prompt_tokens(problem("mixed"))
    answers = [[*tokenizer.encode(text), tokenizer.eos_ids[0]] for text in TEXTS]
    longest = max(map(len, answers))
    rows = pack_separately(
        [prompt] * len(answers),
        answers,
        num_rows=len(answers),
        row_length=len(prompt) + longest,
        max_completion_tokens=longest,
        pad_id=tokenizer.pad_id,
    )
    score = jax.jit(lambda params: score_rows(MODEL, params, rows).logprobs_BT)
    return np.stack([score(params), score(reference.params)])


def test_scores_equal_those_of_single_answers(result, plain):
    shown = [answer for answer in result["samples"] if answer["problem_id"] == "mixed"]
    assert [answer["verdict"] for answer in shown] == ["AC", "WA"]
    for i, answer in enumerate(shown):
        length = len(answer["tokens"])
        np.testing.assert_allclose(answer["logprobs"], plain[0, i, :length], atol=1e-5)
        np.testing.assert_allclose(answer["ref_logprobs"], plain[1, i, :length], atol=1e-5)
        assert not plain[0, i, length:].any()


def test_initial_value_is_the_group_mean_over_all_scored_answers(result, plain):
    expected = np.mean(REWARDS - BETA * (plain[0] - plain[1]).sum(axis=1))
    for answer in result["samples"][:2]:
        assert answer["initial_value"] == pytest.approx(expected, abs=1e-4)
    assert (result["beta"], result["reference_id"]) == (BETA, "frozen")


def test_texts_add_up_and_a_split_character_stands_on_its_last_token(result):
    wrong = result["samples"][1]
    assert "".join(wrong["tokens"]) == "naïve = '√'<|end|>"
    assert len(wrong["tokens"]) == len(wrong["logprobs"]) == len("naïve = '√'".encode()) + 1
    at = wrong["tokens"].index("√")
    assert wrong["tokens"][at - 2 : at] == ["", ""]


def test_sampled_tokens_are_used_where_the_evaluation_kept_them(params, reference, tokenizer):
    tokens = tokenizer.encode("ab")
    kept = [sample("mixed", "AC", "other text", tokens=tokens, finish_reason="length")]
    [answer] = values(params, reference, tokenizer, kept)["samples"]
    assert answer["tokens"] == ["a", "b"]


def test_mixed_problems_come_first_and_rewards_follow_the_map(params, reference, tokenizer):
    partial = RewardMap(partial_credit=True)
    shown = values(params, reference, tokenizer, rewards=partial)["samples"]
    assert [answer["problem_id"] for answer in shown] == ["mixed", "mixed", "easy"]
    assert [answer["reward"] for answer in shown] == [0.0, -0.5, 0.0]
    json.dumps(shown)  # plain data


def test_nothing_to_score(params, reference, tokenizer):
    failed = [sample("mixed", "IE", "x"), sample("not asked", "AC", "x")]
    assert values(params, reference, tokenizer, failed)["samples"] == []
