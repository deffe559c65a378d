"""From a statement as it was read to the records that are booked: UTC times, the account, and settled position links."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from backoffice.kernel.business_day import ServerZone
from platform_ops.gateways.statements import DealRecord, Statement
from platform_ops.gateways.types import DealReason, GatewayOrder, OrderState
from platform_ops.models import CurrentDeal, TradingAccount
from platform_ops.services.staging import IngestRecord
from platform_ops.types import Platform

PRICE_STEP = Decimal(1).scaleb(-8)


def orders_of(*, statement: Statement, account: TradingAccount, zone: ServerZone) -> list[GatewayOrder]:
    """The orders of an export as a server tells them. What each was filled at is the average of its deals in the books;
    an export tells only what was asked for."""
    tickets = [order.ticket for order in statement.orders]
    paid: dict[int, tuple[Decimal, Decimal]] = {}
    deals = CurrentDeal.objects.filter(
        account=account, order_ticket__in=tickets, volume_lots__gt=0, price__isnull=False
    )
    for ticket, lots, price in deals.values_list("order_ticket", "volume_lots", "price"):
        volume, amount = paid.get(ticket, (Decimal(0), Decimal(0)))
        if price is not None:
            paid[ticket] = (volume + lots, amount + lots * price)
    return [
        GatewayOrder(
            ticket=order.ticket,
            login=account.login,
            symbol=order.symbol,
            state=OrderState(order.state),
            type=order.type,
            side=order.side,
            volume_initial_lots=order.initial_lots,
            volume_filled_lots=order.filled_lots,
            requested_price=order.price,
            filled_price=_average(paid.get(order.ticket)),
            placed_at=zone.to_utc(order.placed_at),
            done_at=None if order.done_at is None else zone.to_utc(order.done_at),
            position_ticket=order.position,
            reason=DealReason(order.reason),
            comment=order.comment,
        )
        for order in statement.orders
    ]


def _average(paid: tuple[Decimal, Decimal] | None) -> Decimal | None:
    return None if paid is None else (paid[1] / paid[0]).quantize(PRICE_STEP)


@dataclass(frozen=True, slots=True)
class PositionLinks:
    """`positions`: for a position that the file names, the one it is part of. `moved`: the same for stored ones."""

    positions: dict[int, int]
    moved: dict[int, int]

    def of(self, deal: DealRecord, platform: Platform) -> int:
        """The position of a deal; 0 where the file cannot tell it.

        An MT5 report does not print positions. A closing whose opening it does not show is numbered by its own order
        there, which would take it away from its real position if another file knows that.
        """
        if not deal.kind.is_trade:
            return 0
        if platform is Platform.MT5 and deal.entry and deal.entry.closes and deal.open_price is None:
            return 0
        return self.positions.get(deal.position, deal.position)


def link_positions(*, account: TradingAccount, statement: Statement) -> PositionLinks:
    """Joins what the file tells of positions with what is stored, so that the result is the same in any order of files.

    An MT4 file that starts late sees only the tail of a chain of partial closes, and a netting report that starts late
    only the later deals of a position; both then number the position too high. Numbers of one position are joined and
    the lowest counts. A hedging MT5 account needs no joining: its positions are told apart by their figures.
    """
    trades = [deal for deal in statement.deals if deal.kind.is_trade]
    joins_tickets = statement.platform is Platform.MT4
    if not joins_tickets and statement.is_hedging is not False:
        return PositionLinks({}, {})
    numbers = {deal.ticket for deal in trades} | {deal.position for deal in trades}
    stored = set(
        CurrentDeal.objects.filter(Q(ticket__in=numbers) | Q(position_ticket__in=numbers), account=account)
        .exclude(position_ticket=0)
        .values_list("ticket", "position_ticket")
    )
    told = {(deal.ticket, deal.position) for deal in trades}
    chains = _Joined()
    if joins_tickets:
        for ticket, position in told | stored:
            chains.join(ticket, position)
    else:
        known = dict(stored)
        for ticket, position in told:
            chains.join(position, known.get(ticket, position))
    positions = {deal.position: chains.lowest(deal.position) for deal in trades}
    moved = {position: lowest for _, position in stored if (lowest := chains.lowest(position)) != position}
    return PositionLinks(positions, moved)


def ingest_records_of(
    *, statement: Statement, account: TradingAccount, zone: ServerZone, links: PositionLinks
) -> Iterator[IngestRecord]:
    """The statement's deals, ready to be booked."""
    for deal in statement.deals:
        yield IngestRecord(
            ticket=deal.ticket,
            leg=deal.leg,
            account_id=account.pk,
            kind=deal.kind,
            entry=deal.entry,
            at=zone.to_utc(deal.time),
            position_ticket=links.of(deal, statement.platform),
            order_ticket=deal.order,
            symbol=deal.symbol,
            volume_lots=deal.volume_lots,
            price=deal.price,
            open_price=deal.open_price,
            opened_at=None if deal.open_time is None else zone.to_utc(deal.open_time),
            profit=deal.profit,
            swap=deal.swap,
            commission=deal.commission,
            fee=deal.fee,
            comment=deal.comment,
            market_bid=deal.market_bid,
            market_ask=deal.market_ask,
            gateway_price=deal.gateway_price,
        )


def first_money_at(statement: Statement) -> datetime:
    """Server-local time of the first row that moved money, which is where the statement's history starts.

    An MT4 opening moves none: it may lie long before the period of the statement.
    """
    times = [
        deal.time
        for deal in statement.deals
        if statement.platform is Platform.MT5 or deal.leg == 1 or not deal.kind.is_trade
    ]
    return min(times, default=statement.as_of)


class _Joined:
    """Disjoint sets of numbers; each set is named by its lowest."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def lowest(self, number: int) -> int:
        parent = self._parent.setdefault(number, number)
        while parent != number:
            number, parent = parent, self._parent[parent]
        return number

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.lowest(one), self.lowest(other)))
        self._parent[high] = low
