"""The summary pairs the first evaluation with the last, problem by problem."""

import pytest

from spo_jax.errors import UserError
from spo_jax.evaluation import write_samples
from spo_jax.reporting.metrics import MetricsWriter
from spo_jax.reporting.summary import format_summary, run_summary


def evaluate(run_dir, step: int, accepted: dict[str, int], num_samples: int = 4) -> None:
    """In the order of `accepted`: order must not matter."""
    write_samples(
        run_dir / "evaluations" / f"step_{step:08d}.jsonl",
        (
            {"problem_id": name, "verdict": "AC" if i < count else "WA", "num_tokens": 1}
            for name, count in accepted.items()
            for i in range(num_samples)
        ),
    )


def test_first_and_last_are_paired_by_problem(tmp_path):
    evaluate(tmp_path, 0, {"easy": 4, "hard": 0})
    evaluate(tmp_path, 5, {"easy": 0, "hard": 0})
    evaluate(tmp_path, 10, {"hard": 1, "easy": 4})
    summary = run_summary(tmp_path, (1, 4))
    assert summary["updates"] == 10
    assert (summary["num_problems"], summary["samples_per_problem"]) == (2, 4)
    first = summary["pass"]["1"]
    assert (first["before"], first["after"], first["difference"]) == (0.5, 0.625, 0.125)
    # paired, the easy problem adds no spread: the interval is that of one difference of 1/4
    assert (first["low"], first["high"]) == (0.0, 0.25)
    assert summary["pass"]["4"]["after"] == 1.0


def test_time_is_summed_by_phase(tmp_path):
    evaluate(tmp_path, 0, {"easy": 4})
    writer = MetricsWriter(tmp_path, tensorboard=False)
    writer.write(1, {"time/update_secs": 1.5, "time/sampling_secs": float("nan")})
    writer.write(2, {"time/update_secs": 2.5, "time/sampling_secs": 3.0})
    writer.close()
    assert run_summary(tmp_path, (1,))["time_secs"] == {"sampling": 3.0, "update": 4.0}


def test_other_problems_cannot_be_paired(tmp_path):
    evaluate(tmp_path, 0, {"easy": 4})
    evaluate(tmp_path, 1, {"other": 4})
    with pytest.raises(UserError, match="same problems: before has 1, after has 1, 'easy' is in"):
        run_summary(tmp_path, (1,))


def test_no_evaluation(tmp_path):
    with pytest.raises(UserError, match="holds no evaluation"):
        run_summary(tmp_path, (1,))


def test_table_for_a_terminal(tmp_path):
    evaluate(tmp_path, 0, {"easy": 1})
    evaluate(tmp_path, 1, {"easy": 3})
    lines = format_summary(run_summary(tmp_path, (1,))).splitlines()
    assert lines[0] == "1 held-out problems, 4 samples each"
    assert lines[2].split() == ["pass@1", "0.250", "0.750", "+0.500", "[+0.500,", "+0.500]"]
