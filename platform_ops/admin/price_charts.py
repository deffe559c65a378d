"""Charts of ticks and bars as plain SVG: kept prices as lines, rejected ones as marks that tell their reason.

What lies far outside of the kept prices would flatten them to a line, so it is drawn at the edge, as an arrow with its
price. Colours come from the stylesheet; every chart has its content in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.kernel.ids import uuid7
from platform_ops.models import PriceBar

WIDEST_BODY = 14.0
WIDTH, HEIGHT = 960, 300
LEFT, RIGHT, TOP, BOTTOM = 12, 78, 14, 26
LINES = 4
SOURCE_COLOURS = 6


@dataclass(frozen=True, slots=True)
class Mark:
    """A tick on the chart. `tone` is empty for one that is kept, else `bad` (rejected), `new` (a draft would reject it) or
    `back` (a draft would keep it); `words` say why."""

    at: datetime
    bid: Decimal
    ask: Decimal
    source: str
    tone: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class _Scale:
    start: datetime
    seconds: float
    low: Decimal
    high: Decimal

    def x(self, at: datetime) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (at - self.start).total_seconds() / self.seconds

    def y(self, price: Decimal) -> float:
        return TOP + float((self.high - price) / (self.high - self.low)) * (HEIGHT - TOP - BOTTOM)

    def holds(self, price: Decimal) -> bool:
        return self.low <= price <= self.high


def tick_chart(marks: Sequence[Mark], *, title: str, digits: int) -> SafeString:
    """Ticks over time: the bid and ask of each source as lines, marks for what was rejected. Nothing for no ticks."""
    if not marks:
        return SafeString("")
    scale = _scale(marks, digits)
    codes = sorted({mark.source for mark in marks})
    lines = [
        _line(scale, [m for m in marks if m.source == code and m.tone in ("", "new")], place)
        for place, code in enumerate(codes)
    ]
    crosses = [_cross(scale, mark, digits) for mark in marks if mark.tone]
    rejected = sum(mark.tone in ("bad", "new") for mark in marks)
    words = f"{len(marks)} ticks of {', '.join(codes)}; {rejected} rejected."
    legend = format_html_join(
        "",
        '<li class="px-key px-source-{}">{}</li>',
        ((place % SOURCE_COLOURS, code) for place, code in enumerate(codes)),
    )
    tones = {mark.tone for mark in marks}
    legend += format_html_join(
        "",
        '<li class="px-key px-key-{}">{}</li>',
        (
            (tone, name)
            for tone, name in (("bad", "rejected"), ("new", "newly rejected"), ("back", "newly kept"))
            if tone in tones
        ),
    )
    return _svg(
        title, words, format_html_join("", "{}", ((part,) for part in (_grid(scale, digits), *lines, *crosses))), legend
    )


def candle_chart(bars: Sequence[PriceBar], *, title: str, digits: int) -> SafeString:
    """Bars in the order of time as candles, evenly spaced: sessions that are closed take no room."""
    if not bars:
        return SafeString("")
    low, high = min(bar.low for bar in bars), max(bar.high for bar in bars)
    scale = _Scale(bars[0].opens_at, 1.0, *_room(low, high, digits))
    step = (WIDTH - LEFT - RIGHT) / len(bars)
    body = min(WIDEST_BODY, max(1.0, step * 0.66))
    drawn = []
    for place, bar in enumerate(bars):
        middle = LEFT + step * (place + 0.5)
        top, bottom = scale.y(max(bar.open, bar.close)), scale.y(min(bar.open, bar.close))
        drawn.append(
            (
                "px-up" if bar.close >= bar.open else "px-down",
                f"{bar.opens_at:%Y-%m-%d %H:%M} UTC: open {bar.open:f}, high {bar.high:f}, low {bar.low:f}, close"
                f" {bar.close:f}, {bar.ticks} ticks",
                f"{middle:.1f}", f"{scale.y(bar.high):.1f}", f"{scale.y(bar.low):.1f}",
                f"{middle - body / 2:.1f}", f"{top:.1f}", f"{body:.1f}", f"{max(1.0, bottom - top):.1f}",
            )
        )  # fmt: skip
    candles = format_html_join(
        "",
        '<g class="{}"><title>{}</title><line x1="{}" x2="{}" y1="{}" y2="{}"></line>'
        '<rect x="{}" y="{}" width="{}" height="{}"></rect></g>',
        (
            (tone, words, x, x, y1, y2, left, top, width, height)
            for tone, words, x, y1, y2, left, top, width, height in drawn
        ),
    )
    ends = _times([(LEFT, bars[0].opens_at, "start"), (WIDTH - RIGHT, bars[-1].opens_at, "end")], with_day=True)
    words = f"{len(bars)} bars from {bars[0].opens_at:%Y-%m-%d %H:%M} to {bars[-1].opens_at:%Y-%m-%d %H:%M} UTC."
    return _svg(title, words, _prices(scale, digits) + ends + candles, SafeString(""))


def _scale(marks: Sequence[Mark], digits: int) -> _Scale:
    kept = [mark for mark in marks if mark.tone in ("", "back")] or list(marks)
    low, high = _room(min(m.bid for m in kept), max(m.ask for m in kept), digits)
    # A rejected tick close by is shown where it is; one far off only at the edge.
    reach = (high - low) * 2
    for mark in marks:
        if mark.tone and mark.bid >= low - reach and mark.ask <= high + reach:
            low, high = min(low, mark.bid), max(high, mark.ask)
    start, end = min(m.at for m in marks), max(m.at for m in marks)
    return _Scale(start, max((end - start).total_seconds(), 0.001), low, high)


def _room(low: Decimal, high: Decimal, digits: int) -> tuple[Decimal, Decimal]:
    edge = max((high - low) / 12, Decimal(2).scaleb(-digits))
    return low - edge, high + edge


def _line(scale: _Scale, marks: Sequence[Mark], place: int) -> SafeString:
    """The bid and ask of a source as steps: a price holds until the next one."""
    if not marks:
        return SafeString("")
    paths = []
    for side in ("bid", "ask"):
        parts, before = [], None
        for mark in marks:
            price = max(min(getattr(mark, side), scale.high), scale.low)
            x, y = f"{scale.x(mark.at):.1f}", f"{scale.y(price):.1f}"
            parts.append(f"M{x} {y}" if before is None else f"H{x}V{y}")
            before = y
        paths.append((f"px-line px-{side} px-source-{place % SOURCE_COLOURS}", "".join(parts)))
    return format_html_join("", '<path class="{}" d="{}"></path>', paths)


def _cross(scale: _Scale, mark: Mark, digits: int) -> SafeString:
    """A rejected tick: a cross at its bid, or an arrow at the edge with its price."""
    x = scale.x(mark.at)
    told = f"{mark.at:%H:%M:%S.%f} {mark.source} {mark.bid:f} / {mark.ask:f}: {mark.words}"
    if scale.holds(mark.bid):
        y = scale.y(mark.bid)
        shape = f"M{x - 4:.1f} {y - 4:.1f}L{x + 4:.1f} {y + 4:.1f}M{x - 4:.1f} {y + 4:.1f}L{x + 4:.1f} {y - 4:.1f}"
        return format_html('<path class="px-mark px-{}" d="{}"><title>{}</title></path>', mark.tone, shape, told)
    is_above = mark.bid > scale.high
    tip = TOP + 1 if is_above else HEIGHT - BOTTOM - 1
    base = tip + 8 if is_above else tip - 8
    shape = f"M{x - 5:.1f} {base}L{x:.1f} {tip}L{x + 5:.1f} {base}Z"
    return format_html('<path class="px-arrow px-{}" d="{}"><title>{}</title></path>', mark.tone, shape, told)


def _grid(scale: _Scale, digits: int) -> SafeString:
    from datetime import timedelta

    places = [(LEFT, 0.0, "start"), ((LEFT + WIDTH - RIGHT) // 2, 0.5, "middle"), (WIDTH - RIGHT, 1.0, "end")]
    with_day = scale.seconds > 86_400
    return _prices(scale, digits) + _times(
        [(x, scale.start + timedelta(seconds=scale.seconds * share), anchor) for x, share, anchor in places],
        with_day=with_day,
        exactly=scale.seconds < 600,
    )


def _prices(scale: _Scale, digits: int) -> SafeString:
    rows = []
    for step in range(LINES + 1):
        price = scale.low + (scale.high - scale.low) * step / LINES
        y = scale.y(price)
        rows.append(
            (LEFT, WIDTH - RIGHT, f"{y:.1f}", f"{y:.1f}", WIDTH - RIGHT + 8, f"{y + 4:.1f}", f"{price:.{digits}f}")
        )
    return format_html_join(
        "",
        '<line class="px-grid" x1="{}" x2="{}" y1="{}" y2="{}"></line><text class="px-label" x="{}" y="{}">{}</text>',
        rows,
    )


def _times(
    places: Sequence[tuple[float, datetime, str]], *, with_day: bool = False, exactly: bool = False
) -> SafeString:
    form = "%Y-%m-%d %H:%M" if with_day else "%H:%M:%S" if exactly else "%H:%M"
    return format_html_join(
        "",
        '<text class="px-label" x="{}" y="{}" text-anchor="{}">{}</text>',
        ((x, HEIGHT - 8, anchor, f"{at.strftime(form)} UTC") for x, at, anchor in places),
    )


def _svg(title: str, words: str, body: SafeString, legend: SafeString) -> SafeString:
    key = f"px-{uuid7().hex[-12:]}"
    return format_html(
        '<figure class="px-figure"><svg class="px-chart" viewBox="0 0 {} {}" role="img" aria-labelledby="{}-t {}-d">'
        '<title id="{}-t">{}</title><desc id="{}-d">{}</desc>{}</svg>{}</figure>',
        WIDTH, HEIGHT, key, key, key, title, key, words, body,
        format_html('<ul class="px-legend">{}</ul>', legend) if legend else "",
    )  # fmt: skip
