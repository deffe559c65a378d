"""What the server keeps: accounts, positions, orders, deals, quotes.

Times are the server's own wall clock, in milliseconds since 1970 as if that clock were UTC, which is how MetaTrader
counts. Volumes are lots, money is in the account's currency. Every record can be written to the journal and read back.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal
from typing import Any, TypeVar

ZERO = Decimal(0)
BUY, SELL, BALANCE, CREDIT = 0, 1, 2, 3
SO_COMPENSATION, SO_CREDIT_COMPENSATION = 19, 20
CREDIT_ACTIONS = frozenset({CREDIT, SO_CREDIT_COMPENSATION})
MONEY_ACTIONS = frozenset({2, 3, 4, 5, 6, 7, 12, 15, 16, 17, 18, 19, 20})
ENTRY_IN, ENTRY_OUT, ENTRY_INOUT, ENTRY_OUT_BY = 0, 1, 2, 3
REASON_CLIENT, REASON_DEALER, REASON_STOP_LOSS, REASON_TAKE_PROFIT = 0, 2, 3, 4
REASON_STOP_OUT, REASON_ROLLOVER, REASON_GATEWAY = 5, 6, 9
STATE_PLACED, STATE_CANCELED, STATE_PARTIAL, STATE_FILLED, STATE_REJECTED, STATE_EXPIRED = 1, 2, 3, 4, 5, 6
TYPE_CLOSE_BY = 8
RIGHT_ENABLED, RIGHT_TRADE_DISABLED, RIGHT_READ_ONLY = 0x1, 0x4, 0x200
DEFAULT_RIGHTS = 0x1E3


@dataclass(slots=True, kw_only=True)
class User:
    """An account. `details` holds the fields that the server only keeps and hands back."""

    login: int
    group: str
    name: str = ""
    leverage: int = 100
    rights: int = DEFAULT_RIGHTS
    main_digest: str = ""
    investor_digest: str = ""
    registered_msc: int = 0
    balance: Decimal = ZERO
    credit: Decimal = ZERO
    details: dict[str, str] = field(default_factory=dict)

    @property
    def is_enabled(self) -> bool:
        return bool(self.rights & RIGHT_ENABLED)

    @property
    def may_trade(self) -> bool:
        return self.is_enabled and not self.rights & (RIGHT_TRADE_DISABLED | RIGHT_READ_ONLY)


@dataclass(slots=True, kw_only=True)
class Position:
    """An open position; `margin_rate` is margin currency → account currency when it was opened and stays so."""

    ticket: int
    login: int
    symbol: str
    is_buy: bool
    lots: Decimal
    open_price: Decimal
    opened_msc: int
    updated_msc: int
    margin_rate: Decimal
    storage: Decimal = ZERO
    stop_loss: Decimal = ZERO
    take_profit: Decimal = ZERO
    reason: int = REASON_CLIENT
    expert: int = 0
    comment: str = ""


@dataclass(slots=True, kw_only=True)
class Order:
    """An order: working while its state is placed, otherwise history. Types 0/1 market, 2–5 limit and stop, 8 close-by."""

    ticket: int
    login: int
    symbol: str
    type: int
    state: int
    lots: Decimal
    lots_left: Decimal
    price_order: Decimal
    setup_msc: int
    done_msc: int = 0
    price_filled: Decimal = ZERO
    stop_loss: Decimal = ZERO
    take_profit: Decimal = ZERO
    position: int = 0
    position_by: int = 0
    reason: int = REASON_CLIENT
    expert: int = 0
    comment: str = ""

    @property
    def is_buy(self) -> bool:
        return self.type % 2 == 0


@dataclass(slots=True, kw_only=True)
class Deal:
    """One booked deal. Money moves by deals and by nothing else."""

    ticket: int
    login: int
    action: int
    time_msc: int
    entry: int = ENTRY_IN
    order: int = 0
    position: int = 0
    reason: int = REASON_CLIENT
    symbol: str = ""
    digits: int = 0
    contract_size: Decimal = ZERO
    price: Decimal = ZERO
    price_position: Decimal = ZERO
    lots: Decimal = ZERO
    lots_closed: Decimal = ZERO
    profit: Decimal = ZERO
    profit_raw: Decimal = ZERO
    storage: Decimal = ZERO
    commission: Decimal = ZERO
    fee: Decimal = ZERO
    rate_profit: Decimal = ZERO
    rate_margin: Decimal = ZERO
    market_bid: Decimal = ZERO
    market_ask: Decimal = ZERO
    price_gateway: Decimal = ZERO
    expert: int = 0
    dealer: int = 0
    modify_flags: int = 0
    external_id: str = ""
    comment: str = ""

    @property
    def money(self) -> Decimal:
        return self.profit + self.storage + self.commission + self.fee


@dataclass(slots=True, kw_only=True)
class Quote:
    """The last price of a symbol."""

    symbol: str
    bid: Decimal
    ask: Decimal
    time_msc: int


Record = TypeVar("Record", User, Position, Order, Deal, Quote)
_DECIMALS = {
    kind: frozenset(item.name for item in fields(kind) if item.type == "Decimal")
    for kind in (User, Position, Order, Deal, Quote)
}


def to_plain(record: User | Position | Order | Deal | Quote) -> dict[str, Any]:
    """The record as JSON can hold it."""
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(record).items()}


def from_plain(kind: type[Record], plain: dict[str, Any]) -> Record:
    """The record that `to_plain` wrote."""
    decimals = _DECIMALS[kind]
    values: dict[str, Any] = {name: Decimal(value) if name in decimals else value for name, value in plain.items()}
    return kind(**values)
