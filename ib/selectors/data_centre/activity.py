"""The lists at the end of the way down: trades and payments one by one, accounts of a client, and the single trade."""

# ruff: noqa: S608 -- the SQL is built from constants of this package
from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from backoffice.kernel import clock
from backoffice.kernel.errors import NotFound
from ib.rules import line_reference
from ib.rules.masking import NameDisplay, shown_login
from ib.selectors.data_centre import sources
from ib.selectors.data_centre.people import ClientRow, display_now, named_clients, one_client
from ib.selectors.data_centre.sources import fetch, rate_join, rates, reading, with_tables
from ib.selectors.data_centre.viewpoint import Filters, Viewpoint

MAXIMUM_TRADES = 1_000
MAXIMUM_EXPORTED = 100_000


@dataclass(frozen=True, slots=True)
class TradeRow:
    """A trade of a client of the viewpoint, with what it earned it. `client` is a number, or through whom it came."""

    trade_id: int
    day: date
    closed_at: datetime
    ticket: int
    client: str
    is_named: bool
    level: int
    symbol: str
    symbol_group: str
    side: str
    lots: Decimal
    commission: Decimal
    currency: str


_SHOWN = """
shown AS MATERIALIZED (
    SELECT traded.* FROM traded
    WHERE (%(client)s = '' OR traded.client_id = (SELECT id FROM crm_client WHERE reference = %(client)s))
      AND (%(trade)s::bigint IS NULL OR traded.id = %(trade)s)
      AND (%(introducer)s::bigint IS NULL OR traded.introducer_id = %(introducer)s)
    ORDER BY traded.closed_at DESC, traded.id DESC LIMIT %(limit)s
)"""

# What the shown trades earned the viewpoint, by the key of the lines.
_PAID = """
paid AS MATERIALIZED (
    SELECT line.trade_id, line.day, line.currency, sum(line.amount) AS amount
    FROM shown
    JOIN ib_commissionline AS line ON line.trade_id = shown.id AND line.day = shown.day AND {whose}
    GROUP BY 1, 2, 3
)"""
_WHOSE_PARTNER = "line.partner_id = %(partner)s"
_WHOSE_HOUSE = "line.partner_id IN (SELECT id FROM ib_partner WHERE entity_id = %(entity)s)"


def trades(
    view: Viewpoint,
    filters: Filters,
    *,
    client: str = "",
    introducer_id: int | None = None,
    trade_id: int | None = None,
    limit: int = MAXIMUM_TRADES,
) -> list[TradeRow]:
    """Trades of the days, the newest first: of everybody, of one client by number, or of the clients of one introducer."""
    own = " AND NOT (%(is_own)s AND shown.level > 1)" if client else ""
    tables = with_tables(
        view,
        sources.TRADED,
        _SHOWN,
        _PAID.format(whose=_WHOSE_PARTNER if view.partner is not None else _WHOSE_HOUSE),
        rates("paid"),
        f"""earned AS (
            SELECT paid.trade_id, sum(paid.amount * fx.rate) AS amount FROM paid {rate_join("paid")} GROUP BY 1
        )""",
    )
    sql = f"""
    {tables}
    SELECT shown.id, shown.day, shown.closed_at, t.ticket, client.reference, introducer.reference, shown.level,
           coalesce(symbol.code, server_symbol.name), coalesce(symbol_group.name, 'Not mapped'),
           CASE WHEN t.side > 0 THEN 'Buy' ELSE 'Sell' END, shown.volume_lots, coalesce(earned.amount, 0)
    FROM shown
    JOIN platform_ops_trade AS t ON t.id = shown.id
    JOIN crm_client AS client ON client.id = shown.client_id
    JOIN ib_partner AS introducer ON introducer.id = shown.introducer_id
    JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = t.server_symbol_id
    LEFT JOIN platform_ops_symbol AS symbol ON symbol.id = server_symbol.symbol_id
    LEFT JOIN platform_ops_symbolgroup AS symbol_group ON symbol_group.id = symbol.group_id
    LEFT JOIN earned ON earned.trade_id = shown.id
    WHERE TRUE{own}
    ORDER BY shown.closed_at DESC, shown.id DESC
    """
    more = {
        "client": client,
        "introducer": introducer_id,
        "trade": trade_id,
        "limit": min(limit, MAXIMUM_EXPORTED),
        "is_own": view.is_own,
    }
    with reading():
        rows = fetch(sql, view, filters, **more)
    return [_trade(row, view) for row in rows]


def _trade(row: tuple[Any, ...], view: Viewpoint) -> TradeRow:
    trade_id, day, closed_at, ticket, client, introducer, level, *rest = row
    is_named = not (view.is_own and level > 1)
    whose = client if is_named else f"through {introducer}"
    return TradeRow(trade_id, day, closed_at, ticket, whose, is_named, level, *(*rest, view.currency))


@dataclass(frozen=True, slots=True)
class TradeLine:
    """What the trade earned a partner, by one line."""

    reference: str
    partner: str
    is_viewers: bool
    level: int
    amount: Decimal
    currency: str
    booked_day: date


@dataclass(frozen=True, slots=True)
class TradePage:
    """One trade, and the lines about it that the viewer may read.

    Of a trade that came through a partner below, its prices and its result are that client's own affair: None.
    """

    row: TradeRow
    login: str
    opened_at: datetime | None
    open_price: Decimal | None
    close_price: Decimal | None
    profit: Decimal | None
    swap: Decimal | None
    platform_commission: Decimal | None
    account_currency: str
    lines: tuple[TradeLine, ...]


_ONE = """
SELECT t.business_day, account.login, account.client_id, t.opened_at, t.open_price, t.close_price, t.profit, t.swap,
       t.commission + t.fee, t.currency
FROM platform_ops_trade AS t JOIN platform_ops_tradingaccount AS account ON account.id = t.account_id
WHERE t.id = %(trade)s
"""
_ITS_LINES = """
SELECT line.trade_id, line.part, line.seq, line.day, line.partner_id, partner.reference, line.level, line.amount,
       line.currency, line.booked_day
FROM ib_commissionline AS line JOIN ib_partner AS partner ON partner.id = line.partner_id
WHERE line.trade_id = %(trade)s AND line.day = %(from)s AND {whose}
ORDER BY line.level, line.partner_id, line.part, line.seq
"""


def one_trade(view: Viewpoint, trade_id: int) -> TradePage:
    """A trade by its id. Raises NotFound for one of somebody who never counted for the viewpoint when it was closed."""
    today = Filters(date(2000, 1, 1), date(2000, 1, 1))
    with reading():
        found = fetch(_ONE, view, today, trade=trade_id)
        missing = NotFound("No such trade, or not one of yours.", trade=trade_id)
        if not found:
            raise missing
        day, login, client_id, *facts = found[0]
        of_day = Filters(day, day)
        rows = trades(view, of_day, trade_id=trade_id)
        if not rows:
            raise missing
        whose = _WHOSE_PARTNER if view.is_own else _WHOSE_HOUSE
        lines = fetch(_ITS_LINES.format(whose=whose), view, of_day, trade=trade_id)
    row = rows[0]
    if not row.is_named:
        facts = [None] * (len(facts) - 1) + [""]
    shown_lines = tuple(_line(line, view) for line in lines)
    return TradePage(row, _login(view, row, login, client_id), *(*facts, shown_lines))


def _login(view: Viewpoint, row: TradeRow, login: str, client_id: int) -> str:
    """The account's number as far as the viewer reads it; of clients of partners below nothing."""
    if not row.is_named:
        return ""
    if named_clients(view, [client_id]):
        return login
    today = clock.today_business_day()
    try:
        client = one_client(view, Filters(today, today), row.client)
    except NotFound:  # came through a partner below by now
        return ""
    return shown_login(login, display_now(view, client))


def _line(row: tuple[Any, ...], view: Viewpoint) -> TradeLine:
    trade_id, part, seq, day, partner_id, partner, level, amount, currency, booked_day = row
    reference = line_reference(partner_id=partner_id, trade_id=trade_id, part=part, seq=seq, day=day)
    is_viewers = view.partner is not None and view.partner.pk == partner_id
    return TradeLine(reference, partner, is_viewers, level, amount, currency, booked_day)


# -------------------------------------------------------------------------------------------------------------- payments


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """Money that a client paid in or took out, as it was told; `worth` in the viewpoint's currency."""

    day: date
    client: str
    kind: str
    amount: Decimal
    currency: str
    worth: Decimal | None
    worth_currency: str
    is_first: bool


KIND_WORDS = {
    "deposit": "Deposit",
    "withdrawal": "Withdrawal",
    "refund": "Refund of a deposit",
    "chargeback": "Chargeback",
}


def payments(
    view: Viewpoint, filters: Filters, *, kind: str = "", client: str = "", limit: int = MAXIMUM_TRADES
) -> list[PaymentRow]:
    """Payments one by one, the newest first; of a partner, those of clients whom they introduced themselves."""
    kinds = _kinds_of(kind)
    sql = f"""
    {with_tables(view, sources.CAMPAIGNS, sources.TOLD, rates("told"))}
    SELECT told.day, client.reference, told.kind, told.amount, told.currency, told.amount * fx.rate,
           told.is_first AND told.kind = 'deposit'
    FROM told {rate_join("told")} JOIN crm_client AS client ON client.id = told.client_id
    WHERE told.kind = ANY(%(kinds)s) AND NOT (%(is_own)s AND told.level > 1)
      AND (%(client)s = '' OR client.reference = %(client)s)
    ORDER BY told.at DESC, told.id DESC LIMIT %(limit)s
    """
    with reading():
        rows = fetch(sql, view, filters, kinds=kinds, is_own=view.is_own, client=client, limit=limit)
    return [
        PaymentRow(day, client_reference, KIND_WORDS[told], amount, currency, worth, view.currency, is_first)
        for day, client_reference, told, amount, currency, worth, is_first in rows
    ]


def _kinds_of(kind: str) -> list[str]:
    return [kind] if kind in KIND_WORDS else ["refund", "chargeback"] if kind == "returned" else list(KIND_WORDS)


@dataclass(frozen=True, slots=True)
class PaymentsThrough:
    """Payments of clients of a partner below, as sums in the viewpoint's currency."""

    introducer_id: int
    introducer: str
    clients: int
    payments: int
    paid_in: Decimal
    paid_out: Decimal
    returned: Decimal
    currency: str


def payments_through(view: Viewpoint, filters: Filters, *, kind: str = "") -> list[PaymentsThrough]:
    """What a partner reads of payments of clients of partners below. Nothing for staff, who read them one by one."""
    if not view.is_own:
        return []
    sql = f"""
    {with_tables(view, sources.CAMPAIGNS, sources.TOLD, rates("told"))}
    SELECT told.introducer_id, introducer.reference || ' ' || introducer.name, count(DISTINCT told.client_id), count(*),
           coalesce(sum(told.amount * fx.rate) FILTER (WHERE told.kind = 'deposit'), 0),
           coalesce(sum(told.amount * fx.rate) FILTER (WHERE told.kind = 'withdrawal'), 0),
           coalesce(sum(told.amount * fx.rate) FILTER (WHERE told.kind IN ('refund', 'chargeback')), 0)
    FROM told {rate_join("told")} JOIN ib_partner AS introducer ON introducer.id = told.introducer_id
    WHERE told.kind = ANY(%(kinds)s) AND told.level > 1
    GROUP BY 1, 2 ORDER BY 4 DESC, 2 LIMIT %(limit)s
    """
    with reading():
        rows = fetch(sql, view, filters, kinds=_kinds_of(kind), limit=MAXIMUM_TRADES)
    return [PaymentsThrough(*(*row, view.currency)) for row in rows]


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A trading account of a client, with what was traded on it in the days."""

    login: str
    server: str
    currency: str
    opened_at: datetime
    trades: int
    lots: Decimal


_ITS_ACCOUNTS = """
SELECT account.login, server.name, account.currency, account.opened_at, count(traded.id), coalesce(sum(traded.volume_lots), 0)
FROM platform_ops_tradingaccount AS account
JOIN platform_ops_tradingserver AS server ON server.id = account.server_id
LEFT JOIN platform_ops_trade AS t ON t.account_id = account.id AND t.business_day BETWEEN %(from)s AND %(to)s
LEFT JOIN traded ON traded.id = t.id
WHERE account.client_id = %(client)s AND NOT account.is_demo
  AND (%(left)s::timestamptz IS NULL OR account.opened_at < %(left)s)
GROUP BY account.id, server.name ORDER BY account.opened_at, account.id
"""


def accounts_of(view: Viewpoint, filters: Filters, client: ClientRow) -> list[AccountRow]:
    """The live accounts of a client whom the viewer reads, logins as far as the viewer does."""
    sql = f"{with_tables(view, sources.TRADED)} {_ITS_ACCOUNTS}"
    wide = replace(filters, level=None, country="", campaign="", symbol_group_id=None)
    with reading():
        rows = fetch(sql, view, wide, client=client.client_id, left=client.left)
    display = NameDisplay.FULL if named_clients(view, [client.client_id]) else display_now(view, client)
    return [AccountRow(shown_login(login, display), *rest) for login, *rest in rows]
