"""Work items of payouts: ways to be paid that wait for a look, and payments that stand still."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db.models import Q

from backoffice.core.models import Severity
from backoffice.core.services import work_items
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from backoffice.kernel import clock
from ib.models import Payout, PayoutMethod

METHOD_WAITS = "ib.payout_method_waits"
PAYOUT_WAITS = "ib.payout_waits"
STATEMENT_STUCK = "ib.statement_stuck"
STANDS_STILL_AFTER = timedelta(days=2)
MOST_ITEMS = 200
_ROLES = (Role.FINANCE.value, Role.PARTNER_MANAGER.value, Role.ADMINISTRATOR.value)


def register() -> None:
    """Adds the kinds; called once when the application starts."""
    register_work_kind(
        WorkKind(
            kind=METHOD_WAITS,
            label="New way to be paid, to confirm",
            desk="ib",
            roles=_ROLES,
            due_hours=24,
            severity=Severity.NORMAL,
            action_slug="confirm",
            action_label="Confirm",
            conditions=methods_that_wait,
            closes_by_hand=False,
        )
    )
    register_work_kind(
        WorkKind(
            kind=PAYOUT_WAITS,
            label="Payout that stands still",
            desk="ib",
            roles=_ROLES,
            due_hours=24,
            severity=Severity.HIGH,
            escalate_after_hours=24,
            escalate_to_roles=(Role.ADMINISTRATOR.value,),
            conditions=payouts_that_wait,
            closes_by_hand=False,
        )
    )
    register_work_kind(
        WorkKind(
            kind=STATEMENT_STUCK,
            label="Statement of a partner that could not be made",
            desk="ib",
            roles=_ROLES,
            due_hours=24,
            severity=Severity.HIGH,
        )
    )


def methods_that_wait(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """What partners asked for and nobody decided."""
    waiting = PayoutMethod.objects.filter(state=PayoutMethod.State.REQUESTED).select_related("partner")
    if group_keys is not None:
        waiting = waiting.filter(pk__in=[int(key) for key in group_keys])
    return [
        WorkCondition(
            group_key=str(method.pk),
            title=f"{method.partner} wants to be paid to: {method}",
            evidence={"partner": method.partner.reference, "way": str(method), "asked by": method.requested_by},
            entity_id=method.partner.entity_id,
            target=method,
        )
        for method in waiting.order_by("pk")[:MOST_ITEMS]
    ]


def payouts_that_wait(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Payments under way that have a problem, or that nothing happened to for days."""
    waiting = Payout.objects.filter(state=Payout.State.UNDER_WAY).filter(
        ~Q(problem="") | Q(requested_at__lte=clock.now() - STANDS_STILL_AFTER)
    )
    if group_keys is not None:
        waiting = waiting.filter(pk__in=[int(key) for key in group_keys])
    return [
        WorkCondition(
            group_key=str(payout.pk),
            title=f"{payout.get_kind_display()}: {payout.amount.normalize():f} {payout.currency} for {payout.partner} waits",
            evidence={
                "partner": payout.partner.reference,
                "amount": f"{payout.amount.normalize():f} {payout.currency}",
                "why": payout.problem or "Nothing happened for two days.",
            },
            entity_id=payout.partner.entity_id,
            target=payout,
        )
        for payout in waiting.select_related("partner").order_by("pk")[:MOST_ITEMS]
    ]


def note_payouts() -> None:
    """Brings the items to what stands still now."""
    work_items.reconcile(kind=PAYOUT_WAITS, prefix="", conditions=lambda: payouts_that_wait(None), reason="It went on.")


def note_stuck(problems: dict[str, tuple[int, str]]) -> None:
    """Items of the partners (by reference: entity and why) whose statements the last run could not make."""
    work_items.reconcile(
        kind=STATEMENT_STUCK,
        prefix="",
        conditions=lambda: [
            WorkCondition(
                group_key=reference,
                title=f"No statement for {reference}: {why}",
                evidence={"partner": reference, "why": why},
                entity_id=entity_id,
            )
            for reference, (entity_id, why) in sorted(problems.items())[:MOST_ITEMS]
        ],
        reason="Its statement was made.",
    )
