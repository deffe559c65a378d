"""Booking, repeating and reversing entries through the services."""

from __future__ import annotations

from decimal import Decimal

import pytest

from backoffice.core.models import AuditRecord
from backoffice.core.types import Role
from backoffice.kernel.errors import (
    Conflict,
    CurrencyMismatch,
    Denied,
    IdempotencyMismatch,
    InsufficientFunds,
    InvalidInput,
    NotFound,
)
from funding.ledger.models import JournalEntry, Posting
from funding.ledger.selectors import balance_of
from funding.ledger.services import entries
from funding.ledger.services.accounts import freeze_account, get_account, get_accounts_bulk, release_account
from funding.ledger.types import AccountSpec, PostingLine
from tests.factories.platform import SYSTEM, make_entity, staff
from tests.funding.ledger_help import balances, draft, open_account, post

pytestmark = pytest.mark.django_db


def test_balances_stand_in_the_normal_side_of_their_account() -> None:
    entity = make_entity()
    bank = open_account(entity, "bank")
    wallet = open_account(entity, "client_wallet", owner=1)
    fees = open_account(entity, "fee_income")

    entry = post(entity, (bank, "D", "100.00"), (wallet, "C", "97.50"), (fees, "C", "2.50"))

    assert [balance_of(account) for account in (bank, wallet, fees)] == [
        Decimal("100.00"),
        Decimal("97.50"),
        Decimal("2.50"),
    ]
    assert set(entry.postings.values_list("account_id", "side", "amount", "currency")) == {
        (bank.pk, "D", Decimal("100.00"), "USD"),
        (wallet.pk, "C", Decimal("97.50"), "USD"),
        (fees.pk, "C", Decimal("2.50"), "USD"),
    }
    assert entry.actor == "system:test"


def test_lines_on_one_account_are_booked_as_their_net() -> None:
    entity = make_entity()
    bank, suspense, fees = (open_account(entity, kind) for kind in ("bank", "suspense", "fee_income"))

    entry = post(
        entity,
        (bank, "D", "10"),
        (bank, "C", "4"),
        (suspense, "C", "6"),
        (fees, "D", "3"),
        (fees, "C", "3"),
    )

    assert list(entry.postings.order_by("account_id").values_list("account_id", "side", "amount")) == [
        (bank.pk, "D", Decimal(6)),
        (suspense.pk, "C", Decimal(6)),
    ]


def test_one_entry_may_hold_several_currencies_each_balanced() -> None:
    entity = make_entity()
    dollars, euros = (open_account(entity, "bank", currency=currency) for currency in ("USD", "EUR"))
    position_usd, position_eur = (open_account(entity, "fx_position", currency=currency) for currency in ("USD", "EUR"))

    post(
        entity,
        (dollars, "C", "110"),
        (position_usd, "D", "110"),
        (euros, "D", "100"),
        (position_eur, "C", "100"),
    )

    assert balance_of(dollars) == -110
    assert balance_of(euros) == 100
    assert balance_of(position_usd) == -110


def test_the_same_key_with_the_same_input_books_once() -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")
    first = post(entity, (bank, "D", "5.00"), (suspense, "C", "5.00"), idempotency_key="deposit:1")

    again = post(entity, (suspense, "C", "5"), (bank, "D", "5"), idempotency_key="deposit:1")

    assert again.pk == first.pk
    assert balance_of(bank) == 5


def test_the_same_key_with_other_input_is_refused_and_changes_nothing() -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")
    post(entity, (bank, "D", "5"), (suspense, "C", "5"), idempotency_key="deposit:1")
    before = balances()

    with pytest.raises(IdempotencyMismatch):
        post(entity, (bank, "D", "6"), (suspense, "C", "6"), idempotency_key="deposit:1")

    assert balances() == before
    assert JournalEntry.objects.count() == 1


def test_a_batch_books_all_or_nothing_and_returns_in_the_order_given() -> None:
    entity = make_entity()
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=1)
    into = [draft(entity, (bank, "D", f"{n}"), (wallet, "C", f"{n}"), idempotency_key=f"k{9 - n}") for n in (1, 2, 3)]

    made = entries.post_entries(drafts=[*into, into[0]], actor=SYSTEM)

    assert [entry.idempotency_key for entry in made] == ["k8", "k7", "k6", "k8"]
    assert balance_of(wallet) == 6
    before = balances()
    with pytest.raises(InsufficientFunds):
        entries.post_entries(
            drafts=[
                draft(entity, (bank, "D", "1"), (wallet, "C", "1")),
                draft(entity, (bank, "C", "99"), (wallet, "D", "99")),
            ],
            actor=SYSTEM,
        )
    assert balances() == before
    assert JournalEntry.objects.count() == 3


def test_a_batch_with_one_key_for_two_requests_is_refused() -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")

    with pytest.raises(IdempotencyMismatch):
        entries.post_entries(
            drafts=[
                draft(entity, (bank, "D", "1"), (suspense, "C", "1"), idempotency_key="same"),
                draft(entity, (bank, "D", "2"), (suspense, "C", "2"), idempotency_key="same"),
            ],
            actor=SYSTEM,
        )

    assert not JournalEntry.objects.exists()


def test_a_batch_takes_as_many_statements_whatever_its_size(django_assert_max_num_queries: object) -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")
    drafts = [draft(entity, (bank, "D", "1"), (suspense, "C", "1")) for _ in range(200)]

    with django_assert_max_num_queries(6):  # type: ignore[operator]
        entries.post_entries(drafts=drafts, actor=SYSTEM)

    assert balance_of(bank) == 200


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("1.005", "USD", "amount_too_fine"),
        ("0.5", "JPY", "amount_too_fine"),
        ("0.0001", "BHD", "amount_too_fine"),
        ("0.000000001", "BTC", "amount_too_fine"),
        ("0", "USD", "invalid_input"),
        ("-1", "USD", "invalid_input"),
        ("NaN", "USD", "invalid_input"),
        ("Infinity", "USD", "invalid_input"),
    ],
)
def test_amounts_that_no_one_can_hold_are_refused(amount: str, currency: str, code: str) -> None:
    entity = make_entity()
    bank, suspense = (open_account(entity, kind, currency=currency) for kind in ("bank", "suspense"))

    with pytest.raises(InvalidInput) as refusal:
        post(entity, (bank, "D", amount), (suspense, "C", amount))

    assert refusal.value.code == code
    assert not JournalEntry.objects.exists()


def test_each_currency_is_booked_to_its_last_digit() -> None:
    entity = make_entity()
    for currency, amount in (("USD", "0.01"), ("JPY", "1"), ("BHD", "0.001"), ("BTC", "0.00000001")):
        bank, suspense = (open_account(entity, kind, currency=currency) for kind in ("bank", "suspense"))
        post(entity, (bank, "D", amount), (suspense, "C", amount))
        assert balance_of(bank) == Decimal(amount)


def test_unbalanced_empty_and_foreign_lines_are_refused() -> None:
    entity, other = make_entity(), make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")
    foreign = open_account(other, "suspense")
    wrong_currency = PostingLine(account_id=suspense.pk, side="C", amount=Decimal(1), currency="EUR")
    before = balances()

    with pytest.raises(InvalidInput, match=r"debits exceed credits by 0\.01"):
        post(entity, (bank, "D", "1.00"), (suspense, "C", "0.99"))
    with pytest.raises(InvalidInput) as empty:
        post(entity, (bank, "D", "1"), (bank, "C", "1"))
    with pytest.raises(InvalidInput) as entity_refused:
        post(entity, (bank, "D", "1"), (foreign, "C", "1"))
    with pytest.raises(CurrencyMismatch):
        entries.post_entry(
            draft=draft(
                entity,
                lines=[PostingLine(account_id=bank.pk, side="D", amount=Decimal(1), currency="EUR"), wrong_currency],
            ),
            actor=SYSTEM,
        )

    assert empty.value.code == "empty_entry"
    assert entity_refused.value.code == "entity_mismatch"
    assert balances() == before
    assert not JournalEntry.objects.exists()


def test_a_wallet_cannot_go_below_zero() -> None:
    entity = make_entity()
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=1)
    post(entity, (bank, "D", "10"), (wallet, "C", "10"))
    before = balances()

    with pytest.raises(InsufficientFunds):
        post(entity, (bank, "C", "10.01"), (wallet, "D", "10.01"))

    assert balances() == before
    post(entity, (bank, "C", "10"), (wallet, "D", "10"))
    assert balance_of(wallet) == 0


def test_accrued_commission_may_go_below_zero() -> None:
    entity = make_entity()
    accrued = get_account(entity_id=entity.pk, kind="partner_accrued", currency="USD", owner_type="partner", owner_id=1)
    expense = open_account(entity, "commission_expense")

    post(entity, (accrued, "D", "3"), (expense, "C", "3"))

    assert balance_of(accrued) == -3


def test_a_frozen_account_takes_no_debit_until_it_is_released() -> None:
    entity = make_entity()
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=1)
    post(entity, (bank, "D", "10"), (wallet, "C", "10"))
    officer = staff(Role.FINANCE, entities=[entity])
    freeze_account(account_id=wallet.pk, actor=officer, reason="Investigation")
    before = balances()

    with pytest.raises(Conflict) as refusal:
        post(entity, (bank, "C", "1"), (wallet, "D", "1"))

    assert refusal.value.code == "account_frozen"
    assert balances() == before
    post(entity, (bank, "D", "1"), (wallet, "C", "1"))
    release_account(account_id=wallet.pk, actor=officer, reason="Cleared")
    post(entity, (bank, "C", "11"), (wallet, "D", "11"))
    assert balance_of(wallet) == 0
    assert list(AuditRecord.objects.order_by("id").values_list("action", "reason")) == [
        ("funding.freeze_account", "Investigation"),
        ("funding.release_account", "Cleared"),
    ]


def test_only_those_in_charge_freeze_and_only_what_they_see() -> None:
    entity, other = make_entity(), make_entity()
    wallet = open_account(entity, "client_wallet", owner=1)

    with pytest.raises(Denied):
        freeze_account(account_id=wallet.pk, actor=staff(Role.SALES, entities=[entity]), reason="No")
    with pytest.raises(NotFound):
        freeze_account(account_id=wallet.pk, actor=staff(Role.FINANCE, entities=[other]), reason="No")

    wallet.refresh_from_db()
    assert wallet.is_frozen is False
    assert not AuditRecord.objects.exists()


def test_a_reversal_books_the_opposite_once_with_its_reason() -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")
    entry = post(entity, (bank, "D", "7.25"), (suspense, "C", "7.25"))
    officer = staff(Role.FINANCE, entities=[entity])

    reversal = entries.reverse_entry(entry_id=entry.pk, actor=officer, reason="Booked twice by the bank")

    assert (balance_of(bank), balance_of(suspense)) == (0, 0)
    assert reversal.reverses_id == entry.pk
    assert reversal.refers_to_day == entry.business_day
    assert reversal.reason == "Booked twice by the bank"
    audit = AuditRecord.objects.get()
    assert (audit.action, audit.object_id, audit.reason, audit.changes) == (
        "funding.reverse_entry",
        str(entry.pk),
        "Booked twice by the bank",
        {"reversal": reversal.pk},
    )
    assert entries.reverse_entry(entry_id=entry.pk, actor=officer, reason="Booked twice by the bank").pk == reversal.pk
    with pytest.raises(Conflict) as again:
        entries.reverse_entry(entry_id=entry.pk, actor=officer, reason="Once more")
    assert again.value.code == "already_reversed"
    with pytest.raises(Conflict) as of_reversal:
        entries.reverse_entry(entry_id=reversal.pk, actor=officer, reason="Undo")
    assert of_reversal.value.code == "is_reversal"
    assert Posting.objects.count() == 4


def test_a_reversal_needs_a_reason_a_right_and_the_money() -> None:
    entity = make_entity()
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=1)
    entry = post(entity, (bank, "D", "7"), (wallet, "C", "7"))
    post(entity, (bank, "C", "1"), (wallet, "D", "1"))
    officer = staff(Role.FINANCE, entities=[entity])
    before = balances()

    with pytest.raises(InvalidInput):
        entries.reverse_entry(entry_id=entry.pk, actor=officer, reason="  ")
    with pytest.raises(Denied):
        entries.reverse_entry(entry_id=entry.pk, actor=staff(Role.AUDITOR, entities=[entity]), reason="No")
    with pytest.raises(NotFound):
        entries.reverse_entry(entry_id=entry.pk, actor=staff(Role.FINANCE, entities=[make_entity()]), reason="No")
    with pytest.raises(InsufficientFunds):
        entries.reverse_entry(entry_id=entry.pk, actor=officer, reason="Chargeback")

    assert balances() == before
    assert not AuditRecord.objects.exists()


def test_accounts_are_found_again_and_made_in_bulk(django_assert_max_num_queries: object) -> None:
    entity = make_entity()
    specs = [
        AccountSpec(
            entity_id=entity.pk, kind="client_liability", currency="USD", owner_type="trading_account", owner_id=n
        )  # type: ignore[arg-type]
        for n in range(1, 101)
    ]
    with django_assert_max_num_queries(6):  # type: ignore[operator]
        made = get_accounts_bulk(specs=specs)

    assert len({account.pk for account in made.values()}) == 100
    assert get_accounts_bulk(specs=specs) == made
    assert {account.name for account in made.values()} >= {
        "Client money on a trading account of trading account 1, USD"
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"currency": "usd"},
        {"currency": "XXX"},
        {"owner_type": "client", "owner_id": 0},
        {"owner_type": "", "owner_id": 5},
    ],
)
def test_accounts_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    entity = make_entity()

    with pytest.raises(InvalidInput):
        get_account(**{"entity_id": entity.pk, "kind": "client_wallet", "currency": "USD", **wrong})  # type: ignore[arg-type]
