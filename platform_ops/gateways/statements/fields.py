"""Reading the single values of a statement: numbers as people print them, tickets, times, text.

Everything that cannot be read with certainty is refused with its row and field. Nothing is guessed, because a
guessed number is money.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import NoReturn, Protocol, TypeVar

from backoffice.kernel.errors import InvalidInput

MAX_INTEGER_DIGITS = 14
"""Longest whole part of a number; PriceField stores NUMERIC(24,10), and nothing in a statement comes near it."""
MAX_LOTS = Decimal(10) ** 12
MAX_DECIMALS = 10
MAX_AMOUNT_DECIMALS = 8
MAX_TICKET = 2**63 - 1
MAX_TEXT = 255
MAX_SHOWN_VALUE = 80

PLAUSIBLE_PRICE_RATIO = 1000
"""A level this many times another price of the same row has lost its decimal point (70507 for 0.70507)."""

CELL_SIGNIFICANT_DIGITS = 15
"""A spreadsheet's own precision; later digits of a cell are noise of its binary numbers (143.37700000000001)."""

_SPACES = "\u00a0\u202f\u2009\u2007 "
_PLAIN = re.compile(r"[+-]?\d+(\.\d+)?")
_SPACED = re.compile(r"[+-]?\d{1,3}( \d{3})+(\.\d+)?")
_COMMA_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_COMMA_DECIMALS = re.compile(r"[+-]?(\d+|\d{1,3}( \d{3})+|\d{1,3}(\.\d{3})+),\d+")
_ONE_COMMA_GROUP = re.compile(r"[+-]?\d{1,3},\d{3}")
_TIME = re.compile(r"(\d{4})[.\-/](\d{2})[.\-/](\d{2})[ T](\d{2}):(\d{2})(?::(\d{2}))?")
_UNSTORABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]+")


def refuse(problem: str, *, row: int | None, field: str, value: object = None) -> NoReturn:
    """Raise InvalidInput that says where and what, in one sentence."""
    shown = None if value is None else str(value)[:MAX_SHOWN_VALUE]
    place = f"Row {row}, {field}" if row is not None else field[:1].upper() + field[1:]
    tail = f": {shown!r}." if shown is not None else "."
    raise InvalidInput(f"{place}: {problem}{tail}", row=row, field=field, value=shown)


def clean_text(value: object) -> str:
    """Text as it may be stored and shown: one line, single spaces, no control characters, at most MAX_TEXT."""
    if value is None:
        return ""
    text = _UNSTORABLE.sub(" ", str(value))
    return " ".join(text.split())[:MAX_TEXT]


def read_number(value: object, *, row: int | None, field: str, decimals: int = MAX_DECIMALS) -> Decimal:
    """A printed number, exactly: `-1 186 728`, `255 000.00`, `1,234.56`, `1.234,56`.

    `154,541` alone is refused: it is a hundred and fifty four thousand to one reader and a price to another.
    """
    number = value if isinstance(value, Decimal) else Decimal(_plain_digits(value, row=row, field=field))
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    if -exponent > decimals or number.adjusted() >= MAX_INTEGER_DIGITS:
        refuse("the number is longer than any real one", row=row, field=field, value=value)
    return number if number else number.copy_abs()


def _plain_digits(value: object, *, row: int | None, field: str) -> str:
    text = str(value if value is not None else "").strip(_SPACES + "\t\r\n")
    for space in _SPACES:
        text = text.replace(space, " ")
    text = text.replace("\u2212", "-")
    if not text.isascii():
        refuse("not a number", row=row, field=field, value=value)
    if re.match(r"[+-] \d", text):
        text = text[0] + text[2:]
    if _PLAIN.fullmatch(text):
        return text
    if _SPACED.fullmatch(text):
        return text.replace(" ", "")
    if _ONE_COMMA_GROUP.fullmatch(text):
        refuse("the comma may mean thousands or decimals", row=row, field=field, value=value)
    if _COMMA_THOUSANDS.fullmatch(text):
        return text.replace(",", "")
    if _COMMA_DECIMALS.fullmatch(text):
        return text.replace(" ", "").replace(".", "").replace(",", ".")
    return refuse("not a number", row=row, field=field, value=value)


def read_amount(value: object, *, row: int | None, field: str) -> Decimal:
    """An amount of money; a lone comma before three digits is a thousands mark here (`10,352`)."""
    if isinstance(value, str) and _ONE_COMMA_GROUP.fullmatch(value.strip()):
        value = value.replace(",", "")
    return read_number(value, row=row, field=field, decimals=MAX_AMOUNT_DECIMALS)


def read_price(value: object, *, row: int | None, field: str) -> Decimal:
    """A price. It may be zero or below (oil has been)."""
    return read_number(value, row=row, field=field)


def read_level(value: object, *, row: int | None, field: str) -> Decimal | None:
    """A stop or take-profit level; None where none is set (printed empty or as zero)."""
    if value is None or (isinstance(value, str) and not value.strip(_SPACES)):
        return None
    return read_price(value, row=row, field=field) or None


def read_lots(value: object, *, row: int | None, field: str) -> Decimal:
    """A volume in lots, zero or more."""
    lots = read_number(value, row=row, field=field, decimals=MAX_AMOUNT_DECIMALS)
    if lots < 0 or lots >= MAX_LOTS:
        refuse("not a volume", row=row, field=field, value=value)
    return lots


def read_ticket(value: object, *, row: int | None, field: str) -> int:
    """A ticket number, above zero."""
    if isinstance(value, Decimal) and value == value.to_integral_value() and 0 < value <= MAX_TICKET:
        return int(value)
    text = str(value if value is not None else "").strip(_SPACES)
    if not (text.isascii() and text.isdigit()) or not 0 < int(text[:20]) <= MAX_TICKET:
        refuse("not a ticket number", row=row, field=field, value=value)
    return int(text[:20])


def read_time(value: object, *, row: int | None, field: str) -> datetime:
    """A server-local moment such as `2019.04.04 04:10:11`; seconds may be missing."""
    if isinstance(value, datetime):
        return value.replace(microsecond=0, tzinfo=None)
    match = _TIME.fullmatch(str(value if value is not None else "").strip(_SPACES))
    if match is None:
        refuse("not a time", row=row, field=field, value=value)
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    try:
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 -- naive server-local by contract
    except ValueError:
        return refuse("not a time", row=row, field=field, value=value)


def check_plausible_level(level: Decimal | None, price: Decimal, *, row: int, field: str) -> None:
    """Refuse a price or level that has lost its decimal point beside another price of the same row."""
    if level is None or level <= 0 or price <= 0:
        return
    if level >= price * PLAUSIBLE_PRICE_RATIO:
        refuse(f"not a price beside {price}; a decimal point seems lost", row=row, field=field, value=level)


def decimals_of(number: Decimal) -> int:
    """How many decimals a number was printed with."""
    exponent = number.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


class TicketRow(Protocol):
    """Anything that stands in a row under a ticket."""

    @property
    def row(self) -> int: ...
    @property
    def ticket(self) -> int: ...


Record = TypeVar("Record", bound=TicketRow)


def once_per_ticket(records: Iterable[Record]) -> list[Record]:
    """Count identical repetitions of a ticket once; refuse a ticket whose rows disagree, naming both.

    Records must leave their row out of comparison, and may add a `leg` to the ticket.
    """
    first: dict[Hashable, Record] = {}
    for record in records:
        key = (record.ticket, getattr(record, "leg", 0))
        known = first.setdefault(key, record)
        if known is not record and known != record:
            refuse(
                f"the ticket also stands in row {known.row} with other figures",
                row=record.row,
                field="Ticket",
                value=record.ticket,
            )
    return list(first.values())
