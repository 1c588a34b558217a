"""Evaluations outside a run: on several devices, by several processes, and by the command."""

import json

import jax
import processes
import pytest

from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.commands import gin_config
from spo_jax.evaluate import evaluate_policy
from spo_jax.evaluation import read_samples
from spo_jax.running.configurables import CONFIGURABLES
from spo_jax.running.settings import ModelSource, RolloutSettings
from spo_jax.train import train


@pytest.fixture(scope="module")
def evaluated(uniform_checkpoint, tiny_task_file):
    def run(output, **changes):
        everything = gin_config.configured_arguments(
            train, CONFIGURABLES, [str(tiny_task_file)], []
        )
        names = ("problems", "prompt", "rollouts", "judge")
        settings = {name: everything[name] for name in names} | {
            "policy": ModelSource(path=uniform_checkpoint),
            "evaluation": EvaluationSettings(
                num_samples=4,
                ks=(1, 2),
                num_problems=7,
                max_completion_tokens=6,
                temperature=1.0,
                top_p=1.0,
            ),
        }
        return evaluate_policy(str(output), **(settings | changes))

    return run


def of_each(path):
    """What stands in the file without what a clock says."""
    return [{k: v for k, v in s.items() if "secs" not in k} for s in read_samples(path)]


def test_devices_change_no_sample_and_a_finished_file_is_read(evaluated, tmp_path):
    alone = evaluated(tmp_path / "alone.jsonl", devices=jax.devices()[:1])
    rollouts = RolloutSettings(
        max_prompt_tokens=5, max_completion_tokens=6, num_slots=64, steps_per_call=6, tensor=2
    )
    evaluated(tmp_path / "split.jsonl", devices=jax.devices()[4:8], rollouts=rollouts)
    samples = of_each(tmp_path / "alone.jsonl")
    assert len(samples) == 7 * 4
    assert of_each(tmp_path / "split.jsonl") == samples
    before = (tmp_path / "alone.jsonl").stat().st_mtime_ns
    assert evaluated(tmp_path / "alone.jsonl", devices=jax.devices()[:1]) == alone
    assert (tmp_path / "alone.jsonl").stat().st_mtime_ns == before
    assert (alone["num_problems"], alone["samples_per_problem"]) == (7, 4)


@pytest.mark.slow
def test_two_processes_share_the_problems(evaluated, tmp_path, uniform_checkpoint, tiny_task_file):
    output = tmp_path / "both.jsonl"
    command = [
        *("-m", "spo_jax.main", "eval", f"--model={uniform_checkpoint}", f"--output={output}"),
        *(f"--gin_file={tiny_task_file}", "--distributed", "--host_timeout_secs=20", "--json"),
        "--gin.EvaluationSettings.num_samples=4",
        "--gin.EvaluationSettings.ks=(1, 2)",
        "--gin.EvaluationSettings.num_problems=7",
    ]
    log_dir = tmp_path / "logs"
    running = processes.start(command, 2, log_dir, cache_dir=tmp_path / "cache")
    processes.finish((running, log_dir))
    alone = evaluated(tmp_path / "alone.jsonl", devices=jax.devices()[:1])
    (line,) = [
        line for line in (log_dir / "process0.log").read_text().splitlines() if line.startswith("{")
    ]
    assert json.loads(line) == alone
    assert of_each(output) == of_each(tmp_path / "alone.jsonl")
    assert sorted(path.name for path in tmp_path.glob("*both*")) == ["both.jsonl"]
