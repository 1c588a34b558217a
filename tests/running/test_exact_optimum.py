"""The real path against an exact world: 40 answers to one question, all of them enumerated.

A uniform policy answers (real sampler), its answers lie in the store (Parquet) as offline data, and
`train` regresses another model on them: reference logprobs, replay, learner. Its distribution over
all answers must then be the soft optimum, pi_ref e^{r / beta} / Z. No on-policy method can use this
data, which neither the reference nor the policy made.
"""

import contextlib
import dataclasses
import itertools

import numpy as np
import pytest
import seqio

from spo_jax.acting.actor import Actor
from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.judging import RewardMap
from spo_jax.learning import AdamW
from spo_jax.models import Transformer, load_pretrained, save_pretrained
from spo_jax.models.testing import save_uniform_model
from spo_jax.objectives import SoftPolicyOptimization
from spo_jax.packing import pack_separately
from spo_jax.problems.prompts import TextTemplate
from spo_jax.problems.tasks import problem_source, register_problems
from spo_jax.reporting.metrics import read_metrics
from spo_jax.running.sampling_parts import build_sampling
from spo_jax.running.settings import (
    BatchSettings,
    MeshShape,
    ModelSource,
    ProblemSource,
    RolloutSettings,
)
from spo_jax.scoring import score_rows
from spo_jax.tokenizers import load_tokenizer
from spo_jax.train import train
from spo_jax.trajectories import ReplayConfig, TrajectoryStore
from spo_jax.types import Judgement, Problem, SamplerSettings, TestCase, TestResult, Verdict

LETTERS, MAX_TOKENS = "abc", 3
BETA = 0.5
ROLLOUTS = RolloutSettings(
    max_prompt_tokens=4, max_completion_tokens=MAX_TOKENS, num_slots=64, steps_per_call=3
)
QUESTION = Problem(
    id="table/a", name="a", description="a", public_tests=(TestCase(input="a", output="a"),)
)


def share_of(text: str) -> int:
    """Of four tests, how many an answer passes: some fixed, irregular number."""
    return (3 * len(text) + 2 * text.count("b") + 3 * text.startswith("c")) % 5


@dataclasses.dataclass(frozen=True)
class Table:
    """Fractional rewards, through `RewardMap.partial_credit`."""

    def verify(self, problem: Problem, answer: str) -> Judgement:
        passed = (TestResult(verdict=Verdict.AC),) * share_of(answer)
        verdict = Verdict.AC if len(passed) == 4 else Verdict.WA
        return Judgement(verdict=verdict, tests=passed, num_tests=4, backend="verifier")


@pytest.fixture(scope="module", autouse=True)
def task():
    register_problems("spo_table", problem_source(lambda split: [QUESTION], ("train", "test")))
    yield
    seqio.TaskRegistry.remove("spo_table")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A random model that is far from uniform."""
    path = tmp_path_factory.mktemp("reference") / "model"
    save_uniform_model(path, LETTERS, seed=3)
    model, tokenizer = load_pretrained(path), load_tokenizer(str(path))
    params = model.params | {"embedding": 2.0 * model.params["embedding"]}
    save_pretrained(path.with_name("spread"), model.config, params, tokenizer=tokenizer)
    return str(path.with_name("spread"))


@pytest.fixture(scope="module")
def uniform(tmp_path_factory, reference):
    """A model whose logits are all zero."""
    path = tmp_path_factory.mktemp("uniform") / "model"
    model, tokenizer = load_pretrained(reference), load_tokenizer(reference)
    params = model.params | {"embedding": 0.0 * model.params["embedding"]}
    save_pretrained(path, model.config, params, tokenizer=tokenizer)
    return str(path)


def sample_into(run_dir, checkpoint, num_samples):
    """Answers of a model, by the real sampler and actor, as another run's trajectories."""
    with contextlib.ExitStack() as stack:
        sampling = build_sampling(
            stack,
            policy=ModelSource(path=checkpoint),
            prompt=TextTemplate(),
            rollouts=ROLLOUTS,
            judge=Table(),
            verdicts_path="",
        )
        actor = Actor(
            sampling.worker,
            sampling.prompter,
            TrajectoryStore(str(run_dir), writer_id="uniform"),
            reward_map=RewardMap(partial_credit=True),
            settings=SamplerSettings(max_completion_tokens=MAX_TOKENS),
            run_id="uniform",
            seed=0,
        )
        return actor.collect(
            sampling.params,
            [QUESTION],
            num_samples=num_samples,
            policy_version=0,
            round_id="0",
            source="run:uniform",
        ).trajectories


def all_answers():
    """Token sequences: ended by '.' (token 0), or cut off at the length limit."""
    letters = range(1, 1 + len(LETTERS))
    for length in range(MAX_TOKENS):
        yield from ((*word, 0) for word in itertools.product(letters, repeat=length))
    yield from itertools.product(letters, repeat=MAX_TOKENS)


def distribution(checkpoint):
    """Exact probabilities of all answers under a checkpoint, and their rewards."""
    model, answers = load_pretrained(checkpoint), list(all_answers())
    prompt = load_tokenizer(checkpoint).chat_prompt(TextTemplate().messages(QUESTION))
    rows = pack_separately(
        [prompt] * len(answers),
        answers,
        num_rows=len(answers),
        row_length=8,
        max_completion_tokens=MAX_TOKENS,
        pad_id=0,
    )
    scores = score_rows(Transformer(model.config), model.params, rows)
    probabilities = np.exp(np.asarray(scores.logprobs_BT, np.float64).sum(axis=1))
    texts = ["".join(LETTERS[t - 1] for t in answer if t) for answer in answers]
    return probabilities, np.array([share_of(text) / 4 - 1 for text in texts])


def kl(p, q):
    return float(np.sum(p * np.log(p / q)))


@pytest.mark.parametrize("link", ["squared", pytest.param("cross_entropy", marks=pytest.mark.slow)])
def test_offline_data_of_a_uniform_policy_leads_to_the_exact_soft_optimum(
    tmp_path, reference, uniform, link
):
    run_dir = tmp_path / "run"
    sampled = sample_into(run_dir, uniform, 1024)
    assert {t.reward for t in sampled} == {-1.0, -0.75, -0.5, -0.25, 0.0}
    train(
        str(run_dir),
        policy=ModelSource(path=reference),
        problems=ProblemSource(task="spo_table", trust_labels=True),
        prompt=TextTemplate(),
        judge=Table(),
        rewards=RewardMap(partial_credit=True),
        objective=SoftPolicyOptimization(beta=BETA, link=link, baseline="profiled", margin=0.02),
        optimizer=AdamW(learning_rate=4e-3, decay="linear", total_steps=100),
        rollouts=ROLLOUTS,
        replay=ReplayConfig(offline_fraction=1.0, balance_outcomes=False),
        batch=BatchSettings(
            problems_per_update=1,
            completions_per_problem=128,
            row_lengths=(288,),
            tokens_per_micro_batch=288,
        ),
        evaluation=EvaluationSettings(num_samples=1, ks=(1,), max_completion_tokens=MAX_TOKENS),
        mesh=MeshShape(data=1),
        num_updates=100,
        policy_sync_every=100,
        checkpoint_every=100,
    )
    records = read_metrics(run_dir, "train")
    assert {record["data/offline_fraction"] for record in records} == {1.0}
    assert records[0]["q/reference_noise"] < 1e-4
    p_ref, rewards = distribution(reference)
    learned, _ = distribution(str(run_dir / "policies" / "100"))
    assert p_ref.sum() == pytest.approx(1, abs=1e-5)
    optimum = p_ref * np.exp(rewards / BETA)
    optimum /= optimum.sum()
    behavior, _ = distribution(uniform)
    assert kl(optimum, p_ref) > 0.1 and kl(optimum, behavior) > 0.1  # there was something to learn
    assert kl(optimum, learned) < 1e-3
