"""What actors are ahead: groups that no draw has touched, and how they are drawn."""

import pytest

from spo_jax.trajectories import Replay, ReplayConfig, TrajectoryStore


@pytest.fixture
def group(trajectory):
    """Four samples of a problem, as one actor's round makes them."""

    def make(name, problem, version=0, **changes):
        return [
            trajectory(
                f"{name}-{n}",
                group_id=name,
                problem_id=problem,
                policy_version=version,
                **changes,
            )
            for n in range(4)
        ]

    return make


ONLINE = ReplayConfig(offline_fraction=0.0)


def ids(groups):
    return [sorted(row.trajectory.trajectory_id for row in group.rows) for group in groups]


def names(group):
    return [f"{group}-{n}" for n in range(4)]


def test_groups_are_fresh_until_one_of_their_rows_is_drawn(store, group):
    store.append([*group("g0", "a"), *group("g1", "b")])
    store.append(group("g2", "c"))
    replay = Replay(store, ONLINE, seed=0)
    assert replay.fresh(0).num_groups == 3
    assert replay.fresh(0).problem_ids == ("a", "b", "c")
    replay.draw(1, 1, 2, 0, problem_ids=["b"], fresh_first=True)  # two of the four rows
    assert (replay.fresh(0).num_groups, replay.fresh(0).problem_ids) == (2, ("a", "c"))
    replay.draw(2, 2, 4, 0, problem_ids=["a", "c"], fresh_first=True)
    assert (replay.fresh(0).num_groups, replay.fresh(0).problem_ids) == (0, ())


def test_what_was_sampled_together_is_drawn_together_the_oldest_first(store, group, tmp_path):
    """Two actors asked the same problem; the other's commit stands first in the index."""
    other = TrajectoryStore(store.url, writer_id="a-first-in-order")
    store.append(group("old", "a", version=1))
    other.append(group("new", "a", version=2))
    other.append(group("newest", "a", version=2))
    replay = Replay(store, ONLINE, seed=0)
    drawn = [
        ids(replay.draw(step, 1, 4, 2, problem_ids=["a"], fresh_first=True)) for step in range(3)
    ]
    assert drawn == [[names("old")], [names("new")], [names("newest")]]
    again = replay.draw(3, 1, 4, 2, problem_ids=["a"], fresh_first=True)  # all have one use
    assert ids(again) == [names("old")]


def test_writers_take_turns_within_one_policy(store, group):
    other = TrajectoryStore(store.url, writer_id="other")
    for round_number in range(2):
        store.append(group(f"h{round_number}", f"h{round_number}"))
        other.append(group(f"o{round_number}", f"o{round_number}"))
    assert Replay(store, ONLINE, seed=0).fresh(0).problem_ids == ("h0", "o0", "h1", "o1")


def test_what_cannot_be_drawn_is_not_waited_for(store, group):
    """Too stale, without reward, of another source: actors must not wait for their being drawn."""
    store.append(group("stale", "a", version=0))
    store.append(group("unjudged", "b", version=5, reward=None))
    store.append(group("reference", "c", version=5, source="reference"))
    store.append(group("written", "d", version=None, source="written"))
    store.append(group("good", "e", version=5))
    config = ReplayConfig(offline_fraction=0.0, max_staleness=3)
    found = Replay(store, config, seed=0).fresh(5)
    assert (found.num_groups, found.problem_ids) == (1, ("e",))


def test_an_empty_store_has_nothing_fresh(store):
    assert Replay(store, ONLINE, seed=0).fresh(0).num_groups == 0
