"""Booking and reversing entries. Nothing else writes postings.

Repeating a request is harmless: a key stands for one request and books once, whoever sends it again and however often.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from django.db import connection, transaction

from backoffice.core.access import authorise, visible_to
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, IdempotencyMismatch, InvalidInput, NotFound
from backoffice.kernel.ids import uuid7
from backoffice.kernel.registry import Registry
from funding.ledger import rules
from funding.ledger.database import book
from funding.ledger.locks import bound_lock_waits
from funding.ledger.models import JournalEntry, Posting
from funding.ledger.services.periods import booking_day
from funding.ledger.types import EntryDraft, PostingLine, PostingSide

__all__ = [
    "EntryDraft",
    "PostingLine",
    "find_by_key",
    "is_reversible",
    "post_entries",
    "post_entry",
    "register_derived_source",
    "reverse_entry",
    "was_booked_now",
]

MAXIMUM_ENTRIES = 50_000
"""Upper bound of entries in one call."""

_derived_sources: Registry[str] = Registry("derived sources of entries")

_INSERT_ENTRIES = """
INSERT INTO ledger_journalentry
    (public_id, entity_id, kind, business_day, refers_to_day, description, idempotency_key, input_hash, reverses_id,
     reason, actor, source_type, source_id, created_at, reopening_id)
SELECT public_id, entity_id, kind, business_day, refers_to_day, description, idempotency_key, decode(input_hash, 'hex'),
       reverses_id, reason, %s, source_type, source_id, %s, ledger_open_again(entity_id, business_day)
FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::date[], %s::date[], %s::text[], %s::text[], %s::text[],
            %s::bigint[], %s::text[], %s::text[], %s::bigint[])
    AS made (public_id, entity_id, kind, business_day, refers_to_day, description, idempotency_key, input_hash,
             reverses_id, reason, source_type, source_id)
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING id, idempotency_key
"""

_INSERT_POSTINGS = """
INSERT INTO ledger_posting (entry_id, account_id, side, amount, currency)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::numeric[], %s::text[])
"""


def register_derived_source(source_type: str, correction: str) -> None:
    """Declares that entries of a source are target minus booked: they are corrected at the source, never reversed by hand.

    *correction* tells people where to correct instead.
    """
    _derived_sources.register(source_type, correction)


def post_entry(*, draft: EntryDraft, actor: Actor) -> JournalEntry:
    """Books one entry. The same key with the same input returns the entry that exists; see `post_entries` for refusals."""
    return post_entries(drafts=[draft], actor=actor)[0]


def post_entries(*, drafts: Sequence[EntryDraft], actor: Actor) -> list[JournalEntry]:
    """Books many entries in few statements: all of them or none. Returned in the order of the drafts.

    Raises `InvalidInput` (unbalanced, too fine an amount, wrong entity), `CurrencyMismatch`, `IdempotencyMismatch`
    (a key that stands for another request), `InsufficientFunds` (a floor or a hold would be crossed), `Conflict`
    (`day_closed`, `account_frozen`) and `Retryable` (a lock was not free in time). The caller has authorised the actor.
    """
    return write_entries(checked_drafts(drafts), actor=actor)


@transaction.atomic
def reverse_entry(*, entry_id: int, actor: Actor, reason: str, business_day: date | None = None) -> JournalEntry:
    """Books the opposite of an entry in an open day (by default the first open one from today), saying why.

    Repeating it with the same reason returns the reversal. Raises `Conflict` when it was reversed for another reason, is
    itself a reversal, or follows from a source that is corrected there instead; `InsufficientFunds` when the money is no
    longer on the account that would give it back.
    """
    authorise(actor, "funding.reverse_entry")
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    entry = visible_to(JournalEntry.objects.all(), actor).filter(pk=entry_id).first()
    if entry is None:
        raise NotFound("No such entry, or it is not yours to see.", entry_id=entry_id)
    known = JournalEntry.objects.filter(reverses=entry, reason=reason.strip()).first()
    if known is not None:
        return known
    _refuse_irreversible(entry)
    day = booking_day(entity_id=entry.entity_id, business_day=business_day or clock.today_business_day())
    draft = EntryDraft(
        entity_id=entry.entity_id,
        kind=JournalEntry.Kind.REVERSAL,
        business_day=day,
        refers_to_day=entry.business_day if entry.business_day < day else None,
        description=f"Reversal of entry {entry.pk}: {entry.description}"[:255],
        lines=rules.reversed_lines(_lines_of(entry)),
        idempotency_key=f"reversal:{entry.pk}",
        source_type=entry.source_type,
        source_id=entry.source_id,
        reason=reason.strip(),
        reverses_id=entry.pk,
    )
    reversal = post_entry(draft=draft, actor=actor)
    audit.record(
        actor=actor,
        action="funding.reverse_entry",
        target=entry,
        reason=reason,
        changes={"reversal": reversal.pk},
        entity_id=entry.entity_id,
    )
    return reversal


def is_reversible(entry: JournalEntry) -> bool:
    """Whether an entry may be reversed by hand as things stand."""
    return (
        entry.kind != JournalEntry.Kind.REVERSAL
        and entry.source_type not in _derived_sources
        and not JournalEntry.objects.filter(reverses=entry).exists()
    )


def find_by_key(idempotency_key: str) -> JournalEntry | None:
    """The entry that a key stands for, if it was booked."""
    return JournalEntry.objects.filter(idempotency_key=idempotency_key).first()


def was_booked_now(entry: JournalEntry) -> bool:
    """Whether the entry was booked by the running transaction: false for a request that had come before."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text")
        return bool(entry.made_in == int(cursor.fetchone()[0]))


# From here on: steps shared with the services of this package, not for other rooms.

CheckedDraft = tuple[EntryDraft, list[PostingLine], bytes]


def checked_drafts(drafts: Sequence[EntryDraft]) -> list[CheckedDraft]:
    """The drafts with their net lines and input hashes, refused if any cannot be booked."""
    if len(drafts) > MAXIMUM_ENTRIES:
        raise InvalidInput(f"At most {MAXIMUM_ENTRIES} entries at a time.", field="drafts")
    checked = []
    by_key: dict[str, bytes] = {}
    for draft in drafts:
        lines = rules.checked_lines(draft)
        digest = rules.input_hash(draft, lines)
        if by_key.setdefault(draft.idempotency_key, digest) != digest:
            raise _mismatch(draft.idempotency_key)
        checked.append((draft, lines, digest))
    return checked


def write_entries(checked: Sequence[CheckedDraft], *, actor: Actor) -> list[JournalEntry]:
    """Inserts entries and postings of checked drafts; existing keys must stand for the same input."""
    if not checked:
        return []
    with book():
        bound_lock_waits()
        made = insert_entries(checked, actor=actor)
        insert_postings((made[draft.idempotency_key], lines) for draft, lines, _ in _first_of_each_key(checked, made))
        entries = JournalEntry.objects.in_bulk(
            [draft.idempotency_key for draft, _, _ in checked], field_name="idempotency_key"
        )
        for draft, _, digest in checked:
            if bytes(entries[draft.idempotency_key].input_hash) != digest:
                raise _mismatch(draft.idempotency_key)
    return [entries[draft.idempotency_key] for draft, _, _ in checked]


def insert_entries(checked: Sequence[CheckedDraft], *, actor: Actor) -> dict[str, int]:
    """Inserts the entries that are new; their ids by key. In order of key, so that two batches cannot wait crosswise."""
    ordered = sorted(
        {draft.idempotency_key: (draft, digest) for draft, _, digest in checked}.values(),
        key=lambda pair: pair[0].idempotency_key,
    )
    drafts = [draft for draft, _ in ordered]
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT_ENTRIES,
            [
                actor.label[:200],
                clock.now(),
                [str(uuid7()) for _ in drafts],
                [draft.entity_id for draft in drafts],
                [str(draft.kind) for draft in drafts],
                [draft.business_day for draft in drafts],
                [draft.refers_to_day for draft in drafts],
                [draft.description[:255] for draft in drafts],
                [draft.idempotency_key for draft in drafts],
                [digest.hex() for _, digest in ordered],
                [draft.reverses_id for draft in drafts],
                [draft.reason for draft in drafts],
                [draft.source_type for draft in drafts],
                [draft.source_id for draft in drafts],
            ],
        )
        return {key: entry_id for entry_id, key in cursor.fetchall()}


def insert_postings(entries: Iterable[tuple[int, Sequence[PostingLine]]]) -> None:
    """Inserts the postings of new entries in one statement, which the database checks and applies as a whole."""
    rows = [(entry_id, line) for entry_id, lines in entries for line in lines]
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT_POSTINGS,
            [
                [entry_id for entry_id, _ in rows],
                [line.account_id for _, line in rows],
                [line.side for _, line in rows],
                [line.amount for _, line in rows],
                [line.currency for _, line in rows],
            ],
        )


def _first_of_each_key(checked: Sequence[CheckedDraft], made: dict[str, int]) -> list[CheckedDraft]:
    firsts: dict[str, CheckedDraft] = {}
    for item in checked:
        if item[0].idempotency_key in made:
            firsts.setdefault(item[0].idempotency_key, item)
    return list(firsts.values())


def _refuse_irreversible(entry: JournalEntry) -> None:
    if entry.kind == JournalEntry.Kind.REVERSAL:
        raise Conflict("A reversal is not reversed; book the entry again.", code="is_reversal", entry_id=entry.pk)
    if entry.source_type in _derived_sources:
        raise Conflict(
            f"This entry follows from its source: {_derived_sources.get(entry.source_type)}.",
            code="derived_entry",
            entry_id=entry.pk,
        )
    if JournalEntry.objects.filter(reverses=entry).exists():
        raise Conflict("The entry is reversed already.", code="already_reversed", entry_id=entry.pk)


def _lines_of(entry: JournalEntry) -> list[PostingLine]:
    return [
        PostingLine(account_id=account_id, side=_side(side), amount=amount, currency=currency)
        for account_id, side, amount, currency in Posting.objects.filter(entry=entry).values_list(
            "account_id", "side", "amount", "currency"
        )
    ]


def _side(text: str) -> PostingSide:
    return "D" if text == Posting.Side.DEBIT else "C"


def _mismatch(key: str) -> IdempotencyMismatch:
    return IdempotencyMismatch("This key stands for another booking.", key=key)
