"""Closing a month: a checklist that is computed, never ticked, and the figures of the month kept as they were.

What must hold: the month is over, every server closed its days, no closed day is open again, the books prove right,
suspense is empty or explained in words, every external account is reconciled at the month's last day, and foreign balances
are revalued there. Closed days refuse entries by themselves; the month adds the proof that they were complete.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db import connection, transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.books import check_names, verify_books
from backoffice.core.models import LegalEntity
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import is_business_day, next_business_day, previous_business_day
from backoffice.kernel.errors import Conflict, InvalidInput
from funding.ledger.chart import AccountKind
from funding.ledger.database import book
from funding.ledger.locks import lock_books_alone
from funding.ledger.models import ClosedMonth, PeriodReopening
from funding.ledger.selectors import balances_as_of
from funding.ledger.services.periods import close_day, closed_through
from funding.services.external_balances import unreconciled_accounts
from funding.services.revaluation import is_revalued

CLOSE_MONTH = "funding.close_month"
MAXIMUM_DETAIL = 10
_OWN_CHECKS = ("ledger.", "funding.")
_ABOUT_CLOSED_MONTHS = "funding.closed_months_are_unchanged"

_DAYS_NOT_CLOSED = """
SELECT server.code, wanted.day
FROM platform_ops_tradingserver server
CROSS JOIN unnest(%(days)s::date[]) AS wanted (day)
WHERE server.entity_id = %(entity)s
  AND EXISTS (SELECT FROM platform_ops_tradingaccount account WHERE account.server_id = server.id)
  AND wanted.day >= coalesce(
      (SELECT min(first.day) FROM platform_ops_businessday first WHERE first.server_id = server.id), wanted.day)
  AND NOT EXISTS (
      SELECT FROM platform_ops_businessday done
      WHERE done.server_id = server.id AND done.day = wanted.day AND done.state = 'closed')
ORDER BY wanted.day, server.code
"""
_TURNOVER = """
SELECT account.kind, account.currency,
       coalesce(sum(posting.amount) FILTER (WHERE posting.side = 'D'), 0),
       coalesce(sum(posting.amount) FILTER (WHERE posting.side = 'C'), 0)
FROM ledger_posting posting
JOIN ledger_journalentry entry ON entry.id = posting.entry_id
JOIN ledger_ledgeraccount account ON account.id = posting.account_id
WHERE entry.entity_id = %s AND entry.business_day BETWEEN %s AND %s
GROUP BY account.kind, account.currency ORDER BY account.kind, account.currency
"""


@dataclass(frozen=True, slots=True)
class CheckItem:
    """One item of the checklist. `may_be_explained`: a note in words stands in for what does not hold."""

    key: str
    title: str
    is_done: bool
    detail: str
    may_be_explained: bool = False
    note: str = ""


def last_business_day(month: date) -> date:
    """The last business day of the month that a day lies in."""
    return previous_business_day(_month_after(month))


def business_days_of_month(month: date) -> list[date]:
    """The business days of the month that a day lies in."""
    first = month.replace(day=1)
    day, days = first if is_business_day(first) else next_business_day(first), []
    while day < _month_after(month):
        days.append(day)
        day = next_business_day(day)
    return days


def checklist(*, entity_id: int, month: date, actor: Actor) -> list[CheckItem]:
    """The state of every item for a month of an entity, as things stand."""
    authorise(actor, "funding.view_ledger")
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    return _items(entity.pk, month.replace(day=1), {})


def close_month(
    *, entity_id: int, month: date, notes: Mapping[str, str], actor: Actor, reason: str = ""
) -> ClosedMonth:
    """Closes a month whose checklist is done, the last day of its books with it; *notes* explain items by key.

    Closing a closed month returns it. Raises `Conflict` (`month_not_ready`) naming what is left to do.
    """
    authorise(actor, CLOSE_MONTH)
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    first = month.replace(day=1)
    with transaction.atomic(), book():
        lock_books_alone(entity.pk)
        known = ClosedMonth.objects.filter(entity=entity, month=first, reopened_by__isnull=True).first()
        if known is not None:
            return known
        items = _items(entity.pk, first, notes)
        missing = [item for item in items if not item.is_done and not (item.may_be_explained and item.note)]
        if missing:
            raise Conflict(
                "Not yet: " + " ".join(f"{item.title}: {item.detail}" for item in missing),
                code="month_not_ready",
                items=[item.key for item in missing],
            )
        close_day(entity_id=entity.pk, business_day=last_business_day(first), actor=actor)
        figures = month_figures(entity_id=entity.pk, month=first)
        closed = ClosedMonth.objects.create(
            entity=entity,
            month=first,
            through_day=last_business_day(first),
            checklist=[asdict(item) for item in items],
            figures=figures,
            figures_sha256=digest_of_figures(figures),
            closed_by=actor.label,
        )
        audit.record(
            actor=actor,
            action=CLOSE_MONTH,
            target=closed,
            reason=reason.strip(),
            changes={
                "figures_sha256": closed.figures_sha256,
                "notes": {item.key: item.note for item in items if item.note},
            },
            entity_id=entity.pk,
        )
    return closed


def month_figures(*, entity_id: int, month: date) -> list[dict[str, str]]:
    """What moved in a month, by kind and currency: sums of debits and credits as plain text."""
    first = month.replace(day=1)
    with connection.cursor() as cursor:
        cursor.execute(_TURNOVER, [entity_id, first, _month_after(first) - timedelta(days=1)])
        return [
            {"kind": kind, "currency": currency, "debits": f"{debits:f}", "credits": f"{credits:f}"}
            for kind, currency, debits, credits in cursor.fetchall()
        ]


def digest_of_figures(figures: Iterable[Mapping[str, str]]) -> str:
    """SHA-256 of the figures of a month."""
    return hashlib.sha256(json.dumps(list(figures), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _items(entity_id: int, first: date, notes: Mapping[str, str]) -> list[CheckItem]:
    last = last_business_day(first)
    unknown = set(notes) - {"suspense"}
    if unknown:
        raise InvalidInput("Only suspense may be explained.", field="notes", value=", ".join(sorted(unknown)))
    return [
        _month_over(last),
        _days_closed(entity_id, first, last),
        _nothing_open_again(entity_id, first),
        _books_prove_right(),
        _suspense(entity_id, last, notes.get("suspense", "").strip()),
        _reconciled(entity_id, last),
        _revalued(entity_id, last),
    ]


def _month_over(last: date) -> CheckItem:
    is_over = clock.today_business_day() > last
    return CheckItem("over", "The month is over", is_over, f"its last business day is {last}")


def _days_closed(entity_id: int, first: date, last: date) -> CheckItem:
    with connection.cursor() as cursor:
        cursor.execute(_DAYS_NOT_CLOSED, {"entity": entity_id, "days": business_days_of_month(first)})
        waiting = cursor.fetchall()
    # An entity without trading closes its days here; one with servers has closed them by its business days.
    through = closed_through(entity_id=entity_id)
    detail = ", ".join(f"{code} {day}" for code, day in waiting[:MAXIMUM_DETAIL])
    more = f" and {len(waiting) - MAXIMUM_DETAIL} more" if len(waiting) > MAXIMUM_DETAIL else ""
    return CheckItem(
        "days",
        "Every server closed every day",
        not waiting,
        f"waiting: {detail}{more}" if waiting else _books_say(through, last),
    )


def _books_say(through: date | None, last: date) -> str:
    """How far the entity's own books are; they follow their servers, or the closing of the month takes them along."""
    if through is not None and through >= last:
        return f"books closed through {through}"
    return f"all closed; the books are closed through {through or 'no day'} and follow at the latest with the month"


def _nothing_open_again(entity_id: int, first: date) -> CheckItem:
    standing = PeriodReopening.objects.filter(
        entity_id=entity_id, reclosed_at__isnull=True, from_day__lt=_month_after(first), through_day__gte=first
    ).first()
    return CheckItem(
        "open_again",
        "No closed day is open again",
        standing is None,
        f"open again: {standing}" if standing else "none",
    )


def _books_prove_right() -> CheckItem:
    names = [name for name in check_names() if name.startswith(_OWN_CHECKS) and name != _ABOUT_CLOSED_MONTHS]
    outcome = verify_books(only=names)
    failed = [check["name"] for check in outcome["checks"] if not check["ok"]]
    return CheckItem(
        "books", "The books prove right", outcome["ok"], ", ".join(failed) if failed else f"{len(names)} proofs hold"
    )


def _suspense(entity_id: int, last: date, note: str) -> CheckItem:
    sums = _suspense_by_currency(entity_id, last)
    detail = ", ".join(f"{count} open, {total:f} {currency}" for currency, count, total in sums)
    return CheckItem("suspense", "Suspense is empty", not sums, detail or "nothing on its way", True, note)


def _suspense_by_currency(entity_id: int, last: date) -> list[tuple[str, int, Decimal]]:
    open_sums: dict[str, tuple[int, Decimal]] = {}
    for _, currency, amount in balances_as_of(entity_id=entity_id, kind=AccountKind.SUSPENSE, day=last):
        count, total = open_sums.get(currency, (0, Decimal(0)))
        open_sums[currency] = (count + 1, total + amount)
    return [(currency, count, total.normalize() + 0) for currency, (count, total) in sorted(open_sums.items())]


def _reconciled(entity_id: int, last: date) -> CheckItem:
    waiting = unreconciled_accounts(entity_id=entity_id, business_day=last)
    detail = ", ".join(waiting[:MAXIMUM_DETAIL])
    return CheckItem(
        "balances",
        f"Every external account is reconciled on {last}",
        not waiting,
        f"waiting: {detail}" if waiting else "all",
    )


def _revalued(entity_id: int, last: date) -> CheckItem:
    is_done, detail = is_revalued(entity_id=entity_id, business_day=last)
    return CheckItem("revaluation", f"Foreign balances are revalued on {last}", is_done, detail)


def _month_after(month: date) -> date:
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)
