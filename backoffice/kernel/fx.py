"""Conversion between currencies.

Owns currency pairs, dated rates with their side and source, and the provider that crosses through the euro.
It must never round an amount to a currency's digits (booking does that) and never invent a rate: what is not
known raises MissingRate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import EXACT, MAX_DECIMAL_PLACES, divide, round_decimal
from backoffice.kernel.errors import CurrencyMismatch, InvalidInput, MissingRate
from backoffice.kernel.money import Money

EURO = Currency.of("EUR")
ONE = Decimal(1)

DEFAULT_MAX_AGE_DAYS = 10
"""Calendar days that a rate may be old; the longest pause of the euro reference rates is five (Easter)."""


class Side(StrEnum):
    """Which side of the quote a rate is: what the market pays, what it asks, or the middle."""

    BID = "bid"
    ASK = "ask"
    MID = "mid"

    @property
    def opposite(self) -> Side:
        """The side of the inverse quote: the inverse of a bid is an ask."""
        return _OPPOSITE[self]


_OPPOSITE = {Side.BID: Side.ASK, Side.ASK: Side.BID, Side.MID: Side.MID}


@dataclass(frozen=True, slots=True, order=True)
class CurrencyPair:
    """Base and quote: a rate of the pair is the price of one base unit in quote units.

    A pair of one currency with itself is allowed; its only rate is one.
    """

    base: Currency
    quote: Currency

    @classmethod
    def parse(cls, text: str) -> CurrencyPair:
        """Read "EURUSD" or "EUR/USD", in any letter case.

        Without a slash both codes must have three letters. Raises InvalidInput otherwise.
        """
        base, slash, quote = text.partition("/")
        if not slash:
            if len(text) != 6:
                raise InvalidInput(f"{text!r} is not a currency pair.", field="pair", value=text)
            base, quote = text[:3], text[3:]
        return cls(Currency.of(base), Currency.of(quote))

    @property
    def inverse(self) -> CurrencyPair:
        """The pair the other way round."""
        return CurrencyPair(self.quote, self.base)

    def contains(self, currency: Currency) -> bool:
        """Whether the currency is one of the two."""
        return currency in (self.base, self.quote)

    def other(self, currency: Currency) -> Currency:
        """The one that is not `currency`. Raises CurrencyMismatch when the pair does not contain it."""
        if currency == self.base:
            return self.quote
        if currency == self.quote:
            return self.base
        raise CurrencyMismatch(f"{self} does not contain {currency}.", pair=str(self), currency=currency.code)

    def __str__(self) -> str:
        return f"{self.base.code}/{self.quote.code}"


@dataclass(frozen=True, slots=True)
class FxRate:
    """One base unit is worth `rate` quote units, on this side, by this source, at this day or instant.

    `at` is when the source fixed the rate, which may be before the day it is used for. Raises InvalidInput
    when the rate is not above zero, is not a Decimal, or is other than one for a pair of one currency.
    """

    pair: CurrencyPair
    rate: Decimal
    side: Side
    source: str
    at: date | datetime

    def __post_init__(self) -> None:
        if not isinstance(self.rate, Decimal) or not self.rate.is_finite() or self.rate <= 0:
            raise InvalidInput(
                f"A rate must be a Decimal above zero, not {self.rate!r}.", field="rate", value=str(self.rate)
            )
        if self.pair.base == self.pair.quote and self.rate != ONE:
            raise InvalidInput(f"The rate of {self.pair} can only be 1.", field="rate", value=str(self.rate))
        if isinstance(self.at, datetime) and self.at.utcoffset() is None:
            raise InvalidInput(f"The time {self.at.isoformat()} has no zone.", field="at")

    @property
    def fixed_on(self) -> date:
        """The calendar day of `at`, for an instant its day in UTC."""
        return self.at.astimezone(UTC).date() if isinstance(self.at, datetime) else self.at

    def inverse(self) -> FxRate:
        """The same market seen from the other currency: 1 / rate, and bid becomes ask."""
        return FxRate(self.pair.inverse, divide(ONE, self.rate), self.side.opposite, self.source, self.at)

    def cross(self, other: FxRate) -> FxRate:
        """The rate between the two currencies that the pairs do not share, based on this pair's own one.

        EUR/USD crossed with EUR/GBP gives USD/GBP. Both must speak of the same side once they point the same
        way, so that a bid is never mixed with an ask; the result is as old as the older of the two. Raises
        CurrencyMismatch when the pairs do not share exactly one currency, InvalidInput when the sides
        differ.
        """
        shared = {self.pair.base, self.pair.quote} & {other.pair.base, other.pair.quote}
        if len(shared) != 1:
            raise CurrencyMismatch(
                f"{self.pair} and {other.pair} must share exactly one currency.",
                left=str(self.pair),
                right=str(other.pair),
            )
        (common,) = shared
        pair = CurrencyPair(self.pair.other(common), other.pair.other(common))
        first_side = self.side if self.pair.quote == common else self.side.opposite
        second_side = other.side if other.pair.base == common else other.side.opposite
        if first_side is not second_side:
            raise InvalidInput(f"A {first_side} of {self.pair} cannot be crossed with a {second_side}.", field="side")
        multiplied, divided = ONE, ONE
        if self.pair.quote == common:
            multiplied = EXACT.multiply(multiplied, self.rate)
        else:
            divided = EXACT.multiply(divided, self.rate)
        if other.pair.base == common:
            multiplied = EXACT.multiply(multiplied, other.rate)
        else:
            divided = EXACT.multiply(divided, other.rate)
        source = self.source if self.source == other.source else f"{self.source} × {other.source}"
        return FxRate(pair, divide(multiplied, divided), first_side, source, _older(self, other).at)

    def convert(self, money: Money) -> Money:
        """Money of the base currency in the quote currency, not rounded to its digits.

        The product is kept to 18 decimal places: far finer than any booking, and just coarse enough that the
        last digit of an inverse or cross rate cannot turn an exact half into a little less than a half.
        Raises CurrencyMismatch for money of any other currency, the quote currency too: use `inverse()`.
        """
        if money.currency != self.pair.base:
            raise CurrencyMismatch(
                f"A rate of {self.pair} does not convert {money.currency}.",
                pair=str(self.pair),
                currency=money.currency.code,
            )
        product = EXACT.multiply(money.amount, self.rate)
        if int(product.as_tuple().exponent) < -MAX_DECIMAL_PLACES:
            product = round_decimal(product, MAX_DECIMAL_PLACES)
        return Money(product, self.pair.quote)


def _older(first: FxRate, second: FxRate) -> FxRate:
    if isinstance(first.at, datetime) and isinstance(second.at, datetime):
        return first if first.at <= second.at else second
    return first if first.fixed_on <= second.fixed_on else second


class RateProvider(Protocol):
    """Where rates come from. Implementations raise MissingRate, never guess."""

    def rate(self, *, base: Currency, quote: Currency, on: date, side: Side = Side.MID) -> FxRate:
        """The rate to be used for day `on`: units of `quote` for one `base`."""
        ...


PerEuroTable = Mapping[date, Mapping[str, Decimal]]
"""For each day that has rates: currency code → units of it for one euro. The euro itself is not listed."""


def _per_euro(quotes: Mapping[str, Decimal], currency: Currency) -> Decimal | None:
    """Units of the currency for one euro; cents follow from the currency that they are hundredths of."""
    of_parent = ONE if currency.parent == EURO else quotes.get(currency.parent.code)
    return None if of_parent is None else EXACT.multiply(of_parent, Decimal(currency.per_parent))


class PerEuroRateProvider:
    """Rates from a table of quotes per euro, such as the reference rates of the European Central Bank.

    Any two currencies are crossed through the euro, both from the same day. On a day without a quote of both
    (weekend, holiday, suspension) the last earlier day that has them is used, at most `max_age_days`
    calendar days back; `at` of the result names the day used. Nothing is interpolated and nothing is taken
    from the future.
    """

    def __init__(self, table: PerEuroTable, source: str, *, max_age_days: int = DEFAULT_MAX_AGE_DAYS) -> None:
        if max_age_days < 0:
            raise InvalidInput("The age of a rate cannot be negative.", field="max_age_days", value=max_age_days)
        self._table = table
        self._source = source
        self._max_age_days = max_age_days

    def rate(self, *, base: Currency, quote: Currency, on: date, side: Side = Side.MID) -> FxRate:
        """See RateProvider. The table holds middle rates, so a bid or an ask raises MissingRate too.

        A currency against itself is 1 on every day and every side and needs no table.
        """
        pair = CurrencyPair(base, quote)
        if base == quote:
            return FxRate(pair, ONE, side, self._source, on)
        if base.parent == quote.parent:
            # Cents against their own currency: a definition, true on every day and every side.
            return FxRate(pair, divide(Decimal(quote.per_parent), Decimal(base.per_parent)), side, self._source, on)
        if side is not Side.MID:
            raise MissingRate(f"{self._source} has no {side} rates.", pair=str(pair), on=on.isoformat(), side=str(side))
        for age in range(self._max_age_days + 1):
            day = on - timedelta(days=age)
            quotes = self._table.get(day)
            if quotes is None:
                continue
            base_per_euro, quote_per_euro = _per_euro(quotes, base), _per_euro(quotes, quote)
            if base_per_euro is not None and quote_per_euro is not None:
                return FxRate(pair, divide(quote_per_euro, base_per_euro), Side.MID, self._source, day)
        raise MissingRate(
            f"{self._source} has no rate of {pair} on {on.isoformat()} or {self._max_age_days} days before.",
            pair=str(pair),
            on=on.isoformat(),
            max_age_days=self._max_age_days,
        )
