"""Accounts of the chart: found or made, frozen and released."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from django.db import connection, transaction

from backoffice.core.access import authorise
from backoffice.core.services import audit
from backoffice.core.services.entities import require_permitted_currencies
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import InvalidInput, NotFound
from funding.ledger.chart import KIND_RULES, AccountKind, is_debit_normal
from funding.ledger.database import book
from funding.ledger.locks import lock_balances
from funding.ledger.models import LedgerAccount
from funding.ledger.types import AccountSpec

Found = TypeVar("Found")

MAXIMUM_ACCOUNTS = 500_000
"""Upper bound of accounts in one call."""

_FIND = """
SELECT {columns} FROM ledger_ledgeraccount a
JOIN unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::bigint[]) WITH ORDINALITY
    AS wanted (entity_id, kind, currency, owner_type, owner_id, place)
  ON (a.entity_id, a.kind, a.currency, a.owner_type, a.owner_id)
   = (wanted.entity_id, wanted.kind, wanted.currency, wanted.owner_type, wanted.owner_id)
"""

_INSERT = """
INSERT INTO ledger_ledgeraccount
    (entity_id, kind, account_class, currency, owner_type, owner_id, name, is_debit_normal, is_frozen, created_at)
SELECT entity_id, kind, account_class, currency, owner_type, owner_id, name, is_debit_normal, false, %s
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::boolean[])
    AS made (entity_id, kind, account_class, currency, owner_type, owner_id, name, is_debit_normal)
ORDER BY entity_id, kind, currency, owner_type, owner_id
ON CONFLICT (entity_id, kind, currency, owner_type, owner_id) DO NOTHING
"""


def get_account(
    *, entity_id: int, kind: str, currency: str, owner_type: str = "", owner_id: int = 0, name: str = ""
) -> LedgerAccount:
    """The account of the chart that is meant, made at its first use. The name matters only then."""
    spec = AccountSpec(
        entity_id=entity_id,
        kind=AccountKind(kind),
        currency=currency,
        owner_type=owner_type,
        owner_id=owner_id,
        name=name,
    )
    return get_accounts_bulk(specs=[spec])[spec]


def get_accounts_bulk(*, specs: Iterable[AccountSpec]) -> dict[AccountSpec, LedgerAccount]:
    """The accounts of many specs, missing ones made, in at most four statements whatever their number.

    Raises `InvalidInput` (`currency_not_permitted`) where an entity opens no accounts in a currency; nothing is made then.
    """
    return _found_or_made(specs, _find)


def get_account_ids(*, specs: Iterable[AccountSpec]) -> dict[AccountSpec, int]:
    """The ids of the accounts of many specs, missing ones made as by `get_accounts_bulk`: for whoever only posts to them."""
    return _found_or_made(specs, _find_ids)


def _found_or_made(
    specs: Iterable[AccountSpec], find: Callable[[Sequence[AccountSpec]], dict[AccountSpec, Found]]
) -> dict[AccountSpec, Found]:
    wanted = list(dict.fromkeys(specs))
    if len(wanted) > MAXIMUM_ACCOUNTS:
        raise InvalidInput(f"At most {MAXIMUM_ACCOUNTS} accounts at a time.", field="specs")
    for currency in {spec.currency for spec in wanted}:
        if Currency.of(currency).code != currency:
            raise InvalidInput("Currency codes are written in capitals.", field="currency", value=currency)
    found = find(wanted)
    missing = [spec for spec in wanted if spec not in found]
    if missing:
        require_permitted_currencies((spec.entity_id, spec.currency) for spec in missing)
        with book():
            _insert(missing)
        found.update(find(missing))
    return found


@transaction.atomic(durable=True)
def freeze_account(*, account_id: int, actor: Actor, reason: str) -> LedgerAccount:
    """Stops every debit of an account until it is released. Bookings under way are waited for."""
    return _set_frozen(account_id=account_id, frozen=True, actor=actor, reason=reason)


@transaction.atomic(durable=True)
def release_account(*, account_id: int, actor: Actor, reason: str) -> LedgerAccount:
    """Lets a frozen account be debited again."""
    return _set_frozen(account_id=account_id, frozen=False, actor=actor, reason=reason)


def _set_frozen(*, account_id: int, frozen: bool, actor: Actor, reason: str) -> LedgerAccount:
    authorise(actor, "funding.freeze_account")
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    account = LedgerAccount.objects.visible_to(actor).filter(pk=account_id).first()
    if account is None:
        raise NotFound("No such ledger account, or it is not yours to see.", account_id=account_id)
    with book():
        lock_balances([account_id])
        account.refresh_from_db()
        if account.is_frozen == frozen:
            return account
        account.is_frozen = frozen
        account.save(update_fields=["is_frozen"])
    audit.record(
        actor=actor,
        action="funding.freeze_account" if frozen else "funding.release_account",
        target=account,
        reason=reason,
        entity_id=account.entity_id,
    )
    return account


def _columns_of(specs: Sequence[AccountSpec]) -> list[list[Any]]:
    return [
        [spec.entity_id for spec in specs],
        [str(spec.kind) for spec in specs],
        [spec.currency for spec in specs],
        [spec.owner_type for spec in specs],
        [spec.owner_id for spec in specs],
    ]


def _find_ids(specs: Sequence[AccountSpec]) -> dict[AccountSpec, int]:
    with connection.cursor() as cursor:
        cursor.execute(_FIND.format(columns="wanted.place, a.id"), _columns_of(specs))
        return {specs[place - 1]: account_id for place, account_id in cursor.fetchall()}


def _find(specs: Sequence[AccountSpec]) -> dict[AccountSpec, LedgerAccount]:
    found = LedgerAccount.objects.raw(_FIND.format(columns="a.*"), _columns_of(specs))
    return {
        AccountSpec(
            entity_id=account.entity_id,
            kind=AccountKind(account.kind),
            currency=account.currency,
            owner_type=account.owner_type,
            owner_id=account.owner_id,
        ): account
        for account in found
    }


def _insert(specs: Sequence[AccountSpec]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT,
            [
                clock.now(),
                [spec.entity_id for spec in specs],
                [str(spec.kind) for spec in specs],
                [KIND_RULES[AccountKind(spec.kind)].account_class.value for spec in specs],
                [spec.currency for spec in specs],
                [spec.owner_type for spec in specs],
                [spec.owner_id for spec in specs],
                [_name(spec) for spec in specs],
                [is_debit_normal(AccountKind(spec.kind)) for spec in specs],
            ],
        )


def _name(spec: AccountSpec) -> str:
    owner = f" of {spec.owner_type.replace('_', ' ')} {spec.owner_id}" if spec.owner_type else ""
    return (spec.name or f"{AccountKind(spec.kind).label}{owner}, {spec.currency}")[:160]
