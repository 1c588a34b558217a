"""A run directory as a training leaves it, written through the library's own writers."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spo_jax.evaluation import write_samples
from spo_jax.reporting.metrics import MetricsWriter
from spo_jax.trajectories import TrajectoryStore
from spo_jax.types import ReferenceLogprobs, SamplerSettings, Trajectory, Turn, Verdict

BETA = 0.2
_PROBLEMS = (  # id, difficulty, share of right answers before and after
    ("starter/map-list-double-all", 2, 0.3, 0.7),
    ("starter/compare-greater", 1, 0.6, 0.9),
    ("starter/two-words-swapped", 1, 0.2, 0.5),
    ("starter/threshold-is-adult", 1, 0.7, 0.5),
    ("starter/flatten-flatten", 2, 0.0, 0.2),
    ("own/<script>alert(1)</script>", 5, 0.0, 0.0),
)
_RIGHT = "def solve(x):\n    return [2 * n for n in x]\n```"
_WRONG = 'def solve(x):\n    print("<b>wrong & bold</b>")\n```'


def write_evaluation(run_dir: Path, step: int, progress: float, num_samples: int = 10) -> None:
    """Samples of every problem; the share of right ones goes from before to after."""
    rng = np.random.default_rng(step)
    samples = []
    for name, difficulty, before, after in _PROBLEMS:
        right = round(num_samples * (before + progress * (after - before)))
        for i in range(num_samples):
            is_right = i < right
            wrong = str(rng.choice(["WA", "RE", "TLE", "CE"], p=[0.5, 0.25, 0.1, 0.15]))
            samples.append(
                {
                    "problem_id": name,
                    "difficulty": difficulty,
                    "seed": i,
                    "verdict": Verdict.AC.value if is_right else wrong,
                    "tests_passed": 10 if is_right else 0,
                    "num_tests": 10,
                    "num_tokens": 30 + i,
                    "finish_reason": "stop",
                    "text": _RIGHT if is_right else _WRONG,
                    "message": "" if is_right else "test 1: expected 4, got None",
                }
            )
    write_samples(run_dir / "evaluations" / f"step_{step:08d}.jsonl", samples)


def training_metrics(step: int, rng: np.random.Generator) -> dict[str, float]:
    """Numbers of one update under the names that the objective and the loop write."""
    t = 1 - math.exp(-step / 12)

    def noisy(value: float, spread: float = 0.05) -> float:
        return value + spread * float(rng.normal())

    metrics = {
        "reward/online_mean": noisy(-0.75 + 0.3 * t, 0.08),
        "reward/offline_mean": -0.5,
        "sampling/accepted_fraction": noisy(0.25 + 0.3 * t),
        "sampling/truncated_fraction": noisy(0.2 - 0.1 * t, 0.02),
        "loss/true": noisy(3.0 - 1.5 * t, 0.2),
        "loss/total": noisy(1.0 - 2.0 * t, 0.4),
        "q/final_right": noisy(-0.5 + 0.25 * t, 0.02),
        "q/final_wrong": noisy(-0.5 - 0.3 * t, 0.02),
        "q/initial_value": noisy(-0.5, 0.02),
        "policy/kl_to_reference": noisy(0.8 * t, 0.05),
        "policy/log_ratio_offline": noisy(0.3 * t, 0.05),
        "policy/log_ratio_abs": noisy(1.2 * t + 0.01, 0.05),
        "data/offline_fraction": 0.5,
        "data/staleness_updates": float(step % 5),
        "data/staleness_max": float(step % 5 + 2),
        "data/uses": 0.5 * t,
        "data/padding_fraction": noisy(0.3, 0.03),
        "optimizer/grad_norm": noisy(2.0 - t, 0.2),
        "optimizer/learning_rate": 2e-5 * min(1.0, step / 3),
        "time/sampling_secs": noisy(6.0, 0.5),
        "time/update_secs": noisy(5.0, 0.3),
        "time/reference_secs": noisy(1.5, 0.1),
        "time/publishing_secs": 1.2 if step % 5 == 0 else 0.0,
    }
    for i, source in enumerate(("", "_online", "_offline")):
        metrics[f"q/residual_mean{source}"] = noisy(0.1 * i * (1 - t))
        metrics[f"q/residual_abs{source}"] = noisy(0.5 - 0.25 * t + 0.05 * i)
        metrics[f"policy/entropy{source}"] = noisy(0.9 - 0.2 * t + 0.1 * i)
        metrics[f"data/completion_tokens{source}"] = noisy(48 - 5 * i, 3)
    return metrics


def write_store(run_dir: Path, num_groups: int) -> None:
    """Online groups whose log-ratios tell right from wrong better and better."""
    rng = np.random.default_rng(3)
    store = TrajectoryStore(str(run_dir), writer_id="main")
    answers, scores = [], []
    for g in range(num_groups):
        for i in range(4):
            reward = float(rng.choice([0.0, -1.0], p=[0.4, 0.6]))
            total = (reward + 0.6) * g / num_groups / BETA + 0.5 * rng.normal()
            answers.append(_answer(g, i, reward, np.full(5, total / 5 - 1.0, np.float32)))
            scores.append(
                ReferenceLogprobs(
                    trajectory_id=answers[-1].trajectory_id,
                    reference_id="reference",
                    ref_logprobs=np.full(5, -1.0, np.float32),
                )
            )
    store.append(answers)
    store.annotate(scores)


def _answer(group: int, index: int, reward: float, logprobs: np.ndarray) -> Trajectory:
    return Trajectory(
        trajectory_id=f"t{group}-{index}",
        group_id=f"g{group}",
        problem_id=_PROBLEMS[group % len(_PROBLEMS)][0],
        source="online",
        policy_version=group,
        seed=index,
        turns=(Turn("policy", 0, 5),),
        prompt_tokens=np.arange(3, dtype=np.int32),
        completion_tokens=np.arange(5, dtype=np.int32),
        completion_mask=np.ones(5, bool),
        behavior_logprobs=logprobs,
        reward=reward,
        verdict=Verdict.AC if reward == 0 else Verdict.WA,
        sampler=SamplerSettings(),
        tokenizer_hash="hash",
    )


def token_values() -> dict[str, Any]:
    """Two scored solutions of one problem, one right and one wrong."""
    tokens = ["def", " solve", "(x", "):\n", "    ", "return", " [", "2", " *", " n", "]\n", "```"]
    wave = [0.1, -0.2, 0.0, 0.02, 0.0, 0.9, -0.3, 1.2, 0.4, -0.1, 0.05, 0.3]
    samples = []
    for verdict, sign in (("AC", 1.0), ("WA", -1.0)):
        samples.append(
            {
                "problem_id": "starter/map-list-double-all",
                "verdict": verdict,
                "reward": 0.0 if sign > 0 else -1.0,
                "initial_value": -0.5,
                "tokens": tokens,
                "logprobs": [-1.3 + sign * w for w in wave],
                "ref_logprobs": [-1.3] * len(tokens),
            }
        )
    return {"updates": 30, "beta": BETA, "reference_id": "reference", "samples": samples}


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run: `updates` made of 30, evaluated at `evaluated`, under `name`."""

    def make(
        name: str = "quickstart",
        *,
        updates: int = 30,
        evaluated: tuple[int, ...] = (0, 15, 30),
        seed: int = 0,
        beta: float = BETA,
        with_store: bool = False,
        with_tokens: bool = False,
    ) -> Path:
        run_dir = tmp_path / name
        run_dir.mkdir()
        config = (
            "# Parameters for train:\n"
            f"SoftPolicyOptimization.beta = {beta}\n"
            "train.num_updates = 30\n"
            f"train.seed = {seed}\n"
        )
        (run_dir / "config.gin").write_text(config)
        attempt = {
            "started": "2025-11-02T10:12:00+0000",
            "command": ["spo", "train", "--run_dir", "runs/quickstart"],
            "spo_jax": "0.1.0",
            "commit": "abc123",
            "python": "3.11.2",
            "platform": "Linux",
            "packages": {"jax": "0.10.2"},
        }
        (run_dir / "attempts.jsonl").write_text(json.dumps(attempt) + "\n")
        rng = np.random.default_rng(seed)
        writer = MetricsWriter(run_dir, tensorboard=False)
        for step in range(updates + 1):
            if step:
                writer.write(step, training_metrics(step, rng))
            if step in evaluated:
                write_evaluation(run_dir, step, step / 30)
                values = {"eval/pass@1": 0.3 + 0.01 * step, "eval/pass@10": 0.6}
                writer.write(step, values, kind="eval")
        writer.close()
        if with_store:
            write_store(run_dir, num_groups=120)
        if with_tokens:
            (run_dir / "token_values.json").write_text(json.dumps(token_values()))
        return run_dir

    return make
