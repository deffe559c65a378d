"""Money that arrives from clients and money that is paid to them, between the outside and suspense.

The trading server's balance operation takes the other half: when it is posted with the day's results, suspense of that
account returns to zero. What stays in suspense is money that arrived and was not credited, or was taken and not paid.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from django.db import transaction

from backoffice.core.access import authorise
from backoffice.core.services import audit, outbox
from backoffice.core.services.switches import Switch, register_guard, require_open
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import CurrencyMismatch, InvalidInput
from crm.selectors import get_client
from funding import rules
from funding.events import DEPOSIT_RECEIVED, WITHDRAWAL_PAID
from funding.ledger.chart import AccountKind
from funding.ledger.models import JournalEntry
from funding.ledger.services.accounts import get_account
from funding.ledger.services.entries import find_by_key, post_entry, was_booked_now
from funding.ledger.services.periods import booking_day
from funding.ledger.types import EntryDraft, PostingLine, PostingSide
from funding.selectors import require_account

MAXIMUM_REFERENCE = 100


class Method(StrEnum):
    """Where the money is on the outside."""

    BANK = "bank"
    PSP = "psp"


_OUTSIDE = {Method.BANK: AccountKind.BANK, Method.PSP: AccountKind.PSP}


@dataclass(frozen=True, slots=True)
class _Direction:
    """What makes a deposit a deposit, or a withdrawal a withdrawal."""

    kind: str
    title: str
    outside_side: PostingSide
    suspense_side: PostingSide
    action: str
    topic: str
    switch: Switch | None


_IN = _Direction(JournalEntry.Kind.DEPOSIT, "Deposit", "D", "C", "funding.receive_deposit", DEPOSIT_RECEIVED, None)
_OUT = _Direction(
    JournalEntry.Kind.WITHDRAWAL, "Withdrawal", "C", "D", "funding.pay_withdrawal", WITHDRAWAL_PAID, Switch.WITHDRAWALS
)
register_guard("funding.services.deposits.pay_withdrawal", Switch.WITHDRAWALS)


@dataclass(frozen=True, slots=True)
class _Movement:
    """The request, as it was given."""

    amount: Decimal
    currency: str
    method: str
    reference: str
    idempotency_key: str
    account_id: int | None
    client_id: int | None
    business_day: date | None


@dataclass(frozen=True, slots=True)
class _Owner:
    """Whose suspense account the money stands on."""

    entity_id: int
    owner_type: str
    owner_id: int
    title: str


@transaction.atomic(durable=True)
def receive_deposit(
    *,
    amount: Decimal,
    currency: str,
    method: str,
    reference: str,
    actor: Actor,
    idempotency_key: str,
    account_id: int | None = None,
    client_id: int | None = None,
    business_day: date | None = None,
) -> JournalEntry:
    """Books money that arrived for a trading account, or for a client whose account is not known yet.

    *method* is `bank` or `psp`, *reference* the bank's or provider's own; *business_day* is the day of arrival, today by
    default (an adjustment in the first open day if it is closed). Repeating the key books once. Raises
    `CurrencyMismatch` when the account is kept in another currency.
    """
    movement = _Movement(amount, currency, method, reference, idempotency_key, account_id, client_id, business_day)
    return _book(movement, _IN, actor)


@transaction.atomic(durable=True)
def pay_withdrawal(
    *,
    amount: Decimal,
    currency: str,
    method: str,
    reference: str,
    actor: Actor,
    idempotency_key: str,
    account_id: int | None = None,
    client_id: int | None = None,
    business_day: date | None = None,
) -> JournalEntry:
    """Books money that was paid out for a trading account or a client; otherwise like `receive_deposit`.

    Raises `SwitchedOff` while withdrawals are stopped; what was booked before is still returned for its key.
    """
    movement = _Movement(amount, currency, method, reference, idempotency_key, account_id, client_id, business_day)
    return _book(movement, _OUT, actor)


def _book(movement: _Movement, direction: _Direction, actor: Actor) -> JournalEntry:
    authorise(actor, direction.action)
    _check(movement)
    owner = _owner(movement, actor)
    if direction.switch is not None and find_by_key(movement.idempotency_key) is None:
        require_open(direction.switch, entity_id=owner.entity_id)
    entry = post_entry(draft=_draft(movement, direction, owner), actor=actor)
    if was_booked_now(entry):
        facts = {
            "entry_id": entry.pk,
            "account_id": movement.account_id,
            "client_id": movement.client_id,
            "amount": str(movement.amount),
            "currency": movement.currency,
        }
        audit.record(
            actor=actor,
            action=direction.action,
            target=entry,
            changes={**facts, "reference": movement.reference},
            entity_id=owner.entity_id,
        )
        outbox.publish(topic=direction.topic, payload=facts, shard_key=f"{owner.owner_type}:{owner.owner_id}")
    return entry


def _check(movement: _Movement) -> None:
    if (movement.account_id is None) == (movement.client_id is None):
        raise InvalidInput("Name either a trading account or a client.", field="account_id")
    if movement.method not in set(Method):
        raise InvalidInput("Money comes and goes by bank or psp.", field="method", value=movement.method)
    if not 0 < len(movement.reference.strip()) <= MAXIMUM_REFERENCE:
        raise InvalidInput(f"Give the outside reference, at most {MAXIMUM_REFERENCE} characters.", field="reference")


def _owner(movement: _Movement, actor: Actor) -> _Owner:
    if movement.account_id is None:
        assert movement.client_id is not None
        client = get_client(actor=actor, client_id=movement.client_id)
        return _Owner(client.entity_id, rules.CLIENT, client.pk, f"client {client.reference}")
    account = require_account(movement.account_id, actor=actor)
    if account.currency != movement.currency:
        raise CurrencyMismatch(
            f"Account {account.login} is kept in {account.currency}, not in {movement.currency}.",
            field="currency",
            value=movement.currency,
        )
    return _Owner(account.entity_id, rules.TRADING_ACCOUNT, account.pk, f"account {account.login}")


def _draft(movement: _Movement, direction: _Direction, owner: _Owner) -> EntryDraft:
    outside = get_account(entity_id=owner.entity_id, kind=_OUTSIDE[Method(movement.method)], currency=movement.currency)
    suspense = get_account(
        entity_id=owner.entity_id,
        kind=AccountKind.SUSPENSE,
        currency=movement.currency,
        owner_type=owner.owner_type,
        owner_id=owner.owner_id,
        name=f"{AccountKind.SUSPENSE.label}, {owner.title}",
    )
    arrived = movement.business_day or _day_of_first_request(movement.idempotency_key)
    booked_on = booking_day(entity_id=owner.entity_id, business_day=arrived)
    amount, currency = movement.amount, movement.currency
    return EntryDraft(
        entity_id=owner.entity_id,
        kind=direction.kind,
        business_day=booked_on,
        refers_to_day=arrived if booked_on != arrived else None,
        description=f"{direction.title} by {movement.method}, {owner.title}, {movement.reference.strip()}",
        lines=(
            PostingLine(outside.pk, direction.outside_side, amount, currency),
            PostingLine(suspense.pk, direction.suspense_side, amount, currency),
        ),
        idempotency_key=movement.idempotency_key,
        source_type=owner.owner_type,
        source_id=owner.owner_id,
        reason=movement.reference.strip(),
    )


def _day_of_first_request(key: str) -> date:
    """Today; for a request that comes again, the day on which it came first, so that it is still the same request."""
    known = find_by_key(key)
    return clock.today_business_day() if known is None else known.refers_to_day or known.business_day
