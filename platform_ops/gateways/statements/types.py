"""What a statement says, in typed records, before anything is stored.

Times are naive server-local: turning them into UTC needs the server's zone, which no file prints. Amounts are in
the account's currency, volumes in lots. Records compare by what they say; the row they stood in is for messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from platform_ops.types import DealEntry, DealKind, Platform, Side

ZERO = Decimal(0)


class StatementFormat(StrEnum):
    """What kind of file it was."""

    MT4_STATEMENT = "mt4_statement"
    MT4_DETAILED = "mt4_detailed"
    MT5_REPORT = "mt5_report"
    MT5_HTML = "mt5_html"
    MT5_API_DEALS = "mt5_api_deals"
    MT5_API_ORDERS = "mt5_api_orders"
    DEALS_CSV = "deals_csv"


@dataclass(frozen=True, slots=True)
class DealRecord:
    """One deal of an account, whichever platform printed it. (`ticket`, `leg`) names it within a server.

    An MT5 deal is leg 0. An MT4 ticket is leg 0, its opening without money, and once closed leg 1, its closing
    with all its money; the closing leg of a buy is a SELL, as MT5 prints it.

    `position` is what the deal belongs to: the MT5 position, or the first ticket of an MT4 partial-close chain;
    0 for money rows. `open_price` and `open_time` stand on closing deals, None where the file does not tell.
    `fee` holds MT4 taxes and MT5 fees. `price` is None and `symbol` empty on money rows. `market_bid`, `market_ask` and
    `gateway_price` are the market when the deal was executed and the provider's price, None where the file does not tell.
    """

    row: int = field(compare=False)
    ticket: int
    leg: int
    kind: DealKind
    entry: DealEntry | None
    position: int
    order: int
    symbol: str
    volume_lots: Decimal
    price: Decimal | None
    time: datetime
    profit: Decimal
    swap: Decimal
    commission: Decimal
    fee: Decimal
    comment: str
    price_digits: int
    open_price: Decimal | None = None
    open_time: datetime | None = None
    market_bid: Decimal | None = None
    market_ask: Decimal | None = None
    gateway_price: Decimal | None = None

    @property
    def money(self) -> Decimal:
        """All that the deal moved: profit, swap, commission and fee."""
        return self.profit + self.swap + self.commission + self.fee


@dataclass(frozen=True, slots=True)
class OpenPositionMark:
    """An open position at the moment of the statement, with its floating figures."""

    row: int = field(compare=False)
    ticket: int
    position: int
    symbol: str
    side: Side
    volume_lots: Decimal
    open_time: datetime
    open_price: Decimal
    current_price: Decimal
    sl: Decimal | None
    tp: Decimal | None
    swap: Decimal
    commission: Decimal
    taxes: Decimal
    profit: Decimal
    comment: str


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """An order as an export of the client's API tells it. `type`, `state` and `reason` are numbers of servers."""

    row: int = field(compare=False)
    ticket: int
    symbol: str
    type: int
    side: Side
    state: int
    position: int
    initial_lots: Decimal
    filled_lots: Decimal
    price: Decimal | None
    placed_at: datetime
    done_at: datetime | None
    reason: int
    comment: str


@dataclass(frozen=True, slots=True)
class StatementSummary:
    """Figures that the file itself states; None where it states none. `gross_loss` is zero or negative."""

    closed_pl: Decimal | None = None
    floating_pl: Decimal | None = None
    deposit_withdrawal: Decimal | None = None
    credit: Decimal | None = None
    balance: Decimal | None = None
    equity: Decimal | None = None
    margin: Decimal | None = None
    free_margin: Decimal | None = None
    gross_profit: Decimal | None = None
    gross_loss: Decimal | None = None
    total_net_profit: Decimal | None = None
    total_trades: int | None = None


SUMMARY_FIELDS = tuple(item.name for item in fields(StatementSummary))


@dataclass(frozen=True, slots=True)
class Statement:
    """A whole file, read. There is no half-read statement: a file that cannot be read to its end is refused.

    `as_of` is the printed moment, or the last row's where that is later (terminals print their own computer's
    clock). `opening_balance` and `opening_credit` are what the account held before the first row.
    `is_hedging` is None where the file does not say. `account` and `currency` are empty where the file does not say
    whose it is (exports of the client's API). `orders` are only told by such exports.
    """

    format: StatementFormat
    platform: Platform
    account: str
    name: str
    currency: str
    leverage: int | None
    server_name: str
    company: str
    as_of: datetime
    deals: tuple[DealRecord, ...]
    open_positions: tuple[OpenPositionMark, ...]
    cancelled_orders: int
    working_orders: int
    summary: StatementSummary
    opening_balance: Decimal
    opening_credit: Decimal = ZERO
    is_hedging: bool | None = None
    orders: tuple[OrderRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class RecomputedSummary:
    """The same figures, worked out from records.

    `gross_profit` and `deposits` are zero or positive, `gross_loss` and `withdrawals` zero or negative.
    `swap`, `commission` and `taxes` are those of all trade deals. `other_operations` is the sum of dividends,
    interest, charges and the like; `balance_operations` counts every row that is not a trade, credit included.
    """

    closed_trades: int
    gross_profit: Decimal
    gross_loss: Decimal
    closed_pl: Decimal
    swap: Decimal
    commission: Decimal
    taxes: Decimal
    deposits: Decimal
    withdrawals: Decimal
    credit: Decimal
    balance: Decimal
    floating_pl: Decimal
    equity: Decimal
    balance_operations: int
    other_operations: Decimal

    @property
    def deposit_withdrawal(self) -> Decimal:
        """All that changed the balance without a trade, which is MT4's Deposit/Withdrawal figure."""
        return self.deposits + self.withdrawals + self.other_operations


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure on which the file and its own rows disagree."""

    field: str
    stated: Decimal
    recomputed: Decimal
