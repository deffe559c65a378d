"""Which rate turns a result or a margin into the account's currency, and on which side of the market.

A currency is converted by the pair of the two, else by that pair the other way round (its ask is one over the bid), else
across the US dollar, else across the euro. A bid is crossed with a bid, an ask with an ask. Cent currencies are an exact
hundredth of their parent. Nothing is invented: without a way there is `MissingRate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import EXACT, divide, exact_decimal
from backoffice.kernel.errors import InvalidInput, MissingRate
from backoffice.kernel.fx import Side as QuoteSide
from platform_ops.types import Side

CROSS_CURRENCIES = ("USD", "EUR")
ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class BidAsk:
    """What the market pays and asks. Raises InvalidInput unless 0 < bid <= ask."""

    bid: Decimal
    ask: Decimal

    def __post_init__(self) -> None:
        bid, ask = exact_decimal(self.bid, field="bid"), exact_decimal(self.ask, field="ask")
        if bid <= 0 or ask < bid:
            raise InvalidInput(f"A quote needs 0 < bid <= ask, not {bid}/{ask}.", field="bid", value=str(bid))


@dataclass(frozen=True, slots=True)
class ConversionRate:
    """Units of the wanted currency for one given: `numerator / denominator`, kept apart so that dividing rounds once."""

    numerator: Decimal
    denominator: Decimal
    route: str

    @property
    def rate(self) -> Decimal:
        """The quotient, to 34 significant digits."""
        return divide(self.numerator, self.denominator)

    def convert(self, amount: Decimal) -> Decimal:
        """The amount in the wanted currency, not rounded to its digits."""
        product = EXACT.multiply(amount, self.numerator)
        return product if self.denominator == ONE else divide(product, self.denominator)

    def times(self, other: ConversionRate) -> ConversionRate:
        """First this one, then the other."""
        return ConversionRate(
            EXACT.multiply(self.numerator, other.numerator),
            EXACT.multiply(self.denominator, other.denominator),
            " × ".join(part for part in (self.route, other.route) if part),
        )


SAME = ConversionRate(ONE, ONE, "")


class ConversionQuotes:
    """The market of currency pairs, by which amounts are converted: `{"EURUSD": BidAsk(...)}`."""

    def __init__(self, quotes: Mapping[str, BidAsk]) -> None:
        self._quotes = quotes

    def rate(self, *, base: str, quote: str, side: QuoteSide) -> ConversionRate:
        """One unit of *base* in *quote*, on this side of the market. Raises MissingRate when no way leads there."""
        given, wanted = _of_parent(base), _of_parent(quote)
        if given[0] == wanted[0]:
            between: ConversionRate | None = SAME
        else:
            between = self._between(given[0], wanted[0], side)
        if between is None:
            raise MissingRate(f"There is no rate from {base} to {quote}.", pair=f"{base}/{quote}", side=str(side))
        return ConversionRate(
            EXACT.multiply(between.numerator, wanted[1]), EXACT.multiply(between.denominator, given[1]), between.route
        )

    def _between(self, base: str, quote: str, side: QuoteSide) -> ConversionRate | None:
        if found := self._pair(base, quote, side):
            return found
        for middle in CROSS_CURRENCIES:
            if middle in (base, quote):
                continue
            first, second = self._pair(base, middle, side), self._pair(middle, quote, side)
            if first and second:
                return first.times(second)
        return None

    def _pair(self, base: str, quote: str, side: QuoteSide) -> ConversionRate | None:
        if found := self._quotes.get(base + quote):
            return ConversionRate(_side(found, side), ONE, f"{base}{quote} {side}")
        if found := self._quotes.get(quote + base):
            return ConversionRate(ONE, _side(found, side.opposite), f"1 ÷ {quote}{base} {side.opposite}")
        return None


def profit_side(*, closes: Side, is_profit: bool, by_market: bool) -> QuoteSide:
    """On which side of the market a result is converted.

    Forex "by deal": the ask when a buy is closed, the bid when a sell is, profit or loss. By market, and in every other
    mode: a profit at the bid, a loss at the ask, so never in the client's favour.
    """
    if by_market:
        return QuoteSide.BID if is_profit else QuoteSide.ASK
    return QuoteSide.ASK if closes is Side.BUY else QuoteSide.BID


def margin_side(side: Side) -> QuoteSide:
    """Margin is converted once, at the opening: at the ask for a buy, at the bid for a sell."""
    return QuoteSide.ASK if side is Side.BUY else QuoteSide.BID


def cost_side(amount: Decimal) -> QuoteSide:
    """The side worse for the client: what the client pays at the ask, what the client gets at the bid."""
    return QuoteSide.ASK if amount < 0 else QuoteSide.BID


def _side(quote: BidAsk, side: QuoteSide) -> Decimal:
    if side is QuoteSide.MID:
        return divide(EXACT.add(quote.bid, quote.ask), Decimal(2))
    return quote.bid if side is QuoteSide.BID else quote.ask


def _of_parent(code: str) -> tuple[str, Decimal]:
    """The currency that a code is quoted through, and how many of the code make one of it (100 for cents)."""
    currency = Currency.of(code)
    return currency.parent.code, Decimal(currency.per_parent)
