"""What ranks look at: lots, active traders and deposits of many partners at once, of own clients and of everybody below."""

# ruff: noqa: S608 -- the SQL is built from constants of this module
from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connection

from backoffice.kernel.decimals import EXACT, round_decimal
from backoffice.kernel.errors import MissingRate
from ib.engine.period_facts import MAXIMUM_DEPTH, VALID_EVENT, rates

MONEY_DECIMALS = 8

# Whose clients count for whom, and when. The path cuts circles; a client with a rebate counts as no level.
_PLACED = f"""
below AS (
    SELECT self.id AS root_id, self.id AS partner_id, (self.kind <> 'trader')::int AS level,
           tstzrange(NULL, NULL) AS validity, ARRAY[self.id] AS path
    FROM ib_partner AS self WHERE self.id = ANY(%(partners)s)
    UNION ALL
    SELECT below.root_id, edge.child_id, below.level + (child.kind <> 'trader')::int, below.validity * edge.validity,
           below.path || edge.child_id
    FROM below
    JOIN ib_partneredge AS edge ON edge.parent_id = below.partner_id AND edge.validity && below.validity
    JOIN ib_partner AS child ON child.id = edge.child_id
    WHERE below.level < {MAXIMUM_DEPTH} AND edge.child_id <> ALL(below.path)
),
placed AS MATERIALIZED (
    SELECT below.root_id, referral.client_id, below.level, below.validity * referral.validity AS validity
    FROM below
    JOIN ib_clientreferral AS referral
      ON referral.partner_id = below.partner_id AND referral.validity && below.validity
)
"""

_ACTIVITY = f"""
WITH RECURSIVE {_PLACED}
SELECT placed.root_id, coalesce(sum(t.volume_lots) FILTER (WHERE placed.level <= 1), 0), sum(t.volume_lots),
       count(DISTINCT placed.client_id) FILTER (WHERE placed.level <= 1), count(DISTINCT placed.client_id)
FROM placed
JOIN platform_ops_tradingaccount AS account ON account.client_id = placed.client_id AND NOT account.is_demo
JOIN platform_ops_trade AS t ON t.account_id = account.id AND placed.validity @> t.closed_at
WHERE NOT t.is_cancelled AND t.volume_lots > 0 AND t.business_day BETWEEN %(first)s AND %(last)s
GROUP BY placed.root_id
"""

_DEPOSITS = f"""
WITH RECURSIVE {_PLACED}
SELECT placed.root_id, placed.level <= 1, event.day, event.currency,
       sum(CASE WHEN event.kind = 'deposit' THEN event.amount ELSE -event.amount END)
FROM placed
JOIN ib_clientevent AS event ON event.client_id = placed.client_id AND placed.validity @> event.at
WHERE event.kind IN ('deposit', 'refund', 'chargeback') AND event.day BETWEEN %(first)s AND %(last)s AND {VALID_EVENT}
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
"""


@dataclass(frozen=True, slots=True)
class RankFacts:
    """What was reached by (partner, scope): lots, active traders, and deposits by currency of the condition."""

    lots: dict[tuple[int, str], Decimal]
    active_clients: dict[tuple[int, str], Decimal]
    deposits: dict[tuple[int, str, str], Decimal]


def read_rank_facts(
    *, partner_ids: Sequence[int], first: date, last: date, currencies: Collection[str] = ()
) -> RankFacts:
    """The figures of the days. Deposits, less what was refunded or charged back, are converted into every currency asked
    for by the reference rates of their days. Raises MissingRate."""
    parameters: dict[str, Any] = {"partners": list(partner_ids), "first": first, "last": last}
    lots, clients = dict[tuple[int, str], Decimal](), dict[tuple[int, str], Decimal]()
    with connection.cursor() as cursor:
        cursor.execute(_ACTIVITY, parameters)
        for partner_id, own_lots, team_lots, own_clients, team_clients in cursor.fetchall():
            lots[partner_id, "own"], lots[partner_id, "team"] = own_lots, team_lots
            clients[partner_id, "own"], clients[partner_id, "team"] = Decimal(own_clients), Decimal(team_clients)
    return RankFacts(lots, clients, _deposits(parameters, currencies) if currencies else {})


def _deposits(parameters: dict[str, Any], currencies: Collection[str]) -> dict[tuple[int, str, str], Decimal]:
    with connection.cursor() as cursor:
        cursor.execute(_DEPOSITS, parameters)
        rows = cursor.fetchall()
    found = rates((day, given, into) for _, _, day, given, _ in rows for into in currencies)
    sums: dict[tuple[int, str, str], Decimal] = defaultdict(Decimal)
    for partner_id, is_own, day, given, amount in rows:
        for into in currencies:
            rate, _ = found[day, given, into]
            if rate is None:
                raise MissingRate(
                    f"No reference rate from {given} to {into} on {day}.", day=day.isoformat(), base=given, quote=into
                )
            worth = round_decimal(EXACT.multiply(amount, rate), MONEY_DECIMALS)
            sums[partner_id, "team", into] += worth
            if is_own:
                sums[partner_id, "own", into] += worth
    return dict(sums)
