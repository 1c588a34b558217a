"""Another trainer's rollouts, from its dump to an update."""

import argparse
import json

import pytest

from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.commands import trajectories as command
from spo_jax.errors import UserError
from spo_jax.learning import AdamW
from spo_jax.objectives import SoftPolicyOptimization
from spo_jax.problems import load_problems
from spo_jax.problems.prompts import PROMPT_TEMPLATES
from spo_jax.reporting.metrics import read_metrics
from spo_jax.running.settings import (
    BatchSettings,
    MeshShape,
    ModelSource,
    ProblemSource,
    RolloutSettings,
)
from spo_jax.train import train
from spo_jax.trajectories import ReplayConfig, TrajectoryStore


def spo(*words) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    """What verl would have written of two training problems and a held-out one."""
    folder = tmp_path_factory.mktemp("verl")
    train_problems, test_problems = (
        load_problems("starter", "train"),
        load_problems("starter", "test"),
    )
    with (folder / "1.jsonl").open("w") as file:
        for problem in (train_problems[0], train_problems[len(train_problems) // 2]):
            for score, code in ((1.0, "print(1)"), (0.0, "pass")):
                row = {
                    "input": f"user\n{problem.description}\nassistant\n",
                    "output": f"```python\n{code}\n```",
                    "gts": "",
                    "score": score,
                    "step": 1,
                }
                file.write(json.dumps(row) + "\n")
        row["input"] = test_problems[0].description
        file.write(json.dumps(row) + "\n")
    return folder


@pytest.fixture(scope="module")
def imported(dump, tiny_checkpoint, tmp_path_factory):
    store = tmp_path_factory.mktemp("imported") / "store"
    words = ("import", dump, "--output", store, "--tokenizer", tiny_checkpoint)
    options = ("--problems", "starter", "--prompt", "fence", "--reward_offset", "-1")
    assert spo(*words, *options) == 0
    return store


def run_on(run_dir, checkpoint, stores, **changes):
    settings = {
        "policy": ModelSource(path=checkpoint),
        "problems": ProblemSource(max_problems=2, trust_labels=True),
        "prompt": PROMPT_TEMPLATES["fence"],
        "objective": SoftPolicyOptimization(beta=0.2),
        "optimizer": AdamW(learning_rate=1e-2),
        "rollouts": RolloutSettings(
            max_prompt_tokens=384, max_completion_tokens=128, num_slots=4, steps_per_call=32
        ),
        "replay": ReplayConfig(offline_fraction=1.0, source_weights={"written": 0.0}),
        "stores": stores,
        "batch": BatchSettings(
            problems_per_update=2,
            completions_per_problem=2,
            row_lengths=(768,),
            tokens_per_micro_batch=1536,
        ),
        "evaluation": EvaluationSettings(
            num_problems=1, num_samples=1, ks=(1,), max_completion_tokens=4
        ),
        "mesh": MeshShape(data=1),
        "num_updates": 1,
        "checkpoint_every": 1,
    }
    return train(str(run_dir), **(settings | changes))


def test_a_verl_dump_is_learned_from(imported, tiny_checkpoint, tmp_path):
    run_dir = tmp_path / "run"
    run_on(run_dir, tiny_checkpoint, (str(imported),))
    store = TrajectoryStore(str(run_dir), create=False)
    rows = [item for item in store.read() if item.source == "import:verl"]
    assert sorted(item.reward for item in rows) == [-1.0, -1.0, 0.0, 0.0]  # none of the held-out
    [reference_id] = store.reference_ids()
    ids = [item.trajectory_id for item in rows]
    assert all(found is not None for found in store.ref_logprobs(reference_id, ids))
    metrics = [row for row in read_metrics(run_dir) if "data/offline_fraction" in row]
    assert metrics[0]["data/offline_fraction"] == 1.0
    assert metrics[0]["data/num_rows"] == 4


def test_stores_that_do_not_fit_are_refused(dump, imported, tiny_checkpoint, tmp_path):
    text = tmp_path / "text"
    assert spo("import", dump, "--output", text) == 0
    with pytest.raises(UserError, match="names no tokenizer: import it again with --tokenizer"):
        run_on(tmp_path / "a", tiny_checkpoint, (str(text),))
    with pytest.raises(UserError, match="there are no trajectories in"):
        run_on(tmp_path / "b", tiny_checkpoint, (str(tmp_path / "nowhere"),))
