"""Prices as whole points, exactly: the border between what feeds write and what the filter and the store count in."""

from __future__ import annotations

from decimal import Decimal

from backoffice.kernel.decimals import EXACT
from backoffice.kernel.errors import InvalidInput

LARGEST = 10**18
"""A side is stored in 64 bits."""
MOST_DIGITS = 18

Side = Decimal | int | str | None


def read_price(value: Side, *, field: str) -> Decimal | None:
    """A price as an exact decimal; None for a side that is missing, or that is no finite number.

    Raises InvalidInput for a float, which would have lost the price already.
    """
    if isinstance(value, bool | float):
        raise InvalidInput("A price is a decimal, never a float.", field=field, value=repr(value))
    if value is None:
        return None
    if isinstance(value, str) and len(value) > 64:
        return Decimal("NaN")
    try:
        return Decimal(value)
    except ArithmeticError:
        return Decimal("NaN")


def quote_in_points(bid: Decimal | None, ask: Decimal | None, digits: int) -> tuple[int, int, int] | None:
    """(bid, ask, digits) as whole points, 0 for a missing side; None when a side is no number or does not fit.

    The digits are those asked for, or more where a side is finer than their point: nothing is rounded.
    """
    sides = [Decimal(0) if side is None else side for side in (bid, ask)]
    if not all(side.is_finite() for side in sides):
        return None
    needed = max(digits, *(_decimal_places(side) for side in sides))
    if needed > MOST_DIGITS or any(side.adjusted() + needed > MOST_DIGITS for side in sides):
        return None
    points = [int(side.scaleb(needed, context=EXACT)) for side in sides]
    return None if max(abs(point) for point in points) >= LARGEST else (points[0], points[1], needed)


def price_of_points(points: int, digits: int) -> Decimal:
    """The price that so many points are."""
    return Decimal(points).scaleb(-digits, context=EXACT)


def _decimal_places(side: Decimal) -> int:
    exponent = side.normalize(context=EXACT).as_tuple().exponent if side else 0
    return max(0, -exponent) if isinstance(exponent, int) else MOST_DIGITS + 1
