"""Written solutions as offline trajectories."""

import dataclasses

import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.trajectories import AnswerFormat, written_trajectories
from spo_jax.types import Judgement, Problem, Solution, TestCase, Verdict

END = 255
FORMAT = AnswerFormat(
    prompt_tokens=lambda problem: list(problem.description.encode()),
    completion_text=lambda problem, code: f"{code}\n```",
    encode=lambda text: list(text.encode()),
    end_token=END,
    tokenizer_hash="bytes",
)


def problem(name: str = "set/double", **changes) -> Problem:
    fields = {
        "id": name,
        "name": "double",
        "description": "Double it.",
        "private_tests": (TestCase("1", "2"),),
        "solutions": (Solution("python3", "print(2)"), Solution("cpp", "int main(){}")),
        "incorrect_solutions": (Solution("python3", "print(3)"),),
    }
    return Problem(**(fields | changes))


def reward(judgement: Judgement) -> float | None:
    return {Verdict.AC: 0.0, Verdict.IE: None}.get(judgement.verdict, -1.0)


def judge_by_running(items) -> list[Judgement]:
    verdicts = {"print(2)": Verdict.AC, "broken": Verdict.IE}
    return [Judgement(verdict=verdicts.get(code, Verdict.RE)) for _, code in items]


def test_right_and_wrong_solutions_become_trajectories():
    made = written_trajectories([problem()], FORMAT, reward=reward, judge_many=judge_by_running)
    right, wrong = made.trajectories
    assert (right.verdict, right.reward) == (Verdict.AC, 0.0)
    assert (wrong.verdict, wrong.reward) == (Verdict.RE, -1.0)
    assert right.source == "written"
    assert right.group_id == wrong.group_id
    assert right.trajectory_id != wrong.trajectory_id
    assert bytes(right.prompt_tokens.tolist()) == b"Double it."
    assert bytes(right.completion_tokens[:-1].tolist()) == b"print(2)\n```"
    assert right.behavior_logprobs is None
    assert right.policy_version is None
    assert made.skipped == {"language": 1}
    assert made.disagreements == 0


def test_the_empty_answer_is_an_end_token():
    """It can be sampled, so data that is to cover a policy's answers must be able to hold it."""
    empty = problem(solutions=(), incorrect_solutions=(Solution("text", ""),))
    bare = dataclasses.replace(FORMAT, completion_text=lambda problem, code: code)
    (item,) = written_trajectories(
        [empty], bare, reward=reward, trust_labels=True, languages=("text",)
    ).trajectories
    assert item.completion_tokens.tolist() == [END]


def test_trap_end_token_of_a_written_solution_is_trained():
    made = written_trajectories([problem()], FORMAT, reward=reward, trust_labels=True)
    for item in made.trajectories:
        assert item.completion_tokens[-1] == END
        assert item.completion_mask[-1]
        assert item.completion_mask.all()
        assert item.finish_reason == "stop"


def test_the_judge_is_believed_and_not_the_label():
    odd = problem(
        solutions=(Solution("python3", "print(3)"), Solution("python3", "broken")),
        incorrect_solutions=(Solution("python3", "print(2)"),),
    )
    made = written_trajectories([odd], FORMAT, reward=reward, judge_many=judge_by_running)
    assert [(item.verdict, item.metadata["label"]) for item in made.trajectories] == [
        (Verdict.RE, "solution"),
        (Verdict.AC, "incorrect_solution"),
    ]
    assert made.disagreements == 2
    assert made.skipped == {"judge_failed": 1}


def test_labels_are_believed_only_when_asked_to():
    made = written_trajectories([problem()], FORMAT, reward=reward, trust_labels=True)
    assert [item.verdict for item in made.trajectories] == [Verdict.AC, Verdict.WA]
    assert {item.metadata["verdict_from"] for item in made.trajectories} == {"label"}
    with pytest.raises(UserError, match="either judge_many or trust_labels=True"):
        written_trajectories([problem()], FORMAT, reward=reward)


def test_writing_them_again_adds_nothing(store):
    problems = [problem(), problem("set/other")]
    made = written_trajectories(problems, FORMAT, reward=reward, trust_labels=True)
    store.append_missing(made.trajectories)
    again = written_trajectories(problems, FORMAT, reward=reward, trust_labels=True)
    assert store.append_missing(again.trajectories) is None
    found = list(store.read())
    assert len(found) == 4
    np.testing.assert_array_equal(
        found[0].completion_tokens, made.trajectories[0].completion_tokens
    )


def test_duplicates_and_long_answers_are_left_out_and_counted():
    many = problem(
        solutions=(Solution("python3", "print(2)"),) * 2 + (Solution("python3", "x = 1;" * 20),)
    )
    made = written_trajectories(
        [many], FORMAT, reward=reward, trust_labels=True, max_completion_tokens=32
    )
    assert len(made.trajectories) == 2
    assert made.skipped == {"duplicate": 1, "too_long": 1}
