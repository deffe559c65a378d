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


def parts_of_share(payouts: Sequence[Payout], share: Decimal) -> list[Decimal | None]:
    """What is left for each line by a guard of so many percent; None for all where the lines keep what they have."""
    untouched: list[Decimal | None] = [None] * len(payouts)
    if any(item.revenue is None for item in payouts):
        return untouched
    if any((item.revenue or ZERO) <= 0 for item in payouts):
        return [ZERO if item.amount > 0 else None for item in payouts]
    ratio = ZERO
    for item in payouts:
        assert item.revenue is not None, "looked at above"
        ratio = EXACT.add(ratio, round_decimal(divide(item.amount, item.revenue), RATIO_DECIMALS))
    limit = EXACT.multiply(share, Decimal("0.01"))
    if ratio <= limit:
        return untouched
    return [_part(item, limit, ratio) for item in payouts]


def _part(item: Payout, limit: Decimal, ratio: Decimal) -> Decimal:
    left = round_decimal(divide(EXACT.multiply(item.amount, limit), ratio), KEPT_DECIMALS)
    return round_decimal(left, item.digits, ROUND_DOWN)
