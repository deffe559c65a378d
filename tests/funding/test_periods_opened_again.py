"""Closed days that open again by the approval of a second person, and months that close by a computed checklist."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import DatabaseError, connection, transaction

from backoffice.core.models import AuditRecord, LegalEntity
from backoffice.core.services import changes
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, DomainError, InvalidInput, NotFound
from funding import checks
from funding.change_kinds import propose_reopening
from funding.ledger.models import ClosedMonth, JournalEntry, PeriodReopening
from funding.ledger.services import periods
from funding.ledger.services.periods import booking_day, close_day, close_days_again, is_closed
from funding.services.external_balances import enter_balance, open_external_account, reconcile_balance
from funding.services.month_end import checklist, close_month, last_business_day
from funding.services.revaluation import revalue_books
from platform_ops.models import BusinessDay
from platform_ops.services.rates import continue_reference_rates
from tests.factories.platform import MONDAY, SYSTEM, make_account, make_entity, make_server, staff
from tests.funding.finance_world import approve, person
from tests.funding.ledger_help import balances, day, open_account, post

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_april")]

MARCH, LAST = date(2026, 3, 1), date(2026, 3, 31)


@pytest.fixture
def _april() -> Any:
    with time_machine.travel("2026-04-07 12:00:00+00:00", tick=True):
        yield


def reopen(entity: LegalEntity, first: date = MONDAY, last: date | None = None) -> PeriodReopening:
    change = propose_reopening(
        entity_id=entity.pk, from_day=first, through_day=last or first, reason="late invoice", actor=person(entity)
    )
    approve(change, person(entity))
    return PeriodReopening.objects.filter(entity=entity).latest("pk")


def booked(entity: LegalEntity, on: date = MONDAY) -> JournalEntry:
    return post(
        entity, (open_account(entity, "bank"), "D", "1"), (open_account(entity, "capital"), "C", "1"), business_day=on
    )


def test_only_the_named_days_open_and_their_entries_carry_the_mark() -> None:
    entity = make_entity()
    close_day(entity_id=entity.pk, business_day=day(3), actor=SYSTEM)
    with pytest.raises(Conflict):
        booked(entity, day(1))

    reopening = reopen(entity, day(1), day(2))

    assert [is_closed(entity_id=entity.pk, business_day=day(n)) for n in range(5)] == [True, False, False, True, False]
    assert booking_day(entity_id=entity.pk, business_day=day(1)) == day(1)
    assert booking_day(entity_id=entity.pk, business_day=day(0)) == day(4)
    assert booked(entity, day(1)).reopening == reopening
    assert booked(entity, day(4)).reopening is None
    for closed in (day(0), day(3)):
        with pytest.raises(Conflict) as refusal:
            booked(entity, closed)
        assert refusal.value.code == "day_closed"


def test_the_days_close_again_and_stay_closed() -> None:
    entity = make_entity()
    close_day(entity_id=entity.pk, business_day=day(3), actor=SYSTEM)
    reopening = reopen(entity, day(1))
    booked(entity, day(1))
    keeper = person(entity)

    first = close_days_again(reopening_id=reopening.pk, actor=keeper, reason="done")
    again = close_days_again(reopening_id=reopening.pk, actor=keeper, reason="done")

    assert first.reclosed_at == again.reclosed_at
    assert AuditRecord.objects.filter(action="funding.close_days_again").count() == 1
    before = balances()
    with pytest.raises(Conflict):
        booked(entity, day(1))
    assert balances() == before
    assert reopen(entity, day(1)).pk != reopening.pk


def test_opening_takes_two_people_of_the_entity() -> None:
    entity, other = make_entity(), make_entity()
    close_day(entity_id=entity.pk, business_day=day(3), actor=SYSTEM)
    maker = person(entity)
    change = propose_reopening(entity_id=entity.pk, from_day=MONDAY, through_day=MONDAY, reason="x", actor=maker)

    for actor in (maker, person(entity, Role.AUDITOR), person(other)):
        with pytest.raises((Denied, NotFound)):
            approve(change, actor)
    for actor in (person(entity, Role.DEALING), person(other)):
        with pytest.raises((Denied, NotFound)):
            propose_reopening(entity_id=entity.pk, from_day=MONDAY, through_day=MONDAY, reason="x", actor=actor)
    with pytest.raises(Denied), transaction.atomic():
        periods.reopen_days(
            entity_id=entity.pk,
            from_day=MONDAY,
            through_day=MONDAY,
            reason="x",
            requested_by="one",
            approved_by="one",
            actor=SYSTEM,
        )
    assert not PeriodReopening.objects.exists()
    assert is_closed(entity_id=entity.pk, business_day=MONDAY)


@pytest.mark.parametrize(
    ("first", "last", "code"),
    [
        (day(3), day(2), "invalid_input"),
        (day(3), day(4), "day_not_closed"),
        (date(2025, 1, 1), day(0), "invalid_input"),
    ],
)
def test_days_that_cannot_open_are_refused(first: date, last: date, code: str) -> None:
    entity = make_entity()
    close_day(entity_id=entity.pk, business_day=day(3), actor=SYSTEM)
    with pytest.raises(DomainError) as refusal:
        propose_reopening(entity_id=entity.pk, from_day=first, through_day=last, reason="x", actor=person(entity))
    assert isinstance(refusal.value, InvalidInput) or refusal.value.code == code


def test_a_day_is_open_again_only_once_at_a_time() -> None:
    entity = make_entity()
    close_day(entity_id=entity.pk, business_day=day(3), actor=SYSTEM)
    reopen(entity, day(1), day(2))
    with pytest.raises(Conflict) as refusal:
        reopen(entity, day(2), day(3))
    assert refusal.value.code == "already_open"


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE ledger_periodreopening SET through_day = through_day + 1",
        "UPDATE ledger_periodreopening SET approved_by = 'x'",
        "DELETE FROM ledger_periodreopening",
        "UPDATE ledger_journalentry SET reopening_id = NULL",
        """INSERT INTO ledger_periodreopening
           (entity_id, from_day, through_day, reason, requested_by, approved_by, opened_at, reclosed_by)
           SELECT entity_id, '2026-03-05', '2026-12-31', 'x', 'a', 'b', now(), '' FROM ledger_periodreopening""",
        """INSERT INTO ledger_periodreopening
           (entity_id, from_day, through_day, reason, requested_by, approved_by, opened_at, reclosed_by)
           SELECT entity_id, '2026-03-05', '2026-03-05', 'x', 'a', 'a', now(), '' FROM ledger_periodreopening""",
        """INSERT INTO ledger_periodreopening
           (entity_id, from_day, through_day, reason, requested_by, approved_by, opened_at, reclosed_by)
           SELECT entity_id, from_day, through_day, 'x', 'a', 'b', now(), '' FROM ledger_periodreopening""",
    ],
)
def test_the_database_itself_keeps_reopenings(sql: str) -> None:
    entity = make_entity()
    close_day(entity_id=entity.pk, business_day=day(3), actor=SYSTEM)
    reopen(entity, day(1))
    booked(entity, day(1))
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_reverting_the_request_closes_the_days_again() -> None:
    entity = make_entity()
    close_day(entity_id=entity.pk, business_day=day(3), actor=SYSTEM)
    change = propose_reopening(
        entity_id=entity.pk, from_day=MONDAY, through_day=MONDAY, reason="x", actor=person(entity)
    )
    approve(change, person(entity))

    changes.revert_change(change_id=change.pk, actor=person(entity), reason="not needed")

    assert is_closed(entity_id=entity.pk, business_day=MONDAY)


# --- months -------------------------------------------------------------------------------------------------------------


def items(entity: LegalEntity) -> dict[str, bool]:
    return {item.key: item.is_done for item in checklist(entity_id=entity.pk, month=MARCH, actor=SYSTEM)}


def close(entity: LegalEntity, **notes: str) -> ClosedMonth:
    return close_month(entity_id=entity.pk, month=MARCH, notes=notes, actor=person(entity), reason="month end")


def test_a_quiet_month_closes_and_its_last_day_with_it() -> None:
    entity = make_entity()
    booked(entity)
    continue_reference_rates(
        per_euro={d: {"USD": Decimal("1.25")} for d in (MONDAY, LAST)}, source="House", actor=SYSTEM
    )
    revalue_books(entity_id=entity.pk, business_day=LAST, actor=SYSTEM)

    month = close(entity)

    assert (month.month, month.through_day) == (MARCH, LAST)
    assert is_closed(entity_id=entity.pk, business_day=LAST)
    assert month.figures == [
        {"kind": "bank", "currency": "USD", "debits": "1.00000000", "credits": "0"},
        {"kind": "capital", "currency": "USD", "debits": "0", "credits": "1.00000000"},
    ]
    assert close(entity).pk == month.pk
    assert checks.closed_months_are_unchanged().ok


def test_the_checklist_names_what_is_left_and_nothing_closes() -> None:
    # given: a server that closed nothing, money in suspense, an account that nobody reconciled, dollars never revalued
    entity = make_entity()
    server = make_server(entity, code="mt5-x")
    make_account(server)
    BusinessDay.objects.create(server=server, entity=entity, day=LAST)
    post(entity, (open_account(entity, "bank"), "D", "5"), (open_account(entity, "suspense", owner=3), "C", "5"))
    open_external_account(
        entity_id=entity.pk, kind="bank", name="House bank", currency="USD", watched_from=MONDAY, actor=SYSTEM
    )

    assert items(entity) == {
        "over": True,
        "days": False,
        "open_again": True,
        "books": True,
        "suspense": False,
        "balances": False,
        "revaluation": False,
    }
    with pytest.raises(Conflict) as refusal:
        close(entity)
    assert refusal.value.details["items"] == ["days", "suspense", "balances", "revaluation"]
    assert "mt5-x 2026-03-31" in refusal.value.message
    assert not ClosedMonth.objects.exists()
    assert not is_closed(entity_id=entity.pk, business_day=MONDAY)

    # when: all is done, suspense is explained
    BusinessDay.objects.update(state="closed")
    continue_reference_rates(
        per_euro={d: {"USD": Decimal("1.25")} for d in (MONDAY, LAST)}, source="House", actor=SYSTEM
    )
    revalue_books(entity_id=entity.pk, business_day=LAST, actor=SYSTEM)
    external = entity.external_accounts.get()
    statement = enter_balance(account_id=external.pk, business_day=LAST, amount=Decimal(0), actor=person(entity))
    reconcile_balance(statement_id=statement.pk, actor=person(entity))
    with pytest.raises(Conflict) as still:
        close(entity)
    assert still.value.details["items"] == ["suspense"]
    month = close(entity, suspense="deposit of 31 March, on the server on 1 April")

    assert next(item["note"] for item in month.checklist if item["key"] == "suspense").startswith("deposit of 31")


def test_a_month_that_is_not_over_does_not_close() -> None:
    entity = make_entity()
    with pytest.raises(Conflict) as refusal:
        close_month(entity_id=entity.pk, month=date(2026, 4, 1), notes={}, actor=person(entity))
    assert refusal.value.details["items"] == ["over"]
    assert last_business_day(date(2026, 5, 9)) == date(2026, 5, 29)


def test_nothing_but_suspense_is_explained_away() -> None:
    with pytest.raises(InvalidInput):
        close(make_entity(), books="never mind")


def test_opening_a_day_opens_its_month_which_closes_again_by_its_checklist() -> None:
    entity, other = make_entity(), make_entity()
    first, untouched = close(entity), close(other)

    reopening = reopen(entity, day(1))
    first.refresh_from_db()
    assert first.reopened_by == reopening
    assert items(entity)["open_again"] is False
    with pytest.raises(Conflict):
        close(entity)
    post(
        entity,
        (open_account(entity, "bank", currency="EUR"), "D", "1"),
        (open_account(entity, "capital", currency="EUR"), "C", "1"),
        business_day=day(1),
    )
    close_days_again(reopening_id=reopening.pk, actor=person(entity), reason="done")
    second = close(entity)

    assert second.pk != first.pk
    assert (len(first.figures), len(second.figures)) == (0, 2)
    untouched.refresh_from_db()
    assert untouched.reopened_by is None
    assert checks.closed_months_are_unchanged().ok


def test_a_closed_month_whose_figures_moved_is_found() -> None:
    entity = make_entity()
    month = close(entity)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = 'replica'")
    booked(entity)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = 'origin'")

    outcome = checks.closed_months_are_unchanged()

    assert {(row["closed_month_id"], row["kind"]) for row in outcome.rows} == {
        (month.pk, "bank"),
        (month.pk, "capital"),
    }


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.DEALING, Role.COMPLIANCE])
def test_only_keepers_close_months(role: Role) -> None:
    entity = make_entity()
    with pytest.raises(Denied):
        close_month(entity_id=entity.pk, month=MARCH, notes={}, actor=staff(role, entities=[entity]))
    with pytest.raises(NotFound):
        close_month(entity_id=entity.pk, month=MARCH, notes={}, actor=staff(Role.FINANCE, entities=[make_entity()]))
    assert not ClosedMonth.objects.exists()
