"""Prices of symbols: the latest quotes, and the closing prices of business days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from backoffice.kernel.errors import InvalidInput
from platform_ops.models import DailyPrice, Quote, Symbol

MAXIMUM_QUOTES = 5_000


def store_quotes(*, quotes: Mapping[int, tuple[Decimal, Decimal]], at: datetime, source: str) -> int:
    """Stores (bid, ask) by symbol id in one statement; how many. Refuses the whole set if one price cannot be."""
    if len(quotes) > MAXIMUM_QUOTES:
        raise InvalidInput(f"At most {MAXIMUM_QUOTES} quotes at once.", field="quotes")
    for symbol_id, (bid, ask) in quotes.items():
        if bid <= 0 or ask < bid:
            raise InvalidInput("A bid is above zero and not above its ask.", field="bid", value=str(bid), row=symbol_id)
    Quote.objects.bulk_create(
        [
            Quote(symbol_id=symbol_id, bid=bid, ask=ask, at=at, source=source)
            for symbol_id, (bid, ask) in quotes.items()
        ],
        update_conflicts=True,
        unique_fields=["symbol"],
        update_fields=["bid", "ask", "at", "source"],
    )
    return len(quotes)


def store_daily_prices(*, business_day: date, prices: Mapping[str, tuple[Decimal, Decimal]], source: str) -> int:
    """Stores closing (bid, ask) by symbol code; how many were new. A price fixed before is never overwritten.

    Raises InvalidInput naming a symbol that does not exist, or a price that cannot be.
    """
    ids = dict(Symbol.objects.filter(code__in=prices).values_list("code", "pk"))
    unknown = sorted(set(prices) - set(ids))
    if unknown:
        raise InvalidInput(f"No such symbol: {', '.join(unknown)}.", field="symbol", value=unknown[0])
    for code, (bid, ask) in prices.items():
        if bid <= 0 or ask < bid:
            raise InvalidInput("A bid is above zero and not above its ask.", field="bid", value=str(bid), row=code)
    before = DailyPrice.objects.filter(business_day=business_day).count()
    DailyPrice.objects.bulk_create(
        [
            DailyPrice(symbol_id=ids[code], business_day=business_day, bid=bid, ask=ask, source=source)
            for code, (bid, ask) in prices.items()
        ],
        ignore_conflicts=True,
    )
    return DailyPrice.objects.filter(business_day=business_day).count() - before
