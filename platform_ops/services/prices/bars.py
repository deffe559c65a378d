"""Bars of a minute, an hour and a business day, from the ticks that made the price.

They are kept up by the intake, in its transaction, and can be rebuilt from the tick store at any time (`rebuild_bars`).
The price of a bar is the bid, as on every MetaTrader chart; the last ask stands beside it, for the closing price.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import connection, transaction
from psycopg2.extras import execute_values

from backoffice.kernel.business_day import business_day_of, day_bounds
from platform_ops.models import PriceBar
from platform_ops.rules.bars import bars_of
from platform_ops.rules.price_filter import MINUTE
from platform_ops.rules.price_points import price_of_points
from platform_ops.services.prices import store
from platform_ops.services.prices.sessions import moment

if TYPE_CHECKING:
    from platform_ops.services.prices.intake import JudgedTick

PERIODS = (PriceBar.Period.MINUTE, PriceBar.Period.HOUR, PriceBar.Period.DAY)


@dataclass(slots=True)
class _Bar:
    open: int
    high: int
    low: int
    close: int
    close_ask: int
    at: datetime
    widest: int
    ticks: int = 1

    def add(self, bid: int, ask: int, at: datetime) -> None:
        self.high, self.low = max(self.high, bid), min(self.low, bid)
        self.close, self.close_ask, self.at = bid, ask, at
        self.widest = max(self.widest, ask - bid)
        self.ticks += 1


def opening_of(period: str, at: datetime) -> datetime:
    """When the bar that holds a moment opens: the UTC minute or hour, or 17:00 New York of the day before."""
    if period == PriceBar.Period.DAY:
        return day_bounds(business_day_of(at))[0]
    moment = at.astimezone(UTC).replace(second=0, microsecond=0)
    return moment if period == PriceBar.Period.MINUTE else moment.replace(minute=0)


def add_ticks(ticks: Sequence[JudgedTick]) -> int:
    """Adds leading ticks, in the order of time, to the bars; how many bars they belong to. In the caller's transaction."""
    rows = _collect((tick.symbol_id, tick.at, tick.bid, tick.ask, tick.digits) for tick in ticks)
    _write(rows)
    return len(rows)


@transaction.atomic
def rebuild_bars(*, symbol_id: int, day: date) -> int:
    """Makes the bars of a symbol's business day anew from the stored ticks; how many there are now.

    Where no tick of the day is stored any more, the bars stay as they are: what was pruned cannot be rebuilt.
    """
    start, end = day_bounds(day)
    leading = store.read_frame(symbol_id=symbol_id, start=start, end=end)
    leading = leading.filter(leading["is_leading"])
    if not len(leading):
        return 0
    digits = int(leading["digits"].max())  # type: ignore[arg-type]  # a column of whole numbers
    finer = 10 ** (digits - leading["digits"].to_numpy().astype(np.int64))
    at = leading["at"].to_physical().to_numpy()
    bid, ask = leading["bid"].to_numpy() * finer, leading["ask"].to_numpy() * finer
    rows: Rows = {}
    # A day is one bar from its first tick to its last, whatever its length.
    for period, length in ((PERIODS[0], MINUTE), (PERIODS[1], 60 * MINUTE), (PERIODS[2], 2 * int(at[-1]))):
        made = bars_of(at, bid, ask, period=length)
        for place in range(len(made.ticks)):
            bar = _Bar(
                open=int(made.open[place]),
                high=int(made.high[place]),
                low=int(made.low[place]),
                close=int(made.close[place]),
                close_ask=int(made.close_ask[place]),
                at=moment(int(made.closed_by_at[place])),
                widest=int(made.widest_spread[place]),
                ticks=int(made.ticks[place]),
            )
            opens_at = start if period is PERIODS[2] else moment(int(made.opens_at[place]))
            rows[symbol_id, period.value, opens_at] = (bar, digits)
    PriceBar.objects.filter(symbol_id=symbol_id, opens_at__gte=start, opens_at__lt=end).delete()
    _write(rows)
    return len(rows)


Rows = dict[tuple[int, str, datetime], tuple[_Bar, int]]


def _collect(ticks: Iterable[tuple[int, datetime, int, int, int]]) -> Rows:
    found: Rows = {}
    for symbol_id, at, bid, ask, digits in ticks:
        for period in PERIODS:
            key = (symbol_id, period.value, opening_of(period, at))
            if key in found:
                found[key][0].add(bid, ask, at)
            else:
                found[key] = (_Bar(bid, bid, bid, bid, ask, at, ask - bid), digits)
    return found


def _write(bars: Rows) -> None:
    if not bars:
        return
    rows = [_values(key, bar, digits) for key, (bar, digits) in sorted(bars.items())]
    with connection.cursor() as cursor:
        execute_values(cursor.cursor, _UPSERT, rows, page_size=1_000)


def _values(key: tuple[int, str, datetime], bar: _Bar, digits: int) -> tuple[Any, ...]:
    def price(points: int) -> Decimal:
        return price_of_points(points, digits)

    return (
        *key, price(bar.open), price(bar.high), price(bar.low), price(bar.close), price(bar.close_ask), bar.at, bar.ticks,
        price(bar.widest),
    )  # fmt: skip


_UPSERT = """
INSERT INTO platform_ops_pricebar AS bar
    (symbol_id, period, opens_at, open, high, low, close, close_ask, closed_by_at, ticks, widest_spread)
VALUES %s
ON CONFLICT (symbol_id, period, opens_at) DO UPDATE SET
    high = greatest(bar.high, excluded.high), low = least(bar.low, excluded.low),
    close = CASE WHEN excluded.closed_by_at >= bar.closed_by_at THEN excluded.close ELSE bar.close END,
    close_ask = CASE WHEN excluded.closed_by_at >= bar.closed_by_at THEN excluded.close_ask ELSE bar.close_ask END,
    closed_by_at = greatest(bar.closed_by_at, excluded.closed_by_at), ticks = bar.ticks + excluded.ticks,
    widest_spread = greatest(bar.widest_spread, excluded.widest_spread)
"""
