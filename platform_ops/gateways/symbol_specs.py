"""Files of symbol specifications, as platforms and data houses write them: each row becomes what it says of a symbol.

Nothing is invented: a row holds only the fields that its file states. MetaTrader 4 numbers swap types and margin modes
otherwise than MetaTrader 5, and states the hedged margin of one leg where MetaTrader 5 states that of both. A row that
cannot be read says why; the others are read all the same. A file that is none of these is refused.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.types import CalculationMode, SwapMode

MAX_BYTES = 5_000_000
MAX_ROWS = 5_000
DAYS = 7

_SWAP_OF_MT4 = {
    0: SwapMode.POINTS,
    1: SwapMode.BASE_CURRENCY,
    2: SwapMode.INTEREST_CURRENT_PRICE,
    3: SwapMode.MARGIN_CURRENCY,
}
_MODE_OF_MT4 = {
    0: CalculationMode.FOREX,
    1: CalculationMode.CFD,
    2: CalculationMode.FUTURES,
    3: CalculationMode.CFD_INDEX,
    4: CalculationMode.CFD_LEVERAGE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedSymbol:
    """What a row of a file says: its own name of the symbol and the terms it states, or why it cannot be taken."""

    row: int
    name: str
    description: str = ""
    terms: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    problem_field: str = ""


@dataclass(frozen=True, slots=True)
class SpecificationFile:
    """A whole file: which form it has, and its rows."""

    format: str
    rows: tuple[StatedSymbol, ...]


def read_specifications(data: bytes, *, file_name: str) -> SpecificationFile:
    """Reads a file of any known form. Raises InvalidInput, naming what is wrong, for one that is none."""
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"A file of at most {MAX_BYTES // 1_000_000} MB.", field="file", file=file_name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("The file is not written in UTF-8.", field="file", file=file_name) from error
    found = _read_json(text) if text.lstrip()[:1] in ("{", "[") else _read_csv(text)
    if found is None:
        raise InvalidInput(
            "This is no known form of symbol specifications: MetaTrader 4 or 5 (JSON), Dukascopy (JSON), OANDA (CSV).",
            field="file",
            file=file_name,
        )
    name, items, read = found
    rows = []
    for number, item in enumerate(items, start=1):
        if number > MAX_ROWS:
            raise InvalidInput(f"At most {MAX_ROWS} symbols in a file.", field="file", file=file_name)
        rows.append(_row(number, item, read))
    return SpecificationFile(name, tuple(rows))


_Found = tuple[str, Iterable[dict[str, Any]], Callable[[dict[str, Any]], dict[str, Any]]]


def _read_json(text: str) -> _Found | None:
    try:
        # Numbers stay as they are written: a float would turn 1e-05 into something else.
        document = json.loads(text, parse_float=Decimal)
    except (json.JSONDecodeError, RecursionError, ValueError) as error:
        raise InvalidInput("The file is no valid JSON.", field="file") from error
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        document = document["data"]
    if isinstance(document, dict) and isinstance(document.get("instruments"), list):
        return "dukascopy_raw", _dictionaries(document["instruments"]), _dukascopy_raw
    if isinstance(document, dict) and document and all(isinstance(item, dict) for item in document.values()):
        if all("decimalFactor" in item for item in document.values()):
            return "dukascopy_meta", _dictionaries(document.values()), _dukascopy_meta
        return None
    items = _dictionaries(document if isinstance(document, list) else [document])
    if items and all("trade_contract_size" in item for item in items):
        return "mt5_symbol_info", items, _mt5
    if items and all("contract_size" in item and "symbol" in item for item in items):
        return "mt4_symbols", items, _mt4
    return None


def _read_csv(text: str) -> _Found | None:
    reader = csv.DictReader(io.StringIO(text))
    columns = {name.strip() for name in reader.fieldnames or []}
    rows = (
        {(key or "").strip(): (value or "").strip() for key, value in row.items() if isinstance(value, str)}
        for row in reader
    )
    if {"name", "pipLocation", "marginRate"} <= columns:
        return "oanda_instruments", rows, _oanda
    if {"Instrument", "TickSize", "PipLocation"} <= columns:
        return "oanda_pips", rows, _oanda_pips
    return None


def _dictionaries(items: Iterable[Any]) -> list[dict[str, Any]]:
    return [item if isinstance(item, dict) else {} for item in items]


def _row(number: int, item: dict[str, Any], read: Callable[[dict[str, Any]], dict[str, Any]]) -> StatedSymbol:
    name = str(item.get("symbol") or item.get("name") or item.get("Instrument") or "").strip()
    description = str(item.get("description") or item.get("displayName") or item.get("Description") or "").strip()
    if not name or len(name) > 40:
        return StatedSymbol(row=number, name=name[:40], problem="The row names no symbol.", problem_field="name")
    try:
        terms = read(item)
    except InvalidInput as error:
        where = str(error.details.get("field", ""))
        return StatedSymbol(
            row=number, name=name, description=description[:200], problem=error.message, problem_field=where
        )
    return StatedSymbol(row=number, name=name, description=description[:200], terms=terms)


def _mt4(item: dict[str, Any]) -> dict[str, Any]:
    """MetaTrader 4: `margin_mode`, `swap_type` and weekdays from Sunday; hedged margin of one leg."""
    terms: dict[str, Any] = {
        "contract_size": _positive(item, "contract_size"),
        "digits": _whole(item, "digits"),
        "margin_currency": _text(item, "margin_currency"),
        "profit_currency": _text(item, "currency"),
    }
    if "margin_mode" in item:
        terms["calculation_mode"] = int(_known(item, "margin_mode", _MODE_OF_MT4))
    terms["swap_mode"] = int(_known(item, "swap_type", _SWAP_OF_MT4)) if "swap_type" in item else int(SwapMode.POINTS)
    terms |= {
        name: _number(item, name) for name in ("swap_long", "swap_short", "tick_size", "tick_value") if name in item
    }
    if "margin_hedged" in item:
        terms["margin_hedged"] = _number(item, "margin_hedged") * 2
    if "stops_level" in item:
        terms["stops_level_points"] = _whole(item, "stops_level")
    if "swap_rollover3days" in item:
        terms["swap_multipliers"] = _triple_on(_whole(item, "swap_rollover3days"))
    if isinstance(item.get("sessions"), list):
        terms["quote_sessions"] = _sessions(item["sessions"], "quote")
        terms["trade_sessions"] = _sessions(item["sessions"], "trade")
    return terms


def _mt5(item: dict[str, Any]) -> dict[str, Any]:
    """MetaTrader 5, in the words of its client API."""
    terms: dict[str, Any] = {
        "contract_size": _positive(item, "trade_contract_size"),
        "digits": _whole(item, "digits"),
        "margin_currency": _text(item, "currency_margin"),
        "profit_currency": _text(item, "currency_profit"),
        "base_asset": _text(item, "currency_base"),
        "calculation_mode": int(_known(item, "trade_calc_mode", {mode.value: mode for mode in CalculationMode})),
        "swap_mode": int(_known(item, "swap_mode", {mode.value: mode for mode in SwapMode})),
    }
    named = {
        "trade_tick_size": "tick_size", "trade_tick_value": "tick_value", "volume_min": "lots_minimum",
        "volume_max": "lots_maximum", "volume_step": "lots_step", "volume_limit": "lots_limit", "swap_long": "swap_long",
        "swap_short": "swap_short", "margin_initial": "margin_initial", "margin_maintenance": "margin_maintenance",
        "margin_hedged": "margin_hedged",
    }  # fmt: skip
    terms |= {ours: _number(item, theirs) for theirs, ours in named.items() if theirs in item}
    whole = {
        "spread": "spread_points", "trade_stops_level": "stops_level_points", "trade_freeze_level": "freeze_level_points",
        "trade_mode": "trade_mode",
    }  # fmt: skip
    terms |= {ours: _whole(item, theirs) for theirs, ours in whole.items() if theirs in item}
    if "margin_hedged_use_leg" in item:
        terms["is_hedged_by_larger_leg"] = bool(item["margin_hedged_use_leg"])
    if "swap_rollover3days" in item:
        terms["swap_multipliers"] = _triple_on(_whole(item, "swap_rollover3days"))
    return terms


def _dukascopy_raw(item: dict[str, Any]) -> dict[str, Any]:
    """Some instruments are listed without a scale yet."""
    terms: dict[str, Any] = {"pip_size": _positive(item, "pipValue")}
    return terms if item.get("priceScale") is None else terms | {"digits": _whole(item, "priceScale")}


def _dukascopy_meta(item: dict[str, Any]) -> dict[str, Any]:
    factor = _whole(item, "decimalFactor")
    digits = len(str(factor)) - 1
    if factor != 10**digits:
        raise InvalidInput(f"decimalFactor {factor} is no power of ten.", field="decimalFactor")
    return {"digits": digits}


def _oanda(item: dict[str, Any]) -> dict[str, Any]:
    rate = _positive(item, "marginRate")
    terms: dict[str, Any] = {"pip_size": _power(item, "pipLocation"), "leverage_maximum": max(1, round(1 / rate))}
    return terms


def _oanda_pips(item: dict[str, Any]) -> dict[str, Any]:
    return {"pip_size": _power(item, "PipLocation"), "tick_size": _positive(item, "TickSize")}


def _power(item: dict[str, Any], name: str) -> Decimal:
    exponent = _number(item, name)
    if exponent != exponent.to_integral_value() or not -10 <= exponent <= 4:
        raise InvalidInput(f"{name} is no exponent of ten: {exponent}.", field=name)
    return Decimal(1).scaleb(int(exponent))


def _number(item: dict[str, Any], name: str) -> Decimal:
    value = item.get(name)
    try:
        number = Decimal(str(value)) if value is not None and not isinstance(value, bool) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or abs(number) > Decimal(10) ** 12:
        raise InvalidInput(f"{name} is no number: {value!r}.", field=name, value=str(value)[:40])
    return number


def _positive(item: dict[str, Any], name: str) -> Decimal:
    number = _number(item, name)
    if number <= 0:
        raise InvalidInput(f"{name} is above zero, not {number}.", field=name, value=str(number))
    return number


def _whole(item: dict[str, Any], name: str) -> int:
    number = _number(item, name)
    if number != number.to_integral_value() or number < 0:
        raise InvalidInput(f"{name} is no whole number: {number}.", field=name, value=str(number))
    return int(number)


def _text(item: dict[str, Any], name: str) -> str:
    value = str(item.get(name) or "").strip().upper()
    if not value:
        raise InvalidInput(f"{name} is missing.", field=name)
    return value[:16]


def _known(item: dict[str, Any], name: str, numbers: dict[int, Any]) -> Any:
    number = _whole(item, name)
    if number not in numbers:
        raise InvalidInput(f"{name} {number} is not known.", field=name, value=str(number))
    return numbers[number]


def _triple_on(weekday: int) -> list[Decimal]:
    """Three nights on a weekday counted from Sunday, one on the other working days."""
    if weekday >= DAYS:
        raise InvalidInput(f"There is no weekday {weekday}.", field="swap_rollover3days", value=str(weekday))
    nights = [Decimal(0), *[Decimal(1)] * 5, Decimal(0)]
    nights[weekday] = Decimal(3)
    return nights


def _sessions(days: list[Any], kind: str) -> list[list[list[int]]]:
    week = []
    for day in days[:DAYS]:
        sessions = []
        for session in (day.get(kind) or []) if isinstance(day, dict) else []:
            opens, closes = _whole(session, "open"), _whole(session, "close")
            if closes > opens:
                sessions.append([opens, closes])
        week.append(sessions)
    return week
