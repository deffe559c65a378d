"""When a symbol may have quotes: the boundaries of its sessions, for the filter and for the watch over silent feeds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from backoffice.kernel.business_day import CLOSING_TIME, NEW_YORK
from platform_ops.models import Symbol
from platform_ops.rules.price_filter import NO_SESSION, session_of

_WEEK = timedelta(days=7)
_SUNDAY, _FRIDAY = 6, 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAXIMUM_WEEKS = 600


def microseconds(at: datetime) -> int:
    """An instant as whole microseconds since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(at: int) -> datetime:
    """The instant of so many microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=at)


def boundaries_of(symbol: Symbol, *, start: datetime, end: datetime) -> list[int] | None:
    """Openings and closings of a symbol's sessions around a time, in turn, in microseconds; None when it never closes.

    Crypto trades on weekends. Everything else is quoted from Sunday to Friday 17:00 New York.
    """
    if symbol.asset_class == Symbol.AssetClass.CRYPTO:
        return None
    local = (start - _WEEK).astimezone(NEW_YORK)
    sunday = local.date() - timedelta(days=(local.weekday() + 1) % 7)
    found: list[int] = []
    for _ in range(MAXIMUM_WEEKS):
        opens, closes = sunday, sunday + timedelta(days=5)
        found += [microseconds(datetime.combine(day, CLOSING_TIME, tzinfo=NEW_YORK)) for day in (opens, closes)]
        if found[-2] > microseconds(end):
            break
        sunday += _WEEK
    return found


def session_at(boundaries: list[int] | None, at: int) -> int:
    """What tells the session of an instant apart, -1 outside of all."""
    return 0 if boundaries is None else session_of(at, boundaries)


def session_columns(symbol: Symbol, at: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """`session_at` of a column of instants; None when the symbol never closes."""
    if not len(at):
        return None
    boundaries = boundaries_of(symbol, start=moment(int(at.min())), end=moment(int(at.max())))
    if boundaries is None:
        return None
    edges = np.array(boundaries, dtype=np.int64)
    before = np.searchsorted(edges, at, side="right")
    return np.where(before % 2 == 1, edges[np.maximum(before - 1, 0)], NO_SESSION)


def is_quoted(symbol: Symbol, at: datetime) -> bool:
    """Whether a symbol may have quotes at a moment."""
    boundaries = boundaries_of(symbol, start=at, end=at)
    return session_at(boundaries, microseconds(at)) != NO_SESSION


def in_session_since(symbol: Symbol, at: datetime) -> datetime | None:
    """Since when the session of a moment runs; None outside of all, and the epoch where there is no break."""
    boundaries = boundaries_of(symbol, start=at, end=at)
    session = session_at(boundaries, microseconds(at))
    return None if session == NO_SESSION else moment(session)


__all__ = ["boundaries_of", "in_session_since", "is_quoted", "microseconds", "moment", "session_at", "session_columns"]
