"""The reader of MT5 report databases, against the captured dump on a real MariaDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pymysql
import pytest

from backoffice.kernel.business_day import ServerZone
from platform_ops.gateways.changes import ChangeReadingGateway
from platform_ops.gateways.errors import GatewayGarbled, GatewayRefused, GatewayUnavailable, NotOffered
from platform_ops.gateways.types import Ability, DealReason, GatewayDeal, ReadingGateway
from platform_ops.types import DealEntry, DealKind, Platform
from tests.platform_ops.mariadb import MariaServer, dump_script
from tests.platform_ops.report_database.conftest import Open

START, END = datetime(2018, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)


def all_deals(reader: ReadingGateway) -> list[GatewayDeal]:
    return list(reader.deals(from_time=START, to_time=END))


def test_every_deal_once_whatever_table_it_stands_in(dump: MariaServer, opened: Open) -> None:
    reader = opened("dump")
    deals = all_deals(reader)
    assert [deal.ticket for deal in deals] == list(range(1, 34))
    assert [(deal.at, deal.ticket) for deal in deals] == sorted((deal.at, deal.ticket) for deal in deals)


def test_sums_per_login_are_the_balances(dump: MariaServer, opened: Open) -> None:
    reader = opened("dump")
    sums: dict[str, Decimal] = {}
    for deal in all_deals(reader):
        sums[deal.login] = sums.get(deal.login, Decimal(0)) + deal.money
    balances = {account.login: account.balance for account in reader.accounts()}
    assert {login: sums[login] for login in ("1005", "1006", "1007", "1123")} == {
        "1005": Decimal("30000.00"), "1006": Decimal("49663.00"),
        "1007": Decimal("100000.00"), "1123": Decimal("100000.00"),
    }  # fmt: skip
    assert {login for login in sums if login in balances and balances[login] != sums[login]} == {"1003", "1004"}
    gone = {login: money for login, money in sums.items() if login not in balances}
    assert len(gone) == 9
    # The note that came with the dump says a million less. Its rows hold three deposits of a million: deals 1, 2 and 8.
    assert sum(gone.values()) == Decimal("3242985.93")


def test_a_deal_gets_back_what_its_doubles_lost(dump: MariaServer, opened: Open) -> None:
    reader = opened("dump")
    deals = {deal.ticket: deal for deal in all_deals(reader)}
    sold = deals[16]
    assert (sold.kind, sold.entry, sold.reason, sold.symbol) == (
        DealKind.SELL,
        DealEntry.OUT,
        DealReason.MOBILE,
        "EURGBP",
    )
    assert (sold.price, sold.open_price, sold.volume_lots, sold.profit) == (
        Decimal("0.90245"), Decimal("0.90256"), Decimal(1), Decimal("-14.07"),
    )  # fmt: skip
    assert (sold.profit_rate, sold.margin_rate, sold.contract_size) == (
        Decimal("1.27886"), Decimal("1.15426"), Decimal(100000),
    )  # fmt: skip
    assert deals[20].price == Decimal("1.14037")
    assert deals[25].open_price == Decimal("1.14023")
    assert deals[15].profit_rate is None
    assert (deals[3].kind, deals[3].entry, deals[3].price, deals[3].comment) == (
        DealKind.BALANCE,
        None,
        None,
        "Deposit",
    )
    assert {deals[ticket].symbol for ticket in range(20, 34)} == {"EURUSD", "EURUSD.", "EURUSD.."}


def test_server_time_is_turned_into_utc_by_the_pairs(dump: MariaServer, opened: Open) -> None:
    deals = {deal.ticket: deal for deal in all_deals(opened("dump"))}
    assert deals[33].at == datetime(2019, 1, 16, 8, 50, 5, 402000, tzinfo=UTC)
    assert deals[1].at == datetime(2018, 12, 19, 6, 37, 30, 507000, tzinfo=UTC)


def test_the_clock_shows_a_zone_that_does_not_fit(dump: MariaServer, opened: Open) -> None:
    right = opened("dump", zone=ServerZone.parse("FIXED+01:00")).clock()
    wrong = opened("dump", zone=ServerZone.parse("FIXED+02:00")).clock()
    assert abs(right.local - right.utc.replace(tzinfo=None) - timedelta(hours=1)) < timedelta(seconds=1)
    assert timedelta(minutes=59) < right.utc - wrong.utc < timedelta(minutes=61)


def test_windows_and_logins_cut_exactly(dump: MariaServer, opened: Open) -> None:
    reader = opened("dump")
    at = datetime(2019, 1, 16, 6, 40, 10, 513000, tzinfo=UTC)
    assert [deal.ticket for deal in reader.deals(from_time=at, to_time=at + timedelta(microseconds=1))] == [20]
    assert list(reader.deals(from_time=at + timedelta(microseconds=1), to_time=at + timedelta(seconds=1))) == []
    only = list(reader.deals(from_time=START, to_time=END, logins=["1006", "67200263", "nobody"]))
    assert {deal.login for deal in only} == {"1006", "67200263"}
    assert list(reader.deals(from_time=START, to_time=END, logins=[])) == []
    assert [account.login for account in reader.accounts(logins=["61200000", "1005"])] == ["1005"]


def test_pages_neither_lose_nor_repeat(dump: MariaServer, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = all_deals(opened("dump"))
    monkeypatch.setattr("platform_ops.gateways.report_database.connection.Database.pages.__kwdefaults__", {"page": 2})
    assert all_deals(opened("dump")) == whole


def test_what_the_export_does_not_hold_is_not_offered(dump: MariaServer, opened: Open) -> None:
    reader = opened("dump")
    assert reader.abilities == {Ability.TIME, Ability.DEALS, Ability.ACCOUNTS}
    with pytest.raises(NotOffered, match="alpha: this report database holds no positions"):
        list(reader.positions())


def test_the_years_are_not_the_whole(dump: MariaServer, opened: Open) -> None:
    reader = opened("dump")
    covered = reader.coverage()  # type: ignore[union-attr]
    assert covered["tables"] == {"mt5_deals": 33, "mt5_deals_2018": 6, "mt5_deals_2019": 16}
    assert covered["missing_from_years"] == 11
    assert covered["samples"] == [1, 2, 8, 10, 11, 12, 13, 14, 15, 16, 17]


def test_an_export_of_years_only_is_read_as_far_as_it_goes(mariadb: MariaServer, opened: Open) -> None:
    mariadb.load("years", dump_script() + "DROP TABLE mt5_deals;\n")
    assert [deal.ticket for deal in all_deals(opened("years"))] == [3, 4, 5, 6, 7, 9, *range(18, 34)]


def test_a_later_version_of_a_deal_wins_wherever_it_stands(mariadb: MariaServer, opened: Open) -> None:
    mariadb.load(
        "later",
        dump_script()
        + "UPDATE mt5_deals_2019 SET Profit = -180, Timestamp = Timestamp + 864000000000 WHERE Deal = 33;\n"
        + "UPDATE mt5_deals SET Comment = 'by hand', ModifyFlags = 2, Timestamp = Timestamp + 36000000000 WHERE Deal = 5;\n",
    )
    reader = opened("later")
    deals = {deal.ticket: deal for deal in all_deals(reader)}
    assert len(deals) == 33
    assert deals[33].profit == Decimal("-180.00")
    assert deals[33].at == datetime(2019, 1, 16, 8, 50, 5, 402000, tzinfo=UTC)  # its time did not move with its marker
    assert (deals[5].comment, deals[5].modify_flags) == ("by hand", 2)
    assert deals[5].at == datetime(2018, 12, 25, 8, 33, 3, 497000, tzinfo=UTC)


def test_changes_are_found_by_their_marker_with_an_overlap(dump: MariaServer, opened: Open) -> None:
    reader = opened("dump")
    assert isinstance(reader, ChangeReadingGateway)
    since = datetime(2019, 1, 16, 8, 50, 0, tzinfo=UTC)
    assert [deal.ticket for deal in reader.changed_deals(since=since)] == [33]
    assert [deal.ticket for deal in reader.changed_deals(since=since + timedelta(minutes=4))] == [33]
    assert list(reader.changed_deals(since=since + timedelta(minutes=6))) == []


def test_a_change_of_summer_time_keeps_the_order_of_moments(mariadb: MariaServer, opened: Open) -> None:
    # 28 October 2018: the server's clock goes from +3 to +2 hours at 04:00 local (01:00 UTC).
    rows = [
        (1, "2018-10-28 00:30:00", "2018-10-28 03:30:00"),
        (2, "2018-10-28 00:50:00", "2018-10-28 03:50:00"),
        (3, "2018-10-28 01:10:00", "2018-10-28 03:10:00"),
        (4, "2018-10-28 01:40:00", "2018-10-28 03:40:00"),
        (5, "2018-10-29 10:00:00", "2018-10-29 12:00:00"),
    ]
    values = ", ".join(
        f"({ticket}, TIMESTAMPDIFF(MICROSECOND, '1601-01-01', '{utc}') * 10, 7, 2, '{local}', '{local}', 1)"
        for ticket, utc, local in rows
    )
    mariadb.load(
        "autumn",
        "CREATE TABLE mt5_deals (Deal BIGINT PRIMARY KEY, Timestamp BIGINT, Login BIGINT, Action INT, Time DATETIME, "
        f"TimeMsc DATETIME(6), Profit DOUBLE);\nINSERT INTO mt5_deals VALUES {values};\n",
    )
    assert [(deal.ticket, f"{deal.at:%d %H:%M}") for deal in all_deals(opened("autumn"))] == [
        (1, "28 00:30"), (2, "28 00:50"), (3, "28 01:10"), (4, "28 01:40"), (5, "29 10:00"),
    ]  # fmt: skip


def test_without_pairs_the_zone_counts_and_without_both_it_is_refused(mariadb: MariaServer, opened: Open) -> None:
    mariadb.load(
        "old",
        "CREATE TABLE mt5_deals (Deal BIGINT PRIMARY KEY, Login BIGINT, Action INT, Time DATETIME, Profit DOUBLE);\n"
        "INSERT INTO mt5_deals VALUES (1, 7, 2, '2019-07-01 12:00:00', 10.1);\n",
    )
    (deal,) = all_deals(opened("old", zone=ServerZone.parse("EET_US")))
    assert (deal.at, deal.profit) == (datetime(2019, 7, 1, 9, tzinfo=UTC), Decimal("10.1"))
    with pytest.raises(GatewayGarbled, match="alpha: no deal tells how far the server's clock is from UTC"):
        all_deals(opened("old"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("SET Action = 77 WHERE Deal = 4", "alpha: mt5_deals 4, Action: not a known action"),
        ("SET Entry = 9 WHERE Deal = 21", "alpha: mt5_deals 21, Entry: not a known entry"),
    ],
)
def test_an_impossible_value_is_refused_by_name(mariadb: MariaServer, opened: Open, change: str, told: str) -> None:
    mariadb.load("bad", dump_script() + f"UPDATE mt5_deals {change};\nDROP TABLE mt5_deals_2018, mt5_deals_2019;\n")
    with pytest.raises(GatewayGarbled, match=told):
        all_deals(opened("bad"))


def test_the_session_cannot_write_whatever_its_rights(dump: MariaServer, opened: Open) -> None:
    reader = opened("dump")
    with pytest.raises(GatewayUnavailable, match="READ ONLY") as refused:
        reader._database.query("DELETE FROM mt5_deals")
    assert isinstance(refused.value.__cause__, pymysql.MySQLError)
    assert dump.run("SELECT COUNT(*) FROM mt5_deals", database="dump") == [(33,)]


def test_who_cannot_come_in_is_told_so(dump: MariaServer, opened: Open) -> None:
    with pytest.raises(GatewayRefused, match="alpha: the report database refuses us") as refused:
        opened("dump", password="not-the-password")
    assert "not-the-password" not in str(refused.value.details)
    with pytest.raises(GatewayRefused, match="Unknown database"):
        opened("nowhere")
    with pytest.raises(GatewayGarbled, match="holds no trades of an MT4 server"):
        opened("dump", Platform.MT4)


def test_a_database_that_is_not_there_is_unavailable(opened: Open, tmp_path: object) -> None:
    with pytest.raises(GatewayUnavailable, match="alpha: the report database does not answer"):
        opened("dump", unix_socket=f"{tmp_path}/nobody")


def test_a_statement_that_takes_too_long_is_ended(
    dump: MariaServer, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform_ops.gateways.report_database.connection.STATEMENT_SECONDS", 0.05)
    reader = opened("dump")
    with pytest.raises(GatewayUnavailable, match="took longer than"):
        reader._database.query("SELECT SLEEP(5) FROM mt5_deals")


FULL = """
CREATE TABLE mt5_deals (Deal BIGINT PRIMARY KEY, Timestamp BIGINT, Login BIGINT, Action INT, Time DATETIME, TimeMsc DATETIME(6), Profit DOUBLE);
INSERT INTO mt5_deals VALUES (1, TIMESTAMPDIFF(MICROSECOND, '1601-01-01', '2019-01-16 08:00:00') * 10, 7, 2, '2019-01-16 10:00:00', '2019-01-16 10:00:00', 1);
CREATE TABLE mt5_groups (`Group` VARCHAR(64), Currency VARCHAR(16), MarginMode INT, MarginCall DOUBLE, MarginStopOut DOUBLE);
INSERT INTO mt5_groups VALUES ('real\\\\\\\\ecn', 'EUR', 2, 100, 50), ('real\\\\\\\\net', 'USD', 0, 80, 30);
CREATE TABLE mt5_users (Login BIGINT PRIMARY KEY, `Group` VARCHAR(64), Name VARCHAR(128), Leverage INT, Email VARCHAR(64), Rights BIGINT, Registration DATETIME);
INSERT INTO mt5_users VALUES (7, 'real\\\\\\\\ecn', 'A Trader', 200, 'a@x.example', 1, '2018-05-01 00:00:00'), (8, 'real\\\\\\\\net', 'B', 100, '', 4, '2018-05-01 00:00:00');
CREATE TABLE mt5_accounts (Login BIGINT PRIMARY KEY, CurrencyDigits INT, Balance DOUBLE, Credit DOUBLE, Equity DOUBLE);
INSERT INTO mt5_accounts VALUES (7, 2, 0.1, 5, 5.1), (8, 2, 0, 0, 0);
CREATE TABLE mt5_positions (Position_ID BIGINT PRIMARY KEY, Position BIGINT, Login BIGINT, Symbol VARCHAR(32), Action INT, TimeCreate DATETIME, PriceOpen DOUBLE, PriceCurrent DOUBLE, Volume BIGINT, Profit DOUBLE, Storage DOUBLE, Digits INT, DigitsCurrency INT);
INSERT INTO mt5_positions VALUES (1, 55, 7, 'EURUSD', 1, '2019-01-16 10:30:00', 1.1403699999999999, 1.14, 2500, -1.5, -0.07, 5, 2);
CREATE TABLE mt5_orders_history_2019 (`Order` BIGINT PRIMARY KEY, Login BIGINT, Symbol VARCHAR(32), State INT, Type INT, TimeSetup DATETIME, TimeDone DATETIME, PriceOrder DOUBLE, Digits INT, VolumeInitial BIGINT, VolumeCurrent BIGINT, Reason INT);
INSERT INTO mt5_orders_history_2019 VALUES (9, 7, 'EURUSD', 4, 1, '2019-01-16 10:00:00', '2019-01-16 10:00:01', 1.14, 5, 10000, 2500, 17);
CREATE TABLE mt5_prices (Symbol VARCHAR(32), Digits INT, Time DATETIME, BidLast DOUBLE, AskLast DOUBLE);
INSERT INTO mt5_prices VALUES ('EURUSD', 5, '2019-01-16 11:00:00', 1.1400100000000002, 1.14003), ('DEAD', 2, '2019-01-16 11:00:00', 0, 0);
CREATE TABLE mt5_symbols (Symbol VARCHAR(32), Path VARCHAR(128), Digits INT, ContractSize DOUBLE, CurrencyBase VARCHAR(8), CurrencyProfit VARCHAR(8), CurrencyMargin VARCHAR(8), CalcMode INT, TradeMode INT, SwapMode INT, SwapLong DOUBLE, SwapShort DOUBLE, Swap3Day INT, VolumeMin BIGINT, VolumeMax BIGINT, VolumeStep BIGINT);
INSERT INTO mt5_symbols VALUES ('EURUSD', 'Forex\\\\\\\\Majors\\\\\\\\EURUSD', 5, 100000, 'EUR', 'USD', 'EUR', 0, 4, 1, -6.5, 1.25, 3, 100, 1000000, 100);
"""


def test_a_full_export_tells_everything(mariadb: MariaServer, opened: Open) -> None:
    mariadb.load("full", FULL)
    reader = opened("full", zone=ServerZone.parse("EET_US"))
    assert reader.abilities == set(Ability) - {
        Ability.EXECUTIONS,
        Ability.BALANCE_OPERATIONS, Ability.ACCOUNT_CHANGES, Ability.SYMBOL_CHANGES,
    }  # fmt: skip
    first, second = reader.accounts()
    assert (first.currency, first.balance, first.credit, first.leverage, first.name) == (
        "EUR", Decimal("0.10"), Decimal("5.00"), 200, "A Trader",
    )  # fmt: skip
    assert (first.is_enabled, first.is_trading_allowed, second.is_enabled, second.is_trading_allowed) == (
        True, True, False, False,
    )  # fmt: skip
    assert {group.currency: group.is_hedging for group in reader.groups()} == {"EUR": True, "USD": False}
    (position,) = reader.positions()
    assert (position.ticket, position.side.name, position.volume_lots, position.open_price, position.swap) == (
        55, "SELL", Decimal("0.25"), Decimal("1.14037"), Decimal("-0.07"),
    )  # fmt: skip
    assert position.opened_at == datetime(2019, 1, 16, 8, 30, tzinfo=UTC)
    (order,) = reader.orders(from_time=START, to_time=END)
    assert (order.volume_filled_lots, order.reason, order.side.name) == (Decimal("0.75"), DealReason.WEB, "SELL")
    assert order.done_at == datetime(2019, 1, 16, 8, 0, 1, tzinfo=UTC)
    ticks = reader.last_ticks(symbols=["EURUSD", "DEAD", "NONE"])
    assert {name: (tick.bid, tick.ask, tick.at) for name, tick in ticks.items()} == {
        "EURUSD": (Decimal("1.14001"), Decimal("1.14003"), datetime(2019, 1, 16, 9, tzinfo=UTC))
    }
    (symbol,) = reader.symbols()
    assert (symbol.terms.contract_size, symbol.terms.swap_long, symbol.terms.lots_minimum, symbol.terms.lots_step) == (
        Decimal(100000), Decimal("-6.5"), Decimal("0.01"), Decimal("0.01"),
    )  # fmt: skip
    assert [int(nights) for nights in symbol.terms.swap_multipliers] == [0, 1, 1, 3, 1, 1, 0]


def test_a_contract_of_nothing_is_refused_by_server_symbol_and_field(mariadb: MariaServer, opened: Open) -> None:
    mariadb.load("zero", FULL + "UPDATE mt5_symbols SET ContractSize = 0;\n")
    reader = opened("zero", zone=ServerZone.parse("EET_US"))
    with pytest.raises(GatewayGarbled, match="alpha: mt5_symbols EURUSD, ContractSize: must be above zero") as refused:
        list(reader.symbols())
    assert (refused.value.details["row"], refused.value.details["field"]) == ("EURUSD", "ContractSize")
