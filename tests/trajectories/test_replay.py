"""Replay: what is drawn, how often, and that a draw can be repeated."""

import json
from collections import Counter

import numpy as np
import pytest

from spo_jax.errors import UserError
from spo_jax.trajectories import DrawnGroup, Replay, ReplayConfig, TrajectoryStore
from spo_jax.types import InitialValue, Verdict


def drawn_ids(groups: list[DrawnGroup]) -> list[list[str]]:
    return [[row.trajectory.trajectory_id for row in group.rows] for group in groups]


@pytest.fixture
def filled(store, trajectory):
    """Eight problems with eight written rows (right and wrong) and eight online ones each."""
    for number in range(8):
        problem = f"p{number}"
        written = [
            trajectory(
                f"{problem}-written-{n}",
                problem_id=problem,
                source="written",
                policy_version=None,
                reward=-float(n % 2),
                verdict=Verdict.WA if n % 2 else Verdict.AC,
            )
            for n in range(8)
        ]
        online = [
            trajectory(f"{problem}-online-{n}", problem_id=problem, policy_version=n // 2)
            for n in range(8)
        ]
        store.append([*written, *online])
    return store


def test_groups_hold_completions_of_one_problem_and_prompt(filled):
    replay = Replay(filled, seed=0)
    groups = replay.draw(step=1, num_problems=5, completions_per_problem=4, policy_version=3)
    assert len({group.problem_id for group in groups}) == 5
    for group in groups:
        assert len(group.rows) == 4
        assert {row.trajectory.problem_id for row in group.rows} == {group.problem_id}
    names = [name for row in drawn_ids(groups) for name in row]
    assert len(set(names)) == 20


def test_a_draw_is_a_function_of_seed_step_and_watermark(filled, trajectory):
    draw = {"num_problems": 4, "completions_per_problem": 4, "policy_version": 3}
    replay = Replay(filled, seed=0)
    first = drawn_ids(replay.draw(step=7, **draw))
    # What comes after the watermark changes nothing, from whichever writer.
    late = [trajectory(f"late-{n}", problem_id="p0") for n in range(8)]
    TrajectoryStore(filled.url, writer_id="0-first-in-order").append(late)
    again = Replay(TrajectoryStore(filled.url), seed=0)
    again.advance(replay.watermark)
    assert drawn_ids(again.draw(step=7, **draw)) == first
    # Another step or seed is another draw.
    for seed, step in ((0, 8), (1, 7)):
        other = Replay(TrajectoryStore(filled.url), seed=seed)
        other.advance(replay.watermark)
        assert drawn_ids(other.draw(step=step, **draw)) != first


def test_a_draw_does_not_depend_on_how_rows_lie_in_objects(filled, tmp_path):
    shuffled = list(filled.read())
    np.random.default_rng(0).shuffle(shuffled)
    other = TrajectoryStore(tmp_path / "other", writer_id="w")
    for start in range(0, len(shuffled), 16):
        other.append(shuffled[start : start + 16])
    draws = [
        drawn_ids(Replay(store, seed=3).draw(2, 4, 4, policy_version=3))
        for store in (filled, other)
    ]
    assert draws[0] == draws[1]


def test_trap_resume_draws_what_the_uninterrupted_run_draws(filled, trajectory):
    """The state goes through JSON; rows committed after the checkpoint are not seen early."""
    config = ReplayConfig(max_uses=2, max_offline_uses=2)

    def run(replay: Replay, store: TrajectoryStore, steps: range) -> list[list[list[str]]]:
        draws = []
        for step in steps:
            store.append([trajectory(f"new-{step}-{n}", problem_id="p0") for n in range(2)])
            replay.advance()
            draws.append(drawn_ids(replay.draw(step, 3, 4, policy_version=3)))
        return draws

    replay = Replay(filled, config, seed=0)
    run(replay, filled, range(2))
    state = json.dumps(replay.state_dict())
    wanted = run(replay, filled, range(2, 6))

    store = TrajectoryStore(filled.url, writer_id="host0")
    resumed = Replay(store, config, seed=0)
    resumed.load_state_dict(json.loads(state))
    store.rewind(resumed.watermark)
    assert run(resumed, store, range(2, 6)) == wanted
    assert resumed.state_dict() == replay.state_dict()
    with pytest.raises(UserError, match="seed=1, but the saved replay has seed 0"):
        Replay(store, config, seed=1).load_state_dict(json.loads(state))


def test_resume_finds_the_annotations_made_between_draw_and_checkpoint(
    filled, trajectory, logprobs
):
    """Rows are scored when they are first drawn; here the score tells at which step that was."""

    def run(replay: Replay, store: TrajectoryStore, steps: range) -> list[dict[str, float]]:
        seen = []
        for step in steps:
            replay.advance()
            rows = [
                row for group in replay.draw(step, 2, 4, policy_version=3) for row in group.rows
            ]
            lacking = [
                logprobs(row.trajectory.trajectory_id, "ref", -float(step))
                for row in rows
                if row.ref_logprobs is None
            ]
            if lacking:
                store.annotate(lacking)
            seen.append(
                {
                    row.trajectory.trajectory_id: row.ref_logprobs[0]
                    for row in rows
                    if row.ref_logprobs is not None
                }
            )
        return seen

    replay = Replay(filled, seed=0, reference_id="ref")
    run(replay, filled, range(2))
    state = json.dumps(replay.state_dict())
    wanted = run(replay, filled, range(2, 10))
    assert any(-1.0 in seen.values() for seen in wanted), "rows of step 1 are drawn again"

    store = TrajectoryStore(filled.url, writer_id="host0")
    resumed = Replay(store, seed=0, reference_id="ref")
    resumed.load_state_dict(json.loads(state))
    store.rewind(resumed.watermark)
    assert run(resumed, store, range(2, 10)) == wanted


# --- the mixture ---


@pytest.mark.parametrize(("fraction", "num_offline"), [(0.0, 0), (0.25, 1), (0.5, 2), (1.0, 4)])
def test_the_offline_fraction_is_kept_in_every_group(filled, fraction, num_offline):
    replay = Replay(filled, ReplayConfig(offline_fraction=fraction), seed=0)
    groups = replay.draw(step=0, num_problems=8, completions_per_problem=4, policy_version=3)
    for group in groups:
        assert sum(not row.is_online for row in group.rows) == num_offline
    assert replay.stats.offline_fraction == fraction


def test_a_fractional_share_is_right_on_average(filled):
    replay = Replay(filled, ReplayConfig(offline_fraction=0.3), seed=0)
    shares = []
    for step in range(100):
        replay.draw(step, num_problems=8, completions_per_problem=4, policy_version=3)
        shares.append(replay.stats.offline_fraction)
    assert abs(np.mean(shares) - 0.3) < 0.02  # 800 groups of 4: standard error about 0.002


def test_one_side_fills_in_for_the_other_unless_it_is_excluded(store, trajectory):
    store.append([trajectory(f"online-{n}") for n in range(6)])
    replay = Replay(store, ReplayConfig(offline_fraction=0.5), seed=0)
    [group] = replay.draw(0, 1, 4, policy_version=0)
    assert [row.is_online for row in group.rows] == [True] * 4
    assert replay.stats.filled["online"] == 2
    assert replay.stats.offline_fraction == 0
    offline_only = Replay(store, ReplayConfig(offline_fraction=1.0), seed=0)
    assert offline_only.draw(0, 1, 4, policy_version=0) == []
    assert offline_only.stats.dropped == {"offline_fraction": {"<=8": 6}}


def test_source_weights_order_the_draws(store, trajectory):
    sources = ["written"] * 200 + ["run:old"] * 200 + ["import:verl"] * 200
    rows = [trajectory(f"{n}", source=source) for n, source in enumerate(sources)]
    store.append(rows)
    weights = {"written": 3.0, "run": 1.0, "import:verl": 0.0}
    replay = Replay(store, ReplayConfig(offline_fraction=1.0, source_weights=weights), seed=0)
    counts: Counter[str] = Counter()
    for step in range(50):
        [group] = replay.draw(step, 1, 20, policy_version=0)
        counts.update(row.trajectory.source for row in group.rows)
    assert counts["import:verl"] == 0
    assert replay.stats.dropped == {"source_weight": {"<=8": 200}}
    assert abs(counts["written"] / 1000 - 0.74) < 0.05  # a little under 3/4: no replacement


def test_all_rows_of_a_side_are_drawn_equally_often(filled):
    """No replacement within a group, uniform over groups: 8 online rows, 4 drawn, 400 times."""
    replay = Replay(filled, ReplayConfig(offline_fraction=0.0), seed=5)
    counts: Counter[str] = Counter()
    for step in range(400):
        [group] = replay.draw(step, 1, 4, policy_version=3, problem_ids=["p1"])
        counts.update(row.trajectory.trajectory_id for row in group.rows)
    assert len(counts) == 8
    chi_square = sum((count - 200) ** 2 / 100 for count in counts.values())  # variance n p (1 - p)
    assert chi_square < 24.3  # 0.1% of 7 degrees of freedom


def test_a_group_of_one_outcome_gets_an_offline_row_of_the_other(store, trajectory):
    wrong = [trajectory(f"wrong-{n}", source="written", reward=-1.0) for n in range(30)]
    online = [trajectory(f"online-{n}", reward=-1.0) for n in range(4)]
    store.append([*wrong, *online, trajectory("right", source="written", reward=0.0)])

    def share_with_both(balance: bool) -> float:
        replay = Replay(store, ReplayConfig(balance_outcomes=balance), seed=0)
        groups = [replay.draw(step, 1, 4, policy_version=0)[0] for step in range(50)]
        for group in groups:
            assert sum(row.is_online for row in group.rows) == 2
            assert len({row.trajectory.trajectory_id for row in group.rows}) == 4
        outcomes = [{row.trajectory.reward for row in group.rows} for group in groups]
        return sum(len(found) == 2 for found in outcomes) / len(outcomes)

    assert share_with_both(True) == 1.0
    assert share_with_both(False) < 0.3


def test_a_group_shares_its_prompt(store, trajectory):
    """A changed prompt template must not be mixed with the old one: the newest policy's counts."""
    old = [trajectory(f"old-{n}", policy_version=1) for n in range(8)]
    prompt = np.array([9, 9, 9], np.int32)
    new = [trajectory(f"new-{n}", policy_version=2, prompt_tokens=prompt) for n in range(3)]
    store.append([*old, *new])
    replay = Replay(store, seed=0)
    [group] = replay.draw(0, 1, 4, policy_version=2)
    assert {row.trajectory.trajectory_id for row in group.rows} == {"new-0", "new-1", "new-2"}
    assert replay.stats.dropped == {"other_prompt": {"<=8": 8}}
    assert replay.stats.num_short_groups == 1


# --- limits ---


def test_stale_online_rows_are_not_drawn_and_are_counted(filled):
    replay = Replay(filled, ReplayConfig(max_staleness=1, offline_fraction=0.5), seed=0)
    groups = replay.draw(0, 8, 8, policy_version=4)  # versions 0 to 3: only 3 is fresh enough
    ages = [row.staleness for group in groups for row in group.rows if row.is_online]
    assert set(ages) == {1}
    assert replay.stats.staleness == {1: len(ages)}
    assert replay.stats.dropped["stale"] == {"<=8": 48}
    assert all(row.staleness is None for g in groups for row in g.rows if not row.is_online)


def test_staleness_histogram(filled):
    replay = Replay(filled, ReplayConfig(offline_fraction=0.0), seed=0)
    replay.draw(0, 8, 8, policy_version=5)
    assert replay.stats.staleness == {2: 16, 3: 16, 4: 16, 5: 16}
    assert replay.stats.metrics()["data/staleness_updates"] == 3.5


def test_rows_are_used_at_most_so_often(filled):
    config = ReplayConfig(offline_fraction=0.5, max_uses=1, max_offline_uses=2)
    replay = Replay(filled, config, seed=0)
    uses: Counter[str] = Counter()
    for step in range(20):
        groups = replay.draw(step, 1, 4, policy_version=3, problem_ids=["p2"])
        uses.update(name for names in drawn_ids(groups) for name in names)
    assert uses == {
        **{f"p2-online-{n}": 1 for n in range(8)},
        **{f"p2-written-{n}": 2 for n in range(8)},
    }
    assert replay.stats.dropped == {"used_up": {"<=8": 16}}
    assert replay.stats.missing_problems == ("p2",)


def test_uses_histogram(filled):
    replay = Replay(filled, ReplayConfig(offline_fraction=0.0), seed=0)
    replay.draw(0, 1, 8, policy_version=3, problem_ids=["p0"])
    assert replay.stats.uses == {0: 8}
    replay.draw(1, 2, 8, policy_version=3, problem_ids=["p0", "p1"])
    assert replay.stats.uses == {0: 8, 1: 8}


def test_what_must_not_be_learned_from_is_never_drawn(store, trajectory):
    store.append(
        [
            trajectory("good"),
            trajectory("judge-failed", reward=None, verdict=Verdict.IE),
            trajectory("long", num_tokens=40),
            trajectory("foreign", tokenizer_hash="other"),
            trajectory(
                "text",
                completion_tokens=None,
                prompt_tokens=None,
                completion_mask=None,
                behavior_logprobs=None,
                turns=(),
                completion_text="x",
            ),
        ]
    )
    config = ReplayConfig(max_completion_tokens=32)
    replay = Replay(store, config, seed=0, tokenizer_hash="tokenizer")
    assert drawn_ids(replay.draw(0, 1, 8, policy_version=0)) == [["good"]]
    assert replay.stats.dropped == {
        "no_reward": {"<=8": 1},
        "other_tokenizer": {"<=8": 1},
        "too_long": {"<=64": 1},
        "untokenized": {"unknown": 1},
    }


def test_fractional_rewards_reach_the_learner(store, trajectory):
    store.append([trajectory("t", reward=-0.375)])
    [group] = Replay(store, seed=0).draw(0, 1, 1, policy_version=0)
    assert group.rows[0].trajectory.reward == -0.375


# --- problems ---


def test_problems_asked_for_come_first_and_others_fill_up(filled):
    replay = Replay(filled, seed=0)
    groups = replay.draw(0, 4, 4, policy_version=3, problem_ids=["p5", "nowhere", "p2"])
    assert [group.problem_id for group in groups[:2]] == ["p5", "p2"]
    assert len(groups) == 3
    assert replay.stats.missing_problems == ("nowhere",)
    with pytest.raises(UserError, match="distinct and at most num_problems=1"):
        replay.draw(0, 1, 4, policy_version=3, problem_ids=["p5", "p2"])


def test_problems_with_enough_rows_come_before_those_with_fewer(store, trajectory):
    for number in range(6):
        count = 4 if number < 3 else 2
        rows = [trajectory(f"{number}-{n}", problem_id=f"p{number}") for n in range(count)]
        store.append(rows)
    for seed in range(5):
        groups = Replay(store, seed=seed).draw(0, 4, 4, policy_version=0)
        assert {group.problem_id for group in groups[:3]} == {"p0", "p1", "p2"}
        assert len(groups[3].rows) == 2
    config = ReplayConfig(min_completions=3)
    assert len(Replay(store, config, seed=0).draw(0, 6, 4, policy_version=0)) == 3


def test_an_empty_store_gives_an_empty_draw(store):
    replay = Replay(store, seed=0)
    assert replay.draw(0, 4, 4, policy_version=0) == []
    assert replay.stats.num_rows == 0
    assert replay.stats.offline_fraction == 0


# --- annotations ---


def test_annotations_of_the_reference_are_attached_and_no_others(store, trajectory, logprobs):
    store.append([trajectory("a"), trajectory("b")])
    store.annotate([logprobs("a", "old", -9.0), logprobs("b", "old", -9.0)])
    store.annotate([logprobs("a", "new", -1.0)])
    for reference, beta, value in (("old", 0.1, -9.0), ("new", 0.1, -1.0), ("new", 0.5, -5.0)):
        store.annotate(
            [
                InitialValue(
                    problem_id="set/a",
                    reference_id=reference,
                    beta=beta,
                    value=value,
                    standard_error=0.0,
                    num_samples=1,
                    estimator="pass_rate",
                )
            ]
        )
    replay = Replay(store, seed=0, reference_id="new", beta=0.1)
    [group] = replay.draw(0, 1, 2, policy_version=0)
    found = {row.trajectory.trajectory_id: row.ref_logprobs for row in group.rows}
    np.testing.assert_array_equal(found["a"], np.full(3, -1.0, np.float32))
    assert found["b"] is None
    assert group.initial_value == -1.0
    assert replay.stats.num_unannotated == 1

    without = Replay(store, seed=0)
    [group] = without.draw(0, 1, 2, policy_version=0)
    assert [row.ref_logprobs for row in group.rows] == [None, None]
    assert group.initial_value is None

    strict = Replay(store, ReplayConfig(require_annotations=True), seed=0, reference_id="new")
    with pytest.raises(UserError, match=r"1 of 2 drawn .* under reference 'new', .* 'b'"):
        strict.draw(0, 1, 2, policy_version=0)


def test_logprobs_that_cannot_belong_to_the_tokens_are_ignored(store, trajectory, logprobs, caplog):
    store.append([trajectory("a")])
    store.annotate([logprobs("a", "ref", -1.0, num_tokens=2)])
    [group] = Replay(store, seed=0, reference_id="ref").draw(0, 1, 1, policy_version=0)
    assert group.rows[0].ref_logprobs is None
    assert "ignoring ref_logprobs of trajectory 'a'" in caplog.text


def test_a_draw_does_without_a_damaged_object(filled, tmp_path):
    replay = Replay(filled, ReplayConfig(offline_fraction=0.0), seed=0)
    replay.draw(0, 8, 8, policy_version=3)
    path = tmp_path / "store/trajectories/host0/00000003.parquet"
    path.write_bytes(path.read_bytes()[:200])
    reader = TrajectoryStore(filled.url)
    fresh = Replay(reader, ReplayConfig(offline_fraction=0.0), seed=0)
    groups = fresh.draw(0, 8, 8, policy_version=3)
    assert {group.problem_id for group in groups} == {f"p{n}" for n in (0, 1, 2, 4, 5, 6, 7)}
    assert list(reader.damaged) == ["trajectories/host0/00000003.parquet"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"offline_fraction": 1.5}, r"offline_fraction=1\.5 must lie in \[0, 1\]"),
        ({"max_uses": 0}, "max_uses=0 must be at least 1"),
        ({"max_staleness": -1}, "max_staleness=-1 must be at least 0"),
        ({"source_weights": {"writen": 1.0}}, "'writen' is unknown; did you mean 'written'"),
        ({"source_weights": {"written": -1.0}}, r"weight -1\.0 of source 'written'"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        ReplayConfig(**settings)


def test_stats_are_plain_json(filled):
    replay = Replay(filled, seed=0)
    replay.draw(0, 2, 4, policy_version=3, problem_ids=["p0"])
    assert json.loads(json.dumps(replay.stats.as_dict()))["num_rows"] == 8
    assert all(isinstance(value, float) for value in replay.stats.metrics().values())
