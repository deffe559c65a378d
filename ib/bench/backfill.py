"""The contest of a backfill: a month of a server's history that arrives at once, against the same trades week by week.

Whoever comes from another system brings the past first. The deals come as text, are taken in and settled to posted
balances; all of it is timed.
"""

# ruff: noqa: S608 -- own text and own numbers
from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from io import StringIO
from typing import Any

from backoffice.core.measuring.bench import Comparison, Contender, Contest
from backoffice.core.measuring.database import SCHEMA, fetch_all, settle_down
from backoffice.kernel import clock
from ib.bench.world import ACTOR, FIRST_TICKET, SYMBOLS, World
from ib.services.settlement import settle_ingest_batch
from platform_ops.services.ingest import ingest_csv

SHARE = 10
"""The history has so many times fewer trades than the world."""
WEEK = 5
"""Business days."""
AT_ONCE, BY_WEEK = "ours, a month of history at once", "ours, the same month week by week"


class _History:
    """Deals that the server did not tell before, the same ones for both contenders but for their tickets."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.trades = max(world.scale.trades // SHARE // len(world.days), 1) * len(world.days)
        self.next_ticket = FIRST_TICKET + 20 * world.scale.trades
        self.texts: list[str] = []
        self.batches: list[int] = []

    def write(self, days_at_once: int) -> None:
        """The server writes its files; each holds so many days."""
        self.texts, self.batches = [], []
        account, symbol = fetch_all(
            "SELECT (SELECT min(id) FROM platform_ops_tradingaccount), (SELECT min(id) FROM platform_ops_serversymbol)"
        )[0]
        days = self.world.days
        for start in range(0, len(days), days_at_once):
            rows = fetch_all(_DEALS, {
                "days": list(days[start : start + days_at_once]), "first_day": start, "each": self.trades // len(days),
                "first": self.next_ticket, "account": account, "clients": self.world.scale.clients, "symbol": symbol,
            })  # fmt: skip
            self.texts.append("".join(f"{row[0]}\n" for row in rows))
        self.next_ticket += self.trades
        settle_down()

    def take_in(self) -> None:
        """Every file becomes a batch, and is settled before the next one is read."""
        for text in self.texts:
            batch = ingest_csv(server_id=self.world.server_id, source="bench", stream=StringIO(text), as_of=clock.now())
            self.batches.append(int(batch.pk))
            settle_ingest_batch(ingest_batch_id=int(batch.pk), actor=ACTOR)

    def checksums(self) -> Mapping[str, Any]:
        """What the history earns: lines, their sum, and one that changes when an amount moves to another partner or day."""
        rows: list[tuple[int, Decimal, Decimal]] = fetch_all(_EARNED, {"batches": self.batches})
        return {"what the history earns": rows[0]}


def backfill(world: World) -> Contest:
    """The contest; the world has more trades afterwards."""
    history = _History(world)
    return Contest(
        "backfill",
        "trades",
        [
            Contender(BY_WEEK, history.take_in, history.trades, prepare=lambda: history.write(WEEK),
                      checksums=history.checksums),
            Contender(AT_ONCE, history.take_in, history.trades, prepare=lambda: history.write(len(world.days)),
                      checksums=history.checksums),
        ],
        [Comparison("backfill: a month of history at once", AT_ONCE, BY_WEEK, target=1.25)],
        rounds=1,
    )  # fmt: skip


# In the order of the staging table's columns, as the deals of the world. What chances decide hangs on the number of the
# deal in the month, not on its ticket, so that both contenders bring the same trades.
_DEALS = f"""
SELECT concat_ws(',', %(first)s::bigint + deal.number, 0, '', '',
    %(account)s + floor(%(clients)s * {SCHEMA}.chance(deal.number, 61))::bigint, 1, 1, %(first)s::bigint + deal.number, 0,
    (SELECT name FROM platform_ops_serversymbol WHERE id = %(symbol)s + deal.number %% {SYMBOLS}),
    0.1 + (deal.number %% 40) * 0.05, 1.1,
    deal.day::timestamp AT TIME ZONE 'UTC' + make_interval(secs => floor(72000 * {SCHEMA}.chance(deal.number, 62))),
    1.09, deal.day::timestamp AT TIME ZONE 'UTC' - interval '1 day', (deal.number %% 100) - 40, 0, 0, 0, '')
FROM (
    SELECT day, (%(first_day)s + place - 1) * %(each)s::bigint + within AS number
    FROM unnest(%(days)s::date[]) WITH ORDINALITY AS asked (day, place), generate_series(0, %(each)s::bigint - 1) AS within
) AS deal
"""

_EARNED = """
SELECT count(*), coalesce(sum(amount), 0), coalesce(sum(amount * (partner_id %% 997) * extract(day FROM day)), 0)
FROM ib_commissionline
WHERE batch_id = ANY(ARRAY(SELECT id FROM ib_settlementbatch WHERE ingest_batch_id = ANY(%(batches)s)))
"""
