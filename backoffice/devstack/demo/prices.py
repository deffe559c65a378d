"""Price paths of the demo market: minute by minute, consistent across currency pairs, the same for the same seed.

Money is never computed here with floats: a path gives the middle price, which is rounded to the symbol's digits as a
Decimal before anybody trades on it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

import numpy as np

from backoffice.devstack.demo.catalogue import BY_CODE, SYMBOLS, DemoSymbol

MINUTES_PER_YEAR = 252 * 1440
# Dollars per unit of a currency; pairs are quotients of these, so that crosses agree with their legs.
_CURRENCIES = ("EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "NZD", "TRY", "MXN")
_DOLLAR_START = {
    "EUR": 1.1172, "GBP": 1.3399, "JPY": 1 / 157.25, "CHF": 1 / 0.8230, "CAD": 1 / 1.3890, "AUD": 0.6640,
    "NZD": 0.6010, "TRY": 1 / 49.9476, "MXN": 1 / 18.4200,
}  # fmt: skip
_DOLLAR_VOLATILITY = {
    "EUR": 0.07, "GBP": 0.075, "JPY": 0.095, "CHF": 0.07, "CAD": 0.055, "AUD": 0.09, "NZD": 0.09, "TRY": 0.11,
    "MXN": 0.11,
}  # fmt: skip


class PricePaths:
    """Middle prices per minute from *start* on, for a number of days; weekends have minutes too but do not move."""

    def __init__(self, *, start: datetime, days: int, seed: int) -> None:
        self.start = start
        self.minutes = days * 1440
        generator = np.random.default_rng(seed)
        moving = self._moving_minutes()
        dollars = {
            currency: self._path(generator, _DOLLAR_START[currency], _DOLLAR_VOLATILITY[currency], moving)
            for currency in _CURRENCIES
        }
        dollars["USD"] = np.ones(self.minutes)
        self._middle: dict[str, np.ndarray] = {}
        for symbol in SYMBOLS:
            if symbol.is_forex:
                self._middle[symbol.code] = dollars[symbol.base_asset] / dollars[symbol.profit_currency]
            else:
                self._middle[symbol.code] = self._path(generator, symbol.start_price, symbol.yearly_volatility, moving)
        self._dollars = dollars

    def _moving_minutes(self) -> np.ndarray:
        times = [self.start + timedelta(hours=hour) for hour in range(self.minutes // 60)]
        open_hours = np.array([_is_market_open(at) for at in times], dtype=float)
        return np.repeat(open_hours, 60)

    def _path(
        self, generator: np.random.Generator, start: float, yearly_volatility: float, moving: np.ndarray
    ) -> np.ndarray:
        steps = generator.standard_normal(self.minutes) * yearly_volatility / np.sqrt(MINUTES_PER_YEAR) * moving
        return start * np.exp(np.cumsum(steps))

    def _index(self, at: datetime) -> int:
        minute = int((at - self.start).total_seconds() // 60)
        return max(0, min(minute, self.minutes - 1))

    def middle(self, code: str, at: datetime) -> Decimal:
        """The middle price at an instant, rounded to the symbol's digits."""
        symbol = BY_CODE[code]
        return _rounded(float(self._middle[code][self._index(at)]), symbol)

    def bid_ask(self, code: str, at: datetime) -> tuple[Decimal, Decimal]:
        """Bid and ask at an instant: the middle with the symbol's spread around it."""
        symbol = BY_CODE[code]
        bid = self.middle(code, at) - symbol.point * (symbol.spread_points // 2)
        return bid, bid + symbol.point * symbol.spread_points

    def rate(self, base: str, quote: str, at: datetime) -> Decimal:
        """Units of *quote* per unit of *base*, to ten places; both are currencies of the demo."""
        if base == quote:
            return Decimal(1)
        index = self._index(at)
        value = float(self._dollars[base][index]) / float(self._dollars[quote][index])
        return Decimal(repr(value)).quantize(Decimal("1e-10"), rounding=ROUND_HALF_UP)


def _rounded(value: float, symbol: DemoSymbol) -> Decimal:
    return Decimal(repr(value)).quantize(symbol.point, rounding=ROUND_HALF_UP)


def _is_market_open(at: datetime) -> bool:
    """Whether the market moves: not between Friday's close and Sunday's open in New York (winter hours will do)."""
    hour = at.astimezone(UTC)
    weekday = hour.weekday()
    if weekday == 5:
        return False
    if weekday == 4:
        return hour.hour < 22
    return weekday != 6 or hour.hour >= 22


def path_start(first_day_start: datetime) -> datetime:
    """A whole minute at or before the first business day, so that minutes count from it."""
    return first_day_start.replace(second=0, microsecond=0)
