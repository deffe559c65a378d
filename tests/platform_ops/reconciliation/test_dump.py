"""The captured MT5 dump on a real MariaDB, followed and compared over the server's own connection."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from backoffice.core.books import verify_books
from backoffice.core.models import WorkItem
from backoffice.core.types import Actor
from platform_ops.models import ReconciliationBreak, ReconciliationRun, TradingAccount, TradingServer
from platform_ops.services.connections import ConnectionTerms, open_gateway, save_connection
from platform_ops.services.reconciliation import reconcile_server
from platform_ops.services.reconciliation.work import BREAK
from platform_ops.services.sync.records import book_deals, portions
from tests.factories.platform import make_entity, make_server
from tests.platform_ops.mariadb import READER, READER_PASSWORD, MariaServer

pytestmark = pytest.mark.django_db

SYSTEM = Actor.system("test")
START, END = datetime(2018, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
GONE = {"61200000", "61200001", "61200002", "61200004", "61200005", "67200261", "67200262", "67200263", "67200264"}


def connected(mariadb: MariaServer, database: str) -> TradingServer:
    """A server followed through its report database."""
    server = make_server(make_entity(), code="alpha", platform="mt5", zone="FIXED+01:00")
    save_connection(
        server_id=server.pk,
        terms=ConnectionTerms(
            kind="report_database",
            host="localhost",
            port=3306,
            login=READER,
            password=READER_PASSWORD,
            options={"database": database, "unix_socket": mariadb.socket, "currency": "USD"},
            started_at=START,
        ),
        actor=SYSTEM,
    )
    return server


def follow(server: TradingServer) -> None:
    """Brings in all that the database tells, as following the server does."""
    with open_gateway(server_id=server.pk) as gateway:
        for portion in portions(gateway.deals(from_time=START, to_time=END)):
            booked = book_deals(server=server, gateway=gateway, deals=portion, as_of=END)
            assert booked.refused == []


def compare(server: TradingServer) -> ReconciliationRun:
    run = reconcile_server(server_id=server.pk, actor=SYSTEM, from_time=START)
    assert (run.state, run.problem) == (ReconciliationRun.State.DONE, "")
    return run


def test_exactly_the_breaks_of_the_dump(dump: MariaServer) -> None:
    server = connected(dump, "dump")
    follow(server)
    run = compare(server)

    found = {(one.kind, one.login): one for one in ReconciliationBreak.objects.all()}
    assert set(found) == {("balance", "1003"), ("balance", "1004")} | {("account_gone", login) for login in GONE}
    for login in ("1003", "1004"):
        one = found["balance", login]
        assert (one.ours["balance"], one.theirs["balance"], one.amount) == ("30000.00", "0.00", Decimal(-30000))
        assert "its account and its deals disagree" in one.cause
    # The note that came with the dump says a million less. Its rows hold three deposits of a million each.
    assert sum(-found["account_gone", login].amount for login in GONE) == Decimal("3242985.93")
    assert all("archived or deleted" in found["account_gone", login].cause for login in GONE)
    assert (run.breaks_new, run.breaks_open, run.breaks_resolved) == (11, 11, 0)
    assert run.figures["deals_here"] == run.figures["deals_there"] == 33
    assert run.figures["not_told"] == ["positions"]
    assert run.figures["empty_accounts_only_there"] == 21
    assert run.figures["tables"]["missing_from_years"] == 11


def test_each_break_is_one_work_item_and_the_inbox_agrees(dump: MariaServer) -> None:
    server = connected(dump, "dump")
    follow(server)
    compare(server)
    compare(server)
    items = WorkItem.objects.filter(kind=BREAK).exclude(state=WorkItem.State.CLOSED)
    assert items.count() == 11
    assert set(items.values_list("occurrences", flat=True)) == {1}
    assert set(ReconciliationBreak.objects.values_list("times_seen", flat=True)) == {2}
    checks = {check["name"]: check for check in verify_books()["checks"]}
    assert not [name for name, check in checks.items() if name.startswith(("platform", "work")) and not check["ok"]]


def test_an_archived_login_takes_nothing_away(mariadb: MariaServer, dump: MariaServer) -> None:
    from tests.platform_ops.mariadb import dump_script

    mariadb.load("archived", dump_script())
    server = connected(mariadb, "archived")
    follow(server)
    accounts = TradingAccount.objects.filter(server=server).count()
    mariadb.run(
        "DELETE FROM mt5_accounts WHERE Login = 1123",
        "DELETE FROM mt5_deals WHERE Login = 1123",
        "DELETE FROM mt5_deals_2018 WHERE Login = 1123",
        database="archived",
    )
    compare(server)
    one = ReconciliationBreak.objects.get(login="1123")
    assert (one.kind, one.ours["balance"]) == ("account_gone", "100000.00")
    assert TradingAccount.objects.filter(server=server).count() == accounts
    assert TradingAccount.objects.get(server=server, login="1123").status == TradingAccount.Status.ACTIVE


def test_a_break_that_is_repaired_clears_itself(mariadb: MariaServer) -> None:
    from tests.platform_ops.mariadb import dump_script

    mariadb.load("repaired", dump_script())
    server = connected(mariadb, "repaired")
    follow(server)
    compare(server)
    mariadb.run("UPDATE mt5_accounts SET Balance = 30000 WHERE Login = 1003", database="repaired")
    run = compare(server)
    assert (run.breaks_new, run.breaks_open, run.breaks_resolved) == (0, 10, 1)
    one = ReconciliationBreak.objects.get(login="1003")
    assert one.state == ReconciliationBreak.State.RESOLVED
    assert WorkItem.objects.get(kind=BREAK, group_key="alpha:balance:1003:0:0").state == WorkItem.State.CLOSED


def test_a_deal_changed_on_the_server_is_told_by_its_deal_alone(mariadb: MariaServer) -> None:
    from tests.platform_ops.mariadb import dump_script

    mariadb.load("changed", dump_script())
    server = connected(mariadb, "changed")
    follow(server)
    mariadb.run(
        "UPDATE mt5_deals SET Profit = -180, ModifyFlags = 2, Timestamp = Timestamp + 10000000 WHERE Deal = 33",
        "UPDATE mt5_accounts SET Balance = 49666 WHERE Login = 1006",
        "DELETE FROM mt5_deals WHERE Deal = 9",
        "DELETE FROM mt5_deals_2018 WHERE Deal = 9",
        "UPDATE mt5_accounts SET Balance = 0 WHERE Login = 1123",
        database="changed",
    )
    compare(server)
    found = {
        (one.kind, one.login, one.ticket): one.amount
        for one in ReconciliationBreak.objects.exclude(kind="account_gone").exclude(login__in=["1003", "1004"])
    }
    assert found == {
        ("deal_differs", "1006", 33): Decimal(3),
        ("deal_touched", "1006", 33): None,
        ("deal_extra", "1123", 9): Decimal(-100000),
    }


def test_a_database_that_is_gone_makes_a_failed_run_and_one_item(dump: MariaServer) -> None:
    server = connected(dump, "dump")
    connection = server.connection
    connection.options = {**connection.options, "unix_socket": "/nowhere/socket"}
    connection.is_enabled = True
    connection.save()
    run = reconcile_server(server_id=server.pk, actor=SYSTEM, from_time=START)
    assert run.state == ReconciliationRun.State.FAILED
    assert "alpha: the report database does not answer" in run.problem
    item = WorkItem.objects.get(kind="platform.not_reconciled")
    assert item.title == "alpha could not be compared with the books"
    connection.options = {**connection.options, "unix_socket": dump.socket}
    connection.save()
    compare(server)
    item.refresh_from_db()
    assert item.state == WorkItem.State.CLOSED
