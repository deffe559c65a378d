"""Prices: ticks of sources through the filter, the store that keeps them, quotes, bars and closing prices.

Prices enter as `Decimal` and are whole points (with their number of digits) from the border to the store and back; no
float ever stands for a price.
"""

from platform_ops.services.prices.intake import accept_ticks
from platform_ops.services.prices.quotes import store_daily_prices, store_quotes
from platform_ops.services.prices.store import ticks_around
from platform_ops.services.prices.types import IncomingTick, StoredTick, TickIntake

__all__ = [
    "IncomingTick",
    "StoredTick",
    "TickIntake",
    "accept_ticks",
    "store_daily_prices",
    "store_quotes",
    "ticks_around",
]
