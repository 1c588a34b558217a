"""`train` on a directory of published files: the main path, changed by the lines of the source."""

from pathlib import Path

import spo_jax
from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.commands import gin_config
from spo_jax.problems.contests.rules import ContestRules
from spo_jax.problems.contests.testing import code_contests_row, write_code_contests
from spo_jax.running.configurables import CONFIGURABLES
from spo_jax.running.settings import (
    BatchSettings,
    MeshShape,
    ModelSource,
    ProblemSource,
    RolloutSettings,
)
from spo_jax.train import train
from spo_jax.trajectories import TrajectoryStore


def test_the_lines_of_the_documentation_choose_it():
    quickstart = Path(spo_jax.__file__).parents[1] / "configs" / "runs" / "quickstart.gin"
    lines = [
        "ProblemSource.task = 'code_contests'",
        "ProblemSource.data_dir = '/data'",
        "ProblemSource.rules = @ContestRules()",
        "ContestRules.time_factor = 5.0",
    ]
    given = gin_config.configured_arguments(train, CONFIGURABLES, [str(quickstart)], lines)
    assert (given["problems"].task, given["problems"].data_dir) == ("code_contests", "/data")
    assert given["problems"].rules == ContestRules(time_factor=5.0)


def test_training_on_a_directory_of_code_contests(tmp_path, tiny_checkpoint, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    directory = write_code_contests(
        tmp_path / "set",
        train=[code_contests_row("a"), code_contests_row("b"), code_contests_row("seen")],
        test=[code_contests_row("c")],
    )
    (tmp_path / "exclude.jsonl").write_text('{"id": "code_contests/seen", "reason": "seen"}\n')
    summary = train(
        str(tmp_path / "run"),
        policy=ModelSource(path=tiny_checkpoint),
        problems=ProblemSource(
            task="code_contests",
            data_dir=directory,
            exclude=str(tmp_path / "exclude.jsonl"),
        ),
        rollouts=RolloutSettings(max_prompt_tokens=192, max_completion_tokens=64, num_slots=8),
        batch=BatchSettings(
            problems_per_update=2,
            completions_per_problem=4,
            row_lengths=(448,),
            tokens_per_micro_batch=896,
        ),
        evaluation=EvaluationSettings(num_samples=2, ks=(1,), max_completion_tokens=8),
        mesh=MeshShape(data=1),
        num_updates=1,
    )
    assert summary["num_problems"] == 1
    written = [t for t in TrajectoryStore(str(tmp_path / "run")).read() if t.source == "written"]
    assert {(t.problem_id, t.metadata["label"], t.verdict.value) for t in written} == {
        (f"code_contests/{name}", label, verdict)
        for name in "ab"
        for label, verdict in (("solution", "AC"), ("incorrect_solution", "WA"))
    }
