"""What every connector speaks: the records that a trading server yields, and the Protocols that a connector keeps.

Times are aware UTC: the connector turns a server's local clock into UTC by the server's own zone. Volumes are lots,
amounts are in the account's currency, prices are as quoted; all of them `Decimal`, never a float. Records say nothing
about our own tables. One conformance suite holds every connector to these Protocols.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Protocol, runtime_checkable

from platform_ops.types import DealEntry, DealKind, Side

ZERO = Decimal(0)


class Ability(StrEnum):
    """What a connector can do; what it cannot, it refuses with `NotOffered` and never answers with nothing."""

    TIME = "time"
    DEALS = "deals"
    POSITIONS = "positions"
    ORDERS = "orders"
    ACCOUNTS = "accounts"
    GROUPS = "groups"
    SYMBOLS = "symbols"
    TICKS = "ticks"
    EXECUTIONS = "executions"
    """What the house itself filled at a provider (a drop copy): told as it happens, see `gateways/fix/drop_copy.py`."""

    BALANCE_OPERATIONS = "balance_operations"
    ACCOUNT_CHANGES = "account_changes"
    SYMBOL_CHANGES = "symbol_changes"


class CalculationMode(IntEnum):
    """How profit and margin of a symbol are computed (numbers of MetaTrader 5)."""

    FOREX = 0
    FUTURES = 1
    CFD = 2
    CFD_INDEX = 3
    CFD_LEVERAGE = 4
    FOREX_NO_LEVERAGE = 5
    EXCHANGE_STOCKS = 32
    EXCHANGE_FUTURES = 33
    EXCHANGE_BONDS = 37
    COLLATERAL = 64


class SwapMode(IntEnum):
    """In what a symbol's swap is stated (numbers of MetaTrader 5; MetaTrader 4 numbers them otherwise)."""

    NONE = 0
    POINTS = 1
    BASE_CURRENCY = 2
    MARGIN_CURRENCY = 3
    DEPOSIT_CURRENCY = 4
    INTEREST_CURRENT_PRICE = 5
    INTEREST_OPEN_PRICE = 6
    REOPEN_CLOSE_PRICE = 7
    REOPEN_BID = 8
    PROFIT_CURRENCY = 9


class TradeMode(IntEnum):
    """What a client may do in a symbol (numbers of MetaTrader 5)."""

    DISABLED = 0
    LONG_ONLY = 1
    SHORT_ONLY = 2
    CLOSE_ONLY = 3
    FULL = 4


class DealReason(IntEnum):
    """Why a deal was made, in the numbers of the Manager and Web API. The client's API numbers them otherwise:
    a connector that reads one of its exports translates (see `from_client_api`)."""

    CLIENT = 0
    EXPERT = 1
    DEALER = 2
    STOP_LOSS = 3
    TAKE_PROFIT = 4
    STOP_OUT = 5
    ROLLOVER = 6
    EXTERNAL_CLIENT = 7
    VARIATION_MARGIN = 8
    GATEWAY = 9
    SIGNAL = 10
    SETTLEMENT = 11
    TRANSFER = 12
    SYNC = 13
    EXTERNAL_SERVICE = 14
    MIGRATION = 15
    MOBILE = 16
    WEB = 17
    SPLIT = 18


class OrderState(IntEnum):
    """Where an order stands (numbers of MetaTrader 5)."""

    STARTED = 0
    PLACED = 1
    CANCELED = 2
    PARTIAL = 3
    FILLED = 4
    REJECTED = 5
    EXPIRED = 6
    REQUEST_ADD = 7
    REQUEST_MODIFY = 8
    REQUEST_CANCEL = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerClock:
    """A server's idea of now. `local` is its naive wall clock, `utc` the same by the zone that we keep for it."""

    local: datetime
    utc: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayDeal:
    """One deal, named by (`ticket`, `leg`): MT5 deals are leg 0, an MT4 ticket opens as leg 0 and closes as leg 1.

    `market_bid` and `market_ask` are the market when the deal was executed, `gateway_price` what the liquidity provider
    filled at; None where the server does not tell. `modify_flags` other than 0 says that staff touched the deal.
    """

    ticket: int
    login: str
    kind: DealKind
    at: datetime
    leg: int = 0
    entry: DealEntry | None = None
    reason: DealReason | None = None
    order_ticket: int = 0
    position_ticket: int = 0
    symbol: str = ""
    volume_lots: Decimal = ZERO
    price: Decimal | None = None
    open_price: Decimal | None = None
    opened_at: datetime | None = None
    profit: Decimal = ZERO
    swap: Decimal = ZERO
    commission: Decimal = ZERO
    fee: Decimal = ZERO
    comment: str = ""
    currency: str = ""
    contract_size: Decimal | None = None
    profit_rate: Decimal | None = None
    margin_rate: Decimal | None = None
    market_bid: Decimal | None = None
    market_ask: Decimal | None = None
    gateway_price: Decimal | None = None
    external_id: str = ""
    dealer: int = 0
    expert: int = 0
    modify_flags: int = 0

    @property
    def money(self) -> Decimal:
        """All that the deal moved."""
        return self.profit + self.swap + self.commission + self.fee


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPosition:
    """An open position with its floating figures. `profit` leaves out the accrued `swap`."""

    ticket: int
    login: str
    symbol: str
    side: Side
    volume_lots: Decimal
    open_price: Decimal
    current_price: Decimal
    opened_at: datetime
    profit: Decimal
    swap: Decimal
    commission: Decimal = ZERO
    contract_size: Decimal | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOrder:
    """An order, working or ended. `requested_price` is what the client saw, `filled_price` the average of its deals.

    `placed_at` is when the server took it, `done_at` when it was filled, cancelled, rejected or expired.
    """

    ticket: int
    login: str
    symbol: str
    state: OrderState
    type: int
    side: Side
    volume_initial_lots: Decimal
    volume_filled_lots: Decimal
    requested_price: Decimal | None
    placed_at: datetime
    done_at: datetime | None
    filled_price: Decimal | None = None
    position_ticket: int = 0
    reason: DealReason | None = None
    comment: str = ""
    external_id: str = ""
    requotes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAccount:
    """An account as its server keeps it. Figures that the source does not tell are None."""

    login: str
    group: str
    name: str
    currency: str
    leverage: int
    balance: Decimal
    credit: Decimal = ZERO
    equity: Decimal | None = None
    margin: Decimal | None = None
    margin_free: Decimal | None = None
    email: str = ""
    country: str = ""
    comment: str = ""
    is_enabled: bool = True
    is_trading_allowed: bool = True
    is_archived: bool = False
    registered_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayGroup:
    """A group of accounts. `is_hedging` False means netting."""

    name: str
    currency: str
    is_hedging: bool
    leverage: int | None = None
    margin_call_percent: Decimal | None = None
    stop_out_percent: Decimal | None = None


Session = tuple[int, int]
"""Opening and closing minute of a day in the server's local time, 0 … 1440; the end is not part of it."""

NO_SESSIONS: tuple[tuple[Session, ...], ...] = ((), (), (), (), (), (), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolTerms:
    """How a symbol is traded, in our words, whichever platform said it. Weekdays count from Sunday, as servers do.

    `swap_long` and `swap_short` are stated as `swap_mode` says, negative where the client pays. `swap_multipliers` say
    how many nights each weekday's close counts. `margin_hedged` is the contract size that covered volume is margined by.
    `converts_by_market` turns a forex result into the account's currency as that of other modes: a profit at the bid, a
    loss at the ask. `face_value` and `accrued_interest` are of bonds. Filter levels are points; 0 turns one off.
    """

    digits: int
    contract_size: Decimal
    base_currency: str
    profit_currency: str
    margin_currency: str
    calculation_mode: CalculationMode
    tick_size: Decimal = ZERO
    tick_value: Decimal = ZERO
    trade_mode: TradeMode = TradeMode.FULL
    spread_points: int = 0
    stops_level_points: int = 0
    freeze_level_points: int = 0
    lots_minimum: Decimal = Decimal("0.01")
    lots_maximum: Decimal = Decimal(100)
    lots_step: Decimal = Decimal("0.01")
    lots_limit: Decimal = ZERO
    margin_initial: Decimal = ZERO
    margin_maintenance: Decimal = ZERO
    margin_hedged: Decimal = ZERO
    margin_rate_buy: Decimal = Decimal(1)
    margin_rate_sell: Decimal = Decimal(1)
    is_hedged_by_larger_leg: bool = False
    converts_by_market: bool = False
    face_value: Decimal = ZERO
    accrued_interest: Decimal = ZERO
    swap_mode: SwapMode = SwapMode.POINTS
    swap_long: Decimal = ZERO
    swap_short: Decimal = ZERO
    swap_multipliers: tuple[Decimal, ...] = (
        Decimal(0), Decimal(1), Decimal(1), Decimal(3), Decimal(1), Decimal(1), Decimal(0),
    )  # fmt: skip
    swap_year_days: int = 360
    swap_considers_holidays: bool = False
    filter_soft_points: int = 0
    filter_soft_ticks: int = 0
    filter_hard_points: int = 0
    filter_hard_ticks: int = 0
    filter_discard_points: int = 0
    filter_spread_minimum_points: int = 0
    filter_spread_maximum_points: int = 0
    gap_points: int = 0
    gap_ticks: int = 0
    quote_sessions: tuple[tuple[Session, ...], ...] = NO_SESSIONS
    trade_sessions: tuple[tuple[Session, ...], ...] = NO_SESSIONS
    expires_on: date | None = None
    isin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySymbol:
    """A symbol of a server with its terms; `path` is the folder that the server keeps it in."""

    name: str
    terms: SymbolTerms
    description: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTick:
    """A server's last quote of a symbol."""

    symbol: str
    bid: Decimal
    ask: Decimal
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """What an account is opened with. The passwords are never stored nor logged here."""

    group: str
    name: str
    leverage: int
    main_password: str = field(repr=False)
    investor_password: str = field(repr=False)
    email: str = ""
    country: str = ""
    comment: str = ""
    login: str = ""


@runtime_checkable
class ReadingGateway(Protocol):
    """The reading half of a connector. Methods outside `abilities` raise `NotOffered`.

    Every method is bounded in time and answers whole or raises a `GatewayError`: `GatewayUnavailable` (worth a retry),
    `GatewayRefused` (with the server's code), `GatewayGarbled` (the peer broke the protocol). Iterators may raise midway;
    what they yielded until then is true.
    """

    @property
    def abilities(self) -> frozenset[Ability]:
        """What this connector can do."""

    def clock(self) -> ServerClock:
        """The server's clock."""

    def deals(
        self, *, from_time: datetime, to_time: datetime, logins: Sequence[str] | None = None
    ) -> Iterator[GatewayDeal]:
        """Deals with `from_time <= at < to_time`, each once, in the order of (`at`, `ticket`)."""

    def orders(
        self, *, from_time: datetime, to_time: datetime, logins: Sequence[str] | None = None
    ) -> Iterator[GatewayOrder]:
        """Ended orders done within the window, each once."""

    def positions(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayPosition]:
        """What is open now."""

    def accounts(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayAccount]:
        """Accounts with their money. A login that the server does not know is left out."""

    def groups(self) -> Iterator[GatewayGroup]:
        """All groups."""

    def symbols(self) -> Iterator[GatewaySymbol]:
        """All symbols with their terms."""

    def last_ticks(self, *, symbols: Sequence[str]) -> Mapping[str, GatewayTick]:
        """The last quote by symbol; one without a quote yet is left out."""

    def close(self) -> None:
        """Ends the session; may be called twice."""


@runtime_checkable
class TradingGateway(ReadingGateway, Protocol):
    """The writing half: what changes a server. None of these is repeatable by itself; a lost answer is told by
    `GatewayUncertain`, and the caller looks up what happened before it tries again."""

    def open_account(self, *, account: NewAccount) -> str:
        """Opens an account; its login."""

    def change_account(
        self,
        *,
        login: str,
        group: str | None = None,
        leverage: int | None = None,
        is_enabled: bool | None = None,
        is_trading_allowed: bool | None = None,
        name: str | None = None,
        comment: str | None = None,
    ) -> None:
        """Changes what is given, nothing else."""

    def change_password(self, *, login: str, password: str, is_investor: bool) -> None:
        """Sets one of the account's two passwords."""

    def check_password(self, *, login: str, password: str, is_investor: bool) -> bool:
        """Whether the password is the account's."""

    def balance_operation(
        self, *, login: str, kind: DealKind, amount: Decimal, comment: str, checks_margin: bool = True
    ) -> int:
        """Moves money on the account (negative: out of it) and returns the deal's ticket. *comment* is 32 characters
        at most and carries the reference by which the operation is found again."""

    def find_operation(self, *, login: str, reference: str, since: datetime) -> GatewayDeal | None:
        """The money deal of the account whose comment holds *reference*, or None."""

    def change_symbol(self, *, name: str, changes: Mapping[str, object]) -> None:
        """Changes the named fields of `SymbolTerms` on the server, leaving all others as they are."""
