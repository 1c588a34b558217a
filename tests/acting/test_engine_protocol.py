"""What is asked of a completions server, and what its answers may be."""

import numpy as np
import pytest

from spo_jax.acting.engines.connection import ServerFailure
from spo_jax.acting.engines.protocol import Protocol
from spo_jax.errors import UserError
from spo_jax.sampling import SampleRequest
from spo_jax.types import SamplerSettings

END, OTHER_END = 2, 9
PLAIN = SamplerSettings(max_completion_tokens=4)


def request(**settings):
    return SampleRequest(
        prompt_tokens=np.array([5, 6]),
        seeds=[1],
        settings=SamplerSettings(**{"max_completion_tokens": 4} | settings),
    )


def protocol(**changes):
    return Protocol(**{"model": "m", "end_ids": (END, OTHER_END), "vocab_size": 10} | changes)


def answer(tokens, reason="stop", logprobs=None, **choice):
    reported = {"token_logprobs": [-0.5] * len(tokens) if logprobs is None else logprobs}
    choice = {"token_ids": tokens, "finish_reason": reason, "logprobs": reported} | choice
    return {"choices": [choice]}


def test_body_names_everything_that_a_server_could_have_its_own_default_for():
    body = protocol().body(request(temperature=0.7, top_p=0.9, top_k=3), seed=2**64 - 1)
    assert body["prompt"] == [5, 6] and body["max_tokens"] == 4 and body["n"] == 1
    assert (body["temperature"], body["top_p"], body["top_k"]) == (0.7, 0.9, 3)
    assert body["stop_token_ids"] == [END, OTHER_END]
    assert (body["min_p"], body["repetition_penalty"]) == (0.0, 1.0)
    assert body["presence_penalty"] == body["frequency_penalty"] == 0.0
    assert 0 <= body["seed"] < 2**63
    assert protocol().body(request(), 7)["top_k"] == -1  # off, for servers old and new


@pytest.mark.parametrize(
    ("logprobs", "settings", "kept"),
    [
        ("raw", {}, True),
        ("raw", {"temperature": 0.5}, False),
        ("raw", {"top_p": 0.9}, False),
        ("raw", {"top_k": 5}, False),
        ("processed", {"temperature": 0.5, "top_p": 0.9}, True),
        ("none", {}, False),
    ],
)
def test_logprobs_are_kept_only_where_they_are_of_the_distribution_sampled_from(
    logprobs, settings, kept
):
    asked = protocol(logprobs=logprobs)
    assert ("logprobs" in asked.body(request(**settings), 0)) is kept
    got = asked.completion(answer([3, END], logprobs=[-1.5, -2.5]), request(**settings), 0)
    if kept:
        assert got.behavior_logprobs.tolist() == [-1.5, -2.5]
    else:
        assert got.behavior_logprobs is None


def test_greedy_samples_come_from_a_point_mass_whatever_the_server_says():
    got = protocol(logprobs="none").completion(answer([3, END]), request(temperature=0.0), 0)
    assert got.behavior_logprobs.tolist() == [0.0, 0.0]


def test_the_end_token_is_part_of_the_completion():
    got = protocol().completion(answer([3, OTHER_END]), request(), seed=4)
    assert got.tokens.tolist() == [3, OTHER_END]
    assert (got.finish_reason, got.seed) == ("stop", 4)
    for named in ({"stop_reason": END}, {"matched_stop": END}):  # vLLM's word, SGLang's word
        got = protocol().completion(answer([3], **named), request(), 0)
        assert got.tokens.tolist() == [3, END]
        assert got.behavior_logprobs is None  # the server did not say how likely the end was


def test_length_is_the_limit_and_nothing_else():
    assert protocol().completion(answer([3] * 4, "length"), request(), 0).finish_reason == "length"
    with pytest.raises(UserError, match=r"2 tokens of max_completion_tokens=4.*longer context"):
        protocol().completion(answer([3, 3], "length"), request(), 0)


def test_a_foreign_end_token_is_named():
    with pytest.raises(UserError, match=r"at token 7 .*none of this run's end tokens \[2, 9\]"):
        protocol().completion(answer([3, 7]), request(), 0)


def test_another_models_tokens_are_refused():
    with pytest.raises(UserError, match=r"token 11, outside the policy's vocabulary of 10"):
        protocol().completion(answer([11, END]), request(), 0)


def test_ids_are_read_from_the_names_of_tokens_too():
    words = {"tokens": ["token_id:3", "token_id:2"], "token_logprobs": [-1.0, -2.0]}
    got = protocol().completion(
        answer([], token_ids=None)
        | {"choices": [{"finish_reason": "stop", "logprobs": words, "text": "x"}]},
        request(),
        0,
    )
    assert got.tokens.tolist() == [3, END]
    assert got.behavior_logprobs.tolist() == [-1.0, -2.0]


def test_text_alone_is_refused_or_tokenized_again_without_logprobs():
    text = {"choices": [{"finish_reason": "stop", "text": "ab"}]}
    with pytest.raises(UserError, match=r"text alone, without token ids.*retokenize"):
        protocol().completion(text, request(), 0)
    again = protocol(encode=lambda text: [ord(c) - ord("a") + 3 for c in text])
    got = again.completion(text, request(), 0)
    assert got.tokens.tolist() == [3, 4, END]
    assert got.behavior_logprobs is None
    cut = again.completion(
        {"choices": [{"finish_reason": "length", "text": "abcdef"}]}, request(), 0
    )
    assert cut.tokens.tolist() == [3, 4, 5, 6] and cut.finish_reason == "length"


@pytest.mark.parametrize(
    "broken",
    [
        "half of some JS",
        {"choices": []},
        {"choices": [1]},
        answer([3, END], "abort"),
        answer([3, END], None),
        answer([], "length"),
        answer([3, "x"]),
        answer([3, END], logprobs=[-1.0]),
        answer([3, END], logprobs=[-1.0, None]),
        answer([3, 3, 3, 3, END]),
    ],
)
def test_broken_answers_may_be_asked_for_again(broken):
    with pytest.raises(ServerFailure):
        protocol().completion(broken, request(), 0)
