"""Trading servers and what happens on them."""

from platform_ops.models.accounts import AccountDimension, AccountGroup, AccountType, TradingAccount
from platform_ops.models.business_day import BusinessDay, BusinessDayStep
from platform_ops.models.ingest import IngestBatch, OpenPositionMark, StatementImport
from platform_ops.models.price_feeds import (
    BufferedTick,
    PriceBar,
    PriceFeed,
    PriceFilterSetting,
    PriceSource,
    RejectedTick,
    RejectionEpisode,
    SymbolPriceState,
    TickBatch,
    TickFile,
)
from platform_ops.models.prices import DailyPrice, FxReferenceRate, Quote
from platform_ops.models.servers import TradingServer
from platform_ops.models.swaps import (
    DividendEvent,
    SwapBreak,
    SwapCharge,
    SwapFreePolicy,
    SwapFreeRevocation,
    SwapLine,
    SwapObservation,
    SwapRate,
    SwapRun,
    SwapSetting,
    SwapTerm,
)
from platform_ops.models.symbols import ServerSymbol, Symbol, SymbolGroup, SymbolSpec
from platform_ops.models.trading import BalanceOperation, CurrentDeal, Deal, Position, Trade

__all__ = [
    "AccountDimension",
    "AccountGroup",
    "AccountType",
    "BalanceOperation",
    "BufferedTick",
    "BusinessDay",
    "BusinessDayStep",
    "CurrentDeal",
    "DailyPrice",
    "Deal",
    "DividendEvent",
    "FxReferenceRate",
    "IngestBatch",
    "OpenPositionMark",
    "Position",
    "PriceBar",
    "PriceFeed",
    "PriceFilterSetting",
    "PriceSource",
    "Quote",
    "RejectedTick",
    "RejectionEpisode",
    "ServerSymbol",
    "StatementImport",
    "SwapBreak",
    "SwapCharge",
    "SwapFreePolicy",
    "SwapFreeRevocation",
    "SwapLine",
    "SwapObservation",
    "SwapRate",
    "SwapRun",
    "SwapSetting",
    "SwapTerm",
    "Symbol",
    "SymbolGroup",
    "SymbolPriceState",
    "SymbolSpec",
    "TickBatch",
    "TickFile",
    "Trade",
    "TradingAccount",
    "TradingServer",
]
