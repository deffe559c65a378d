"""Which servers should be compared now: each followed server, once for each business day that has ended."""

from __future__ import annotations

from datetime import date, timedelta

from django.db import transaction

from backoffice.core.services import jobs
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of, day_bounds, previous_business_day
from platform_ops.models import ReconciliationRun, ServerConnection
from platform_ops.services.reconciliation.runs import JOB_KIND

SETTLING = timedelta(minutes=10)
"""How long after the end of a day its last deals may still be on their way."""
RETRY_AFTER = timedelta(minutes=15)
MAX_DAYS_BACK = 3
COMPARED_KINDS = frozenset({ServerConnection.Kind.MT5_WEB.value, ServerConnection.Kind.REPORT_DATABASE.value})
"""Connections that tell accounts and positions; files and drop copies only tell what happened."""


def reconcile_due_servers() -> int:
    """Queues what is due; how many comparisons. Asked often, answered once per server, day and quarter of an hour."""
    queued = 0
    for connection in ServerConnection.objects.filter(is_enabled=True, kind__in=COMPARED_KINDS):
        for day in _days_due(connection):
            slot = int(clock.now().timestamp() // RETRY_AFTER.total_seconds())
            with transaction.atomic():
                jobs.enqueue(
                    kind=JOB_KIND,
                    key=f"{connection.server_id}:{day}:{slot}",
                    payload={"server_id": connection.server_id, "day": day.isoformat()},
                )
            queued += 1
    return queued


def _days_due(connection: ServerConnection) -> list[date]:
    now = clock.now()
    day = previous_business_day(business_day_of(now - SETTLING))
    days: list[date] = []
    for _ in range(MAX_DAYS_BACK):
        end = day_bounds(day)[1]
        if end <= connection.started_at:
            break
        runs = ReconciliationRun.objects.filter(server=connection.server_id, business_day=day)
        is_done = runs.filter(state=ReconciliationRun.State.DONE).exists()
        tried_lately = runs.filter(started_at__gt=now - RETRY_AFTER).exists()
        if end <= now - SETTLING and not is_done and not tried_lately:
            days.append(day)
        day = previous_business_day(day)
    return sorted(days)
