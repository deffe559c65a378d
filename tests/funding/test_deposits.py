"""Money in and out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from backoffice.core.models import AuditRecord, OutboxEvent
from backoffice.core.types import Role
from backoffice.kernel.errors import CurrencyMismatch, Denied, IdempotencyMismatch, InvalidInput, NotFound
from funding.ledger.models import JournalEntry, LedgerAccount
from funding.ledger.selectors import balance_of
from funding.ledger.services.periods import close_day
from funding.services.deposits import pay_withdrawal, receive_deposit
from tests.factories.platform import MONDAY, SYSTEM, make_account, make_client, staff
from tests.funding.ledger_help import day

pytestmark = pytest.mark.django_db


def request(**changes: Any) -> dict[str, Any]:
    """A request with plain values."""
    return {
        "amount": Decimal("250.00"),
        "currency": "USD",
        "method": "psp",
        "reference": "PSP-17",
        "actor": SYSTEM,
        "idempotency_key": "k1",
        "business_day": MONDAY,
        **changes,
    }


def ledger(kind: str, owner_type: str = "", owner_id: int = 0) -> Decimal:
    """The balance of a ledger account."""
    return balance_of(LedgerAccount.objects.get(kind=kind, owner_type=owner_type, owner_id=owner_id))


def test_a_deposit_and_a_withdrawal_mirror_each_other() -> None:
    account = make_account()

    deposit = receive_deposit(**request(account_id=account.pk))
    assert (ledger("psp"), ledger("suspense", "trading_account", account.pk)) == (250, -250)
    assert (deposit.kind, deposit.description) == ("deposit", f"Deposit by psp, account {account.login}, PSP-17")
    pay_withdrawal(**request(account_id=account.pk, amount=Decimal(50), idempotency_key="k2"))

    assert (ledger("psp"), ledger("suspense", "trading_account", account.pk)) == (200, -200)
    assert list(AuditRecord.objects.order_by("id").values_list("action", flat=True)) == [
        "funding.receive_deposit",
        "funding.pay_withdrawal",
    ]
    assert list(OutboxEvent.objects.order_by("id").values_list("topic", flat=True)) == [
        "funding.deposit_received",
        "funding.withdrawal_paid",
    ]


def test_a_client_without_an_account_has_suspense_of_their_own() -> None:
    client = make_client()

    receive_deposit(**request(client_id=client.pk, method="bank"))

    assert (ledger("bank"), ledger("suspense", "client", client.pk)) == (250, -250)


@pytest.mark.django_db(transaction=True)
def test_a_repeat_books_audits_and_tells_once_even_on_another_day() -> None:
    account = make_account()
    with time_machine.travel(datetime(2026, 3, 2, 12, tzinfo=UTC)):
        first = receive_deposit(**request(account_id=account.pk, business_day=None))
    with time_machine.travel(datetime(2026, 3, 4, 12, tzinfo=UTC)):
        again = receive_deposit(**request(account_id=account.pk, business_day=None))

    assert again.pk == first.pk
    assert again.business_day == MONDAY
    assert ledger("psp") == 250
    assert (JournalEntry.objects.count(), OutboxEvent.objects.count()) == (1, 1)


def test_money_that_arrived_on_a_closed_day_is_an_adjustment() -> None:
    account = make_account()
    close_day(entity_id=account.server.entity_id, business_day=MONDAY, actor=SYSTEM)

    entry = receive_deposit(**request(account_id=account.pk))

    assert (entry.business_day, entry.refers_to_day) == (day(1), MONDAY)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"currency": "EUR"}, CurrencyMismatch),
        ({"amount": Decimal("0.001")}, InvalidInput),
        ({"amount": Decimal(-1)}, InvalidInput),
        ({"method": "cash"}, InvalidInput),
        ({"reference": " "}, InvalidInput),
        ({"account_id": None}, InvalidInput),
        ({"client_id": 1}, InvalidInput),
        ({"account_id": 0}, NotFound),
    ],
)
def test_requests_that_make_no_sense_change_nothing(changes: dict[str, Any], error: type[Exception]) -> None:
    account = make_account()

    for use_case in (receive_deposit, pay_withdrawal):
        with pytest.raises(error):
            use_case(**request(**{"account_id": account.pk, **changes}))

    assert not JournalEntry.objects.exists()
    assert not AuditRecord.objects.exists()
    assert not OutboxEvent.objects.exists()


def test_only_those_in_charge_move_money_and_only_for_their_entities() -> None:
    account = make_account()
    entity = account.server.entity

    for use_case in (receive_deposit, pay_withdrawal):
        with pytest.raises(Denied):
            use_case(**request(account_id=account.pk, actor=staff(Role.AUDITOR, entities=[entity])))
        with pytest.raises(NotFound):
            use_case(**request(account_id=account.pk, actor=staff(Role.FINANCE)))

    assert not JournalEntry.objects.exists()
    assert receive_deposit(**request(account_id=account.pk, actor=staff(Role.FINANCE, entities=[entity]))).pk


def test_a_key_stands_for_one_request() -> None:
    account = make_account()
    receive_deposit(**request(account_id=account.pk))

    for changed in ({"amount": Decimal(1)}, {"reference": "other"}, {"method": "bank"}):
        with pytest.raises(IdempotencyMismatch):
            receive_deposit(**request(account_id=account.pk, **changed))

    assert ledger("psp") == 250
