"""Whatever clients, prices and managers do, the simulated server's money adds up, and a restart finds the same."""

from __future__ import annotations

import contextlib
import tempfile
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from backoffice.devstack.trading_server import nights
from backoffice.devstack.trading_server.accounts import balance_operation
from backoffice.devstack.trading_server.broker import Broker
from backoffice.devstack.trading_server.dealing import Dealing
from backoffice.devstack.trading_server.executing import Execution, Request
from backoffice.devstack.trading_server.journal import Journal
from backoffice.devstack.trading_server.retcodes import Refused
from backoffice.devstack.trading_server.setup import set_up
from tests.trading_server import ACCOUNTS, GROUPS, QUOTES, SYMBOLS

D = Decimal
LOGINS = [account.login for account in ACCOUNTS]
MONEY_ACTIONS = (2, 3, 4, 5, 6)
COMMISSION = [{"Value": "3.50"}]


class Trading(RuleBasedStateMachine):
    """A server that many things happen to."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "server.journal"
        execution = Execution(slippage_points=2.0, reject_share=0.05, requote_share=0.05, mark_up_points=1)
        self.dealing = Dealing(Broker(journal=Journal(self.path)), execution=execution, seed=3)
        groups = [{**group, "Commissions": COMMISSION} for group in GROUPS]
        set_up(self.dealing, groups=groups, symbols=SYMBOLS, accounts=ACCOUNTS, quotes=QUOTES)
        self.day = date(2026, 11, 16)

    def teardown(self) -> None:
        self.dealing.broker.journal.close()
        self.folder.cleanup()

    @rule(
        login=st.sampled_from(LOGINS),
        symbol=st.sampled_from(sorted(QUOTES)),
        is_buy=st.booleans(),
        lots=st.integers(1, 300),
    )
    def open(self, login: int, symbol: str, is_buy: bool, lots: int) -> None:
        self.dealing.market_order(Request(login=login, symbol=symbol, is_buy=is_buy, lots=D(lots) / 100))

    @rule(data=st.data())
    def close_some(self, data: st.DataObject) -> None:
        positions = sorted(self.dealing.broker.positions.values(), key=lambda p: p.ticket)
        if not positions:
            return
        position = data.draw(st.sampled_from(positions))
        lots = D(data.draw(st.integers(1, int(position.lots * 100)))) / 100
        self.dealing.close(position.login, position.ticket, lots=lots)

    @rule(data=st.data())
    def close_by(self, data: st.DataObject) -> None:
        positions = sorted(self.dealing.broker.positions)
        if len(positions) < 2:
            return
        first, second = data.draw(st.sampled_from(positions)), data.draw(st.sampled_from(positions))
        with contextlib.suppress(Refused):
            self.dealing.close_by(self.dealing.broker.positions[first].login, first, second)

    @rule(symbol=st.sampled_from(sorted(QUOTES)), move=st.integers(-300, 300))
    def price(self, symbol: str, move: int) -> None:
        bid, ask = (D(price) * (1 + D(move) / 10_000) for price in QUOTES[symbol])
        point = self.dealing.broker.terms[symbol].point
        self.dealing.price(symbol, bid.quantize(point), max(ask.quantize(point), bid.quantize(point) + point))

    @rule()
    def night(self) -> None:
        self.day += timedelta(days=1)
        nights.close_day(self.dealing, self.day)

    @rule(login=st.sampled_from(LOGINS), action=st.sampled_from(MONEY_ACTIONS), cents=st.integers(-200_000, 200_000))
    def money(self, login: int, action: int, cents: int) -> None:
        with contextlib.suppress(Refused):
            balance_operation(
                self.dealing, login=login, action=action, amount=D(cents) / 100, comment="r", checks_margin=True
            )

    @rule()
    def restart(self) -> None:
        again = Broker(journal=Journal(self.path))
        before = self.dealing.broker
        for name in ("users", "positions", "orders", "history", "deals", "counters", "deals_of", "history_of"):
            assert getattr(again, name) == getattr(before, name), name
        again.quotes.update(before.quotes)
        before.journal.close()
        self.dealing.broker = again

    @invariant()
    def money_adds_up(self) -> None:
        broker = self.dealing.broker
        for login, user in broker.users.items():
            deals = [deal for deal in broker.deals.values() if deal.login == login]
            assert user.balance == sum((d.money for d in deals if d.action not in (3, 20)), D(0))
            assert user.credit == sum((d.money for d in deals if d.action in (3, 20)), D(0))
            positions = [p for p in broker.positions.values() if p.login == login]
            parts = sum((broker.floating(p) + p.storage for p in positions), D(0))
            standing = broker.standing(login)
            assert standing.equity == user.balance + user.credit + parts
            assert standing.free == standing.equity - standing.margin
            assert all(d.money == d.money.quantize(D("0.01")) for d in deals)

    @invariant()
    def volumes_add_up(self) -> None:
        """What was opened and not closed is what is open, position by position."""
        broker = self.dealing.broker
        signed: dict[int, Decimal] = {}
        for deal in broker.deals.values():
            if deal.action in (0, 1):
                volume = deal.lots if deal.action == 0 else -deal.lots
                signed[deal.position] = signed.get(deal.position, D(0)) + volume
        held = {p.ticket: p.lots if p.is_buy else -p.lots for p in broker.positions.values()}
        assert {ticket: volume for ticket, volume in signed.items() if volume} == held


TestTrading = Trading.TestCase
TestTrading.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
