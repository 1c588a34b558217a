"""The task of one's own in docs/problems.md, run from the text of the page."""

import importlib
import re
from pathlib import Path

import gin
import pytest
import seqio

import spo_jax
from spo_jax import train as train_module
from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.commands import gin_config
from spo_jax.running.configurables import CONFIGURABLES
from spo_jax.running.settings import BatchSettings, MeshShape, ModelSource, RolloutSettings
from spo_jax.train import train
from spo_jax.trajectories import TrajectoryStore

PAGE = (Path(spo_jax.__file__).parents[1] / "docs" / "problems.md").read_text()
MODULE, SCRIPT = (
    next(block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if word in block)
    for word in ("# my_task.py", "from my_task import")
)
(CONFIG,) = (
    block for block in re.findall(r"```gin\n(.*?)```", PAGE, re.DOTALL) if "import my_task" in block
)


@pytest.fixture(scope="module", autouse=True)
def my_task(tmp_path_factory):
    """The page's module on the Python path. gin and seqio keep what it registers, so: once."""
    folder = tmp_path_factory.mktemp("documented")
    (folder / "my_task.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        with gin.unlock_config():  # a config that another test read leaves it locked
            module = importlib.import_module("my_task")
        yield module
    seqio.TaskRegistry.remove("sums")


@pytest.fixture
def from_script(monkeypatch):
    """What the page's script passes to `train`."""
    given = {}
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "train", lambda _, **settings: given.update(settings))
        exec(SCRIPT, {})
    return given


@pytest.fixture
def from_config(tmp_path):
    """What the page's config file passes to `train`."""
    (tmp_path / "sums.gin").write_text(CONFIG)
    files = [str(tmp_path / "sums.gin")]
    return gin_config.configured_arguments(train, CONFIGURABLES, files, [])


def test_script_and_config_say_the_same(from_script, from_config):
    assert from_script == from_config


def test_the_verifier_knows_right_from_wrong(my_task):
    (problem, *_) = my_task.questions("train")
    verdicts = [my_task.SumsTo().verify(problem, text).verdict for text in ("9+1", "9+2", "x", "")]
    assert verdicts == ["AC", "WA", "WA", "WA"]


def test_training_on_it_works(tmp_path, tiny_checkpoint, from_script):
    summary = train(
        str(tmp_path / "run"),
        policy=ModelSource(path=tiny_checkpoint),
        rollouts=RolloutSettings(max_prompt_tokens=128, max_completion_tokens=8, num_slots=8),
        batch=BatchSettings(
            problems_per_update=2,
            completions_per_problem=4,
            row_lengths=(160,),
            tokens_per_micro_batch=320,
        ),
        evaluation=EvaluationSettings(num_samples=2, ks=(1,), max_completion_tokens=8),
        mesh=MeshShape(data=1),
        num_updates=1,
        **from_script,
    )
    assert summary["num_problems"] == 3
    written = [t for t in TrajectoryStore(str(tmp_path / "run")).read() if t.source == "written"]
    assert {(t.metadata["label"], t.verdict.value) for t in written} == {
        ("solution", "AC"),
        ("incorrect_solution", "WA"),
    }
