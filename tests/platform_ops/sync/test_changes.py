"""A deal that is corrected on the server long after its time: found by the source's marks of change, with a cursor of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from backoffice.core.books import verify_books
from backoffice.kernel import clock
from platform_ops.gateways.report_database.values import filetime_of
from platform_ops.models import Deal, ServerConnection, ServerSync, Trade, TradingServer
from platform_ops.services.sync import follow_once, look_back
from tests.platform_ops.mariadb import MariaServer, dump_script
from tests.platform_ops.reconciliation.test_dump import connected, follow
from tests.trading_server import RunningServer

pytestmark = pytest.mark.django_db


@pytest.fixture
def followed(mariadb: MariaServer) -> TradingServer:
    """The captured dump, all in the books; followed from today on."""
    mariadb.load("corrected", dump_script())
    server = connected(mariadb, "corrected")
    follow(server)
    ServerConnection.objects.filter(server=server).update(started_at=clock.now() - timedelta(hours=1))
    assert follow_once(server_id=server.pk).state == ServerSync.State.LIVE
    return server


def correct(mariadb: MariaServer, what: str, deal: int, at: datetime | None = None) -> None:
    """Staff change a deal of 2019; the export's row says when."""
    marker = filetime_of(at or clock.now())
    mariadb.run(f"UPDATE mt5_deals_2019 SET {what}, Timestamp = {marker} WHERE Deal = {deal}", database="corrected")


def read_again(server: TradingServer) -> tuple[int, int]:
    """A step, as if the last one were minutes ago; (new, corrected)."""
    ServerSync.objects.filter(server=server).update(changes_at=clock.now() - timedelta(minutes=3))
    step = follow_once(server_id=server.pk)
    assert step.state == ServerSync.State.LIVE, step.message
    return step.new_deals, step.corrected_deals


def test_a_correction_of_a_deal_of_years_ago_is_found_and_counted_once(
    followed: TradingServer, mariadb: MariaServer
) -> None:
    before = Deal.objects.count()
    assert read_again(followed) == (0, 0)
    correct(mariadb, "Profit = -180", 33)
    assert read_again(followed) == (0, 1)
    assert Trade.objects.get(server=followed, ticket=33).profit == Decimal(-180)
    assert Deal.objects.count() == before + 1  # a revision, the old one stays
    assert read_again(followed) == (0, 0)
    sync = ServerSync.objects.get(server=followed)
    assert sync.corrected_deals == 1
    assert sync.changes_at is not None
    assert clock.now() - sync.changes_at < timedelta(seconds=30)
    assert [check["name"] for check in verify_books(["platform.projections"])["checks"] if not check["ok"]] == []


def test_marks_are_read_once_a_minute_and_an_export_that_came_late_by_the_look_back(
    followed: TradingServer, mariadb: MariaServer
) -> None:
    follow_once(server_id=followed.pk)
    correct(mariadb, "Profit = -180", 33)
    assert follow_once(server_id=followed.pk).corrected_deals == 0
    assert read_again(followed) == (0, 1)
    # Its mark is hours old, yet it was exported only now
    correct(mariadb, "Profit = -170", 33, clock.now() - timedelta(hours=6))
    assert read_again(followed) == (0, 0)
    look_back(server_id=followed.pk)
    assert Trade.objects.get(server=followed, ticket=33).profit == Decimal(-170)


def test_what_was_never_in_the_books_does_not_come_in_by_a_mark(followed: TradingServer, mariadb: MariaServer) -> None:
    Trade.objects.filter(ticket=33).delete()
    known = set(Deal.objects.values_list("ticket", flat=True))
    mariadb.run(
        "CREATE TEMPORARY TABLE one AS SELECT * FROM mt5_deals_2019 WHERE Deal = 33",
        f"UPDATE one SET Deal = 9999, Timestamp = {filetime_of(clock.now())}",
        "INSERT INTO mt5_deals_2019 SELECT * FROM one",
        database="corrected",
    )
    assert read_again(followed) == (0, 0)
    assert set(Deal.objects.values_list("ticket", flat=True)) == known


def test_a_correction_that_cannot_be_booked_holds_the_cursor_and_is_told(
    followed: TradingServer, mariadb: MariaServer
) -> None:
    correct(mariadb, "Symbol = ''", 33)
    stood = clock.now() - timedelta(minutes=3)
    ServerSync.objects.filter(server=followed).update(changes_at=stood)
    step = follow_once(server_id=followed.pk)
    assert step.state == ServerSync.State.FAILED
    assert "deal 33" in step.message
    assert ServerSync.objects.get(server=followed).changes_at == stood
    correct(mariadb, "Symbol = 'EURUSD', Profit = -150", 33)
    assert follow_once(server_id=followed.pk).corrected_deals == 1
    assert Trade.objects.get(server=followed, ticket=33).profit == Decimal(-150)


def test_an_export_without_marks_and_a_server_that_has_none_are_followed_as_before(
    mariadb: MariaServer, server: TradingServer, simulated: RunningServer
) -> None:
    mariadb.load(
        "unmarked", dump_script() + "".join(
            f"ALTER TABLE {table} DROP COLUMN Timestamp;\n" for table in ("mt5_deals", "mt5_deals_2018", "mt5_deals_2019")
        ),
    )  # fmt: skip
    unmarked = connected(mariadb, "unmarked")
    ServerConnection.objects.filter(server=unmarked).update(started_at=datetime.now(UTC) - timedelta(hours=1))
    for each in (unmarked, server):
        assert follow_once(server_id=each.pk).state == ServerSync.State.LIVE
        assert ServerSync.objects.get(server=each).changes_at is None
