"""Work items of disputes: one for each that waits for the desk, due when the partner was told it would be.

While the partner is asked there is none, so the clock stands still; the answer opens a new one with the time that was
left.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import QuerySet

from backoffice.core.models import Severity
from backoffice.core.services import work_items
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from ib.dispute_rules import DisputeState
from ib.models import Dispute

DISPUTE_WAITS = "ib.dispute_waits"
MOST_ITEMS = 500
"""The most urgent ones have items; the list of disputes shows all."""
WAITING = (DisputeState.RECEIVED, DisputeState.IN_WORK)


def register() -> None:
    """Adds the kind; called once when the application starts."""
    register_work_kind(
        WorkKind(
            kind=DISPUTE_WAITS,
            label="Commission dispute",
            desk="ib",
            roles=(Role.PARTNER_MANAGER.value, Role.FINANCE.value, Role.ADMINISTRATOR.value),
            due_hours=72,
            severity=Severity.NORMAL,
            escalate_after_hours=24,
            escalate_to_roles=(Role.ADMINISTRATOR.value,),
            conditions=disputes_that_wait,
            closes_by_hand=False,
        )
    )


def note_dispute(dispute_id: int) -> None:
    """Brings the item of one dispute to where it stands, in the transaction of the step."""
    work_items.reconcile(
        kind=DISPUTE_WAITS,
        prefix=f"{dispute_id}:",
        conditions=lambda: _conditions(_waiting().filter(pk=dispute_id)),
        reason="It was decided, withdrawn, or waits for somebody else.",
    )


def disputes_that_wait(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every dispute that the desk has to look at now."""
    if group_keys is None:
        return _conditions(_waiting())
    return _conditions(_waiting().filter(pk__in=[int(key.partition(":")[0]) for key in group_keys]))


def _waiting() -> QuerySet[Dispute]:
    return Dispute.objects.filter(state__in=WAITING).order_by("due_at", "pk")


def _conditions(waiting: QuerySet[Dispute]) -> list[WorkCondition]:
    return [
        WorkCondition(
            group_key=f"{dispute.pk}:",
            title=f"{dispute.reference}: {dispute.partner} doubts {dispute.subject_reference}",
            evidence={
                "partner": dispute.partner.reference,
                "about": f"{dispute.get_subject_display()} {dispute.subject_reference}",
                "cause": dispute.get_cause_display(),
                "amount": f"{dispute.amount.normalize():f} {dispute.currency}",
                "appeal": "yes" if dispute.appealed_at else "no",
            },
            entity_id=dispute.entity_id,
            target=dispute,
            due_at=dispute.due_at,
            severity=Severity.HIGH if dispute.appealed_at else None,
        )
        for dispute in waiting.select_related("partner")[:MOST_ITEMS]
    ]
