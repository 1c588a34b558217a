import pytest

from spo_jax.acting.problem_stream import ProblemStream
from spo_jax.errors import UserError
from spo_jax.types import Problem

PROBLEMS = [Problem(id=f"set/{i}", name=str(i), description="") for i in range(10)]


def ids(problems):
    return [problem.id for problem in problems]


def test_an_epoch_asks_every_problem_once_and_the_next_in_another_order():
    stream = ProblemStream(PROBLEMS, 2, seed=0)
    first = [name for update in range(5) for name in ids(stream.at(update))]
    second = [name for update in range(5, 10) for name in ids(stream.at(update))]
    assert sorted(first) == sorted(second) == sorted(ids(PROBLEMS))
    assert first != second


def test_a_resumed_stream_goes_on_where_it_was():
    whole = ProblemStream(PROBLEMS, 3, seed=1)
    resumed = ProblemStream(PROBLEMS, 3, seed=1)
    assert ids(whole.at(7)) == ids(resumed.at(7))
    assert ids(whole.at(7)) != ids(ProblemStream(PROBLEMS, 3, seed=2).at(7))


def test_several_updates_at_once_hold_each_problem_once():
    stream = ProblemStream(PROBLEMS, 4, seed=0)
    ahead = ids(stream.between(0, 4))
    assert len(ahead) == len(set(ahead))
    assert set(ahead) == {name for update in range(4) for name in ids(stream.at(update))}


@pytest.mark.parametrize("count", [0, 11])
def test_more_problems_than_there_are_is_refused(count):
    with pytest.raises(UserError, match=rf"problems_per_update={count} .* 10 problems"):
        ProblemStream(PROBLEMS, count, seed=0)
