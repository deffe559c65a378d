"""Work items of what is earned by the period: a partner who cannot be settled, and why."""

from __future__ import annotations

from collections.abc import Iterable

from backoffice.core.models import Severity
from backoffice.core.services import work_items
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from ib.models import Partner, PeriodMark

PERIODS_WAIT = "ib.periods_wait"


def register() -> None:
    """Adds the kind; called once when the application starts."""
    register_work_kind(
        WorkKind(
            kind=PERIODS_WAIT,
            label="Earnings by the period that wait",
            desk="ib",
            roles=(Role.PARTNER_MANAGER.value, Role.FINANCE.value, Role.ADMINISTRATOR.value),
            due_hours=24,
            severity=Severity.NORMAL,
            escalate_after_hours=48,
            escalate_to_roles=(Role.ADMINISTRATOR.value,),
            conditions=partners_that_wait,
            closes_by_hand=False,
        )
    )


def note_partner(partner_id: int) -> None:
    """Brings a partner's item to whether their periods wait, in the transaction that settles them or gives up."""
    work_items.reconcile(
        kind=PERIODS_WAIT,
        prefix=f"{partner_id}:",
        conditions=lambda: partners_that_wait([f"{partner_id}:"]),
        reason="The partner's periods are settled.",
    )


def partners_that_wait(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every partner whose periods could not be settled when it was tried last."""
    marks = PeriodMark.objects.filter(is_spread=True, partner_id__isnull=False).exclude(problem="")
    if group_keys is not None:
        marks = marks.filter(partner_id__in=[int(key.partition(":")[0]) for key in group_keys])
    first: dict[int, PeriodMark] = {}
    for mark in marks.order_by("day", "pk"):
        first.setdefault(mark.partner_id or 0, mark)
    partners = Partner.objects.in_bulk(first)
    return [
        WorkCondition(
            group_key=f"{partner_id}:",
            title=f"Earnings of {partners[partner_id]} from {mark.day:%B %Y} on wait",
            evidence={
                "partner": partners[partner_id].reference,
                "since the period of": mark.day.isoformat(),
                "why": mark.problem,
                "consequence": "Nothing that is earned by the period is booked for the partner until then.",
            },
            entity_id=partners[partner_id].entity_id,
            target=partners[partner_id],
        )
        for partner_id, mark in first.items()
        if partner_id in partners
    ]
