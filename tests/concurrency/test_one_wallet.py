"""Fifty callers on one wallet at the same instant: it never goes below zero, nothing is lost, one key has one effect."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from backoffice.core.books import verify_books
from backoffice.kernel.errors import DomainError, IdempotencyMismatch, InsufficientFunds, Retryable
from backoffice.kernel.ids import uuid7
from funding.ledger.models import JournalEntry, LedgerAccount, Posting
from funding.ledger.selectors import balance_of
from funding.ledger.services import entries, holds
from tests.factories.platform import SYSTEM, make_entity
from tests.funding.ledger_help import draft, open_account, post
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 50


def wallet_of(amount: str) -> tuple[LedgerAccount, LedgerAccount]:
    entity = make_entity()
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=1)
    post(entity, (bank, "D", amount), (wallet, "C", amount))
    return bank, wallet


def assert_conserved(bank: LedgerAccount, wallet: LedgerAccount) -> None:
    """What the wallet holds is what the bank holds for it; the ledger proves."""
    assert balance_of(wallet) >= 0
    assert balance_of(bank) == balance_of(wallet)
    assert verify_books(["ledger.entries_balance", "ledger.balances_equal_postings", "ledger.holds_consistent"])["ok"]


def test_fifty_withdrawals_take_what_there_is_and_not_a_cent_more() -> None:
    bank, wallet = wallet_of("100")
    # Given fifty requests of 7 of which 14 can be paid
    drafts = [draft(wallet.entity, (wallet, "D", "7"), (bank, "C", "7")) for _ in range(THREADS)]
    # When all come at once
    results = at_once(*(lambda each=each: entries.post_entry(draft=each, actor=SYSTEM) for each in drafts))  # type: ignore[misc]
    # Then fourteen are paid and the others refused for want of money
    assert Counter(type(result) for result in results) == {JournalEntry: 14, InsufficientFunds: 36}
    assert balance_of(wallet) == 2
    assert_conserved(bank, wallet)


def test_one_key_from_fifty_callers_has_one_effect_and_other_input_is_refused() -> None:
    bank, wallet = wallet_of("100")
    same = draft(wallet.entity, (wallet, "D", "60"), (bank, "C", "60"), idempotency_key="pay:1")
    other = draft(wallet.entity, (wallet, "D", "61"), (bank, "C", "61"), idempotency_key="pay:1")
    tasks = [same] * (THREADS - 5) + [other] * 5
    results = at_once(*(lambda each=each: entries.post_entry(draft=each, actor=SYSTEM) for each in tasks))  # type: ignore[misc]
    booked = {result.pk for result in results if isinstance(result, JournalEntry)}
    refused = [result for result in results if isinstance(result, DomainError)]
    assert len(booked) == 1
    assert {type(error) for error in refused} == {IdempotencyMismatch}
    assert balance_of(wallet) in {40, 39}
    assert Posting.objects.filter(entry_id__in=booked).count() == 2
    assert_conserved(bank, wallet)


def test_withdrawals_deposits_and_holds_together_keep_the_sum() -> None:
    bank, wallet = wallet_of("50")

    def withdraw() -> object:
        return post(wallet.entity, (wallet, "D", "9"), (bank, "C", "9"))

    def deposit() -> object:
        return post(wallet.entity, (bank, "D", "3"), (wallet, "C", "3"))

    def hold() -> object:
        return holds.place_hold(
            account_id=wallet.pk, amount=Decimal(4), reason="test", idempotency_key=f"hold:{uuid7()}"
        )

    tasks = [withdraw] * 20 + [deposit] * 20 + [hold] * 10
    results = at_once(*tasks)
    refusals = {type(result) for result in results if isinstance(result, DomainError)}
    assert refusals <= {InsufficientFunds, Retryable}
    paid = sum(isinstance(result, JournalEntry) for result in results[:20])
    given = sum(isinstance(result, JournalEntry) for result in results[20:40])
    assert given == 20
    assert balance_of(wallet) == 50 - 9 * paid + 3 * given
    assert_conserved(bank, wallet)
