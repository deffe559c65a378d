"""Cells of a report database as our values: doubles brought back to the digits that they were written with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from backoffice.kernel.money import round_money

ZERO = Decimal(0)
MT5_VOLUME_STEPS = Decimal(10) ** 4
MT5_EXTENDED_VOLUME_STEPS = Decimal(10) ** 8
MT4_VOLUME_STEPS = Decimal(100)
MAX_DIGITS = 10
RATE_SIGNIFICANT_DIGITS = 12
"""A conversion rate is a quotient: its later digits are noise of the double that it is kept in."""

FILETIME_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
FILETIME_STEPS_PER_MICROSECOND = 10
QUARTER_HOUR = timedelta(minutes=15)
MAX_OFFSET = timedelta(hours=14)
MAX_JITTER = timedelta(seconds=2)
"""How far the moment of writing lies from the moment of the deal where nothing was changed later (15 ms are usual)."""


def utc_of_filetime(filetime: int) -> datetime:
    """The moment of a FILETIME (100 ns since 1601, UTC)."""
    return FILETIME_EPOCH + timedelta(microseconds=filetime // FILETIME_STEPS_PER_MICROSECOND)


def filetime_of(at: datetime) -> int:
    """The FILETIME of an aware moment."""
    return ((at - FILETIME_EPOCH) // timedelta(microseconds=1)) * FILETIME_STEPS_PER_MICROSECOND


def offset_of_pair(*, filetime: int, local: datetime) -> timedelta | None:
    """By how much the server's clock is ahead of UTC, as the pair of a row tells it; None for a row changed later."""
    if filetime <= 0:
        return None
    difference = local.replace(tzinfo=UTC) - utc_of_filetime(filetime)
    quarters = round(difference / QUARTER_HOUR)
    offset = quarters * QUARTER_HOUR
    if abs(offset) > MAX_OFFSET or abs(difference - offset) > MAX_JITTER:
        return None
    return offset


def rounded(value: Any, digits: Any) -> Decimal:
    """A price or amount with the digits that it was written with; 0 for NULL."""
    if value is None:
        return ZERO
    places = min(MAX_DIGITS, max(0, int(digits))) if digits is not None else 8
    return round_money(Decimal(value), places)


def price_or_none(value: Any, digits: Any) -> Decimal | None:
    """A price, None where the table holds NULL or zero for none."""
    return rounded(value, digits) or None


def rate_or_none(value: Any) -> Decimal | None:
    """A conversion rate without the noise of its double; None for zero."""
    if value is None:
        return None
    try:
        rate = Decimal(f"{Decimal(value):.{RATE_SIGNIFICANT_DIGITS}g}")
    except InvalidOperation:
        return None
    return rate or None


def mt5_lots(row: dict[str, Any], name: str = "Volume") -> Decimal:
    """Lots of a volume, from its extended form where the schema has it."""
    extended = row.get(f"{name}Ext")
    if extended is not None:
        return Decimal(extended) / MT5_EXTENDED_VOLUME_STEPS
    return Decimal(row.get(name) or 0) / MT5_VOLUME_STEPS


def number(value: Any) -> int:
    """A whole number; 0 for NULL."""
    return 0 if value is None else int(value)


def text(value: Any) -> str:
    """Text; bytes of an odd character set become replacement characters, NULL becomes nothing."""
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
