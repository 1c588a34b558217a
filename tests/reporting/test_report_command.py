"""`spo report`: one run, several runs, JSON, and bad input."""

import json

import pytest

from spo_jax.errors import UserError
from spo_jax.main import run


def test_one_run(make_run, capsys):
    run_dir = make_run()
    assert run(["report", str(run_dir)]) == 0
    printed = capsys.readouterr().out
    assert "(finished after 30 updates)" in printed
    assert "pass@1        0.300    0.467      +0.167" in printed
    assert printed.splitlines()[-1] == f"report: {run_dir / 'report.html'}"
    assert (run_dir / "report.html").exists()


def test_one_run_elsewhere_as_json(make_run, tmp_path, capsys):
    run_dir = make_run(updates=3, evaluated=(0,))
    output = tmp_path / "pages" / "mine.html"
    assert run(["report", str(run_dir), "--output", str(output), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["report"] == str(output)
    assert output.exists()
    assert not (run_dir / "report.html").exists()
    assert (result["finished"], result["updates"], result["summary"]) == (False, 3, None)
    assert "one evaluation so far" in result["notes"][0]


@pytest.fixture
def three_runs(make_run):
    """Two seeds of one configuration, of which the second was stopped half way, and another."""
    return [
        str(make_run("seed0")),
        str(make_run("seed1", seed=1, updates=15, evaluated=(0, 15))),
        str(make_run("strong", beta=0.4)),
    ]


def test_runs_are_grouped_by_configuration(three_runs, capsys):
    assert run(["report", *three_runs]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("pass@1 updates before after difference")
    assert lines[1] == "[SoftPolicyOptimization.beta = 0.2]"
    assert [line.split()[0] for line in lines[2:4]] == ["seed0", "seed1"]
    # after 30 and after 15 updates: 0.467 and 0.400, mean 0.433, deviation 0.047
    assert lines[4] == "mean ± sd of 2 0.300 ± 0.000 0.433 ± 0.047 +0.133 ± 0.047"
    assert lines[5] == "[SoftPolicyOptimization.beta = 0.4]"
    assert lines[6].startswith("strong 30 0.300 0.467")
    assert lines[7] == ""


def test_comparison_as_json_and_as_a_page(three_runs, tmp_path, capsys):
    output = tmp_path / "comparison.html"
    assert run(["report", *three_runs, "--output", str(output), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    first, second = result["groups"]
    assert first["runs"] == three_runs[:2]
    assert first["pass"]["1"]["after"]["standard_deviation"] == pytest.approx(0.0471, abs=1e-4)
    assert second["pass"]["1"]["after"]["standard_deviation"] is None
    assert result["report"] == str(output)
    page = output.read_text()
    assert "Comparison of 3 runs" in page
    assert "mean ± sd of 2" in page
    assert "http" not in page


def test_a_run_without_result_is_named_and_left_out(make_run, capsys):
    runs = [str(make_run("done")), str(make_run("cut", updates=2, evaluated=(0,)))]
    assert run(["report", *runs]) == 0
    assert f"left out: {runs[1]}: There is one evaluation so far" in capsys.readouterr().out


def test_bad_input(make_run, tmp_path):
    run_dir = str(make_run("done"))
    with pytest.raises(UserError, match=r"dne' does not exist; did you mean '.*done'"):
        run(["report", run_dir, str(tmp_path / "dne")])
    with pytest.raises(UserError, match="is given twice"):
        run(["report", run_dir, run_dir + "/"])
    cut = [str(make_run(name, updates=1, evaluated=())) for name in ("a", "b")]
    with pytest.raises(UserError, match="none of the 2 runs has been evaluated before and after"):
        run(["report", *cut])
