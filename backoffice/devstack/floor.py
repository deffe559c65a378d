"""The demo's traders on the simulated server: they see its prices, open and close positions, and now and then close by.

Everything goes over the wire, as it would from terminals; the product learns of it only by following the server. While
the server is away nobody trades there, and the floor tries again at the next step.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from backoffice.devstack.demo.trading import SERVER_CODE
from backoffice.devstack.trading_server.terminal import Terminal, TerminalError
from platform_ops.models import ServerConnection, ServerSymbol, TradingAccount

MINIMUM_HOLD_SECONDS = 20
MAXIMUM_OPEN_POSITIONS = 250
CLOSE_BY_SHARE = 0.05
PARTIAL_SHARE = 0.15
LOTS = ("0.01", "0.02", "0.05", "0.10", "0.10", "0.20", "0.50", "1.00")
TERMINAL_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is, and as whom."""

    host: str
    port: int
    login: int
    password: str


def floor_of_the_demo(source: random.Random, *, say: Callable[[str], None]) -> Floor | None:
    """The floor of the demo's MT5 server, or None where that is not connected over the wire."""
    address = address_of_the_demo()
    if address is None:
        return None
    logins = TradingAccount.objects.filter(server__code=SERVER_CODE, client__isnull=False, status="active")
    symbols = ServerSymbol.objects.filter(server__code=SERVER_CODE, symbol__isnull=False)
    return Floor(
        source,
        address=address,
        logins=[int(login) for login in logins.values_list("login", flat=True) if login.isdecimal()],
        names=dict(symbols.values_list("symbol__code", "name")),
        say=say,
    )


def address_of_the_demo() -> Address | None:
    """Where the demo's MT5 server is now; another start may have put it elsewhere."""
    found = ServerConnection.objects.filter(
        server__code=SERVER_CODE, kind=ServerConnection.Kind.MT5_WEB, is_enabled=True
    ).first()
    if found is None or not found.login.isdecimal():
        return None
    return Address(found.host, found.port or 0, int(found.login), found.password or "")


class Floor:
    """A connection to the server and the people who trade on it."""

    def __init__(
        self,
        source: random.Random,
        *,
        address: Address,
        logins: Sequence[int],
        names: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        self.random = source
        self.address = address
        self.logins = logins
        self.names = names
        self.say = say
        self._terminal: Terminal | None = None
        self.is_away = False

    def step(self, *, quotes: Mapping[str, tuple[Decimal, Decimal]], openings: Iterable[str], closings: int) -> int:
        """Moves the server's prices (by house symbol), opens in the named symbols, closes so many; how many were done."""
        try:
            terminal = self._connected()
            named = {self.names[code]: pair for code, pair in quotes.items() if code in self.names}
            terminal.quotes(named)
            positions = terminal.ask("POSITION_GET_BATCH", GROUP="*")[1]
            done = self._close_some(terminal, positions, closings)
            if len(positions) < MAXIMUM_OPEN_POSITIONS:
                done += sum(self._open(terminal, self.names[code]) for code in openings if code in self.names)
        except (OSError, ValueError) as error:
            self._lose(error)
            return 0
        except TerminalError as error:
            self.say(f"floor: {error}")
            return 0
        return done

    def close(self) -> None:
        """Ends the connection."""
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None

    def _connected(self) -> Terminal:
        if self._terminal is None:
            address = self.address
            self._terminal = Terminal(
                address.host, address.port, login=address.login, password=address.password, timeout=TERMINAL_SECONDS
            )
            self.say("floor: the trading server answers")
            self.is_away = False
        return self._terminal

    def _lose(self, error: Exception) -> None:
        self.close()
        if not self.is_away:
            self.say(f"floor: the trading server is away: {error}")
        self.is_away = True

    def _open(self, terminal: Terminal, symbol: str) -> int:
        if not self.logins:
            return 0
        try:
            terminal.order(
                login=self.random.choice(self.logins),
                symbol=symbol,
                side=self.random.choice(("BUY", "SELL")),
                lots=self.random.choice(LOTS),
                REASON=self.random.choice((0, 0, 1, 16, 17)),
            )
        except TerminalError:
            return 0  # a symbol or an account that may not trade; the next one will
        return 1

    def _close_some(self, terminal: Terminal, positions: Sequence[Mapping[str, Any]], closings: int) -> int:
        now = _server_seconds(terminal)
        old = [row for row in positions if now - int(row["TimeCreate"]) >= MINIMUM_HOLD_SECONDS]
        self.random.shuffle(old)
        done = 0
        for row in old[:closings]:
            other = next((other for other in old if _are_opposite(row, other)), None)
            try:
                if other is not None and self.random.random() < CLOSE_BY_SHARE:
                    terminal.ask("SIM_CLOSE_BY", LOGIN=row["Login"], POSITION=row["Position"], BY=other["Position"])
                else:
                    lots = Decimal(row["VolumeExt"]) / 100_000_000
                    part = self._part(lots)
                    terminal.ask("SIM_CLOSE", LOGIN=row["Login"], POSITION=row["Position"], LOTS=part)
                done += 1
            except TerminalError:
                continue  # stopped out a moment ago, or the account may not trade now
        return done

    def _part(self, lots: Decimal) -> Decimal:
        if lots >= Decimal("0.02") and self.random.random() < PARTIAL_SHARE:
            return (lots / 2).quantize(Decimal("0.01"))
        return lots


def _server_seconds(terminal: Terminal) -> int:
    return int(terminal.ask("TIME_SERVER")[0]["TIME"].split()[0])


def _are_opposite(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    same = one["Login"] == other["Login"] and one["Symbol"] == other["Symbol"]
    return same and one["Action"] != other["Action"]
