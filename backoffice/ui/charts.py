"""Small charts as plain SVG: no script, readable by screen readers, coloured by the stylesheet (light, dark, print).

    bar_chart([("EURUSD", Decimal("12.5")), ("XAUUSD", Decimal("-3"))], title="Net lots by symbol")
    line_chart([("2026-01-02", Decimal("10")), ...], title="Equity", unit="USD")
    sparkline([Decimal(1), Decimal(3), Decimal(2)], title="Trades per day")

Each has a title, a description in words, and (bar and line) the same figures as a table for who cannot see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.kernel.ids import uuid7
from backoffice.ui.formats import format_decimal

POINT_LIMIT = 400
WIDTH = 640
ROW_HEIGHT = 22
LABEL_WIDTH = 110
FIGURE_WIDTH = 96

# Colours for paper, where no stylesheet reaches into a drawing; on a screen the stylesheet's colours come first.
BRAND = "#1c5d99"
LOSS = "#b02a37"

Point = tuple[str, Decimal]


def bar_chart(points: Sequence[Point], *, title: str, unit: str = "", digits: int = 2) -> SafeString:
    """Horizontal bars from a common zero line; what is below zero goes left, in the tone of a loss."""
    points = _bounded(points)
    if not points:
        return SafeString("")
    lowest = min(Decimal(0), *(value for _, value in points))
    highest = max(Decimal(0), *(value for _, value in points))
    span = (highest - lowest) or Decimal(1)
    room = Decimal(WIDTH - LABEL_WIDTH - FIGURE_WIDTH)
    zero = Decimal(LABEL_WIDTH) - lowest / span * room
    bars = []
    for line, (label, value) in enumerate(points):
        length = max(abs(value) / span * room, Decimal("0.5"))
        left = zero if value >= 0 else zero - length
        top = line * ROW_HEIGHT
        tone = ("bo-bar-neg", LOSS) if value < 0 else ("bo-bar", BRAND)
        name = (LABEL_WIDTH - 8, top + 15, label)
        bar = (*tone, _at(left), top + 5, _at(length))
        bars.append((*name, *bar, WIDTH, top + 15, format_decimal(value, digits)))
    drawn = format_html_join(
        "",
        '<text class="bo-chart-label" fill="#4b5a6b" font-size="12" x="{}" y="{}" text-anchor="end">{}</text>'
        '<rect class="{}" fill="{}" x="{}" y="{}" width="{}" height="12" rx="2"></rect>'
        '<text class="bo-chart-figure" fill="#5f6d7e" font-size="12" x="{}" y="{}" text-anchor="end">{}</text>',
        bars,
    )
    height = len(points) * ROW_HEIGHT + 4
    axis = format_html(
        '<line class="bo-axis" stroke="#8796a6" x1="{0}" x2="{0}" y1="0" y2="{1}"></line>', _at(zero), height
    )
    return _figure(points, title, unit, digits, "bo-chart bo-chart-bar", WIDTH, height, drawn + axis)


def line_chart(points: Sequence[Point], *, title: str, unit: str = "", digits: int = 2) -> SafeString:
    """A line over equal steps with its lowest and highest value marked on the axis."""
    points = _bounded(points)
    if len(points) < 2:
        return SafeString("")
    height, left, bottom = 180, 84, 22
    values = [value for _, value in points]
    path, zero = _line_path(values, x=left, y=8, width=WIDTH - left - 8, height=height - bottom - 16)
    body = format_html(
        '<line class="bo-axis" stroke="#8796a6" x1="{l}" x2="{r}" y1="{z}" y2="{z}"></line><path class="bo-line" fill="none" stroke="#1c5d99" d="{path}"></path>'
        '<text class="bo-chart-figure" fill="#5f6d7e" font-size="12" x="{t}" y="16" text-anchor="end">{high}</text>'
        '<text class="bo-chart-figure" fill="#5f6d7e" font-size="12" x="{t}" y="{low_y}" text-anchor="end">{low}</text>'
        '<text class="bo-chart-label" fill="#4b5a6b" font-size="12" x="{l}" y="{base}">{first}</text>'
        '<text class="bo-chart-label" fill="#4b5a6b" font-size="12" x="{r}" y="{base}" text-anchor="end">{last}</text>',
        l=left,
        r=WIDTH - 8,
        t=left - 8,
        z=zero,
        path=path,
        high=format_decimal(max(values), digits),
        low=format_decimal(min(values), digits),
        low_y=height - bottom - 6,
        base=height - 6,
        first=points[0][0],
        last=points[-1][0],
    )
    return _figure(points, title, unit, digits, "bo-chart bo-chart-line", WIDTH, height, body)


def sparkline(values: Sequence[Decimal], *, title: str) -> SafeString:
    """A small line without axes, for a card; its description tells the first, last, lowest and highest value."""
    values = list(values)[-POINT_LIMIT:]
    if len(values) < 2:
        return SafeString("")
    path, _ = _line_path(values, x=1, y=3, width=158, height=30)
    shape, _, _ = path.partition("Z")
    key = f"bo-{uuid7()}"
    description = (
        f"From {format_decimal(values[0])} to {format_decimal(values[-1])}; "
        f"lowest {format_decimal(min(values))}, highest {format_decimal(max(values))}."
    )
    return format_html(
        '<svg class="bo-spark" viewBox="0 0 160 36" preserveAspectRatio="none" role="img" aria-labelledby="{0}-t {0}-d">'
        '<title id="{0}-t">{1}</title><desc id="{0}-d">{2}</desc>'
        '<path class="bo-area" fill="#e6eff8" d="{3} L159,36 L1,36 Z"></path><path class="bo-line" fill="none" stroke="#1c5d99" d="{3}"></path></svg>',
        key,
        title,
        description,
        shape,
    )


def _line_path(values: Sequence[Decimal], *, x: int, y: int, width: int, height: int) -> tuple[str, str]:
    """The path of the values inside a box, and the height of zero (or of the nearest edge)."""
    lowest, highest = min(values), max(values)
    span = (highest - lowest) or Decimal(1)
    step = Decimal(width) / max(len(values) - 1, 1)

    def height_of(value: Decimal) -> Decimal:
        return Decimal(y) + (highest - value) / span * height

    points = [f"{_at(x + step * place)},{_at(height_of(value))}" for place, value in enumerate(values)]
    zero = min(max(Decimal(0), lowest), highest)
    return "M" + " L".join(points), _at(height_of(zero))


def _figure(
    points: Sequence[Point], title: str, unit: str, digits: int, css: str, width: int, height: int, body: str
) -> SafeString:
    key = f"bo-{uuid7()}"
    named = f"{title}, {unit}" if unit else title
    top = max(points, key=lambda point: point[1])
    low = min(points, key=lambda point: point[1])
    described = (
        f"{len(points)} values; highest {top[0]} {format_decimal(top[1], digits)}, "
        f"lowest {low[0]} {format_decimal(low[1], digits)}."
    )
    rows = format_html_join(
        "", "<tr><th scope=row>{}</th><td>{}</td></tr>", ((label, format_decimal(v, digits)) for label, v in points)
    )
    return format_html(
        '<figure class="{}"><svg viewBox="0 0 {} {}" role="img" aria-labelledby="{k}-t {k}-d">'
        '<title id="{k}-t">{named}</title><desc id="{k}-d">{described}</desc>{body}</svg>'
        '<table class="bo-visually-hidden"><caption>{named}</caption><tbody>{rows}</tbody></table></figure>',
        css,
        width,
        height,
        k=key,
        named=named,
        described=described,
        body=body,
        rows=rows,
    )


def _bounded(points: Sequence[Point]) -> list[Point]:
    return list(points)[:POINT_LIMIT]


def _at(value: Decimal | int) -> str:
    """A coordinate with two places."""
    return f"{Decimal(value):.2f}"
