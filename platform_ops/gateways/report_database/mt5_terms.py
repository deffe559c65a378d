"""How `mt5_symbols` says what a symbol's terms are."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from platform_ops.gateways.report_database.connection import Database, Row
from platform_ops.gateways.report_database.values import mt5_lots, number, rounded, text
from platform_ops.gateways.types import CalculationMode, GatewaySymbol, SwapMode, SymbolTerms, TradeMode

TABLE = "mt5_symbols"
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
SYMBOL_COLUMNS = [
    "Symbol",
    "Path",
    "Description",
    "ISIN",
    "Digits",
    "ContractSize",
    "CurrencyBase",
    "CurrencyProfit",
    "CurrencyMargin",
    "CalcMode",
    "TradeMode",
    "TickSize",
    "TickValue",
    "Spread",
    "StopsLevel",
    "FreezeLevel",
    "VolumeMin",
    "VolumeMinExt",
    "VolumeMax",
    "VolumeMaxExt",
    "VolumeStep",
    "VolumeStepExt",
    "VolumeLimit",
    "VolumeLimitExt",
    "MarginInitial",
    "MarginMaintenance",
    "MarginHedged",
    "MarginFlags",
    "SwapMode",
    "SwapLong",
    "SwapShort",
    "Swap3Day",
    "SwapYearDay",
    "SwapFlags",
    "FilterSoft",
    "FilterSoftTicks",
    "FilterHard",
    "FilterHardTicks",
    "FilterDiscard",
    "FilterSpreadMin",
    "FilterSpreadMax",
    "FilterGap",
    "FilterGapTicks",
] + [f"SwapRate{day}" for day in _WEEKDAYS]
_HEDGED_BY_LARGER_LEG = 0x4
_SWAP_CONSIDERS_HOLIDAYS = 0x1
_MONDAY, _FRIDAY = 1, 5


def symbol_of(row: Row, database: Database) -> GatewaySymbol:
    """A symbol with its terms. Raises GatewayGarbled, naming symbol and field, for what cannot be."""
    name = text(row["Symbol"])

    def known(kind: type[Any], column: str) -> Any:
        try:
            return kind(number(row[column]))
        except ValueError:
            database.garbled("not a known mode", table=TABLE, row=name, name=column, value=row[column])

    contract = rounded(row["ContractSize"], 8)
    if contract <= 0:
        database.garbled("must be above zero", table=TABLE, row=name, name="ContractSize", value=contract)
    terms = SymbolTerms(
        digits=number(row["Digits"]),
        contract_size=contract.normalize(),
        base_currency=text(row["CurrencyBase"]),
        profit_currency=text(row["CurrencyProfit"]),
        margin_currency=text(row["CurrencyMargin"]) or text(row["CurrencyBase"]),
        calculation_mode=known(CalculationMode, "CalcMode"),
        trade_mode=known(TradeMode, "TradeMode"),
        tick_size=rounded(row["TickSize"], 10).normalize(),
        tick_value=rounded(row["TickValue"], 10).normalize(),
        spread_points=number(row["Spread"]),
        stops_level_points=number(row["StopsLevel"]),
        freeze_level_points=number(row["FreezeLevel"]),
        lots_minimum=mt5_lots(row, "VolumeMin"),
        lots_maximum=mt5_lots(row, "VolumeMax"),
        lots_step=mt5_lots(row, "VolumeStep"),
        lots_limit=mt5_lots(row, "VolumeLimit"),
        margin_initial=rounded(row["MarginInitial"], 8).normalize(),
        margin_maintenance=rounded(row["MarginMaintenance"], 8).normalize(),
        margin_hedged=rounded(row["MarginHedged"], 8).normalize(),
        is_hedged_by_larger_leg=bool(number(row["MarginFlags"]) & _HEDGED_BY_LARGER_LEG),
        swap_mode=known(SwapMode, "SwapMode"),
        swap_long=rounded(row["SwapLong"], 8).normalize(),
        swap_short=rounded(row["SwapShort"], 8).normalize(),
        swap_multipliers=_multipliers(row),
        swap_year_days=number(row["SwapYearDay"]) or 360,
        swap_considers_holidays=bool(number(row["SwapFlags"]) & _SWAP_CONSIDERS_HOLIDAYS),
        filter_soft_points=number(row["FilterSoft"]),
        filter_soft_ticks=number(row["FilterSoftTicks"]),
        filter_hard_points=number(row["FilterHard"]),
        filter_hard_ticks=number(row["FilterHardTicks"]),
        filter_discard_points=number(row["FilterDiscard"]),
        filter_spread_minimum_points=number(row["FilterSpreadMin"]),
        filter_spread_maximum_points=number(row["FilterSpreadMax"]),
        gap_points=number(row["FilterGap"]),
        gap_ticks=number(row["FilterGapTicks"]),
        isin=text(row["ISIN"]),
    )
    return GatewaySymbol(
        name=name, terms=terms, description=text(row["Description"]), path=text(row["Path"]).rpartition("\\")[0]
    )


def _multipliers(row: Row) -> tuple[Decimal, ...]:
    """Nights by weekday from Sunday: newer exports state each, older ones only the day that counts three."""
    stated = [row[f"SwapRate{day}"] for day in _WEEKDAYS]
    if any(value is not None for value in stated):
        return tuple(rounded(value, 4).normalize() for value in stated)
    triple = number(row["Swap3Day"])
    return tuple(
        Decimal(3) if day == triple else Decimal(1) if _MONDAY <= day <= _FRIDAY else Decimal(0) for day in range(7)
    )
