"""The prices that a night's swaps are computed by: closing prices of symbols, and conversions from the same prices.

A currency is converted at the market of its pair, crossed over the dollar or the euro; where no pair is priced, at the
reference rate of the day or the last one before it. Nothing is invented: what has no rate is an error that names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import F

from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import MissingRate
from backoffice.kernel.fx import Side as QuoteSide
from platform_ops.models import DailyPrice, Quote, Symbol
from platform_ops.rules.conversion import BidAsk, ConversionQuotes
from platform_ops.rules.swaps import RATE_DECIMALS, SAME_CURRENCY, Conversion, round_away
from platform_ops.selectors.rates import rate_provider
from platform_ops.types import Side

OLDEST_PRICE = timedelta(days=10)
"""How old a closing price may be: holidays in a row, and the week-end before them."""


@dataclass(slots=True)
class Market:
    """Prices of one moment: (bid, ask) by symbol id, pairs for conversion, and the day of the reference rates."""

    day: date
    prices: dict[int, tuple[Decimal, Decimal]]
    quotes: ConversionQuotes
    _known: dict[tuple[str, str], Conversion] = field(default_factory=dict)

    def price(self, symbol_id: int | None, side: Side) -> Decimal | None:
        """What a position of a side would be closed at."""
        found = self.prices.get(symbol_id) if symbol_id is not None else None
        return None if found is None else found[0] if side is Side.BUY else found[1]

    def conversion(self, base: str, quote: str) -> Conversion:
        """Units of *quote* for one *base*, bid and ask. Raises MissingRate naming both."""
        if base == quote:
            return SAME_CURRENCY
        key = (base, quote)
        if key not in self._known:
            self._known[key] = self._converted(base, quote)
        return self._known[key]

    def _converted(self, base: str, quote: str) -> Conversion:
        try:
            bid = self.quotes.rate(base=base, quote=quote, side=QuoteSide.BID)
            ask = self.quotes.rate(base=base, quote=quote, side=QuoteSide.ASK)
        except MissingRate:
            rate = rate_provider().rate(base=Currency.of(base), quote=Currency.of(quote), on=self.day)
            mid = round_away(rate.rate, RATE_DECIMALS)
            return Conversion(bid=mid, ask=mid, source=f"reference rate {base}/{quote} of {rate.at:%Y-%m-%d}")
        return Conversion(
            bid=round_away(bid.rate, RATE_DECIMALS),
            ask=round_away(ask.rate, RATE_DECIMALS),
            source=ask.route or bid.route,
        )


def market_of_day(day: date, *, symbol_ids: Iterable[int]) -> Market:
    """The closing prices of a server's day: of that business day, or of the last one before it."""
    rows = DailyPrice.objects.filter(business_day__lte=day, business_day__gte=day - OLDEST_PRICE)
    return _market(
        day,
        (
            (row["symbol_id"], row["bid"], row["ask"])
            for row in rows.order_by("symbol_id", "-business_day")
            .distinct("symbol_id")
            .values("symbol_id", "bid", "ask")
        ),
        symbol_ids,
    )


def market_now(day: date, *, symbol_ids: Iterable[int]) -> Market:
    """The latest quotes; where a symbol has none, its last closing price."""
    market = market_of_day(day, symbol_ids=symbol_ids)
    latest = {row.symbol_id: (row.bid, row.ask) for row in Quote.objects.all()}
    return _market(day, ((key, *price) for key, price in {**market.prices, **latest}.items()), symbol_ids)


def _market(day: date, rows: Iterable[tuple[int, Decimal, Decimal]], symbol_ids: Iterable[int]) -> Market:
    prices = {symbol_id: (bid, ask) for symbol_id, bid, ask in rows}
    pairs = (
        Symbol.objects.filter(pk__in=prices)
        .annotate(base=F("base_asset"))
        .values_list("pk", "base", "profit_currency", "code")
    )
    quotes: dict[str, BidAsk] = {}
    for pk, base, profit, code in pairs.order_by("pk"):
        name = base + profit
        # Of several symbols of one pair, the one that is called after it counts.
        if name not in quotes or code == name:
            quotes[name] = BidAsk(*prices[pk])
    wanted = set(symbol_ids)
    return Market(
        day=day, prices={pk: price for pk, price in prices.items() if pk in wanted}, quotes=ConversionQuotes(quotes)
    )
