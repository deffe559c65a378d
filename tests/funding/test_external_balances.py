"""Stated balances beside the ledger: entered, compared, explained to the last cent, reconciled by a person."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import DatabaseError, connection, transaction

from backoffice.core.models import LegalEntity, OutboxEvent
from backoffice.core.services import entities
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from funding import checks, work
from funding.models import BalanceStatement, DifferenceItem, ExternalAccount, Reconciliation
from funding.services import external_balances as balances
from tests.factories.platform import MONDAY, make_entity, staff
from tests.funding.ledger_help import day, open_account, post

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_friday")]

D = Decimal


@pytest.fixture
def _friday() -> Any:
    with time_machine.travel("2026-03-06 12:00:00+00:00", tick=True):
        yield


def finance(entity: LegalEntity) -> Any:
    return staff(Role.FINANCE, entities=[entity])


def external(entity: LegalEntity, **fields: Any) -> ExternalAccount:
    values = {
        "entity_id": entity.pk,
        "kind": "bank",
        "name": "House bank",
        "currency": "USD",
        "watched_from": MONDAY,
        "actor": finance(entity),
    }
    return balances.open_external_account(**{**values, **fields})


def enter(account: ExternalAccount, amount: str, on: date = MONDAY) -> BalanceStatement:
    return balances.enter_balance(
        account_id=account.pk, business_day=on, amount=D(amount), actor=finance(account.entity)
    )


def state(statement: BalanceStatement) -> str:
    return balances.compare([statement])[0].state


def test_an_account_outside_has_a_ledger_account_of_its_own() -> None:
    entity = make_entity()

    first, second = external(entity), external(entity, name="Other bank")
    main = external(entity, name="Main bank", is_main=True)

    assert len({account.ledger_account_id for account in (first, second, main)}) == 3
    assert main.ledger_account == open_account(entity, "bank")
    assert first.ledger_account is not None
    assert (first.ledger_account.owner_type, first.ledger_account.owner_id) == ("external_account", first.pk)
    with pytest.raises(Conflict):
        external(entity, name="Another main bank", is_main=True)
    with pytest.raises(Conflict):
        external(entity)
    assert ExternalAccount.objects.count() == 3


def test_a_bank_account_of_the_entity_is_watched_once_and_in_its_currency() -> None:
    entity, other = make_entity(), make_entity()

    def held(owner: LegalEntity, currency: str) -> Any:
        return entities.add_bank_account(
            entity_id=owner.pk,
            name=f"Account {currency}",
            purpose="own_money",
            currency=currency,
            bank_name="Bank",
            account_number="DE89370400440532013000",
            actor=finance(owner),
            reason="x",
        )

    dollars, euros, theirs = held(entity, "USD"), held(entity, "EUR"), held(other, "USD")
    assert external(entity, bank_account_id=dollars.pk).bank_account == dollars
    for wrong, error in ((euros.pk, InvalidInput), (theirs.pk, NotFound), (dollars.pk, Conflict)):
        with pytest.raises(error):
            external(entity, name="Second", bank_account_id=wrong)
    with pytest.raises(InvalidInput):
        external(entity, name="Second", kind="psp", bank_account_id=dollars.pk)


def test_the_difference_is_explained_to_the_cent_before_a_person_reconciles() -> None:
    # given: the bank holds 100.50, the ledger 100.00
    entity = make_entity()
    account = external(entity, is_main=True)
    post(entity, (open_account(entity, "bank"), "D", "100"), (open_account(entity, "capital"), "C", "100"))
    statement = enter(account, "100.50")
    actor = finance(entity)
    assert state(statement) == "differs"
    with pytest.raises(Conflict) as refusal:
        balances.reconcile_balance(statement_id=statement.pk, actor=actor)
    assert refusal.value.details["unexplained"] == "0.50000000"

    # when
    wrong = balances.explain_difference(statement_id=statement.pk, amount=D("0.60"), description="Fee", actor=actor)
    assert balances.compare([statement])[0].unexplained == D("-0.10")
    balances.withdraw_item(item_id=wrong.pk, actor=actor)
    balances.explain_difference(statement_id=statement.pk, amount=D("0.80"), description="Interest", actor=actor)
    balances.explain_difference(statement_id=statement.pk, amount=D("-0.30"), description="Payment", actor=actor)
    assert state(statement) == "explained"
    settled = balances.reconcile_balance(statement_id=statement.pk, actor=actor, note="seen")

    # then
    assert (settled.difference, settled.ledger_balance, settled.reconciled_by) == (D("0.5"), D(100), actor.label)
    assert [item["amount"] for item in settled.items] == ["0.80000000", "-0.30000000"]
    assert balances.reconcile_balance(statement_id=statement.pk, actor=actor) == settled
    assert balances.unreconciled_accounts(entity_id=entity.pk, business_day=MONDAY) == []
    assert checks.reconciliations_add_up().ok


def test_a_reconciliation_falls_when_the_ledger_or_the_statement_moves() -> None:
    entity = make_entity()
    account = external(entity, is_main=True)
    statement = enter(account, "0")
    balances.reconcile_balance(statement_id=statement.pk, actor=finance(entity))
    assert state(statement) == "reconciled"

    post(entity, (open_account(entity, "bank"), "D", "5"), (open_account(entity, "capital"), "C", "5"))
    assert state(statement) == "moved since"
    assert balances.unreconciled_accounts(entity_id=entity.pk, business_day=MONDAY) == ["House bank"]
    outcome = checks.reconciliations_add_up()
    assert (outcome.count, len(outcome.notes)) == (0, 1)

    revised = enter(account, "5")
    assert (revised.revision, state(revised)) == (2, "agrees")
    with pytest.raises(Conflict) as refusal:
        balances.reconcile_balance(statement_id=statement.pk, actor=finance(entity))
    assert refusal.value.code == "revised"
    balances.reconcile_balance(statement_id=revised.pk, actor=finance(entity))
    assert balances.unreconciled_accounts(entity_id=entity.pk, business_day=MONDAY) == []


def test_a_booking_of_a_later_day_does_not_disturb_a_reconciled_one() -> None:
    entity = make_entity()
    statement = enter(external(entity, is_main=True), "0")
    balances.reconcile_balance(statement_id=statement.pk, actor=finance(entity))

    post(
        entity,
        (open_account(entity, "bank"), "D", "5"),
        (open_account(entity, "capital"), "C", "5"),
        business_day=day(1),
    )

    assert state(statement) == "reconciled"


def test_the_same_balance_again_changes_nothing() -> None:
    account = external(make_entity())
    assert enter(account, "7").pk == enter(account, "7.00").pk
    assert enter(account, "8").revision == 2
    assert OutboxEvent.objects.filter(topic="funding.balance_differs").count() == 2


def test_a_difference_is_work_until_it_is_reconciled() -> None:
    entity = make_entity()
    account = external(entity)
    statement = enter(account, "7")

    waiting = list(work.balances_that_differ(None))
    assert [(item.group_key, item.entity_id) for item in waiting] == [(str(account.public_id), entity.pk)]
    assert waiting[0].title == "House bank: 7.00 USD more stated than booked"

    balances.explain_difference(statement_id=statement.pk, amount=D(7), description="x", actor=finance(entity))
    balances.reconcile_balance(statement_id=statement.pk, actor=finance(entity))
    assert list(work.balances_that_differ(None)) == []
    assert list(work.balances_that_differ([str(account.public_id)])) == []


@pytest.mark.parametrize(
    ("amount", "on", "field"),
    [
        ("1.001", MONDAY, "amount"),
        ("NaN", MONDAY, "amount"),
        ("Infinity", MONDAY, "amount"),
        ("1e20", MONDAY, "amount"),
        ("1", date(2026, 3, 7), "business_day"),
        ("1", date(2026, 2, 27), "business_day"),
        ("1", date(2026, 3, 9), "business_day"),
    ],
)
def test_balances_that_cannot_be_are_refused(amount: str, on: date, field: str) -> None:
    account = external(make_entity())
    with pytest.raises(InvalidInput) as refusal:
        enter(account, amount, on)
    assert refusal.value.details["field"] == field
    assert not BalanceStatement.objects.exists()


def test_a_file_enters_all_its_rows_or_none() -> None:
    entity, other = make_entity(), make_entity()
    external(entity)
    external(entity, name="Yen", currency="JPY")
    external(other, name="Theirs")
    good = b"account,business_day,balance,note\nHouse bank,2026-03-02,10.50,first\nYen,2026-03-03,-7,\n"

    with pytest.raises(InvalidInput) as refusal:
        balances.import_balances(
            data=good
            + b"Yen,2026-03-03,1,\nYen,2026-03-02,0.5,\nTheirs,2026-03-02,1,\nYen,03/02/2026,1,\nYen,2026-03-02,x,\n",
            entity_id=entity.pk,
            actor=finance(entity),
        )
    assert [(row["row"], row["field"]) for row in refusal.value.details["rows"]] == [
        (4, "business_day"),
        (5, "balance"),
        (6, "account"),
        (7, "business_day"),
        (8, "balance"),
    ]
    assert not BalanceStatement.objects.exists()

    first = balances.import_balances(data=good, entity_id=entity.pk, actor=finance(entity))
    again = balances.import_balances(data=good, entity_id=entity.pk, actor=finance(entity))

    assert [statement.amount for statement in first] == [D("10.5"), D(-7)]
    assert [statement.pk for statement in again] == [statement.pk for statement in first]
    with pytest.raises(NotFound):
        balances.import_balances(data=good, entity_id=entity.pk, actor=finance(other))


def test_roles_and_entities_stay_apart() -> None:
    entity, other = make_entity(), make_entity()
    account = external(entity)
    statement = enter(account, "1")
    for actor, error in (
        (staff(Role.AUDITOR, entities=[entity]), Denied),
        (staff(Role.DEALING, entities=[entity]), Denied),
        (finance(other), NotFound),
    ):
        with pytest.raises(error):
            balances.enter_balance(account_id=account.pk, business_day=MONDAY, amount=D(2), actor=actor)
        with pytest.raises(error):
            balances.explain_difference(statement_id=statement.pk, amount=D(1), description="x", actor=actor)
        with pytest.raises(error):
            balances.reconcile_balance(statement_id=statement.pk, actor=actor)
    assert (BalanceStatement.objects.count(), DifferenceItem.objects.count(), Reconciliation.objects.count()) == (
        1,
        0,
        0,
    )


def test_an_account_with_money_is_not_closed() -> None:
    entity = make_entity()
    account = external(entity, is_main=True)
    post(entity, (open_account(entity, "bank"), "D", "5"), (open_account(entity, "capital"), "C", "5"))
    with pytest.raises(Conflict):
        balances.close_external_account(account_id=account.pk, closed_on=MONDAY, actor=finance(entity), reason="x")
    empty = external(entity, name="Empty")
    balances.close_external_account(account_id=empty.pk, closed_on=MONDAY, actor=finance(entity), reason="moved")
    with pytest.raises(InvalidInput):
        enter(empty, "1", day(1))
    assert balances.unreconciled_accounts(entity_id=entity.pk, business_day=day(1)) == ["House bank"]


def test_what_was_stated_explained_and_reconciled_never_changes() -> None:
    entity = make_entity()
    account = external(entity)
    statement = enter(account, "7")
    balances.explain_difference(statement_id=statement.pk, amount=D(7), description="x", actor=finance(entity))
    balances.reconcile_balance(statement_id=statement.pk, actor=finance(entity))
    for sql in (
        "UPDATE funding_balancestatement SET amount = 0",
        "DELETE FROM funding_balancestatement",
        "UPDATE funding_differenceitem SET amount = 1",
        "DELETE FROM funding_differenceitem",
        "UPDATE funding_reconciliation SET difference = 0",
        "DELETE FROM funding_reconciliation",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = 'replica'")
        cursor.execute("UPDATE funding_reconciliation SET difference = 3")
        cursor.execute("SET LOCAL session_replication_role = 'origin'")
    assert checks.reconciliations_add_up().count == 1
