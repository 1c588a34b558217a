"""The loop of an actor: a scripted sampler, a judge that answers when the test says so."""

import concurrent.futures
import dataclasses

import numpy as np
import pytest

from spo_jax.acting.actor import Actor
from spo_jax.acting.actor_loop import ActorLoop, RoundSettings, actor_stream
from spo_jax.acting.heartbeat import Heartbeat
from spo_jax.acting.policy_sources import HandedPolicies, Policy, PublishedPolicies
from spo_jax.acting.rollouts import Prompter, RolloutWorker
from spo_jax.acting.shared_files import SharedFiles
from spo_jax.acting.signals import (
    ActorStatus,
    LearnerStatus,
    read_actor,
    read_actors,
    read_learner,
    write_actor,
    write_learner,
)
from spo_jax.errors import UserError
from spo_jax.judging import RewardMap
from spo_jax.models.testing import character_tokenizer
from spo_jax.problems.letters import ALPHABET, letter_problems
from spo_jax.problems.prompts import TextTemplate
from spo_jax.running.writers import is_actor_stream
from spo_jax.trajectories import TrajectoryStore
from spo_jax.types import Completion, Judgement, SamplerSettings, Verdict

PROBLEMS = letter_problems("train")[:6]
TOKENIZER = character_tokenizer(ALPHABET)
PROMPTER = Prompter(TOKENIZER, TextTemplate())


class OneLetter:
    """A sampler that answers 'a' to everything, and remembers which parameters it was given."""

    def __init__(self):
        self.asked_with = []

    def sample(self, params, requests, *, progress=None):
        self.asked_with.append(params)
        tokens = np.array([*TOKENIZER.encode("a"), TOKENIZER.eos_ids[0]], np.int32)
        logprobs = np.zeros(len(tokens), np.float32)
        for i, request in enumerate(requests):
            for j, seed in enumerate(request.seeds):
                yield (
                    i,
                    j,
                    Completion(
                        tokens=tokens,
                        behavior_logprobs=logprobs,
                        finish_reason="stop",
                        seed=seed,
                    ),
                )


class Judge:
    """Answers at once, or when `answer` is called."""

    def __init__(self, *, at_once=True):
        self.at_once = at_once
        self.waiting = []

    def submit(self, problem, answer):
        future = concurrent.futures.Future()
        self.waiting.append(future)
        if self.at_once:
            self.answer(1)
        return future

    def answer(self, count):
        for future in self.waiting[:count]:
            future.set_result(Judgement(verdict=Verdict.AC))
        del self.waiting[:count]


class Setting:
    """A run's directory, a learner that says what the test tells it to, and one actor."""

    def __init__(self, path, *, judge=None, **rounds):
        self.path = str(path)
        self.files = SharedFiles(self.path)
        self.sampler, self.judge = OneLetter(), judge or Judge()
        self.policies = HandedPolicies(Policy(0, "start"))
        self.commits = []
        self.learner = LearnerStatus(
            run_id="run", attempt="1", step=0, policy_version=0, queued_groups=0, commits={}
        )
        defaults = {"num_problems": 2, "num_samples": 2, "max_queued": 100, "poll_secs": 0.001}
        self.rounds = RoundSettings(**(defaults | rounds))

    def store(self, actor_id="a0"):
        return TrajectoryStore(self.path, writer_id=actor_id)

    def run(self, each_time, actor_id="a0", store=None, heartbeat=None):
        """Runs the loop; `each_time(number of looks)` is called at each, and ends it by True."""
        looks = iter(range(1000))

        def should_stop():
            return each_time(next(looks))

        store = store or self.store(actor_id)
        worker = RolloutWorker(self.sampler, self.judge, PROMPTER)
        actor = Actor(
            worker,
            PROMPTER,
            store,
            reward_map=RewardMap(),
            settings=SamplerSettings(),
            run_id="run",
            seed=0,
        )
        with heartbeat or Heartbeat(self.files, actor_id, every_secs=60) as beating:
            loop = ActorLoop(
                actor_id,
                actor,
                store,
                self.policies,
                actor_stream(PROBLEMS, self.rounds.num_problems, 0, actor_id),
                self.rounds,
                learner=lambda: self.learner,
                is_actor_stream=is_actor_stream,
                heartbeat=beating,
                on_commit=lambda number, report: self.commits.append((number, report)),
            )
            loop.run(should_stop)
        return [number for number, _ in self.commits]

    def until(self, count):
        return lambda _: len(self.commits) >= count

    def ids(self):
        return [t.trajectory_id for t in TrajectoryStore(self.path).read()]


def test_an_actor_goes_on_after_its_last_commit(tmp_path):
    setting = Setting(tmp_path)
    assert setting.run(setting.until(2)) == [0, 1]
    setting.policies.hand(Policy(7, "newer"))
    assert setting.run(setting.until(4)) == [0, 1, 2, 3]
    ids = setting.ids()
    assert len(ids) == len(set(ids)) == 4 * 2 * 2
    reported = [t.trajectory_id for _, report in setting.commits for t in report.trajectories]
    assert sorted(ids) == sorted(reported)
    by_round = [{t.problem_id for t in report.trajectories} for _, report in setting.commits]
    stream = actor_stream(PROBLEMS, 2, 0, "a0")
    assert by_round == [{problem.id for problem in stream.at(n)} for n in range(4)]
    assert [report.trajectories[0].policy_version for _, report in setting.commits] == [0, 0, 7, 7]
    assert read_actor(setting.files, "a0").num_rounds == 4


def test_a_round_killed_before_its_commit_is_asked_again(tmp_path):
    """The judge never answers: the actor is 'killed' with a round under way. Nothing is stored."""
    setting = Setting(tmp_path, judge=Judge(at_once=False))
    assert setting.run(lambda look: look > 5) == []
    assert setting.ids() == []
    setting.judge = Judge()
    assert setting.run(setting.until(1)) == [0]
    assert {t.problem_id for t in setting.commits[0][1].trajectories} == {
        problem.id for problem in actor_stream(PROBLEMS, 2, 0, "a0").at(0)
    }


def test_two_actors_ask_in_different_orders_and_share_no_id(tmp_path):
    setting = Setting(tmp_path)
    setting.run(setting.until(3), "a0")
    setting.run(setting.until(6), "a1")
    assert len(set(setting.ids())) == 6 * 2 * 2
    asked = [[t.problem_id for t in report.trajectories] for _, report in setting.commits]
    assert asked[:3] != asked[3:]


def test_actors_wait_when_the_learner_has_enough(tmp_path):
    """6 groups at most: what the learner counts, and what was committed since it counted."""
    setting = Setting(tmp_path, max_queued=6)
    setting.run(lambda look: look > 30)
    assert len(setting.commits) == 3
    assert read_actor(setting.files, "a0").secs["waiting"] > 0
    # The learner has seen all three rounds and drawn three groups: there is room for one round.
    setting.learner = dataclasses.replace(
        setting.learner, queued_groups=3, commits={"trajectories/a0": 3}
    )
    setting.run(lambda look: look > 30)
    assert len(setting.commits) == 4
    # Rounds of other actors count, what the learner itself writes does not.
    setting.learner = dataclasses.replace(setting.learner, queued_groups=0)
    setting.run(lambda look: look > 30, "a1")
    assert len(setting.commits) == 6


def test_sampling_goes_on_while_verdicts_are_missing(tmp_path):
    """Two rounds are sampled, none judged; the second one's verdicts come first."""
    setting = Setting(tmp_path, judge=Judge(at_once=False))

    def each_time(look):
        judge = setting.judge
        if look == 10:
            assert len(setting.sampler.asked_with) == 2 and len(judge.waiting) == 8
            judge.waiting = judge.waiting[4:] + judge.waiting[:4]
            judge.answer(4)
        if look == 20:
            assert len(setting.sampler.asked_with) == 2 and not setting.commits
            judge.answer(4)
        return len(setting.commits) == 2

    assert setting.run(each_time) == [0, 1]


def test_the_loop_ends_when_the_learner_is_done_or_not_there(tmp_path):
    setting = Setting(tmp_path)
    setting.learner = dataclasses.replace(setting.learner, done=True)
    assert setting.run(lambda look: False) == []
    setting.learner = None
    assert setting.run(lambda look: look > 5) == []
    assert read_actor(setting.files, "a0").state == "ended"


def test_a_stop_drops_the_round_under_way(tmp_path):
    setting = Setting(tmp_path, num_samples=4)
    stops = iter([False, False, True])  # the third is asked in the midst of sampling
    assert setting.run(lambda _: next(stops)) == []
    assert setting.ids() == []


def test_a_second_actor_of_one_name_is_refused(tmp_path):
    setting = Setting(tmp_path)
    with (
        Heartbeat(setting.files, "a0", every_secs=60),
        pytest.raises(UserError, match=r"actor_id 'a0' is in use in .* \(process \d+ on "),
    ):
        setting.run(setting.until(1))
    assert setting.run(setting.until(1)) == [0]  # its name is free again


def test_an_actor_on_another_machine_is_known_by_its_reports(monkeypatch):
    """In a bucket there are no locks: reports that go on are of someone alive."""
    files = SharedFiles("memory://names")
    other = ActorStatus(actor_id="a0", nonce="x", host="elsewhere", pid=1, beat=1)

    def rising(_):
        write_actor(files, dataclasses.replace(other, beat=read_actor(files, "a0").beat + 1))

    write_actor(files, other)
    monkeypatch.setattr("spo_jax.acting.heartbeat.time.sleep", rising)
    with pytest.raises(UserError, match=r"in use .*process 1 on elsewhere"):
        Heartbeat(files, "a0", every_secs=60).__enter__()
    monkeypatch.setattr("spo_jax.acting.heartbeat.time.sleep", lambda _: None)
    with Heartbeat(files, "a0", every_secs=0.01) as heartbeat:  # silent: dead
        write_actor(files, dataclasses.replace(other, nonce="y"))  # one that looked at our moment
        heartbeat._thread.join(timeout=10)
        with pytest.raises(UserError, match="is in use"):
            heartbeat.check()
    assert read_actor(files, "a0").nonce == "y"  # and is left alone


def test_the_store_refuses_two_processes_that_count_the_same_commits(tmp_path):
    setting = Setting(tmp_path)
    store = setting.store()
    store.watermark()

    def each_time(look):
        if look == 1:  # another process of this name commits first, with another policy
            other = Setting(tmp_path / "elsewhere", judge=setting.judge)
            other.path = setting.path
            other.policies.hand(Policy(3, "other"))
            other.run(other.until(1), store=setting.store())
        return False

    with pytest.raises(UserError, match=r"commit=0: .* holds other rows"):
        setting.run(each_time, store=store)
    assert len(setting.ids()) == 4


class Files:
    """Published policies of which some vanish while they are read."""

    def __init__(self, *versions, gone=()):
        self.versions, self.gone = list(versions), set(gone)
        self.loads = []

    def latest(self):
        return self.versions[0]

    def load(self, version):
        self.loads.append(version)
        if version in self.gone:
            self.versions.pop(0)
            raise FileNotFoundError(version)
        return f"params {version}"


def test_a_policy_deleted_while_it_is_read_gives_way_to_the_newer_one():
    files = Files(4, 7, gone={4})
    source = PublishedPolicies(files, lambda: "start", lambda: "1")
    assert (source.newest().version, source.newest().params) == (7, "params 7")
    assert files.loads == [4, 7]  # and it is read once


def test_a_policy_that_cannot_be_read_and_stays_the_newest_is_an_error():
    files = Files(4, 4, gone={4})
    with pytest.raises(FileNotFoundError):
        PublishedPolicies(files, lambda: "start", lambda: "1").newest()


def test_versions_are_read_anew_after_the_learner_was_resumed():
    files, attempts = Files(4), iter(["1", "1", "2"])
    source = PublishedPolicies(files, lambda: "start", lambda: next(attempts))
    assert [source.newest().version for _ in range(3)] == [4, 4, 4]
    assert files.loads == [4, 4]
    assert PublishedPolicies(Files(0), lambda: "start", lambda: "1").newest().params == "start"


@pytest.mark.parametrize("scheme", ["memory://signals", ""])
def test_reports_are_read_as_they_were_written(tmp_path, scheme):
    files = SharedFiles(scheme or str(tmp_path / "new"))
    assert read_learner(files) is None and read_actors(files) == []
    status = LearnerStatus(
        run_id="r", attempt="1", step=3, policy_version=2, queued_groups=4, commits={"s": 1}
    )
    write_learner(files, status)
    assert read_learner(files) == status
    actors = [ActorStatus(actor_id=name, nonce="n", host="h", pid=1) for name in ("b", "a")]
    for actor in actors:
        write_actor(files, actor)
    assert read_actors(files) == actors[::-1]
    assert read_actor(files, "c") is None
