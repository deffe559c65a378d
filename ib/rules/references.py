"""How lines are called, and numbers as people write them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import round_decimal


def money_text(amount: Decimal, currency: str) -> str:
    """An amount as decimal text with the digits of its currency; finer ones where a plan rounds finer."""
    digits = Currency.of(currency).digits
    exact = -int(amount.normalize().as_tuple().exponent)
    return f"{round_decimal(amount, max(digits, min(exact, 8))):f}"


def line_reference(*, partner_id: int, trade_id: int, seq: int, day: date, part: int = 0) -> str:
    """How people call a line: `12-3456-0-20250303`, and `12-3456-1-0-20250303` for a further part of a plan."""
    middle = f"{part}-{seq}" if part else f"{seq}"
    return f"{partner_id}-{trade_id}-{middle}-{day:%Y%m%d}"


def parse_line_reference(reference: str) -> tuple[int, int, int, int, date]:
    """(partner, trade, part, seq, day) of a reference. Raises ValueError for anything else."""
    numbers = reference.split("-")
    if len(numbers) == 4:
        numbers.insert(2, "0")
    partner_id, trade_id, part, seq, day = numbers
    moment = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    return int(partner_id), int(trade_id), int(part), int(seq), moment.date()


def mask_email(email: str) -> str:
    """An address by which nobody can write to its owner: `a***@example.com` for anna@example.com."""
    name, at, domain = email.partition("@")
    return f"{name[:1]}***@{domain}" if at and name else ""


def plain(number: Decimal) -> str:
    """A number as people write it: no exponent, no empty decimal places."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
