"""Reading values: one text of a file becomes one canonical text, or is refused with what is wrong and how to mend it.

Canonical texts are what the staging table holds: plain decimals, UTC moments, `yes` and `no`. Nothing is guessed, rounded
or clamped: what could be read in two ways is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

from backoffice.kernel.business_day import ServerZone, is_business_day
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import DomainError, InvalidInput
from backoffice.migration.formats import Column, Row

_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,14}(\.[0-9]{1,10})?")
_INTEGER = re.compile(r"[0-9]{1,9}")
_TICKET = re.compile(r"[0-9]{1,18}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})")
_CODE = re.compile(r"[A-Za-z0-9_-]+")
_SYMBOL = re.compile(r"[A-Za-z0-9_.#&/+!-]*[A-Za-z0-9][A-Za-z0-9_.#&/+!-]*")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/#-]*")
_LOGIN = re.compile(r"[A-Za-z0-9]+")
_EMAIL = re.compile(r"[^\s@\"'=<>()]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{2,30}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?")
_COUNTRY = re.compile(r"[A-Z]{2}")
_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.\\/-]*")
FORMULA_MARKS = "=+-@'"
EARLIEST, LATEST = date(1990, 1, 1), date(2100, 1, 1)
DECIMAL_PLACES = 8
WIDEST_AMOUNT = Decimal(10) ** 13


class RefusedValueError(Exception):
    """A value that cannot be read: a stable code, what is wrong, how to mend it."""

    def __init__(self, code: str, message: str, mend: str) -> None:
        super().__init__(message)
        self.code, self.message, self.mend = code, message, mend


def read_value(column: Column, text: str) -> str:
    """The canonical text of a value, the column's default for an empty one. Raises RefusedValueError."""
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise RefusedValueError(
            "control_character",
            "The value holds a control character (a zero byte, a tab or a line break).",
            "Write the value on one line, without control characters.",
        )
    text = text.strip()
    if not text:
        if column.required and not column.default:
            raise RefusedValueError("missing_value", "The value is missing.", "Fill the column.")
        return column.default
    if len(text) > column.longest:
        raise RefusedValueError(
            "too_long", f"The value has {len(text)} characters; at most {column.longest} fit.", "Shorten it."
        )
    return _READERS[column.type](column, text)


def check_amounts(columns: tuple[Column, ...], row: Row) -> list[tuple[str, RefusedValueError]]:
    """Amounts of the row that are finer than the digits of their currency."""
    refused = []
    for column in columns:
        if column.currency and row.get(column.name) and row.get(column.currency):
            digits = Currency.of(row[column.currency]).digits
            places = len(row[column.name].partition(".")[2].rstrip("0"))
            if places > digits:
                message = f"{row[column.name]} {row[column.currency]} is finer than the currency's {digits} digits."
                mend = "Round it in the system you leave, where the difference can be seen."
                refused.append((column.name, RefusedValueError("amount_too_fine", message, mend)))
    return refused


def _number(column: Column, text: str) -> str:
    if not _PLAIN_NUMBER.fullmatch(text):
        raise RefusedValueError(
            "bad_number",
            "This is not a plain decimal number.",
            "Write digits with a point, such as -1234.50: no thousands marks, no exponent, no plus sign.",
        )
    value = Decimal(text)
    places = len(text.partition(".")[2].rstrip("0"))
    if places > (10 if column.name in ("price", "open_price", "pip_size", "tick_size") else DECIMAL_PLACES):
        raise RefusedValueError("amount_too_fine", "The number has more decimals than can be kept.", "Round it.")
    if abs(value) >= WIDEST_AMOUNT:
        raise RefusedValueError("out_of_bounds", "The number is too large.", "Check the column.")
    return f"{value.normalize():f}" if value else "0"


def _positive(column: Column, text: str) -> str:
    number = _number(column, text)
    if Decimal(number) <= 0:
        raise RefusedValueError("out_of_bounds", "The number must be above zero.", "Check the value.")
    return number


def _not_negative(column: Column, text: str) -> str:
    number = _number(column, text)
    if Decimal(number) < 0:
        raise RefusedValueError("out_of_bounds", "The number must not be below zero.", "Check the value.")
    return number


def _matching(pattern: re.Pattern[str], code: str, message: str, mend: str) -> Callable[[Column, str], str]:
    def read(column: Column, text: str) -> str:
        if not pattern.fullmatch(text):
            raise RefusedValueError(code, message, mend)
        return text

    return read


def _integer(column: Column, text: str) -> str:
    if not _INTEGER.fullmatch(text):
        raise RefusedValueError("bad_number", "This is not a whole number.", "Write digits only.")
    value = int(text)
    bounds = {"digits": 10, "leg": 1, "leverage": 10_000, "leverage_maximum": 10_000}
    if value > bounds.get(column.name, 2_000_000_000) or (value == 0 and column.name in ("leverage", "number")):
        raise RefusedValueError("out_of_bounds", "The number is out of bounds.", "Check the value.")
    return str(value)


def _ticket(column: Column, text: str) -> str:
    if not _TICKET.fullmatch(text) or (column.required and int(text) == 0):
        raise RefusedValueError("bad_number", "This is not a ticket number.", "Write digits only, above zero.")
    return str(int(text))


def _day(column: Column, text: str) -> str:
    try:
        value = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        value = None
    if value is None:
        raise RefusedValueError("bad_date", "This is not a day.", "Write YYYY-MM-DD, without a time.")
    if not EARLIEST <= value < LATEST:
        raise RefusedValueError("bad_date", "The day lies before 1990 or after 2099.", "Check the year.")
    if not is_business_day(value):
        raise RefusedValueError("bad_date", "This is no business day.", "Take the business day before or after.")
    return value.isoformat()


def _moment(column: Column, text: str) -> str:
    try:
        value = datetime.fromisoformat(text.replace("Z", "+00:00")) if _MOMENT.fullmatch(text) else None
    except ValueError:
        value = None
    if value is None:
        raise RefusedValueError(
            "bad_date",
            "This is not a moment with a time zone.",
            "Write YYYY-MM-DDThh:mm:ssZ, or with an offset such as +02:00.",
        )
    try:
        value = value.astimezone(UTC)
    except OverflowError:
        value = None
    if value is None or not EARLIEST <= value.date() < LATEST:
        raise RefusedValueError("bad_date", "The moment lies before 1990 or after 2099.", "Check the year.")
    return value.isoformat(timespec="microseconds")


def _currency(column: Column, text: str) -> str:
    try:
        known = Currency.of(text).code
    except DomainError:
        known = ""
    if known != text:
        raise RefusedValueError("bad_currency", "No currency has this code.", "Write the ISO 4217 code in capitals.")
    return text


def _choice(column: Column, text: str) -> str:
    if text not in column.choices:
        raise RefusedValueError("bad_choice", "This is not one of the values.", f"One of: {', '.join(column.choices)}.")
    return text


def _boolean(column: Column, text: str) -> str:
    if text not in ("yes", "no"):
        raise RefusedValueError("bad_choice", "This is neither yes nor no.", "Write yes or no.")
    return text


def _zone(column: Column, text: str) -> str:
    try:
        ServerZone.parse(text)
    except InvalidInput:
        raise RefusedValueError(
            "bad_zone", "No clock has this name.", "One of EET_US, EET_EU, UTC, FIXED+03:00."
        ) from None
    return text


def _text(column: Column, text: str) -> str:
    if text[0] == "'" and len(text) > 1 and text[1] in FORMULA_MARKS:
        return text[1:]
    if text[0] in FORMULA_MARKS:
        raise RefusedValueError(
            "formula",
            "The text begins like a formula of a spreadsheet.",
            "Write one apostrophe before it if it is meant as text.",
        )
    return text


_READERS: dict[str, Callable[[Column, str], str]] = {
    "text": _text,
    "code": _matching(_CODE, "bad_code", "A code has letters, digits, - and _ only.", "Use the code, not the name."),
    "symbol": _matching(_SYMBOL, "bad_code", "This cannot be the name of a symbol.", "Letters, digits and ._#&/+!-."),
    "identifier": _matching(
        _IDENTIFIER, "bad_code", "An external id begins with a letter or digit.", "Letters, digits and _.:/#- only."
    ),
    "login": _matching(_LOGIN, "bad_code", "A login has letters and digits only.", "Write the account number."),
    "group": _matching(_GROUP, "bad_code", "This cannot be the name of a group.", "Letters, digits and _.\\/-."),
    "email": lambda column, text: _matching(
        _EMAIL, "bad_email", "This is not an e-mail address.", "Correct it, or leave it empty."
    )(column, text).lower(),
    "phone": _matching(_PHONE, "bad_phone", "This is not a telephone number.", "Digits, with + before the country."),
    "language": _matching(_LANGUAGE, "bad_code", "This is not a language code.", "Such as en or pt-BR."),
    "country": _matching(_COUNTRY, "bad_code", "This is not a country code.", "Two capital letters of ISO 3166."),
    "currency": _currency,
    "choice": _choice,
    "boolean": _boolean,
    "zone": _zone,
    "integer": _integer,
    "ticket": _ticket,
    "decimal": _number,
    "amount": _number,
    "positive": _positive,
    "not_negative": _not_negative,
    "day": _day,
    "moment": _moment,
}
