"""Whether a symbol is open, and when that changes: its approved sessions, less the holidays of the calendars it keeps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Q

from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.errors import NotFound
from platform_ops.models import Holiday, MarketCalendar, Symbol, SymbolSpec
from platform_ops.rules import sessions
from platform_ops.rules.sessions import Closure, Span

EDGE = timedelta(days=2)
"""A local day of any zone lies within this much of the same day of any other."""


def is_open(*, symbol_id: int, at: datetime) -> bool:
    """Whether the symbol is traded at a moment. Raises NotFound without a specification."""
    spec = _spec(symbol_id, at)
    return sessions.is_open(
        week=spec.trade_sessions,
        zone=ServerZone.parse(spec.sessions_zone),
        closures=closures_of(symbol_id=symbol_id, start=at, end=at),
        at=at,
    )


def next_change(*, symbol_id: int, at: datetime) -> tuple[bool, datetime | None]:
    """Whether the symbol is open, and when it closes or opens next; None: not within a year."""
    spec = _spec(symbol_id, at)
    return sessions.next_change(
        week=spec.trade_sessions,
        zone=ServerZone.parse(spec.sessions_zone),
        closures=closures_of(symbol_id=symbol_id, start=at, end=at + timedelta(days=sessions.MAX_SPAN_DAYS)),
        at=at,
    )


def next_open(*, symbol_id: int, at: datetime) -> datetime | None:
    """When the symbol opens next; the moment itself while it is open."""
    is_open_now, change = next_change(symbol_id=symbol_id, at=at)
    return at if is_open_now else change


def next_close(*, symbol_id: int, at: datetime) -> datetime | None:
    """When the symbol closes next; the moment itself while it is closed."""
    is_open_now, change = next_change(symbol_id=symbol_id, at=at)
    return change if is_open_now else at


def open_spans(*, symbol_id: int, start: datetime, end: datetime) -> list[Span]:
    """When the symbol is open between two moments, in UTC, by the specification that counts at the start."""
    spec = _spec(symbol_id, start)
    return sessions.open_spans(
        week=spec.trade_sessions,
        zone=ServerZone.parse(spec.sessions_zone),
        closures=closures_of(symbol_id=symbol_id, start=start, end=end),
        start=start,
        end=end,
    )


def closures_of(*, symbol_id: int, start: datetime, end: datetime) -> list[Closure]:
    """The holidays that a symbol keeps around a span of time."""
    symbol = Symbol.objects.filter(pk=symbol_id).first()
    if symbol is None:
        raise NotFound("No such symbol.", symbol_id=symbol_id)
    return closures_by_symbol(symbols=[symbol], start=start, end=end)[symbol_id]


def closures_by_symbol(*, symbols: Sequence[Symbol], start: datetime, end: datetime) -> dict[int, list[Closure]]:
    """The same for many symbols, in three statements."""
    by_group: dict[int, set[int]] = defaultdict(set)
    by_symbol: dict[int, set[int]] = defaultdict(set)
    links = MarketCalendar.groups.through.objects.filter(symbolgroup_id__in={symbol.group_id for symbol in symbols})
    for calendar_id, group_id in links.values_list("marketcalendar_id", "symbolgroup_id"):
        by_group[group_id].add(calendar_id)
    own = MarketCalendar.symbols.through.objects.filter(symbol_id__in=[symbol.pk for symbol in symbols])
    for calendar_id, symbol_id in own.values_list("marketcalendar_id", "symbol_id"):
        by_symbol[symbol_id].add(calendar_id)
    wanted = set().union(*by_group.values(), *by_symbol.values())
    closures: dict[int, list[Closure]] = defaultdict(list)
    holidays = Holiday.objects.select_related("calendar").filter(
        calendar_id__in=wanted, day__range=((start - EDGE).date(), (end + EDGE).date())
    )
    for holiday in holidays:
        closures[holiday.calendar_id].append(closure_of(holiday))
    return {
        symbol.pk: [
            closure
            for calendar_id in sorted(by_group[symbol.group_id] | by_symbol[symbol.pk])
            for closure in closures[calendar_id]
        ]
        for symbol in symbols
    }


def holidays_between(*, symbol_id: int, first: date, last: date) -> dict[date, str]:
    """Days (of each calendar's own clock) on which the symbol is closed all day, with their names."""
    kept = Q(calendar__symbols=symbol_id) | Q(calendar__groups__symbols=symbol_id)
    rows = Holiday.objects.filter(kept, day__range=(first, last), opens_minute__isnull=True)
    return dict(rows.distinct().values_list("day", "name"))


def closure_of(holiday: Holiday) -> Closure:
    """A holiday as the rules know it."""
    minutes = None
    if holiday.opens_minute is not None and holiday.closes_minute is not None:
        minutes = (holiday.opens_minute, holiday.closes_minute)
    return Closure(holiday.day, ZoneInfo(holiday.calendar.zone), holiday.name, minutes)


def _spec(symbol_id: int, at: datetime) -> SymbolSpec:
    spec = SymbolSpec.objects.filter(symbol_id=symbol_id, validity__contains=at).first()
    if spec is None:
        raise NotFound("The symbol has no specification at that time.", symbol_id=symbol_id, at=at.isoformat())
    return spec


def is_open_by(spec: SymbolSpec, closures: Sequence[Closure], at: datetime) -> bool:
    """The same for a specification and holidays that are at hand."""
    return sessions.is_open(
        week=spec.trade_sessions, zone=ServerZone.parse(spec.sessions_zone), closures=closures, at=at
    )
