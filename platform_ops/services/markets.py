"""The market beside each deal: what a source told of it is kept, and a later word on it is one more revision.

The caller holds the server's lock and has booked the deals of the same load.
"""

# ruff: noqa: S608 -- the SQL is built from constants of this module
from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from django.db import connection

from backoffice.core.services import outbox
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from platform_ops.events import MARKETS_CHANGED
from platform_ops.services.staging import MARKETS

_CONTRADICTION = f"""
SELECT ticket FROM (SELECT DISTINCT * FROM {MARKETS}) told GROUP BY ticket, leg HAVING count(*) > 1 LIMIT 1
"""

# What a source leaves out it does not deny, save of a market that was only a tick's. A source that speaks of an earlier
# moment than what is known changes nothing. `was_known`: the deal stood in the books before this load.
_MERGE = f"""
WITH told AS MATERIALIZED (SELECT DISTINCT * FROM {MARKETS}),
weighed AS MATERIALIZED (
    SELECT told.ticket, told.leg, coalesce(known.revision + 1, 0) AS revision, known.revision IS NULL AS is_new,
           coalesce(told.market_bid, CASE known.source WHEN 0 THEN known.bid END) AS bid,
           coalesce(told.market_ask, CASE known.source WHEN 0 THEN known.ask END) AS ask,
           coalesce(told.gateway_price, CASE known.source WHEN 0 THEN known.gateway_price END) AS gateway_price,
           known.source, known.bid AS known_bid, known.ask AS known_ask, known.gateway_price AS known_gateway_price,
           deal.account_id, deal.position_ticket, deal.batch_id <> %(batch)s AS was_known
      FROM told
      JOIN platform_ops_currentdeal AS deal
        ON deal.server_id = %(server)s AND deal.ticket = told.ticket AND deal.leg = told.leg
      LEFT JOIN platform_ops_currentdealmarket AS known
        ON known.server_id = %(server)s AND known.ticket = told.ticket AND known.leg = told.leg
     WHERE known.revision IS NULL OR known.source <> 0 OR known.stated_as_of <= %(as_of)s
),
fresh AS MATERIALIZED (
    SELECT * FROM weighed
     WHERE is_new OR source <> 0
        OR (bid, ask, gateway_price) IS DISTINCT FROM (known_bid, known_ask, known_gateway_price)
),
written AS (
    INSERT INTO platform_ops_dealmarket
           (server_id, ticket, leg, revision, source, bid, ask, gateway_price, stated_as_of, recorded_at)
    SELECT %(server)s, ticket, leg, revision, 0, bid, ask, gateway_price, %(as_of)s, %(now)s FROM fresh
)
SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new),
       array_agg(ARRAY[ticket, leg]) FILTER (WHERE was_known)
  FROM fresh
"""

# The days of the trades that these deals opened or closed.
_DAYS = """
SELECT DISTINCT trade.business_day
  FROM unnest(%(tickets)s::bigint[], %(legs)s::smallint[]) AS told(ticket, leg)
  JOIN platform_ops_currentdeal AS deal
    ON deal.server_id = %(server)s AND deal.ticket = told.ticket AND deal.leg = told.leg
  JOIN platform_ops_trade AS trade
    ON trade.account_id = deal.account_id
   AND ((trade.ticket = deal.ticket AND trade.server_id = %(server)s)
        OR (deal.position_ticket <> 0 AND trade.position_ticket = deal.position_ticket))
 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class MarketsMerged:
    """How many deals got a market, how many another one than was known, and the days of older trades that concerns."""

    new: int = 0
    corrected: int = 0
    days: tuple[date, ...] = ()


def merge_markets(*, server_id: int, batch_id: int, as_of: datetime) -> MarketsMerged:
    """Keeps the staged markets of deals that are booked, and tells the other desks where older trades get another one.

    Raises InvalidInput when a batch tells two markets of one deal.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT FROM {MARKETS})")
        if not cursor.fetchone()[0]:
            return MarketsMerged()
        cursor.execute(_CONTRADICTION)
        if contradiction := cursor.fetchone():
            raise InvalidInput(
                f"Ticket {contradiction[0]} stands in the batch twice with different market prices.",
                field="market_bid",
                value=contradiction[0],
                ticket=contradiction[0],
            )
        values: dict[str, int | datetime | None] = {
            "server": server_id,
            "batch": batch_id,
            "as_of": as_of,
            "now": clock.now(),
        }
        cursor.execute(_MERGE, values)
        new, corrected, older = cursor.fetchone()
    days = days_of_deals(server_id=server_id, deals=[(ticket, leg) for ticket, leg in older or ()])
    tell_of_markets(server_id=server_id, days=days)
    return MarketsMerged(new=int(new), corrected=int(corrected), days=days)


def days_of_deals(*, server_id: int, deals: list[tuple[int, int]]) -> tuple[date, ...]:
    """The business days of the trades that the deals, named by (ticket, leg), opened or closed."""
    if not deals:
        return ()
    with connection.cursor() as cursor:
        cursor.execute(
            _DAYS,
            {"server": server_id, "tickets": [ticket for ticket, _ in deals], "legs": [leg for _, leg in deals]},
        )
        return tuple(day for (day,) in cursor.fetchall())


def tell_of_markets(*, server_id: int, days: tuple[date, ...]) -> None:
    """Tells the other desks that trades of these days have another market than before."""
    if days:
        outbox.publish(
            topic=MARKETS_CHANGED,
            payload={"server_id": server_id, "days": [day.isoformat() for day in days]},
            shard_key=f"server:{server_id}",
        )
