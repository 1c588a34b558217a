"""A run whose training samples come from an HTTP server: the same run as with our own sampler."""

import threading

import pytest

from spo_jax.act import act
from spo_jax.acting.engines import SglangReload
from spo_jax.acting.engines.testing import EngineServer
from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.errors import UserError
from spo_jax.problems.letters import NamedLetters
from spo_jax.problems.prompts import TextTemplate
from spo_jax.reporting.metrics import read_metrics
from spo_jax.running.actor_settings import ActorSettings
from spo_jax.running.directory import RunDirectory
from spo_jax.running.sampling_parts import own_servers
from spo_jax.running.settings import (
    BatchSettings,
    EngineSettings,
    MeshShape,
    ModelSource,
    ProblemSource,
    RolloutSettings,
)
from spo_jax.trajectories import ReplayConfig, TrajectoryStore

SMALL = ["BatchSettings.problems_per_update = 2"]
RUN = {
    "num_updates": 4,
    "policy_sync_every": 2,
    "checkpoint_every": 2,
    "evaluation": EvaluationSettings(
        num_problems=4, num_samples=2, ks=(1,), temperature=1.0, top_p=1.0, max_completion_tokens=6
    ),
}


@pytest.fixture(scope="module")
def server(uniform_checkpoint):
    with EngineServer(uniform_checkpoint, max_prompt_tokens=5, max_completion_tokens=6) as server:
        yield server


def engine_at(server, **changes):
    return EngineSettings(
        **{"base_urls": (server.url,), "reload": SglangReload(), "patience_secs": 5.0} | changes
    )


def rows(run_dir):
    return {
        t.trajectory_id: (t.policy_version, t.completion_tokens.tolist(), t.finish_reason, t.reward)
        for t in TrajectoryStore(RunDirectory(str(run_dir)).store_url, writer_id="reader").read()
    }


def losses(run_dir):
    return [line["loss/total"] for line in read_metrics(run_dir) if "loss/total" in line]


@pytest.mark.slow
def test_an_engines_run_is_the_run_of_our_own_sampler(
    tiny_task, uniform_checkpoint, server, tmp_path
):
    """Every sample from the policy that its trajectory names."""
    ours, theirs = tmp_path / "ours" / "run", tmp_path / "theirs" / "run"
    settings = RUN | {"num_updates": 2, "policy_sync_every": 1, "checkpoint_every": 1}
    tiny_task(ours, uniform_checkpoint, **settings)
    # In two attempts: a resumed run does not trust what the server was left with.
    tiny_task(theirs, uniform_checkpoint, **settings | {"num_updates": 1}, engine=engine_at(server))
    server.reload(uniform_checkpoint, "elsewhere")
    tiny_task(theirs, uniform_checkpoint, **settings, engine=engine_at(server))
    assert rows(theirs) == rows(ours)
    assert {version for version, *_ in rows(theirs).values()} == {0, 1}
    assert losses(theirs) == pytest.approx(losses(ours), rel=1e-4)
    published = [path for path in server.reloads if path != uniform_checkpoint]
    assert published == [str(theirs / "policies" / version) for version in ("0", "1")]


def test_objectives_that_need_logprobs_say_so(tiny_task, uniform_checkpoint, server, tmp_path):
    bindings = [*SMALL, "train.objective = @GRPO()"]
    with pytest.raises(UserError, match=r"GRPO needs behavior_logprobs.*logprobs='none'"):
        engine = engine_at(server, logprobs="none")
        tiny_task(tmp_path / "run", uniform_checkpoint, bindings, **RUN, engine=engine)


def test_settings_are_checked():
    for changes, message in (
        ({"base_urls": "http://a"}, "must be a list of at least one address"),
        ({"base_urls": ()}, "must be a list of at least one address"),
        ({"base_urls": ("http://a", "http://a")}, "names a server twice"),
        ({"max_concurrent": 0}, "max_concurrent=0 must be at least 1"),
        ({"timeout_secs": 0.0}, "timeout_secs=0.0 must be above 0"),
        ({"logprobs": "proces"}, "logprobs='proces' must be of"),
    ):
        with pytest.raises(UserError, match=message):
            EngineSettings(**{"base_urls": ("http://a",)} | changes)


def test_hosts_share_no_server():
    urls = ["http://a", "http://b", "http://c"]
    assert own_servers(urls, 0, 2) == ["http://a", "http://c"]
    assert own_servers(urls, 1, 2) == ["http://b"]
    with pytest.raises(UserError, match="names 3 servers for 4 processes"):
        own_servers(urls, 0, 4)


@pytest.mark.slow
def test_an_actor_beside_the_learner_can_have_an_engine(
    tiny_task, uniform_checkpoint, server, tmp_path
):
    """The thread computes nothing, so all devices are the learner's."""
    server.reloads.clear()
    actors = ActorSettings(mode="thread", poll_secs=0.05, heartbeat_secs=0.5, max_queued=4)
    settings = RUN | {"policy_sync_every": 1, "mesh": MeshShape(data=2)}
    run_dir = tmp_path / "run"
    tiny_task(
        run_dir, uniform_checkpoint, SMALL, **settings, engine=engine_at(server), actors=actors
    )
    versions = {version for version, *_ in rows(run_dir).values()}
    assert 0 in versions and len(versions) > 1
    loaded = [int(path.rpartition("/")[2]) for path in server.reloads]
    assert loaded == sorted(loaded) and versions <= set(loaded)


@pytest.mark.slow
def test_an_actor_elsewhere_can_have_an_engine(tiny_task, uniform_checkpoint, server, tmp_path):
    """The learner never asks the server: the one that is named in its own settings is not there."""
    server.reloads.clear()
    run_dir = tmp_path / "run"
    actors = ActorSettings(mode="remote", poll_secs=0.05, heartbeat_secs=0.5, max_queued=4)
    shared = {
        "policy": ModelSource(path=uniform_checkpoint),
        "problems": ProblemSource(task="spo_letters", trust_labels=True),
        "prompt": TextTemplate(),
        "judge": NamedLetters(),
        "rollouts": RolloutSettings(max_prompt_tokens=5, max_completion_tokens=6),
        "replay": ReplayConfig(offline_fraction=0.0),
        "batch": BatchSettings(problems_per_update=2, completions_per_problem=8),
    }
    ended = []

    def sample():
        ended.append(
            act(str(run_dir), actor_id="a0", actors=actors, engine=engine_at(server), **shared)
        )

    thread = threading.Thread(target=sample)
    thread.start()
    settings = RUN | {"policy_sync_every": 1}
    absent = EngineSettings(base_urls=("http://127.0.0.1:9",), reload=SglangReload())
    tiny_task(run_dir, uniform_checkpoint, SMALL, **settings, engine=absent, actors=actors)
    thread.join(timeout=60)
    assert ended and ended[0].num_groups > 0
    versions = {version for version, *_ in rows(run_dir).values()}
    loaded = [int(path.rpartition("/")[2]) for path in server.reloads]
    assert 0 in versions and len(versions) > 1
    assert loaded == sorted(loaded) and versions <= set(loaded)
