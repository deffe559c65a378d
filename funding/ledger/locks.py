"""The locks of the ledger, written once.

One global order for everybody: client, trading account, wallet, then here: the books of the entity (shared, taken by the
database when an entry is inserted), ledger balances by account id, then documents. The database locks the balances of
one statement in that order by itself. Whoever posts several entries in one transaction and touches the same accounts as
others calls `lock_balances` first with all of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection

from funding.ledger.models import AccountBalance, Hold

LOCK_TIMEOUT_MILLISECONDS = 3000


def bound_lock_waits() -> None:
    """Lets the running transaction wait for a lock at most three seconds; then it fails as `Retryable`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_TIMEOUT_MILLISECONDS}ms"])


def lock_balances(account_ids: Iterable[int]) -> dict[int, AccountBalance]:
    """The balances of the accounts, locked in order of account until the transaction ends."""
    bound_lock_waits()
    locked = AccountBalance.objects.select_for_update(no_key=True).filter(pk__in=set(account_ids)).order_by("pk")
    return {balance.pk: balance for balance in locked}


def lock_books_alone(entity_id: int) -> None:
    """Waits until no booking of the entity is under way and lets none begin until the transaction ends.

    For what must see the books at rest: closing a month, revaluing a day. It comes before the balances, like the shared
    lock that every booking takes. Call it inside `database.book`, which turns a lock that is not free into `Retryable`.
    """
    bound_lock_waits()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(ledger_books_lock_key(%s))", [entity_id])


def lock_hold(hold_id: int) -> Hold | None:
    """The hold, locked until the transaction ends, or None if there is none."""
    bound_lock_waits()
    return Hold.objects.select_for_update(no_key=True).filter(pk=hold_id).first()
