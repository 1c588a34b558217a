"""An update on dialogues: the environment's tokens are read, not learned; all of the policy's are.

Completions are answer (with its end), feedback, answer (with its end).
"""

import jax
import numpy as np
import pytest

from spo_jax.learning import RowBucket, make_batch
from spo_jax.objectives import GRPO, Reinforce, SoftPolicyOptimization, TokenQRegression
from spo_jax.types import Turn

ENDED = np.array([8, 9, 2], np.int32)
FEEDBACK = np.array([1, 30, 31, 1], np.int32)
SECOND = np.array([10, 11, 2], np.int32)
SPEECH = len(ENDED)
REST = SPEECH + len(FEEDBACK)
BUCKET = RowBucket(num_rows=2, row_length=48, completions_per_row=2, max_completion_tokens=10)
OBJECTIVES = (SoftPolicyOptimization(), TokenQRegression(), GRPO(), Reinforce())


@pytest.fixture
def trained(make_learner, make_row, make_group, params):
    def train(objective, *, at=None, change=0.0, feedback=FEEDBACK):
        """Parameters after one update; numbers at one position of a dialogue are shifted."""
        completion = np.concatenate([ENDED, feedback, SECOND])
        mask = np.ones(len(completion), bool)
        mask[SPEECH:REST] = False
        rows = []
        for i, reward in enumerate((0.0, -1.0)):
            reference = np.full(len(completion), -3.5, np.float32)
            behavior = np.full(len(completion), -3.6, np.float32)
            if i == 0 and at is not None:
                reference[at] += change
                behavior[at] += change
            rows.append(
                make_row(
                    f"t{i}",
                    completion=completion,
                    completion_mask=mask,
                    turns=(
                        Turn("policy", 0, SPEECH),
                        Turn("environment", SPEECH, REST),
                        Turn("policy", REST, len(completion)),
                    ),
                    reward=reward,
                    ref_logprobs=reference,
                    behavior_logprobs=behavior,
                )
            )
        group = make_group(0, 1)
        group.rows = tuple(rows)
        batch = make_batch([group], [BUCKET], pad_id=0, needs=objective.needs)
        learner = make_learner(objective)
        state, metrics, _ = learner.update(learner.init(params), batch)
        return jax.device_get(jax.tree.leaves(state.params)), metrics

    return train


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first[0], second[0], strict=True))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
def test_trap_logprobs_of_environment_tokens_change_the_update(trained, objective):
    plain = trained(objective)
    shifted = trained(objective, at=slice(SPEECH, REST), change=5.0)
    assert same(plain, shifted)
    assert plain[1] == shifted[1]


@pytest.mark.parametrize("at", [SPEECH - 1, REST, REST + len(SECOND) - 1])
def test_end_of_each_answer_and_start_of_the_next_are_learned(trained, at):
    objective = SoftPolicyOptimization()
    assert not same(trained(objective), trained(objective, at=at, change=5.0))


def test_feedback_is_read_as_context(trained):
    objective = SoftPolicyOptimization()
    other = np.array([1, 40, 41, 1], np.int32)
    assert not same(trained(objective), trained(objective, feedback=other))
