"""A price complaint from the trade to the letter, with its money, its commission and its books."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from backoffice.core.models import AuditRecord, Message, StoredFile, WorkItem
from backoffice.core.services import changes
from backoffice.core.services.files import read_file
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Conflict, Denied, IllegalTransition, InvalidInput, NotFound
from funding.models import TradingResultLine
from funding.services.trading_results import post_trading_results
from ib.models import CommissionLine
from platform_ops.account_checks import cancellations_are_whole
from platform_ops.models import BalanceOperation, PriceComplaint, ServerOperation, Trade, TradeCancellation
from platform_ops.selectors.complaints import complaints_by_cause
from platform_ops.services.account_operations import carry_out_due
from platform_ops.services.complaints import (
    collect_evidence,
    finish_complaints,
    open_complaint,
    propose_decision,
    send_money_again,
)
from platform_ops.services.connections import ConnectionTerms, save_connection
from platform_ops.services.ingest import IngestRecord, ingest_records
from platform_ops.services.prices import IncomingTick, accept_ticks
from platform_ops.services.rebuilding import rebuild_projections
from platform_ops.types import DealKind
from tests.api.world import caller_for, make_service
from tests.factories.ib import booked
from tests.factories.platform import MONDAY, SYSTEM, make_spec, staff
from tests.faults.harness import work_until_idle
from tests.faults.world import AS_OF, FaultWorld, assert_books_hold
from tests.logins import make_user
from tests.platform_ops.prices.world import make_source
from tests.trading_server import HEDGING_LOGIN, RunningServer, running_server

pytestmark = pytest.mark.django_db

OPENED = datetime.combine(MONDAY, time(9), tzinfo=UTC)
CLOSED = OPENED + timedelta(hours=1)
TICKET = 500


@pytest.fixture(scope="module")
def live() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@dataclass
class Case:
    """A partner's client with one lost trade on a live server."""

    world: FaultWorld
    live: RunningServer
    trade: Trade

    def person(self, role: Role, name: str) -> Actor:
        entity = self.world.broker.entity
        user = make_user(f"{name}@broker.example", role.value, entities=(entity,))
        return staff(role, entities=[entity], user_id=user.pk)

    def feed(self, *, loss: str = "-480", opening_commission: str = "-3.50") -> None:
        opening, closing = self.world.round_trip(ticket=TICKET, at=OPENED, account=self.world.accounts[0], profit=loss)
        ingest_records(
            server_id=self.world.broker.server.pk, source="sync", as_of=AS_OF,
            records=[_with(opening, commission=Decimal(opening_commission)), _with(closing, price=Decimal("1.0952"), swap=Decimal("-1.20"))],
        )  # fmt: skip

    def sync(self) -> None:
        """The corrections of the account come in from the server."""
        ours = set(ServerOperation.objects.values_list("reference", flat=True))
        deals = [deal for deal in self.live.deals(HEDGING_LOGIN) if deal.comment.partition(" ")[0] in ours]
        account = self.world.accounts[0]
        ingest_records(
            server_id=self.world.broker.server.pk, source="sync", as_of=AS_OF + timedelta(days=900),
            records=[
                IngestRecord(ticket=deal.ticket, kind=int(deal.action), at=CLOSED + timedelta(days=1), login=account.login,
                             currency="USD", profit=deal.money, comment=deal.comment)
                for deal in deals
            ],
        )  # fmt: skip


def _with(record: IngestRecord, **fields: Any) -> IngestRecord:
    return replace(record, **fields)


@pytest.fixture
def case(live: RunningServer) -> Iterator[Case]:
    yield make_case(live)
    live.lift()


def make_case(live: RunningServer) -> Case:
    world = FaultWorld()
    account = world.accounts[0]
    account.login = str(HEDGING_LOGIN)
    account.client.user = make_user("trader@client.example", Role.TRADER.value)
    account.client.save()
    account.save()
    save_connection(
        server_id=world.broker.server.pk,
        terms=ConnectionTerms(
            kind="mt5_web", host=live.host, port=live.port, login=str(live.login), password=live.password
        ),
        actor=SYSTEM,
    )
    case = Case(world, live, trade=None)  # type: ignore[arg-type]
    case.feed()
    case.trade = Trade.objects.get(ticket=TICKET + 1)
    symbol = world.broker.eurusd.symbol
    symbol.base_asset, symbol.profit_currency = "EUR", "USD"
    symbol.save()
    make_spec(symbol)
    work_until_idle()
    return case


def investigated(case: Case, *, with_ticks: bool = True) -> PriceComplaint:
    if with_ticks:
        make_source("alpha")
        symbol = case.world.broker.eurusd.symbol
        ticks = [
            IncomingTick(symbol_id=symbol.pk, at=CLOSED + timedelta(seconds=seconds), bid=bid, ask=ask)
            for seconds, bid, ask in (
                (-4, "1.09990", "1.10000"), (-3, "1.09991", "1.10001"), (-2, "1.09992", "1.10002"), (2, "1.09993", "1.10003"),
            )
        ]  # fmt: skip
        accept_ticks(source="alpha", ticks=ticks, received_at=ticks[-1].at)
    complaint = open_complaint(
        trade_id=case.trade.pk,
        disputed="closing",
        claim="This price was never there",
        actor=case.person(Role.DEALING, "one"),
    )
    return collect_evidence(complaint_id=complaint.pk, actor=case.person(Role.DEALING, "two"))


def decide(case: Case, complaint: PriceComplaint, **more: Any) -> PriceComplaint:
    values = {"decision": "compensate", "cause": "bad_tick", "reasoning": "Our quote was off by 47 points."} | more
    change = propose_decision(complaint_id=complaint.pk, actor=case.person(Role.DEALING, "maker"), **values)
    changes.approve_change(change_id=change.pk, actor=case.person(Role.COMPLIANCE, "checker"), reason="Seen")
    changes.apply_change(change_id=change.pk, actor=SYSTEM)
    complaint.refresh_from_db()
    return complaint


def test_a_compensation_is_by_the_rule_booked_on_the_server_and_told_by_letter(case: Case) -> None:
    complaint = investigated(case)
    evidence = complaint.evidence
    assert [tick["verdict"] for tick in evidence["ticks"]].count("accepted") >= 3
    # The client sold at 1.0952; the bid in force was 1.09992: 472 points on one lot
    assert (evidence["price_in_force"], evidence["executed_price"]) == ("1.09992", "1.0952")
    assert evidence["problems"] == ["The server does not show the deal any more."]
    assert evidence["proposal"] == {"price": "1.09992", "amount": "472", "currency": "USD"}
    assert evidence["provider"] == {} and "does not show the deal" in evidence["problems"][-1]
    assert WorkItem.objects.filter(kind="platform.price_complaint", state="open").exists()

    complaint = decide(case, complaint)
    assert (complaint.state, complaint.amount) == ("approved", Decimal(472))
    assert not Message.objects.filter(template="platform.complaint_answered").exists()
    assert finish_complaints() == 0
    carry_out_due()
    assert finish_complaints() == 1
    complaint.refresh_from_db()
    assert complaint.state == "closed"
    operation = complaint.operation
    (deal,) = [deal for deal in case.live.deals(HEDGING_LOGIN) if operation.reference in deal.comment]
    assert (deal.money, int(deal.action)) == (Decimal(472), int(DealKind.CORRECTION))
    stored, letter = read_file(file_id=complaint.letter_id, actor=case.person(Role.AUDITOR, "auditor"))
    assert (letter[:5], stored.state) == (b"%PDF-", StoredFile.State.CLEAN)
    assert Message.objects.filter(template="platform.complaint_answered").count() == 1
    assert complaint.change_request.state == "verified"
    assert not WorkItem.objects.filter(kind="platform.price_complaint", state="open").exists()
    # The trade stands, and so does its commission
    case.sync()
    work_until_idle()
    assert booked(case.world.direct) == 7
    (row,) = complaints_by_cause(actor=case.person(Role.AUDITOR, "second"))
    assert (row.cause, row.compensated, row.paid) == ("Bad tick", 1, Decimal(472))
    assert_books_hold()
    assert AuditRecord.objects.filter(action="platform.decide_complaint").count() == 1


def test_a_cancelled_trade_counts_as_nothing_and_its_commission_is_taken_back(case: Case) -> None:
    account = case.world.accounts[0]
    before = Decimal(str(case.live.standing(HEDGING_LOGIN).balance))
    post_trading_results(business_day=MONDAY, server_id=case.world.broker.server.pk, actor=SYSTEM)
    assert booked(case.world.direct) == 7
    complaint = decide(case, investigated(case, with_ticks=False), decision="cancel", cause="stale_price")
    assert complaint.amount == Decimal("481.20")
    carry_out_due()
    assert finish_complaints() == 1

    case.trade.refresh_from_db()
    assert case.trade.is_cancelled
    # All that the trade moved is undone on the server: its result and its share of the opening's commission
    assert Decimal(str(case.live.standing(HEDGING_LOGIN).balance)) == before + Decimal("481.20") + Decimal("3.50")
    work_until_idle()
    assert (booked(case.world.direct), booked(case.world.top)) == (0, 0)
    assert CommissionLine.objects.filter(amount__lt=0).count() == 2
    # Its correction comes in and counts as nothing beside it; the refund of the commission counts
    case.sync()
    work_until_idle()
    told = dict(BalanceOperation.objects.filter(account=account).values_list("amount", "is_cancelled"))
    assert told == {Decimal("481.20"): True, Decimal("3.50"): False}
    post_trading_results(business_day=MONDAY + timedelta(days=3), server_id=case.world.broker.server.pk, actor=SYSTEM)
    booked_money = sum(TradingResultLine.objects.filter(account=account).values_list("amount", flat=True), Decimal(0))
    assert booked_money == 0
    assert_books_hold()
    # The server goes on telling of the trade as it was, and a rebuild reads everything anew: it stays cancelled
    case.feed()
    rebuild_projections(server_id=case.world.broker.server.pk, actor=SYSTEM)
    case.trade.refresh_from_db()
    assert case.trade.is_cancelled and TradeCancellation.objects.count() == 1
    work_until_idle()
    assert booked(case.world.direct) == 0
    assert_books_hold()
    # Corrected on the server afterwards, it stays cancelled; that the correction no longer undoes it is told by the books
    case.feed(loss="-481")
    case.trade.refresh_from_db()
    assert case.trade.is_cancelled
    work_until_idle()
    assert booked(case.world.direct) == 0
    (row,) = cancellations_are_whole().rows
    assert row["problem"] == "the correction is not what the trade moved"


def test_a_rejection_moves_nothing_and_is_told(case: Case) -> None:
    complaint = decide(case, investigated(case), decision="reject", cause="market_gap", reasoning="The market gapped.")
    assert finish_complaints() == 1
    complaint.refresh_from_db()
    assert (complaint.state, complaint.amount, complaint.operation) == ("closed", None, None)
    assert not ServerOperation.objects.exists()
    assert complaint.letter is not None and complaint.message is not None
    assert finish_complaints() == 0


def test_two_people_decide_and_nothing_is_decided_without_evidence(case: Case) -> None:
    one = case.person(Role.DEALING, "alone")
    complaint = open_complaint(trade_id=case.trade.pk, disputed="closing", claim="Wrong", actor=one)
    with pytest.raises(IllegalTransition):
        propose_decision(complaint_id=complaint.pk, decision="reject", cause="other", reasoning="x", actor=one)
    collect_evidence(complaint_id=complaint.pk, actor=one)
    with pytest.raises(InvalidInput):  # no tick is kept, so no price to compensate by
        propose_decision(complaint_id=complaint.pk, decision="compensate", cause="other", reasoning="x", actor=one)
    change = propose_decision(complaint_id=complaint.pk, decision="reject", cause="other", reasoning="x", actor=one)
    with pytest.raises(Denied):
        changes.approve_change(change_id=change.pk, actor=one, reason="Mine")
    with pytest.raises(IllegalTransition):
        collect_evidence(complaint_id=complaint.pk, actor=one)
    changes.reject_change(change_id=change.pk, actor=case.person(Role.COMPLIANCE, "checker"), reason="Look again")
    finish_complaints()
    complaint.refresh_from_db()
    assert complaint.state == "investigated"
    again = propose_decision(
        complaint_id=complaint.pk,
        decision="compensate",
        cause="other",
        reasoning="Goodwill",
        amount=Decimal("5.00"),
        actor=one,
    )
    assert again.pk != change.pk


def test_clients_complain_about_their_own_trades_once(case: Case) -> None:
    client = case.world.accounts[0].client
    trader = Actor(label="trader", user_id=client.user_id, roles=frozenset({Role.TRADER.value}))
    complaint = open_complaint(trade_id=case.trade.pk, disputed="closing", claim="Wrong price", actor=trader)
    assert complaint.client_id == client.pk
    with pytest.raises(Conflict):
        open_complaint(trade_id=case.trade.pk, disputed="closing", claim="Again", actor=trader)
    with pytest.raises(InvalidInput):
        open_complaint(trade_id=case.trade.pk, disputed="opening", claim="  ", actor=trader)
    with pytest.raises(Denied):
        collect_evidence(complaint_id=complaint.pk, actor=trader)
    other = Actor(label="other", user_id=10**6, roles=frozenset({Role.TRADER.value}))
    with pytest.raises(NotFound):
        open_complaint(trade_id=case.trade.pk, disputed="opening", claim="Not mine", actor=other)


def test_money_that_the_server_refuses_is_sent_again_under_a_new_reference(case: Case) -> None:
    complaint = decide(case, investigated(case))
    ServerOperation.objects.filter(pk=complaint.operation_id).update(
        state="refused", attempts=1, sent_at=CLOSED, first_sent_at=CLOSED, finished_at=CLOSED
    )
    assert finish_complaints() == 0
    system = caller_for(make_service(Role.DEALING, entities=(case.world.broker.entity,)))
    again = f"price-complaints/{complaint.public_id}/send-money-again/"
    keyless = system.post(again, {"reason": "The server was full"})
    assert (keyless.status_code, keyless.json()["code"]) == (400, "idempotency_key_missing")
    sent, repeated = (system.post(again, {"reason": "The server was full"}, key="again") for _ in range(2))
    assert (sent.status_code, sent.content) == (200, repeated.content), sent.content
    with pytest.raises(Conflict):
        send_money_again(complaint_id=complaint.pk, actor=case.person(Role.DEALING, "four"), reason="Twice")
    carry_out_due()
    assert finish_complaints() == 1
    assert ServerOperation.objects.filter(state="done").count() == 1


def cancelled_case(live: RunningServer) -> tuple[Case, PriceComplaint]:
    """A complaint whose trade is to be cancelled, approved; its money has not moved yet."""
    case = make_case(live)
    return case, decide(case, investigated(case, with_ticks=False), decision="cancel", cause="stale_price")
