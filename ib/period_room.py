"""The room of what is earned by the period: its checks, jobs, events, step of the business day, screens and endpoints."""

from __future__ import annotations

from datetime import date
from typing import Any, Protocol

from backoffice.core.models import Job, OutboxEvent
from backoffice.core.schedule import register_periodic
from backoffice.core.services import jobs, outbox
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict
from funding.ledger.services.entries import register_derived_source
from ib import period_checks
from ib.services import client_events, period_work, periods
from platform_ops.services.business_day import register_step

STEP_ORDER = 52
ACTOR = Actor.system("business_day")


DESK = "ib"
PAGES = (
    ("Commissions by the period", "admin:ib_period_lines", "ib.view_commissions", 62, "calendar_month"),
    ("Rewards for clients", "admin:ib_cpaclaim_changelist", "ib.view_commissions", 64, "redeem"),
    ("Carried losses", "admin:ib_carrybalance_changelist", "ib.view_commissions", 66, "trending_down"),
    ("Facts about clients", "admin:ib_clientevent_changelist", "ib.view_client_events", 68, "fact_check"),
    ("Settle a partner's periods", "admin:ib_settle_periods", "ib.settle_commissions", 72, "event_repeat"),
)


class Day(Protocol):
    """What the step needs of a business day."""

    @property
    def day(self) -> date: ...


def run_job(job: Job, owner: str) -> dict[str, Any]:
    """Settles the partner of a job and finishes the job in the same transaction."""
    from_day = job.payload.get("from_day")
    result = periods.settle_partner(
        partner_id=job.payload["partner_id"],
        from_day=date.fromisoformat(from_day) if from_day else None,
        cause=job.payload.get("cause", ""),
        actor=periods.ACTOR,
        finish=lambda outcome: jobs.finish(job=job, owner=owner, result=outcome),
    )
    return result.as_dict()


def on_trades_changed(payload: dict[str, Any], event: OutboxEvent) -> None:
    """Trades may bring a client nearer to a reward, or change a period that is over."""
    periods.trades_changed(batch_id=payload["batch_id"])


def settle_business_day(business_day: Day) -> dict[str, Any]:
    """Settles whoever is due, looks again at disputed clients, and sees that a second look books nothing.

    Raises Conflict (`periods_not_proved`) when it does.
    """
    periods.mark_disputed()
    first = periods.settle_due(actor=ACTOR)
    second = [result for result in periods.settle_due(actor=ACTOR) if result.lines]
    if second:
        raise Conflict("A second settlement of periods booked more lines.", code="periods_not_proved")
    return {
        "partners": len(first),
        "lines": sum(result.lines for result in first),
        "waiting": sum(1 for result in first if result.waiting),
    }


def register() -> None:
    """Called once, when the process starts."""
    _register_screens()
    period_checks.register()
    period_work.register()
    client_events.subscribe()
    jobs.register_runner(periods.SETTLE_PERIODS, run_job)
    outbox.subscribe("platform.trades_changed", "ib.mark_periods", on_trades_changed)
    register_derived_source(periods.SOURCE_TYPE, "correct the event, the trade or the plan, and settle again")
    register_step(
        "period_commissions", STEP_ORDER, settle_business_day, title="Commissions by the period settled and proved"
    )
    register_periodic("ib.due_periods", "ib.tasks.enqueue_due_periods", 5)
    register_periodic("ib.ended_periods", "ib.tasks.enqueue_ended_periods", 3600)


def _register_screens() -> None:
    """The desk's pages, the partner's own, and the endpoints."""
    from backoffice.ui.navigation import register_page
    from ib.admin import periods as pages  # noqa: F401 - its import mounts the pages
    from ib.api import periods as endpoints
    from ib.portal import periods as portal

    for title, url_name, capability, order, icon in PAGES:
        register_page(DESK, title, url_name, capability, order, icon=icon)
    endpoints.register()
    portal.register()
