"""Closing the books of an entity, day by day.

Closing a day closes everything up to it: a trial balance as of a closed day never changes again. What concerns a closed
day later is booked in the first open day and refers back to it.
"""

from __future__ import annotations

from datetime import date

from django.db import transaction
from django.db.models import Max

from backoffice.core.access import authorise
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.business_day import is_business_day, next_business_day
from backoffice.kernel.errors import InvalidInput
from funding.ledger.database import book
from funding.ledger.locks import bound_lock_waits
from funding.ledger.models import ClosedDay


def closed_through(*, entity_id: int) -> date | None:
    """The last closed day of an entity's books, or None while nothing is closed."""
    last: date | None = ClosedDay.objects.filter(entity_id=entity_id).aggregate(last=Max("business_day"))["last"]
    return last


def is_closed(*, entity_id: int, business_day: date) -> bool:
    """Whether the books of the day are closed: the day itself was, or a later one."""
    return ClosedDay.objects.filter(entity_id=entity_id, business_day__gte=business_day).exists()


def booking_day(*, entity_id: int, business_day: date) -> date:
    """The day in whose books something that happened on *business_day* stands: itself while open, else the first open one."""
    last = closed_through(entity_id=entity_id)
    return business_day if last is None or business_day > last else next_business_day(last)


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
