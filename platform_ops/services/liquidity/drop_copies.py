"""What people do about drop copies: agree with the provider on other numbers; and how long the log of sessions is kept."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.models import DropCopyMessage, DropCopySession
from platform_ops.permissions import MANAGE_CONNECTIONS

MAX_NUMBER = 10**15
ROWS_AT_ONCE = 20_000
MAX_PORTIONS = 1_000
SHORTEST_KEPT_DAYS = 1


@transaction.atomic
def set_drop_copy_numbers(
    *, session_id: int, next_in: int, next_out: int, actor: Actor, reason: str, known: tuple[int, int] | None = None
) -> DropCopySession:
    """Sets the number that is expected next and the one that we send next; a session that runs begins anew with them.

    *known* are the numbers that the person saw: others by now are a Conflict. Messages below a higher `next_in` are never
    asked for. Raises InvalidInput, NotFound, Denied.
    """
    authorise(actor, MANAGE_CONNECTIONS)
    session = get_visible(DropCopySession.objects.select_for_update(of=("self",)), actor, pk=session_id)
    for name, value in (("next_in", next_in), ("next_out", next_out)):
        if not 1 <= value <= MAX_NUMBER:
            raise InvalidInput("A sequence number is 1 or more.", field=name, value=value)
    if not reason.strip():
        raise InvalidInput("Say why, and with whom it was agreed.", field="reason")
    before = (session.next_in, session.next_out)
    if known is not None and known != before:
        raise Conflict(
            f"The session went on: it expects {before[0]:,} and sends {before[1]:,} by now.", code="numbers_moved"
        )
    if before == (next_in, next_out):
        return session
    session.next_in, session.next_out, session.gap_to = next_in, next_out, None
    session.resets += 1
    session.updated_at = clock.now()
    session.note = "The numbers were set by hand."
    session.save()
    audit.record(
        actor=actor,
        action="platform.set_drop_copy_numbers",
        target=session,
        reason=reason,
        entity_id=session.provider.entity_id,
        changes={"next_in": [before[0], next_in], "next_out": [before[1], next_out]},
    )
    return session


def prune_drop_copy_log(*, keep_days: int) -> int:
    """Removes the messages of sessions that are older than they are kept; how many. What executions rest on stays."""
    if keep_days < SHORTEST_KEPT_DAYS:
        raise InvalidInput("The log is kept for a day at least.", field="keep_days", value=keep_days)
    until = clock.now() - timedelta(days=keep_days)
    removed = 0
    for _ in range(MAX_PORTIONS):
        old = DropCopyMessage.objects.filter(at__lt=until).order_by("at").values("pk")[:ROWS_AT_ONCE]
        count, _ = DropCopyMessage.objects.filter(pk__in=old).delete()
        removed += count
        if count < ROWS_AT_ONCE:
            break
    return removed
