"""Keeps how orders were executed, as the servers' ended orders tell it.

A sync hands in what a window of time held; windows overlap and repeat, so an order that is known is only brought up to
date. Orders of accounts that are not known yet are left out and counted: the next overlap brings them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import Q

from platform_ops.gateways.types import GatewayOrder
from platform_ops.models import OrderExecution, ServerSymbol, SymbolSpec, TradingAccount
from platform_ops.rules.execution import figures_of, is_ended, written_point

ORDERS_PER_STATEMENT = 1_000
_KEY = ("server", "order_ticket")
_CHANGING = (
    "symbol", "server_symbol", "type", "side", "state", "reason", "volume_lots", "filled_lots", "requested_price",
    "filled_price", "slippage_points", "fill_milliseconds", "requotes", "reject_reason", "placed_at", "done_at", "hour",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredOrders:
    """What became of a list of orders: new ones, known ones, working ones left for later, and those of nobody."""

    new: int = 0
    known: int = 0
    working: int = 0
    unknown_accounts: int = 0


def store_orders(*, server_id: int, orders: Iterable[GatewayOrder]) -> StoredOrders:
    """Keeps the ended orders among *orders*; asking again with the same changes nothing."""
    totals = StoredOrders()
    source = iter(orders)
    while chunk := list(islice(source, ORDERS_PER_STATEMENT)):
        totals = _sum(totals, _store_chunk(server_id, chunk))
    return totals


def _sum(one: StoredOrders, other: StoredOrders) -> StoredOrders:
    return StoredOrders(
        one.new + other.new,
        one.known + other.known,
        one.working + other.working,
        one.unknown_accounts + other.unknown_accounts,
    )


def _store_chunk(server_id: int, chunk: Sequence[GatewayOrder]) -> StoredOrders:
    # The same order may come twice in one answer; the later row is the later state.
    ended = {order.ticket: order for order in chunk if is_ended(order)}
    logins = {order.login for order in ended.values()}
    accounts = dict(TradingAccount.objects.filter(server_id=server_id, login__in=logins).values_list("login", "pk"))
    symbols = _symbols(server_id, {order.symbol for order in ended.values()})
    rows = [
        _row(server_id, order, accounts[order.login], *symbols.get(order.symbol, (None, None)))
        for order in ended.values()
        if order.login in accounts
    ]
    # A fixed order, so that two syncs never wait for each other crosswise.
    rows.sort(key=lambda row: row.order_ticket)
    with transaction.atomic():
        tickets = [row.order_ticket for row in rows]
        known = OrderExecution.objects.filter(server_id=server_id, order_ticket__in=tickets).count()
        OrderExecution.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=list(_KEY), update_fields=list(_CHANGING)
        )
    working = sum(not is_ended(order) for order in chunk)
    return StoredOrders(len(rows) - known, known, working, len(ended) - len(rows))


def _symbols(server_id: int, names: set[str]) -> dict[str, tuple[int, Decimal | None]]:
    """The server's symbol by name, with the point of the specification in force, where the house knows it."""
    found = ServerSymbol.objects.filter(server_id=server_id, name__in=names).values_list("name", "pk", "symbol_id")
    rows = list(found)
    in_force = Q(validity__endswith__isnull=True)
    specifications = SymbolSpec.objects.filter(in_force, symbol_id__in=[row[2] for row in rows if row[2]])
    digits: dict[Any, int] = dict(specifications.values_list("symbol_id", "digits"))
    return {
        name: (pk, Decimal(1).scaleb(-digits[symbol_id]) if symbol_id in digits else None)
        for name, pk, symbol_id in rows
    }


def _row(
    server_id: int, order: GatewayOrder, account_id: int, server_symbol_id: int | None, point: Decimal | None
) -> OrderExecution:
    figures = figures_of(order, point=point or written_point(order.requested_price, order.filled_price))
    done_at = order.done_at or order.placed_at
    placed_at = min(order.placed_at, done_at)
    return OrderExecution(
        server_id=server_id,
        order_ticket=order.ticket,
        account_id=account_id,
        symbol=order.symbol,
        server_symbol_id=server_symbol_id,
        type=order.type,
        side=order.side.value,
        state=order.state.value,
        reason=None if order.reason is None else order.reason.value,
        volume_lots=order.volume_initial_lots,
        filled_lots=min(order.volume_filled_lots, order.volume_initial_lots),
        requested_price=order.requested_price or None,
        filled_price=order.filled_price or None,
        slippage_points=figures.slippage_points,
        fill_milliseconds=figures.fill_milliseconds,
        requotes=figures.requotes,
        reject_reason=figures.reject_reason,
        placed_at=placed_at,
        done_at=done_at,
        hour=placed_at.astimezone(UTC).hour,
    )
