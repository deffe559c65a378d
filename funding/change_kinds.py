"""What finance changes with four eyes: manual journals, their reversal, and closed days that open again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from backoffice.core.changes.kinds import ChangeKind, Impact, Payload, register_change_kind
from backoffice.core.models import LegalEntity
from backoffice.core.services import changes
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.formats import format_amount
from funding.ledger import rules as ledger_rules
from funding.ledger.models import ClosedMonth, LedgerAccount, PeriodReopening
from funding.ledger.services import periods
from funding.ledger.services.entries import PostingLine
from funding.models import ManualJournal
from funding.services import manual_journals as journals

REOPENING = "funding.reopen_period"


def register() -> None:
    """Adds the kinds; called once when the application starts."""
    register_change_kind(
        ChangeKind(
            kind=journals.KIND,
            label="Manual journal",
            desk="funding",
            maker_capability=journals.PROPOSE,
            checker_capability=journals.APPROVE,
            title=lambda payload: f"Manual journal: {payload['description']}",
            current=lambda payload: {},
            proposed=_journal_proposed,
            preview=_journal_preview,
            apply=_book_journal,
            verify=_verify_journal,
            check=_check_journal,
            labels={"business_day": "Business day", "description": "What it is", "lines": "Lines", "files": "Files"},
        )
    )
    register_change_kind(
        ChangeKind(
            kind=journals.REVERSAL_KIND,
            label="Reversal of a manual journal",
            desk="funding",
            maker_capability=journals.PROPOSE,
            checker_capability=journals.APPROVE,
            title=lambda payload: f"Reversal of {payload['journal']}",
            current=lambda payload: {"state": "booked"},
            proposed=lambda payload: {"state": "reversed", "business_day": payload["business_day"]},
            preview=_reversal_preview,
            apply=_book_reversal,
            verify=_verify_journal,
            check=_check_reversal,
            labels={"business_day": "Business day", "state": "The journal"},
            target=lambda payload: ManualJournal.objects.filter(pk=payload["journal_id"]).first(),
        )
    )
    register_change_kind(
        ChangeKind(
            kind=REOPENING,
            label="Closed days open again",
            desk="funding",
            maker_capability="funding.propose_reopening",
            checker_capability="funding.approve_reopening",
            title=lambda payload: f"Open {payload['from_day']} to {payload['through_day']} again",
            current=lambda payload: {"days": f"{payload['from_day']} to {payload['through_day']}", "books": "closed"},
            proposed=lambda payload: {
                "days": f"{payload['from_day']} to {payload['through_day']}",
                "books": "open again",
            },
            preview=_reopening_preview,
            apply=_reopen,
            verify=_verify_reopening,
            revert=_close_again,
            check=_check_reopening,
            labels={"days": "Days", "books": "Books"},
        )
    )


def propose_reopening(*, entity_id: int, from_day: date, through_day: date, reason: str, actor: Actor) -> Any:
    """Asks for closed days of an entity to be opened again; another person approves. Returns the change request."""
    draft = changes.draft_change(
        kind=REOPENING,
        payload={"entity_id": entity_id, "from_day": from_day.isoformat(), "through_day": through_day.isoformat()},
        actor=actor,
        reason=reason,
        entity_id=entity_id,
    )
    return changes.submit_change(change_id=draft.pk, actor=actor)


# --- manual journals ----------------------------------------------------------------------------------------------------


def _check_journal(payload: Payload) -> None:
    _require_keys(payload, "entity_id", "business_day", "description", "lines", "attachments")
    journals.check_journal(payload)


def _journal_proposed(payload: Payload) -> dict[str, Any]:
    names = dict(
        LedgerAccount.objects.filter(pk__in=[line["account_id"] for line in payload["lines"]]).values_list("pk", "name")
    )
    return {
        "business_day": payload["business_day"],
        "description": payload["description"],
        "lines": [
            f"{'Debit' if line['side'] == 'D' else 'Credit'} {names.get(line['account_id'], '?')}: "
            f"{line['amount']} {line['currency']}"
            for line in payload["lines"]
        ],
        "files": len(payload["attachments"]),
    }


def _journal_preview(payload: Payload, actor: Actor) -> Impact:
    lines = journals.check_journal(payload, actor=None if actor.is_system else actor)
    return _impact(lines)


def _impact(lines: Sequence[PostingLine]) -> Impact:
    moves = journals.preview_moves(lines)
    return Impact(
        summary=f"{len(moves)} accounts move.",
        rows=[
            {
                "Account": move.account.name,
                "Side": "Debit" if move.side == "D" else "Credit",
                "Amount": format_amount(move.amount, move.account.currency),
                "Balance before": format_amount(move.before, move.account.currency),
                "Balance after": format_amount(move.after, move.account.currency),
            }
            for move in moves
        ],
        figures={
            f"Moved, {currency}": format_amount(
                sum(
                    (move.amount for move in moves if move.side == "D" and move.account.currency == currency),
                    Decimal(0),
                ),
                currency,
            )
            for currency in sorted({move.account.currency for move in moves})
        },
    )


def _book_journal(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    journal = journals.book_journal(payload=payload, request=request, actor=actor)
    return {"journal_id": journal.pk, "reference": journal.reference, "entry_id": journal.entry_id}


def _verify_journal(outcome: dict[str, Any]) -> list[str]:
    journal = ManualJournal.objects.filter(pk=outcome["journal_id"]).first()
    if journal is None:
        return ["The journal is not there."]
    lines = journals.lines_of(journal)
    problems = [
        f"{currency} is out of balance by {difference:f}."
        for currency, difference in ledger_rules.differences_by_currency(lines).items()
    ]
    return problems if lines else ["The entry has no postings."]


# --- reversals ----------------------------------------------------------------------------------------------------------


def _check_reversal(payload: Payload) -> None:
    _require_keys(payload, "entity_id", "journal_id", "journal", "business_day")
    journals.check_reversal(payload)


def _reversal_preview(payload: Payload, actor: Actor) -> Impact:
    return _impact(ledger_rules.reversed_lines(journals.lines_of(journals.check_reversal(payload))))


def _book_reversal(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    journal = journals.book_reversal(payload=payload, request=request, actor=actor)
    return {"journal_id": journal.pk, "reference": journal.reference, "entry_id": journal.entry_id}


# --- closed days that open again ----------------------------------------------------------------------------------------


def _days(payload: Payload) -> tuple[date, date]:
    try:
        return date.fromisoformat(str(payload["from_day"])), date.fromisoformat(str(payload["through_day"]))
    except ValueError as error:
        raise InvalidInput("A day is written as 2026-03-02.", field="from_day") from error


def _check_reopening(payload: Payload) -> None:
    _require_keys(payload, "entity_id", "from_day", "through_day")
    if not LegalEntity.objects.filter(pk=payload["entity_id"]).exists():
        raise InvalidInput("No such legal entity.", field="entity_id")
    first, last = _days(payload)
    periods.check_reopening(entity_id=int(payload["entity_id"]), from_day=first, through_day=last)


def _reopening_preview(payload: Payload, actor: Actor) -> Impact:
    first, last = _days(payload)
    months = ClosedMonth.objects.filter(
        entity_id=payload["entity_id"],
        reopened_by__isnull=True,
        month__lte=last,
        through_day__gte=first.replace(day=1),
    ).order_by("month")
    named = ", ".join(str(month) for month in months)
    return Impact(
        summary=f"Entries dated {first} to {last} are possible again, each with the mark of the re-opening.",
        figures={
            "Months that open": named or "none",
            "Closed through": str(periods.closed_through(entity_id=int(payload["entity_id"]))),
        },
    )


def _reopen(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    changes.require_approved(request, kind=REOPENING, entity_id=payload["entity_id"], from_day=payload["from_day"])
    first, last = _days(payload)
    reopening = periods.reopen_days(
        entity_id=int(payload["entity_id"]),
        from_day=first,
        through_day=last,
        reason=request.reason,
        requested_by=request.made_by,
        approved_by=request.checked_by,
        actor=actor,
        change_request_id=request.pk,
    )
    return {"reopening_id": reopening.pk}


def _verify_reopening(outcome: dict[str, Any]) -> list[str]:
    standing = PeriodReopening.objects.filter(pk=outcome["reopening_id"], reclosed_at__isnull=True).exists()
    return [] if standing else ["The days are not open."]


def _close_again(outcome: dict[str, Any], actor: Actor, reason: str) -> dict[str, Any]:
    periods.close_days_again(reopening_id=int(outcome["reopening_id"]), actor=actor, reason=reason)
    return {"reopening_id": outcome["reopening_id"]}


def _require_keys(payload: Payload, *names: str) -> None:
    missing = [name for name in names if name not in payload]
    if missing:
        raise InvalidInput(f"The request says nothing of {', '.join(missing)}.", field=missing[0])
