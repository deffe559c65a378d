"""The symbols of the demo broker with the specifications that retail brokers really use."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from platform_ops.rules.sessions import whole_week

WEDNESDAY, FRIDAY = 2, 4


@dataclass(frozen=True, slots=True)
class DemoSymbol:
    """A symbol, its specification, and the yearly volatility (as a share of the price) that its path has."""

    code: str
    name: str
    group: str
    asset_class: str
    base_asset: str
    profit_currency: str
    digits: int
    contract_size: int
    pip_size: str
    spread_points: int
    swap_long_points: str
    swap_short_points: str
    triple_swap_weekday: int
    leverage_maximum: int
    start_price: float
    yearly_volatility: float
    popularity: int

    @property
    def point(self) -> Decimal:
        """The smallest step of the price."""
        return Decimal(1).scaleb(-self.digits)

    @property
    def is_forex(self) -> bool:
        """Whether profit is calculated the Forex way (each leg rounded) and margin in the base currency."""
        return self.asset_class == "forex"

    @property
    def swap_multipliers(self) -> list[Decimal]:
        """Nights by weekday from Sunday, three on the triple day."""
        nights = [Decimal(0), *[Decimal(1)] * 5, Decimal(0)]
        nights[self.triple_swap_weekday + 1] = Decimal(3)
        return nights

    @property
    def trading_week(self) -> list[list[list[int]]]:
        """Minutes of each weekday on the server's clock: metals, energy and indices rest for its first hour."""
        if self.asset_class == "crypto":
            return whole_week()
        first = 0 if self.is_forex else 60
        return [[], *([[first, 1440]] for _ in range(5)), []]


GROUPS: dict[str, str] = {
    "majors": "Majors",
    "minors": "Minors",
    "exotics": "Exotics",
    "metals": "Metals",
    "energy": "Energy",
    "indices": "Indices",
    "crypto": "Crypto",
}


def _fx(
    code: str, group: str, digits: int, spread: int, swaps: tuple[str, str], price: float, vol: float, weight: int
) -> DemoSymbol:
    leverage = {"majors": 500, "minors": 400, "exotics": 100}[group]
    pip = "0.01" if digits == 3 else "0.0001"
    return DemoSymbol(
        code, f"{code[:3]} against {code[3:]}", group, "forex", code[:3], code[3:], digits, 100_000, pip, spread,
        swaps[0], swaps[1], WEDNESDAY, leverage, price, vol, weight,
    )  # fmt: skip


def _cfd(
    code: str, name: str, group: str, asset_class: str, currency: str, digits: int, size: int, pip: str, spread: int,
    swaps: tuple[str, str], leverage: int, price: float, vol: float, weight: int,
) -> DemoSymbol:  # fmt: skip
    weekday = WEDNESDAY if group in {"metals", "energy"} else FRIDAY
    base = code[:3] if group in {"metals", "energy", "crypto"} else code
    return DemoSymbol(
        code, name, group, asset_class, base, currency, digits, size, pip, spread, swaps[0], swaps[1], weekday,
        leverage, price, vol, weight,
    )  # fmt: skip


SYMBOLS: tuple[DemoSymbol, ...] = (
    _fx("EURUSD", "majors", 5, 8, ("-7.2", "3.1"), 1.1172, 0.075, 30),
    _fx("GBPUSD", "majors", 5, 12, ("-4.5", "-1.2"), 1.3399, 0.08, 16),
    _fx("USDJPY", "majors", 3, 9, ("12.4", "-24.8"), 157.25, 0.10, 18),
    _fx("USDCHF", "majors", 5, 13, ("6.1", "-12.6"), 0.8230, 0.075, 6),
    _fx("USDCAD", "majors", 5, 15, ("1.4", "-6.9"), 1.3890, 0.06, 7),
    _fx("AUDUSD", "majors", 5, 11, ("-2.3", "-1.1"), 0.6640, 0.095, 8),
    _fx("NZDUSD", "majors", 5, 16, ("-1.9", "-1.6"), 0.6010, 0.095, 4),
    _fx("EURGBP", "minors", 5, 14, ("-6.2", "1.9"), 0.8338, 0.05, 4),
    _fx("EURJPY", "minors", 3, 18, ("6.8", "-17.3"), 175.68, 0.10, 5),
    _fx("GBPJPY", "minors", 3, 24, ("14.9", "-31.5"), 210.70, 0.11, 6),
    _fx("EURCHF", "minors", 5, 17, ("2.6", "-8.4"), 0.9194, 0.05, 2),
    _fx("AUDJPY", "minors", 3, 19, ("7.7", "-15.9"), 104.42, 0.11, 3),
    _fx("EURAUD", "minors", 5, 26, ("-9.1", "2.2"), 1.6825, 0.08, 2),
    _fx("CADJPY", "minors", 3, 22, ("5.3", "-12.1"), 113.21, 0.09, 2),
    _fx("USDTRY", "exotics", 5, 900, ("-2450.0", "980.0"), 49.9476, 0.12, 1),
    _fx("USDMXN", "exotics", 5, 320, ("-310.0", "95.0"), 18.4200, 0.12, 2),
    _cfd("XAUUSD", "Gold", "metals", "metal", "USD", 2, 100, "0.1", 22, ("-62.0", "31.0"), 200, 4012.40, 0.18, 26),
    _cfd("XAGUSD", "Silver", "metals", "metal", "USD", 3, 5000, "0.01", 26, ("-9.4", "3.8"), 100, 48.250, 0.32, 5),
    _cfd("XTIUSD", "WTI crude oil", "energy", "energy", "USD", 2, 1000, "0.01", 4, ("-2.9", "-1.4"), 100, 61.85, 0.34, 6),
    _cfd("XBRUSD", "Brent crude oil", "energy", "energy", "USD", 2, 1000, "0.01", 5, ("-2.6", "-1.7"), 100, 65.70, 0.32, 3),
    _cfd("US500", "US 500 index", "indices", "index", "USD", 1, 10, "1", 5, ("-14.2", "5.1"), 200, 6790.5, 0.16, 9),
    _cfd("US30", "Wall Street 30 index", "indices", "index", "USD", 1, 1, "1", 24, ("-98.0", "34.0"), 200, 47120.0, 0.15, 7),
    _cfd("DE40", "Germany 40 index", "indices", "index", "EUR", 1, 1, "1", 11, ("-40.0", "9.0"), 200, 24050.0, 0.17, 6),
    _cfd("BTCUSD", "Bitcoin", "crypto", "crypto", "USD", 2, 1, "1", 1800, ("-5400.0", "900.0"), 10, 108400.00, 0.50, 7),
    _cfd("ETHUSD", "Ethereum", "crypto", "crypto", "USD", 2, 1, "1", 190, ("-260.0", "40.0"), 10, 3890.00, 0.65, 3),
)  # fmt: skip

BY_CODE: dict[str, DemoSymbol] = {symbol.code: symbol for symbol in SYMBOLS}
