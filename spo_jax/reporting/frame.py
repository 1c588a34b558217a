"""The plane a chart is drawn on: scales, ticks, axes and hover strips, as SVG text.

Colours and fonts come from the page's style sheet: an element carries a class, never a colour.
"""

import dataclasses
import html
import math
from collections.abc import Sequence

WIDTH, HEIGHT = 380, 212
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 8, 36

Point = tuple[float, float | None]


def number(value: float | None, digits: int = 3) -> str:
    """A number for people: `digits` significant digits, a true minus sign, a dash for nothing."""
    if value is None or not math.isfinite(value):
        return "–"
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        text = f"{_trimmed(mantissa)}e{int(exponent)}"
    else:
        magnitude = math.floor(math.log10(abs(value))) if value else 0
        text = _trimmed(f"{value:.{max(0, digits - 1 - magnitude)}f}")
    return text.replace("-", "−")


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def ticks(low: float, high: float, count: int = 5, *, whole: bool = False) -> list[float]:
    """Round numbers within [low, high], about `count` of them; only integers if `whole`."""
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * (1 - 1e-9))
    if whole:
        step = max(1.0, math.ceil(step))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def finite_range(values: Sequence[float], *, include: Sequence[float] = ()) -> tuple[float, float]:
    """The range of `values` and `include`, widened where it has no width."""
    everything = [*values, *include]
    low, high = min(everything), max(everything)
    if high - low < 1e-9 * max(1.0, abs(low)):
        margin = 0.5 * abs(low) or 0.5
        return low - margin, high + margin
    return low, high


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frame:
    """Maps data to the picture.

    Attributes:
      x_range, y_range: of the data that is shown.
      x_label, y_label: what the axes measure, with the unit.
      whole_x: x counts something, so ticks are integers.
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_label: str = ""
    y_label: str = ""
    whole_x: bool = True

    def x(self, value: float) -> float:
        low, high = self.x_range
        return _LEFT + (value - low) / (high - low) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM)

    def axes(self) -> str:
        """Grid lines, tick labels and axis labels."""
        bottom = HEIGHT - _BOTTOM
        across = "".join(
            _text(self.x(value), bottom + 14, number(value, 6), "middle")
            for value in ticks(*self.x_range, count=6, whole=self.whole_x)
        )
        return self.grid() + across + self.labels()

    def grid(self) -> str:
        """Horizontal grid lines with their tick labels."""
        left, right = _LEFT, WIDTH - _RIGHT
        parts = []
        for value in ticks(*self.y_range):
            y = self.y(value)
            kind = "zero" if value == 0 else "grid"
            parts.append(f'<path class="{kind}" d="M{left} {y:.1f}H{right}"/>')
            parts.append(_text(left - 5, y + 3.5, number(value), "end"))
        return "".join(parts)

    def labels(self) -> str:
        """The axis labels alone."""
        middle = _TOP + (HEIGHT - _TOP - _BOTTOM) / 2
        across = _text(_LEFT + (WIDTH - _LEFT - _RIGHT) / 2, HEIGHT - 6, self.x_label, "middle")
        return across + (
            f'<text transform="translate(10 {middle:.0f}) rotate(-90)" text-anchor="middle">'
            f"{html.escape(self.y_label)}</text>"
        )

    def line(self, points: Sequence[Point]) -> str:
        """Path data through the points; a missing value interrupts the line."""
        parts = []
        pen = "M"
        for x, y in points:
            if y is None:
                pen = "M"
                continue
            parts.append(f"{pen}{self.x(x):.1f} {self.y(y):.1f}")
            pen = "L"
        return "".join(parts)

    def strips(self, tips: Sequence[tuple[float, str]]) -> str:
        """Invisible strips, one at each x, that show a guide line and a text on hover."""
        top, height = _TOP, HEIGHT - _TOP - _BOTTOM
        width = (WIDTH - _LEFT - _RIGHT) / max(1, len(tips))
        return "".join(
            f'<g class="tip"><title>{html.escape(text)}</title>'
            f'<rect x="{self.x(x) - width / 2:.1f}" y="{top}" width="{width:.1f}" '
            f'height="{height}"/><path d="M{self.x(x):.1f} {top}v{height}"/></g>'
            for x, text in tips
        )


def category_labels(frame: Frame, labels: Sequence[tuple[str, str]]) -> str:
    """Two lines of text under each category; category i is centred at x = i."""
    bottom = HEIGHT - _BOTTOM
    return "".join(
        _text(frame.x(i), bottom + 13, name, "middle")
        + _text(frame.x(i), bottom + 25, below, "middle")
        for i, (name, below) in enumerate(labels)
    )


def svg(title: str, body: str) -> str:
    """A whole picture. The title is what a screen reader says."""
    name = html.escape(title, quote=True)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">'
        f"<title>{name}</title>{body}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'
