"""Rows of an MT5 report database as the records that every connector speaks. Times come in as moments already."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from backoffice.kernel.business_day import ServerZone
from platform_ops.gateways.report_database.connection import Database, Row
from platform_ops.gateways.report_database.values import mt5_lots, number, price_or_none, rate_or_none, rounded, text
from platform_ops.gateways.types import (
    DealReason,
    GatewayAccount,
    GatewayDeal,
    GatewayGroup,
    GatewayOrder,
    GatewayPosition,
    OrderState,
)
from platform_ops.types import DealEntry, DealKind, Side

DEALS, ORDERS, POSITIONS = "mt5_deals", "mt5_orders_history", "mt5_positions"
DEAL_COLUMNS = [
    "Deal",
    "Timestamp",
    "ExternalID",
    "Login",
    "Dealer",
    "Order",
    "Action",
    "Entry",
    "Reason",
    "Digits",
    "DigitsCurrency",
    "ContractSize",
    "Time",
    "TimeMsc",
    "Symbol",
    "Price",
    "VolumeExt",
    "Volume",
    "Profit",
    "Storage",
    "Commission",
    "Fee",
    "RateProfit",
    "RateMargin",
    "ExpertID",
    "PositionID",
    "Comment",
    "PricePosition",
    "PriceGateway",
    "MarketBid",
    "MarketAsk",
    "ModifyFlags",
]
ORDER_COLUMNS = [
    "Order",
    "Timestamp",
    "Login",
    "Symbol",
    "State",
    "Type",
    "TimeSetup",
    "TimeSetupMsc",
    "TimeDone",
    "TimeDoneMsc",
    "PriceOrder",
    "PriceCurrent",
    "Digits",
    "VolumeInitial",
    "VolumeInitialExt",
    "VolumeCurrent",
    "VolumeCurrentExt",
    "PositionID",
    "Reason",
    "Comment",
    "ExternalID",
]
POSITION_COLUMNS = [
    "Position",
    "Login",
    "Symbol",
    "Action",
    "TimeCreate",
    "TimeCreateMsc",
    "Timestamp",
    "PriceOpen",
    "PriceCurrent",
    "Volume",
    "VolumeExt",
    "Profit",
    "Storage",
    "ContractSize",
    "Digits",
    "DigitsCurrency",
    "Comment",
]
ACCOUNT_COLUMNS = ["Login", "CurrencyDigits", "Balance", "Credit", "Margin", "MarginFree", "MarginLeverage", "Equity"]
USER_COLUMNS = ["Group", "Name", "Leverage", "Email", "EMail", "Country", "Comment", "Rights", "Registration"]
GROUP_COLUMNS = ("Group", "Currency", "MarginMode", "MarginCall", "MarginStopOut")

HEDGING_MARGIN_MODE = 2
USER_ENABLED, USER_TRADE_DISABLED = 0x1, 0x4
_CANCELED = frozenset({DealKind.BUY_CANCELED, DealKind.SELL_CANCELED})


def deal_of(row: Row, at: datetime, database: Database) -> GatewayDeal:
    """A deal. Prices and amounts get back the digits that the row states. Raises GatewayGarbled for unknown numbers."""
    ticket = number(row["Deal"])
    try:
        kind = DealKind(number(row["Action"]))
    except ValueError:
        database.garbled("not a known action", table=DEALS, row=ticket, name="Action", value=row["Action"])
    moves_symbol = kind.is_trade or kind in _CANCELED
    entry = None
    if moves_symbol:
        try:
            entry = DealEntry(number(row["Entry"]))
        except ValueError:
            database.garbled("not a known entry", table=DEALS, row=ticket, name="Entry", value=row["Entry"])
    digits, money = row["Digits"], row["DigitsCurrency"]
    return GatewayDeal(
        ticket=ticket,
        login=str(number(row["Login"])),
        kind=kind,
        at=at,
        entry=entry,
        reason=_reason(row["Reason"]),
        order_ticket=number(row["Order"]),
        position_ticket=number(row["PositionID"]),
        symbol=text(row["Symbol"]) if moves_symbol else "",
        volume_lots=mt5_lots(row) if moves_symbol else Decimal(0),
        price=rounded(row["Price"], digits) if moves_symbol else None,
        open_price=price_or_none(row["PricePosition"], digits) if entry is not None and entry.closes else None,
        profit=rounded(row["Profit"], money),
        swap=rounded(row["Storage"], money),
        commission=rounded(row["Commission"], money),
        fee=rounded(row["Fee"], money),
        comment=text(row["Comment"]),
        contract_size=_size(row["ContractSize"]),
        profit_rate=rate_or_none(row["RateProfit"]),
        margin_rate=rate_or_none(row["RateMargin"]),
        market_bid=price_or_none(row["MarketBid"], digits),
        market_ask=price_or_none(row["MarketAsk"], digits),
        gateway_price=price_or_none(row["PriceGateway"], digits),
        external_id=text(row["ExternalID"]),
        currency=database.settings.currency,
        dealer=number(row["Dealer"]),
        expert=number(row["ExpertID"]),
        modify_flags=number(row["ModifyFlags"]),
    )


def order_of(row: Row, *, placed: datetime, done: datetime, database: Database) -> GatewayOrder:
    """An ended order. Even types buy, odd ones sell."""
    ticket, kind = number(row["Order"]), number(row["Type"])
    try:
        state = OrderState(number(row["State"]))
    except ValueError:
        database.garbled("not a known state", table=ORDERS, row=ticket, name="State", value=row["State"])
    initial, rest = mt5_lots(row, "VolumeInitial"), mt5_lots(row, "VolumeCurrent")
    return GatewayOrder(
        ticket=ticket,
        login=str(number(row["Login"])),
        symbol=text(row["Symbol"]),
        state=state,
        type=kind,
        side=Side.BUY if kind % 2 == 0 else Side.SELL,
        volume_initial_lots=initial,
        volume_filled_lots=initial - rest,
        requested_price=price_or_none(row["PriceOrder"], row["Digits"]),
        placed_at=placed,
        done_at=done,
        position_ticket=number(row["PositionID"]),
        reason=_reason(row["Reason"]),
        comment=text(row["Comment"]),
        external_id=text(row["ExternalID"]),
    )


def position_of(row: Row, ticket: int, opened_at: datetime) -> GatewayPosition:
    """An open position."""
    digits, money = row["Digits"], row["DigitsCurrency"]
    return GatewayPosition(
        ticket=ticket,
        login=str(number(row["Login"])),
        symbol=text(row["Symbol"]),
        side=Side.BUY if number(row["Action"]) == 0 else Side.SELL,
        volume_lots=mt5_lots(row),
        open_price=rounded(row["PriceOpen"], digits),
        current_price=rounded(row["PriceCurrent"], digits),
        opened_at=opened_at,
        profit=rounded(row["Profit"], money),
        swap=rounded(row["Storage"], money),
        contract_size=_size(row["ContractSize"]),
        comment=text(row["Comment"]),
    )


def account_of(
    row: Row, user: Mapping[str, Any], *, currencies: Mapping[str, str], currency: str, zone: ServerZone | None
) -> GatewayAccount:
    """An account with its money; *user* is empty where the export has no `mt5_users`."""
    digits, rights, group = row["CurrencyDigits"], user.get("Rights"), text(user.get("Group"))
    registered = user.get("Registration")
    return GatewayAccount(
        login=str(number(row["Login"])),
        group=group,
        name=text(user.get("Name")),
        currency=currencies.get(group, currency),
        leverage=number(user.get("Leverage") or row["MarginLeverage"]),
        balance=rounded(row["Balance"], digits),
        credit=rounded(row["Credit"], digits),
        equity=None if row["Equity"] is None else rounded(row["Equity"], digits),
        margin=None if row["Margin"] is None else rounded(row["Margin"], digits),
        margin_free=None if row["MarginFree"] is None else rounded(row["MarginFree"], digits),
        email=text(user.get("Email") or user.get("EMail")),
        country=text(user.get("Country")),
        comment=text(user.get("Comment")),
        is_enabled=rights is None or bool(number(rights) & USER_ENABLED),
        is_trading_allowed=rights is None or not number(rights) & USER_TRADE_DISABLED,
        registered_at=None if registered is None or zone is None else zone.to_utc(registered),
    )


def group_of(row: Row) -> GatewayGroup:
    """A group."""
    return GatewayGroup(
        name=text(row["Group"]),
        currency=text(row["Currency"]),
        is_hedging=number(row["MarginMode"]) == HEDGING_MARGIN_MODE,
        margin_call_percent=None if row["MarginCall"] is None else rounded(row["MarginCall"], 2),
        stop_out_percent=None if row["MarginStopOut"] is None else rounded(row["MarginStopOut"], 2),
    )


def _size(value: Any) -> Decimal | None:
    size = rounded(value, 8)
    return Decimal(f"{size.normalize():f}") if size else None


def _reason(value: Any) -> DealReason | None:
    """Why, or None for a number that only newer servers know."""
    try:
        return None if value is None else DealReason(number(value))
    except ValueError:
        return None
