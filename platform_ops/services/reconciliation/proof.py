"""What the business day asks: is this server compared for the day, and does nothing differ that nobody has accepted?"""

from __future__ import annotations

from typing import Any

from backoffice.kernel.business_day import day_bounds
from backoffice.kernel.errors import Conflict
from platform_ops.models import BusinessDay, ReconciliationBreak, ReconciliationRun, ServerConnection
from platform_ops.services.reconciliation.due import COMPARED_KINDS

SHOWN = 5


def prove_reconciled(business_day: BusinessDay) -> dict[str, Any]:
    """The figures of the comparison that proves a day; nothing for a server that is not followed.

    Raises Conflict while the day was not compared, or while a difference is open.
    """
    connection = ServerConnection.objects.filter(
        server=business_day.server_id, is_enabled=True, kind__in=COMPARED_KINDS
    ).first()
    if connection is None or day_bounds(business_day.day)[1] <= connection.started_at:
        return {}
    runs = ReconciliationRun.objects.filter(server=business_day.server_id, business_day=business_day.day)
    done = runs.filter(state=ReconciliationRun.State.DONE).first()
    if done is None:
        failed = runs.filter(state=ReconciliationRun.State.FAILED).first()
        why = f" The last try failed: {failed.problem}" if failed else ""
        raise Conflict(
            f"{business_day.server.code} was not compared with the books for {business_day.day} yet.{why}",
            code="not_reconciled",
        )
    waiting = ReconciliationBreak.objects.filter(
        server=business_day.server_id, state=ReconciliationBreak.State.OPEN
    ).order_by("kind", "login", "ticket")
    count = waiting.count()
    if count:
        named = "; ".join(str(one) for one in waiting[:SHOWN])
        more = f" and {count - SHOWN:,} more" if count > SHOWN else ""
        raise Conflict(
            f"{count:,} differences between {business_day.server.code} and the books are open: {named}{more}.",
            code="open_breaks",
            count=count,
        )
    accepted = ReconciliationBreak.objects.filter(
        server=business_day.server_id, state=ReconciliationBreak.State.ACCEPTED
    ).count()
    return {"reconciliation": done.pk, "accepted_breaks": accepted}
