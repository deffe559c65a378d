"""Books what many owners gain or lose against one account of their entity, from sums: `entries.post_entries` in bulk.

A settlement owes thousands of partners at a time. Their postings are made, hashed and inserted by the database in one
statement; the rules are those of every entry and held by the same triggers, and a key stands for the same request,
whichever of the two doors it came through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection

from backoffice.core.prepared import fetch_prepared
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import IdempotencyMismatch, InvalidInput
from backoffice.kernel.ids import uuid7
from funding.ledger import rules
from funding.ledger.chart import AccountKind
from funding.ledger.database import book
from funding.ledger.locks import bound_lock_waits
from funding.ledger.models import JournalEntry
from funding.ledger.services.accounts import get_account_ids
from funding.ledger.types import AccountSpec, EntryDraft

FEW_OWNERS = 1_000
"""Up to so many the statements are not planned anew each time: for a hundred, planning took as long as posting."""


@dataclass(frozen=True, slots=True)
class OwnerSums:
    """An entry of one currency: what each owner gains (credited) or, below zero, gives back (debited), never zero.

    `contra` is the entity's own account that takes the other side. `entry` says everything else; its lines are empty.
    """

    entry: EntryDraft
    kind: AccountKind
    owner_type: str
    contra: AccountKind
    currency: str
    amounts: Mapping[int, Decimal]


# The digest is that of `rules.input_hash`, whose head each draft brings along. An entry is finished before its postings
# are made, so the books' lock comes before the balances' as everywhere.
_POST = """
WITH draft AS MATERIALIZED (
    SELECT * FROM unnest(%s::integer[], %s::uuid[], %s::bigint[], %s::text[], %s::date[], %s::date[], %s::text[], %s::text[],
                         %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])
        AS given (number, public_id, entity_id, kind, business_day, refers_to_day, description, idempotency_key, reason,
                  source_type, source_id, head, account_kind, owner_type, currency, contra_id)
), moved AS MATERIALIZED (
    SELECT draft.number, account.id AS account_id, -gained.amount AS debit
    FROM unnest(%s::integer[], %s::bigint[], %s::numeric[]) AS gained (number, owner_id, amount)
    JOIN draft ON draft.number = gained.number
    JOIN ledger_ledgeraccount AS account
      ON account.entity_id = draft.entity_id AND account.kind = draft.account_kind AND account.currency = draft.currency
     AND account.owner_type = draft.owner_type AND account.owner_id = gained.owner_id
    UNION ALL
    SELECT draft.number, draft.contra_id, sum(gained.amount)
    FROM unnest(%s::integer[], %s::numeric[]) AS gained (number, amount) JOIN draft ON draft.number = gained.number
    GROUP BY draft.number, draft.contra_id HAVING sum(gained.amount) <> 0
), side AS MATERIALIZED (
    SELECT number, account_id, CASE WHEN debit > 0 THEN 'D' ELSE 'C' END AS side, abs(debit) AS amount FROM moved
), hashed AS MATERIALIZED (
    SELECT draft.number, count(*) AS postings, sha256(convert_to(draft.head || string_agg(
               '[' || side.account_id || ',"' || side.side || '","' || trim_scale(side.amount) || '","' || draft.currency
               || '"]', ',' ORDER BY side.account_id) || ']]', 'UTF8')) AS input_hash
    FROM draft JOIN side ON side.number = draft.number GROUP BY draft.number, draft.head, draft.currency
), made AS (
    INSERT INTO ledger_journalentry
        (public_id, entity_id, kind, business_day, refers_to_day, description, idempotency_key, input_hash, reason, actor,
         source_type, source_id, created_at, reopening_id)
    SELECT draft.public_id, draft.entity_id, draft.kind, draft.business_day, draft.refers_to_day, draft.description,
           draft.idempotency_key, hashed.input_hash, draft.reason, %s, draft.source_type, draft.source_id, %s,
           ledger_open_again(draft.entity_id, draft.business_day)
    FROM draft JOIN hashed ON hashed.number = draft.number
    ORDER BY draft.idempotency_key
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING id, idempotency_key
), posted AS (
    INSERT INTO ledger_posting (entry_id, account_id, side, amount, currency)
    SELECT made.id, side.account_id, side.side, side.amount, draft.currency
    FROM made JOIN draft ON draft.idempotency_key = made.idempotency_key JOIN side ON side.number = draft.number
    ORDER BY made.id, side.account_id
)
SELECT draft.idempotency_key, hashed.input_hash, hashed.postings, made.id
FROM draft LEFT JOIN hashed ON hashed.number = draft.number
LEFT JOIN made ON made.idempotency_key = draft.idempotency_key
"""


# Owners without an account yet, and amounts that `rules.checked_amount` has to look at: usually none.
_NOT_READY = """
SELECT gained.number, gained.owner_id, account.id
FROM unnest(%s::integer[], %s::bigint[], %s::numeric[]) AS gained (number, owner_id, amount)
JOIN unnest(%s::integer[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::integer[])
    AS draft (number, entity_id, account_kind, owner_type, currency, digits) ON draft.number = gained.number
LEFT JOIN ledger_ledgeraccount AS account
  ON account.entity_id = draft.entity_id AND account.kind = draft.account_kind AND account.currency = draft.currency
 AND account.owner_type = draft.owner_type AND account.owner_id = gained.owner_id
WHERE account.id IS NULL OR gained.amount IN (0, 'NaN', 'Infinity', '-Infinity')
   OR scale(trim_scale(gained.amount)) > draft.digits
ORDER BY gained.number, gained.owner_id
"""


def post_owner_sums(*, drafts: Sequence[OwnerSums], actor: Actor, lock: Callable[[], None] | None = None) -> int:
    """Books an entry for each draft: all of them or none. How many were new; the others were booked before.

    Each draft has a key of its own. *lock* is called when the accounts are there and nothing is booked yet: a caller's own
    lock comes after the making of accounts, which waits for others who make the same. Raises what `entries.post_entries` raises. The caller has authorised the actor.
    """
    if not drafts:
        return 0
    _refuse_what_is_not_said_right(drafts)
    contra = _make_ready(drafts)
    if lock is not None:
        lock()
    with book():
        bound_lock_waits()
        rows = _rows(_POST, _parameters(drafts, contra, actor), drafts)
        known = {key: bytes(digest) for key, digest, _, entry_id in rows if entry_id is None}
        for entry in JournalEntry.objects.filter(idempotency_key__in=known) if known else ():
            if bytes(entry.input_hash) != known[entry.idempotency_key]:
                raise IdempotencyMismatch("This key stands for another booking.", key=entry.idempotency_key)
    return len(rows) - len(known)


def _rows(statement: str, parameters: list[Any], drafts: Sequence[OwnerSums]) -> list[tuple[Any, ...]]:
    if sum(len(draft.amounts) for draft in drafts) <= FEW_OWNERS:
        return fetch_prepared(statement, parameters)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def _parameters(drafts: Sequence[OwnerSums], contra: Sequence[int], actor: Actor) -> list[Any]:
    entries = [draft.entry for draft in drafts]
    numbers = [number for number, draft in enumerate(drafts) for _ in draft.amounts]
    amounts = [amount for draft in drafts for amount in draft.amounts.values()]
    return [
        list(range(len(drafts))),
        [str(uuid7()) for _ in drafts],
        [entry.entity_id for entry in entries],
        [str(entry.kind) for entry in entries],
        [entry.business_day for entry in entries],
        [entry.refers_to_day for entry in entries],
        [entry.description[:255] for entry in entries],
        [entry.idempotency_key for entry in entries],
        [entry.reason for entry in entries],
        [entry.source_type for entry in entries],
        [entry.source_id for entry in entries],
        [_head(entry) for entry in entries],
        [str(draft.kind) for draft in drafts],
        [draft.owner_type for draft in drafts],
        [draft.currency for draft in drafts],
        list(contra),
        numbers,
        [owner_id for draft in drafts for owner_id in draft.amounts],
        amounts,
        numbers,
        amounts,
        actor.label[:200],
        clock.now(),
    ]


def _head(entry: EntryDraft) -> str:
    """What `rules.input_hash` digests, up to the first line."""
    return rules.hashed_text(entry, []).removesuffix("]]")


def _refuse_what_is_not_said_right(drafts: Sequence[OwnerSums]) -> None:
    for draft in drafts:
        rules.check_entry(draft.entry, lines=len(draft.amounts))
        if Currency.of(draft.currency).code != draft.currency:
            raise InvalidInput("Currency codes are written in capitals.", field="currency", value=draft.currency)
    if len({draft.entry.idempotency_key for draft in drafts}) < len(drafts):
        raise InvalidInput("Every entry has a key of its own.", field="idempotency_key")


def _make_ready(drafts: Sequence[OwnerSums]) -> list[int]:
    """Makes the accounts that are missing and refuses amounts that cannot be booked; the account of each other side."""
    rows = _rows(_NOT_READY, _question(drafts), drafts)
    missing = []
    for number, owner_id, account_id in rows:
        draft = drafts[number]
        rules.checked_amount(abs(draft.amounts[owner_id]), draft.currency)
        if account_id is None:
            missing.append(_account_of(draft, owner_id))
    contra = [
        AccountSpec(entity_id=draft.entry.entity_id, kind=draft.contra, currency=draft.currency) for draft in drafts
    ]
    accounts = get_account_ids(specs=[*missing, *contra])
    return [accounts[spec] for spec in contra]


def _question(drafts: Sequence[OwnerSums]) -> list[Any]:
    return [
        [number for number, draft in enumerate(drafts) for _ in draft.amounts],
        [owner_id for draft in drafts for owner_id in draft.amounts],
        [amount for draft in drafts for amount in draft.amounts.values()],
        list(range(len(drafts))),
        [draft.entry.entity_id for draft in drafts],
        [str(draft.kind) for draft in drafts],
        [draft.owner_type for draft in drafts],
        [draft.currency for draft in drafts],
        [Currency.of(draft.currency).digits for draft in drafts],
    ]


def _account_of(draft: OwnerSums, owner_id: int) -> AccountSpec:
    return AccountSpec(
        entity_id=draft.entry.entity_id,
        kind=draft.kind,
        currency=draft.currency,
        owner_type=draft.owner_type,
        owner_id=owner_id,
    )
