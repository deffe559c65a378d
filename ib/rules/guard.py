"""The guard of a plan: all payouts of one trade together stay below a share of its revenue; who is paid gives in proportion.

Revenue is the spread at both ends, half each, and the platform's commission. Where the market is not known nothing can be
bounded. The settlement has the same in SQL (`ib.engine.guard`); a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from backoffice.kernel.decimals import EXACT, divide, round_decimal
from ib.rules.amounts import ZERO

RATIO_DECIMALS = 18
KEPT_DECIMALS = 12


@dataclass(frozen=True, slots=True)
class Payout:
    """A line before the guard: its amount, the trade's revenue in the same currency (None: not known), and its digits."""

    amount: Decimal
    revenue: Decimal | None
    digits: int


def parts_of_share(payouts: Sequence[Payout], share: Decimal, *, taken: Decimal = ZERO) -> list[Decimal | None]:
    """What is left for each line by a guard of so many percent; None for all where the lines keep what they have.

    *taken* is the part of the revenue that other lines of the trade have already: those that stand for themselves go before
    those that are valued in the trades' order.
    """
    untouched: list[Decimal | None] = [None] * len(payouts)
    if any(item.revenue is None for item in payouts):
        return untouched
    if any((item.revenue or ZERO) <= 0 for item in payouts):
        return [ZERO if item.amount > 0 else None for item in payouts]
    ratio = ZERO
    for item in payouts:
        assert item.revenue is not None, "looked at above"
        ratio = EXACT.add(ratio, part_of_revenue(item.amount, item.revenue))
    limit = max(EXACT.subtract(EXACT.multiply(share, Decimal("0.01")), taken), ZERO)
    if ratio <= limit:
        return untouched
    return [_part(item, limit, ratio) for item in payouts]


def part_of_revenue(amount: Decimal, revenue: Decimal | None) -> Decimal:
    """Which part of a trade's revenue an amount is; zero where there is none."""
    return round_decimal(divide(amount, revenue), RATIO_DECIMALS) if revenue else ZERO


def _part(item: Payout, limit: Decimal, ratio: Decimal) -> Decimal:
    left = round_decimal(divide(EXACT.multiply(item.amount, limit), ratio), KEPT_DECIMALS)
    return round_decimal(left, item.digits, ROUND_DOWN)
