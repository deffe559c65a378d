"""Pure rules of symbol specifications: their fields, what can be traded by, plain data of them, what a policy may approve.

`TERMS` says once what each field is; forms, screens, imports, comparisons and the API are made from it. A rule that a row
alone can break is a constraint of the table too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import IntEnum, StrEnum
from itertools import pairwise
from typing import Any

from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.types import CalculationMode, SwapMode, TradeMode
from platform_ops.rules.sessions import check_week, week_in_words

MAX_DIGITS = 8
MAX_LEVERAGE = 10_000
MAX_POINTS = Decimal(100_000)
MAX_NUMBER = Decimal(10) ** 12
MAX_MULTIPLIER = Decimal(31)
WEEKDAYS = 7
YEAR_DAYS = (360, 365)
WEEKDAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
NEEDS_TICK = frozenset({CalculationMode.FUTURES, CalculationMode.EXCHANGE_FUTURES, CalculationMode.CFD_INDEX})
NEEDS_INITIAL_MARGIN = frozenset({CalculationMode.FUTURES, CalculationMode.EXCHANGE_FUTURES})
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")


class TermKind(StrEnum):
    """What kind of value a field holds."""

    WHOLE = "whole"
    NUMBER = "number"
    FLAG = "flag"
    CHOICE = "choice"
    CURRENCY = "currency"
    TEXT = "text"
    DAY = "day"
    MULTIPLIERS = "multipliers"
    SESSIONS = "sessions"
    ZONE = "zone"


@dataclass(frozen=True, slots=True)
class Term:
    """A field of a specification.

    `least` and `most` bound a number, `is_above_zero` leaves zero out. `is_optional` fields may be None or empty.
    `of_groups` fields may differ for a group of accounts, `of_servers` ones are compared with what servers say.
    """

    name: str
    label: str
    section: str
    kind: TermKind
    least: Decimal = Decimal(0)
    most: Decimal = MAX_NUMBER
    is_above_zero: bool = False
    is_optional: bool = False
    of_groups: bool = False
    of_servers: bool = True
    choices: type[IntEnum] | None = None
    help: str = ""


def _points(name: str, label: str, section: str, **more: Any) -> Term:
    return Term(name, label, section, TermKind.WHOLE, most=MAX_POINTS, **more)


_PRICE, _VOLUME, _MARGIN, _SWAP, _FILTER, _HOURS = (
    "Price and contract", "Volume", "Margin", "Swap", "Price filter", "Sessions",
)  # fmt: skip
TERMS: tuple[Term, ...] = (
    Term("digits", "Digits", _PRICE, TermKind.WHOLE, most=Decimal(MAX_DIGITS)),
    Term("contract_size", "Contract size", _PRICE, TermKind.NUMBER, is_above_zero=True),
    Term("pip_size", "Pip size", _PRICE, TermKind.NUMBER, is_above_zero=True, of_servers=False),
    Term("calculation_mode", "Calculation mode", _PRICE, TermKind.CHOICE, choices=CalculationMode),
    Term("trade_mode", "Trading", _PRICE, TermKind.CHOICE, choices=TradeMode, of_groups=True),
    Term("tick_size", "Tick size", _PRICE, TermKind.NUMBER),
    Term("tick_value", "Tick value", _PRICE, TermKind.NUMBER),
    Term("spread_points", "Spread, points", _PRICE, TermKind.NUMBER, most=MAX_POINTS, of_groups=True),
    _points("stops_level_points", "Stops level, points", _PRICE, of_groups=True),
    _points("freeze_level_points", "Freeze level, points", _PRICE, of_groups=True),
    Term("converts_by_market", "Converts by market", _PRICE, TermKind.FLAG,
         help="Turn a forex result into the account's currency at the bid (profit) or ask (loss)."),
    Term("face_value", "Face value", _PRICE, TermKind.NUMBER, help="Of a bond."),
    Term("accrued_interest", "Accrued interest", _PRICE, TermKind.NUMBER, help="Of a bond."),
    Term("expires_on", "Expires on", _PRICE, TermKind.DAY, is_optional=True),
    Term("isin", "ISIN", _PRICE, TermKind.TEXT, is_optional=True),
    Term("lots_minimum", "Smallest volume, lots", _VOLUME, TermKind.NUMBER, is_above_zero=True, of_groups=True),
    Term("lots_maximum", "Largest volume, lots", _VOLUME, TermKind.NUMBER, is_above_zero=True, of_groups=True),
    Term("lots_step", "Volume step, lots", _VOLUME, TermKind.NUMBER, is_above_zero=True, of_groups=True),
    Term("lots_limit", "Volume limit, lots", _VOLUME, TermKind.NUMBER, of_groups=True,
         help="Of open volume in one direction; 0: none."),
    Term("margin_currency", "Margin currency", _MARGIN, TermKind.CURRENCY),
    Term("leverage_maximum", "Highest leverage", _MARGIN, TermKind.WHOLE, least=Decimal(1), most=Decimal(MAX_LEVERAGE),
         is_optional=True, of_groups=True, of_servers=False),
    Term("margin_initial", "Initial margin of a lot", _MARGIN, TermKind.NUMBER, of_groups=True,
         help="0: computed from the contract."),
    Term("margin_maintenance", "Maintenance margin of a lot", _MARGIN, TermKind.NUMBER, of_groups=True,
         help="0: as the initial margin."),
    Term("margin_hedged", "Hedged margin", _MARGIN, TermKind.NUMBER, of_groups=True,
         help="Contract size that covered volume is margined by; 0: covered volume binds nothing."),
    Term("margin_rate_buy", "Margin rate, buy", _MARGIN, TermKind.NUMBER, is_above_zero=True, of_groups=True),
    Term("margin_rate_sell", "Margin rate, sell", _MARGIN, TermKind.NUMBER, is_above_zero=True, of_groups=True),
    Term("is_hedged_by_larger_leg", "Hedged by the larger leg", _MARGIN, TermKind.FLAG),
    Term("swap_mode", "Swap stated in", _SWAP, TermKind.CHOICE, choices=SwapMode, of_groups=True),
    Term("swap_long", "Swap long", _SWAP, TermKind.NUMBER, least=-MAX_NUMBER, of_groups=True),
    Term("swap_short", "Swap short", _SWAP, TermKind.NUMBER, least=-MAX_NUMBER, of_groups=True),
    Term("swap_multipliers", "Nights by weekday", _SWAP, TermKind.MULTIPLIERS, of_groups=True,
         help="Sunday to Saturday, such as 0, 1, 1, 3, 1, 1, 0."),
    Term("swap_year_days", "Days of a year", _SWAP, TermKind.WHOLE, least=Decimal(360), most=Decimal(365),
         of_groups=True, help="360 or 365, for swaps stated as interest."),
    Term("swap_considers_holidays", "Nights follow holidays", _SWAP, TermKind.FLAG),
    _points("filter_soft_points", "Soft level, points", _FILTER),
    Term("filter_soft_ticks", "Soft level, ticks", _FILTER, TermKind.WHOLE, most=Decimal(1000)),
    _points("filter_hard_points", "Hard level, points", _FILTER),
    Term("filter_hard_ticks", "Hard level, ticks", _FILTER, TermKind.WHOLE, most=Decimal(1000)),
    _points("filter_discard_points", "Discard level, points", _FILTER),
    _points("filter_spread_minimum_points", "Smallest spread, points", _FILTER),
    _points("filter_spread_maximum_points", "Largest spread, points", _FILTER),
    _points("gap_points", "Gap level, points", _FILTER),
    Term("gap_ticks", "Gap level, ticks", _FILTER, TermKind.WHOLE, most=Decimal(1000)),
    Term("sessions_zone", "Clock of the sessions", _HOURS, TermKind.ZONE, of_servers=False,
         help="EET_US, EET_EU, UTC or FIXED+03:00."),
    Term("quote_sessions", "Quotes", _HOURS, TermKind.SESSIONS),
    Term("trade_sessions", "Trading hours", _HOURS, TermKind.SESSIONS),
)  # fmt: skip
BY_NAME = {term.name: term for term in TERMS}
FIELDS = tuple(BY_NAME)
LABELS = {term.name: term.label for term in TERMS}
GROUP_FIELDS = tuple(term.name for term in TERMS if term.of_groups)
SERVER_FIELDS = tuple(term.name for term in TERMS if term.of_servers)
BOUNDED_FIELDS = {"swap_points": ("swap_long", "swap_short"), "spread_points": ("spread_points",)}
"""What a policy can bound: by how many points these fields may move. Any other field is for people."""


def specification_terms(specification: Any, fields: tuple[str, ...] = FIELDS) -> dict[str, Any]:
    """A specification as plain data; equal ones give equal data, however many zeros they were stored with."""
    return {name: plain_value(getattr(specification, name)) for name in fields}


def plain_value(value: Any) -> Any:
    """A field's value as JSON holds it: numbers with decimals as text without zeros at the end."""
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text if not value.is_finite() else (text.rstrip("0").rstrip(".") or "0") if "." in text else text
    if isinstance(value, IntEnum):
        return int(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    return value


def check_specification(specification: Any, *, server: str = "", symbol: str = "") -> None:
    """Raises InvalidInput, naming the field, for a specification that nothing can be traded by.

    *server* and *symbol* are named too where they are known: `MT5-LIVE, EURUSD.m: Contract size is above zero.`
    """
    try:
        _check(specification)
    except InvalidInput as error:
        if not server and not symbol:
            raise
        details = dict(error.details) | {"server": server, "symbol": symbol}
        where = ", ".join(part for part in (server, symbol) if part)
        raise InvalidInput(f"{where}: {error.message}", code=error.code, **details) from error


def check_value(term: Term, value: Any) -> None:
    """Raises InvalidInput, naming the field, for a value that the field cannot have in any specification."""
    if value is None or value == "":
        if term.is_optional:
            return
        raise InvalidInput(f"{term.label} is missing.", field=term.name)
    if term.kind in (TermKind.WHOLE, TermKind.NUMBER):
        _check_number(term, value)
    elif term.kind is TermKind.CHOICE:
        assert term.choices is not None
        if isinstance(value, bool) or value not in [item.value for item in term.choices]:
            raise InvalidInput(f"{term.label}: {value!r} is not known.", field=term.name, value=str(value))
    elif term.kind is TermKind.FLAG:
        if not isinstance(value, bool):
            raise InvalidInput(f"{term.label} is yes or no.", field=term.name, value=str(value))
    elif term.kind is TermKind.CURRENCY:
        Currency.of(value)
    elif term.kind is TermKind.ZONE:
        ServerZone.parse(value)
    elif term.kind is TermKind.MULTIPLIERS:
        _check_multipliers(term, value)
    elif term.kind is TermKind.SESSIONS:
        check_week(value, field=term.name)
    elif term.name == "isin" and not _ISIN.fullmatch(value):
        raise InvalidInput("An ISIN has two letters, nine letters or digits, and a digit.", field="isin", value=value)


def read_value(term: Term, value: Any) -> Any:
    """A field's value from plain data: numbers from text, days from their ISO form.

    Raises InvalidInput, naming the field, for what is not of the field's kind.
    """
    if value is None or (value == "" and term.kind is not TermKind.TEXT):
        return None
    if term.kind is TermKind.NUMBER:
        return _decimal(value, term.name)
    if term.kind in (TermKind.WHOLE, TermKind.CHOICE):
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidInput(f"{term.name} is no whole number.", field=term.name, value=str(value))
        return value
    if term.kind is TermKind.DAY:
        try:
            return value if isinstance(value, date) else date.fromisoformat(str(value))
        except ValueError as error:
            raise InvalidInput(f"{term.label} is no day.", field=term.name, value=str(value)) from error
    if term.kind is TermKind.MULTIPLIERS:
        if not isinstance(value, list | tuple):
            raise InvalidInput(f"{term.label}: seven numbers, from Sunday.", field=term.name, value=str(value))
        return [_decimal(nights, term.name) for nights in value]
    return value


def check_bounds(bounds: dict[str, Any]) -> None:
    """Raises InvalidInput for bounds of a policy that cannot be read."""
    unknown = sorted(set(bounds) - set(BOUNDED_FIELDS))
    if unknown:
        raise InvalidInput(f"A policy bounds {', '.join(BOUNDED_FIELDS)}; not {', '.join(unknown)}.", field="bounds")
    for name, value in bounds.items():
        if not 0 <= _decimal(value, name) <= MAX_POINTS:
            raise InvalidInput(f"{name}: between 0 and {MAX_POINTS} points.", field="bounds", value=str(value))


def reasons_outside(payload: dict[str, Any], bounds: dict[str, Any]) -> list[str]:
    """Why a policy may not approve the payload by itself; nothing when it may.

    Only swaps and spread move within a policy, each by at most so many points; contract, digits, margin, leverage and
    volumes are always for people, and so is the first specification of a symbol. Swaps that are not stated in points are
    for people too: so many points say nothing about them.
    """
    old, new = payload.get("replaces") or {}, payload["specification"]
    if not old:
        return ["there is no specification that it replaces"]
    allowed = {field: bound for bound, names in BOUNDED_FIELDS.items() for field in names if bound in bounds}
    if new.get("swap_mode") != SwapMode.POINTS:
        allowed = {field: bound for field, bound in allowed.items() if bound != "swap_points"}
    reasons = []
    for name in FIELDS:
        if new.get(name) == old.get(name):
            continue
        if name not in allowed:
            reasons.append(f"{LABELS[name].lower()} is for people to decide")
            continue
        most = _decimal(bounds[allowed[name]], name)
        moved = abs(_decimal(new[name], name) - _decimal(old[name], name))
        if moved > most:
            reasons.append(f"{LABELS[name].lower()} moves by {plain_value(moved)}, more than {plain_value(most)}")
    return reasons


def value_in_words(name: str, value: Any) -> str:
    """A field's plain value as people read it."""
    term = BY_NAME[name]
    if value is None or value == "":
        return "—"
    if term.kind is TermKind.CHOICE:
        assert term.choices is not None
        return choice_in_words(term.choices, value)
    if term.kind is TermKind.FLAG:
        return "yes" if value else "no"
    if term.kind is TermKind.SESSIONS:
        return week_in_words(value)
    if term.kind is TermKind.MULTIPLIERS:
        return ", ".join(f"{day[:3]} {plain_value(nights)}" for day, nights in zip(WEEKDAY_NAMES, value, strict=False))
    return str(plain_value(value))


def choice_in_words(choices: type[IntEnum], value: Any) -> str:
    """`CFD_LEVERAGE` as "CFD leverage"."""
    try:
        text = choices(int(value)).name.replace("_", " ").capitalize()
    except ValueError:
        return str(value)
    return re.sub(r"\b(cfd)\b", "CFD", text, flags=re.IGNORECASE)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(field, old, new) of every field of two specifications, as plain data, that differs."""
    names = [name for name in FIELDS if name in old or name in new]
    return [(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def _check(specification: Any) -> None:
    for term in TERMS:
        check_value(term, getattr(specification, term.name))
    given = specification
    if given.lots_maximum < given.lots_minimum:
        raise InvalidInput("The largest volume is not below the smallest.", field="lots_maximum")
    if given.lots_limit and given.lots_limit < given.lots_minimum:
        raise InvalidInput("The volume limit is 0 or not below the smallest volume.", field="lots_limit")
    if given.swap_year_days not in YEAR_DAYS:
        raise InvalidInput("A year has 360 or 365 days.", field="swap_year_days", value=given.swap_year_days)
    mode = given.calculation_mode
    for name in ("tick_size", "tick_value"):
        if mode in NEEDS_TICK and not getattr(given, name):
            raise InvalidInput(f"{LABELS[name]} is above zero in this calculation mode.", field=name, value="0")
    if mode in NEEDS_INITIAL_MARGIN and not given.margin_initial:
        raise InvalidInput("Futures need an initial margin above zero.", field="margin_initial", value="0")
    if mode == CalculationMode.EXCHANGE_BONDS and not given.face_value:
        raise InvalidInput("A bond's face value is above zero.", field="face_value", value="0")
    _check_filter(given)


def _check_filter(given: Any) -> None:
    levels = [
        name for name in ("filter_soft_points", "filter_hard_points", "filter_discard_points") if getattr(given, name)
    ]
    for lower, upper in pairwise(levels):
        if getattr(given, lower) > getattr(given, upper):
            raise InvalidInput(f"{LABELS[upper]} is not below {LABELS[lower].lower()}.", field=upper)
    most = given.filter_spread_maximum_points
    if most and given.filter_spread_minimum_points > most:
        raise InvalidInput("The largest spread is not below the smallest.", field="filter_spread_maximum_points")


def _check_number(term: Term, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise InvalidInput(f"{term.label} is no number.", field=term.name, value=str(value))
    number = Decimal(value)
    if term.kind is TermKind.WHOLE and number != number.to_integral_value():
        raise InvalidInput(f"{term.label} is a whole number.", field=term.name, value=str(value))
    if not number.is_finite() or number > term.most or number < term.least:
        raise InvalidInput(
            f"{term.label} lies between {plain_value(term.least)} and {plain_value(term.most)}.",
            field=term.name,
            value=str(value),
        )
    if term.is_above_zero and number <= 0:
        raise InvalidInput(f"{term.label} is above zero.", field=term.name, value=str(value))


def _check_multipliers(term: Term, value: Any) -> None:
    if not isinstance(value, list | tuple) or len(value) != WEEKDAYS:
        raise InvalidInput(f"{term.label}: seven numbers, from Sunday.", field=term.name, value=str(value))
    for day, nights in zip(WEEKDAY_NAMES, value, strict=True):
        if not isinstance(nights, int | Decimal) or not 0 <= Decimal(nights) <= MAX_MULTIPLIER:
            raise InvalidInput(
                f"{day} counts between 0 and {MAX_MULTIPLIER} nights.", field=term.name, value=str(nights)
            )


def _decimal(value: Any, name: str) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise InvalidInput(f"{name} is no number.", field=name, value=str(value)) from error
    if not number.is_finite():
        raise InvalidInput(f"{name} is no number.", field=name, value=str(value))
    return number
