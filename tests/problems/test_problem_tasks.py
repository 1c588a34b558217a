import pytest
import seqio

from spo_jax.errors import UserError
from spo_jax.problems import load_problems
from spo_jax.problems.tasks import load_task_problems, problem_source, register_problems


@pytest.fixture
def own_task():
    """A task and a mixture as a user would register them."""
    problems = load_problems("starter", "test")[:3]
    name = "own_problems"
    register_problems(name, problem_source(lambda split: problems, ["train"]))
    seqio.MixtureRegistry.add("own_mixture", [(name, 1.0)])
    yield name, problems
    seqio.MixtureRegistry.remove("own_mixture")
    seqio.TaskRegistry.remove(name)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_starter_task_holds_the_starter_set(split):
    assert load_task_problems("spo_starter", split) == load_problems("starter", split)


def test_statements_are_tokenized(own_task):
    name, problems = own_task
    task = seqio.get_mixture_or_task(name)
    rows = list(task.get_dataset(split="train", shuffle=False).as_numpy_iterator())
    vocabulary = task.output_features["inputs"].vocabulary
    assert [vocabulary.decode(row["inputs"].tolist()) for row in rows] == [
        problem.description for problem in problems
    ]
    assert rows[0]["inputs_pretokenized"].decode() == problems[0].description


def test_registered_tasks_and_mixtures_load_by_name(own_task):
    name, problems = own_task
    assert load_task_problems(name, "train") == problems
    assert load_task_problems("own_mixture", "train") == problems


def test_unknown_names_and_splits_are_refused(own_task):
    with pytest.raises(UserError, match="unknown seqio task 'spo_startr'; did you mean 'spo_start"):
        load_task_problems("spo_startr", "train")
    with pytest.raises(UserError, match=r"'own_problems' has no split 'test' \(its splits: train"):
        load_task_problems("own_problems", "test")


def test_a_task_without_records_is_refused():
    source = problem_source(lambda split: load_problems()[:1], ["train"])
    seqio.TaskRegistry.add(
        "no_records",
        source=source,
        preprocessors=[
            lambda dataset: dataset.map(lambda row: {"inputs": row["inputs"]}),
            seqio.preprocessors.tokenize,
        ],
        output_features={"inputs": seqio.Feature(seqio.ByteVocabulary(), add_eos=False)},
    )
    try:
        with pytest.raises(UserError, match="no_records/train example 0 has no feature 'record'"):
            load_task_problems("no_records", "train")
    finally:
        seqio.TaskRegistry.remove("no_records")
