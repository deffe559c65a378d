"""When a symbol may have quotes: its approved sessions of quotes less the holidays it keeps, as the filter reads them.

The boundaries are instants in microseconds, openings and closings in turn. A session is told by its opening; one that
began before the time that was looked at is told by 0, so that it is the same one whenever one looks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from backoffice.kernel import clock
from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.errors import InvalidInput
from platform_ops.models import Symbol, SymbolSpec
from platform_ops.rules import sessions
from platform_ops.rules.price_filter import NO_SESSION, session_of
from platform_ops.rules.sessions import Closure
from platform_ops.selectors.sessions import closures_by_symbol

LOOK_BACK = timedelta(days=16)
"""No market rests for so long: within it every session that is not endless has its opening."""
LOOK_AHEAD = timedelta(days=2)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_DAY = timedelta(days=1)

Boundaries = Sequence[int]


def microseconds(at: datetime) -> int:
    """An instant as whole microseconds since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(at: int) -> datetime:
    """The instant of so many microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=at)


def boundaries_by_symbol(*, symbols: Sequence[Symbol], start: datetime, end: datetime) -> dict[int, Boundaries]:
    """Openings and closings of each symbol's sessions around a time, in four statements. A symbol without a specification
    now has no sessions. Raises InvalidInput for more than about a year."""
    if end - start > timedelta(days=sessions.MAX_SPAN_DAYS) - LOOK_BACK - LOOK_AHEAD - 2 * _ONE_DAY:
        raise InvalidInput("Sessions are laid out for about a year at most.", field="end")
    first = _midnight(start - LOOK_BACK)
    last = _midnight(end + LOOK_AHEAD)
    closures = closures_by_symbol(symbols=symbols, start=first, end=last)
    specs = SymbolSpec.objects.filter(symbol__in=[symbol.pk for symbol in symbols], validity__contains=clock.now())
    found: dict[int, Boundaries] = {symbol.pk: () for symbol in symbols}
    for spec in specs.only("symbol_id", "quote_sessions", "sessions_zone"):
        week = json.dumps(spec.quote_sessions)
        found[spec.symbol_id] = _lay_out(week, spec.sessions_zone, tuple(closures[spec.symbol_id]), first, last)
    return found


def boundaries_of(symbol: Symbol, *, start: datetime, end: datetime) -> Boundaries:
    """The same for one symbol."""
    return boundaries_by_symbol(symbols=[symbol], start=start, end=end)[symbol.pk]


@lru_cache(maxsize=512)
def _lay_out(week: str, zone: str, closures: tuple[Closure, ...], first: datetime, last: datetime) -> Boundaries:
    spans = sessions.open_spans(
        week=json.loads(week), zone=ServerZone.parse(zone), closures=closures, start=first, end=last
    )
    found: list[int] = []
    for span in spans:
        # What touches both edges goes on beyond them.
        opens = 0 if span.start <= first else microseconds(span.start)
        closes = microseconds(last if span.end is None else span.end)
        if found and found[-1] == opens:
            found[-1] = closes
        else:
            found += [opens, closes]
    return tuple(found)


def session_at(boundaries: Boundaries, at: int) -> int:
    """What tells the session of an instant apart, -1 outside of all."""
    return session_of(at, boundaries)


def session_columns(symbol: Symbol, at: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """`session_at` of a column of instants; None for no instants."""
    if not len(at):
        return None
    boundaries = boundaries_of(symbol, start=moment(int(at.min())), end=moment(int(at.max())))
    edges = np.array(boundaries, dtype=np.int64)
    if not len(edges):
        return np.full(len(at), NO_SESSION, dtype=np.int64)
    before = np.searchsorted(edges, at, side="right")
    return np.where(before % 2 == 1, edges[np.maximum(before - 1, 0)], NO_SESSION)


def opened_since(boundaries: Boundaries, at: datetime) -> datetime | None:
    """Since when the session of a moment runs; None outside of all, 1970 for one that has no opening in sight."""
    session = session_at(boundaries, microseconds(at))
    return None if session == NO_SESSION else moment(session)


def is_quoted(symbol: Symbol, at: datetime) -> bool:
    """Whether a symbol may have quotes at a moment."""
    return opened_since(boundaries_of(symbol, start=at, end=at), at) is not None


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
