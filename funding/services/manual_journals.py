"""Manual journals: what people book by hand, each proposed by one person and approved by another.

A proposal is a change request; only what was approved is booked, numbered and kept as a journal, so numbers have no gap.
Which accounts may be booked by hand is a rule of the kind: what follows from servers, settlements or rates is corrected at
its source and never here; client money takes a capability of its own, from both people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import transaction

from backoffice.core.access import authorise, get_visible, holds, visible_to
from backoffice.core.models import ChangeRequest, LegalEntity
from backoffice.core.services import audit, changes
from backoffice.core.services.idempotency import run_once
from backoffice.core.services.numbering import issue_number
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import is_business_day
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from backoffice.kernel.ids import uuid7
from funding import journal_rules
from funding.journal_rules import JournalLine
from funding.ledger import rules as ledger_rules
from funding.ledger.chart import KIND_RULES, AccountKind
from funding.ledger.models import AccountBalance, JournalEntry, LedgerAccount, Posting
from funding.ledger.services.entries import EntryDraft, PostingLine, post_entry
from funding.ledger.services.periods import is_closed
from funding.models import ManualJournal

KIND = "funding.manual_journal"
REVERSAL_KIND = "funding.manual_journal_reversal"
PROPOSE = "funding.propose_journal"
APPROVE = "funding.approve_journal"
CLIENT_MONEY = "funding.journal_client_money"
SOURCE = "funding.manual_journal"
CORRECTION = "Propose the reversal of the manual journal; another person approves it."
DOCUMENT_KIND = "funding.manual_journal"


@dataclass(frozen=True, slots=True)
class BalanceMove:
    """An account before and after a journal, in its normal side."""

    account: LedgerAccount
    side: str
    amount: Decimal
    before: Decimal
    after: Decimal


def propose_journal(
    *,
    entity_id: int,
    business_day: date,
    description: str,
    reason: str,
    lines: Sequence[JournalLine],
    actor: Actor,
    idempotency_key: str,
    attachments: Sequence[str] = (),
) -> ChangeRequest:
    """Hands a journal in for approval; nothing is booked yet. The same key proposes once.

    Raises `InvalidInput` with the row and field of a line that cannot be booked, `Denied` for accounts that are not booked
    by hand, `Conflict` (`day_closed`) for a closed day, `IdempotencyMismatch` for a key that stands for another journal.
    """
    payload = {
        "entity_id": entity_id,
        "business_day": business_day.isoformat(),
        "description": description.strip(),
        "lines": [line.as_json() for line in lines],
        "attachments": sorted(set(attachments)),
    }
    return _propose(KIND, payload, entity_id=entity_id, reason=reason, actor=actor, idempotency_key=idempotency_key)


def propose_reversal(
    *, journal_id: int, business_day: date, reason: str, actor: Actor, idempotency_key: str
) -> ChangeRequest:
    """Hands the reversal of a booked journal in for approval."""
    authorise(actor, PROPOSE)
    journal = get_visible(ManualJournal.objects.all(), actor, pk=journal_id)
    payload = {
        "entity_id": journal.entity_id,
        "journal_id": journal.pk,
        "journal": journal.reference,
        "business_day": business_day.isoformat(),
    }
    return _propose(
        REVERSAL_KIND, payload, entity_id=journal.entity_id, reason=reason, actor=actor, idempotency_key=idempotency_key
    )


def check_journal(payload: Mapping[str, Any], *, actor: Actor | None = None) -> list[PostingLine]:
    """The postings of a proposal that could be booked now. Raises what `propose_journal` says.

    With an *actor*, the accounts must be theirs to see and to book on.
    """
    entity_id, day = int(payload["entity_id"]), _day(payload["business_day"])
    if not str(payload["description"]).strip() or len(str(payload["description"])) > journal_rules.MAXIMUM_DESCRIPTION:
        raise InvalidInput(
            f"Describe the journal in at most {journal_rules.MAXIMUM_DESCRIPTION} characters.", field="description"
        )
    lines = [JournalLine.of_json(line) for line in payload["lines"]]
    journal_rules.check_lines(lines)
    accounts = _accounts(entity_id, lines, actor)
    for number, line in enumerate(lines, start=1):
        account = accounts[line.account_id]
        if account.currency != line.currency:
            raise InvalidInput(
                f"Account {account.name} is kept in {account.currency}.",
                code="currency_mismatch",
                row=number,
                field="currency",
                value=line.currency,
            )
        refusal = journal_rules.refusal_of_kind(AccountKind(account.kind))
        if refusal:
            raise Denied(
                f"{account.name}: {refusal}", code="not_by_hand", row=number, field="account", kind=account.kind
            )
        if actor is not None and journal_rules.is_client_money(AccountKind(account.kind)):
            authorise(actor, CLIENT_MONEY)
    if is_closed(entity_id=entity_id, business_day=day):
        raise Conflict(f"The books are closed on {day}.", code="day_closed", field="business_day")
    return journal_rules.postings_of(lines)


def preview_moves(lines: Sequence[PostingLine]) -> list[BalanceMove]:
    """The balances of the accounts now and as they would be, in the order of the chart."""
    moves = []
    net = {line.account_id: line for line in ledger_rules.net_lines(lines)}
    balances = AccountBalance.objects.select_related("account").in_bulk(net)
    for account_id, line in net.items():
        found = balances[account_id]
        grows = (line.side == "D") == found.account.is_debit_normal
        after = found.balance + (line.amount if grows else -line.amount)
        moves.append(BalanceMove(found.account, line.side, line.amount, found.balance, after))
    order = list(KIND_RULES)
    return sorted(moves, key=lambda move: (order.index(AccountKind(move.account.kind)), move.account.pk))


@transaction.atomic
def book_journal(*, payload: Mapping[str, Any], request: Any, actor: Actor) -> ManualJournal:
    """Books an approved proposal: entry, number and journal in one transaction. Called by its change request alone."""
    changes.require_approved(request, kind=KIND, entity_id=payload["entity_id"], lines=payload["lines"])
    _require_client_money(request, payload)
    lines = check_journal(payload)
    entry = post_entry(
        draft=EntryDraft(
            entity_id=int(payload["entity_id"]),
            kind=JournalEntry.Kind.MANUAL,
            business_day=_day(payload["business_day"]),
            description=str(payload["description"]),
            lines=lines,
            idempotency_key=f"manual_journal:{request.pk}",
            source_type=SOURCE,
            source_id=request.pk,
            reason=request.reason,
        ),
        actor=actor,
    )
    return _keep(entry, payload, request, actor, description=str(payload["description"]))


@transaction.atomic
def book_reversal(*, payload: Mapping[str, Any], request: Any, actor: Actor) -> ManualJournal:
    """Books the approved reversal of a journal, as a journal of its own."""
    changes.require_approved(request, kind=REVERSAL_KIND, journal_id=payload["journal_id"])
    journal = check_reversal(payload)
    return _reverse(journal, _day(payload["business_day"]), request, actor)


def check_reversal(payload: Mapping[str, Any]) -> ManualJournal:
    """The journal that a reversal is about, if it can be taken back on the day."""
    journal = ManualJournal.objects.filter(pk=payload["journal_id"], entity_id=payload["entity_id"]).first()
    if journal is None:
        raise NotFound("No such manual journal.", journal_id=payload["journal_id"])
    if journal.reverses_id is not None:
        raise Conflict("A reversal is not reversed; propose the journal anew.", code="not_reversible")
    if journal.reversal is not None:
        raise Conflict("The journal is reversed already.", code="already_reversed")
    day = _day(payload["business_day"])
    if day < journal.business_day:
        raise InvalidInput("A reversal does not come before its journal.", field="business_day", value=str(day))
    if is_closed(entity_id=journal.entity_id, business_day=day):
        raise Conflict(f"The books are closed on {day}.", code="day_closed", field="business_day")
    return journal


def lines_of(journal: ManualJournal) -> list[PostingLine]:
    """What a journal booked."""
    return [
        PostingLine(account_id=account_id, side="D" if side == "D" else "C", amount=amount, currency=currency)
        for account_id, side, amount, currency in Posting.objects.filter(entry=journal.entry_id)
        .order_by("id")
        .values_list("account_id", "side", "amount", "currency")
    ]


def bookable_accounts(*, actor: Actor, entity_id: int | None = None) -> Any:
    """The accounts that the actor may book on by hand."""
    kinds = [
        kind.value
        for kind in AccountKind
        if not journal_rules.refusal_of_kind(kind)
        and (not journal_rules.is_client_money(kind) or holds(actor, CLIENT_MONEY))
    ]
    accounts = visible_to(LedgerAccount.objects.filter(kind__in=kinds), actor)
    return accounts if entity_id is None else accounts.filter(entity_id=entity_id)


def _propose(
    kind: str, payload: dict[str, Any], *, entity_id: int, reason: str, actor: Actor, idempotency_key: str
) -> ChangeRequest:
    authorise(actor, PROPOSE)
    get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    if kind == KIND:
        check_journal(payload, actor=actor)

    def execute() -> dict[str, Any]:
        # Two journals with the same lines are two journals: what makes a payload one of its own is drawn here.
        draft = changes.draft_change(
            kind=kind, payload=payload | {"id": str(uuid7())}, actor=actor, reason=reason, entity_id=entity_id
        )
        return {"change_id": changes.submit_change(change_id=draft.pk, actor=actor).pk}

    found = run_once(
        scope=f"{kind}:{actor.user_id}",
        key=idempotency_key,
        request={"payload": payload, "reason": reason},
        execute=execute,
    )
    return ChangeRequest.objects.get(pk=found["change_id"])


def _reverse(journal: ManualJournal, day: date, request: Any, actor: Actor) -> ManualJournal:
    entry = post_entry(
        draft=EntryDraft(
            entity_id=journal.entity_id,
            kind=JournalEntry.Kind.REVERSAL,
            business_day=day,
            refers_to_day=journal.business_day if journal.business_day < day else None,
            description=f"Reversal of {journal.reference}: {journal.description}"[:255],
            lines=ledger_rules.reversed_lines(lines_of(journal)),
            idempotency_key=f"manual_journal_reversal:{journal.pk}",
            source_type=SOURCE,
            source_id=request.pk,
            reason=request.reason,
            reverses_id=journal.entry_id,
        ),
        actor=actor,
    )
    payload = {"entity_id": journal.entity_id, "business_day": day.isoformat(), "attachments": []}
    return _keep(entry, payload, request, actor, description=f"Reversal of {journal.reference}", reverses=journal)


def _keep(
    entry: JournalEntry,
    payload: Mapping[str, Any],
    request: Any,
    actor: Actor,
    *,
    description: str,
    reverses: ManualJournal | None = None,
) -> ManualJournal:
    known = ManualJournal.objects.filter(entry=entry).first()
    if known is not None:
        return known
    day = _day(payload["business_day"])
    number = issue_number(
        entity_id=entry.entity_id, kind=DOCUMENT_KIND, on=day, subject=f"journal entry {entry.pk}", actor=actor
    )
    journal = ManualJournal.objects.create(
        reference=number.reference,
        entity_id=entry.entity_id,
        business_day=day,
        description=description[:200],
        reason=request.reason,
        entry=entry,
        reverses=reverses,
        made_by=request.made_by,
        approved_by=request.checked_by,
        change_request_id=request.pk,
        attachments=list(payload["attachments"]),
    )
    audit.record(
        actor=actor,
        action="funding.book_journal",
        target=journal,
        reason=request.reason,
        changes={"entry": entry.pk, "made_by": journal.made_by, "approved_by": journal.approved_by},
    )
    return journal


def _require_client_money(request: Any, payload: Mapping[str, Any]) -> None:
    """Who approves a journal on client money must be allowed to book there too; the maker was asked when proposing."""
    ids = {int(line["account_id"]) for line in payload["lines"]}
    kinds = {AccountKind(kind) for kind in LedgerAccount.objects.filter(pk__in=ids).values_list("kind", flat=True)}
    if not any(journal_rules.is_client_money(kind) for kind in kinds):
        return
    from backoffice.core.actors import actor_of_user

    if request.checker is None:
        raise Denied("Journals on client money are approved by a person.", code="approval_needed")
    authorise(actor_of_user(request.checker), CLIENT_MONEY)


def _accounts(entity_id: int, lines: Sequence[JournalLine], actor: Actor | None) -> dict[int, LedgerAccount]:
    rows = LedgerAccount.objects.filter(pk__in={line.account_id for line in lines}, entity_id=entity_id)
    found: dict[int, LedgerAccount] = {
        account.pk: account for account in (rows if actor is None else visible_to(rows, actor))
    }
    for number, line in enumerate(lines, start=1):
        if line.account_id not in found:
            raise InvalidInput(
                "The legal entity has no such account.", code="no_such_account", row=number, field="account"
            )
    return found


def _day(text: Any) -> date:
    try:
        day = date.fromisoformat(str(text))
    except ValueError as error:
        raise InvalidInput("A day is written as 2026-03-02.", field="business_day", value=str(text)) from error
    if not is_business_day(day):
        raise InvalidInput(f"{day} is not a business day.", field="business_day", value=str(day))
    if day > clock.today_business_day():
        raise InvalidInput("The day has not begun yet.", field="business_day", value=str(day))
    return day
