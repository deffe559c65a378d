"""Many threads on the same money, each in real transactions of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from random import Random
from threading import Barrier

import pytest
from django.db import connection

from backoffice.core.books import verify_books
from backoffice.kernel.errors import Conflict, DomainError, InsufficientFunds
from funding.ledger.models import ClosedDay, Hold, JournalEntry, LedgerAccount
from funding.ledger.selectors import available_of, balance_of
from funding.ledger.services import entries, holds
from funding.ledger.services.accounts import get_account
from funding.ledger.services.periods import close_day
from tests.factories.platform import MONDAY, SYSTEM, make_entity
from tests.funding.ledger_help import draft, open_account, post

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = int(os.environ.get("LEDGER_RACE_THREADS", "16"))
LEDGER_CHECKS = ["ledger.entries_balance", "ledger.balances_equal_postings", "ledger.holds_consistent"]


def at_once(tasks: list[Callable[[], object]]) -> list[object]:
    """Runs every task in a thread with a connection of its own, all starting together; results or domain errors."""
    barrier = Barrier(len(tasks), timeout=30)

    def run(task: Callable[[], object]) -> object:
        try:
            barrier.wait()
            return task()
        except DomainError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=len(tasks)) as pool:
        return list(pool.map(run, tasks))


def refused(results: list[object], kind: type[DomainError]) -> int:
    """How many results are a refusal of this kind; no other refusal may be among them."""
    errors = [result for result in results if isinstance(result, DomainError)]
    assert [error for error in errors if not isinstance(error, kind)] == []
    return len(errors)


def wallet_of(amount: str) -> tuple[LedgerAccount, LedgerAccount]:
    """A bank account and a wallet that holds this much."""
    entity = make_entity()
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=1)
    post(entity, (bank, "D", amount), (wallet, "C", amount))
    return bank, wallet


def test_parallel_withdrawals_never_overdraw_a_wallet() -> None:
    bank, wallet = wallet_of("100")
    payable = Decimal(100) // Decimal(7)

    results = at_once(
        [lambda: post(wallet.entity, (wallet, "D", "7"), (bank, "C", "7")) for _ in range(max(THREADS, 16))]
    )

    assert len(results) - refused(results, InsufficientFunds) == payable
    assert balance_of(wallet) == 100 - 7 * payable
    assert balance_of(wallet) == balance_of(bank)
    assert verify_books(LEDGER_CHECKS)["ok"]


def test_one_key_from_many_threads_books_once() -> None:
    bank, wallet = wallet_of("100")
    withdrawal = draft(wallet.entity, (wallet, "D", "7"), (bank, "C", "7"))

    results = at_once([lambda: entries.post_entry(draft=withdrawal, actor=SYSTEM).pk for _ in range(THREADS)])

    assert len(set(results)) == 1
    assert balance_of(wallet) == 93


def test_transfers_in_every_direction_neither_wait_crosswise_nor_lose_money() -> None:
    entity = make_entity()
    bank = open_account(entity, "bank")
    wallets = [open_account(entity, "client_wallet", owner=number) for number in range(1, 6)]
    for wallet in wallets:
        post(entity, (bank, "D", "50"), (wallet, "C", "50"))
    seed = 20260302
    print("seed", seed)

    def move(number: int) -> int:
        random = Random(seed + number)
        for _ in range(8):
            giver, taker = random.sample(wallets, 2)
            amount = str(random.randint(1, 30))
            try:
                post(entity, (giver, "D", amount), (taker, "C", amount))
            except InsufficientFunds:
                continue
        return number

    results = at_once([lambda number=number: move(number) for number in range(THREADS)])  # type: ignore[misc]

    assert sorted(results) == list(range(THREADS))  # type: ignore[type-var]
    assert sum(balance_of(wallet) for wallet in wallets) == 250
    assert min(balance_of(wallet) for wallet in wallets) >= 0
    assert verify_books(LEDGER_CHECKS)["ok"]


def test_batches_over_the_same_accounts_in_opposite_orders_do_not_wait_crosswise() -> None:
    entity = make_entity()
    bank = open_account(entity, "bank")
    wallets = [open_account(entity, "client_wallet", owner=number) for number in range(1, 21)]

    def batch(number: int) -> int:
        ordered = wallets if number % 2 else list(reversed(wallets))
        drafts = [draft(entity, (bank, "D", "1"), (wallet, "C", "1")) for wallet in ordered]
        return len(entries.post_entries(drafts=drafts, actor=SYSTEM))

    results = at_once([lambda number=number: batch(number) for number in range(8)])  # type: ignore[misc]

    assert results == [20] * 8
    assert {balance_of(wallet) for wallet in wallets} == {Decimal(8)}


def test_holds_and_withdrawals_share_what_is_available() -> None:
    bank, wallet = wallet_of("100")

    def place(number: int) -> object:
        return holds.place_hold(account_id=wallet.pk, amount=Decimal(9), reason="r", idempotency_key=f"hold {number}")

    def withdraw() -> object:
        return post(wallet.entity, (wallet, "D", "9"), (bank, "C", "9"))

    tasks = [
        withdraw if number % 2 else (lambda number=number: place(number))  # type: ignore[misc]
        for number in range(max(THREADS, 16))
    ]
    results = at_once(tasks)

    assert len(results) - refused(results, InsufficientFunds) == 11
    assert available_of(wallet) == 1
    assert balance_of(wallet) == 1 + 9 * Hold.objects.count()
    assert verify_books(LEDGER_CHECKS)["ok"]


def test_a_hold_ends_once_however_many_end_it() -> None:
    bank, wallet = wallet_of("100")
    hold = holds.place_hold(account_id=wallet.pk, amount=Decimal(60), reason="r", idempotency_key="hold")
    payment = draft(wallet.entity, (wallet, "D", "60"), (bank, "C", "60"))

    def pay() -> object:
        return holds.post_hold(hold_id=hold.pk, draft=payment, actor=SYSTEM).pk

    def void() -> object:
        return holds.void_hold(hold_id=hold.pk).state

    results = at_once([pay if number % 2 else void for number in range(8)])

    hold.refresh_from_db()
    refused(results, Conflict)
    assert available_of(wallet) == (40 if hold.state == Hold.State.POSTED else 100)
    assert JournalEntry.objects.count() == (2 if hold.state == Hold.State.POSTED else 1)


def test_a_day_closes_behind_the_bookings_under_way() -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")

    def book() -> object:
        return post(entity, (bank, "D", "1"), (suspense, "C", "1")).created_at

    def close() -> object:
        return close_day(entity_id=entity.pk, business_day=MONDAY, actor=SYSTEM)

    results = at_once([close if number == 3 else book for number in range(8)])

    late = [result for result in results if isinstance(result, Conflict)]
    assert refused(results, Conflict) == len(late)
    assert {error.code for error in late} <= {"day_closed"}
    assert balance_of(bank) == 7 - len(late)
    assert ClosedDay.objects.count() == 1


def test_an_account_is_made_once() -> None:
    entity = make_entity()

    made = at_once(
        [
            lambda: (
                get_account(
                    entity_id=entity.pk, kind="partner_wallet", currency="USD", owner_type="partner", owner_id=1
                ).pk
            )
            for _ in range(8)
        ]
    )

    assert len(set(made)) == 1
