"""What people do about differences, what the business day asks, and what is compared with a moving server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from backoffice.core.models import AuditRecord, Job, User, WorkItem
from backoffice.core.types import Actor, Role
from backoffice.kernel.business_day import day_bounds
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from platform_ops.gateways.errors import GatewayUnavailable
from platform_ops.gateways.types import (
    Ability,
    DealReason,
    GatewayAccount,
    GatewayDeal,
    GatewayPosition,
    ReadingGateway,
)
from platform_ops.models import BusinessDay, ReconciliationBreak, ReconciliationRun, ServerConnection, TradingServer
from platform_ops.services.ingest import ingest_records
from platform_ops.services.reconciliation import (
    accept_break,
    explain_break,
    prove_reconciled,
    reconcile_due_servers,
    reconcile_with,
    reopen_break,
)
from platform_ops.services.sync.records import record_of
from platform_ops.types import DealEntry, DealKind, Side
from tests.factories.platform import MONDAY, make_entity, make_server, noon, staff

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("test")
AT = noon(MONDAY)


class RecordedServer:
    """What a server said once: a connector without a wire, for comparisons of chosen figures."""

    def __init__(
        self,
        deals: Sequence[GatewayDeal],
        accounts: Sequence[GatewayAccount],
        positions: Sequence[GatewayPosition] = (),
        abilities: frozenset[Ability] = frozenset({Ability.DEALS, Ability.ACCOUNTS, Ability.POSITIONS}),
    ) -> None:
        self.told, self.kept, self.held, self.abilities = list(deals), list(accounts), list(positions), abilities

    def deals(
        self, *, from_time: datetime, to_time: datetime, logins: Sequence[str] | None = None
    ) -> Iterator[GatewayDeal]:
        if not self.told and not self.kept:
            raise GatewayUnavailable("alpha: it does not answer.")
        for deal in self.told:
            if from_time <= deal.at < to_time and (logins is None or deal.login in logins):
                yield deal

    def accounts(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayAccount]:
        yield from self.kept

    def positions(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayPosition]:
        yield from self.held


def money(ticket: int, amount: str, *, login: str = "100", at: datetime = AT) -> GatewayDeal:
    return GatewayDeal(ticket=ticket, login=login, kind=DealKind.BALANCE, at=at, profit=Decimal(amount), currency="USD")


def opening(ticket: int, *, login: str = "100", lots: str = "1", at: datetime = AT) -> GatewayDeal:
    return GatewayDeal(
        ticket=ticket, login=login, kind=DealKind.BUY, entry=DealEntry.IN, at=at, symbol="EURUSD", price=Decimal("1.1"),
        volume_lots=Decimal(lots), position_ticket=ticket, currency="USD", reason=DealReason.CLIENT,
    )  # fmt: skip


def position(ticket: int, *, login: str = "100", lots: str = "1", side: Side = Side.BUY) -> GatewayPosition:
    return GatewayPosition(
        ticket=ticket, login=login, symbol="EURUSD", side=side, volume_lots=Decimal(lots), open_price=Decimal("1.1"),
        current_price=Decimal("1.2"), opened_at=AT, profit=Decimal(0), swap=Decimal(0),
    )  # fmt: skip


def account(balance: str, *, login: str = "100", credit: str = "0") -> GatewayAccount:
    return GatewayAccount(
        login=login,
        group="real",
        name="",
        currency="USD",
        leverage=100,
        balance=Decimal(balance),
        credit=Decimal(credit),
    )


def booked(*deals: GatewayDeal) -> TradingServer:
    """A server whose deals stand in the books since an hour."""
    server = make_server(make_entity(), code="alpha", platform="mt5")
    with time_machine.travel(AT + timedelta(hours=1), tick=False):
        ingest_records(
            server_id=server.pk,
            source="test",
            records=[record_of(deal, "USD") for deal in deals],
            as_of=AT + timedelta(hours=1),
        )
    return server


def compare(server: TradingServer, gateway: RecordedServer, **more: object) -> ReconciliationRun:
    with time_machine.travel(AT + timedelta(hours=2), tick=False):
        return reconcile_with(
            server=server, gateway=_as_gateway(gateway), actor=SYSTEM, from_time=AT - timedelta(hours=1),
            to_time=AT + timedelta(hours=1), **more,  # type: ignore[arg-type]
        )  # fmt: skip


def _as_gateway(server: RecordedServer) -> ReadingGateway:
    return server  # type: ignore[return-value]  # only what a comparison reads


def found() -> dict[tuple[str, int], ReconciliationBreak]:
    return {(one.kind, one.ticket): one for one in ReconciliationBreak.objects.exclude(state="resolved")}


def test_one_cause_is_one_difference() -> None:
    server = booked(money(1, "100"), money(2, "50"), opening(10))
    told = [money(1, "100"), money(3, "7"), opening(10, lots="2")]
    compare(server, RecordedServer(told, [account("107")], [position(10, lots="2")]))
    assert set(found()) == {("deal_missing", 3), ("deal_extra", 2), ("deal_differs", 10), ("position_differs", 10)}
    differs = found()["deal_differs", 10]
    assert (differs.fields_differing, differs.ours["volume_lots"], differs.theirs["volume_lots"]) == (
        ["volume_lots"], "1.00", "2.00",
    )  # fmt: skip


def test_positions_on_one_side_only() -> None:
    server = booked(opening(10), opening(11))
    compare(
        server, RecordedServer([opening(10), opening(11)], [account("0")], [position(11, side=Side.SELL), position(12)])
    )
    assert set(found()) == {("position_extra", 10), ("position_differs", 11), ("position_missing", 12)}


def test_what_a_connector_does_not_tell_is_not_compared() -> None:
    server = booked(money(1, "100"), opening(10))
    gone = RecordedServer([money(1, "100"), opening(10)], [], abilities=frozenset({Ability.DEALS}))
    run = compare(server, gone)
    assert found() == {}
    assert run.figures["not_told"] == ["accounts", "positions"]


def test_an_account_in_motion_is_left_for_the_next_run() -> None:
    server = booked(money(1, "100"), money(2, "10", login="200"))
    late = money(9, "5", at=AT + timedelta(hours=1, minutes=50))
    gateway = RecordedServer(
        [money(1, "100"), money(2, "10", login="200"), late], [account("105"), account("11", login="200")]
    )
    run = compare(server, gateway)
    assert set(found()) == {("balance", 0)}
    assert found()["balance", 0].login == "200"
    assert run.figures["accounts_in_motion"] == 1


def test_a_failed_run_clears_nothing() -> None:
    server = booked(money(1, "100"))
    compare(server, RecordedServer([money(1, "100")], [account("90")]))
    run = compare(server, RecordedServer([], []))
    assert (run.state, "does not answer" in run.problem) == (ReconciliationRun.State.FAILED, True)
    assert set(found()) == {("balance", 0)}


def test_an_older_difference_is_looked_at_again() -> None:
    server = booked(money(1, "100", at=AT - timedelta(minutes=30)))
    compare(server, RecordedServer([], [account("0")]))
    assert set(found()) == {("deal_extra", 1)}
    with time_machine.travel(AT + timedelta(days=9), tick=False):
        later = reconcile_with(
            server=server,
            gateway=_as_gateway(RecordedServer([money(1, "100", at=AT - timedelta(minutes=30))], [account("100")])),
            actor=SYSTEM,
            from_time=AT + timedelta(days=8),
            to_time=AT + timedelta(days=9),
        )
    assert (later.breaks_resolved, found()) == (1, {})


def test_very_many_are_one_item() -> None:
    deals = [money(ticket, "1", login=str(ticket)) for ticket in range(1, 62)]
    server = booked(*deals)
    gateway = RecordedServer(deals, [account("2", login=str(ticket)) for ticket in range(1, 62)])
    compare(server, gateway)
    (item,) = WorkItem.objects.filter(kind="platform.reconciliation_break").exclude(state=WorkItem.State.CLOSED)
    assert item.title == "61 differences between alpha and the books"
    compare(server, RecordedServer(deals, [account("1", login=str(ticket)) for ticket in range(1, 62)]))
    assert (
        not WorkItem.objects.filter(kind="platform.reconciliation_break").exclude(state=WorkItem.State.CLOSED).exists()
    )


def test_accepting_needs_a_reason_a_right_and_holds_until_figures_change() -> None:
    server = booked(money(1, "100"))
    compare(server, RecordedServer([money(1, "100")], [account("90")]))
    one = found()["balance", 0]
    finance = replace(
        staff(Role.FINANCE, entities=[server.entity]), user_id=User.objects.create(email="finance@broker.example").pk
    )
    with pytest.raises(InvalidInput):
        accept_break(break_ids=[one.pk], reason="  ", actor=finance)
    with pytest.raises(Denied):
        accept_break(break_ids=[one.pk], reason="x", actor=staff(Role.SALES, entities=[server.entity]))
    with pytest.raises(NotFound):
        accept_break(break_ids=[one.pk], reason="x", actor=staff(Role.FINANCE, entities=[make_entity()]))
    assert found()["balance", 0].state == "open"

    explain_break(break_id=one.pk, explanation="Asked the server's owner.", actor=finance)
    accept_break(break_ids=[one.pk], reason="Known fee of the server.", actor=finance)
    compare(server, RecordedServer([money(1, "100")], [account("90")]))
    one.refresh_from_db()
    assert (one.state, one.times_seen, one.explanation) == ("accepted", 2, "Known fee of the server.")
    assert (
        not WorkItem.objects.exclude(state=WorkItem.State.CLOSED).filter(kind="platform.reconciliation_break").exists()
    )
    compare(server, RecordedServer([money(1, "100")], [account("80")]))
    one.refresh_from_db()
    assert (one.state, one.amount, one.accepted_by) == ("open", Decimal(-20), None)
    actions = AuditRecord.objects.filter(action__in=["platform.accept_break", "platform.explain_break"])
    assert actions.count() == 2


def test_an_acceptance_can_be_taken_back_once() -> None:
    server = booked(money(1, "100"))
    compare(server, RecordedServer([money(1, "100")], [account("90")]))
    one = found()["balance", 0]
    accept_break(break_ids=[one.pk], reason="Known.", actor=SYSTEM)
    reopen_break(break_id=one.pk, reason="Not known after all.", actor=SYSTEM)
    with pytest.raises(Conflict):
        reopen_break(break_id=one.pk, reason="Again.", actor=SYSTEM)
    opened = WorkItem.objects.filter(kind="platform.reconciliation_break").exclude(state=WorkItem.State.CLOSED)
    assert opened.count() == 1


def test_the_day_waits_for_its_comparison_and_for_open_differences() -> None:
    server = booked(money(1, "100"))
    day = BusinessDay.objects.create(server=server, entity=server.entity, day=MONDAY)
    assert prove_reconciled(day) == {}
    ServerConnection.objects.create(
        server=server, kind="mt5_web", host="x", port=1, is_enabled=True, started_at=AT - timedelta(days=3)
    )
    with pytest.raises(Conflict, match="alpha was not compared with the books for 20"):
        prove_reconciled(day)
    compare(server, RecordedServer([money(1, "100")], [account("90")]), business_day=MONDAY)
    with pytest.raises(Conflict, match="1 differences between alpha and the books are open: Balance differs: 100"):
        prove_reconciled(day)
    accept_break(break_ids=[found()["balance", 0].pk], reason="Known.", actor=SYSTEM)
    assert prove_reconciled(day)["accepted_breaks"] == 1


def test_only_one_run_at_a_time_and_an_abandoned_one_is_given_up() -> None:
    server = booked(money(1, "100"))
    now = AT + timedelta(hours=2)
    running = ReconciliationRun.objects.create(
        server=server, window_from=AT, window_to=now, started_at=now - timedelta(minutes=5)
    )
    gateway = RecordedServer([money(1, "100")], [account("100")])
    with pytest.raises(Conflict, match="alpha is being compared already"):
        compare(server, gateway)
    running.started_at = now - timedelta(hours=3)
    running.save()
    assert compare(server, gateway).state == ReconciliationRun.State.DONE
    running.refresh_from_db()
    assert running.problem == "It was never finished."


def test_every_ended_day_of_a_followed_server_is_queued_once() -> None:
    server = booked(money(1, "100"))
    connection = ServerConnection.objects.create(
        server=server, kind="mt5_web", host="x", port=1, is_enabled=True, started_at=AT - timedelta(days=30)
    )
    with time_machine.travel(day_bounds(MONDAY)[1] + timedelta(minutes=11), tick=False):
        assert reconcile_due_servers() == 3
        reconcile_due_servers()
        assert Job.objects.filter(kind="platform.reconcile").count() == 3
        compare_done = ReconciliationRun.objects.create(
            server=server, business_day=MONDAY, window_from=AT, window_to=AT + timedelta(hours=1), state="done",
            finished_at=AT,
        )  # fmt: skip
        assert compare_done.pk
        assert reconcile_due_servers() == 2
        connection.is_enabled = False
        connection.save()
        assert reconcile_due_servers() == 0


def test_a_deal_touched_by_staff_is_shown_with_who_can_do_that() -> None:
    server = booked(money(1, "100"))
    compare(server, RecordedServer([replace(money(1, "100"), modify_flags=3)], [account("100")]))
    one = found()["deal_touched", 1]
    assert one.theirs["modify_flags"] == "administrator, manager (3)"
