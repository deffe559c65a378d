"""What people export from the MT5 client's own API (`history_deals_get`, `history_orders_get`) into a spreadsheet.

The columns are known by name, in any order. Such a file tells deals exactly, positions included, and says neither whose
account it is nor its currency: `account` and `currency` are empty then, and the importer must learn them elsewhere. The
client's API numbers reasons otherwise than servers do; see `from_client_api`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from platform_ops.gateways.statements.fields import (
    clean_text,
    decimals_of,
    once_per_ticket,
    read_amount,
    read_lots,
    read_number,
    read_price,
    read_ticket,
    read_time,
    refuse,
)
from platform_ops.gateways.statements.positions import weighted_price
from platform_ops.gateways.statements.types import (
    ZERO,
    DealRecord,
    OrderRecord,
    Statement,
    StatementFormat,
    StatementSummary,
)
from platform_ops.gateways.statements.workbook import SheetRow
from platform_ops.types import DealEntry, DealKind, Platform, Side

DEAL_COLUMNS = frozenset(
    {"ticket", "order", "time", "type", "entry", "position_id", "volume", "price", "profit", "symbol"}
)
ORDER_COLUMNS = frozenset(
    {"ticket", "time_setup", "type", "state", "position_id", "volume_initial", "volume_current", "symbol"}
)
FILLED, WORKING = 4, frozenset({0, 1, 3})
EPOCH_FROM = Decimal(10) ** 8
"""A whole number from here up is a moment in seconds since 1970, of server time as the client's API has it."""
MILLISECONDS_FROM = Decimal(10) ** 11

# The client's API: 0 client, 1 mobile, 2 web, 3 expert, 4 stop loss, 5 take profit, 6 stop out, 7 rollover, 8 variation
# margin, 9 split. Servers: 0 client, 1 expert, 2 dealer, 3 stop loss, 4 take profit, 5 stop out, 6 rollover, … 16 mobile,
# 17 web, 18 split.
_REASONS: Mapping[int, int] = {0: 0, 1: 16, 2: 17, 3: 1, 4: 3, 5: 4, 6: 5, 7: 6, 8: 8, 9: 18}


def from_client_api(reason: int) -> int:
    """A reason in the numbers of servers, from the client's API. Raises ValueError for a number that it does not have."""
    if reason not in _REASONS:
        raise ValueError(reason)
    return _REASONS[reason]


def columns_of(rows: Sequence[SheetRow]) -> dict[str, int] | None:
    """Where each column stands, when the first row names those of an export; else None."""
    if not rows:
        return None
    names = {rows[0].text(place).casefold(): place for place in sorted(rows[0].filled)}
    return names if set(names) >= DEAL_COLUMNS or set(names) >= ORDER_COLUMNS else None


def read_mt5_api(rows: Sequence[SheetRow], columns: Mapping[str, int]) -> Statement:
    """Read an export. Raises InvalidInput with row and field for whatever cannot be read."""
    if set(columns) >= DEAL_COLUMNS:
        deals = once_per_ticket([_read_deal(row, columns) for row in rows[1:]])
        if not deals:
            refuse("the export holds no deals", row=None, field="file")
        return _statement(StatementFormat.MT5_API_DEALS, deals=tuple(_with_openings(deals)))
    orders = once_per_ticket([_read_order(row, columns) for row in rows[1:]])
    if not orders:
        refuse("the export holds no orders", row=None, field="file")
    return _statement(StatementFormat.MT5_API_ORDERS, orders=tuple(orders))


def _statement(
    kind: StatementFormat, *, deals: tuple[DealRecord, ...] = (), orders: tuple[OrderRecord, ...] = ()
) -> Statement:
    moments = [deal.time for deal in deals] + [order.done_at or order.placed_at for order in orders]
    return Statement(
        format=kind,
        platform=Platform.MT5,
        account="",
        name="",
        currency="",
        leverage=None,
        server_name="",
        company="",
        as_of=max(moments),
        deals=deals,
        open_positions=(),
        cancelled_orders=sum(order.filled_lots == 0 and order.state not in WORKING for order in orders),
        working_orders=sum(order.state in WORKING for order in orders),
        summary=StatementSummary(),
        opening_balance=ZERO,
        is_hedging=None,
        orders=orders,
    )


def _read_deal(row: SheetRow, columns: Mapping[str, int]) -> DealRecord:
    number = row.number
    kind = DealKind(_whole(row, columns, "type", {kind.value for kind in DealKind}, "not a known type of deal"))
    entry: DealEntry | None = None
    price: Decimal | None = None
    symbol, lots, order = "", ZERO, 0
    if kind.is_trade or kind in (DealKind.BUY_CANCELED, DealKind.SELL_CANCELED):
        entry = DealEntry(_whole(row, columns, "entry", {entry.value for entry in DealEntry}, "not a known direction"))
        lots = read_lots(_cell(row, columns, "volume"), row=number, field="volume")
        price = read_price(_cell(row, columns, "price"), row=number, field="price")
        order = read_ticket(_cell(row, columns, "order"), row=number, field="order")
        symbol = clean_text(_cell(row, columns, "symbol"))
        if not symbol:
            refuse("the symbol is missing", row=number, field="symbol")
    if "reason" in columns:
        _whole(row, columns, "reason", set(_REASONS), "not a reason of the client's API")
    return DealRecord(
        row=number,
        ticket=read_ticket(_cell(row, columns, "ticket"), row=number, field="ticket"),
        leg=0,
        kind=kind,
        entry=entry,
        position=_position(row, columns) if kind.is_trade else 0,
        order=order,
        symbol=symbol,
        volume_lots=lots,
        price=price,
        time=_time(row, columns, "time"),
        profit=_amount(row, columns, "profit"),
        swap=_amount(row, columns, "swap"),
        commission=_amount(row, columns, "commission"),
        fee=_amount(row, columns, "fee"),
        comment=clean_text(_cell(row, columns, "comment")),
        price_digits=0 if price is None else decimals_of(price),
    )


def _with_openings(deals: Sequence[DealRecord]) -> list[DealRecord]:
    """Closings with the price and time of their opening, where the export holds that too."""
    held: dict[int, tuple[Decimal, Decimal, datetime]] = {}
    found: dict[int, DealRecord] = {}
    for deal in sorted(deals, key=lambda one: (one.time, one.ticket)):
        known = held.get(deal.position)
        if deal.entry is None or deal.price is None:
            found[deal.ticket] = deal
            continue
        if deal.entry is DealEntry.IN:
            lots, price, since = known or (ZERO, deal.price, deal.time)
            held[deal.position] = (
                lots + deal.volume_lots,
                weighted_price(price, lots, deal.price, deal.volume_lots),
                since,
            )
            found[deal.ticket] = deal
            continue
        if known is None:
            found[deal.ticket] = deal
            continue
        lots, price, since = known
        found[deal.ticket] = replace(deal, open_price=price, open_time=since)
        left = lots - deal.volume_lots
        if left > 0:
            held[deal.position] = (left, price, since)
        elif left < 0 and deal.entry is DealEntry.INOUT:
            held[deal.position] = (-left, deal.price, deal.time)
        else:
            held.pop(deal.position, None)
    return [found[deal.ticket] for deal in deals]


def _read_order(row: SheetRow, columns: Mapping[str, int]) -> OrderRecord:
    number = row.number
    state = _whole(row, columns, "state", set(range(10)), "not a known state of an order")
    kind = _whole(row, columns, "type", set(range(9)), "not a known type of order")
    initial = read_lots(_cell(row, columns, "volume_initial"), row=number, field="volume_initial")
    rest = read_lots(_cell(row, columns, "volume_current"), row=number, field="volume_current")
    if rest > initial:
        refuse("more is open than was ordered", row=number, field="volume_current", value=rest)
    price = _cell(row, columns, "price_open")
    reason = (
        _whole(row, columns, "reason", set(_REASONS), "not a reason of the client's API") if "reason" in columns else 0
    )
    return OrderRecord(
        row=number,
        ticket=read_ticket(_cell(row, columns, "ticket"), row=number, field="ticket"),
        symbol=clean_text(_cell(row, columns, "symbol")),
        type=kind,
        side=Side.BUY if kind % 2 == 0 else Side.SELL,
        state=state,
        position=_position(row, columns),
        initial_lots=initial,
        filled_lots=initial - rest if state in (FILLED, 3) else ZERO,
        price=(read_price(price, row=number, field="price_open") or None) if price is not None else None,
        placed_at=_finest_time(row, columns, "time_setup"),
        done_at=_finest_time(row, columns, "time_done") if _has(row, columns, "time_done") else None,
        reason=from_client_api(reason),
        comment=clean_text(_cell(row, columns, "comment")),
    )


def _cell(row: SheetRow, columns: Mapping[str, int], name: str) -> object:
    place = columns.get(name)
    return None if place is None else row.values[place]


def _has(row: SheetRow, columns: Mapping[str, int], name: str) -> bool:
    value = _cell(row, columns, name)
    return value is not None and value != 0


def _amount(row: SheetRow, columns: Mapping[str, int], name: str) -> Decimal:
    value = _cell(row, columns, name)
    return ZERO if value is None and name != "profit" else read_amount(value, row=row.number, field=name)


def _position(row: SheetRow, columns: Mapping[str, int]) -> int:
    return read_ticket(_cell(row, columns, "position_id"), row=row.number, field="position_id")


def _whole(row: SheetRow, columns: Mapping[str, int], name: str, known: set[int], problem: str) -> int:
    value = read_number(_cell(row, columns, name), row=row.number, field=name)
    if value != value.to_integral_value() or int(value) not in known:
        refuse(problem, row=row.number, field=name, value=value)
    return int(value)


def _finest_time(row: SheetRow, columns: Mapping[str, int], name: str) -> datetime:
    """A time to the millisecond where the export tells it so: a market order is filled within milliseconds."""
    finer = f"{name}_msc"
    value = _cell(row, columns, finer)
    if isinstance(value, Decimal) and value >= MILLISECONDS_FROM:
        return _time(row, columns, finer) + timedelta(milliseconds=int(value % 1000))
    if isinstance(value, datetime):
        return _time(row, columns, finer) + timedelta(milliseconds=(value.microsecond + 500) // 1000)
    return _time(row, columns, finer if _has(row, columns, finer) else name)


def _time(row: SheetRow, columns: Mapping[str, int], name: str) -> datetime:
    """A time of the server: as a date of the sheet, as text, or as seconds or milliseconds since 1970."""
    value = _cell(row, columns, name)
    if isinstance(value, Decimal) and value >= EPOCH_FROM:
        seconds = value / 1000 if value >= MILLISECONDS_FROM else value
        try:
            return datetime.fromtimestamp(int(seconds), tz=UTC).replace(tzinfo=None)
        except (OverflowError, ValueError, OSError):
            refuse("not a time", row=row.number, field=name, value=value)
    return read_time(value, row=row.number, field=name)
