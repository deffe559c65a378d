"""The reader of MT4 report databases on a real MariaDB: the tables as MT4's own export builds them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from backoffice.kernel.business_day import ServerZone
from platform_ops.gateways.errors import GatewayGarbled, NotOffered
from platform_ops.gateways.types import Ability, DealReason, OrderState
from platform_ops.types import DealEntry, DealKind, Platform
from tests.platform_ops.mariadb import MariaServer
from tests.platform_ops.report_database.conftest import Open

START, END = datetime(2019, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
ZONE = ServerZone.parse("EET_US")
TRADES = """
CREATE TABLE mt4_trades (TICKET INT PRIMARY KEY, LOGIN INT, SYMBOL CHAR(16), DIGITS INT, CMD INT, VOLUME INT, OPEN_TIME DATETIME, OPEN_PRICE DOUBLE, SL DOUBLE, TP DOUBLE, CLOSE_TIME DATETIME, EXPIRATION DATETIME, REASON INT, CONV_RATE1 DOUBLE, CONV_RATE2 DOUBLE, COMMISSION DOUBLE, COMMISSION_AGENT DOUBLE, SWAPS DOUBLE, CLOSE_PRICE DOUBLE, PROFIT DOUBLE, TAXES DOUBLE, COMMENT CHAR(32), INTERNAL_ID INT, MARGIN_RATE DOUBLE, TIMESTAMP INT, MAGIC INT, GW_VOLUME INT, GW_OPEN_PRICE INT, GW_CLOSE_PRICE INT, MODIFY_TIME DATETIME);
CREATE TABLE mt4_users (LOGIN INT PRIMARY KEY, `GROUP` CHAR(16), ENABLE INT, ENABLE_READONLY INT, NAME CHAR(128), COUNTRY CHAR(32), EMAIL CHAR(48), COMMENT CHAR(64), REGDATE DATETIME, LEVERAGE INT, BALANCE DOUBLE, CREDIT DOUBLE, EQUITY DOUBLE, MARGIN DOUBLE, MARGIN_FREE DOUBLE);
CREATE TABLE mt4_prices (SYMBOL CHAR(16), TIME DATETIME, BID DOUBLE, ASK DOUBLE, DIGITS INT);
INSERT INTO mt4_users VALUES (500, 'real-usd', 1, 0, 'A Trader', 'CY', 'a@x.example', '', '2018-01-01 00:00:00', 100, 1004.34, 50, 1054.34, 0, 1054.34), (501, 'real-usd', 0, 1, 'B', '', '', '', '2018-01-01 00:00:00', 200, 0, 0, 0, 0, 0);
INSERT INTO mt4_prices VALUES ('EURUSD', '2020-05-15 12:00:00', 1.0800100000000001, 1.08003, 5);
"""


def trade(ticket: int, cmd: int, volume: int, opened: str, closed: str = "1970-01-01 00:00:00", **more: object) -> str:
    row = {
        "TICKET": ticket, "LOGIN": 500, "SYMBOL": "EURUSD", "DIGITS": 5, "CMD": cmd, "VOLUME": volume,
        "OPEN_TIME": opened, "OPEN_PRICE": "1.1403699999999999", "CLOSE_TIME": closed, "REASON": 0, "CONV_RATE1": 0,
        "CONV_RATE2": 1, "COMMISSION": 0, "SWAPS": 0, "CLOSE_PRICE": "1.1405", "PROFIT": 0, "TAXES": 0, "COMMENT": "",
        "MARGIN_RATE": 1.14, "MAGIC": 0, "MODIFY_TIME": closed if closed > "1971" else opened,
    } | more  # fmt: skip
    names = ", ".join(row)
    values = ", ".join(f"'{value}'" for value in row.values())
    return f"INSERT INTO mt4_trades ({names}) VALUES ({values});\n"


SCRIPT = (
    TRADES
    + trade(1, 6, 0, "2020-05-04 08:00:00", "2020-05-04 08:00:00", PROFIT=1000, SYMBOL="", COMMENT="Deposit")
    + trade(2, 7, 0, "2020-05-04 08:01:00", "2020-05-04 08:01:00", PROFIT=50, SYMBOL="", COMMENT="Credit In")
    + trade(10, 0, 4, "2020-05-05 10:00:00", "2020-05-05 11:00:00", PROFIT=4.34, COMMENT="to #11")
    + trade(11, 0, 1, "2020-05-05 10:00:00", COMMENT="from #10", PROFIT="0.13", SWAPS="-0.05")
    + trade(12, 1, 100, "2020-05-06 10:00:00", "2020-05-06 12:00:00", PROFIT="-3.1", SWAPS="-1.2", TAXES="0.1",
            COMMENT="[sl]", REASON=1)
    + trade(13, 2, 100, "2020-05-06 10:00:00", "2020-05-07 10:00:00", COMMENT="deleted [no money]", CONV_RATE2=0)
    + trade(14, 1, 100, "2020-05-08 10:00:00", "2020-05-08 12:00:00", COMMENT="so: 29.4%/1.0/3.4", LOGIN=501)
)  # fmt: skip


def test_a_ticket_is_two_legs(mariadb: MariaServer, opened: Open) -> None:
    mariadb.load("mt4", SCRIPT)
    reader = opened("mt4", Platform.MT4, zone=ZONE, currency="USD")
    deals = list(reader.deals(from_time=START, to_time=END))
    assert [(deal.ticket, deal.leg, deal.kind.name) for deal in deals] == [
        (1, 0, "BALANCE"), (2, 0, "CREDIT"), (10, 0, "BUY"), (11, 0, "BUY"), (10, 1, "SELL"),
        (12, 0, "SELL"), (12, 1, "BUY"), (14, 0, "SELL"), (14, 1, "BUY"),
    ]  # fmt: skip
    by_key = {(deal.ticket, deal.leg): deal for deal in deals}
    closing = by_key[10, 1]
    assert (closing.at, closing.opened_at) == (
        datetime(2020, 5, 5, 8, tzinfo=UTC), datetime(2020, 5, 5, 7, tzinfo=UTC),
    )  # fmt: skip
    assert (closing.entry, closing.open_price, closing.price, closing.volume_lots, closing.profit) == (
        DealEntry.OUT, Decimal("1.14037"), Decimal("1.14050"), Decimal("0.04"), Decimal("4.34"),
    )  # fmt: skip
    assert {by_key[key].position_ticket for key in ((10, 0), (10, 1), (11, 0))} == {10}
    assert by_key[12, 1].money == Decimal("-4.20")
    assert (by_key[12, 0].reason, by_key[12, 1].reason, by_key[14, 1].reason) == (
        DealReason.EXPERT, DealReason.STOP_LOSS, DealReason.STOP_OUT,
    )  # fmt: skip
    assert by_key[10, 0].money == 0


def test_what_is_open_and_what_an_account_has(mariadb: MariaServer, opened: Open) -> None:
    mariadb.load("mt4", SCRIPT)
    reader = opened("mt4", Platform.MT4, zone=ZONE, currency="USD")
    (position,) = reader.positions()
    assert (position.ticket, position.volume_lots, position.profit, position.swap) == (
        10, Decimal("0.01"), Decimal("0.13"), Decimal("-0.05"),
    )  # fmt: skip
    first, second = reader.accounts()
    assert (first.balance, first.credit, first.currency, first.is_trading_allowed) == (
        Decimal("1004.34"), Decimal("50.00"), "USD", True,
    )  # fmt: skip
    assert (second.is_enabled, second.is_trading_allowed) == (False, False)
    assert [(group.name, group.currency) for group in reader.groups()] == [("real-usd", "USD")]
    assert reader.last_ticks(symbols=["EURUSD"])["EURUSD"].bid == Decimal("1.08001")
    assert reader.clock().utc == datetime(2020, 5, 15, 9, tzinfo=UTC)
    with pytest.raises(NotOffered):
        list(reader.symbols())
    assert Ability.SYMBOLS not in reader.abilities


def test_a_deleted_pending_order_is_no_deal(mariadb: MariaServer, opened: Open) -> None:
    mariadb.load("mt4", SCRIPT)
    reader = opened("mt4", Platform.MT4, zone=ZONE)
    (order,) = reader.orders(from_time=START, to_time=END)
    assert (order.ticket, order.state, order.volume_filled_lots) == (13, OrderState.REJECTED, Decimal(0))
    window = list(reader.deals(from_time=datetime(2020, 5, 7, tzinfo=UTC), to_time=datetime(2020, 5, 8, tzinfo=UTC)))
    assert window == []


def test_an_opening_long_ago_stays_outside_of_the_window(mariadb: MariaServer, opened: Open) -> None:
    mariadb.load("mt4", SCRIPT)
    reader = opened("mt4", Platform.MT4, zone=ZONE)
    window = list(
        reader.deals(from_time=datetime(2020, 5, 5, 8, tzinfo=UTC), to_time=datetime(2020, 5, 5, 9, tzinfo=UTC))
    )
    assert [(deal.ticket, deal.leg) for deal in window] == [(10, 1)]


def test_changes_follow_a_marker_whose_zone_is_measured(mariadb: MariaServer, opened: Open) -> None:
    # MODIFY_TIME runs three hours behind the server's clock here, as where the export's host keeps UTC.
    mariadb.load("mt4", SCRIPT + "UPDATE mt4_trades SET MODIFY_TIME = MODIFY_TIME - INTERVAL 3 HOUR;\n")
    reader = opened("mt4", Platform.MT4, zone=ZONE)
    changed = list(reader.changed_deals(since=datetime(2020, 5, 8, 8, 59, tzinfo=UTC)))
    assert {deal.ticket for deal in changed} == {14}
    assert not list(reader.changed_deals(since=datetime(2020, 5, 8, 10, tzinfo=UTC)))


def test_an_unknown_command_is_refused_by_ticket(mariadb: MariaServer, opened: Open) -> None:
    mariadb.load("mt4", SCRIPT + trade(99, 8, 1, "2020-05-09 10:00:00"))
    reader = opened("mt4", Platform.MT4, zone=ZONE)
    with pytest.raises(GatewayGarbled, match="mt4_trades 99, CMD: not a known command"):
        list(reader.deals(from_time=START, to_time=END))


def test_without_a_zone_an_mt4_export_is_refused(mariadb: MariaServer, opened: Open) -> None:
    mariadb.load("mt4", SCRIPT)
    with pytest.raises(GatewayGarbled, match="give the server's zone"):
        opened("mt4", Platform.MT4)


def test_kinds_are_those_of_the_statements(mariadb: MariaServer, opened: Open) -> None:
    mariadb.load("mt4", SCRIPT)
    deals = list(opened("mt4", Platform.MT4, zone=ZONE).deals(from_time=START, to_time=END, logins=["500"]))
    assert sum(deal.money for deal in deals if not deal.kind.is_credit) == Decimal("1000.14")
    assert {deal.login for deal in deals} == {"500"}
    assert DealKind.CREDIT in {deal.kind for deal in deals}
