"""Pure rules of commission statements: which days they span, what becomes of their total, and what is rounded off."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from backoffice.kernel.business_day import is_business_day, previous_business_day
from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import round_decimal


@dataclass(frozen=True, slots=True)
class Days:
    """Days from the first to the last, both counted."""

    first: date
    last: date


def period_of(day: date, period: str) -> Days:
    """The day, week (Monday to Sunday) or calendar month that holds the day. Raises ValueError for another period."""
    if period == "daily":
        return Days(day, day)
    if period == "weekly":
        monday = day - timedelta(days=day.weekday())
        return Days(monday, monday + timedelta(days=6))
    if period == "monthly":
        return Days(day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1]))
    raise ValueError(f"no such period: {period}")


def next_period(*, first_posting: date, closed_through_statement: date | None, period: str) -> Days:
    """The days of the next statement: the period of the first posting that none counts yet, after the last statement.

    When the terms changed from months to weeks in the middle, the statement begins on the day after the last one. Something
    booked late into days that were stated already belongs to the period that follows them.
    """
    if closed_through_statement is None:
        return period_of(first_posting, period)
    anchor = max(first_posting, closed_through_statement + timedelta(days=1))
    days = period_of(anchor, period)
    return Days(max(days.first, closed_through_statement + timedelta(days=1)), days.last)


def is_over(days: Days, *, books_closed_through: date | None) -> bool:
    """Whether the books of the last business day of the period are closed, so that it can no longer change."""
    if books_closed_through is None:
        return False
    last = days.last if is_business_day(days.last) else previous_business_day(days.last)
    return books_closed_through >= last


def is_carried(total: Decimal, *, minimum_payout: Decimal, currency: str) -> bool:
    """Whether a total is left for the next statement: not above zero in its currency's digits, or below the minimum."""
    return payable_of(total, currency) <= 0 or total < minimum_payout


def payable_of(total: Decimal, currency: str) -> Decimal:
    """The total in the digits of its currency, half away from zero; the rest goes to the rounding account."""
    return round_decimal(total, Currency.of(currency).digits)


def needs_nobody(total: Decimal, *, automatic_up_to: Decimal | None) -> bool:
    """Whether the terms approve the total by themselves."""
    return automatic_up_to is not None and total <= automatic_up_to


PART_TITLES = {
    "ib.settlement_batch": "Commission on trades",
    "ib.period_settlement": "Rewards and shares by the period",
    "ib.adjustment": "Goodwill",
    "manual": "Booked by hand",
    "late": "Booked late into days stated before",
}
"""What the sources of a statement's postings are called."""
