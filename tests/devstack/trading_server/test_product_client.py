"""The product's own client against the simulated server: every kind of record comes over as it was made."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from backoffice.kernel.business_day import ServerZone
from platform_ops.gateways.mt5web.connector import build
from platform_ops.gateways.registry import ConnectionSettings
from platform_ops.gateways.types import DealReason, OrderState, ReadingGateway, TradingGateway
from platform_ops.types import DealEntry, DealKind, Side
from tests.trading_server import HEDGING_GROUP, HEDGING_LOGIN, RunningServer, running_server

D = Decimal


@pytest.fixture(params=[True, False], ids=["batches", "pages"])
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    with running_server(knows_batches=request.param) as running:
        yield running


@pytest.fixture
def gateway(server: RunningServer) -> Iterator[TradingGateway]:
    made = build(
        ConnectionSettings(
            server="SIM", platform="mt5", zone=ServerZone.parse("EET_US"), host=server.host, port=server.port,
            login=str(server.login), password=server.password, options={},
        )
    )  # fmt: skip
    yield made
    made.close()


def _window() -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"from_time": now - timedelta(hours=1), "to_time": now + timedelta(seconds=5)}


def test_the_clock_configuration_accounts_and_prices_come_over(gateway: ReadingGateway) -> None:
    assert abs(gateway.clock().utc - datetime.now(UTC)) < timedelta(seconds=5)
    terms = {symbol.name: symbol.terms for symbol in gateway.symbols()}
    assert terms["EURUSD"].swap_long == D("-7.2")
    assert terms["EURUSD"].lots_minimum == D("0.01")
    assert [int(nights) for nights in terms["XAUUSD"].swap_multipliers] == [0, 1, 1, 3, 1, 1, 0]
    assert {group.name: (group.currency, group.is_hedging) for group in gateway.groups()}[HEDGING_GROUP] == (
        "USD",
        True,
    )
    accounts = {account.login: account for account in gateway.accounts()}
    assert accounts[str(HEDGING_LOGIN)].balance == D("10000.00")
    assert accounts[str(HEDGING_LOGIN)].leverage == 100
    assert gateway.last_ticks(symbols=["EURUSD"])["EURUSD"].ask == D("1.10010")


def test_a_trade_comes_over_as_deals_orders_and_a_position(gateway: ReadingGateway, server: RunningServer) -> None:
    opened = server.order(HEDGING_LOGIN, "EURUSD", "BUY", "0.5")
    server.quote("EURUSD", "1.10200", "1.10210")
    server.close(HEDGING_LOGIN, opened.order.ticket, "0.2")
    login = str(HEDGING_LOGIN)

    deals = [deal for deal in gateway.deals(**_window(), logins=[login]) if deal.kind.is_trade]
    orders = list(gateway.orders(**_window(), logins=[login]))
    (position,) = gateway.positions(logins=[login])
    (account,) = gateway.accounts(logins=[login])

    assert [(d.entry, d.kind, d.volume_lots, d.profit) for d in deals] == [
        (DealEntry.IN, DealKind.BUY, D("0.5"), D(0)),
        (DealEntry.OUT, DealKind.SELL, D("0.2"), D("38.00")),
    ]
    assert {deal.position_ticket for deal in deals} == {opened.order.ticket}
    assert (deals[0].market_bid, deals[0].market_ask, deals[0].reason) == (
        D("1.10000"),
        D("1.10010"),
        DealReason.CLIENT,
    )
    assert [(o.state, o.requested_price, o.filled_price) for o in orders] == [
        (OrderState.FILLED, D("1.10010"), D("1.10010")),
        (OrderState.FILLED, D("1.10200"), D("1.10200")),
    ]
    assert (position.side, position.volume_lots, position.profit) == (Side.BUY, D("0.3"), D("57.00"))
    assert account.equity == account.balance + position.profit + position.swap


def test_what_the_product_changes_is_so_afterwards(gateway: TradingGateway, server: RunningServer) -> None:
    login = str(HEDGING_LOGIN)
    since = datetime.now(UTC) - timedelta(minutes=5)
    ticket = gateway.balance_operation(login=login, kind=DealKind.BALANCE, amount=D("25.50"), comment="REF-77 a|b=c")
    gateway.change_symbol(name="EURUSD", changes={"swap_long": D("-9.5")})
    gateway.change_account(login=login, leverage=50)
    gateway.change_password(login=login, password="New-Pass-22", is_investor=False)

    found = gateway.find_operation(login=login, reference="REF-77", since=since)
    assert found is not None and (found.ticket, found.profit) == (ticket, D("25.50"))
    assert server.broker.terms["EURUSD"].swap_long == D("-9.5")
    assert server.broker.terms["EURUSD"].swap_short == D("3.1")
    assert server.broker.users[HEDGING_LOGIN].leverage == 50
    assert gateway.check_password(login=login, password="New-Pass-22", is_investor=False)
    assert not gateway.check_password(login=login, password="Old-Pass-11", is_investor=False)
