"""An engine against real HTTP servers that sample from real checkpoints."""

import dataclasses
import shutil
import threading
import time

import jax
import numpy as np
import pytest

from spo_jax.acting.engines import (
    EnginePolicies,
    HttpReload,
    OpenAIEngine,
    PublishedPolicy,
    SglangReload,
    ShellReload,
    VllmReload,
)
from spo_jax.acting.engines.testing import MODEL, EngineServer
from spo_jax.errors import EnginesLostError, UserError
from spo_jax.models import Transformer, load_pretrained
from spo_jax.models.testing import byte_tokenizer, random_params, tiny_config
from spo_jax.sampling import Sampler, SampleRequest
from spo_jax.types import SamplerSettings

LIMIT = 12
END_IDS = (*byte_tokenizer().eos_ids, *range(100, 106))  # many: some samples end early
SETTINGS = SamplerSettings(max_completion_tokens=LIMIT)
REQUESTS = [
    SampleRequest(prompt_tokens=[7, 8, 9], seeds=[11, 12, 13], settings=SETTINGS),
    SampleRequest(prompt_tokens=[30], seeds=[], settings=SETTINGS),
    SampleRequest(prompt_tokens=[20, 21], seeds=[14, 15], settings=SETTINGS, request_id="p"),
]


@pytest.fixture(scope="module")
def policies(tmp_path_factory):
    """Versions 0 and 1, as a run publishes them."""
    tokenizer = byte_tokenizer()
    config = tiny_config(
        vocab_size=tokenizer.vocab_size, max_position=64, eos_ids=tokenizer.eos_ids
    )
    written = EnginePolicies(tmp_path_factory.mktemp("run") / "policies", config, tokenizer)
    first = written.start(random_params(config, jax.random.key(0)))
    second = written.publish(random_params(config, jax.random.key(1)), 1)
    return first, second


@pytest.fixture(scope="module")
def expected(policies):
    """Completions of our own sampler, by version, request and sample."""
    found = []
    for policy in policies:
        pretrained = load_pretrained(policy.path)
        sampler = Sampler(
            Transformer(pretrained.config),
            eos_ids=END_IDS,
            num_slots=4,
            max_prompt_tokens=8,
            max_completion_tokens=LIMIT,
        )
        found.append(sampler.sample_all(pretrained.params, REQUESTS))
    return found


@pytest.fixture(scope="module")
def servers(policies):
    """Two servers, both with version 0 at first."""
    shape = {"max_prompt_tokens": 8, "max_completion_tokens": LIMIT}
    with EngineServer(policies[0].path, **shape) as a, EngineServer(policies[0].path, **shape) as b:
        yield a, b


@pytest.fixture(autouse=True)
def fresh(servers):
    for server in servers:
        server.faults.next.clear()
        server.faults.is_down = False
        server.requests.clear()
        server.reloads.clear()
        server.most_at_once = 0


def engine_of(*servers, **changes):
    settings = {
        "end_ids": END_IDS,
        "vocab_size": byte_tokenizer().vocab_size,
        "max_prompt_tokens": 8,
        "max_completion_tokens": LIMIT,
        "reload": SglangReload(),
        "patience_secs": 5.0,
        "retry_secs": 0.1,
    }
    return OpenAIEngine([server.url for server in servers], **settings | changes)


def sample_all(engine, policy, requests=REQUESTS):
    found = {(i, j): completion for i, j, completion in engine.sample(policy, requests)}
    return [[found[i, j] for j in range(len(r.seeds))] for i, r in enumerate(requests)]


def assert_same(got, wanted):
    assert [len(samples) for samples in got] == [len(samples) for samples in wanted]
    for ours, theirs in zip(got, wanted, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.tokens.tolist() == b.tokens.tolist()
            assert (a.finish_reason, a.seed) == (b.finish_reason, b.seed)
            np.testing.assert_allclose(a.behavior_logprobs, b.behavior_logprobs, atol=1e-5)


@pytest.mark.parametrize("reload", [SglangReload(), VllmReload()])
def test_draws_what_our_own_sampler_draws_under_each_policy(servers, policies, expected, reload):
    engine = engine_of(*servers, reload=reload)
    assert_same(sample_all(engine, policies[0]), expected[0])
    assert_same(sample_all(engine, policies[1]), expected[1])
    assert_same(sample_all(engine, policies[0]), expected[0])
    paths = [policies[0].path, policies[1].path, policies[0].path]
    used = [server for server in servers if server.reloads]
    assert used and all(server.reloads == paths[: len(server.reloads)] for server in used)


def test_samples_end_both_ways(expected):
    """Else the comparisons above would prove less than they seem to."""
    reasons = {c.finish_reason for version in expected for many in version for c in many}
    assert reasons == {"stop", "length"}
    assert expected[0][0][0].tokens.tolist() != expected[1][0][0].tokens.tolist()


def test_work_goes_to_all_servers_and_no_more_at_once_than_allowed(servers, policies):
    engine = engine_of(*servers, max_concurrent=2)
    many = dataclasses.replace(REQUESTS[0], seeds=list(range(24)))
    sample_all(engine, policies[0], [many])
    asked = [len(server.requests) - 1 for server in servers]  # one was the probe
    assert sum(asked) == 24 and min(asked) >= 4
    assert max(server.most_at_once for server in servers) <= 2


@pytest.mark.parametrize("fault", ["status_500", "status_429", "disconnect", "malformed", "abort"])
def test_a_failed_request_is_asked_again_and_gives_the_same_sample(
    servers, policies, expected, fault
):
    engine = engine_of(servers[0])
    servers[0].faults.next.extend([fault, "", fault])
    assert_same(sample_all(engine, policies[1]), expected[1])
    assert not servers[0].faults.next


def test_a_straggler_is_cut_off_and_asked_again(servers, policies, expected):
    for server in servers:
        sample_all(engine_of(server), policies[0])  # compiled
    engine = engine_of(*servers, timeout_secs=1.5)
    for server in servers:
        server.faults.hang_secs = 6.0
    for server in servers:
        server.faults.next.append("hang")
    start = time.monotonic()
    assert_same(sample_all(engine, policies[0]), expected[0])
    assert time.monotonic() - start >= 1.5  # it did hang


def test_a_dead_server_is_named_once_and_used_again_when_it_is_back(
    servers, policies, expected, capsys
):
    engine = engine_of(*servers)
    assert_same(sample_all(engine, policies[1]), expected[1])
    servers[0].faults.is_down = True
    for _ in range(2):
        assert_same(sample_all(engine, policies[1]), expected[1])
    assert capsys.readouterr().err.count(f"{servers[0].url} is left out") == 1
    servers[0].faults.is_down = False
    servers[0].reloads.clear()
    deadline = time.monotonic() + 20
    while not servers[0].reloads:  # it may have been started anew: it is given the weights again
        assert time.monotonic() < deadline, "the server was never looked at again"
        assert_same(sample_all(engine, policies[1]), expected[1])
        time.sleep(0.05)
    assert_same(sample_all(engine, policies[1]), expected[1])
    assert f"{servers[0].url} is back" in capsys.readouterr().err


def test_all_servers_dead_ends_with_their_reasons(servers, policies):
    engine = engine_of(*servers, patience_secs=0.3)
    for server in servers:
        server.faults.is_down = True
    with pytest.raises(
        EnginesLostError, match=r"no engine of 2 is alive \(waited 0.3 s\)"
    ) as caught:
        sample_all(engine, policies[0])
    assert all(server.url in str(caught.value) for server in servers)


def test_a_request_that_always_fails_is_named(servers, policies):
    engine = engine_of(servers[0], num_tries=2)
    servers[0].faults.next.extend(["status_500"] * 2)
    with pytest.raises(UserError, match=r"request 'p' failed on the engine 2 times.*status 500"):
        sample_all(engine, policies[0], [dataclasses.replace(REQUESTS[2], seeds=[1])])


def test_a_refused_request_is_not_repeated(servers, policies):
    engine = engine_of(servers[0])
    servers[0].faults.next.append("status_400")
    with pytest.raises(
        UserError, match=rf"engine {servers[0].url} refuses .*status 400: status_400"
    ):
        sample_all(engine, policies[0], [dataclasses.replace(REQUESTS[2], seeds=[1])])


def test_text_alone_is_found_out_before_any_work(servers):
    servers[0].faults.next.append("text")
    with pytest.raises(UserError, match=r"text alone"):
        engine_of(servers[0])


def test_what_the_servers_are_is_checked_before_any_work(servers):
    with pytest.raises(UserError, match=rf"does not serve 'gpt', only \['{MODEL}'\]"):
        engine_of(servers[0], model="gpt")
    with pytest.raises(UserError, match=r"context of 20 tokens.* are 28"):
        engine_of(servers[0], max_prompt_tokens=16)
    with pytest.raises(UserError, match=r"'localhost:80' must be like http://host:port"):
        OpenAIEngine(
            ["localhost:80"],
            end_ids=(2,),
            vocab_size=4,
            max_prompt_tokens=1,
            max_completion_tokens=1,
            reload=None,
        )
    servers[0].faults.is_down = True
    with pytest.raises(EnginesLostError, match=r"no engine of 1 is alive"):
        engine_of(servers[0], patience_secs=0.1)


def test_leaving_early_cuts_off_what_runs(servers, policies):
    engine = engine_of(servers[0])
    sample_all(engine, policies[0])  # compiled
    servers[0].faults.hang_secs = 20.0
    servers[0].faults.next.extend(["", "hang", "hang"])
    start = time.monotonic()
    for _ in engine.sample(policies[0], REQUESTS[:1]):
        break
    assert time.monotonic() - start < 15


def test_a_waiting_run_can_be_stopped(servers, policies):
    """`progress` is called although no answer comes; what it raises ends the call."""

    class Stop(BaseException):
        pass

    def stop(_):
        raise Stop

    engine = engine_of(servers[0])
    servers[0].faults.hang_secs = 20.0
    servers[0].faults.next.extend(["hang"] * 3)
    start = time.monotonic()
    with pytest.raises(Stop):
        next(engine.sample(policies[0], REQUESTS[:1], progress=stop))
    assert time.monotonic() - start < 15


def test_two_policies_at_once_never_meet_on_a_server(servers, policies, expected):
    """The server asserts that no completion runs while it loads; tokens show who drew them."""
    engine = engine_of(servers[0], num_tries=1)
    found = [None, None]

    def draw(version):
        found[version] = sample_all(engine, policies[version])

    threads = [threading.Thread(target=draw, args=(version,)) for version in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for version in (0, 1):
        assert_same(found[version], expected[version])


def test_foreign_weights_are_noticed_where_the_server_names_them(servers, policies, expected):
    engine = engine_of(servers[0])
    assert_same(sample_all(engine, policies[1]), expected[1])
    servers[0].reload(policies[0].path, "17")  # somebody else's
    assert_same(sample_all(engine, policies[1]), expected[1])
    assert servers[0].reloads == [policies[1].path, policies[0].path, policies[1].path]


def test_a_checkpoint_that_cannot_be_loaded_leaves_the_server_out(servers, tmp_path):
    engine = engine_of(servers[0], patience_secs=0.3)
    with pytest.raises(
        EnginesLostError, match=r"no engine of 1 is alive.*reload of policy 5.*status 500"
    ):
        sample_all(engine, PublishedPolicy(str(tmp_path / "5"), 5))


def test_a_server_without_the_reload_page_says_what_to_do(servers, policies):
    reload = dataclasses.replace(VllmReload(), posts=(("/nothing", {}),))
    with pytest.raises(UserError, match=r"/nothing: HTTP status 404.*VLLM_SERVER_DEV_MODE=1"):
        sample_all(engine_of(servers[0], reload=reload), policies[0])


def test_without_a_reload_only_one_policy_can_be_had(servers, policies, expected):
    servers[0].reload(policies[0].path, "0")
    engine = engine_of(servers[0], reload=None)
    assert_same(sample_all(engine, policies[0]), expected[0])
    with pytest.raises(UserError, match=r"policy 1 is wanted, but EngineSettings.reload is None"):
        sample_all(engine, policies[1])


def test_a_command_can_reload(servers, policies, expected, tmp_path):
    script = tmp_path / "reload.py"
    script.write_text(
        "import json, sys, urllib.request as r\n"
        "url, path, version = sys.argv[1:]\n"
        "body = json.dumps({'model_path': path, 'weight_version': version}).encode()\n"
        "r.urlopen(r.Request(url + '/update_weights_from_disk', body)).read()\n"
    )
    command = ShellReload(command=f"python3 {script} {{url}} {{path}} {{version}}")
    engine = engine_of(servers[0], reload=command)
    assert_same(sample_all(engine, policies[1]), expected[1])
    bad = engine_of(
        servers[0], patience_secs=0.2, reload=ShellReload(command="sh -c 'echo no; exit 3'")
    )
    with pytest.raises(EnginesLostError, match=r"ended with status 3: no"):
        sample_all(bad, policies[0])


def test_templates_fill_strings_at_any_depth(servers, policies):
    posts = (
        ("/update_weights_from_disk", {"model_path": "{path}", "weight_version": "v{version}"}),
    )
    engine = engine_of(servers[0], reload=HttpReload(posts=posts))
    sample_all(engine, policies[1])
    assert servers[0].reloads == [policies[1].path]


def test_policies_can_be_elsewhere_for_the_servers(tmp_path):
    tokenizer = byte_tokenizer()
    config = tiny_config(vocab_size=tokenizer.vocab_size, eos_ids=tokenizer.eos_ids)
    params = random_params(config, jax.random.key(0))
    policies = EnginePolicies(tmp_path, config, tokenizer, seen_at="/mnt/policies/")
    published = policies.publish(params, 3)
    assert (published.path, published.version) == ("/mnt/policies/3", 3)
    assert policies.load(3) == published
    shutil.rmtree(tmp_path / "3")  # by a resumed asynchronous run, which makes another one
    assert policies.publish(params, 3) != published
    with pytest.raises(UserError, match=r"published policy 4 is missing"):
        policies.load(4)
