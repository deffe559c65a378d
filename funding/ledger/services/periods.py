"""Closing the books of an entity, day by day, and opening closed days again.

Closing a day closes everything up to it. What concerns a closed day later is booked in the first open day and refers back
to it. Closed days open again only when a second person approves (a change request leads here), only the days that were
named, and every entry that they take then carries the mark of the re-opening; they stay open until somebody closes them
again. Days that were closed after them stay closed, though their running balances move with what is booked before.
"""

from __future__ import annotations

from datetime import date

from django.db import transaction
from django.db.models import Max

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import is_business_day, next_business_day
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from funding.ledger.database import book
from funding.ledger.locks import bound_lock_waits, lock_books_alone
from funding.ledger.models import ClosedDay, ClosedMonth, PeriodReopening

MAXIMUM_DAYS_OPEN = 92
"""Most calendar days that one re-opening may span: a quarter."""


def closed_through(*, entity_id: int) -> date | None:
    """The last closed day of an entity's books, or None while nothing is closed."""
    last: date | None = ClosedDay.objects.filter(entity_id=entity_id).aggregate(last=Max("business_day"))["last"]
    return last


def is_closed(*, entity_id: int, business_day: date) -> bool:
    """Whether the books of the day are closed: the day itself was, or a later one, and it is not open again."""
    closed = ClosedDay.objects.filter(entity_id=entity_id, business_day__gte=business_day).exists()
    return closed and open_again(entity_id=entity_id, business_day=business_day) is None


def open_again(*, entity_id: int, business_day: date) -> PeriodReopening | None:
    """The re-opening through which a closed day takes entries now, or None."""
    return PeriodReopening.objects.filter(
        entity_id=entity_id, reclosed_at__isnull=True, from_day__lte=business_day, through_day__gte=business_day
    ).first()


def booking_day(*, entity_id: int, business_day: date) -> date:
    """The day in whose books something that happened on *business_day* stands: itself while open, else the first open one.

    A day that is open again counts as open.
    """
    last = closed_through(entity_id=entity_id)
    if last is None or business_day > last:
        return business_day
    is_open_again = open_again(entity_id=entity_id, business_day=business_day) is not None
    return business_day if is_open_again else next_business_day(last)


@transaction.atomic
def close_day(*, entity_id: int, business_day: date, actor: Actor) -> ClosedDay:
    """Closes the books of an entity through a day; waits for bookings under way. Closing it again changes nothing."""
    authorise(actor, "funding.close_day")
    if not is_business_day(business_day):
        raise InvalidInput(f"{business_day} is not a business day.", field="business_day", value=str(business_day))
    existing = ClosedDay.objects.filter(entity_id=entity_id, business_day=business_day).first()
    if existing is not None:
        return existing
    with book():
        bound_lock_waits()
        closed, created = ClosedDay.objects.get_or_create(
            entity_id=entity_id, business_day=business_day, defaults={"closed_by": actor.label}
        )
    if created:
        audit.record(actor=actor, action="funding.close_day", target=closed, entity_id=entity_id)
    return closed


def check_reopening(*, entity_id: int, from_day: date, through_day: date) -> None:
    """Refuses days that cannot be opened again: in the wrong order, too many, not closed, or open again already."""
    if through_day < from_day:
        raise InvalidInput("The first day comes first.", field="through_day", value=str(through_day))
    if (through_day - from_day).days >= MAXIMUM_DAYS_OPEN:
        raise InvalidInput(f"At most {MAXIMUM_DAYS_OPEN} days at a time.", field="through_day", value=str(through_day))
    last = closed_through(entity_id=entity_id)
    if last is None or through_day > last:
        raise Conflict(
            f"The books are closed through {last or 'no day'}; only closed days are opened again.",
            code="day_not_closed",
            field="through_day",
        )
    overlapping = PeriodReopening.objects.filter(
        entity_id=entity_id, reclosed_at__isnull=True, from_day__lte=through_day, through_day__gte=from_day
    )
    if overlapping.exists():
        raise Conflict("Some of these days are open again already.", code="already_open", field="from_day")


@transaction.atomic
def reopen_days(
    *,
    entity_id: int,
    from_day: date,
    through_day: date,
    reason: str,
    requested_by: str,
    approved_by: str,
    actor: Actor,
    change_request_id: int | None = None,
) -> PeriodReopening:
    """Opens closed days of an entity again: one person asked for it, another approved (both by their labels).

    Carries out an approved change request; nothing else calls it. The months of these days count as open from then on.
    Raises `Denied` for one and the same person, `Conflict` for days that are not closed or open already.
    """
    authorise(actor, "funding.approve_reopening")
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    if not requested_by or not approved_by or requested_by == approved_by:
        raise Denied("Another person approves.", code="same_person")
    with book():
        lock_books_alone(entity_id)
        check_reopening(entity_id=entity_id, from_day=from_day, through_day=through_day)
        reopening = PeriodReopening.objects.create(
            entity_id=entity_id,
            from_day=from_day,
            through_day=through_day,
            reason=reason.strip(),
            requested_by=requested_by,
            approved_by=approved_by,
            change_request_id=change_request_id,
        )
        months = ClosedMonth.objects.filter(
            entity_id=entity_id,
            reopened_by__isnull=True,
            month__lte=through_day,
            through_day__gte=from_day.replace(day=1),
        )
        reopened = list(months)
        ClosedMonth.objects.filter(pk__in=[month.pk for month in reopened]).update(reopened_by=reopening)
    audit.record(
        actor=actor,
        action="funding.reopen_period",
        target=reopening,
        reason=reason.strip(),
        changes={
            "requested_by": requested_by,
            "approved_by": approved_by,
            "months": [str(month) for month in reopened],
        },
        entity_id=entity_id,
    )
    return reopening


@transaction.atomic
def close_days_again(*, reopening_id: int, actor: Actor, reason: str) -> PeriodReopening:
    """Closes days that were open again. Waits for bookings under way; closing them twice changes nothing.

    The months are closed again by their own checklist.
    """
    authorise(actor, "funding.close_day")
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    seen = get_visible(PeriodReopening.objects.all(), actor, pk=reopening_id)
    with book():
        lock_books_alone(seen.entity_id)
        reopening = PeriodReopening.objects.filter(pk=reopening_id).first()
        if reopening is None:
            raise NotFound("No such re-opening.", reopening_id=reopening_id)
        if reopening.reclosed_at is not None:
            return reopening
        reopening.reclosed_at, reopening.reclosed_by = clock.now(), actor.label
        reopening.save(update_fields=["reclosed_at", "reclosed_by"])
    audit.record(
        actor=actor,
        action="funding.close_days_again",
        target=reopening,
        reason=reason.strip(),
        changes={"entries": reopening.entries.count()},
        entity_id=reopening.entity_id,
    )
    return reopening
