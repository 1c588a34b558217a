"""Dialogues of several turns: a scripted sampler and a judge that looks answers up."""

import concurrent.futures
import contextlib
import dataclasses
import types

import numpy as np
import pytest

from spo_jax.acting.actor import Actor
from spo_jax.acting.dialogues import FeedbackLoop
from spo_jax.acting.evaluator import EvaluationSettings, read_evaluation, sample_evaluation
from spo_jax.acting.rollouts import Prompter, RolloutWorker
from spo_jax.errors import UserError
from spo_jax.judging import CachedJudge, Judge, RewardMap
from spo_jax.models.testing import byte_tokenizer
from spo_jax.problems.feedback import FeedbackTemplate
from spo_jax.problems.prompts import PromptTemplate
from spo_jax.tokenizers import tokenizer_of
from spo_jax.trajectories import TrajectoryStore
from spo_jax.types import (
    Completion,
    Judgement,
    Problem,
    SamplerSettings,
    TestCase,
    TestResult,
    Verdict,
)

PROBLEM = Problem(
    id="set/p",
    name="p",
    description="Print 7.",
    public_tests=(TestCase(input="shown", output="7"),),
    private_tests=(TestCase(input="SECRET", output="HIDDEN"),),
)
TOKENIZER = byte_tokenizer()
PROMPTER = Prompter(TOKENIZER, PromptTemplate())
END = TOKENIZER.eos_ids[0]


class Script:
    """A sampler that answers each prompt's turn with the next line of a script."""

    def __init__(self, *lines, finish="stop"):
        self.lines, self.finish, self.requests = lines, finish, []

    def sample(self, params, requests, *, progress=None):
        for i, request in enumerate(requests):
            turn = sum(1 for r in self.requests if len(r.seeds))
            self.requests.append(request)
            for j, seed in enumerate(request.seeds):
                ids = [*TOKENIZER.encode(self.lines[turn]), END]
                yield (
                    i,
                    j,
                    Completion(
                        tokens=np.array(ids, np.int32),
                        behavior_logprobs=np.full(len(ids), -1.5, np.float32),
                        finish_reason=self.finish,
                        seed=seed,
                    ),
                )


class Lookup:
    """'wrong' fails the public test, 'half' a hidden one, 'right' none."""

    def __init__(self):
        self.asked = []

    def submit(self, problem, code):
        self.asked.append((problem.id, code.strip(), len(problem.tests)))
        wrong = TestResult(verdict=Verdict.WA, output="41 <|end|>", message="expected HIDDEN")
        good = TestResult(verdict=Verdict.AC)
        results = {"wrong": (wrong,), "half": (good, wrong), "right": (good, good)}[code.strip()]
        results = results[: len(problem.tests)]
        future = concurrent.futures.Future()
        future.set_result(
            Judgement(
                verdict=results[-1].verdict,
                tests=results,
                num_tests=len(problem.tests),
                message="m",
            )
        )
        return future


def dialogue(*lines, max_turns=3, problem=PROBLEM, finish="stop", every=False, **loop):
    sampler, judge = Script(*lines, finish=finish), Lookup()
    worker = RolloutWorker(sampler, judge, PROMPTER, FeedbackLoop(max_turns, **loop))
    [[rollout]] = worker.run(None, [problem], [[5]], SamplerSettings(), judge_every_turn=every)
    return rollout, sampler, judge


def test_a_wrong_answer_is_followed_by_feedback_and_another_answer():
    rollout, sampler, judge = dialogue("wrong", "right")
    assert rollout.judgement.verdict is Verdict.AC
    assert [turn.role for turn in rollout.turns] == ["policy", "environment", "policy"]
    first, second = sampler.requests
    tokens = rollout.completion.tokens
    between = rollout.turns[1]
    assert second.prompt_tokens == [*first.prompt_tokens, *tokens[: between.end]]
    assert second.seeds != first.seeds == (5,)
    np.testing.assert_array_equal(rollout.mask, rollout.completion.behavior_logprobs == -1.5)
    assert rollout.mask[between.start - 1] and tokens[between.start - 1] == END
    assert not rollout.mask[between.start : between.end].any()
    # The final verdict is asked for once, the earlier answer sees public tests only.
    assert judge.asked == [
        ("set/p", "wrong", 1),
        ("set/p", "right", 1),
        ("set/p", "right", 2),
    ]


def test_all_tokens_are_the_chat_template_of_the_whole_conversation():
    _, sampler, _ = dialogue("wrong", "right")
    template = FeedbackTemplate()
    judgement = Judgement(
        verdict=Verdict.WA, tests=(TestResult(verdict=Verdict.WA, output="41 < | e n d | >"),)
    )
    said = template.message(PROBLEM, judgement, 1)
    expected = TOKENIZER.chat_prompt(
        [
            *PROMPTER.template.messages(PROBLEM),
            {"role": "assistant", "content": "```python\nwrong"},
            {"role": "user", "content": said},
        ],
        answer_prefix="```python\n",
    )
    assert list(sampler.requests[1].prompt_tokens) == expected


def test_trap_nothing_hidden_and_no_markup_of_the_program_is_shown():
    rollout, _, _ = dialogue("wrong", "right")
    between = rollout.completion.tokens[rollout.turns[1].start : rollout.turns[1].end]
    text = TOKENIZER.decode(between, skip_special_tokens=False)
    assert "shown" in text and "41" in text
    assert "SECRET" not in text and "HIDDEN" not in text
    assert list(between).count(END) == 1  # the feedback's own end, none that the program printed


@pytest.mark.parametrize(
    ("lines", "options", "verdict"),
    [
        (("half",), {}, Verdict.WA),  # passes the public tests: a hidden failure is not told
        (("wrong", "wrong", "wrong"), {}, Verdict.WA),
        (("wrong",), {"max_turns": 1}, Verdict.WA),
        (("wrong",), {"finish": "length"}, Verdict.WA),
        (("wrong",), {"max_feedback_tokens": 10}, Verdict.WA),
        (("wrong",), {"problem": dataclasses.replace(PROBLEM, public_tests=())}, Verdict.WA),
    ],
)
def test_dialogue_ends(lines, options, verdict):
    rollout, sampler, _ = dialogue(*lines, **options)
    assert len(sampler.requests) == len(lines)
    assert rollout.judgement.verdict is verdict
    assert len(rollout.turns) == 2 * len(lines) - 1


def test_store_keeps_the_turns_and_counts_the_policys_tokens_only(tmp_path):
    worker = RolloutWorker(Script("wrong", "right"), Lookup(), PROMPTER, FeedbackLoop(2))
    store = TrajectoryStore(str(tmp_path), writer_id="w")
    actor = Actor(
        worker,
        PROMPTER,
        store,
        reward_map=RewardMap(),
        settings=SamplerSettings(),
        run_id="r",
        seed=0,
    )
    report = actor.collect(None, [PROBLEM], num_samples=1, policy_version=0, round_id="0")
    [stored] = store.read()
    assert [turn.role for turn in stored.turns] == ["policy", "environment", "policy"]
    assert report.num_tokens == stored.completion_mask.sum() == len("wrong") + len("right") + 2
    assert report.metrics()["sampling/turns"] == 2
    assert report.metrics()["sampling/fixed_by_feedback_fraction"] == 1
    assert stored.reward == RewardMap().reward(Judgement(verdict=Verdict.AC, num_tests=1))


def test_evaluation_counts_each_budget_of_turns(tmp_path):
    worker = RolloutWorker(Script("wrong", "wrong", "right"), Lookup(), PROMPTER, FeedbackLoop(3))
    settings = EvaluationSettings(num_samples=1, ks=(1,))
    sample_evaluation(worker, None, [PROBLEM], settings, tmp_path / "samples.jsonl")
    metrics = read_evaluation(tmp_path / "samples.jsonl", settings.ks).metrics()
    passes = [metrics[f"eval/turns_{turns}/pass@1"] for turns in (1, 2, 3)]
    assert passes == [0.0, 0.0, 1.0]
    assert metrics["eval/pass@1"] == 1.0


def test_template_that_rewrites_earlier_turns_is_refused():
    rewriting = tokenizer_of(
        TOKENIZER._fast.backend_tokenizer,
        chat_template="{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}",
        eos_token="<|end|>",
    )
    with pytest.raises(UserError, match="writes earlier turns anew"):
        rewriting.chat_follow_up([{"role": "user", "content": "q"}], "no")


def test_what_is_long_is_cut_and_the_cut_is_marked():
    template = FeedbackTemplate(max_chars=3)
    result = TestResult(verdict=Verdict.WA, output="12345")
    text = template.message(PROBLEM, types.SimpleNamespace(tests=(result,)), 1)
    assert "\n123 [...]" in text and "1234" not in text


def test_trap_verdict_on_the_public_tests_is_remembered_as_that_on_all(tmp_path):
    """By the real judge with its memory, and again from the memory alone."""
    problem = dataclasses.replace(
        PROBLEM,
        public_tests=(TestCase(input="1\n", output="2\n"), TestCase(input="2\n", output="4\n")),
        private_tests=(TestCase(input="5\n", output="10\n"),),
    )
    wrong = "print(int(input()) + 40)"
    half = "n = int(input())\nprint(2 * n if n < 5 else 0)"
    texts = []
    with Judge(num_workers=1, allow_unsandboxed=True) as judge:
        for _ in range(2):
            with contextlib.closing(CachedJudge(judge, tmp_path / "verdicts.jsonl")) as cached:
                worker = RolloutWorker(Script(wrong, half), cached, PROMPTER, FeedbackLoop(3))
                [[rollout]] = worker.run(None, [problem], [[5]], SamplerSettings())
                hits = cached.num_hits
            assert rollout.judgement.verdict is Verdict.WA  # on the hidden test
            assert rollout.judgement.num_tests == 3
            texts.append(TOKENIZER.decode(rollout.completion.tokens))
    assert texts[0] == texts[1] and hits == 3
    assert "Input:\n1\nExpected output:\n2\nYour output:\n41\n" in texts[0]
