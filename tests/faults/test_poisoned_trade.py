"""One trade that the books refuse does not hold up the thousands beside it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.db import DataError, InternalError, connection, transaction
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.books import verify_books
from backoffice.core.models import AuditRecord, Job, OutboxEvent, WorkItem
from backoffice.core.services import jobs
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from ib.events import on_trades_changed
from ib.models import CommissionLine, QuarantinedTrade, SettlementBatch
from ib.selectors import coverage, uncovered_trades
from ib.services import quarantine, work
from ib.services.day_step import settle_business_day
from ib.services.proof import prove_range
from ib.services.quarantine import release_trade, set_aside
from ib.services.settlement import settle_ingest_batch, settle_range
from ib.services.shards import RESETTLE_DAY, SETTLE_BATCH, enqueue_batch
from ib.services.work import TRADE_SET_ASIDE
from ib.types import Coverage, Exclusion
from platform_ops.models import Trade
from tests.factories import platform
from tests.factories.ib import Broker, booked
from tests.factories.platform import MONDAY, SYSTEM, make_trade, staff
from tests.logins import log_in, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

TOO_MUCH = "99999999999.99"
"""Lots that a column can hold, and whose commission none can, at a rate of a million a lot."""


def greedy_broker() -> SimpleNamespace:
    """A partner, and a client whose trades in metals overflow every amount when they are very large."""
    broker = Broker()
    partner = broker.partner()
    account = broker.client_of(partner)
    return SimpleNamespace(broker=broker, partner=partner, account=account)


def many_trades(world: SimpleNamespace, count: int, *, poisoned_at: int | None) -> object:
    """An ingest batch of *count* equal trades in one statement, and one that cannot be settled among them."""
    batch = platform.make_batch(world.broker.server)
    first = make_trade(world.account, server_symbol=world.broker.eurusd, batch=batch)
    with connection.cursor() as cursor:
        columns = [field.column for field in Trade._meta.concrete_fields if field.column not in {"id", "ticket"}]
        cursor.execute(
            f"INSERT INTO platform_ops_trade (ticket, {', '.join(columns)}) SELECT 10000000 + number, {', '.join(columns)}"
            " FROM platform_ops_trade, generate_series(1, %s) AS number WHERE id = %s",
            [count - 1, first.pk],
        )
        if poisoned_at is not None:
            poison(10_000_000 + poisoned_at)
    return batch


def assert_books_hold() -> None:
    """The ledger and the lines prove; deals are not, as trades are made here without the deals that opened them."""
    own = [check for check in verify_books()["checks"] if check["name"].startswith(("ib.", "ledger."))]
    assert own
    assert [check for check in own if not check["ok"]] == []


def poison(ticket: int) -> None:
    """Makes every booking of the trade fail, as a defect of the books would."""
    trade_id = Trade.objects.get(ticket=ticket).pk
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION refuse_poison() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'poisoned trade %', NEW.trade_id; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse_poison BEFORE INSERT ON ib_commissionline FOR EACH ROW"
            f" WHEN (NEW.trade_id = {int(trade_id)}) EXECUTE FUNCTION refuse_poison()"
        )


def cure() -> None:
    """The defect is mended."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER IF EXISTS refuse_poison ON ib_commissionline")


@pytest.fixture(autouse=True)
def _cured_at_the_end():
    yield
    cure()
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION IF EXISTS refuse_poison()")


def test_nineteen_thousand_nine_hundred_and_ninety_nine_settle_and_one_is_set_aside_with_the_reason() -> None:
    # Given a batch of 20,000 trades of which one makes the books raise
    world = greedy_broker()
    batch = many_trades(world, 20_000, poisoned_at=12_345)
    enqueue_batch(ingest_batch_id=batch.pk)
    # When a worker takes up the batch
    assert jobs.run_ready(kind=SETTLE_BATCH, owner="worker") == 1
    # Then all others are booked, and the one stands aside with what the books said
    assert Job.objects.get(kind=SETTLE_BATCH).state == Job.State.DONE
    assert CommissionLine.objects.count() == 19_999
    assert booked(world.partner) == Decimal(7 * 19_999)
    row = QuarantinedTrade.objects.get()
    assert (row.ticket, row.day, row.released_at, row.attempts) == (10_012_345, MONDAY, None, 1)
    assert row.reason == f"poisoned trade {row.trade_id}"
    assert AuditRecord.objects.get(action="ib.set_trade_aside").reason == row.reason
    # And coverage, the proofs and the day tell it
    fates = {(fate.status, fate.reason): fate.trades for fate in coverage(actor=SYSTEM, from_day=MONDAY, to_day=MONDAY)}
    assert fates == {(Coverage.PAID, None): 19_999, (Coverage.EXCLUDED, Exclusion.SET_ASIDE): 1}
    aside = uncovered_trades(actor=SYSTEM, day=MONDAY, reason=Exclusion.SET_ASIDE)
    assert [trade.ticket for trade in aside] == [10_012_345]
    found = verify_books()
    assert_books_hold()
    notes = next(check["notes"] for check in found["checks"] if check["name"] == "ib.trades_set_aside")
    assert [note["reason"] for note in notes] == [row.reason]
    # And neither a second settlement nor the business day trips over it again
    assert settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM).lines == 0
    assert settle_business_day(SimpleNamespace(day=MONDAY))["excluded"] == {"set_aside": 1}
    assert prove_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM).rows == ()
    assert QuarantinedTrade.objects.get().attempts == 1


def test_a_trade_whose_commission_overflows_is_set_aside_by_the_settlement_of_its_day() -> None:
    world = greedy_broker()
    factory_rule(world, "1000000")
    good = make_trade(world.account, server_symbol=world.broker.eurusd, lots="0.01")
    bad = make_trade(world.account, server_symbol=world.broker.eurusd, lots=TOO_MUCH)

    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)

    assert list(CommissionLine.objects.values_list("trade_id", flat=True)) == [good.pk]
    row = QuarantinedTrade.objects.get()
    assert (row.trade_id, row.error) == (bad.pk, DataError.__name__)
    assert "overflow" in row.reason
    assert_books_hold()


def factory_rule(world: SimpleNamespace, amount: str) -> None:
    """Another plan version, under which a lot earns that much."""
    from tests.factories import ib as factory

    factory.publish(world.broker.plan, (None, 1, amount, "USD"), since=factory.LONG_AGO)


def test_a_correction_puts_the_trade_back_by_itself() -> None:
    # Given a trade that was set aside for its absurd volume
    world = greedy_broker()
    factory_rule(world, "1000000")
    bad = make_trade(world.account, server_symbol=world.broker.eurusd, lots=TOO_MUCH)
    settle_ingest_batch(ingest_batch_id=bad.batch_id, actor=SYSTEM)
    assert QuarantinedTrade.objects.count() == 1
    # When the server corrects it
    Trade.objects.filter(pk=bad.pk).update(volume_lots=Decimal("0.00"))
    bad.refresh_from_db()
    platform.correct_trade(bad, profit="1")
    Trade.objects.filter(pk=bad.pk).update(volume_lots=Decimal("0.01"))
    settle_ingest_batch(ingest_batch_id=bad.batch_id, actor=SYSTEM)
    # Then it is paid like any other
    assert booked(world.partner) == Decimal(10_000)
    assert coverage(actor=SYSTEM, from_day=MONDAY, to_day=MONDAY)[0].status is Coverage.PAID
    assert_books_hold()


def test_a_trade_that_was_paid_and_is_then_refused_keeps_what_it_has() -> None:
    # Given a paid trade, whose correction makes the books raise
    world = greedy_broker()
    other = make_trade(world.account, server_symbol=world.broker.eurusd, lots="2")
    trade = make_trade(world.account, server_symbol=world.broker.eurusd, lots="1")
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    assert booked(world.partner) == Decimal(21)
    poison(trade.ticket)
    platform.correct_trade(trade, profit="5")
    Trade.objects.filter(pk__in=[trade.pk, other.pk]).update(volume_lots=Decimal(3))
    # When the day is settled again
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    # Then the other's difference is booked, and the refused one's lines stand as they were
    assert booked(world.partner) == Decimal(7 * 3 + 7)
    assert QuarantinedTrade.objects.get().trade_id == trade.pk
    assert_books_hold()


def test_what_is_put_back_is_settled_or_set_aside_anew() -> None:
    # Given a trade that is set aside
    world = greedy_broker()
    trade = make_trade(world.account, server_symbol=world.broker.eurusd)
    poison(trade.ticket)
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    row = QuarantinedTrade.objects.get()
    manager = staff(Role.PARTNER_MANAGER, entities=[world.broker.entity])
    # Then who may not, or gives no reason, changes nothing
    with pytest.raises(Denied):
        release_trade(quarantine_id=row.pk, actor=staff(Role.AUDITOR, entities=[world.broker.entity]), reason="x")
    with pytest.raises(NotFound):
        release_trade(quarantine_id=row.pk, actor=staff(Role.PARTNER_MANAGER), reason="x")
    with pytest.raises(InvalidInput):
        release_trade(quarantine_id=row.pk, actor=manager, reason=" ")
    assert QuarantinedTrade.objects.get().released_at is None
    # When it is put back while the cause stands, then it is set aside anew
    release_trade(quarantine_id=row.pk, actor=manager, reason="try")
    jobs.run_ready(kind=RESETTLE_DAY, owner="worker")
    again = QuarantinedTrade.objects.get()
    assert (again.released_at, again.attempts) == (None, 2)
    # When the cause is mended, then it is paid
    cure()
    release_trade(quarantine_id=row.pk, actor=manager, reason="mended")
    with pytest.raises(Conflict):
        release_trade(quarantine_id=row.pk, actor=manager, reason="mended")
    jobs.run_ready(kind=RESETTLE_DAY, owner="worker")
    assert booked(world.partner) == Decimal(7)
    assert_books_hold()


def test_a_fault_that_is_no_single_trades_fails_the_settlement_as_a_whole() -> None:
    # Given books that refuse every line
    world = greedy_broker()
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION refuse_poison() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'nothing is booked'; END $$;"
            "CREATE TRIGGER refuse_poison BEFORE INSERT ON ib_commissionline FOR EACH ROW EXECUTE FUNCTION refuse_poison()"
        )
    batch = many_trades(world, quarantine.MAXIMUM_SET_ASIDE + 1, poisoned_at=None)
    # When it is settled, then nothing is set aside and the failure is seen
    with pytest.raises(InternalError):
        settle_ingest_batch(ingest_batch_id=batch.pk, actor=SYSTEM)
    assert not QuarantinedTrade.objects.exists()
    assert not CommissionLine.objects.exists()
    assert not SettlementBatch.objects.exists()


def test_the_desk_shows_the_reason_and_offers_to_put_back(browser_of_manager: Browser) -> None:
    world = greedy_broker()
    trade = make_trade(world.account, server_symbol=world.broker.eurusd, day=MONDAY + timedelta(days=1))
    poison(trade.ticket)
    settle_range(from_day=MONDAY, to_day=MONDAY + timedelta(days=1), actor=SYSTEM)
    manager = make_user("manager@nova.example", Role.PARTNER_MANAGER, entities=(world.broker.entity,))
    stranger = make_user("other@nova.example", Role.PARTNER_MANAGER)
    row = QuarantinedTrade.objects.get()
    listing, page = reverse("admin:ib_quarantinedtrade_changelist"), f"/ib/quarantinedtrade/{row.pk}/change/"

    browser = log_in(browser_of_manager, manager)
    shown = browser.get(listing).content.decode()
    assert f"poisoned trade {trade.pk}" in shown
    assert "Set aside" in shown
    detail = browser.get(reverse("admin:ib_quarantinedtrade_change", args=[row.pk]))
    assert "Put back" in detail.content.decode(), page
    assert f"poisoned trade {trade.pk}" not in log_in(Browser(), stranger).get(listing).content.decode()


@pytest.fixture
def browser_of_manager(client: Browser) -> Browser:
    return client


def open_items() -> list[tuple[str, str | None]]:
    """The open items of the kind, with the reason."""
    items = WorkItem.objects.filter(kind=TRADE_SET_ASIDE).exclude(state=WorkItem.State.CLOSED).order_by("group_key")
    return [(item.group_key, item.evidence["what the books said"]) for item in items]


def test_each_trade_that_is_set_aside_is_somebodys_work_until_it_is_back() -> None:
    # Given two bad trades
    world = greedy_broker()
    first = make_trade(world.account, server_symbol=world.broker.eurusd)
    second = make_trade(world.account, server_symbol=world.broker.eurusd)
    poison(first.ticket)
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    key = f"{MONDAY}:{world.broker.entity.pk}"
    assert open_items() == [(f"{key}:{first.pk}", f"poisoned trade {first.pk}")]
    # When it is put back while the cause stands, then the item is open again afterwards
    row = QuarantinedTrade.objects.get()
    manager = staff(Role.PARTNER_MANAGER, entities=[world.broker.entity])
    release_trade(quarantine_id=row.pk, actor=manager, reason="try")
    assert open_items() == []
    jobs.run_ready(kind=RESETTLE_DAY, owner="worker")
    assert len(open_items()) == 1
    # When the server corrects it, then the news of the correction closes the item
    platform.correct_trade(first, profit="2")
    on_trades_changed({"batch_id": Trade.objects.get(pk=first.pk).batch_id}, OutboxEvent())
    assert open_items() == []
    assert not WorkItem.objects.filter(title__contains=str(second.ticket)).exists()


def test_very_many_of_a_day_are_one_item(monkeypatch: pytest.MonkeyPatch) -> None:
    world = greedy_broker()
    monkeypatch.setattr(work, "MAX_SEPARATE_ITEMS", 1)
    trades = [make_trade(world.account, server_symbol=world.broker.eurusd) for _ in range(3)]
    with transaction.atomic():
        set_aside(guilty={trade.pk: ValueError("too much") for trade in trades}, cause="test", actor=SYSTEM)
    assert open_items() == [(f"{MONDAY}:{world.broker.entity.pk}:*", "too much")]
