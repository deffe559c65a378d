"""Which business days should be run now, for the scheduler."""

from __future__ import annotations

from datetime import date, timedelta

from django.db.models import Max, Min

from backoffice.core.services import job_runs
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of, next_business_day, previous_business_day
from backoffice.kernel.errors import Conflict
from platform_ops.models import BusinessDay, IngestBatch, Trade, TradingServer
from platform_ops.services.business_day import run_business_day

# Older days that were never run (history taken over from files) are run by hand, not by the scheduler.
MAXIMUM_DAYS_BACK = 7


def due_days(*, server_id: int) -> list[date]:
    """The finished business days of a server that are not closed yet, oldest first, at most a week back."""
    last_finished = previous_business_day(business_day_of(clock.now()))
    closed = BusinessDay.objects.filter(server_id=server_id, state=BusinessDay.State.CLOSED).aggregate(last=Max("day"))
    first_trade = Trade.objects.filter(server_id=server_id).aggregate(first=Min("business_day"))["first"]
    start = next_business_day(closed["last"]) if closed["last"] else first_trade
    if start is None:
        return []
    day = next_business_day(max(start, last_finished - timedelta(days=MAXIMUM_DAYS_BACK)) - timedelta(days=1))
    days = []
    while day <= last_finished:
        days.append(day)
        day = next_business_day(day)
    return days


def run_due_days() -> int:
    """Runs what is due on every server that has received trades; how many days were closed.

    Each attempt is a slot of its own minute, so that two schedulers do not run the same day at once.
    """
    closed = 0
    servers = TradingServer.objects.filter(pk__in=IngestBatch.objects.values("server_id"))
    for server in servers:
        for day in due_days(server_id=server.pk):
            if not _run_slot(server.pk, day):
                break
            closed += 1
    return closed


def _run_slot(server_id: int, day: date) -> bool:
    """Runs a day once per minute; whether it is closed now, so that the next day may follow."""

    def execute() -> dict[str, str]:
        try:
            state = run_business_day(server_id=server_id, day=day, actor=Actor.system("business_day")).state
        except Conflict as error:
            state = error.code
        return {"state": state}

    slot = f"{server_id}:{day}:{clock.now():%Y%m%d%H%M}"
    job_runs.run_slot(job="platform_ops.business_day", slot=slot, execute=execute)
    return BusinessDay.objects.filter(server_id=server_id, day=day, state=BusinessDay.State.CLOSED).exists()
