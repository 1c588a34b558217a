"""Charts as self-contained HTML figures: lines, stacked steps, paired bars, calibration.

Series differ in dash pattern and marker as well as in colour, and legends give the last value.
"""

import dataclasses
import html
import math
from collections.abc import Mapping, Sequence

from spo_jax.reporting.frame import (
    Frame,
    Point,
    category_labels,
    finite_range,
    number,
    svg,
)

_MAX_POINTS = 200  # of a series; longer ones are averaged in bins
_SMOOTHED_FROM = 24  # points; shorter series are drawn as they are
_MARKED_UP_TO = 12  # points; shorter series get markers
NUM_COLOURS = 8


@dataclasses.dataclass(frozen=True)
class Series:
    """A named line. `y` is None where there is no value; `x` ascends."""

    label: str
    points: tuple[Point, ...]

    @property
    def values(self) -> list[float]:
        return [y for _, y in self.points if y is not None]


@dataclasses.dataclass(frozen=True)
class Rate:
    """A share of a category, with a note such as how many there are."""

    category: str
    note: str
    values: tuple[float, ...]


def figure(title: str, caption: str, picture: str, legend: str = "", css_class: str = "") -> str:
    """A titled figure. `caption` says in a sentence what is seen."""
    return (
        f'<figure class="{css_class}"><h3>{html.escape(title)}</h3>{legend}{picture}'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def line_chart(
    title: str,
    caption: str,
    series: Sequence[Series],
    *,
    y_label: str,
    x_label: str = "update",
    include: Sequence[float] = (),
    smooth: bool = True,
) -> str:
    """Lines over a common x. Long series get a trailing mean over faint single values.

    Args:
      title, caption: of the figure.
      series: at least one with a value.
      y_label, x_label: of the axes.
      include: values the y axis must show.
      smooth: False draws long series as they are.
    """
    shown = [Series(one.label, _thinned(one.points)) for one in series if one.values]
    xs = sorted({x for one in shown for x, _ in one.points})
    frame = Frame(
        x_range=finite_range(xs),
        y_range=_padded(finite_range([y for one in shown for y in one.values], include=include)),
        x_label=x_label,
        y_label=y_label,
    )
    lines = "".join(_line(frame, i, one, smooth) for i, one in enumerate(shown))
    tips = [(x, _tip(x_label, x, shown)) for x in xs]
    legend = _legend([(one.label, one.values[-1]) for one in shown], "line")
    return figure(title, caption, svg(title, frame.axes() + lines + frame.strips(tips)), legend)


def stacked_chart(
    title: str, caption: str, parts: Mapping[str, Sequence[Point]], *, y_label: str
) -> str:
    """Amounts stacked over updates, as steps. All parts have the same x; missing is 0."""
    thinned = {name: _thinned(points) for name, points in parts.items()}
    xs = [x for x, _ in next(iter(thinned.values()))]
    amounts = [[y or 0.0 for _, y in points] for points in thinned.values()]
    totals = [sum(column) for column in zip(*amounts, strict=True)]
    half = (xs[1] - xs[0]) / 2 if len(xs) > 1 else 0.5
    frame = Frame(
        x_range=(xs[0] - half, xs[-1] + half),
        y_range=(0.0, max(totals) * 1.05 or 1.0),
        x_label="update",
        y_label=y_label,
    )
    base = [0.0] * len(xs)
    areas = []
    for i, column in enumerate(amounts):
        top = [low + amount for low, amount in zip(base, column, strict=True)]
        areas.append(f'<path class="area c{i % NUM_COLOURS}" d="{_steps(frame, xs, base, top)}"/>')
        base = top
    sums = [(name, sum(y or 0.0 for _, y in points)) for name, points in parts.items()]
    tips = [
        (x, f"update {number(x, 6)}: {number(total)} in all, {_amounts(thinned, i)}")
        for i, (x, total) in enumerate(zip(xs, totals, strict=True))
    ]
    whole = sum(amount for _, amount in sums) or 1.0
    legend = _legend([(f"{n} {amount / whole:.0%}", None) for n, amount in sums], "area")
    body = "".join(areas) + frame.axes() + frame.strips(tips)
    return figure(title, caption, svg(title, body), legend)


def paired_bars(
    title: str, caption: str, rates: Sequence[Rate], names: Sequence[str], *, y_label: str
) -> str:
    """Bars side by side in every category, one for each of `names`; values are shares."""
    top = max((value for rate in rates for value in rate.values), default=0.0)
    frame = Frame(
        x_range=(-0.5, len(rates) - 0.5),
        y_range=(0.0, min(1.0, max(0.1, top * 1.15))),
        y_label=y_label,
        whole_x=False,
    )
    width = 0.76 / len(names)
    bars = []
    for i, rate in enumerate(rates):
        for j, (name, value) in enumerate(zip(names, rate.values, strict=True)):
            left, right = (frame.x(i - 0.38 + (j + d) * width) for d in (0.04, 0.96))
            high = frame.y(value)
            bars.append(
                f"<g><title>{html.escape(f'{rate.category}, {name}: {value:.1%}')}</title>"
                f'<rect class="bar b{j}" x="{left:.1f}" y="{high:.1f}" '
                f'width="{right - left:.1f}" height="{frame.y(0) - high:.1f}"/>'
                f'<text class="value" x="{(left + right) / 2:.1f}" y="{high - 3:.1f}" '
                f'text-anchor="middle">{value * 100:.0f}</text></g>'
            )
    labels = category_labels(frame, [(rate.category, rate.note) for rate in rates])
    body = frame.grid() + frame.labels() + "".join(bars) + labels
    return figure(title, caption, svg(title, body), _legend([(n, None) for n in names], "bar"))


@dataclasses.dataclass(frozen=True)
class Bin:
    """Rows of similar prediction: means of both, and the standard error of the outcome."""

    predicted: float
    observed: float
    standard_error: float
    count: int


def calibration_chart(
    title: str, caption: str, groups: Mapping[str, Sequence[Bin]], *, x_label: str, y_label: str
) -> str:
    """Observed against predicted with the diagonal of perfect calibration."""
    bins = [each for group in groups.values() for each in group]
    across = _padded(finite_range([b.predicted for b in bins], include=(0.0,)))
    up = _padded(
        finite_range(
            [b.observed + sign * b.standard_error for b in bins for sign in (-1, 1)],
            include=(0.0,),
        )
    )
    frame = Frame(x_range=across, y_range=up, x_label=x_label, y_label=y_label, whole_x=False)
    low, high = max(across[0], up[0]), min(across[1], up[1])
    diagonal = f'<path class="ideal" d="{frame.line([(low, low), (high, high)])}"/>'
    marks = "".join(
        _calibration_mark(frame, i, each)
        for i, group in enumerate(groups.values())
        for each in group
    )
    legend = _legend([(name, None) for name in groups], "mark") + (
        '<p class="legend"><span><svg viewBox="0 0 22 10" aria-hidden="true">'
        '<path class="ideal" d="M0 5H22"/></svg>perfectly calibrated</span></p>'
    )
    return figure(title, caption, svg(title, frame.axes() + diagonal + marks), legend)


def _calibration_mark(frame: Frame, i: int, each: Bin) -> str:
    x, y = frame.x(each.predicted), frame.y(each.observed)
    top = frame.y(each.observed + each.standard_error)
    bottom = frame.y(each.observed - each.standard_error)
    text = (
        f"predicted {number(each.predicted)}, observed {number(each.observed)} "
        f"± {number(each.standard_error)}, {each.count} answers"
    )
    return (
        f'<g class="c{i}"><title>{text}</title>'
        f'<path class="error" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>{_marker(i, x, y)}</g>'
    )


def _line(frame: Frame, i: int, one: Series, smooth: bool) -> str:
    colour = f"c{i % NUM_COLOURS}"
    points = one.points
    drawn = []
    if smooth and len(points) >= _SMOOTHED_FROM:
        drawn.append(f'<path class="raw {colour}" d="{frame.line(points)}"/>')
        points = _trailing_mean(points, len(points) // 8)
    drawn.append(f'<path class="line {colour} d{i % 4}" d="{frame.line(points)}"/>')
    if len(points) <= _MARKED_UP_TO:
        dots = "".join(_marker(i, frame.x(x), frame.y(y)) for x, y in points if y is not None)
        drawn.append(f'<g class="{colour}">{dots}</g>')
    return "".join(drawn)


def _marker(i: int, x: float, y: float) -> str:
    """A circle, a square, a diamond or a triangle, by number of the series."""
    shapes = (
        f"M{x - 3:.1f} {y:.1f}a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
        f"M{x - 2.8:.1f} {y - 2.8:.1f}h5.6v5.6h-5.6z",
        f"M{x:.1f} {y - 3.8:.1f}l3.8 3.8l-3.8 3.8l-3.8-3.8z",
        f"M{x:.1f} {y - 3.5:.1f}l3.6 6.3h-7.2z",
    )
    return f'<path class="marker" d="{shapes[i % 4]}"/>'


def _steps(frame: Frame, xs: Sequence[float], base: Sequence[float], top: Sequence[float]) -> str:
    half = (xs[1] - xs[0]) / 2 if len(xs) > 1 else 0.5
    there = [(x + d, y) for x, y in zip(xs, top, strict=True) for d in (-half, half)]
    back = [(x + d, y) for x, y in zip(xs, base, strict=True) for d in (-half, half)]
    return frame.line([*there, *reversed(back)]) + "Z"


def _legend(entries: Sequence[tuple[str, float | None]], kind: str) -> str:
    """Swatch, name and last value of every series; nothing for a single unnamed one."""
    items = []
    for i, (label, last) in enumerate(entries):
        c = i % NUM_COLOURS
        swatch = {
            "line": f'<path class="line c{c} d{i % 4}" d="M0 5H22"/>',
            "area": f'<rect class="area c{c}" x="6" width="10" height="10"/>',
            "bar": f'<rect class="bar b{i}" x="6" y=".5" width="10" height="9"/>',
            "mark": f'<g class="c{c}">{_marker(i, 11, 5)}</g>',
        }[kind]
        value = f" <b>{number(last)}</b>" if last is not None else ""
        items.append(
            f'<span><svg viewBox="0 0 22 10" aria-hidden="true">{swatch}</svg>'
            f"{html.escape(label)}{value}</span>"
        )
    return f'<p class="legend">{"".join(items)}</p>'


def _tip(x_label: str, x: float, series: Sequence[Series]) -> str:
    parts = [
        f"{one.label} {number(y)}"
        for one in series
        for at, y in one.points
        if at == x and y is not None
    ]
    return f"{x_label} {number(x, 6)}: " + (", ".join(parts) or "no value")


def _amounts(parts: Mapping[str, Sequence[Point]], i: int) -> str:
    return ", ".join(f"{name} {number(points[i][1])}" for name, points in parts.items())


def _padded(bounds: tuple[float, float]) -> tuple[float, float]:
    margin = 0.06 * (bounds[1] - bounds[0])
    return bounds[0] - margin, bounds[1] + margin


def _trailing_mean(points: Sequence[Point], window: int) -> tuple[Point, ...]:
    means: list[Point] = []
    for i, (x, y) in enumerate(points):
        recent = [v for _, v in points[max(0, i - window + 1) : i + 1] if v is not None]
        means.append((x, None if y is None else sum(recent) / len(recent)))
    return tuple(means)


def _thinned(points: Sequence[Point]) -> tuple[Point, ...]:
    """At most `_MAX_POINTS` points: means over bins of neighbours."""
    size = math.ceil(len(points) / _MAX_POINTS)
    if size <= 1:
        return tuple(points)
    bins = [points[i : i + size] for i in range(0, len(points), size)]
    return tuple(_mean_point(each) for each in bins)


def _mean_point(points: Sequence[Point]) -> Point:
    ys = [y for _, y in points if y is not None]
    return sum(x for x, _ in points) / len(points), sum(ys) / len(ys) if ys else None
