"""What period lines rest on, read in a few set-based statements: whose clients they are, what they traded, paid in and cost.

Everything is read from one partner's point of view: `placed` says during which time a client counts for the partner, and at
which level. Nothing is valued or decided here; `ib.rules` does that.
"""

# ruff: noqa: S608 -- the SQL is built from constants of this module and of the platform's
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from ib.engine.fx import RATE_DECIMALS
from platform_ops.selectors.trade_economics import Part, trade_economics_select

NET_DEPOSITS = {"deposit": 1, "refund": -1, "chargeback": -1}
"""What counts as paid in, and what is taken off it, by kind of fact."""
FOREVER = "{(,)}"
"""A window without bounds, as the text of a multirange."""
MAXIMUM_DEPTH = 100
"""Levels that are followed down; a circle that tampering made is cut by the path."""


@dataclass(frozen=True, slots=True)
class Selectors:
    """What a rule applies to; None selects everything. `level` is the partner's above the client, `deepest` the plan's limit."""

    level: int | None = None
    deepest: int | None = None
    symbol_id: int | None = None
    symbol_group_id: int | None = None
    account_group_id: int | None = None
    account_type_id: int | None = None
    country: str = ""
    campaign: str = ""
    dimension: str = ""
    dimension_value: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which trades and events of whose clients are read."""

    partner_id: int
    from_day: date
    to_day: date
    windows: str = FOREVER
    selectors: Selectors = Selectors()
    earlier: tuple[Selectors, ...] = ()
    """Selectors of rules that go before: what matches one of them is theirs."""
    clients: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class RevenueRow:
    """A part of the revenue of a day in one currency, signed as the broker sees it. `unknown` could not be valued."""

    client_id: int | None
    day: date
    currency: str
    code: str
    amount: Decimal
    count: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Placement:
    """During which time a client counts for the partner at a level, and through whom it came."""

    client_id: int
    level: int
    direct_partner_id: int
    starts: datetime | None
    ends: datetime | None
    country: str

    def holds(self, at: datetime) -> bool:
        """Whether the client counted at the moment."""
        return (self.starts is None or self.starts <= at) and (self.ends is None or at < self.ends)


@dataclass(frozen=True, slots=True)
class EventRow:
    """A fact about a client that was not taken out."""

    event_id: int
    client_id: int
    kind: str
    amount: Decimal | None
    currency: str
    at: datetime
    day: date
    disputed_from: datetime | None


# UNION ALL with the path cuts circles. A client with a rebate is a node of the tree that counts as no level.
PLACED = f"""
below AS (
    SELECT self.id AS partner_id, (self.kind <> 'trader')::int AS level, tstzrange(NULL, NULL) AS validity,
           ARRAY[self.id] AS path
    FROM ib_partner AS self WHERE self.id = %(partner)s
    UNION ALL
    SELECT edge.child_id, below.level + (child.kind <> 'trader')::int, below.validity * edge.validity,
           below.path || edge.child_id
    FROM below
    JOIN ib_partneredge AS edge ON edge.parent_id = below.partner_id AND edge.validity && below.validity
    JOIN ib_partner AS child ON child.id = edge.child_id
    WHERE below.level < {MAXIMUM_DEPTH} AND edge.child_id <> ALL(below.path)
),
placed AS MATERIALIZED (
    SELECT referral.client_id, below.level, below.partner_id AS direct_partner_id,
           below.validity * referral.validity AS validity
    FROM below
    JOIN ib_clientreferral AS referral
      ON referral.partner_id = below.partner_id AND referral.validity && below.validity
    WHERE %(clients)s::bigint[] IS NULL OR referral.client_id = ANY(%(clients)s::bigint[])
)
"""

VALID_EVENT = """
event.reverses_id IS NULL
AND NOT EXISTS (SELECT 1 FROM ib_clientevent AS reversal WHERE reversal.reverses_id = event.id)
"""


def _trades(scope: Scope) -> tuple[str, dict[str, Any]]:
    """CTE `trade`: the trades of the scope, each once, with the client and the level at which it counts."""
    condition, parameters = _matching(scope)
    text = f"""
    trade AS MATERIALIZED (
        SELECT t.id, placed.client_id, placed.level, t.account_id, t.business_day AS day, t.closed_at, t.volume_lots,
               t.profit, t.currency
        FROM placed
        JOIN platform_ops_tradingaccount AS account ON account.client_id = placed.client_id AND NOT account.is_demo
        JOIN platform_ops_trade AS t
          ON t.account_id = account.id AND placed.validity @> t.closed_at
         AND t.closed_at >= (%(from_day)s::date - 4)::timestamptz AND t.closed_at < (%(to_day)s::date + 2)::timestamptz
        JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = t.server_symbol_id
        LEFT JOIN platform_ops_symbol AS symbol ON symbol.id = server_symbol.symbol_id
        JOIN crm_client AS client ON client.id = placed.client_id
        WHERE NOT t.is_cancelled AND t.business_day BETWEEN %(from_day)s AND %(to_day)s
          AND %(windows)s::tstzmultirange @> t.closed_at AND {condition}
    )
    """
    return text, {**_parameters(scope), **parameters}


# The trades by name. In one statement with what selects them the planner would take them for a single row, and compare each
# with each where it joins their figures.
_NAMED = """
trade AS MATERIALIZED (
    SELECT t.id, named.client_id, named.level, t.account_id, t.business_day AS day, t.closed_at, t.volume_lots, t.profit,
           t.currency
    FROM unnest(%(trade_ids)s::bigint[], %(trade_clients)s::bigint[], %(trade_levels)s::integer[])
         AS named(id, client_id, level)
    JOIN platform_ops_trade AS t ON t.id = named.id
)
"""
_ECONOMICS_SCOPE = "t.id = ANY(%(trade_ids)s::bigint[])"


def _named_trades(scope: Scope, *, placed: str = PLACED, **more: object) -> dict[str, Any]:
    """The parameters of `_NAMED`, and those of the scope."""
    trades, parameters = _trades(scope)
    parameters |= more
    found = _rows(f"WITH RECURSIVE {placed}, {trades} SELECT id, client_id, level FROM trade", parameters)
    columns = zip(*found, strict=True) if found else ((), (), ())
    names = ("trade_ids", "trade_clients", "trade_levels")
    return {**parameters, **{name: list(column) for name, column in zip(names, columns, strict=True)}}


def _parameters(scope: Scope) -> dict[str, Any]:
    return {
        "partner": scope.partner_id,
        "clients": None if scope.clients is None else list(scope.clients),
        "from_day": scope.from_day,
        "to_day": scope.to_day,
        "windows": scope.windows,
        "level": scope.selectors.level,
        "deepest": scope.selectors.deepest,
    }


def _matching(scope: Scope) -> tuple[str, dict[str, Any]]:
    """The condition that a trade is the rule's: it matches the selectors and none of the rules before."""
    own, parameters = _selected(scope.selectors, "own")
    conditions = [own]
    for index, selectors in enumerate(scope.earlier):
        before, more = _selected(selectors, f"before{index}")
        conditions.append(f"NOT ({before})")
        parameters |= more
    return " AND ".join(conditions), parameters


_COLUMNS = {
    "symbol_id": "symbol.id",
    "symbol_group_id": "symbol.group_id",
    "account_group_id": "account.group_id",
    "account_type_id": "account.account_type_id",
}


def _selected(selectors: Selectors, prefix: str) -> tuple[str, dict[str, Any]]:
    conditions, parameters = [], dict[str, Any]()
    if selectors.level is not None:
        conditions.append(f"placed.level = %({prefix}_level)s")
        parameters[f"{prefix}_level"] = selectors.level
    if selectors.deepest is not None:
        conditions.append(f"placed.level <= %({prefix}_deepest)s")
        parameters[f"{prefix}_deepest"] = selectors.deepest
    for name, column in _COLUMNS.items():
        wanted = getattr(selectors, name)
        if wanted is not None:
            conditions.append(f"{column} IS NOT DISTINCT FROM %({prefix}_{name})s")
            parameters[f"{prefix}_{name}"] = wanted
    if selectors.country:
        conditions.append(f"client.country = %({prefix}_country)s")
        parameters[f"{prefix}_country"] = selectors.country
    named = [("campaign", selectors.campaign)] if selectors.campaign else []
    if selectors.dimension:
        named.append((selectors.dimension, selectors.dimension_value))
    for index, (dimension, value) in enumerate(named):
        conditions.append(
            "EXISTS (SELECT 1 FROM platform_ops_accountdimension AS own WHERE own.account_id = account.id"
            f" AND own.dimension = %({prefix}_dimension{index})s AND own.value = %({prefix}_value{index})s"
            " AND own.validity @> t.closed_at)"
        )
        parameters |= {f"{prefix}_dimension{index}": dimension, f"{prefix}_value{index}": value}
    return (" AND ".join(conditions) or "true"), parameters


# In the B-book the house's revenue is the client's loss: it contains the spread, which is not counted a second time, and
# the whole swap. Elsewhere the house earns the spread and what it adds to the swaps of the liquidity provider.
_REVENUE = """
WITH RECURSIVE {placed}, {trades},
valued AS (
    SELECT trade.client_id, trade.day, trade.currency, trade.profit, economics.platform_commission,
           coalesce(economics.profit_currency, trade.currency) AS spread_currency, {spread} AS spread,
           {is_ours} AS is_ours
    FROM trade
    LEFT JOIN ({economics}) AS economics ON economics.trade_id = trade.id
    CROSS JOIN LATERAL (SELECT trade.closed_at AS at, trade.account_id) AS moment
),
swaps AS (
    SELECT trade.client_id, line.day, account.currency,
           CASE WHEN {is_ours} THEN -line.swap ELSE line.lp_swap - line.swap END AS markup
    FROM placed AS trade
    JOIN platform_ops_tradingaccount AS account ON account.client_id = trade.client_id AND NOT account.is_demo
    JOIN platform_ops_swapline AS line ON line.account_id = account.id
     AND line.day BETWEEN %(from_day)s AND %(to_day)s AND line.swap <> 0
    CROSS JOIN LATERAL (SELECT (line.day + time '12:00') AT TIME ZONE 'UTC' AS at, line.account_id) AS moment
    WHERE %(with_swaps)s AND (%(level)s::int IS NULL OR trade.level = %(level)s)
      AND (%(deepest)s::int IS NULL OR trade.level <= %(deepest)s) AND trade.validity @> moment.at
      AND %(windows)s::tstzmultirange @> moment.at
)
SELECT {client} AS client_id, part.day, part.currency, part.code, coalesce(sum(part.amount), 0), count(part.amount),
       count(*) - count(part.amount)
FROM (
    SELECT client_id, day, spread_currency AS currency, 'spread' AS code, spread AS amount FROM valued WHERE NOT is_ours
    UNION ALL
    SELECT client_id, day, currency, 'commission', platform_commission FROM valued
    UNION ALL
    SELECT client_id, day, currency, 'client_loss', -profit FROM valued WHERE is_ours
    UNION ALL
    SELECT client_id, day, currency, 'swap_markup', markup FROM swaps
) AS part
GROUP BY 1, 2, 3, 4
ORDER BY 2, 3, 4, 1
"""
_IS_OURS = """
EXISTS (SELECT 1 FROM platform_ops_accountdimension AS book
        WHERE book.account_id = moment.account_id AND book.dimension = 'book' AND upper(book.value) = 'B'
          AND book.validity @> moment.at)
"""
_SPREAD = {
    "entry": "economics.spread_entry_money",
    "half_half": "(economics.spread_entry_money + economics.spread_exit_money) / 2",
}


def revenue(scope: Scope, *, spread_sides: str = "entry", by_client: bool = False) -> list[RevenueRow]:
    """Spread, commission, swap mark-up and client loss by day and currency.

    Swaps stand on accounts and not on symbols: a rule that selects trades has no share of them.
    """
    parameters = _named_trades(scope)
    sql = _REVENUE.format(
        placed=PLACED,
        trades=_NAMED,
        economics=trade_economics_select(_ECONOMICS_SCOPE, parts=[Part.MARKET, Part.COMMISSION]),
        spread=_SPREAD[spread_sides],
        is_ours=_IS_OURS,
        client="part.client_id" if by_client else "NULL::bigint",
    )
    clients_only = Selectors(level=scope.selectors.level, deepest=scope.selectors.deepest)
    with_swaps = scope.selectors == clients_only and not scope.earlier
    return [RevenueRow(*row) for row in _rows(sql, {**parameters, "with_swaps": with_swaps})]


# Everybody's clients stand at level 1: who introduced them does not matter to what the house takes in.
_PLACED_OF_HOUSE = """
placed AS MATERIALIZED (
    SELECT referral.client_id, 1 AS level, referral.partner_id AS direct_partner_id, referral.validity
    FROM ib_clientreferral AS referral JOIN ib_partner AS partner ON partner.id = referral.partner_id
    WHERE partner.entity_id = %(entity)s
)
"""


def revenue_of_house(*, entity_id: int, from_day: date, to_day: date) -> list[RevenueRow]:
    """As `revenue`, of all clients whom partners of a legal entity introduced, by day and currency."""
    scope = Scope(partner_id=0, from_day=from_day, to_day=to_day)
    parameters = _named_trades(scope, placed=_PLACED_OF_HOUSE, entity=entity_id)
    sql = _REVENUE.format(
        placed=_PLACED_OF_HOUSE,
        trades=_NAMED,
        economics=trade_economics_select(_ECONOMICS_SCOPE, parts=[Part.MARKET, Part.COMMISSION]),
        spread=_SPREAD["entry"],
        is_ours=_IS_OURS,
        client="NULL::bigint",
    )
    return [RevenueRow(*row) for row in _rows(sql, {**parameters, "with_swaps": True})]


_VOLUME = """
WITH RECURSIVE {placed}, {trades}
SELECT trade.client_id, date_trunc('month', trade.day)::date AS period, count(*), sum(trade.volume_lots)
FROM trade WHERE trade.volume_lots > 0 GROUP BY 1, 2 ORDER BY 2, 1
"""


def volume(scope: Scope) -> list[tuple[int, date, int, Decimal]]:
    """(client, period, trades, lots) of the scope."""
    trades, parameters = _trades(scope)
    return _rows(_VOLUME.format(placed=PLACED, trades=trades), parameters)


_NOTIONAL = """
WITH {trades}
SELECT trade.day, trade.currency, coalesce(sum(economics.notional_account), 0), count(*) - count(economics.notional_account)
FROM trade LEFT JOIN ({economics}) AS economics ON economics.trade_id = trade.id
GROUP BY 1, 2 ORDER BY 1, 2
"""


def notional(scope: Scope) -> list[tuple[date, str, Decimal, int]]:
    """(day, currency, notional, trades without one) of the scope."""
    economics = trade_economics_select(_ECONOMICS_SCOPE, parts=[Part.ACCOUNT_NOTIONAL])
    return _rows(_NOTIONAL.format(trades=_NAMED, economics=economics), _named_trades(scope))


def placements(scope: Scope) -> list[Placement]:
    """Every client who ever counted for the partner, with when and at which level."""
    sql = f"""
    WITH RECURSIVE {PLACED}
    SELECT placed.client_id, placed.level, placed.direct_partner_id, lower(placed.validity), upper(placed.validity),
           client.country
    FROM placed JOIN crm_client AS client ON client.id = placed.client_id
    ORDER BY placed.client_id, lower(placed.validity) NULLS FIRST
    """
    return [Placement(*row) for row in _rows(sql, _parameters(scope))]


def events_of(scope: Scope, *, kinds: Sequence[str]) -> list[EventRow]:
    """Facts of the kinds about clients who ever counted for the partner, in their order; those taken out are left out."""
    sql = f"""
    WITH RECURSIVE {PLACED}
    SELECT event.id, event.client_id, event.kind, event.amount, event.currency, event.at, event.day, event.disputed_from
    FROM ib_clientevent AS event
    WHERE event.client_id IN (SELECT client_id FROM placed) AND event.kind = ANY(%(kinds)s) AND {VALID_EVENT}
    ORDER BY event.at, event.id
    """
    return [EventRow(*row) for row in _rows(sql, {**_parameters(scope), "kinds": list(kinds)})]


_DIMENSIONS = """
SELECT account.client_id, own.dimension, own.value, lower(own.validity), upper(own.validity)
FROM platform_ops_accountdimension AS own
JOIN platform_ops_tradingaccount AS account ON account.id = own.account_id
WHERE account.client_id = ANY(%(clients)s) AND own.dimension = ANY(%(dimensions)s)
"""


def client_dimensions(
    *, clients: Sequence[int], dimensions: Sequence[str]
) -> list[tuple[int, str, str, datetime | None, datetime | None]]:
    """(client, dimension, value, from, to) of the clients' accounts."""
    return _rows(_DIMENSIONS, {"clients": list(clients), "dimensions": list(dimensions)})


@dataclass(frozen=True, slots=True)
class Wanted:
    """From when until when a client's trades are added up, and to how much."""

    client_id: int
    starts: datetime
    ends: datetime | None
    amount: Decimal


_WANTED = """
wanted AS (
    SELECT * FROM unnest(%(clients)s::bigint[], %(starts)s::timestamptz[], %(ends)s::timestamptz[], %(amounts)s::numeric[])
        AS wanted(client_id, starts, ends, amount)
), trade AS MATERIALIZED (
    SELECT wanted.client_id, wanted.amount AS asked, t.id, t.closed_at, t.volume_lots
    FROM wanted
    JOIN platform_ops_tradingaccount AS account ON account.client_id = wanted.client_id AND NOT account.is_demo
    JOIN platform_ops_trade AS t ON t.account_id = account.id AND t.closed_at >= wanted.starts
     AND (wanted.ends IS NULL OR t.closed_at <= wanted.ends) AND NOT t.is_cancelled
)
"""
_REACHED = """
WITH {trades}, counted AS ({counted}), summed AS (
    SELECT client_id, asked, closed_at,
           sum(quantity) OVER (PARTITION BY client_id ORDER BY closed_at, id) AS so_far, quantity
    FROM counted
)
SELECT client_id, sum(quantity), min(closed_at) FILTER (WHERE so_far >= asked) FROM summed GROUP BY client_id
"""
_LOTS = "SELECT client_id, asked, id, closed_at, volume_lots AS quantity FROM trade"
_REVENUE_OF_TRADES = """
SELECT trade.client_id, asked.amount AS asked, trade.id, trade.closed_at,
       coalesce(economics.spread_entry_money * fx_cross(trade.day, economics.profit_currency, %(into)s), 0)
       + coalesce(economics.platform_commission * fx_cross(trade.day, trade.currency, %(into)s), 0) AS quantity
FROM trade
JOIN unnest(%(clients)s::bigint[], %(amounts)s::numeric[]) AS asked(client_id, amount) USING (client_id)
LEFT JOIN ({economics}) AS economics ON economics.trade_id = trade.id
"""


def lots_reached(wanted: Sequence[Wanted]) -> dict[int, tuple[Decimal, datetime | None]]:
    """For each client the lots closed, and when they came to what is wanted."""
    return _reached(_REACHED.format(trades=_WANTED, counted=_LOTS), _wanted(wanted)) if wanted else {}


def revenue_reached(wanted: Sequence[Wanted], *, currency: str) -> dict[int, tuple[Decimal, datetime | None]]:
    """For each client spread and commission in a currency, and when they came to what is wanted."""
    if not wanted:
        return {}
    parameters = _wanted(wanted)
    found = _rows(f"WITH {_WANTED} SELECT id, client_id FROM trade", parameters)
    parameters |= {
        "trade_ids": [row[0] for row in found],
        "trade_clients": [row[1] for row in found],
        "trade_levels": [None] * len(found),
        "into": currency,
    }
    economics = trade_economics_select(_ECONOMICS_SCOPE, parts=[Part.MARKET, Part.COMMISSION])
    counted = _REVENUE_OF_TRADES.format(economics=economics)
    return _reached(_REACHED.format(trades=_NAMED, counted=counted), parameters)


def _wanted(wanted: Sequence[Wanted]) -> dict[str, Any]:
    return {
        "clients": [item.client_id for item in wanted],
        "starts": [item.starts for item in wanted],
        "ends": [item.ends for item in wanted],
        "amounts": [item.amount for item in wanted],
    }


def _reached(sql: str, parameters: dict[str, Any]) -> dict[int, tuple[Decimal, datetime | None]]:
    return {client_id: (total, at) for client_id, total, at in _rows(sql, parameters)}


# Only days with trades of these clients are looked at; the partner's lines of a day stand together in its partition.
_LINES_OF_CLIENTS = """
SELECT account.client_id, line.day, line.currency, sum(line.amount)
FROM ib_commissionline AS line
JOIN platform_ops_trade AS t ON t.id = line.trade_id
JOIN platform_ops_tradingaccount AS account ON account.id = t.account_id
WHERE line.partner_id = %(partner)s AND line.day BETWEEN %(from_day)s AND %(to_day)s
  AND account.client_id = ANY(%(clients)s)
GROUP BY 1, 2, 3
"""


def commission_of_clients(
    *, partner_id: int, clients: Sequence[int], from_day: date, to_day: date
) -> list[tuple[int, date, str, Decimal]]:
    """(client, day, currency, amount) of what the partner's trade lines hold of these clients."""
    return _rows(
        _LINES_OF_CLIENTS,
        {"partner": partner_id, "clients": list(clients), "from_day": from_day, "to_day": to_day},
    )


_RATES = f"""
SELECT wanted.day, wanted.given, wanted.into_currency,
       round(fx_cross(wanted.day, wanted.given, wanted.into_currency), {RATE_DECIMALS}),
       (SELECT max(reference.date) FROM platform_ops_fxrateused AS reference
        WHERE reference.date BETWEEN wanted.day - 10 AND wanted.day AND wanted.given <> wanted.into_currency
          AND reference.currency IN (wanted.given, wanted.into_currency))
FROM unnest(%(days)s::date[], %(given)s::text[], %(into)s::text[]) AS wanted(day, given, into_currency)
"""


def rates(pairs: Iterable[tuple[date, str, str]]) -> dict[tuple[date, str, str], tuple[Decimal | None, date | None]]:
    """The reference rate of each (day, from, into), with the day it was fixed; None where there is none."""
    wanted = sorted(set(pairs))
    if not wanted:
        return {}
    rows = _rows(
        _RATES,
        {
            "days": [item[0] for item in wanted],
            "given": [item[1] for item in wanted],
            "into": [item[2] for item in wanted],
        },
    )
    return {(day, given, into): (rate, fixed) for day, given, into, rate, fixed in rows}


def _rows(sql: str, parameters: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
