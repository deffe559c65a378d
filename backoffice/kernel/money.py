"""Amounts of one currency.

Owns Money, its arithmetic, its rounding and its division into parts. It must never convert between
currencies (see fx), never take a float, and never round by itself: rounding happens where the caller asks,
once, at booking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import EXACT, exact_decimal, round_decimal
from backoffice.kernel.errors import CurrencyMismatch, InvalidInput

MAX_PARTS = 1_000_000
"""Upper bound of parts in one allocation."""


def round_money(value: Decimal, digits: int, mode: str = ROUND_HALF_UP) -> Decimal:
    """Round an amount to `digits` decimal places, by default half away from zero: -2.345 becomes -2.35."""
    return round_decimal(exact_decimal(value), digits, mode)


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount of a currency, possibly finer than the currency's own digits until it is quantised.

    Equality looks at amount and currency (1.0 USD equals 1.00 USD); order, sum and difference need one
    currency and raise CurrencyMismatch otherwise. Zero never carries a minus sign.
    """

    amount: Decimal
    currency: Currency

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Decimal):
            raise InvalidInput(
                f"An amount of money must be a Decimal, not {type(self.amount).__name__}.",
                field="amount",
                value=str(self.amount),
            )
        if not self.amount.is_finite():
            raise InvalidInput(f"An amount of money must be finite, not {self.amount}.", field="amount")
        if not isinstance(self.currency, Currency):
            raise InvalidInput("The currency of money must be a Currency.", field="currency", value=str(self.currency))
        if not self.amount and self.amount.is_signed():
            object.__setattr__(self, "amount", self.amount.copy_abs())

    @classmethod
    def of(cls, amount: Decimal | int | str, currency: str | Currency) -> Money:
        """Read an amount exactly, e.g.

        `Money.of("12.30", "USD")`. Raises InvalidInput for floats and non-numbers.
        """
        return cls(exact_decimal(amount), Currency.of(currency))

    @classmethod
    def zero(cls, currency: str | Currency) -> Money:
        """Nothing, in the currency's own digits."""
        known = Currency.of(currency)
        return cls(Decimal(0).scaleb(-known.digits), known)

    def __add__(self, other: Money) -> Money:
        if not isinstance(other, Money):
            return NotImplemented
        self._require_same_currency(other)
        return Money(EXACT.add(self.amount, other.amount), self.currency)

    def __sub__(self, other: Money) -> Money:
        if not isinstance(other, Money):
            return NotImplemented
        self._require_same_currency(other)
        return Money(EXACT.subtract(self.amount, other.amount), self.currency)

    def __neg__(self) -> Money:
        return Money(self.amount.copy_negate(), self.currency)

    def __abs__(self) -> Money:
        return Money(self.amount.copy_abs(), self.currency)

    def __mul__(self, factor: Decimal | int) -> Money:
        if isinstance(factor, bool) or not isinstance(factor, (Decimal, int)):
            return NotImplemented
        return Money(EXACT.multiply(self.amount, exact_decimal(factor, field="factor")), self.currency)

    __rmul__ = __mul__

    def __bool__(self) -> bool:
        return bool(self.amount)

    def __lt__(self, other: Money) -> bool:
        self._require_same_currency(other)
        return self.amount < other.amount

    def __le__(self, other: Money) -> bool:
        self._require_same_currency(other)
        return self.amount <= other.amount

    def __gt__(self, other: Money) -> bool:
        self._require_same_currency(other)
        return self.amount > other.amount

    def __ge__(self, other: Money) -> bool:
        self._require_same_currency(other)
        return self.amount >= other.amount

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency.code}"

    def quantized(self, digits: int | None = None, mode: str = ROUND_HALF_UP) -> Money:
        """Rounded to the currency's digits, or to `digits`; by default half away from zero."""
        return Money(
            round_decimal(self.amount, self.currency.digits if digits is None else digits, mode),
            self.currency,
        )

    def allocate(self, weights: Sequence[Decimal | int]) -> list[Money]:
        """Divide into parts in proportion to the weights; the parts always sum to the whole exactly.

        Parts are multiples of the currency's smallest unit (of the amount's own last digit where that is
        finer). The units left by rounding down go one each to the largest fractions, the earlier part first
        among equals, so the result depends on nothing but the inputs, and the parts of -x are minus the
        parts of x. Raises InvalidInput when a weight is negative, when all are zero or when there are more
        than MAX_PARTS.
        """
        if not 0 < len(weights) <= MAX_PARTS:
            raise InvalidInput(f"An allocation needs 1 to {MAX_PARTS} weights, not {len(weights)}.", field="weights")
        shares = [Fraction(exact_decimal(weight, field="weights")) for weight in weights]
        total = sum(shares, Fraction(0))
        if total == 0 or min(shares) < 0:
            raise InvalidInput("Weights must not be negative, and not all zero.", field="weights")
        exponent = min(-self.currency.digits, int(self.amount.as_tuple().exponent))
        units = int(abs(self.amount).scaleb(-exponent, context=EXACT))
        exact_parts = [units * share / total for share in shares]
        parts = [part.numerator // part.denominator for part in exact_parts]
        by_fraction = sorted(range(len(parts)), key=lambda index: parts[index] - exact_parts[index])
        for index in by_fraction[: units - sum(parts)]:
            parts[index] += 1
        sign = -1 if self.amount < 0 else 1
        return [Money(Decimal(sign * part).scaleb(exponent, context=EXACT), self.currency) for part in parts]

    def _require_same_currency(self, other: Money) -> None:
        if not isinstance(other, Money):
            raise InvalidInput(f"Money compares only with money, not with {type(other).__name__}.", field="amount")
        if self.currency != other.currency:
            raise CurrencyMismatch(
                f"{self.currency} and {other.currency} do not meet without a rate.",
                left=self.currency.code,
                right=other.currency.code,
            )
