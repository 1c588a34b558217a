"""One update of the whole loop with feedback, by the real sampler and judge."""

from pathlib import Path

import jax
import numpy as np
import pytest

import spo_jax
from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.commands import gin_config
from spo_jax.errors import UserError
from spo_jax.judging import ExactMatch
from spo_jax.learning import AdamW
from spo_jax.models import save_pretrained
from spo_jax.models.testing import byte_tokenizer, random_params, tiny_config
from spo_jax.objectives import SoftPolicyOptimization
from spo_jax.problems.feedback import FeedbackTemplate
from spo_jax.problems.prompts import PromptTemplate
from spo_jax.reporting.metrics import read_metrics
from spo_jax.running.configurables import CONFIGURABLES
from spo_jax.running.settings import (
    BatchSettings,
    MeshShape,
    ModelSource,
    ProblemSource,
    RolloutSettings,
)
from spo_jax.train import train
from spo_jax.trajectories import ReplayConfig, TrajectoryStore

TINY_TASK = Path(spo_jax.__file__).parents[1] / "configs" / "runs" / "tiny_task.gin"
MAX_FEEDBACK = 320


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("turns")
    tokenizer = byte_tokenizer()
    config = tiny_config(
        vocab_size=tokenizer.vocab_size, max_position=1024, eos_ids=tokenizer.eos_ids
    )
    params = random_params(config, jax.random.key(0))
    save_pretrained(path / "model", config, params, tokenizer=tokenizer)
    train(
        str(path / "run"),
        policy=ModelSource(path=str(path / "model")),
        problems=ProblemSource(max_problems=4, trust_labels=True),
        prompt=PromptTemplate(stdin_instruction="", call_instruction=""),
        objective=SoftPolicyOptimization(beta=0.2),
        optimizer=AdamW(learning_rate=1e-3),
        rollouts=RolloutSettings(
            max_prompt_tokens=320,
            max_completion_tokens=128,
            max_turns=2,
            max_feedback_tokens=MAX_FEEDBACK,
            num_slots=8,
            steps_per_call=32,
        ),
        replay=ReplayConfig(offline_fraction=0.0),
        batch=BatchSettings(
            problems_per_update=2,
            completions_per_problem=4,
            row_lengths=(2560,),
            tokens_per_micro_batch=2560,
        ),
        evaluation=EvaluationSettings(
            num_problems=2, num_samples=2, ks=(1, 2), max_completion_tokens=32
        ),
        mesh=MeshShape(data=1),
        num_updates=1,
        checkpoint_every=1,
    )
    return path / "run"


def test_dialogues_are_stored_scored_and_learned_from(trained):
    stored = list(TrajectoryStore(str(trained)).read())
    spoken = [t for t in stored if len(t.turns) == 3]
    assert spoken, "no sample ended its first answer: choose another seed"
    for t in spoken:
        between = t.turns[1]
        assert between.role == "environment" and between.end - between.start <= MAX_FEEDBACK
        assert not t.completion_mask[between.start : between.end].any()
        assert t.completion_mask.sum() == len(t.completion_tokens) - between.end + between.start
        assert (np.asarray(t.behavior_logprobs)[between.start : between.end] == 0).all()
        assert "Your answer is wrong." in t.completion_text
    [record] = read_metrics(trained, "train")
    assert record["data/dropped_too_long"] == 0
    assert record["sampling/turns"] == np.mean([(len(t.turns) + 1) / 2 for t in stored])
    # Policy = reference: chosen tokens are scored alike by annotation and update.
    assert record["q/reference_noise"] < 1e-3


def test_evaluation_reports_each_budget_of_turns(trained):
    for record in read_metrics(trained, "eval"):
        assert record["eval/turns_2/pass@1"] == record["eval/pass@1"]
        assert record["eval/turns_1/pass@1"] <= record["eval/turns_2/pass@1"]


def test_verifier_has_nothing_to_show(tmp_path, uniform_checkpoint):
    with pytest.raises(UserError, match="max_turns=2 needs a judge of programs"):
        train(
            str(tmp_path / "run"),
            policy=ModelSource(path=uniform_checkpoint),
            judge=ExactMatch(),
            rollouts=RolloutSettings(max_turns=2),
            mesh=MeshShape(data=1),
        )


def test_configuration_turns_feedback_on():
    settings = gin_config.configured_arguments(
        train,
        CONFIGURABLES,
        [str(TINY_TASK)],
        [
            "RolloutSettings.max_turns=3",
            "RolloutSettings.feedback=@FeedbackTemplate()",
            "FeedbackTemplate.max_chars=50",
        ],
    )
    assert settings["rollouts"].max_turns == 3
    assert settings["rollouts"].feedback == FeedbackTemplate(max_chars=50)
