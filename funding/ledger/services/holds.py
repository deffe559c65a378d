"""Money set aside before an outside call: placed, then posted, voided or expired.

A hold lowers what may be spent and moves nothing. Posting it releases the hold and books the entry in one transaction;
the rest of a hold that is posted in part is free again.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from backoffice.core.services.switches import Switch, register_guard, require_open
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import IdempotencyMismatch, IllegalTransition, InvalidInput, NotFound
from funding.ledger import rules
from funding.ledger.chart import AccountKind
from funding.ledger.database import book
from funding.ledger.locks import bound_lock_waits, lock_balances, lock_hold
from funding.ledger.models import Hold, JournalEntry, LedgerAccount
from funding.ledger.services import entries
from funding.ledger.types import EntryDraft, PostingLine

EXPIRE_AT_A_TIME = 500
"""Upper bound of holds that one run of `expire_holds` ends."""

# Setting money aside is the first step of paying it out. What was set aside before a stop may still be posted: the
# outside call, which is the step after this one, has been made by then, and the books must say so.
_SWITCHES = {
    AccountKind.CLIENT_LIABILITY.value: Switch.WITHDRAWALS,
    AccountKind.CLIENT_WALLET.value: Switch.WITHDRAWALS,
    AccountKind.PARTNER_PAYABLE.value: Switch.PAYOUTS,
    AccountKind.PARTNER_WALLET.value: Switch.PAYOUTS,
}
for _switch in (Switch.WITHDRAWALS, Switch.PAYOUTS):
    register_guard("funding.ledger.services.holds.place_hold", _switch)


@transaction.atomic
def place_hold(
    *,
    account_id: int,
    amount: Decimal,
    reason: str,
    idempotency_key: str,
    expires_at: datetime | None = None,
) -> Hold:
    """Sets money aside on an account. The same key and input returns the hold that exists, whatever its state by now.

    Raises `InsufficientFunds` when less is available, `IdempotencyMismatch` when the key stands for another hold, and
    `SwitchedOff` for money of clients while withdrawals, of partners while payouts are stopped.
    """
    account = LedgerAccount.objects.filter(pk=account_id).first()
    if account is None:
        raise NotFound("No such ledger account.", account_id=account_id)
    rules.checked_amount(amount, account.currency)
    if not idempotency_key:
        raise InvalidInput("A hold needs a key.", field="idempotency_key")
    switch = _SWITCHES.get(account.kind)
    if switch is not None and not Hold.objects.filter(idempotency_key=idempotency_key).exists():
        require_open(switch, entity_id=account.entity_id)
    digest = rules.hold_hash(account_id=account_id, amount=amount, reason=reason)
    with book():
        lock_balances([account_id])
        hold, created = Hold.objects.get_or_create(
            idempotency_key=idempotency_key,
            defaults={
                "account_id": account_id,
                "amount": amount,
                "reason": reason,
                "input_hash": digest,
                "expires_at": expires_at,
            },
        )
    if not created and bytes(hold.input_hash) != digest:
        raise IdempotencyMismatch("This key stands for another hold.", key=idempotency_key)
    return hold


@transaction.atomic
def post_hold(*, hold_id: int, draft: EntryDraft, actor: Actor) -> JournalEntry:
    """Ends a hold by booking the entry for which it was placed; the entry takes at most the held amount from the account.

    Repeating it with the same draft returns the entry. Raises `IllegalTransition` when the hold ended otherwise, also by
    its expiry time.
    """
    checked = entries.checked_drafts([draft])
    hold = _locked(hold_id)
    if hold.state == Hold.State.POSTED:
        return _posted_entry(hold, entries.post_entry(draft=draft, actor=actor))
    _require_pending(hold)
    if hold.expires_at is not None and hold.expires_at <= clock.now():
        raise IllegalTransition("The hold has expired.", hold_id=hold.pk, state=hold.state)
    _require_covered(hold, checked[0][1])
    with book():
        bound_lock_waits()
        made = entries.insert_entries(checked, actor=actor)
        if draft.idempotency_key not in made:
            raise IdempotencyMismatch("This key was booked without the hold.", key=draft.idempotency_key)
        entry_id = made[draft.idempotency_key]
        # The hold ends before the money moves: what it held must be free for its own entry.
        _end(hold, Hold.State.POSTED, entry_id=entry_id)
        entries.insert_postings([(entry_id, checked[0][1])])
    return JournalEntry.objects.get(pk=entry_id)


@transaction.atomic
def void_hold(*, hold_id: int) -> Hold:
    """Frees the money again; nothing moves. Repeating it changes nothing; a posted hold refuses (`IllegalTransition`)."""
    hold = _locked(hold_id)
    if hold.state in (Hold.State.VOIDED, Hold.State.EXPIRED):
        return hold
    _require_pending(hold)
    with book():
        _end(hold, Hold.State.VOIDED)
    return hold


@transaction.atomic
def expire_holds() -> int:
    """Ends holds whose time is over, at most `EXPIRE_AT_A_TIME` of them; how many. Holds locked by others wait for the next run."""
    due = list(
        Hold.objects.select_for_update(skip_locked=True, no_key=True)
        .filter(state=Hold.State.PENDING, expires_at__lte=clock.now())
        .order_by("expires_at", "pk")
        .values_list("pk", flat=True)[:EXPIRE_AT_A_TIME]
    )
    if due:
        with book():
            bound_lock_waits()
            Hold.objects.filter(pk__in=due).update(state=Hold.State.EXPIRED, finished_at=clock.now())
    return len(due)


def _locked(hold_id: int) -> Hold:
    with book():
        hold = lock_hold(hold_id)
    if hold is None:
        raise NotFound("No such hold.", hold_id=hold_id)
    return hold


def _require_pending(hold: Hold) -> None:
    if hold.state != Hold.State.PENDING:
        raise IllegalTransition(f"The hold is {hold.state} already.", hold_id=hold.pk, state=hold.state)


def _require_covered(hold: Hold, lines: list[PostingLine]) -> None:
    account = LedgerAccount.objects.get(pk=hold.account_id)
    taking = "C" if account.is_debit_normal else "D"
    taken = [line.amount for line in lines if line.account_id == account.pk and line.side == taking]
    if not taken or taken[0] > hold.amount:
        raise InvalidInput(
            f"The entry must take at most the held {hold.amount} {account.currency} from the account.",
            field="lines",
            hold_id=hold.pk,
        )


def _posted_entry(hold: Hold, entry: JournalEntry) -> JournalEntry:
    if hold.entry_id != entry.pk:
        raise IllegalTransition("The hold was posted by another entry.", hold_id=hold.pk, entry_id=hold.entry_id)
    return entry


def _end(hold: Hold, state: Hold.State, *, entry_id: int | None = None) -> None:
    hold.state, hold.entry_id, hold.finished_at = state, entry_id, clock.now()
    hold.save(update_fields=["state", "entry", "finished_at"])
