"""Disputes about commission: what is frozen, what is kept, who decides, and that the money follows."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client as Browser
from django.urls import reverse
from PIL import Image
from rest_framework.test import APIClient

from backoffice.core.books import verify_books
from backoffice.core.models import AuditRecord, ChangeRequest, Job, Message, StoredFile, WorkItem
from backoffice.core.services import changes, jobs
from backoffice.core.services.files import read_file
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Conflict, Denied, IllegalTransition, InvalidInput, NotFound
from funding.ledger.models import JournalEntry, LedgerAccount
from funding.ledger.services.periods import close_day
from ib.dispute_rules import DisputeCause, due_after_pause, due_of
from ib.models import (
    CommissionAdjustment,
    CommissionLine,
    CommissionStatement,
    Dispute,
    DisputeEvent,
    DisputeEvidence,
    PeriodLine,
    StatementHold,
)
from ib.selectors import disputed
from ib.selectors import disputes as dispute_selectors
from ib.services import disputes
from ib.services.disputes.goodwill import put_goodwill_limit
from ib.services.partners import link_partner_login
from ib.services.payout_terms import put_payout_terms
from ib.services.settlement import settle_range
from ib.services.shards import RESETTLE_DAY
from ib.services.statements import approve_due_statements, close_statements
from tests.factories import periods
from tests.factories.ib import Broker, after
from tests.factories.platform import MONDAY, SYSTEM, correct_trade, make_trade, staff
from tests.logins import log_in, make_actor, make_user
from tests.told import told

pytestmark = pytest.mark.django_db

CHECKS = [
    "ib.disputes_frozen",
    "ib.disputes_decided",
    "ib.adjustments_booked",
    "ib.dispute_evidence_intact",
    "ib.statements_equal_ledger",
    "ib.statements_count_once",
    "ib.lines_equal_accruals",
    "ledger.entries_balance",
]
PNG_FILE = io.BytesIO()
Image.new("RGB", (4, 4), "white").save(PNG_FILE, "PNG")
PNG = PNG_FILE.getvalue()
LAST_OF_MARCH = date(2026, 3, 31)


class World:
    """A broker, a partner with a login above another one with a client, a trade that paid both, and monthly statements."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.above = self.broker.partner()
        self.partner = self.broker.partner(parent=self.above)
        self.account = self.broker.client_of(self.partner)
        self.users = {}
        self.actors: dict[str, Actor] = {}
        for name, partner in (("own", self.partner), ("above", self.above), ("other", self.broker.partner())):
            self.users[name] = make_user(f"{name}@partners.test", Role.IB)
            link_partner_login(partner_id=partner.pk, user_id=self.users[name].pk, actor=SYSTEM)
            self.actors[name] = make_actor(self.users[name])
        self.partner.refresh_from_db()
        self.above.refresh_from_db()
        self.partner.email = "own@partners.test"
        self.partner.save()
        entities = [self.broker.entity]
        for name, role in (("manager", Role.PARTNER_MANAGER), ("finance", Role.FINANCE), ("auditor", Role.AUDITOR)):
            self.users[name] = make_user(f"{name}@desk.test", role, entities=entities)
            self.actors[name] = make_actor(self.users[name])
        put_payout_terms(
            payload={
                "entity_id": self.broker.entity.pk, "partner_id": None, "valid_from": "2020-01-01", "period": "monthly",
                "review_days": 0, "hold_days": 3, "minimum_payout": "1", "automatic_up_to": "1000",
            },
            actor=SYSTEM, approval="test terms",
        )  # fmt: skip
        self.trade = make_trade(self.account, lots="2", server_symbol=self.broker.eurusd, day=MONDAY)
        make_trade(self.account, lots="1", server_symbol=self.broker.gold, day=MONDAY)
        self.settle()

    def settle(self, day: date = MONDAY) -> None:
        settle_range(from_day=day, to_day=day, actor=SYSTEM)

    def correct_to(self, lots: str) -> None:
        """The server restates the trade's volume."""
        self.trade.volume_lots = Decimal(lots)
        correct_trade(self.trade)

    def line(self, *, partner: Any = None, seq: int = 0) -> CommissionLine:
        return CommissionLine.objects.get(partner_id=(partner or self.partner).pk, trade_id=self.trade.pk, seq=seq)

    def open(self, **given: Any) -> Dispute:
        wanted = {
            "subject": self.line().reference, "cause": "rate", "claim": "It should be 8 per lot.",
            "actor": self.actors["own"], **given,
        }  # fmt: skip
        return disputes.open_dispute(**wanted)

    def limit(self, per_case: str = "50", per_month: str = "100") -> None:
        put_goodwill_limit(
            payload={
                "entity_id": self.broker.entity.pk, "currency": "USD", "valid_from": "2020-01-01",
                "per_case": per_case, "per_month": per_month,
            },
            actor=SYSTEM, approval="test limit",
        )  # fmt: skip

    def statement(self) -> CommissionStatement:
        close_day(entity_id=self.broker.entity.pk, business_day=LAST_OF_MARCH, actor=SYSTEM)
        close_statements(actor=SYSTEM)
        return CommissionStatement.objects.get(partner=self.partner)


@pytest.fixture
def world() -> World:
    return World()


def assert_books_are_right() -> None:
    found = verify_books(CHECKS)
    assert [check for check in found["checks"] if not check["ok"]] == []


def accrued(partner: Any) -> Decimal:
    return LedgerAccount.objects.get(kind="partner_accrued", owner_type="partner", owner_id=partner.pk).balance.balance


def test_an_open_dispute_keeps_its_amount_out_of_the_statement_and_a_rejection_gives_it_back(
    world: World, client: Browser
) -> None:
    # given 14 + 10 earned in March and a dispute about the 14
    dispute = world.open()
    assert (dispute.amount, dispute.state, dispute.hold.amount) == (Decimal(14), "received", Decimal(14))
    # when the month is closed, then only 10 is approved and paid
    statement = world.statement()
    assert (statement.earned, statement.held, statement.total) == (Decimal(24), Decimal(14), Decimal(10))
    approve_due_statements(actor=SYSTEM)
    assert_books_are_right()
    # and both sides read which line is held, and why
    log_in(client, world.users["own"], second_factor=False)
    assert dispute.reference in client.get(reverse("portal:ib_statement", args=[1])).content.decode()
    log_in(client, world.users["manager"])
    page = client.get(reverse("admin:ib_commissionstatement_change", args=[statement.pk])).content.decode()
    assert f"Dispute {dispute.reference}" in page
    # when it is rejected, then the next statement takes the 14 up
    disputes.take_dispute(dispute_id=dispute.pk, actor=world.actors["manager"])
    with pytest.raises(InvalidInput):
        disputes.reject_dispute(dispute_id=dispute.pk, reason="  ", actor=world.actors["manager"])
    rejected = disputes.reject_dispute(dispute_id=dispute.pk, reason="7 is agreed.", actor=world.actors["manager"])
    assert (rejected.state, rejected.decision, rejected.delta) == ("closed", "reject", None)
    make_trade(world.account, lots="1", server_symbol=world.broker.eurusd, day=date(2026, 4, 1))
    world.settle(date(2026, 4, 1))
    close_day(entity_id=world.broker.entity.pk, business_day=date(2026, 4, 30), actor=SYSTEM)
    close_statements(actor=SYSTEM)
    april = CommissionStatement.objects.get(partner=world.partner, number=2)
    assert (april.earned, april.released, april.total) == (Decimal(7), Decimal(14), Decimal(21))
    approve_due_statements(actor=SYSTEM)
    assert accrued(world.partner) == 0
    assert_books_are_right()
    # and every step is in the audit, on the timeline and in a message
    assert list(dispute.events.values_list("step", flat=True)) == ["opened", "taken", "decided"]
    assert AuditRecord.objects.filter(action__startswith="ib.dispute_").count() == 3
    assert (
        Message.objects.filter(
            template="ib.dispute_step", recipient_type="ib.partner", recipient_id=world.partner.pk
        ).count()
        == 3
    )


def test_a_correction_is_followed_until_its_difference_is_posted(world: World) -> None:
    # given a dispute about the volume, whose line is explained and kept
    dispute = world.open(cause="trade", claim="It was 3 lots.", claimed_amount=Decimal(21))
    # when the desk decides to correct the trade, nothing is closed until the difference is there
    disputes.correct_dispute(
        dispute_id=dispute.pk, correction="trade", reason="The server restated the deal.", actor=world.actors["finance"]
    )
    assert disputes.follow_disputes() == 0
    assert StatementHold.objects.filter(released_at__isnull=True).count() == 1
    world.correct_to("3")
    world.settle()
    assert disputes.follow_disputes() == 1
    dispute.refresh_from_db()
    new = world.line(seq=1)
    assert (dispute.state, dispute.delta, dispute.delta_lines) == ("closed", Decimal(7), [new.reference])
    assert not StatementHold.objects.filter(released_at__isnull=True).exists()
    # and both are seen: what was kept then, what is booked now
    (later,) = dispute_selectors.later_lines(actor=world.actors["own"], dispute=dispute)
    assert (later.reference, later.target, later.amount) == (new.reference, Decimal(21), Decimal(7))
    kept = json.loads(DisputeEvidence.objects.get(dispute=dispute, audience="partner").body)
    assert (kept["engine_target"], kept["equal_to_the_stored_cent"]) == ("14", True)
    assert accrued(world.partner) == dispute_selectors.booked_now(actor=SYSTEM, dispute=dispute) + 10
    # and other systems heard of it, without what was written
    heard = told("ib.dispute_changed")
    assert [event["step"] for event in heard] == ["opened", "decided", "closed"]
    assert (heard[-1]["dispute"], heard[-1]["delta"], heard[-1]["currency"]) == (dispute.reference, "7.00000000", "USD")
    # and the new line is one that can be disputed itself
    assert world.open(subject=new.reference).amount == Decimal(7)
    assert_books_are_right()


def test_a_correction_of_the_plan_names_its_change_request_and_comes_back_when_that_is_rejected(world: World) -> None:
    from ib.services.requests import request_move

    dispute = world.open(cause="tree")
    manager, finance = world.actors["manager"], world.actors["finance"]
    wanted = {"dispute_id": dispute.pk, "correction": "tree", "reason": "Wrong parent.", "actor": manager}
    with pytest.raises(InvalidInput, match="Name the change request"):
        disputes.correct_dispute(**wanted)
    with pytest.raises(InvalidInput, match="no such change request"):
        disputes.correct_dispute(**wanted, change_reference="CR-999999")
    change = request_move(
        partner_id=world.partner.pk, parent_id=None, valid_from=after(MONDAY), actor=manager, reason="Stands alone."
    )
    disputes.correct_dispute(**wanted, change_reference=change.reference)
    changes.reject_change(change_id=change.pk, actor=finance, reason="No.")
    assert disputes.follow_disputes() == 1
    dispute.refresh_from_db()
    assert (dispute.state, dispute.decision, dispute.change_request) == ("in_work", "", None)
    assert dispute.hold.released_at is None
    assert_books_are_right()


def test_a_correction_that_changes_nothing_comes_back_after_a_day(world: World) -> None:
    with time_machine.travel(datetime(2026, 3, 10, 9, tzinfo=UTC), tick=False) as traveller:
        dispute = world.open()
        disputes.correct_dispute(
            dispute_id=dispute.pk, correction="market", reason="Rates.", actor=world.actors["manager"]
        )
        traveller.shift(timedelta(hours=23))
        assert disputes.follow_disputes() == 0
        traveller.shift(timedelta(hours=2))
        # while a day still waits for its settlement, nothing is known
        Job.objects.update(state="done")
        jobs.enqueue(kind=RESETTLE_DAY, key="one", payload={})
        assert disputes.follow_disputes() == 0
        Job.objects.update(state="done")
        assert disputes.follow_disputes() == 1
    dispute.refresh_from_db()
    assert (dispute.state, dispute.decision) == ("in_work", "")


def test_goodwill_needs_two_people_and_stays_within_the_limit_of_the_entity(world: World) -> None:
    dispute = world.open()
    manager, finance = world.actors["manager"], world.actors["finance"]
    wanted = {"dispute_id": dispute.pk, "reason": "A mistake of ours.", "actor": manager}
    with pytest.raises(InvalidInput, match="no limit"):
        disputes.propose_goodwill(**wanted, amount=Decimal(5))
    world.limit("50", "60")
    for amount, why in (("50.01", "for one case"), ("-1", "above zero"), ("0", "above zero"), ("1.001", "digits")):
        with pytest.raises(InvalidInput, match=why):
            disputes.propose_goodwill(**wanted, amount=Decimal(amount))
    assert Dispute.objects.get(pk=dispute.pk).state == "received"
    assert not ChangeRequest.objects.exists()
    disputes.propose_goodwill(**wanted, amount=Decimal("12.50"))
    change = ChangeRequest.objects.get()
    before = JournalEntry.objects.count()
    # the partner reads that it is proposed, neither why nor how much
    told = dispute_selectors.timeline(actor=world.actors["own"], dispute=dispute)
    assert not any("mistake" in event.text or "12.5" in event.text for event in told)
    with pytest.raises(Denied):
        changes.approve_change(change_id=change.pk, actor=manager, reason="Mine.")
    assert JournalEntry.objects.count() == before
    changes.approve_change(change_id=change.pk, actor=finance, reason="Fair.")
    changes.apply_change(change_id=change.pk, actor=finance)
    changes.apply_change(change_id=change.pk, actor=finance)
    dispute.refresh_from_db()
    (made,) = CommissionAdjustment.objects.all()
    assert (dispute.state, dispute.delta, dispute.delta_lines) == ("closed", Decimal("12.5"), [made.reference])
    assert JournalEntry.objects.filter(source_type="ib.adjustment").count() == 1
    assert accrued(world.partner) == Decimal("36.50")
    # and the second one of the month goes only as far as the month's limit
    other = world.open(subject=CommissionLine.objects.get(partner_id=world.partner.pk, amount=10).reference)
    with pytest.raises(InvalidInput, match=r"47\.50 USD is left"):
        disputes.propose_goodwill(**{**wanted, "dispute_id": other.pk}, amount=Decimal(48))
    assert_books_are_right()
    # and it can be taken back, by the change request that gave it
    changes.revert_change(change_id=change.pk, actor=finance, reason="Given twice.")
    assert accrued(world.partner) == Decimal(24)
    assert_books_are_right()


def test_the_statement_shows_goodwill_as_a_part_of_its_own(world: World) -> None:
    world.limit()
    dispute = world.open()
    disputes.propose_goodwill(dispute_id=dispute.pk, amount=Decimal(5), reason="Sorry.", actor=world.actors["manager"])
    change = ChangeRequest.objects.get()
    with time_machine.travel(datetime(2026, 3, 20, 9, tzinfo=UTC)):
        changes.approve_change(change_id=change.pk, actor=world.actors["finance"], reason="Yes.")
        changes.apply_change(change_id=change.pk, actor=world.actors["finance"])
    statement = world.statement()
    assert ["ib.adjustment", "5.00000000"] in statement.parts
    assert (statement.total, statement.held) == (Decimal(29), Decimal(0))


def test_rejected_goodwill_leaves_the_dispute_to_be_decided_anew(world: World) -> None:
    world.limit()
    dispute = world.open()
    disputes.propose_goodwill(dispute_id=dispute.pk, amount=Decimal(5), reason="x", actor=world.actors["manager"])
    change = ChangeRequest.objects.get()
    changes.reject_change(change_id=change.pk, actor=world.actors["finance"], reason="No.")
    assert disputes.follow_disputes() == 1
    dispute.refresh_from_db()
    assert (dispute.state, dispute.decision) == ("in_work", "")
    assert not CommissionAdjustment.objects.exists()
    assert_books_are_right()


def test_the_clock_stands_still_while_the_partner_is_asked(world: World) -> None:
    manager, own = world.actors["manager"], world.actors["own"]
    with time_machine.travel(datetime(2026, 3, 10, 9, tzinfo=UTC), tick=False) as traveller:
        dispute = world.open()
        assert dispute.due_at == datetime(2026, 3, 12, 9, tzinfo=UTC)
        item = WorkItem.objects.get(kind="ib.dispute_waits")
        assert item.due_at == dispute.due_at
        # when the desk asks, nobody at the desk has anything to do
        disputes.ask_partner(dispute_id=dispute.pk, question="Which rate?", actor=manager)
        assert not WorkItem.objects.filter(kind="ib.dispute_waits").exclude(state="closed").exists()
        with pytest.raises(IllegalTransition):
            disputes.ask_partner(dispute_id=dispute.pk, question="And?", actor=manager)
        # when nothing comes for three days, there is one reminder
        traveller.shift(timedelta(days=3, hours=1))
        assert disputes.chase_disputes() == {"resumed": 0, "reminded": 1}
        assert disputes.chase_disputes() == {"resumed": 0, "reminded": 0}
        traveller.shift(timedelta(hours=23))
        answered = disputes.answer_question(dispute_id=dispute.pk, answer="Eight.", actor=own)
        # then the time that was left begins again, and not in a weekend
        assert answered.due_at == datetime(2026, 3, 16, 9, tzinfo=UTC)
        item = WorkItem.objects.exclude(state="closed").get(kind="ib.dispute_waits")
        assert item.due_at == answered.due_at
        # and a partner who never answers does not hold it up for ever
        disputes.ask_partner(dispute_id=dispute.pk, question="Sure?", actor=manager)
        traveller.shift(timedelta(days=15))
        assert disputes.chase_disputes()["resumed"] == 1
    dispute.refresh_from_db()
    assert (dispute.state, dispute.asked_at) == ("in_work", None)


def test_a_partner_withdraws_or_appeals_once_and_somebody_else_decides(world: World) -> None:
    manager, finance, own = world.actors["manager"], world.actors["finance"], world.actors["own"]
    dispute = world.open()
    with pytest.raises(Conflict, match="looked into already"):
        world.open()
    disputes.withdraw_dispute(dispute_id=dispute.pk, actor=own)
    disputes.withdraw_dispute(dispute_id=dispute.pk, actor=own)
    assert not StatementHold.objects.filter(released_at__isnull=True).exists()
    with pytest.raises(Conflict, match="was not decided"):
        disputes.appeal_dispute(dispute_id=dispute.pk, text="No.", actor=own)
    # given a second one, rejected
    second = world.open()
    disputes.reject_dispute(dispute_id=second.pk, reason="As agreed.", actor=manager)
    with pytest.raises(Conflict, match="appeal"):
        world.open()
    # when the partner appeals, then the amount is frozen again and the same person cannot decide
    disputes.appeal_dispute(dispute_id=second.pk, text="It was agreed by mail.", actor=own)
    second.refresh_from_db()
    assert (second.state, second.first_decision, second.decision) == ("received", "reject", "")
    assert StatementHold.objects.filter(released_at__isnull=True).count() == 1
    for act in (
        lambda: disputes.take_dispute(dispute_id=second.pk, actor=manager),
        lambda: disputes.reject_dispute(dispute_id=second.pk, reason="Again.", actor=manager),
    ):
        with pytest.raises(Denied):
            act()
    disputes.reject_dispute(dispute_id=second.pk, reason="No such mail.", actor=finance)
    with pytest.raises(Conflict, match="one appeal"):
        disputes.appeal_dispute(dispute_id=second.pk, text="Again.", actor=own)
    assert second.evidence.count() == 4
    assert_books_are_right()


def test_an_appeal_takes_an_amount_that_was_released_but_not_paid_back_under_its_hold(world: World) -> None:
    # given a line that the open statement of March leaves out, released by a rejection
    dispute = world.open()
    statement = world.statement()
    disputes.reject_dispute(dispute_id=dispute.pk, reason="No.", actor=world.actors["manager"])
    statement.refresh_from_db()
    assert (statement.held, statement.total) == (Decimal(0), Decimal(24))
    # when the partner appeals before it is approved, it is held again
    disputes.appeal_dispute(dispute_id=dispute.pk, text="Look again.", actor=world.actors["own"])
    statement.refresh_from_db()
    assert (statement.held, statement.total) == (Decimal(14), Decimal(10))
    assert_books_are_right()


def test_evidence_is_kept_as_issued_for_each_side(world: World) -> None:
    dispute = world.open()
    assert disputes.issue_documents() == 2
    mine = dispute_selectors.evidence_of(actor=world.actors["own"], dispute=dispute)
    desk = dispute_selectors.evidence_of(actor=world.actors["manager"], dispute=dispute)
    assert [item.audience for item in mine] == ["partner"]
    assert [item.audience for item in desk] == ["desk", "partner"]
    packs = {item.audience: json.loads(item.body) for item in desk}
    # then the engine's own facts and steps are in it, with deals as far as the right goes
    assert packs["partner"]["facts"]["plan_version"] == 1
    assert any(title == "The trade" for title, _, _ in packs["partner"]["steps"])
    assert packs["partner"]["lines"] == [
        {"line": world.line().reference, "worth": "14.00", "booked": "14.00", "in_the_books_of": MONDAY.isoformat()}
    ]
    assert all("profit" not in deal for deal in packs["partner"]["deals"])
    # and the PDFs are there, each for its own side
    assert StoredFile.objects.filter(purpose="ib.dispute_evidence", state="clean").count() == 2
    for item in desk:
        _, data = read_file(file_id=item.document.file_id, actor=world.actors["auditor"])
        assert data.startswith(b"%PDF")
        assert hashlib.sha256(data).hexdigest() == item.document.digest
    read_file(file_id=mine[0].document.file_id, actor=world.actors["own"])
    with pytest.raises(NotFound):
        read_file(file_id=desk[0].document.file_id, actor=world.actors["own"])
    with pytest.raises(NotFound):
        read_file(file_id=mine[0].document.file_id, actor=world.actors["other"])
    assert disputes.issue_documents() == 0
    # and neither can be altered
    with pytest.raises(DatabaseError, match="never change"), transaction.atomic():
        DisputeEvidence.objects.filter(pk=mine[0].pk).update(body="{}")


def test_a_partner_above_reads_no_deals_of_a_client_whom_another_one_introduced(world: World) -> None:
    dispute = world.open(subject=world.line(partner=world.above).reference, actor=world.actors["above"])
    body = json.loads(DisputeEvidence.objects.get(dispute=dispute, audience="partner").body)
    assert body["deals"] == []
    assert "other partners introduced" in body["deals_note"]


def test_an_unpaid_trade_says_why_and_can_be_disputed(world: World) -> None:
    # given a client who was referred to the partner from Tuesday on only, and traded on a symbol that is not mapped
    unmapped = world.broker.map("ODDSYM", None)
    trade = make_trade(world.account, lots="1", server_symbol=unmapped, day=MONDAY)
    world.settle()
    own = world.actors["own"]
    (row,) = selectors_unpaid(world, own)
    assert row["ticket"] == trade.ticket
    found, why = disputed.explain_unpaid_trade(actor=own, partner=world.partner, trade_id=trade.pk)
    assert (found["ticket"], why["code"]) == (trade.ticket, "symbol_not_mapped")
    dispute = world.open(subject=f"T-{trade.pk}", cause="not_paid", claim="Pay it.")
    assert (dispute.subject, dispute.amount, dispute.hold) == ("unpaid_trade", Decimal(0), None)
    pack = json.loads(DisputeEvidence.objects.get(dispute=dispute, audience="partner").body)
    assert pack["unpaid"]["code"] == "symbol_not_mapped"
    # when the cause is mended and the day settled again, the difference closes it
    disputes.correct_dispute(
        dispute_id=dispute.pk, correction="trade", reason="The symbol is mapped now.", actor=world.actors["manager"]
    )
    from platform_ops.services.symbols import map_server_symbol

    map_server_symbol(
        server_symbol_id=unmapped.pk, symbol_id=world.broker.eurusd.symbol_id, actor=SYSTEM, reason="It is."
    )
    world.settle()
    assert disputes.follow_disputes() == 1
    dispute.refresh_from_db()
    assert (dispute.state, dispute.delta) == ("closed", Decimal(7))
    # and a paid trade, another's trade and nonsense are not disputes of this kind
    for subject, actor in (
        (f"T-{world.trade.pk}", own),
        (f"T-{trade.pk}", world.actors["other"]),
        ("T-x", own),
        ("T-", own),
        (f"T-{'9' * 30}", own),
    ):
        with pytest.raises(NotFound):
            disputes.open_dispute(subject=subject, cause="not_paid", claim="x", actor=actor)


def selectors_unpaid(world: World, actor: Actor) -> list[dict[str, Any]]:
    return disputed.unpaid_trades(actor=actor, partner=world.partner, from_day=MONDAY, to_day=MONDAY)


def test_nobody_else_sees_or_touches_a_dispute(world: World) -> None:
    dispute = world.open()
    disputes.note_dispute(dispute_id=dispute.pk, note="Known for this.", actor=world.actors["manager"])
    # a note is the desk's own
    assert [event.step for event in dispute_selectors.timeline(actor=world.actors["own"], dispute=dispute)] == [
        "opened"
    ]
    assert len(dispute_selectors.timeline(actor=world.actors["auditor"], dispute=dispute)) == 2
    # neither the partner above nor a stranger sees it, or the line
    for name in ("above", "other"):
        actor = world.actors[name]
        with pytest.raises(NotFound):
            dispute_selectors.find_dispute(actor=actor, public_id=dispute.public_id)
        with pytest.raises(NotFound):
            disputes.withdraw_dispute(dispute_id=dispute.pk, actor=actor)
        with pytest.raises(NotFound):
            disputes.add_file(dispute_id=dispute.pk, data=b"x", file_name="x.pdf", actor=actor)
        with pytest.raises(NotFound):
            world.open(actor=actor)
        assert dispute_selectors.timeline(actor=actor, dispute=dispute) == []
        assert dispute_selectors.evidence_of(actor=actor, dispute=dispute) == []
    # the partner decides nothing, an auditor neither; staff of another entity find nothing
    foreign = staff(Role.PARTNER_MANAGER, entities=[], user_id=990)
    for act in (disputes.take_dispute, disputes.reject_dispute, disputes.correct_dispute, disputes.propose_goodwill):
        more = {
            disputes.reject_dispute: {"reason": "x"},
            disputes.correct_dispute: {"reason": "x", "correction": "trade"},
            disputes.propose_goodwill: {"reason": "x", "amount": Decimal(1)},
        }.get(act, {})
        for name in ("own", "auditor"):
            with pytest.raises(Denied):
                act(dispute_id=dispute.pk, actor=world.actors[name], **more)
        with pytest.raises(NotFound):
            act(dispute_id=dispute.pk, actor=foreign, **more)
    with pytest.raises(Denied):
        world.open(actor=world.actors["auditor"])
    dispute.refresh_from_db()
    assert (dispute.state, dispute.events.count()) == ("received", 2)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"cause": "nonsense"}, "cause"),
        ({"cause": "not_paid"}, "cause"),
        ({"claim": "  "}, "claim"),
        ({"claim": "x" * 4001}, "claim"),
        ({"claimed_amount": Decimal(0)}, "claimed_amount"),
        ({"claimed_amount": Decimal("NaN")}, "claimed_amount"),
    ],
)
def test_what_is_refused_names_its_field_and_leaves_nothing(world: World, given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        world.open(**given)
    assert refusal.value.details["field"] == field
    assert not Dispute.objects.exists()
    assert not StatementHold.objects.exists()


def test_the_database_itself_keeps_one_open_dispute_for_a_line_and_what_is_decided_whole(world: World) -> None:
    dispute = world.open()
    twin = Dispute.objects.get(pk=dispute.pk)
    twin.pk, twin.reference = None, "OTHER"
    twin.public_id = Dispute._meta.get_field("public_id").get_default()
    with pytest.raises(IntegrityError, match="ib_dispute_one_open"), transaction.atomic():
        twin.save(force_insert=True)
    for broken in (
        {"state": "closed"},
        {"decision": "reject"},
        {"state": "asked"},
        {"state": "closed", "decision": "correct", "decision_reason": "x", "correction": "trade",
         "decided_at": dispute.opened_at, "closed_at": dispute.opened_at},
    ):  # fmt: skip
        with pytest.raises(IntegrityError), transaction.atomic():
            Dispute.objects.filter(pk=dispute.pk).update(**broken)
    with pytest.raises(DatabaseError, match="never change"), transaction.atomic():
        DisputeEvent.objects.all().delete()


def test_books_that_are_tampered_with_are_found(world: World) -> None:
    dispute = world.open()
    StatementHold.objects.update(amount=Decimal(13))
    found = {check["name"]: check["ok"] for check in verify_books(CHECKS)["checks"]}
    assert not found["ib.disputes_frozen"]
    StatementHold.objects.update(amount=Decimal(14))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE ib_disputeevidence SET body = body || ' ' WHERE dispute_id = %s", [dispute.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")
    found = {check["name"]: check["ok"] for check in verify_books(CHECKS)["checks"]}
    assert (found["ib.disputes_frozen"], found["ib.dispute_evidence_intact"]) == (True, False)


def test_statistics_count_how_disputes_end(world: World) -> None:
    with time_machine.travel(datetime(2026, 3, 10, 9, tzinfo=UTC), tick=False) as traveller:
        first = world.open(cause="trade")
        other = world.open(subject=CommissionLine.objects.get(partner_id=world.partner.pk, amount=10).reference)
        traveller.shift(timedelta(hours=6))
        disputes.reject_dispute(dispute_id=other.pk, reason="No.", actor=world.actors["manager"])
        disputes.correct_dispute(dispute_id=first.pk, correction="trade", reason="Yes.", actor=world.actors["finance"])
        world.correct_to("3")
        world.settle()
        disputes.follow_disputes()
        rows = {
            by: dispute_selectors.statistics(actor=world.actors["auditor"], by=by)
            for by in dispute_selectors.StatisticsBy
        }
    by_cause = {row.key: (row.disputes, row.decided, row.upheld, row.share_upheld, row.hours) for row in rows["cause"]}
    assert by_cause == {
        "Volume, price or time of the trade": (1, 1, 1, Decimal(100), Decimal(6)),
        "Rate or rule of the plan": (1, 1, 0, Decimal(0), Decimal(6)),
    }
    assert {row.key: row.upheld for row in rows["manager"]} == {"manager": 0, "finance": 1} or len(rows["manager"]) == 2
    (plan,) = rows["plan"]
    assert (plan.disputes, plan.upheld, plan.share_upheld) == (2, 1, Decimal(50))
    with pytest.raises(Denied):
        dispute_selectors.statistics(actor=world.actors["own"], by=dispute_selectors.StatisticsBy.CAUSE)


def test_due_times_follow_the_cause_and_the_weekend() -> None:
    friday = datetime(2026, 3, 6, 21, tzinfo=UTC)
    assert due_of(DisputeCause.CONVERSION, friday) == datetime(2026, 3, 9, 20, tzinfo=UTC)
    due = datetime(2026, 3, 12, 9, tzinfo=UTC)
    asked = datetime(2026, 3, 10, 9, tzinfo=UTC)
    assert due_after_pause(due, asked_at=asked, now=asked + timedelta(hours=5)) == due + timedelta(hours=5)


def csv_of(client: Browser, address: str) -> str:
    return b"".join(client.get(f"{address}?export=csv").streaming_content).decode()


def test_the_partners_pages_open_talk_and_end_a_dispute(world: World, client: Browser) -> None:
    log_in(client, world.users["own"], second_factor=False)
    reference = world.line().reference
    page = client.get(reverse("portal:ib_line", args=[reference])).content.decode()
    new = reverse("portal:ib_new_dispute", args=[reference])
    assert new in page
    # when the form is sent empty, the fields say what is missing
    refused = client.post(new, {"cause": "", "claim": ""})
    assert (refused.status_code, Dispute.objects.count()) == (400, 0)
    # when it is sent with a picture and something that is none
    picture = SimpleUploadedFile("proof.png", PNG, "image/png")
    other = SimpleUploadedFile("proof.pdf", b"no document", "application/pdf")
    sent = client.post(
        new, {"cause": "rate", "claim": "<b>Eight.</b>", "claimed_amount": "16", "proof": [picture, other]}
    )
    dispute = Dispute.objects.get()
    address = reverse("portal:ib_dispute", args=[dispute.public_id])
    assert (sent.status_code, sent.headers["Location"]) == (302, address)
    shown = client.get(address).content.decode()
    assert "proof.png" in shown
    assert "was not taken" in shown
    assert "&lt;b&gt;Eight.&lt;/b&gt;" in shown
    assert "manager@desk.test" not in shown
    # then the line says that it is held, and leads there; the form leads there too
    assert "held until that is decided" in client.get(reverse("portal:ib_line", args=[reference])).content.decode()
    assert client.get(new).headers["Location"] == address
    for name in ("ib_disputes", "ib_unpaid_trades", "home"):
        assert client.get(reverse(f"portal:{name}")).status_code == 200
    assert dispute.reference in csv_of(client, reverse("portal:ib_disputes"))
    kept = client.get(reverse("portal:ib_dispute_evidence", args=[dispute.public_id, 1]))
    assert hashlib.sha256(kept.content).hexdigest() == DisputeEvidence.objects.get(audience="partner").digest
    # when the desk asks, the partner answers and takes it back
    disputes.ask_partner(dispute_id=dispute.pk, question="Really?", actor=world.actors["manager"])
    assert "Really?" in client.get(address).content.decode()
    assert client.post(address, {"act": "answer", "text": " "}).status_code == 400
    assert client.post(address, {"act": "nonsense", "text": "x"}).status_code == 400
    for act, words in (("answer", "Yes."), ("write", "Please hurry."), ("withdraw", "")):
        assert client.post(address, {"act": act, "text": words}).status_code == 302
    dispute.refresh_from_db()
    assert (dispute.state, dispute.decision) == ("closed", "withdraw")
    # and nobody else finds any of these pages
    log_in(client, world.users["above"], second_factor=False)
    for foreign in (address, new, reverse("portal:ib_dispute_evidence", args=[dispute.public_id, 1])):
        assert client.get(foreign).status_code == 404
    assert client.post(address, {"act": "write", "text": "x"}).status_code in {404, 405}


def test_the_desks_pages_show_everything_and_act(world: World, client: Browser) -> None:
    dispute = world.open()
    world.open(subject=world.line(partner=world.above).reference, actor=world.actors["above"])
    log_in(client, world.users["manager"])
    address = reverse("admin:ib_dispute_change", args=[dispute.pk])
    listed = client.get(f"{reverse('admin:ib_dispute_changelist')}?state=open").content.decode()
    assert dispute.reference in listed
    shown = client.get(address).content.decode()
    for words in ("What the partner says", "The amount then and now", "Deals of the trade", "Data (JSON)", "14.00"):
        assert words in shown, words
    for audience in ("desk", "partner"):
        kept = client.get(reverse("admin:ib_dispute_evidence", args=[dispute.pk, 1, audience]))
        assert kept.headers["Content-Type"] == "application/json"
    act = reverse("admin:ib_dispute_correct", args=[dispute.pk])
    wanted = {"correction": "tree", "reason": "Wrong.", "confirmed": "yes", "idempotency_key": "one"}
    assert "Name the change request" in client.post(act, wanted).content.decode()
    assert client.post(act, {**wanted, "correction": "trade"}).status_code == 302
    dispute.refresh_from_db()
    assert dispute.state == "correcting"
    for name in ("dispute_statistics", "commissionadjustment_changelist", "goodwilllimit_changelist"):
        assert client.get(reverse(f"admin:ib_{name}")).status_code == 200
    assert "Rate or rule" in csv_of(client, reverse("admin:ib_dispute_statistics"))
    line = client.get(reverse("admin:ib_line", args=[world.line().reference])).content.decode()
    assert "Disputed, amount held" in line
    assert "Commission disputes" in client.get(reverse("admin:index")).content.decode()
    # and what a partner says on the telephone is taken in for them, and only for them
    take_in = reverse("admin:ib_dispute_take-in")
    told = {
        "subject": world.line(partner=world.above).reference,
        "cause": "rate",
        "claim": "Three.",
        "confirmed": "yes",
    }
    disputes.withdraw_dispute(dispute_id=Dispute.objects.get(partner=world.above).pk, actor=world.actors["above"])
    refused = client.post(take_in, {**told, "partner": world.partner.pk}).content.decode()
    assert "another partner&#x27;s" in refused
    assert client.post(take_in, {**told, "partner": world.above.pk}).status_code == 302
    assert Dispute.objects.filter(partner=world.above).exclude(state="closed").get().opened_by == "manager@desk.test"
    # and an auditor reads without any button
    log_in(client, world.users["auditor"])
    assert client.get(address).status_code == 200
    assert client.post(act, wanted).status_code == 403


def test_disputes_over_http_for_both_sides(world: World) -> None:
    own, desk = APIClient(), APIClient()
    own.force_login(world.users["own"])
    log_in(desk, world.users["finance"])
    given = {"subject": world.line().reference, "cause": "rate", "claim": "Eight."}
    made = own.post("/api/v1/own/commission-disputes/", given, format="json")
    assert (made.status_code, made.json()["amount"]) == (201, "14.00000000")
    assert own.post("/api/v1/own/commission-disputes/", given, format="json").status_code == 409
    mine = f"/api/v1/own/commission-disputes/{made.json()['public_id']}/"
    detail = own.get(mine).json()
    assert [event["step"] for event in detail["events"]] == ["opened"]
    assert len(detail["evidence"]) == 1
    dispute = Dispute.objects.get()
    theirs = f"/api/v1/commission-disputes/{dispute.pk}/"
    assert (
        desk.get("/api/v1/commission-disputes/?state=received").json()["results"][0]["reference"] == dispute.reference
    )
    assert desk.post(f"{theirs}ask/", {"question": "Why?"}, format="json").json()["state"] == "asked"
    assert own.post(f"{mine}answer/", {"answer": "So."}, format="json").json()["state"] == "in_work"
    assert desk.post(f"{theirs}goodwill/", {"amount": "1", "reason": "x"}, format="json").status_code == 400
    assert desk.post(f"{theirs}reject/", {"reason": "No."}, format="json").json()["decision"] == "reject"
    assert own.post(f"{mine}appeal/", {"text": "Yes."}, format="json").json()["state"] == "received"
    (row,) = desk.get("/api/v1/commission-disputes/statistics/?by=plan").json()
    assert (row["disputes"], row["appealed"]) == (1, 1)
    assert own.get(theirs).status_code in {403, 404}
    other = APIClient()
    other.force_login(world.users["other"])
    assert other.get(mine).status_code == 404
    assert other.post(f"{mine}withdraw/", {}, format="json").status_code == 404


def test_files_and_evidence_over_http_are_for_those_who_see_the_dispute(world: World) -> None:
    dispute = world.open()
    own, desk, other = APIClient(), APIClient(), APIClient()
    own.force_login(world.users["own"])
    other.force_login(world.users["other"])
    log_in(desk, world.users["manager"])
    base = f"/api/v1/commission-disputes/{dispute.public_id}/"
    made = own.post(f"{base}files/", {"file": SimpleUploadedFile("proof.png", PNG, "image/png")}, format="multipart")
    assert (made.status_code, made.json()["state"]) == (201, "clean")
    assert [item["original_name"] for item in desk.get(f"{base}files/").json()] == ["proof.png"]
    assert [item["audience"] for item in own.get(f"{base}evidence/").json()] == ["partner"]
    assert [item["audience"] for item in desk.get(f"{base}evidence/").json()] == ["desk", "partner"]
    for item in desk.get(f"{base}evidence/").json():
        assert hashlib.sha256(item["body"].encode()).hexdigest() == item["digest"]
    for name in ("files", "evidence"):
        assert other.get(f"{base}{name}/").status_code == 404
    # and a closed dispute takes none any more
    disputes.withdraw_dispute(dispute_id=dispute.pk, actor=world.actors["own"])
    again = SimpleUploadedFile("more.png", PNG, "image/png")
    assert own.post(f"{base}files/", {"file": again}, format="multipart").status_code == 409


def test_a_line_of_a_period_is_disputed_and_followed_as_well() -> None:
    # given a share of 40 percent of March, and a bonus that is told later
    house = periods.House()
    plan = periods.make_period_plan(house.brand, periods.rule("net_revenue_share", "40"))
    partner = house.partner(plan)
    user = make_user("period@partners.test", Role.IB)
    link_partner_login(partner_id=partner.pk, user_id=user.pk, actor=SYSTEM)
    account = house.client_of(partner)
    house.loses(account, "1000", date(2026, 3, 10))
    periods.settle()
    line = PeriodLine.objects.get(partner=partner)
    own = make_actor(user)
    manager = make_actor(make_user("period@desk.test", Role.PARTNER_MANAGER, entities=[house.broker.entity]))
    wanted = {"subject": line.reference, "cause": "limits", "claim": "Where is the second client?", "actor": own}
    for foreign in (f"P-202604-{line.pk}", "P-202603-999999999", "P-", "P-202603-x"):
        with pytest.raises(NotFound):
            disputes.open_dispute(**{**wanted, "subject": foreign})  # type: ignore[arg-type]
    dispute = disputes.open_dispute(**wanted)  # type: ignore[arg-type]
    assert (dispute.amount, dispute.plan, dispute.hold.amount) == (Decimal(400), plan, Decimal(400))
    pack = json.loads(DisputeEvidence.objects.get(dispute=dispute, audience="partner").body)
    assert (pack["engine_target"], pack["equal_to_the_stored_cent"], pack["period"]) == ("400", True, "2026-03")
    # when the desk corrects, and a fact comes that lowers the month
    disputes.correct_dispute(dispute_id=dispute.pk, correction="trade", reason="A bonus was missing.", actor=manager)
    periods.tell(account.client_id, "bonus", "100", at=datetime(2026, 3, 12, 12, tzinfo=UTC))
    periods.settle()
    assert disputes.follow_disputes() == 1
    dispute.refresh_from_db()
    later = PeriodLine.objects.get(partner=partner, seq=1)
    assert (dispute.delta, dispute.delta_lines, dispute.is_upheld) == (Decimal(-40), [later.reference], False)
    (shown,) = dispute_selectors.later_lines(actor=own, dispute=dispute)
    assert (shown.target, shown.amount) == (Decimal(360), Decimal(-40))
    # and a line that takes back can be disputed too; there is nothing to hold
    assert disputes.open_dispute(**{**wanted, "subject": later.reference, "cause": "taken_back"}).hold is None  # type: ignore[arg-type]
    assert_books_are_right()
