"""Values of the risk desk: what is summed from positions, and the exposure that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from backoffice.kernel.decimals import EXACT
from backoffice.kernel.profit import TradeSide
from platform_ops.gateways.types import CalculationMode
from platform_ops.gateways.types import SymbolTerms as TradingTerms
from platform_ops.rules.trading import FUTURES_MODES

ALL_BOOKS = ""
"""The key of figures over every book; the others are values of the account dimension `book`, such as A or B."""

NO_BOOK = "none"
"""The key of accounts that nobody has put into a book."""


class Reason(StrEnum):
    """Why a figure could not be worked out; what it concerns is named, never counted as zero."""

    NO_PRICE = "no price"
    NO_SPECIFICATION = "no specification"
    NO_RATE = "no reference rate"


@dataclass(frozen=True, slots=True)
class PositionGroup:
    """Open positions of one symbol, side and book, summed: profit is linear in price, so nothing finer is needed."""

    symbol: str
    side: TradeSide
    book: str
    lots: Decimal
    lots_times_price: Decimal
    positions: int


@dataclass(frozen=True, slots=True)
class SymbolTerms:
    """What a symbol is made of and how it is valued. Without a valid specification there is no contract size.

    A lot is worth contract size × price; of futures it is price × tick value ÷ tick size, of bonds a share of the face value.
    """

    base_asset: str
    profit_currency: str
    contract_size: Decimal | None
    calculation_mode: CalculationMode = CalculationMode.FOREX
    tick_size: Decimal = Decimal(0)
    tick_value: Decimal = Decimal(0)
    face_value: Decimal = Decimal(0)
    accrued_interest: Decimal = Decimal(0)

    @property
    def is_known(self) -> bool:
        """Whether a lot can be valued: futures need their ticks for it, bonds their face value."""
        if self.calculation_mode in FUTURES_MODES:
            return self.contract_size is not None and self.tick_size > 0 and self.tick_value > 0
        if self.calculation_mode is CalculationMode.EXCHANGE_BONDS:
            return self.contract_size is not None and self.face_value > 0
        return self.contract_size is not None

    @property
    def trading(self) -> TradingTerms:
        """The terms as the platform's own rules take them; only where they are known."""
        assert self.contract_size is not None
        return TradingTerms(
            digits=0,
            contract_size=self.contract_size,
            base_currency=self.base_asset,
            profit_currency=self.profit_currency,
            margin_currency=self.profit_currency,
            calculation_mode=self.calculation_mode,
            tick_size=self.tick_size,
            tick_value=self.tick_value,
            face_value=self.face_value,
            accrued_interest=self.accrued_interest,
        )

    def asset_of(self, symbol: str) -> str:
        """What a long position holds. A contract whose "base" is the very money that it is settled in holds none of it."""
        return symbol if self.base_asset == self.profit_currency else self.base_asset


@dataclass(frozen=True, slots=True)
class SymbolPrice:
    """Both sides of a quote, and when it was made. A single given price is both sides."""

    bid: Decimal
    ask: Decimal
    at: datetime | None = None

    @property
    def mid(self) -> Decimal:
        """Half way between the sides: what exposure is marked at."""
        return EXACT.divide(EXACT.add(self.bid, self.ask), Decimal(2))


@dataclass(frozen=True, slots=True)
class ReportRate:
    """Units of the report currency for one unit of another, and the day on which the source fixed it."""

    rate: Decimal
    fixed_on: date
    source: str


@dataclass(frozen=True, slots=True)
class SymbolExposure:
    """The clients' side in one symbol. Money is in the report currency; None means that it cannot be said."""

    symbol: str
    positions: int
    long_lots: Decimal
    short_lots: Decimal
    net_lots: Decimal
    net_units: Decimal | None
    average_price_long: Decimal | None
    average_price_short: Decimal | None
    price: SymbolPrice | None
    notional: Decimal | None
    floating: Decimal | None
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class CurrencyExposure:
    """The clients' side in one currency or asset, over the legs of all symbols."""

    currency: str
    positions: int
    net_units: Decimal
    rate: Decimal | None
    notional: Decimal | None


@dataclass(frozen=True, slots=True)
class NetExposure:
    """Exposure by symbol and by currency, for one book or all."""

    symbols: tuple[SymbolExposure, ...]
    currencies: tuple[CurrencyExposure, ...]


@dataclass(frozen=True, slots=True)
class UnmappedSymbol:
    """A server's symbol that stands for none of ours: its positions are counted and in no other figure."""

    server: str
    name: str
    positions: int
    lots: Decimal


@dataclass(frozen=True, slots=True)
class OpenBook:
    """Everything that one snapshot of the open positions says, before prices and rates are applied."""

    groups: tuple[PositionGroup, ...]
    terms: Mapping[str, SymbolTerms]
    quotes: Mapping[str, SymbolPrice]
    unmapped: tuple[UnmappedSymbol, ...] = field(default=())
    digest: str = ""

    @property
    def books(self) -> tuple[str, ...]:
        """The books that have an open position."""
        return tuple(sorted({group.book for group in self.groups}))
