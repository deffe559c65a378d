"""How values are written for people: amounts, prices, lots, times. One place, so that desk, portal and paper agree."""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from backoffice.kernel.currency import Currency

MINUS = "\u2212"
EMPTY = "\u2013"
SYSTEM = "system:"
ABBREVIATIONS = {
    "api": "API", "fix": "FIX", "fx": "FX", "id": "ID", "ip": "IP", "isin": "ISIN", "json": "JSON", "lp": "LP",
    "sha256": "SHA-256", "url": "URL", "utc": "UTC",
}  # fmt: skip


def currency_digits(code: str) -> int:
    """Decimal places of a currency; 2 where no currency is named."""
    return Currency.of(code).digits if code else 2


def format_decimal(value: Decimal | int, digits: int | None = None) -> str:
    """A number with thousands separators and a true minus sign; `digits` None keeps the significant places."""
    number = Decimal(value)
    if digits is not None:
        number = number.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    elif number == number.to_integral_value():
        number = number.quantize(Decimal(1))
    else:
        number = number.normalize()
    text = f"{abs(number):,f}"
    return f"{MINUS}{text}" if number < 0 else text


def format_amount(amount: Decimal, currency: str = "") -> str:
    """An amount in the places of its currency, e.g. `1,234.50 USD`."""
    text = format_decimal(amount, currency_digits(currency))
    return f"{text} {currency}" if currency else text


def format_time(value: dt.datetime | None) -> str:
    """A moment in UTC to the second."""
    return EMPTY if value is None else value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def format_day(value: dt.date | None) -> str:
    """A calendar or business day."""
    return EMPTY if value is None else value.isoformat()


def format_plain(value: Any) -> str:
    """Any value as people read it."""
    if value is None or value == "":
        return EMPTY
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, dt.datetime):
        return format_time(value)
    if isinstance(value, dt.date):
        return format_day(value)
    if isinstance(value, str) and value.startswith(SYSTEM):
        return f"System: {value.removeprefix(SYSTEM).replace('_', ' ')}"
    return str(value)


def label_words(label: str) -> str:
    """A heading made from a field's name, without the words that only a programmer needs: "is active" is "Active", and
    "proposed by id" is "Proposed by"."""
    words = str(label).split()
    if len(words) > 1 and words[0].lower() in {"is", "has"}:
        words = words[1:]
    if len(words) > 1 and [word.lower() for word in words[-2:]] == ["by", "id"]:
        words = words[:-1]
    if [word.lower() for word in words] == ["entity"]:
        words = ["legal", "entity"]
    shown = " ".join(ABBREVIATIONS.get(word.lower(), word) for word in words)
    return shown[:1].upper() + shown[1:]


def format_age(seconds: int) -> str:
    """How long ago something was, in its largest unit: `45 s`, `12 min`, `3 h`, `5 days`."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
