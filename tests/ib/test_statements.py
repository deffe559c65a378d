"""Commission statements: which postings they count, when they may be approved, and that they pay once."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.books import verify_books
from backoffice.core.models import WorkItem
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, IllegalTransition, InvalidInput
from funding.ledger.models import JournalEntry, LedgerAccount
from funding.ledger.services.periods import close_day
from ib.models import CommissionStatement, Partner, PayoutTerms
from ib.selectors.statement_lines import statement_lines
from ib.services.partners import link_partner_login, set_partner_status
from ib.services.payout_terms import put_payout_terms
from ib.services.settlement import settle_range
from ib.services.statement_approvals import BulkApproval, approvable_by, approve_statements
from ib.services.statements import (
    approve_due_statements,
    approve_statement,
    close_statements,
    hold_line,
    let_go_statement,
    release_line,
    run_statements,
    withhold_statement,
)
from ib.statement_rules import Days, next_period, period_of
from platform_ops.models import Trade
from tests.factories.ib import Broker
from tests.factories.platform import MONDAY, SYSTEM, correct_trade, make_trade, staff
from tests.logins import log_in, make_user

pytestmark = pytest.mark.django_db

CHECKS = ["ib.statements_equal_ledger", "ib.statements_count_once", "ledger.entries_balance"]


class World:
    """A broker with one partner on 7 USD a lot, monthly statements, and books that can be closed."""

    def __init__(self, **terms: Any) -> None:
        self.broker = Broker()
        self.partner = self.broker.partner()
        self.account = self.broker.client_of(self.partner)
        self.put_terms(**terms)

    def put_terms(self, **terms: Any) -> PayoutTerms:
        payload = {
            "entity_id": self.broker.entity.pk,
            "partner_id": None,
            "valid_from": "2020-01-01",
            "period": "monthly",
            "review_days": 0,
            "hold_days": 3,
            "minimum_payout": "20",
            "automatic_up_to": "1000",
            **terms,
        }
        return put_payout_terms(payload=payload, actor=SYSTEM, approval="test terms")

    def trade(self, lots: str, day: date = MONDAY) -> None:
        make_trade(self.account, lots=lots, server_symbol=self.broker.eurusd, day=day)
        settle_range(from_day=day, to_day=day, actor=SYSTEM)

    def close_books(self, day: date) -> None:
        close_day(entity_id=self.broker.entity.pk, business_day=day, actor=SYSTEM)

    def close(self) -> list[CommissionStatement]:
        close_statements(actor=SYSTEM)
        return list(CommissionStatement.objects.filter(partner=self.partner).order_by("number"))

    def balance(self, kind: str, partner: Partner | None = None) -> Decimal:
        owner = partner or self.partner
        return LedgerAccount.objects.get(kind=kind, owner_type="partner", owner_id=owner.pk).balance.balance


LAST_OF_MARCH = date(2026, 3, 31)
APRIL = date(2026, 4, 1)


def people(world: World) -> tuple[Any, Any]:
    """Two members of staff who may approve."""
    entities = [world.broker.entity]
    return staff(Role.FINANCE, entities=entities, user_id=901), staff(Role.FINANCE, entities=entities, user_id=902)


def assert_books_are_right() -> None:
    found = verify_books(CHECKS)
    assert [check for check in found["checks"] if not check["ok"]] == []


@pytest.mark.parametrize(
    ("day", "period", "expected"),
    [
        (date(2026, 2, 28), "monthly", (date(2026, 2, 1), date(2026, 2, 28))),
        (date(2024, 2, 10), "monthly", (date(2024, 2, 1), date(2024, 2, 29))),
        (date(2026, 3, 8), "weekly", (date(2026, 3, 2), date(2026, 3, 8))),
        (date(2026, 3, 9), "weekly", (date(2026, 3, 9), date(2026, 3, 15))),
        (date(2026, 3, 9), "daily", (date(2026, 3, 9), date(2026, 3, 9))),
    ],
)
def test_days_of_a_period(day: date, period: str, expected: tuple[date, date]) -> None:
    assert period_of(day, period) == Days(*expected)


def test_after_a_change_of_terms_the_next_statement_begins_where_the_last_one_ended() -> None:
    # given a weekly statement through Sunday the eighth, and monthly terms from then on
    days = next_period(first_posting=date(2026, 3, 20), closed_through_statement=date(2026, 3, 8), period="monthly")
    assert days == Days(date(2026, 3, 9), date(2026, 3, 31))


def test_a_statement_is_made_when_the_books_of_its_period_are_closed_and_counts_once() -> None:
    # given commission in March and in April
    world = World()
    world.trade("2")
    world.trade("1.5", MONDAY + timedelta(days=7))
    world.trade("4", APRIL)
    # when March is not closed yet, there is no statement
    world.close_books(date(2026, 3, 30))
    assert world.close() == []
    # when its books are closed, then there is one, once, and April is not in it
    world.close_books(LAST_OF_MARCH)
    (march,) = world.close()
    assert world.close() == [march]
    assert (march.from_day, march.to_day, march.earned, march.total) == (
        date(2026, 3, 1),
        LAST_OF_MARCH,
        Decimal("24.50"),
        Decimal("24.50"),
    )
    assert march.parts == [["ib.settlement_batch", "24.50000000"]]
    # when the server takes a trade of March back in April, then April's statement counts the difference, line by line
    late = Trade.objects.order_by("closed_at").first()
    assert late is not None
    correct_trade(late, is_cancelled=True)
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    world.close_books(date(2026, 4, 30))
    _, april = world.close()
    assert april.earned == Decimal("14.00")
    for statement, days in ((march, [MONDAY, MONDAY + timedelta(days=7)]), (april, [MONDAY, APRIL])):
        lines = statement_lines(actor=SYSTEM, statement=statement)
        assert sorted(line.day for line in lines if line.day) == days
        assert sum(line.amount for line in lines) == statement.earned
    assert_books_are_right()


def test_the_terms_approve_what_is_within_their_limit_and_the_ledger_moves_once() -> None:
    world = World()
    world.trade("10")
    world.close_books(LAST_OF_MARCH)
    world.close()
    # when the run approves, twice
    assert len(approve_due_statements(actor=SYSTEM).done) == 1
    assert approve_due_statements(actor=SYSTEM).done == []
    # then the money moved once, and the record names the terms
    statement = CommissionStatement.objects.get()
    assert (statement.state, statement.payable) == ("approved", Decimal("70.00"))
    assert "test terms" in statement.approved_by
    assert statement.approved_by_id is None
    assert (world.balance("partner_accrued"), world.balance("partner_payable")) == (Decimal(0), Decimal("70.00"))
    assert JournalEntry.objects.filter(source_type="ib.statement").count() == 1
    assert_books_are_right()


def test_above_the_limit_two_people_approve() -> None:
    world = World(automatic_up_to="50")
    world.trade("10")
    world.close_books(LAST_OF_MARCH)
    (statement,) = world.close()
    first, second = people(world)
    # when the terms look at it, then they leave it
    assert approve_due_statements(actor=SYSTEM).done == []
    # when one person approves, then it is confirmed only, and the same one cannot go on
    assert approve_statement(statement_id=statement.pk, actor=first).state == "confirmed"
    with pytest.raises(Denied):
        approve_statement(statement_id=statement.pk, actor=first)
    assert world.balance("partner_payable") == 0
    # when another one does, then it is payable
    assert approve_statement(statement_id=statement.pk, actor=second).state == "approved"
    assert world.balance("partner_payable") == Decimal("70.00")


def test_many_are_approved_in_one_step_each_by_itself() -> None:
    # given what two people look at, what one may approve alone, and whose partner is suspended
    above, below, suspended = World(automatic_up_to="50"), World(automatic_up_to="500"), World(automatic_up_to="500")
    worlds = (above, below, suspended)
    for world in worlds:
        world.trade("10")
        world.close_books(LAST_OF_MARCH)
        world.close()
    set_partner_status(partner_id=suspended.partner.pk, status="suspended", actor=SYSTEM, reason="looked into")
    entities = [world.broker.entity for world in worlds]
    first, second = (staff(Role.FINANCE, entities=entities, user_id=number) for number in (5, 6))
    ids = list(CommissionStatement.objects.order_by("pk").values_list("pk", flat=True))

    def step(actor: Any) -> tuple[list[int], list[int], int]:
        found = approve_statements(statement_ids=[*ids, 10**9], actor=actor)
        return [item.pk for item in found.approved], [item.pk for item in found.confirmed], len(found.problems)

    assert [row.pk for row in approvable_by(CommissionStatement.objects.order_by("pk"), user_id=5)] == ids
    # then each is taken the step that is one's own, and a repeat takes none
    assert step(first) == ([ids[1]], [ids[0]], 1)
    assert step(first) == ([ids[1]], [], 2)
    assert above.balance("partner_payable") == 0 and below.balance("partner_payable") == Decimal("70.00")
    assert [row.pk for row in approvable_by(CommissionStatement.objects.order_by("pk"), user_id=5)] == [ids[2]]
    assert step(second) == ([ids[0], ids[1]], [], 1)
    assert JournalEntry.objects.filter(source_type="ib.statement").count() == 2
    # and what is of another legal entity is not found
    stranger = staff(Role.FINANCE, entities=[suspended.broker.entity], user_id=7)
    assert approve_statements(statement_ids=ids[:2], actor=stranger) == BulkApproval()
    with pytest.raises(Denied):
        approve_statements(statement_ids=ids, actor=staff(Role.DEALING, entities=entities))


def test_the_database_refuses_one_person_for_both_steps() -> None:
    world = World(automatic_up_to=None)
    world.trade("10")
    world.close_books(LAST_OF_MARCH)
    (statement,) = world.close()
    with pytest.raises(IntegrityError, match="ib_statement_by_two_people"), transaction.atomic():
        CommissionStatement.objects.filter(pk=statement.pk).update(confirmed_by_id=7, approved_by_id=7)


def test_less_than_the_minimum_is_carried_until_it_is_enough() -> None:
    # given 14.00 in March, under a minimum of 20, and 7.00 in April
    world = World()
    world.trade("2")
    world.trade("1", APRIL)
    world.close_books(date(2026, 4, 30))
    march, april = world.close()
    assert (march.state, march.total, march.carried_to) == ("carried", Decimal("14.00"), april)
    assert (april.state, april.carried_in, april.total) == ("in_review", Decimal("14.00"), Decimal("21.00"))
    approve_due_statements(actor=SYSTEM)
    assert (world.balance("partner_accrued"), world.balance("partner_payable")) == (Decimal(0), Decimal("21.00"))
    assert_books_are_right()


def test_a_loss_is_carried_and_taken_off_the_next_statement() -> None:
    # given a trade that was paid in March and taken back in April, and a smaller one then
    world = World(minimum_payout="0")
    world.trade("5")
    world.close_books(LAST_OF_MARCH)
    world.close()
    approve_due_statements(actor=SYSTEM)
    correct_trade(Trade.objects.get(), is_cancelled=True)
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    world.close_books(date(2026, 4, 30))
    _, april = world.close()
    assert (april.state, april.total) == ("carried", Decimal("-35.00"))
    world.trade("8", date(2026, 5, 4))
    world.close_books(date(2026, 5, 29))
    may = world.close()[-1]
    # then what is payable for May is 56 less 35
    assert (may.carried_in, may.earned, may.total) == (Decimal("-35.00"), Decimal("56.00"), Decimal("21.00"))
    assert_books_are_right()


def test_one_partner_who_cannot_be_approved_does_not_keep_the_others_waiting() -> None:
    # given three partners: one suspended, one whose account is frozen, one in order
    world = World()
    others = [world.broker.partner(), world.broker.partner()]
    world.trade("10")
    for partner in others:
        make_trade(world.broker.client_of(partner), lots="10", server_symbol=world.broker.eurusd)
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    world.close_books(LAST_OF_MARCH)
    world.close()
    set_partner_status(partner_id=others[0].pk, status="suspended", reason="looked into", actor=SYSTEM)
    LedgerAccount.objects.filter(kind="partner_accrued", owner_id=others[1].pk).update(is_frozen=True)
    # when the run approves
    result = approve_due_statements(actor=SYSTEM)
    # then only the one in order is payable; the others wait with the reason
    assert (len(result.done), len(result.problems)) == (1, 2)
    assert world.balance("partner_payable") == Decimal("70.00")
    assert [world.balance("partner_payable", partner) for partner in others] == [Decimal(0), Decimal(0)]
    assert "suspended" in CommissionStatement.objects.get(partner=others[0]).problem
    assert CommissionStatement.objects.get(partner=others[1]).state == "in_review"
    # when they are let go, then the next run pays them
    set_partner_status(partner_id=others[0].pk, status="active", reason="in order", actor=SYSTEM)
    LedgerAccount.objects.filter(kind="partner_accrued", owner_id=others[1].pk).update(is_frozen=False)
    assert len(approve_due_statements(actor=SYSTEM).done) == 2
    assert_books_are_right()


def test_a_withheld_statement_waits_until_it_is_let_go() -> None:
    world = World()
    world.trade("10")
    world.close_books(LAST_OF_MARCH)
    (statement,) = world.close()
    first, _ = people(world)
    with pytest.raises(InvalidInput):
        withhold_statement(statement_id=statement.pk, reason=" ", actor=first)
    withhold_statement(statement_id=statement.pk, reason="traffic looked into", actor=first)
    assert approve_due_statements(actor=SYSTEM).done == []
    with pytest.raises(Conflict, match="traffic looked into"):
        approve_statement(statement_id=statement.pk, actor=first)
    let_go_statement(statement_id=statement.pk, reason="in order", actor=first)
    assert len(approve_due_statements(actor=SYSTEM).done) == 1
    with pytest.raises(IllegalTransition):
        withhold_statement(statement_id=statement.pk, reason="too late", actor=first)


def test_a_held_line_is_left_out_and_paid_with_the_statement_after_the_decision() -> None:
    # given two lines in March, one of them held while the statement is in review
    world = World()
    world.trade("10")
    world.trade("4", MONDAY + timedelta(days=1))
    world.close_books(LAST_OF_MARCH)
    (march,) = world.close()
    hold = {"line_reference": "1-2-0-20260303", "booked_day": MONDAY + timedelta(days=1), "amount": Decimal("28.00")}
    hold_line(partner_id=world.partner.pk, reason="disputed", actor=SYSTEM, **hold)
    hold_line(partner_id=world.partner.pk, reason="disputed", actor=SYSTEM, **hold)
    march.refresh_from_db()
    assert (march.held, march.total) == (Decimal("28.00"), Decimal("70.00"))
    approve_due_statements(actor=SYSTEM)
    assert (world.balance("partner_accrued"), world.balance("partner_payable")) == (Decimal("28.00"), Decimal("70.00"))
    # when it is released after the approval, then April pays it, and May does not again
    release_line(line_reference=hold["line_reference"], actor=SYSTEM)
    world.trade("1", APRIL)
    world.trade("3", date(2026, 5, 4))
    world.close_books(date(2026, 5, 29))
    _, april, may = world.close()
    assert (april.released, april.total) == (Decimal("28.00"), Decimal("35.00"))
    assert (may.released, may.total) == (Decimal(0), Decimal("21.00"))
    approve_due_statements(actor=SYSTEM)
    assert (world.balance("partner_accrued"), world.balance("partner_payable")) == (Decimal(0), Decimal("126.00"))
    assert_books_are_right()


def test_a_line_released_while_the_statement_waits_is_back_in_it_and_nowhere_else() -> None:
    world = World()
    world.trade("10")
    world.close_books(LAST_OF_MARCH)
    world.close()
    hold = {"line_reference": "1-1-0-20260302", "booked_day": MONDAY, "amount": Decimal("70.00")}
    hold_line(partner_id=world.partner.pk, reason="disputed", actor=SYSTEM, **hold)
    assert CommissionStatement.objects.get().state == "carried"
    release_line(line_reference=hold["line_reference"], actor=SYSTEM)
    assert (CommissionStatement.objects.get().state, CommissionStatement.objects.get().total) == ("in_review", 70)
    approve_due_statements(actor=SYSTEM)
    world.trade("3", APRIL)
    world.close_books(date(2026, 4, 30))
    assert world.close()[-1].total == Decimal("21.00")


def test_terms_end_where_new_ones_begin_and_those_of_a_partner_win() -> None:
    world = World()
    world.put_terms(valid_from="2026-03-01", partner_id=world.partner.pk, period="weekly", minimum_payout="0")
    world.trade("1")
    world.trade("1", MONDAY + timedelta(days=7))
    world.close_books(LAST_OF_MARCH)
    assert [(item.from_day, item.to_day) for item in world.close()] == [
        (MONDAY, MONDAY + timedelta(days=6)),
        (MONDAY + timedelta(days=7), MONDAY + timedelta(days=13)),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("period", "yearly"),
        ("review_days", -1),
        ("hold_days", 400),
        ("minimum_payout", "-1"),
        ("automatic_up_to", "-5"),
    ],
)
def test_bad_terms_name_the_field(field: str, value: object) -> None:
    world = World()
    with pytest.raises(InvalidInput) as refused:
        world.put_terms(**{field: value})
    assert refused.value.details["field"] == field
    assert PayoutTerms.objects.count() == 1


def test_a_statement_above_the_limit_is_a_work_item_until_it_is_decided() -> None:
    world = World(automatic_up_to="50")
    world.trade("10")
    world.close_books(LAST_OF_MARCH)
    run_statements(actor=SYSTEM)
    statement = CommissionStatement.objects.get()
    items = WorkItem.objects.filter(kind="ib.statement_waits").exclude(state="closed")
    assert [item.group_key for item in items] == [f"{statement.pk}:"]
    first, second = people(world)
    # when it is withheld, nobody is asked; let go, somebody is again
    withhold_statement(statement_id=statement.pk, reason="looked into", actor=first)
    assert items.all().count() == 0
    let_go_statement(statement_id=statement.pk, reason="in order", actor=first)
    assert items.all().count() == 1
    # when two people approved it, it is done
    approve_statement(statement_id=statement.pk, actor=first)
    assert items.all().count() == 1
    approve_statement(statement_id=statement.pk, actor=second)
    assert items.all().count() == 0


@pytest.fixture
def desk(client: Browser) -> tuple[World, Browser]:
    """A world with a statement above the limit, and a browser of finance."""
    world = World(automatic_up_to="50")
    world.trade("10")
    world.close_books(LAST_OF_MARCH)
    world.close()
    user = make_user("finance@house.test", Role.FINANCE, Role.PARTNER_MANAGER, entities=(world.broker.entity,))
    return world, log_in(client, user)


def text_of(response: Any) -> str:
    return (b"".join(response.streaming_content) if response.streaming else response.content).decode()


def test_the_desk_shows_and_decides(desk: tuple[World, Browser]) -> None:
    world, browser = desk
    statement = CommissionStatement.objects.get()
    listed = text_of(browser.get("/desk/ib/commissionstatement/?state=waiting"))
    assert world.partner.reference in listed
    assert "70.00" in listed
    page = text_of(browser.get(f"/desk/ib/commissionstatement/{statement.pk}/change/"))
    assert "How the total comes about" in page
    assert "Commission on trades" in page
    lines = f"/desk/pages/ib/statements/{statement.pk}/lines/"
    assert lines in page
    assert "70.00" in text_of(browser.get(lines))
    assert len(text_of(browser.get(f"{lines}?export=csv")).splitlines()) == 2
    url = reverse("admin:ib_commissionstatement_approve", args=[statement.pk])
    asked = browser.get(url)
    key = asked.context["idempotency_key"]
    browser.post(url, {"confirmed": "yes", "idempotency_key": key})
    statement.refresh_from_db()
    assert statement.state == "confirmed"
    # and the second step is not theirs
    assert browser.post(url, {"confirmed": "yes", "idempotency_key": "2"}).status_code == 403
    statement.refresh_from_db()
    assert statement.state == "confirmed"
    assert browser.get("/desk/ib/payoutterms/").status_code == 200
    assert browser.get(reverse("admin:ib_payoutterms_propose")).status_code == 200


def test_a_partner_reads_and_downloads_the_own_statements_and_nobody_elses(desk: tuple[World, Browser]) -> None:
    world, _ = desk
    other = world.broker.partner()
    user = make_user("own@partners.test", Role.IB)
    link_partner_login(partner_id=world.partner.pk, user_id=user.pk, actor=SYSTEM)
    stranger = make_user("other@partners.test", Role.IB)
    link_partner_login(partner_id=other.pk, user_id=stranger.pk, actor=SYSTEM)
    own, foreign = log_in(Browser(), user), log_in(Browser(), stranger)
    assert "70.00" in text_of(own.get("/portal/statements/"))
    assert "Commission on trades" in text_of(own.get("/portal/statements/1/"))
    assert "70.00" in text_of(own.get("/portal/statements/?export=csv"))
    assert "70.00" not in text_of(foreign.get("/portal/statements/"))
    assert foreign.get("/portal/statements/1/").status_code == 404
    lines = text_of(own.get("/portal/statements/1/?export=csv")).splitlines()
    assert len(lines) == 2 and "Commission on trades" in lines[1] and "70" in lines[1]
    assert own.get("/portal/statements/1/?export=xlsx").status_code == 200
    assert foreign.get("/portal/statements/1/?export=csv").status_code == 404


def test_the_api_decides_for_finance_and_shows_partners_their_own(desk: tuple[World, Browser]) -> None:
    world, browser = desk
    statement = CommissionStatement.objects.get()
    found = browser.get("/api/v1/commission-statements/").json()["results"]
    assert [(item["partner"], item["total"]) for item in found] == [(world.partner.reference, "70.00000000")]
    answer = browser.post(f"/api/v1/commission-statements/{statement.pk}/approve/", {}, "application/json")
    assert (answer.status_code, answer.json()["state"]) == (200, "confirmed")
    assert browser.get("/api/v1/own/commission-statements/").status_code == 403
