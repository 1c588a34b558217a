"""Numbers, ticks and what charts do with missing, single and many values."""

import re
from xml.etree import ElementTree

import pytest

from spo_jax.reporting.charts import (
    Bin,
    Rate,
    Series,
    calibration_chart,
    line_chart,
    paired_bars,
    stacked_chart,
)
from spo_jax.reporting.frame import Frame, number, ticks


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.12345, "−0.123"),
        (1234.5, "1234"),
        (30, "30"),
        (2e-5, "2e−5"),
        (1.5e7, "1.5e7"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_number(value, text):
    assert number(value) == text


def test_ticks_are_round_and_within():
    assert ticks(-0.93, 0.1) == [-0.75, -0.5, -0.25, 0.0]
    assert ticks(1, 3, 6, whole=True) == [1, 2, 3]


def test_a_missing_value_interrupts_the_line():
    frame = Frame(x_range=(0, 3), y_range=(0, 1))
    path = frame.line([(0, 0.0), (1, 1.0), (2, None), (3, 0.0)])
    assert re.sub(r"[\d. ]", "", path) == "MLM"


def parsed(figure: str) -> ElementTree.Element:
    """The first picture beneath the figure's legend; fails unless the markup is well formed."""
    element = ElementTree.fromstring(figure)
    pictures = [svg for svg in element.iter("svg") if svg.get("role") == "img"]
    assert len(pictures) == 1
    return pictures[0]


def chart(*series: Series) -> str:
    return line_chart("A < B", "caption & more", series, y_label="nats")


def test_line_chart_names_itself_and_its_series_and_gives_last_values():
    figure = chart(Series("a", ((1, 0.5), (2, 0.25))), Series("b", ((1, 3.0), (2, None))))
    picture = parsed(figure)
    assert picture.get("aria-label") == picture.findtext("title") == "A < B"
    assert "a <b>0.25</b>" in figure
    assert "b <b>3</b>" in figure
    tips = [tip.findtext("title") for tip in picture.iter("g") if tip.get("class") == "tip"]
    assert tips == ["update 1: a 0.5, b 3", "update 2: a 0.25"]


def test_series_differ_in_dashes():
    figure = chart(Series("a", ((1, 0.0),)), Series("b", ((1, 1.0),)))
    assert 'class="line c0 d0"' in figure
    assert 'class="line c1 d1"' in figure


def test_one_point_and_a_constant_have_a_range():
    parsed(chart(Series("a", ((7, 0.0),))))
    parsed(chart(Series("a", ((1, -2.0), (2, -2.0)))))


def test_long_series_are_thinned_to_means():
    figure = chart(Series("a", tuple((i, float(i % 2)) for i in range(10_000))))
    picture = parsed(figure)
    tips = [tip.findtext("title") for tip in picture.iter("g") if tip.get("class") == "tip"]
    assert len(tips) == 200
    assert tips[0] == "update 24.5: a 0.5"


def test_stacked_chart_gives_shares():
    figure = stacked_chart(
        "Time", "", {"update": ((1, 3.0), (2, 3.0)), "idle": ((1, None), (2, 2.0))}, y_label="s"
    )
    parsed(figure)
    assert "update 75%" in figure
    assert "idle 25%" in figure
    assert "update 2: 5 in all, update 3, idle 2" in figure


def test_paired_bars_write_percentages():
    picture = parsed(
        paired_bars("P", "", [Rate("1", "n=3", (0.0, 0.5))], ("before", "after"), y_label="share")
    )
    values = [text.text for text in picture.iter("text") if text.get("class") == "value"]
    assert values == ["0", "50"]
    heights = [float(bar.get("height")) for bar in picture.iter("rect")]
    assert heights[0] == 0 < heights[1]


def test_calibration_chart_shows_every_bin():
    bins = [Bin(-0.5, -0.4, 0.1, 20), Bin(0.5, 0.6, 0.1, 20)]
    picture = parsed(calibration_chart("C", "", {"first": bins}, x_label="x", y_label="y"))
    tips = [title.text for title in picture.iter("title")]
    assert "predicted −0.5, observed −0.4 ± 0.1, 20 answers" in tips
