"""A week of trading hours as a picture: a row a day, in UTC, open spans as bars, now as a line. SVG, no script."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from platform_ops.models import Symbol, SymbolSpec
from platform_ops.rules.sessions import Span
from platform_ops.selectors import sessions

WIDTH, LEFT, RIGHT, ROW, TOP = 736, 86, 24, 24, 20
DAYS = 7
ONE_DAY = timedelta(days=1)


def monday_of(day: date) -> date:
    """The Monday of the day's week."""
    return day - timedelta(days=day.weekday())


def week_drawing(spec: SymbolSpec, symbol: Symbol, now: datetime) -> SafeString:
    """The symbol's hours of this week, holidays taken out."""
    first = monday_of(now.astimezone(UTC).date())
    start = datetime.combine(first, time(), tzinfo=UTC)
    spans = sessions.open_spans(symbol_id=symbol.pk, start=max(start, _lower(spec, start)), end=start + DAYS * ONE_DAY)
    return draw_week(spans, first, now)


def draw_week(spans: Sequence[Span], first: date, now: datetime) -> SafeString:
    """Spans of a week that begins on a Monday, as bars."""
    height = TOP + DAYS * ROW + 4
    hours = format_html_join(
        "",
        '<line class="ses-grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="bo-chart-figure" x="{}" y="12" text-anchor="middle">{}</text>',
        ((x, x, TOP, height - 4, x, f"{hour:02}:00") for hour in range(0, 25, 4) for x in [_x(hour * 60)]),
    )
    rows = format_html_join("", "{}", ((_day(spans, first + index * ONE_DAY, index),) for index in range(DAYS)))
    mark: SafeString | str = ""
    index = (now.astimezone(UTC).date() - first).days
    if 0 <= index < DAYS:
        x = _x(now.astimezone(UTC).hour * 60 + now.astimezone(UTC).minute)
        y = TOP + index * ROW
        mark = format_html('<line class="ses-now" x1="{}" x2="{}" y1="{}" y2="{}"/>', x, x, y, y + ROW)
    return format_html(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="Trading hours of the week from {} in UTC">{}{}{}</svg>',
        WIDTH,
        height,
        first.isoformat(),
        hours,
        rows,
        mark,
    )


def _day(spans: Sequence[Span], day: date, index: int) -> SafeString:
    start = datetime.combine(day, time(), tzinfo=UTC)
    end = start + ONE_DAY
    y = TOP + index * ROW
    bars = []
    for span in spans:
        opens, closes = max(span.start, start), min(span.end or end, end)
        if opens < closes:
            left, right = (_x(int((moment - start).total_seconds() // 60)) for moment in (opens, closes))
            words = f"{opens:%H:%M}-{'24:00' if closes == end else f'{closes:%H:%M}'} UTC"
            bars.append((left, y + 4, max(round(right - left, 1), 1), ROW - 8, words))
    drawn = format_html_join(
        "",
        '<rect class="ses-open" x="{}" y="{}" width="{}" height="{}" rx="3"><title>{}</title></rect>',
        bars,
    )
    return format_html(
        '<text class="bo-chart-label" x="0" y="{}">{}</text><rect class="ses-day" x="{}" y="{}" width="{}" height="{}" rx="3"/>{}',
        y + 16,
        f"{day:%a %d %b}",
        LEFT,
        y + 4,
        WIDTH - LEFT - RIGHT,
        ROW - 8,
        drawn,
    )


def _x(minute: int) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * minute / 1440, 1)


def _lower(spec: SymbolSpec, start: datetime) -> datetime:
    return spec.validity.lower or start
