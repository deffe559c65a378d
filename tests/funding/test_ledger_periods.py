"""Closing days, and where later bookings go."""

from __future__ import annotations

from datetime import date

import pytest

from backoffice.core.models import AuditRecord
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput
from funding.ledger.models import ClosedDay, JournalEntry
from funding.ledger.selectors import trial_balance
from funding.ledger.services.periods import booking_day, close_day, closed_through, is_closed
from tests.factories.platform import MONDAY, SYSTEM, make_entity, staff
from tests.funding.ledger_help import balances, day, open_account, post

pytestmark = pytest.mark.django_db


def test_an_open_day_is_its_own_booking_day() -> None:
    entity = make_entity()

    assert booking_day(entity_id=entity.pk, business_day=MONDAY) == MONDAY
    assert closed_through(entity_id=entity.pk) is None


def test_closing_a_day_closes_all_before_it() -> None:
    entity, other = make_entity(), make_entity()

    close_day(entity_id=entity.pk, business_day=day(1), actor=SYSTEM)

    assert [is_closed(entity_id=entity.pk, business_day=day(offset)) for offset in (0, 1, 2)] == [True, True, False]
    assert booking_day(entity_id=entity.pk, business_day=day(0)) == day(2)
    assert booking_day(entity_id=entity.pk, business_day=day(3)) == day(3)
    assert booking_day(entity_id=other.pk, business_day=day(0)) == day(0)


def test_after_a_friday_comes_monday() -> None:
    entity = make_entity()
    close_day(entity_id=entity.pk, business_day=day(4), actor=SYSTEM)

    assert booking_day(entity_id=entity.pk, business_day=day(4)) == date(2026, 3, 9)


def test_a_closed_day_takes_only_adjustments_and_its_trial_balance_stays() -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")
    post(entity, (bank, "D", "10"), (suspense, "C", "10"))
    close_day(entity_id=entity.pk, business_day=MONDAY, actor=SYSTEM)
    as_closed = trial_balance(actor=SYSTEM, entity_id=entity.pk, as_of=MONDAY)
    before = balances()

    with pytest.raises(Conflict) as refusal:
        post(entity, (bank, "D", "1"), (suspense, "C", "1"))

    assert refusal.value.code == "day_closed"
    assert balances() == before
    adjustment = post(
        entity,
        (bank, "D", "1"),
        (suspense, "C", "1"),
        kind=JournalEntry.Kind.ADJUSTMENT,
        business_day=booking_day(entity_id=entity.pk, business_day=MONDAY),
        refers_to_day=MONDAY,
    )
    assert (adjustment.business_day, adjustment.refers_to_day) == (day(1), MONDAY)
    assert trial_balance(actor=SYSTEM, entity_id=entity.pk, as_of=MONDAY) == as_closed


def test_a_repeat_after_the_closing_is_still_the_same_request() -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")
    first = post(entity, (bank, "D", "1"), (suspense, "C", "1"), idempotency_key="k")
    close_day(entity_id=entity.pk, business_day=MONDAY, actor=SYSTEM)

    again = post(
        entity, (bank, "D", "1"), (suspense, "C", "1"), idempotency_key="k", business_day=day(1), refers_to_day=MONDAY
    )

    assert again.pk == first.pk


def test_closing_twice_changes_nothing() -> None:
    entity = make_entity()
    first = close_day(entity_id=entity.pk, business_day=MONDAY, actor=SYSTEM)

    assert close_day(entity_id=entity.pk, business_day=MONDAY, actor=SYSTEM).pk == first.pk
    assert AuditRecord.objects.filter(action="funding.close_day").count() == 1


def test_only_finance_closes_and_only_business_days() -> None:
    entity = make_entity()

    with pytest.raises(Denied):
        close_day(entity_id=entity.pk, business_day=MONDAY, actor=staff(Role.AUDITOR, entities=[entity]))
    with pytest.raises(InvalidInput):
        close_day(entity_id=entity.pk, business_day=date(2026, 3, 7), actor=SYSTEM)

    assert not ClosedDay.objects.exists()
    assert not AuditRecord.objects.exists()
