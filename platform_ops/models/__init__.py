"""Trading servers and what happens on them."""

from platform_ops.models.accounts import AccountDimension, AccountGroup, AccountOffer, AccountType, TradingAccount
from platform_ops.models.business_day import BusinessDay, BusinessDayStep
from platform_ops.models.complaints import PriceComplaint, TradeCancellation
from platform_ops.models.connections import ServerConnection, ServerSync, SyncGap
from platform_ops.models.drop_copies import DropCopyMessage, DropCopySession
from platform_ops.models.execution import OrderExecution
from platform_ops.models.ingest import IngestBatch, OpenPositionMark, StatementImport
from platform_ops.models.liquidity import (
    CurrentFill,
    LiquidityFill,
    LiquidityMessage,
    LiquidityOrderProblem,
    LiquidityProvider,
    LiquiditySymbol,
)
from platform_ops.models.markets import DealMarket
from platform_ops.models.operations import OperationLimit, ServerOperation, ServerOperationEvent
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
from platform_ops.models.reconciliation import ReconciliationBreak, ReconciliationRun
from platform_ops.models.server_symbols import (
    ServerSymbolTerms,
    SpecificationImport,
    SymbolDrift,
    SymbolNameRule,
)
from platform_ops.models.servers import TradingServer
from platform_ops.models.sessions import Holiday, MarketCalendar
from platform_ops.models.swap_desk import SwapMarkupRule, SwapPush, SwapSheet, SwapSheetRow
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
from platform_ops.models.symbols import GroupSymbolOverride, ServerSymbol, Symbol, SymbolGroup, SymbolSpec
from platform_ops.models.trading import BalanceOperation, CurrentDeal, Deal, Position, Trade

__all__ = [
    "AccountDimension",
    "AccountGroup",
    "AccountOffer",
    "AccountType",
    "BalanceOperation",
    "BufferedTick",
    "BusinessDay",
    "BusinessDayStep",
    "CurrentDeal",
    "CurrentFill",
    "DailyPrice",
    "Deal",
    "DealMarket",
    "DividendEvent",
    "DropCopyMessage",
    "DropCopySession",
    "FxReferenceRate",
    "GroupSymbolOverride",
    "Holiday",
    "IngestBatch",
    "LiquidityFill",
    "LiquidityMessage",
    "LiquidityOrderProblem",
    "LiquidityProvider",
    "LiquiditySymbol",
    "MarketCalendar",
    "OpenPositionMark",
    "OperationLimit",
    "OrderExecution",
    "Position",
    "PriceBar",
    "PriceComplaint",
    "PriceFeed",
    "PriceFilterSetting",
    "PriceSource",
    "Quote",
    "ReconciliationBreak",
    "ReconciliationRun",
    "RejectedTick",
    "RejectionEpisode",
    "ServerConnection",
    "ServerOperation",
    "ServerOperationEvent",
    "ServerSymbol",
    "ServerSymbolTerms",
    "ServerSync",
    "SpecificationImport",
    "StatementImport",
    "SwapBreak",
    "SwapCharge",
    "SwapFreePolicy",
    "SwapFreeRevocation",
    "SwapLine",
    "SwapMarkupRule",
    "SwapObservation",
    "SwapPush",
    "SwapRate",
    "SwapRun",
    "SwapSetting",
    "SwapSheet",
    "SwapSheetRow",
    "SwapTerm",
    "Symbol",
    "SymbolDrift",
    "SymbolGroup",
    "SymbolNameRule",
    "SymbolPriceState",
    "SymbolSpec",
    "SyncGap",
    "TickBatch",
    "TickFile",
    "Trade",
    "TradeCancellation",
    "TradingAccount",
    "TradingServer",
]
