"""Points and pips.

Owns the units of a price distance. A point is one in the last digit of the quote; a pip is ten points on
quotes of five or three digits and one point on all others. Metals, indices, oil and crypto follow no common
rule, so their pip size is data of the symbol, and `pip_size` is only the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from backoffice.kernel.decimals import EXACT, MAX_DECIMAL_PLACES, divide, exact_decimal
from backoffice.kernel.errors import InvalidInput

POINTS_PER_FRACTIONAL_PIP = 10
_DIGITS_WITH_FRACTIONAL_PIP = (3, 5)


def point_size(digits: int) -> Decimal:
    """The price of one point on a quote of `digits` decimal places (0.00001 for five)."""
    _require_digits(digits)
    return Decimal(1).scaleb(-digits, context=EXACT)


def points_per_pip(digits: int) -> int:
    """Ten on quotes of five or three digits, else one."""
    return POINTS_PER_FRACTIONAL_PIP if digits in _DIGITS_WITH_FRACTIONAL_PIP else 1


def pip_size(digits: int) -> Decimal:
    """The price of one pip on a quote of `digits` decimal places, where the symbol does not say otherwise."""
    return EXACT.multiply(point_size(digits), Decimal(points_per_pip(digits)))


@dataclass(frozen=True, slots=True, order=True)
class Points:
    """A signed price distance in points; not always whole, since averages are points too."""

    value: Decimal

    def __post_init__(self) -> None:
        _require_finite(self.value, "points")

    def to_price(self, digits: int) -> Decimal:
        """The distance as a price difference on a quote of `digits` decimal places."""
        return EXACT.multiply(self.value, point_size(digits))

    def to_pips(self, digits: int) -> Pips:
        """The distance in pips of a quote of `digits` decimal places."""
        return Pips(divide(self.value, Decimal(points_per_pip(digits))))


@dataclass(frozen=True, slots=True, order=True)
class Pips:
    """A signed price distance in pips."""

    value: Decimal

    def __post_init__(self) -> None:
        _require_finite(self.value, "pips")

    def to_price(self, digits: int) -> Decimal:
        """The distance as a price difference on a quote of `digits` decimal places."""
        return EXACT.multiply(self.value, pip_size(digits))

    def to_points(self, digits: int) -> Points:
        """The distance in points of a quote of `digits` decimal places."""
        return Points(EXACT.multiply(self.value, Decimal(points_per_pip(digits))))


def price_to_points(difference: Decimal | int | str, digits: int) -> Points:
    """A price difference in points: 0.00125 on five digits is 125."""
    number = exact_decimal(difference, field="difference")
    _require_digits(digits)
    return Points(number.scaleb(digits, context=EXACT))


def _require_digits(digits: int) -> None:
    if isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= MAX_DECIMAL_PLACES:
        raise InvalidInput(
            f"Price digits must be between 0 and {MAX_DECIMAL_PLACES}, not {digits!r}.",
            field="digits",
            value=digits,
        )


def _require_finite(value: Decimal, field: str) -> None:
    if not isinstance(value, Decimal) or not value.is_finite():
        raise InvalidInput(f"A distance in {field} must be a finite Decimal, not {value!r}.", field=field)
