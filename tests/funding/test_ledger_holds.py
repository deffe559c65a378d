"""Holds: money set aside, then posted, voided or expired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from backoffice.core.models import LegalEntity
from backoffice.kernel import clock
from backoffice.kernel.errors import IdempotencyMismatch, IllegalTransition, InsufficientFunds, InvalidInput
from funding.ledger.models import Hold, JournalEntry, LedgerAccount
from funding.ledger.selectors import available_of, balance_of
from funding.ledger.services import holds
from tests.factories.platform import SYSTEM, make_entity
from tests.funding.ledger_help import balances, draft, open_account, post

pytestmark = pytest.mark.django_db


@pytest.fixture
def entity() -> LegalEntity:
    """An entity with a bank account and a wallet of 100 dollars."""
    entity = make_entity()
    post(
        entity, (open_account(entity, "bank"), "D", "100"), (open_account(entity, "client_wallet", owner=1), "C", "100")
    )
    return entity


@pytest.fixture
def bank(entity: LegalEntity) -> LedgerAccount:
    """The bank account."""
    return open_account(entity, "bank")


@pytest.fixture
def wallet(entity: LegalEntity) -> LedgerAccount:
    """The wallet."""
    return open_account(entity, "client_wallet", owner=1)


def hold(wallet: LedgerAccount, amount: str, key: str = "hold", expires_at: datetime | None = None) -> Hold:
    """Places a hold on the wallet."""
    return holds.place_hold(
        account_id=wallet.pk, amount=Decimal(amount), reason="Withdrawal", idempotency_key=key, expires_at=expires_at
    )


def test_a_hold_lowers_what_is_available_and_moves_nothing(
    entity: LegalEntity, bank: LedgerAccount, wallet: LedgerAccount
) -> None:
    hold(wallet, "60")

    assert (balance_of(wallet), available_of(wallet)) == (100, 40)
    with pytest.raises(InsufficientFunds):
        post(entity, (bank, "C", "40.01"), (wallet, "D", "40.01"))
    with pytest.raises(InsufficientFunds):
        hold(wallet, "40.01", key="second")
    post(entity, (bank, "C", "40"), (wallet, "D", "40"))
    assert (balance_of(wallet), available_of(wallet)) == (60, 0)


def test_placing_it_again_holds_once(wallet: LedgerAccount) -> None:
    first = hold(wallet, "60")

    assert hold(wallet, "60.00").pk == first.pk
    with pytest.raises(IdempotencyMismatch):
        hold(wallet, "61")
    assert available_of(wallet) == 40


def test_posting_books_the_entry_and_frees_the_rest(
    entity: LegalEntity, bank: LedgerAccount, wallet: LedgerAccount
) -> None:
    placed = hold(wallet, "100")
    payment = draft(entity, (wallet, "D", "99.50"), (bank, "C", "99.50"))

    entry = holds.post_hold(hold_id=placed.pk, draft=payment, actor=SYSTEM)

    placed.refresh_from_db()
    assert (placed.state, placed.entry_id) == ("posted", entry.pk)
    assert (balance_of(wallet), available_of(wallet)) == (Decimal("0.50"), Decimal("0.50"))
    assert holds.post_hold(hold_id=placed.pk, draft=payment, actor=SYSTEM).pk == entry.pk
    assert balance_of(bank) == Decimal("0.50")


def test_an_entry_must_take_the_held_money_and_no_more(
    entity: LegalEntity, bank: LedgerAccount, wallet: LedgerAccount
) -> None:
    placed = hold(wallet, "60")
    before = balances()

    for wrong in (
        draft(entity, (wallet, "D", "60.01"), (bank, "C", "60.01")),
        draft(entity, (wallet, "C", "60"), (bank, "D", "60")),
        draft(entity, (open_account(entity, "suspense"), "D", "60"), (bank, "C", "60")),
    ):
        with pytest.raises(InvalidInput):
            holds.post_hold(hold_id=placed.pk, draft=wrong, actor=SYSTEM)

    placed.refresh_from_db()
    assert placed.state == "pending"
    assert {key: value for key, value in balances().items() if key in before} == before
    assert JournalEntry.objects.count() == 1


def test_a_key_that_was_booked_without_the_hold_does_not_end_it(
    entity: LegalEntity, bank: LedgerAccount, wallet: LedgerAccount
) -> None:
    placed = hold(wallet, "50")
    post(entity, (wallet, "D", "10"), (bank, "C", "10"), idempotency_key="payment")

    with pytest.raises(IdempotencyMismatch):
        holds.post_hold(
            hold_id=placed.pk,
            draft=draft(entity, (wallet, "D", "10"), (bank, "C", "10"), idempotency_key="payment"),
            actor=SYSTEM,
        )

    placed.refresh_from_db()
    assert placed.state == "pending"
    assert (balance_of(wallet), available_of(wallet)) == (90, 40)


def test_voiding_frees_the_money_once(entity: LegalEntity, bank: LedgerAccount, wallet: LedgerAccount) -> None:
    placed = hold(wallet, "60")

    holds.void_hold(hold_id=placed.pk)
    holds.void_hold(hold_id=placed.pk)

    assert available_of(wallet) == 100
    with pytest.raises(IllegalTransition):
        holds.post_hold(hold_id=placed.pk, draft=draft(entity, (wallet, "D", "1"), (bank, "C", "1")), actor=SYSTEM)
    assert hold(wallet, "60").state == "voided"
    assert available_of(wallet) == 100


def test_a_posted_hold_cannot_be_voided(entity: LegalEntity, bank: LedgerAccount, wallet: LedgerAccount) -> None:
    placed = hold(wallet, "60")
    holds.post_hold(hold_id=placed.pk, draft=draft(entity, (wallet, "D", "60"), (bank, "C", "60")), actor=SYSTEM)

    with pytest.raises(IllegalTransition):
        holds.void_hold(hold_id=placed.pk)

    assert balance_of(wallet) == 40


def test_holds_expire_at_their_time(entity: LegalEntity, bank: LedgerAccount, wallet: LedgerAccount) -> None:
    with time_machine.travel(datetime(2026, 3, 2, 12, tzinfo=UTC), tick=False) as moment:
        due = hold(wallet, "30", key="due", expires_at=clock.now() + timedelta(hours=1))
        hold(wallet, "30", key="later", expires_at=clock.now() + timedelta(hours=2))
        hold(wallet, "30", key="never")
        assert holds.expire_holds() == 0

        moment.shift(timedelta(hours=1))

        with pytest.raises(IllegalTransition):
            holds.post_hold(hold_id=due.pk, draft=draft(entity, (wallet, "D", "1"), (bank, "C", "1")), actor=SYSTEM)
        assert holds.expire_holds() == 1
        assert holds.expire_holds() == 0

    due.refresh_from_db()
    assert due.state == "expired"
    assert available_of(wallet) == 40


@pytest.mark.parametrize("amount", ["0", "-1", "0.001"])
def test_a_hold_has_an_amount_that_can_be_booked(wallet: LedgerAccount, amount: str) -> None:
    with pytest.raises(InvalidInput):
        hold(wallet, amount)

    assert not Hold.objects.exists()
