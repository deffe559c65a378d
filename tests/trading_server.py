"""A simulated trading server for tests, in a thread of its own on a free port of this machine.

    @pytest.fixture(scope="module")
    def live_server():
        with running_server() as server:
            yield server

`server.host`, `server.port`, `server.login` and `server.password` are what a client needs. `server.broker` and
`server.dealing` may be read and changed through `server.call(lambda: …)`; `server.fault(…)`, `server.clock(…)` and
`server.lift()` set and lift what goes wrong; `server.order(…)`, `server.close(…)` and `server.quote(…)` trade.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from backoffice.devstack.trading_server.broker import Broker, Standing
from backoffice.devstack.trading_server.dealing import Dealing
from backoffice.devstack.trading_server.executing import Execution, Outcome, Request
from backoffice.devstack.trading_server.faults import FOREVER, Fault
from backoffice.devstack.trading_server.journal import Journal
from backoffice.devstack.trading_server.records import Deal
from backoffice.devstack.trading_server.server import Settings, TradingServer
from backoffice.devstack.trading_server.setup import AccountPlan, set_up
from backoffice.devstack.trading_server.terminal import Terminal

MANAGER_LOGIN = 1000
MANAGER_PASSWORD = "Manager-Pass-1"
HEDGING_GROUP, NETTING_GROUP, EURO_GROUP = "demo\\hedging-usd", "demo\\netting-usd", "demo\\hedging-eur"
HEDGING_LOGIN, NETTING_LOGIN, EURO_LOGIN = 5001, 5002, 5003
ACCOUNT_PASSWORD = "Client-Pass-1"
T = TypeVar("T")

GROUPS: tuple[dict[str, Any], ...] = (
    {"Group": HEDGING_GROUP, "Currency": "USD", "MarginMode": "2", "MarginCall": "100.00", "MarginStopOut": "50.00"},
    {"Group": NETTING_GROUP, "Currency": "USD", "MarginMode": "0", "MarginCall": "100.00", "MarginStopOut": "50.00"},
    {"Group": EURO_GROUP, "Currency": "EUR", "MarginMode": "2", "MarginCall": "80.00", "MarginStopOut": "50.00"},
)
SYMBOLS: tuple[dict[str, Any], ...] = (
    {
        "Symbol": "EURUSD", "Path": "Forex\\EURUSD", "Description": "Euro vs US Dollar", "Digits": "5",
        "SwapLong": "-7.20000000", "SwapShort": "3.10000000", "MarginHedged": "50000.00000000",
    },
    {
        "Symbol": "USDJPY", "Path": "Forex\\USDJPY", "Description": "US Dollar vs Yen", "Digits": "3",
        "CurrencyBase": "USD", "CurrencyProfit": "JPY", "CurrencyMargin": "USD", "SwapLong": "12.40000000",
        "SwapShort": "-24.80000000",
    },
    {
        "Symbol": "XAUUSD", "Path": "Metals\\XAUUSD", "Description": "Gold", "Digits": "2", "CurrencyBase": "XAU",
        "CurrencyProfit": "USD", "CurrencyMargin": "USD", "CalcMode": "4", "ContractSize": "100.00000000",
        "SwapLong": "-62.00000000", "SwapShort": "31.00000000",
    },
)  # fmt: skip
ACCOUNTS: tuple[AccountPlan, ...] = tuple(
    AccountPlan(
        login=login, group=group, name=name, leverage=100, deposit=Decimal(10_000), main_password=ACCOUNT_PASSWORD,
        investor_password="Investor-Pass-1",
    )
    for login, group, name in (
        (HEDGING_LOGIN, HEDGING_GROUP, "Ada Hedger"),
        (NETTING_LOGIN, NETTING_GROUP, "Ben Netter"),
        (EURO_LOGIN, EURO_GROUP, "Cleo Euro"),
    )
)  # fmt: skip
QUOTES: dict[str, tuple[str, str]] = {
    "EURUSD": ("1.10000", "1.10010"),
    "USDJPY": ("150.000", "150.010"),
    "XAUUSD": ("2000.00", "2000.30"),
}


@dataclass
class RunningServer:
    """A server that listens, and the handles on it."""

    server: TradingServer
    login: int = MANAGER_LOGIN
    password: str = MANAGER_PASSWORD

    @property
    def host(self) -> str:
        return self.server.settings.host

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def dealing(self) -> Dealing:
        return self.server.dealing

    @property
    def broker(self) -> Broker:
        return self.server.dealing.broker

    def call(self, action: Callable[[], T]) -> T:
        """Runs *action* on the server between two commands."""
        return self.server.call(action)

    def fault(self, kind: str, *, commands: str = "*", times: int = FOREVER, seconds: float = 0.0) -> None:
        """Sets a fault; see `backoffice/devstack/trading_server/faults.py` for the kinds."""
        if kind == "gone":
            self.call(lambda: self.server.go_away(seconds))
        else:
            fault = Fault(kind=kind, commands=commands, times=times, seconds=seconds)
            self.call(lambda: self.server.faults.set(fault))

    def clock(self, seconds: int) -> None:
        """Sets the server's clock wrong by so much; 3600 is one hour ahead."""
        self.call(lambda: setattr(self.broker, "clock_offset_seconds", seconds))

    def hide(self, start_msc: int, end_msc: int) -> None:
        """Deals of these server times are missing from answers until `lift`."""
        self.call(lambda: self.server.faults.hidden.append((start_msc, end_msc)))

    def lift(self) -> None:
        """Takes all faults away and sets the clock right."""
        self.call(self.server.faults.lift)
        self.clock(0)

    def quote(self, symbol: str, bid: object, ask: object) -> None:
        """The market moved."""
        self.call(lambda: self.dealing.price(symbol, Decimal(str(bid)), Decimal(str(ask))))

    def order(self, login: int, symbol: str, side: str, lots: object, **more: Any) -> Outcome:
        """A client's market order."""
        request = Request(login=login, symbol=symbol, is_buy=side == "BUY", lots=Decimal(str(lots)), **more)
        return self.call(lambda: self.dealing.market_order(request))

    def close(self, login: int, position: int, lots: object | None = None) -> Outcome:
        """Closes a position or a part of it."""
        volume = None if lots is None else Decimal(str(lots))
        return self.call(lambda: self.dealing.close(login, position, lots=volume))

    def standing(self, login: int) -> Standing:
        """An account's figures."""
        return self.call(lambda: self.broker.standing(login))

    def deals(self, login: int) -> list[Deal]:
        """All deals of an account, oldest first."""
        return self.call(lambda: self.broker.deals_between(login, 0, 1 << 62))

    def terminal(self) -> Terminal:
        """A connection by the simulator's own client."""
        return Terminal(self.host, self.port, login=self.login, password=self.password)


@contextmanager
def running_server(
    *,
    groups: Iterable[Mapping[str, Any]] = GROUPS,
    symbols: Iterable[Mapping[str, Any]] = SYMBOLS,
    accounts: Iterable[AccountPlan] = ACCOUNTS,
    quotes: Mapping[str, tuple[object, object]] | None = None,
    journal: Path | None = None,
    zone: str = "EET_US",
    execution: Execution | None = None,
    port: int = 0,
    chunk_bytes: int = 0xFFFE,
    knows_batches: bool = True,
) -> Iterator[RunningServer]:
    """A server for the length of the block. Two servers on one journal path, one after the other, are a restart."""
    dealing = Dealing(Broker(zone=zone, journal=Journal(journal)), execution=execution, seed=7)
    given = QUOTES if quotes is None else quotes
    set_up(dealing, groups=groups, symbols=symbols, accounts=accounts, quotes=given)
    settings = Settings(
        managers={MANAGER_LOGIN: MANAGER_PASSWORD}, port=port, chunk_bytes=chunk_bytes, knows_batches=knows_batches
    )
    server = TradingServer(dealing, settings).start_in_thread()
    try:
        yield RunningServer(server)
    finally:
        server.stop()
