"""The sampler against full forward passes, and what its callers rely on."""

import jax
import jax.monitoring
import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.models.caches import best_cache_type
from spo_jax.packing import pack_separately
from spo_jax.sampling import Sampler, SampleRequest, placement
from spo_jax.sampling import sampler as sampler_module
from spo_jax.scoring import score_rows
from spo_jax.sharding import make_mesh
from spo_jax.types import SamplerSettings

END = 2
RNG = np.random.default_rng(0)
PROMPTS = [RNG.integers(3, 48, size=n).tolist() for n in (1, 8, 20, 3, 17)]


def requests_for(prompts, *, samples=3, first_seed=0, **settings):
    settings = {"max_completion_tokens": 24} | settings
    return [
        SampleRequest(
            prompt_tokens=prompt,
            seeds=range(first_seed + samples * i, first_seed + samples * (i + 1)),
            settings=SamplerSettings(**settings),
            request_id=f"r{i}",
        )
        for i, prompt in enumerate(prompts)
    ]


def flat(completions):
    return [completion for group in completions for completion in group]


def scored(model, params, requests, completions):
    """Log-probabilities [B, T] of the completions by the training path, and the mask."""
    rows = pack_separately(
        [q.prompt_tokens for q in requests for _ in q.seeds],
        [completion.tokens for completion in flat(completions)],
        num_rows=len(flat(completions)),
        row_length=48,
        max_completion_tokens=24,
        pad_id=0,
    )
    scores = jax.jit(score_rows, static_argnums=0)(model, params, rows)
    return np.asarray(scores.logprobs_BT), rows.mask_RnT[:, 0]


@pytest.fixture(scope="module")
def requests():
    return requests_for(PROMPTS)


@pytest.fixture(scope="module")
def completions(sampler, params, requests):
    return sampler.sample_all(params, requests)


def behavior_logprobs(completions):
    return np.concatenate([completion.behavior_logprobs for completion in flat(completions)])


def test_cache_path_equals_full_forward(model, params, requests, completions):
    logprobs_BT, mask_BT = scored(model, params, requests, completions)
    assert max(len(c.tokens) for c in flat(completions)) > 10
    np.testing.assert_allclose(behavior_logprobs(completions), logprobs_BT[mask_BT], atol=2e-5)


def test_trap_truncated_sampler_logprobs_used_as_policys(sampler, model, params):
    """Under top-p (or a temperature) behaviour log-probabilities are not the policy's."""
    for settings in ({"top_p": 0.5}, {"temperature": 0.5}, {"top_k": 3}):
        requests = requests_for(PROMPTS, **settings)
        completions = sampler.sample_all(params, requests)
        logprobs_BT, mask_BT = scored(model, params, requests, completions)
        assert behavior_logprobs(completions).mean() > logprobs_BT[mask_BT].mean() + 0.1


def test_greedy_takes_the_most_likely_token_of_a_full_forward_pass(sampler, model, params):
    requests = requests_for(PROMPTS, samples=1, temperature=0.0)
    for request, (completion,) in zip(requests, sampler.sample_all(params, requests), strict=True):
        tokens = np.array([*request.prompt_tokens, *completion.tokens], np.int32)[None]
        padded = np.pad(tokens, ((0, 0), (0, 48 - tokens.shape[1])))
        hidden = model.apply({"params": params}, padded, np.arange(48)[None], np.ones_like(padded))
        logits = model.apply({"params": params}, hidden, method=model.logits)
        start = len(request.prompt_tokens) - 1
        best = np.asarray(logits.argmax(-1))[0, start : start + len(completion.tokens)]
        np.testing.assert_array_equal(completion.tokens, best)
        assert not completion.behavior_logprobs.any()


def test_finish_reasons_and_limits(sampler, params):
    limits = [1, 5, 24]
    requests = [
        requests_for([prompt], samples=8, first_seed=100 * i, max_completion_tokens=limit)[0]
        for i, (prompt, limit) in enumerate(zip(PROMPTS, limits, strict=False))
    ]
    completions = sampler.sample_all(params, requests)
    for limit, group in zip(limits, completions, strict=True):
        for completion in group:
            stopped = completion.tokens[-1] == END
            assert completion.finish_reason == ("stop" if stopped else "length")
            assert END not in completion.tokens[:-1]
            assert len(completion.tokens) == limit or stopped
            assert completion.tokens.dtype == np.int32
            assert completion.behavior_logprobs.shape == completion.tokens.shape
    assert {c.finish_reason for c in flat(completions)} == {"stop", "length"}


def test_a_sample_does_not_depend_on_slot_neighbours_or_call_shape(
    make_sampler, params, requests, completions
):
    other = make_sampler(16, steps_per_call=24, prefill_batch=1, prefill_chunk=20)
    reordered = other.sample_all(params, requests[::-1])[::-1]
    for one, two in zip(flat(completions), flat(reordered), strict=True):
        assert one.seed == two.seed
        np.testing.assert_array_equal(one.tokens, two.tokens)
        np.testing.assert_allclose(one.behavior_logprobs, two.behavior_logprobs, atol=2e-5)


def test_trap_static_seed_reused(sampler, params):
    """Samples differ from seed to seed and token to token, and repeat with their seed only."""
    prompt = PROMPTS[:1]
    first = flat(sampler.sample_all(params, requests_for(prompt, samples=12)))
    again = flat(sampler.sample_all(params, requests_for(prompt, samples=12)))
    fresh = flat(sampler.sample_all(params, requests_for(prompt, samples=12, first_seed=12)))
    high = flat(sampler.sample_all(params, requests_for(prompt, samples=12, first_seed=2**32)))
    texts = [[tuple(c.tokens.tolist()) for c in group] for group in (first, again, fresh, high)]
    assert texts[0] == texts[1]
    assert len({text for group in texts[::2] for text in group}) > 18
    assert texts[0] != texts[3]  # the upper half of a seed counts
    longest = max(texts[0], key=len)
    assert len(set(longest)) > 2


def test_short_completions_do_not_wait_for_long_ones(sampler, params):
    long = requests_for([PROMPTS[1]], samples=2, max_completion_tokens=24)
    short = requests_for([PROMPTS[3]] * 6, samples=2, first_seed=50, max_completion_tokens=1)
    assert any(len(c.tokens) == 24 for _, _, c in sampler.sample(params, long))
    order = [r for r, _, _ in sampler.sample(params, [*long, *short])]
    assert order[-1] == 0
    assert sorted(order) == sorted([0, 0, *(i for i in range(1, 7) for _ in range(2))])


def test_a_prompt_is_prefilled_once_for_all_its_samples(sampler, params, monkeypatch):
    rows, prefill = [], sampler_module.prefill

    def counting(params, tokens_PW, *args, **kwargs):
        rows.extend(tuple(row) for row in tokens_PW.tolist() if any(row))
        return prefill(params, tokens_PW, *args, **kwargs)

    monkeypatch.setattr(sampler_module, "prefill", counting)
    sampler.sample_all(params, requests_for(PROMPTS, samples=9, max_completion_tokens=2))
    assert len(rows) == len(set(rows)) == len(PROMPTS)


def test_calls_do_not_compile_anew(sampler, params, completions):
    compilations = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compilations.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    sampler.sample_all(params, requests_for(PROMPTS[2:3], samples=1, temperature=0.3))
    sampler.sample_all(params, requests_for(PROMPTS * 2, samples=4, top_p=0.9, top_k=7))
    sampler.sample_all(params, requests_for(PROMPTS, temperature=0.0, max_completion_tokens=2))
    assert not compilations
    jax.jit(lambda x: x * 3.25)(np.ones(3))
    assert compilations  # the listener does hear


def test_leaving_early_and_progress(sampler, params, requests, completions):
    next(sampler.sample(params, requests))
    seen = []
    again = sampler.sample_all(params, requests, progress=seen.append)
    np.testing.assert_array_equal(again[0][0].tokens, completions[0][0].tokens)
    assert seen[-1].num_finished == seen[-1].num_samples == len(flat(completions))
    assert seen[-1].num_tokens == sum(len(c.tokens) for c in flat(completions))
    assert [p.num_tokens for p in seen] == sorted(p.num_tokens for p in seen)


def test_nothing_asked_gives_nothing(sampler, params):
    assert sampler.sample_all(params, []) == []
    assert sampler.sample_all(params, requests_for([[5]], samples=0)) == [[]]


def test_prompt_buckets_change_no_sample(make_sampler, params, requests, completions):
    bucketed = make_sampler(5, prompt_buckets=(8,))
    assert bucketed.padded_prompt_tokens(8) == 8
    assert bucketed.padded_prompt_tokens(9) == 24
    short = [1, 3]  # prompts of 8 and 3 tokens
    again = bucketed.sample_all(params, [requests[i] for i in short])
    for group, i in zip(again, short, strict=True):
        for one, two in zip(group, completions[i], strict=True):
            np.testing.assert_array_equal(one.tokens, two.tokens)


@pytest.fixture(scope="module")
def on_four_devices(make_sampler):
    """Four slots on each half of the devices, and one key-value head on each half of those."""
    return make_sampler(8, mesh=make_mesh(data=2, tensor=2))


def test_a_mesh_changes_no_sample(on_four_devices, sampler, params, requests, completions):
    """Seeded and greedy; parameters come from one device."""
    assert on_four_devices.prefill_batch == 4
    greedy = requests_for(PROMPTS[:2], samples=1, temperature=0.0)
    again = on_four_devices.sample_all(params, [*requests, *greedy])
    for one, two in zip(flat(completions), flat(again[: len(requests)]), strict=True):
        np.testing.assert_array_equal(one.tokens, two.tokens)
        np.testing.assert_allclose(one.behavior_logprobs, two.behavior_logprobs, atol=2e-5)
    alone = sampler.sample_all(params, greedy)
    for one, two in zip(flat(alone), flat(again[len(requests) :]), strict=True):
        np.testing.assert_array_equal(one.tokens, two.tokens)


def test_a_mesh_splits_the_cache_and_compiles_once(on_four_devices, params, requests):
    slots = on_four_devices.placement.empty_slots(8, 32, "float32")
    keys = slots.cache[0].keys  # [B, K, H, S]
    assert {shard.data.shape for shard in keys.addressable_shards} == {(4, 1, 8, 32)}
    on_four_devices.sample_all(params, requests)
    compilations = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compilations.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    on_four_devices.sample_all(params, requests[::-1])
    assert not compilations


@pytest.mark.parametrize("shape", [None, {"data": 2, "tensor": 2}], ids=["alone", "mesh"])
def test_the_cache_of_tpus_changes_no_sample(
    make_sampler, params, requests, completions, shape, monkeypatch
):
    monkeypatch.setattr(placement, "best_cache_type", lambda platform: best_cache_type("tpu"))
    sampler = make_sampler(8, mesh=None if shape is None else make_mesh(**shape))
    (keys, values), *_ = sampler.placement.empty_slots(8, 32, "float32").cache
    assert keys.shape == values.shape == (8, 32, 16)  # [B, S, K H]
    parts = {shard.data.shape for shard in keys.addressable_shards}
    assert parts == {(8, 32, 16) if shape is None else (4, 32, 8)}
    again = sampler.sample_all(params, requests)
    for one, two in zip(flat(completions), flat(again), strict=True):
        np.testing.assert_array_equal(one.tokens, two.tokens)
        np.testing.assert_allclose(one.behavior_logprobs, two.behavior_logprobs, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", [{"data": 4, "fsdp": 2}, {"fsdp": 2, "sequence": 2, "tensor": 2}, {"tensor": 8}]
)
def test_other_meshes_change_no_sample(make_sampler, params, requests, completions, shape):
    sharded = make_sampler(8, mesh=make_mesh(**shape))
    again = sharded.sample_all(params, requests)
    for one, two in zip(flat(completions), flat(again), strict=True):
        np.testing.assert_array_equal(one.tokens, two.tokens)
        np.testing.assert_allclose(one.behavior_logprobs, two.behavior_logprobs, atol=2e-5)


def test_slots_that_do_not_divide_over_the_mesh_are_refused(model):
    with pytest.raises(UserError, match=r"num_slots=6 must be divisible by .*data \* fsdp = 4"):
        Sampler(
            model,
            eos_ids=(END,),
            num_slots=6,
            max_prompt_tokens=4,
            max_completion_tokens=4,
            mesh=make_mesh(data=2, fsdp=2, tensor=2),
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"prompt_tokens": [3] * 21},
            "request 'r7' has a prompt of 21 tokens, more than the sampler's max_prompt_tokens=20",
        ),
        ({"prompt_tokens": []}, "request 'r7' has an empty prompt"),
        ({"prompt_tokens": [48]}, "prompt token 48, outside the model's vocabulary of 48"),
        ({"prompt_tokens": [-1]}, "prompt token -1, outside"),
        ({"seeds": [-1]}, "seed -1 must be from 0"),
        (
            {"settings": SamplerSettings(max_completion_tokens=25)},
            "max_completion_tokens=25, more than the sampler's max_completion_tokens=24",
        ),
        ({"settings": SamplerSettings(temperature=-0.1)}, "temperature=-0.1 must be at least 0"),
        ({"settings": SamplerSettings(top_p=0.0)}, "top_p=0.0 must be above 0"),
        ({"settings": SamplerSettings(top_k=-2)}, "top_k=-2 must be at least 0"),
    ],
)
def test_what_does_not_fit_is_named_before_any_work(sampler, params, changes, message):
    valid = {
        "prompt_tokens": [3],
        "seeds": [0],
        "settings": SamplerSettings(max_completion_tokens=4),
        "request_id": "r7",
    }
    with pytest.raises(UserError, match=message):
        sampler.sample(params, [SampleRequest(**(valid | changes))])


def test_sampler_limits_are_checked(model):
    sizes = {"eos_ids": (END,), "max_prompt_tokens": 100, "max_completion_tokens": 29}
    with pytest.raises(UserError, match=r"100 .* max_completion_tokens=29 exceed .* 128"):
        Sampler(model, **sizes)
    with pytest.raises(UserError, match="num_slots=0 must be at least 1"):
        Sampler(model, **sizes | {"max_prompt_tokens": 10}, num_slots=0)
