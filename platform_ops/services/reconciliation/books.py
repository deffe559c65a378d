"""What the books say, in the form in which it is compared with a server."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import connection

from platform_ops.models import CurrentDeal, Position, TradeCancellation, TradingServer
from platform_ops.rules.reconciliation import OurAccount, OurDeal, OurPosition

# What every deal and opening of an account adds up to. Cancelled trades move nothing, credit is kept apart.
_ACCOUNTS = """
SELECT account.login, account.currency,
       coalesce(told.balance, 0) + coalesce(opened.balance, 0) AS balance,
       coalesce(told.credit, 0) + coalesce(opened.credit, 0) AS credit,
       coalesce(held.positions, 0) AS positions
  FROM platform_ops_tradingaccount account
  LEFT JOIN (
    SELECT deal.account_id,
           sum(deal.profit + deal.swap + deal.commission + deal.fee) FILTER (WHERE deal.kind NOT IN (3, 13, 14, 20)) AS balance,
           sum(deal.profit + deal.swap + deal.commission + deal.fee) FILTER (WHERE deal.kind IN (3, 20)) AS credit
      FROM platform_ops_currentdeal deal
     WHERE deal.server_id = %(server)s
     GROUP BY deal.account_id
  ) told ON told.account_id = account.id
  LEFT JOIN (
    SELECT operation.account_id, sum(operation.amount) FILTER (WHERE operation.kind <> 3) AS balance,
           sum(operation.amount) FILTER (WHERE operation.kind = 3) AS credit
      FROM platform_ops_balanceoperation operation
     WHERE operation.server_id = %(server)s AND operation.is_opening AND NOT operation.is_cancelled
     GROUP BY operation.account_id
  ) opened ON opened.account_id = account.id
  LEFT JOIN (
    SELECT position.account_id, count(*) AS positions FROM platform_ops_position position GROUP BY position.account_id
  ) held ON held.account_id = account.id
 WHERE account.server_id = %(server)s AND account.login = ANY (coalesce(%(logins)s, ARRAY[account.login]))
"""


def our_accounts(server: TradingServer, logins: Collection[str] | None = None) -> dict[str, OurAccount]:
    """Every account of the server, or the named ones, by login."""
    values = {"server": server.pk, "logins": None if logins is None else list(logins)}
    with connection.cursor() as cursor:
        cursor.execute(_ACCOUNTS, values)
        return {
            login: OurAccount(login=login, balance=balance, credit=credit, currency=currency, open_positions=positions)
            for login, currency, balance, credit, positions in cursor.fetchall()
        }


def our_positions(server: TradingServer) -> list[OurPosition]:
    """What is open."""
    rows = Position.objects.filter(account__server=server).values_list(
        "position_ticket", "account__login", "server_symbol__name", "side", "volume_lots", "open_price"
    )
    return [
        OurPosition(ticket=ticket, login=login, symbol=symbol, side=side, volume_lots=lots, open_price=price)
        for ticket, login, symbol, side, lots, price in rows.order_by().iterator()
    ]


def our_deals(server: TradingServer, *, from_time: datetime, to_time: datetime) -> dict[tuple[int, int], OurDeal]:
    """The deals of a stretch of time, by ticket and leg."""
    rows = CurrentDeal.objects.filter(server=server, at__gte=from_time, at__lt=to_time).values_list(
        "ticket",
        "leg",
        "account__login",
        "kind",
        "entry",
        "server_symbol__name",
        "volume_lots",
        "price",
        "at",
        "profit",
        "swap",
        "commission",
        "fee",
        "account__currency",
    )
    found: dict[tuple[int, int], OurDeal] = {}
    for (
        ticket,
        leg,
        login,
        kind,
        entry,
        symbol,
        lots,
        price,
        at,
        profit,
        swap,
        commission,
        fee,
        currency,
    ) in rows.order_by().iterator():
        found[ticket, leg] = OurDeal(
            ticket=ticket, leg=leg, login=login, kind=kind, entry=entry, symbol=symbol or "", volume_lots=lots, price=price,
            at=at, profit=profit, swap=swap, commission=commission, fee=fee, currency=currency,
        )  # fmt: skip
    return found


def written_since(server: TradingServer, since: datetime) -> set[str]:
    """Logins on which something was booked since then: both sides were not read at one moment."""
    rows = CurrentDeal.objects.filter(server=server, recorded_at__gte=since).values_list("account__login", flat=True)
    return set(rows.order_by().distinct())


def known_tickets(server: TradingServer, tickets: Collection[int]) -> set[tuple[int, int]]:
    """Which of the deals stand in the books."""
    rows = CurrentDeal.objects.filter(server=server, ticket__in=list(tickets)).values_list("ticket", "leg")
    return set(rows.order_by())


def taken_back(server: TradingServer) -> set[int]:
    """Tickets of trades that the house cancelled here, and of the corrections that undid them on the server."""
    rows = TradeCancellation.objects.filter(server=server).values_list("ticket", "correction_ticket")
    return {ticket for pair in rows for ticket in pair if ticket is not None}
