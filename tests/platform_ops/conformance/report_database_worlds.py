"""Report databases of an MT4 and an MT5 server, on one MariaDB that the first of these worlds starts."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache

from backoffice.kernel.business_day import ServerZone
from platform_ops.gateways.report_database import ReportDatabaseSettings, open_report_database
from platform_ops.types import Platform
from tests.platform_ops.conformance.worlds import World, register_world
from tests.platform_ops.mariadb import READER, READER_PASSWORD, MariaServer, running_mariadb
from tests.platform_ops.report_database.test_mt4 import SCRIPT as MT4_SCRIPT

ZONE = ServerZone.parse("EET_US")


def _deal(deal: int, login: int, action: int, minute: int, **more: object) -> str:
    at = f"2019-01-16 10:{minute:02d}:00"
    row = {
        "Deal": deal, "Login": login, "Order": deal, "Action": action, "Entry": 0, "Reason": 0, "Digits": 5,
        "DigitsCurrency": 2, "Time": at, "TimeMsc": at, "Symbol": "EURUSD", "Price": "1.1403699999999999", "Volume": 0,
        "Profit": 0, "Storage": 0, "Commission": 0, "PositionID": deal, "Comment": "",
    } | more  # fmt: skip
    names = ", ".join(f"`{name}`" for name in row)
    values = ", ".join(f"'{value}'" for value in row.values())
    stamp = f"TIMESTAMPDIFF(MICROSECOND, '1601-01-01', '{at}') * 10 - 72000000000"
    return f"INSERT INTO mt5_deals ({names}, `Timestamp`) VALUES ({values}, {stamp});\n"


MT5_SCRIPT = (
    """
CREATE TABLE mt5_deals (Deal BIGINT PRIMARY KEY, Timestamp BIGINT, Login BIGINT, `Order` BIGINT, Action INT, Entry INT, Reason INT, Digits INT, DigitsCurrency INT, Time DATETIME, TimeMsc DATETIME(6), Symbol VARCHAR(32), Price DOUBLE, Volume BIGINT, Profit DOUBLE, Storage DOUBLE, Commission DOUBLE, PositionID BIGINT, Comment VARCHAR(32));
CREATE TABLE mt5_accounts (Login BIGINT PRIMARY KEY, CurrencyDigits INT, Balance DOUBLE, Credit DOUBLE, MarginLeverage INT);
INSERT INTO mt5_accounts VALUES (700, 2, 1002.2999999999999, 0, 100), (701, 2, 50, 0, 100);
CREATE TABLE mt5_positions (Position BIGINT PRIMARY KEY, Login BIGINT, Symbol VARCHAR(32), Action INT, TimeCreate DATETIME, PriceOpen DOUBLE, PriceCurrent DOUBLE, Volume BIGINT, Profit DOUBLE, Storage DOUBLE, Digits INT, DigitsCurrency INT);
INSERT INTO mt5_positions VALUES (4, 700, 'EURUSD', 1, '2019-01-16 10:04:00', 1.1403699999999999, 1.14, 2000, 0, 0, 5, 2);
CREATE TABLE mt5_orders_history_2019 (`Order` BIGINT PRIMARY KEY, Login BIGINT, Symbol VARCHAR(32), State INT, Type INT, TimeSetup DATETIME, TimeDone DATETIME, PriceOrder DOUBLE, Digits INT, VolumeInitial BIGINT, VolumeCurrent BIGINT, Reason INT);
INSERT INTO mt5_orders_history_2019 VALUES (2, 700, 'EURUSD', 4, 0, '2019-01-16 10:02:00', '2019-01-16 10:02:00', 1.14, 5, 1000, 0, 0);
"""
    + _deal(1, 700, 2, 1, Profit=1000, Symbol="", Price=0, PositionID=0, Order=0)
    + _deal(2, 700, 0, 2, Volume=1000)
    + _deal(3, 700, 1, 3, Volume=1000, Entry=1, Profit="2.7999999999999998", Storage="-0.5", PositionID=2)
    + _deal(4, 700, 1, 4, Volume=2000)
    + _deal(5, 701, 2, 5, Profit=50, Symbol="", Price=0, PositionID=0, Order=0)
    + "CREATE TABLE mt5_deals_2019 LIKE mt5_deals;\nINSERT INTO mt5_deals_2019 SELECT * FROM mt5_deals WHERE Deal > 2;\n"
)


@cache
def _server() -> MariaServer:
    stack = ExitStack()
    server = stack.enter_context(running_mariadb())
    atexit.register(stack.close)
    return server


@contextmanager
def _world(platform: Platform, script: str, logins: frozenset[str]) -> Iterator[World]:
    server, database = _server(), f"world_{platform.value}"
    server.load(database, script)
    yield World(
        gateway=open_report_database(
            ReportDatabaseSettings(
                server="alpha", platform=platform, database=database, user=READER, password=READER_PASSWORD,
                unix_socket=server.socket, zone=ZONE, currency="USD",
            )
        ),
        start=datetime(2019, 1, 1, tzinfo=UTC),
        end=datetime(2021, 1, 1, tzinfo=UTC),
        logins=logins,
        symbols=frozenset(),
        has_whole_history=True,
    )  # fmt: skip


@contextmanager
def mt5_world() -> Iterator[World]:
    """Two accounts, an open position, deals that stand in two tables."""
    with _world(Platform.MT5, MT5_SCRIPT, frozenset({"700", "701"})) as world:
        yield world


@contextmanager
def mt4_world() -> Iterator[World]:
    """Two accounts, a partial close, a pending order that was deleted."""
    now = ZONE.to_local(datetime.now(UTC))
    script = MT4_SCRIPT + (
        f"UPDATE mt4_prices SET TIME = '{now:%Y-%m-%d %H:%M:%S}';\nUPDATE mt4_users SET BALANCE = 1000.14 WHERE LOGIN = 500;\n"
    )
    with _world(Platform.MT4, script, frozenset({"500", "501"})) as world:
        yield world


register_world("report database of MT5", mt5_world)
register_world("report database of MT4", mt4_world)
