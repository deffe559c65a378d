"""Where a server told no market beside a deal, the last accepted tick before it stands in, if it is young enough.

Works on the deals of a batch's trades, after the batch was booked: reading the tick store must not slow a load down. What is
found is kept beside the deal, marked as a tick's, with the tick's time; a server's later word comes before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from backoffice.core.models import OutboxEvent
from backoffice.kernel import clock
from platform_ops.locks import lock_server
from platform_ops.models import BufferedTick, DealMarket, TickFile
from platform_ops.rules.price_filter import Verdict
from platform_ops.rules.price_points import price_of_points
from platform_ops.services.markets import days_of_deals, tell_of_markets
from platform_ops.services.prices.store import read_rows

LONGEST_AGE = timedelta(seconds=60)
"""An older tick says nothing of the market at a deal."""
MAXIMUM_DEALS = 20_000
"""Deals of one batch that are looked up; a larger batch is history, whose markets come with it or not at all."""

# The closing deals of the batch's trades (with an MT4 ticket's own opening), and what opened the positions they closed.
_WITHOUT_MARKET = """
WITH deal AS (
    SELECT deal.server_id, deal.ticket, deal.leg, deal.at, deal.server_symbol_id
      FROM platform_ops_trade AS trade
      JOIN platform_ops_currentdeal AS deal ON deal.server_id = trade.server_id AND deal.ticket = trade.ticket
     WHERE trade.batch_id = %(batch)s AND deal.kind IN (0, 1) AND deal.entry IS NOT NULL
    UNION
    SELECT deal.server_id, deal.ticket, deal.leg, deal.at, deal.server_symbol_id
      FROM platform_ops_trade AS trade
      JOIN platform_ops_currentdeal AS deal
        ON deal.account_id = trade.account_id AND deal.position_ticket = trade.position_ticket
     WHERE trade.batch_id = %(batch)s AND trade.leg = 0 AND trade.position_ticket <> 0
       AND deal.kind IN (0, 1) AND deal.entry IN (0, 2)
)
SELECT deal.ticket, deal.leg, deal.at, symbol.symbol_id
  FROM deal
  JOIN platform_ops_serversymbol AS symbol ON symbol.id = deal.server_symbol_id
 WHERE symbol.symbol_id = ANY(%(symbols)s)
   AND NOT EXISTS (SELECT FROM platform_ops_dealmarket AS known
                    WHERE known.server_id = deal.server_id AND known.ticket = deal.ticket AND known.leg = deal.leg)
 ORDER BY symbol.symbol_id, deal.at
 LIMIT %(limit)s
"""

Missing = tuple[int, int, datetime]
"""Ticket, leg and time of a deal without a market."""


def on_trades_changed(payload: dict[str, Any], event: OutboxEvent) -> None:
    """Looks the markets of a booked batch up."""
    fill_markets(server_id=int(payload["server_id"]), batch_id=int(payload["batch_id"]))


def fill_markets(*, server_id: int, batch_id: int) -> int:
    """Keeps the last accepted tick beside each deal of the batch's trades that has no market; how many it found.

    A second run finds nothing left to do.
    """
    symbols = set(TickFile.objects.values_list("symbol_id", flat=True).distinct())
    symbols |= set(BufferedTick.objects.values_list("symbol_id", flat=True).distinct())
    if not symbols:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_WITHOUT_MARKET, {"batch": batch_id, "symbols": sorted(symbols), "limit": MAXIMUM_DEALS + 1})
        rows = cursor.fetchall()
    if len(rows) > MAXIMUM_DEALS:
        return 0
    by_day: dict[tuple[int, date], list[Missing]] = defaultdict(list)
    for ticket, leg, at, symbol_id in rows:
        by_day[symbol_id, at.date()].append((ticket, leg, at))
    found = [market for (symbol_id, _), deals in by_day.items() for market in _found(server_id, symbol_id, deals)]
    if not found:
        return 0
    with transaction.atomic():
        lock_server(server_id)
        DealMarket.objects.bulk_create(found, ignore_conflicts=True)
        deals = [(market.ticket, market.leg) for market in found]
        tell_of_markets(server_id=server_id, days=days_of_deals(server_id=server_id, deals=deals))
    return len(found)


def _found(server_id: int, symbol_id: int, deals: Sequence[Missing]) -> Iterator[DealMarket]:
    """The deals of a symbol and day for which there is a tick."""
    first, last = deals[0][2] - LONGEST_AGE, deals[-1][2] + timedelta(microseconds=1)
    ticks = [
        (at, price_of_points(bid, digits), price_of_points(ask, digits))
        for at, _, _, bid, ask, digits, verdict, is_leading, _ in read_rows(symbol_id=symbol_id, start=first, end=last)
        if is_leading and verdict in (Verdict.ACCEPTED, Verdict.REPEATED) and bid and ask
    ]
    times = [at for at, _, _ in ticks]
    for ticket, leg, at in deals:
        place = bisect_right(times, at) - 1
        if place < 0 or at - times[place] > LONGEST_AGE:
            continue
        quoted_at, bid, ask = ticks[place]
        yield _market(server_id, ticket, leg, quoted_at, bid, ask)


def _market(server_id: int, ticket: int, leg: int, quoted_at: datetime, bid: Decimal, ask: Decimal) -> DealMarket:
    return DealMarket(
        server_id=server_id,
        ticket=ticket,
        leg=leg,
        source=DealMarket.Source.TICK,
        bid=bid,
        ask=ask,
        quoted_at=quoted_at,
        stated_as_of=quoted_at,
        recorded_at=clock.now(),
    )
