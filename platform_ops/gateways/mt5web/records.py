"""The server's JSON objects as our records, and our symbol terms as the server's fields. Pure.

A field that is missing where it must be, or cannot be what it should, is refused with server, command, subject and field
(see `fields.Record`). What the server writes as 0 for "not known" is None here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.errors import GatewayGarbled
from platform_ops.gateways.mt5web.fields import Record, from_seconds, to_seconds
from platform_ops.gateways.types import (
    CalculationMode,
    DealReason,
    GatewayAccount,
    GatewayDeal,
    GatewayGroup,
    GatewayOrder,
    GatewayPosition,
    GatewaySymbol,
    GatewayTick,
    OrderState,
    Session,
    SwapMode,
    SymbolTerms,
    TradeMode,
)
from platform_ops.types import DealEntry, DealKind, Side

Numbered = TypeVar("Numbered", bound=IntEnum)
Sessions = tuple[tuple[Session, ...], ...]

VOLUME_UNIT = Decimal("1e-4")
VOLUME_EXT_UNIT = Decimal("1e-8")
ZERO = Decimal(0)
NETTING_MODES = (0, 1)
HEDGING_MODE = 2
SYMBOL_NAME = 32
MINUTES_OF_A_DAY = 24 * 60
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
LARGER_LEG_FLAG = 4
HOLIDAYS_FLAG = 1
BY_MARKET_FLAG = 1
MAX_TICKET = 2**63 - 1
MAX_SESSIONS = 32
MAX_POINTS = 10**9
LARGEST_WRITTEN = Decimal("1e12")
WRITTEN_DECIMALS = 10
MOST_LOTS = Decimal("1e8")
ENABLED_RIGHT, NO_TRADING_RIGHT, READ_ONLY_RIGHT = 0x1, 0x4, 0x200
_ORDER_SIDES = {
    0: Side.BUY,
    1: Side.SELL,
    2: Side.BUY,
    3: Side.SELL,
    4: Side.BUY,
    5: Side.SELL,
    6: Side.BUY,
    7: Side.SELL,
}
_REASONS = frozenset(int(reason) for reason in DealReason)


def deal_of(record: Record, zone: ServerZone) -> GatewayDeal:
    """A deal."""
    ticket = record.integer("Deal", low=1, high=MAX_TICKET)
    record = record.about(f"deal {ticket}")
    kind = _number(record, "Action", DealKind)
    at = record.moment("Time", zone, milliseconds_name="TimeMsc")
    if at is None:
        record.refuse("Time", record.values.get("Time"), "is no time")
    return GatewayDeal(
        ticket=ticket,
        login=str(record.integer("Login", low=1)),
        kind=kind,
        at=at,
        entry=_number(record, "Entry", DealEntry) if _names_a_symbol(kind) else None,
        reason=_reason(record),
        order_ticket=record.integer("Order", 0, high=MAX_TICKET),
        position_ticket=record.integer("PositionID", 0, high=MAX_TICKET),
        symbol=record.text("Symbol", maximum=SYMBOL_NAME),
        volume_lots=_lots(record, "Volume"),
        price=record.positive("Price"),
        open_price=record.positive("PricePosition"),
        profit=record.decimal("Profit", ZERO),
        swap=record.decimal("Storage", ZERO),
        commission=record.decimal("Commission", ZERO),
        fee=record.decimal("Fee", ZERO),
        comment=record.text("Comment", maximum=255),
        contract_size=record.positive("ContractSize"),
        profit_rate=record.positive("RateProfit"),
        margin_rate=record.positive("RateMargin"),
        market_bid=record.positive("MarketBid"),
        market_ask=record.positive("MarketAsk"),
        gateway_price=record.positive("PriceGateway"),
        external_id=record.text("ExternalID", maximum=255),
        dealer=record.integer("Dealer", 0),
        expert=record.integer("ExpertID", 0),
        modify_flags=record.integer(record.first("ModifyFlags", "ModificationFlags"), 0),
    )


def position_of(record: Record, zone: ServerZone) -> GatewayPosition:
    """An open position."""
    ticket = record.integer("Position", low=1, high=MAX_TICKET)
    record = record.about(f"position {ticket}")
    opened_at = record.moment("TimeCreate", zone, milliseconds_name="TimeCreateMsc")
    if opened_at is None:
        record.refuse("TimeCreate", record.values.get("TimeCreate"), "is no time")
    return GatewayPosition(
        ticket=ticket,
        login=str(record.integer("Login", low=1)),
        symbol=record.text("Symbol", None, maximum=SYMBOL_NAME),
        side=Side.SELL if record.integer("Action", high=1) else Side.BUY,
        volume_lots=_lots(record, "Volume"),
        open_price=record.decimal("PriceOpen"),
        current_price=record.decimal("PriceCurrent", ZERO),
        opened_at=opened_at,
        profit=record.decimal("Profit", ZERO),
        swap=record.decimal("Storage", ZERO),
        contract_size=record.positive("ContractSize"),
        comment=record.text("Comment", maximum=255),
    )


def order_of(record: Record, zone: ServerZone) -> GatewayOrder:
    """An order of the history."""
    ticket = record.integer("Order", low=1, high=MAX_TICKET)
    record = record.about(f"order {ticket}")
    placed_at = record.moment("TimeSetup", zone, milliseconds_name="TimeSetupMsc")
    if placed_at is None:
        record.refuse("TimeSetup", record.values.get("TimeSetup"), "is no time")
    type_ = record.integer("Type", high=20)
    state = _number(record, "State", OrderState)
    initial, open_volume = _lots(record, "VolumeInitial"), _lots(record, "VolumeCurrent")
    if open_volume > initial:
        record.refuse("VolumeCurrent", open_volume, "is above VolumeInitial")
    is_filled = state in (OrderState.FILLED, OrderState.PARTIAL)
    return GatewayOrder(
        ticket=ticket,
        login=str(record.integer("Login", low=1)),
        symbol=record.text("Symbol", maximum=SYMBOL_NAME),
        state=state,
        type=type_,
        side=_ORDER_SIDES.get(type_, Side.BUY),
        volume_initial_lots=initial,
        volume_filled_lots=initial - open_volume,
        requested_price=record.positive("PriceOrder"),
        placed_at=placed_at,
        done_at=record.moment("TimeDone", zone, milliseconds_name="TimeDoneMsc"),
        filled_price=record.positive("PriceCurrent") if is_filled else None,
        position_ticket=record.integer("PositionID", 0, high=MAX_TICKET),
        reason=_reason(record),
        comment=record.text("Comment", maximum=255),
        external_id=record.text("ExternalID", maximum=255),
    )


def account_of(user: Record, figures: Record | None, currency: str, zone: ServerZone) -> GatewayAccount:
    """An account from its record and, where the server tells them, its live figures."""
    login = str(user.integer("Login", low=1))
    user = user.about(f"login {login}")
    rights = user.integer("Rights", 0)
    live = (figures or Record({}, user.server, user.command)).about(f"login {login}")
    return GatewayAccount(
        login=login,
        group=user.text("Group", None, maximum=120),
        name=user.text("Name", maximum=255) or user.text("FirstName", maximum=255),
        currency=currency,
        leverage=user.integer("Leverage", 0, high=1_000_000),
        balance=live.decimal("Balance") if live.has("Balance") else user.decimal("Balance", ZERO),
        credit=live.decimal("Credit") if live.has("Credit") else user.decimal("Credit", ZERO),
        equity=_optional(live, "Equity"),
        margin=_optional(live, "Margin"),
        margin_free=_optional(live, "MarginFree"),
        email=user.text("Email", maximum=255),
        country=user.text("Country", maximum=255),
        comment=user.text("Comment", maximum=255),
        is_enabled=bool(rights & ENABLED_RIGHT),
        is_trading_allowed=not rights & (NO_TRADING_RIGHT | READ_ONLY_RIGHT),
        registered_at=user.moment("Registration", zone),
    )


def group_of(record: Record) -> GatewayGroup:
    """A group."""
    name = record.text("Group", None, maximum=120)
    record = record.about(f"group {name}")
    mode = record.integer("MarginMode", 0, high=10)
    if mode not in (*NETTING_MODES, HEDGING_MODE):
        record.refuse("MarginMode", mode, "is not known")
    is_percent = record.integer("MarginSOMode", 0, high=1) == 0
    return GatewayGroup(
        name=name,
        currency=record.text("Currency", None, maximum=16),
        is_hedging=mode == HEDGING_MODE,
        leverage=record.integer("DemoLeverage", 0, high=1_000_000) or None,
        margin_call_percent=_optional(record, "MarginCall") if is_percent else None,
        stop_out_percent=_optional(record, "MarginStopOut") if is_percent else None,
    )


def tick_of(record: Record, zone: ServerZone) -> GatewayTick | None:
    """A last quote; None while the symbol has none."""
    symbol = record.text("Symbol", None, maximum=SYMBOL_NAME)
    record = record.about(f"symbol {symbol}")
    bid, ask = record.positive("Bid"), record.positive("Ask")
    at = record.moment("Datetime", zone, milliseconds_name="DatetimeMsc")
    if bid is None or ask is None or at is None:
        return None
    return GatewayTick(symbol=symbol, bid=bid, ask=ask, at=at)


def symbol_of(record: Record) -> GatewaySymbol:
    """A symbol with its terms."""
    name = record.text("Symbol", None, maximum=SYMBOL_NAME)
    record = record.about(f"symbol {name}")
    profit_currency = record.text("CurrencyProfit", None, maximum=16)
    points = _points(record)
    terms = SymbolTerms(
        digits=record.integer("Digits", high=15),
        contract_size=record.decimal("ContractSize"),
        base_currency=record.text("CurrencyBase", None, maximum=16),
        profit_currency=profit_currency,
        margin_currency=record.text("CurrencyMargin", profit_currency, maximum=16),
        calculation_mode=_number(record, "CalcMode", CalculationMode),
        tick_size=record.decimal("TickSize", ZERO),
        tick_value=record.decimal("TickValue", ZERO),
        trade_mode=_number(record, "TradeMode", TradeMode, TradeMode.FULL),
        lots_minimum=_lots(record, "VolumeMin"),
        lots_maximum=_lots(record, "VolumeMax"),
        lots_step=_lots(record, "VolumeStep"),
        lots_limit=_lots(record, "VolumeLimit"),
        margin_initial=record.decimal("MarginInitial", ZERO),
        margin_maintenance=record.decimal("MarginMaintenance", ZERO),
        margin_hedged=record.decimal("MarginHedged", ZERO),
        margin_rate_buy=record.decimal(record.first("MarginInitialBuy", "MarginLong"), Decimal(1)),
        margin_rate_sell=record.decimal(record.first("MarginInitialSell", "MarginShort"), Decimal(1)),
        is_hedged_by_larger_leg=bool(record.integer("MarginFlags", 0) & LARGER_LEG_FLAG),
        converts_by_market=bool(record.integer("TradeFlags", 0) & BY_MARKET_FLAG),
        face_value=record.decimal("FaceValue", ZERO),
        accrued_interest=record.decimal("AccruedInterest", ZERO),
        swap_mode=_number(record, "SwapMode", SwapMode, SwapMode.NONE),
        swap_long=record.decimal("SwapLong", ZERO),
        swap_short=record.decimal("SwapShort", ZERO),
        swap_multipliers=_multipliers(record),
        swap_year_days=record.integer(record.first("SwapYearDays", "SwapYearDay"), 360, low=1, high=366),
        swap_considers_holidays=bool(record.integer("SwapFlags", 0) & HOLIDAYS_FLAG),
        quote_sessions=_sessions(record, "SessionsQuotes"),
        trade_sessions=_sessions(record, "SessionsTrades"),
        expires_on=_expiry(record),
        isin=record.text("ISIN", maximum=40),
        **points,
    )
    return GatewaySymbol(
        name=name,
        terms=terms,
        description=record.text("Description", maximum=255),
        path=record.text("Path", maximum=255),
    )


_POINTS = {
    "spread_points": "Spread",
    "stops_level_points": "StopsLevel",
    "freeze_level_points": "FreezeLevel",
    "filter_soft_points": "FilterSoft",
    "filter_soft_ticks": "FilterSoftTicks",
    "filter_hard_points": "FilterHard",
    "filter_hard_ticks": "FilterHardTicks",
    "filter_discard_points": "FilterDiscard",
    "filter_spread_minimum_points": "FilterSpreadMin",
    "filter_spread_maximum_points": "FilterSpreadMax",
    "gap_points": "FilterGap",
    "gap_ticks": "FilterGapTicks",
}
_DECIMALS = {
    "contract_size": ("ContractSize",),
    "tick_size": ("TickSize",),
    "tick_value": ("TickValue",),
    "margin_initial": ("MarginInitial",),
    "margin_maintenance": ("MarginMaintenance",),
    "margin_hedged": ("MarginHedged",),
    "margin_rate_buy": ("MarginInitialBuy", "MarginLong"),
    "margin_rate_sell": ("MarginInitialSell", "MarginShort"),
    "face_value": ("FaceValue",),
    "accrued_interest": ("AccruedInterest",),
    "swap_long": ("SwapLong",),
    "swap_short": ("SwapShort",),
}
_LOTS = {
    "lots_minimum": "VolumeMin",
    "lots_maximum": "VolumeMax",
    "lots_step": "VolumeStep",
    "lots_limit": "VolumeLimit",
}
_NUMBERS: dict[str, tuple[str, type[IntEnum]]] = {
    "calculation_mode": ("CalcMode", CalculationMode),
    "trade_mode": ("TradeMode", TradeMode),
    "swap_mode": ("SwapMode", SwapMode),
}
_TEXTS = {
    "base_currency": "CurrencyBase",
    "profit_currency": "CurrencyProfit",
    "margin_currency": "CurrencyMargin",
    "isin": "ISIN",
}


def changed_symbol(record: Record, changes: Mapping[str, object]) -> dict[str, Any]:
    """The server's own object of a symbol with *changes* (fields of `SymbolTerms`) written into it.

    Raises InvalidInput for a field that there is none of, or a value that does not fit it.
    """
    values = dict(record.values)
    for name, value in changes.items():
        writer = _WRITERS.get(name)
        if writer is None:
            raise InvalidInput(f"A symbol has no {name} that can be changed.", field=name)
        try:
            writer(values, record, name, value)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise InvalidInput(f"{name} cannot be {value!r}.", field=name, value=str(value)) from error
    return values


_GROUP_FIELDS = {
    "swap_mode": "SwapMode",
    "swap_long": "SwapLong",
    "swap_short": "SwapShort",
}
"""Which field of a group's settings for a symbol states which term, as far as they are read and set here."""
_FOLLOWS = frozenset(
    {
        "", "default", "4294967295", "2147483647", "18446744073709551615", "9223372036854775807",
        "1.7976931348623157e+308", "1.7976931348623158e+308",
    }
)  # fmt: skip
"""What such a field holds where the group follows the symbol."""


def own_group_terms(group: Record, symbol: Record) -> frozenset[str]:
    """The terms that a group's settings state themselves, for exactly this symbol or by a mask that it falls under."""
    entries = [entry for entry in _group_entries(group) if _falls_under(symbol, str(entry.get("Path", "")))]
    return frozenset(
        name
        for name, field in _GROUP_FIELDS.items()
        if any(str(entry.get(field, "")).lower() not in _FOLLOWS for entry in entries)
    )


def changed_group(group: Record, symbol: Record, changes: Mapping[str, object]) -> dict[str, Any]:
    """The server's own object of a group whose settings for exactly this symbol have *changes* written into them.

    A None takes the group's own statement away; settings that state nothing any more are left out. Raises InvalidInput for a
    field that a group cannot have.
    """
    if unknown := sorted(set(changes) - set(_GROUP_FIELDS)):
        raise InvalidInput(f"A group has no {unknown[0]} of its own that can be set.", field=unknown[0])
    stated = changed_symbol(symbol, {name: value for name, value in changes.items() if value is not None})
    paths = {str(symbol.values.get("Path", "")), str(symbol.values.get("Symbol", ""))} - {""}
    entries = [dict(entry) for entry in _group_entries(group)]
    mine = next((entry for entry in entries if str(entry.get("Path", "")) in paths), None)
    if mine is None:
        mine = {"Path": str(symbol.values.get("Path") or symbol.values["Symbol"])}
        entries.append(mine)
    for name, value in changes.items():
        field = _GROUP_FIELDS[name]
        if value is None:
            mine.pop(field, None)
        else:
            mine[field] = stated[field]
    kept = [entry for entry in entries if entry is not mine or set(mine) - {"Path"}]
    return {**group.values, "Symbols": kept}


def _group_entries(group: Record) -> list[Mapping[str, Any]]:
    entries = group.values.get("Symbols") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise GatewayGarbled(
            f"{group.server} answered {group.command} with settings of symbols that are no list of objects.",
            server=group.server,
            field="Symbols",
        )
    return entries


def _falls_under(symbol: Record, mask: str) -> bool:
    path, name = str(symbol.values.get("Path", "")), str(symbol.values.get("Symbol", ""))
    return any(fnmatchcase(each, mask.replace("[", "[[]")) for each in (path, name) if each)


def _write_points(values: dict[str, Any], record: Record, name: str, value: Any) -> None:
    if not 0 <= int(value) <= MAX_POINTS:
        raise ValueError("out of bounds")
    values[_POINTS[name]] = str(int(value))


def _write_decimal(values: dict[str, Any], record: Record, name: str, value: Any) -> None:
    values[record.first(*_DECIMALS[name])] = _plain(value)


def _write_lots(values: dict[str, Any], record: Record, name: str, value: Any) -> None:
    lots = Decimal(str(value))
    units = lots / VOLUME_EXT_UNIT
    if not 0 <= lots < MOST_LOTS or units != units.to_integral_value():
        raise ValueError("no volume")
    values[_LOTS[name]] = str(int(lots / VOLUME_UNIT))
    values[f"{_LOTS[name]}Ext"] = str(int(units))


def _write_number(values: dict[str, Any], record: Record, name: str, value: Any) -> None:
    field, numbers = _NUMBERS[name]
    values[field] = str(int(numbers(int(value))))


def _write_text(values: dict[str, Any], record: Record, name: str, value: Any) -> None:
    values[_TEXTS[name]] = str(value)


def _write_flag(values: dict[str, Any], record: Record, name: str, value: Any) -> None:
    field, flag = {
        "is_hedged_by_larger_leg": ("MarginFlags", LARGER_LEG_FLAG),
        "swap_considers_holidays": ("SwapFlags", HOLIDAYS_FLAG),
        "converts_by_market": ("TradeFlags", BY_MARKET_FLAG),
    }[name]
    flags = record.integer(field, 0)
    values[field] = str(flags | flag if value else flags & ~flag)


def _write_digits(values: dict[str, Any], record: Record, name: str, value: Any) -> None:
    if not 0 <= int(value) <= 15:
        raise ValueError("out of bounds")
    values["Digits"] = str(int(value))


def _write_year(values: dict[str, Any], record: Record, name: str, value: Any) -> None:
    if not 1 <= int(value) <= 366:
        raise ValueError("out of bounds")
    values[record.first("SwapYearDays", "SwapYearDay")] = str(int(value))


def _write_multipliers(values: dict[str, Any], record: Record, name: str, value: Any) -> None:
    multipliers = [_plain(item) for item in value]
    if len(multipliers) != len(DAYS) or any(Decimal(item) < 0 for item in multipliers):
        raise ValueError("seven multipliers")
    for day, multiplier in zip(DAYS, multipliers, strict=True):
        values[f"SwapRate{day}"] = multiplier


def _write_sessions(values: dict[str, Any], record: Record, name: str, value: Any) -> None:
    days = [[(int(start), int(end)) for start, end in day] for day in value]
    if len(days) != len(DAYS) or any(not 0 <= a < b <= MINUTES_OF_A_DAY for day in days for a, b in day):
        raise ValueError("no sessions")
    field = "SessionsQuotes" if name == "quote_sessions" else "SessionsTrades"
    values[field] = [
        [
            {
                "Open": str(start),
                "OpenHours": str(start // 60),
                "OpenMinutes": str(start % 60),
                "Close": str(end),
                "CloseHours": str(end // 60),
                "CloseMinutes": str(end % 60),
            }
            for start, end in day
        ]
        for day in days
    ]


def _write_expiry(values: dict[str, Any], record: Record, name: str, value: Any) -> None:
    if value is None:
        values["TimeExpiration"] = "0"
        return
    day = value if isinstance(value, date) else date.fromisoformat(str(value))
    values["TimeExpiration"] = str(to_seconds(from_seconds(0).replace(year=day.year, month=day.month, day=day.day)))


_Writer = Callable[[dict[str, Any], Record, str, Any], None]
_WRITERS: dict[str, _Writer] = {
    **dict.fromkeys(_POINTS, _write_points),
    **dict.fromkeys(_DECIMALS, _write_decimal),
    **dict.fromkeys(_LOTS, _write_lots),
    **dict.fromkeys(_NUMBERS, _write_number),
    **dict.fromkeys(_TEXTS, _write_text),
    "is_hedged_by_larger_leg": _write_flag,
    "swap_considers_holidays": _write_flag,
    "converts_by_market": _write_flag,
    "digits": _write_digits,
    "swap_year_days": _write_year,
    "swap_multipliers": _write_multipliers,
    "quote_sessions": _write_sessions,
    "trade_sessions": _write_sessions,
    "expires_on": _write_expiry,
}


def _plain(value: Any) -> str:
    number = Decimal(str(value))
    if not number.is_finite() or abs(number) >= LARGEST_WRITTEN or number != round(number, WRITTEN_DECIMALS):
        raise ValueError("no number that the server could keep")
    return format(round(number, WRITTEN_DECIMALS).normalize() + ZERO, "f")


def _points(record: Record) -> dict[str, Any]:
    return {name: record.integer(field, 0, high=MAX_POINTS) for name, field in _POINTS.items()}


def _names_a_symbol(kind: DealKind) -> bool:
    return kind.is_trade or kind in (DealKind.BUY_CANCELED, DealKind.SELL_CANCELED)


def _number(record: Record, name: str, numbers: type[Numbered], default: Numbered | None = None) -> Numbered:
    value = record.integer(name, None if default is None else int(default))
    try:
        return numbers(value)
    except ValueError:
        record.refuse(name, value, "is not known")


def _reason(record: Record) -> DealReason | None:
    """Newer servers have reasons that nobody has told us of; they say no more than "none of ours"."""
    value = record.integer("Reason", -1, low=-1)
    return DealReason(value) if value in _REASONS else None


def _lots(record: Record, name: str) -> Decimal:
    """A volume: in 10^-8 lots where the server tells it so finely, else in 10^-4."""
    fine = record.integer(f"{name}Ext", 0, high=10**17)
    if fine:
        return (fine * VOLUME_EXT_UNIT).normalize() + ZERO
    return (record.integer(name, 0, high=10**13) * VOLUME_UNIT).normalize() + ZERO


def _optional(record: Record, name: str) -> Decimal | None:
    return record.decimal(name) if record.has(name) else None


def _multipliers(record: Record) -> tuple[Decimal, ...]:
    """Nights by weekday, from Sunday. Older servers tell only the triple day."""
    if not any(record.has(f"SwapRate{day}") for day in DAYS):
        triple = record.integer("Swap3Day", 3, high=7)
        return tuple(
            Decimal(0) if day in (0, 6) else Decimal(3) if day == triple else Decimal(1) for day in range(len(DAYS))
        )
    return tuple(record.decimal(f"SwapRate{day}", ZERO) for day in DAYS)


def _sessions(record: Record, name: str) -> Sessions:
    days = record.values.get(name)
    if days is None:
        return ((),) * len(DAYS)
    if not isinstance(days, list) or len(days) > len(DAYS):
        record.refuse(name, days, "is no list of seven days")
    found: list[tuple[Session, ...]] = []
    for day in days:
        if not isinstance(day, list) or len(day) > MAX_SESSIONS:
            record.refuse(name, day, "is no list of sessions")
        found.append(tuple(session for item in day if (session := _session(record, name, item)) is not None))
    return tuple(found) + ((),) * (len(DAYS) - len(found))


def _session(record: Record, name: str, item: Any) -> Session | None:
    if not isinstance(item, dict):
        record.refuse(name, item, "holds something that is no session")
    inner = Record(item, record.server, record.command, record.subject)
    start = inner.integer("Open", 0, high=MINUTES_OF_A_DAY)
    end = inner.integer("Close", 0, high=MINUTES_OF_A_DAY)
    if start == end:
        return None
    if start > end:
        record.refuse(name, item, "holds a session that ends before it starts")
    return start, end


def _expiry(record: Record) -> date | None:
    seconds = record.integer("TimeExpiration", 0, high=4_102_444_800)
    return from_seconds(seconds).date() if seconds else None
