"""The report of finished, interrupted, empty and odd runs."""

import contextlib
import re
from html.parser import HTMLParser

import pytest

from spo_jax.errors import UserError
from spo_jax.evaluation import read_samples, write_samples
from spo_jax.reporting.calibration import q_calibration
from spo_jax.reporting.curves import actors_figure
from spo_jax.reporting.metrics import MetricsWriter
from spo_jax.reporting.records import read_run
from spo_jax.reporting.report import write_report

_VOID = {"meta", "br"}


class Page(HTMLParser):
    """Fails on tags that do not match, and collects what tests ask for."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.attributes: set[str] = set()
        self.tags: set[str] = set()
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] in ("h2", "h3"):
            self.headings.append(text.strip())


def report(run_dir) -> tuple[str, Page]:
    text = write_report(run_dir).read_text(encoding="utf-8")
    return text, Page(text)


def test_a_finished_run_shows_everything(make_run):
    text, page = report(make_run(with_store=True, with_tokens=True))
    assert "finished after 30 updates" in text
    assert "30.0%" in text
    assert "46.7%" in text
    for heading in (
        *("pass@k over training", "pass@1 by difficulty", "Verdicts"),
        *("Reward", "Loss", "Surrogate loss", "Q residual, mean", "Q residual, absolute"),
        *("Final Q by outcome", "Calibration of Q"),
        *("Distance to the reference", "Entropy", "Completion length"),
        *("Data mix", "Staleness", "Uses", "Time per phase"),
        *("Solutions", "Token by token", "How it was run"),
    ):
        assert heading in page.headings, heading
    assert "SoftPolicyOptimization.beta = 0.2" in text
    assert "jax 0.10.2" in text


def test_it_needs_no_network_and_no_script(make_run):
    text, page = report(make_run(with_tokens=True))
    assert not {"script", "link", "img", "iframe"} & page.tags
    assert not {"src", "onload", "onclick", "xlink:href"} & page.attributes
    assert "http" not in text
    assert "@import" not in text


def test_model_output_and_names_are_escaped(make_run):
    text, _ = report(make_run())
    assert "<script>alert" not in text
    assert "own/&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<b>wrong" not in text
    assert "&lt;b&gt;wrong &amp; bold&lt;/b&gt;" in text


def test_solutions_show_changes_in_both_directions(make_run):
    text, _ = report(make_run())
    assert "Of 6 problems 4 have more accepted samples than before, 1 fewer." in text
    assert "1 that no sample solved before are now solved at least once; 0 the reverse." in text
    cards = text.split('<article class="solution">')[1:]
    kinds = [card.split('class="note">')[1].split("<")[0] for card in cards]
    assert kinds == ["improved"] * 3 + ["worse", "still unsolved"]
    worse = cards[3]
    assert "starter/threshold-is-adult" in worse
    assert worse.index("✓ AC") < worse.index("✗ ")
    assert "returns True if age is at least 18" in worse  # the statement of a bundled problem


def test_tokens_carry_advantage_and_running_q(make_run):
    text, _ = report(make_run(with_tokens=True))
    # beta 0.2, log-ratios 0.1, -0.2, ...: Q_0 = -0.5 goes to -0.48, then -0.52
    assert "token 1: advantage 0.02, Q −0.48, log policy −1.2, log reference −1.3" in text
    assert "token 2: advantage −0.04, Q −0.52" in text
    assert 'class="token up"' in text
    assert 'class="token down"' in text
    assert 'class="token plain"' in text


def test_an_interrupted_run_says_what_is_missing(make_run):
    text, page = report(make_run(updates=7, evaluated=(0,)))
    assert "not finished: 7 of 30 updates so far" in text
    assert "Before training: pass@1 30.0%, pass@10 66.7%." in text
    assert "There is one evaluation so far: before and after cannot be compared yet." in text
    assert "token_values.json is missing" in text
    assert "Verdicts" not in page.headings
    assert "Reward" in page.headings


def test_a_run_that_has_only_begun(tmp_path):
    (tmp_path / "config.gin").write_text("train.num_updates = 30\n")
    text, page = report(tmp_path)
    assert "There is no result yet." in text
    assert "There is no evaluation so far" in text
    assert "metrics.jsonl holds no update yet" in text
    assert page.headings == ["How it was run", "Not shown"]


def test_missing_and_broken_numbers_leave_gaps(tmp_path):
    writer = MetricsWriter(tmp_path, tensorboard=False)
    writer.write(1, {"loss/true": 1.0, "q/residual_mean": float("nan")})
    writer.write(2, {"loss/true": float("inf")})
    writer.write(3, {"loss/true": 2.0})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "kind": "train", "loss/true": NaN}\n{"step": 5, "ki')
    text, page = report(tmp_path)
    assert "Loss" in page.headings
    assert "Q residual, mean" not in page.headings
    assert "Q residual, mean" in text  # among what was not recorded
    assert "update 2: no value" in text


def test_evaluations_of_other_problems_are_not_compared(make_run):
    run_dir = make_run()
    last = run_dir / "evaluations" / "step_00000030.jsonl"
    samples = read_samples(last)
    write_samples(last, [s for s in samples if s["problem_id"] != "starter/compare-greater"])
    text, _ = report(run_dir)
    assert "cannot be compared: a paired comparison needs the same problems" in text
    assert "&#x27;starter/compare-greater&#x27; is in one only" in text


def test_a_broken_token_file_and_a_torn_attempt_are_passed_over(make_run):
    run_dir = make_run()
    (run_dir / "token_values.json").write_text('{"beta": 0.2, "samp')
    with (run_dir / "attempts.jsonl").open("a") as file:
        file.write('{"started": "2025')
    text, _ = report(run_dir)
    assert "token_values.json cannot be read" in text
    assert "attempt 1" in text
    assert "attempt 2" not in text


def test_a_directory_that_is_no_run(tmp_path, make_run):
    run_dir = make_run("quickstart")
    with pytest.raises(UserError, match=r"quickstrt' does not exist; did you mean '.*quickst"):
        write_report(str(run_dir).replace("quickstart", "quickstrt"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"'.*empty' is not a run directory: it holds none of"):
        write_report(tmp_path / "empty")


def test_calibration_bins_online_answers_within_their_groups(make_run):
    run_dir = make_run(with_store=True)
    bins = q_calibration(run_dir, 0.2)
    assert list(bins) == ["first half", "second half"]
    for half in bins.values():
        assert sum(each.count for each in half) == 240
        # relative to the group mean, both sides average to 0
        assert sum(each.count * each.predicted for each in half) == pytest.approx(0, abs=1e-4)
        assert sum(each.count * each.observed for each in half) == pytest.approx(0, abs=1e-6)
    early, late = (half[-1].predicted - half[0].predicted for half in bins.values())
    assert late > early  # the fixture's policy learns to tell right from wrong
    slopes = [half[-1].observed - half[0].observed for half in bins.values()]
    assert slopes[1] > 0.9


def test_calibration_needs_a_store(make_run):
    assert q_calibration(make_run(), 0.2) == {}


def test_unknown_evaluation_fields_do_not_matter(make_run):
    run_dir = make_run()
    for step in (0, 30):
        path = run_dir / "evaluations" / f"step_{step:08d}.jsonl"
        keep = ("problem_id", "verdict", "num_tokens")
        write_samples(path, [{k: s[k] for k in keep} for s in read_samples(path)])
    text, page = report(run_dir)
    assert "pass@1 by difficulty" in page.headings
    assert ">unknown</text>" in text


def test_the_time_of_actors_is_shown_where_there_were_some(tmp_path, make_run):
    """Of all actors together, without what concerns one of them and the waiting of the learner."""
    assert actors_figure(read_run(make_run())) == []
    with contextlib.closing(MetricsWriter(tmp_path, tensorboard=False)) as metrics:
        for step in (1, 2):
            values = {"actors/sampling_secs": 3.0, "actors/idle_secs": 1.0}
            values |= {"actors/wait_secs": 50.0, "actors/a0/heartbeat_age_secs": 9.0}
            metrics.write(step, values)
    [figure] = actors_figure(read_run(tmp_path))
    assert "Time of the actors" in figure
    assert "sampling 75%" in figure and "idle 25%" in figure
    assert "wait" not in re.sub("<figcaption>.*</figcaption>", "", figure)
