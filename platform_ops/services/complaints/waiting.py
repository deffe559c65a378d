"""The work items of complaints and of operations that wait for a person."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db.models import Q

from backoffice.core.models import Severity
from backoffice.core.services import work_items
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from backoffice.kernel import clock
from platform_ops.models import PriceComplaint, ServerOperation
from platform_ops.rules.complaints import ComplaintState
from platform_ops.rules.operations import MAXIMUM_ATTEMPTS, OperationKind, OperationState

COMPLAINT = "platform.price_complaint"
STUCK_OPERATION = "platform.operation_waits"
UNCERTAIN_MAY_LAST = timedelta(minutes=5)
UNSENT_MAY_LAST = timedelta(minutes=15)
DEAL_MAY_TAKE = timedelta(minutes=30)
MAX_CONDITIONS = 200


def register() -> None:
    """Adds the kinds; called once when the application starts."""
    operations, dealing = Role.PLATFORM_OPERATIONS.value, Role.DEALING.value
    compliance, finance, administrator = Role.COMPLIANCE.value, Role.FINANCE.value, Role.ADMINISTRATOR.value
    register_work_kind(
        WorkKind(
            kind=COMPLAINT,
            label="Price complaint",
            desk="platform_ops",
            roles=(dealing, operations, compliance, administrator),
            due_hours=72,
            escalate_after_hours=24,
            escalate_to_roles=(compliance,),
            action_slug="evidence",
            action_label="Collect the evidence",
            conditions=standing_complaints,
            closes_by_hand=False,
        )
    )
    register_work_kind(
        WorkKind(
            kind=STUCK_OPERATION,
            label="Operation on a server that waits",
            desk="platform_ops",
            roles=(operations, finance, administrator),
            due_hours=1,
            severity=Severity.HIGH,
            escalate_after_hours=2,
            escalate_to_roles=(finance, compliance),
            action_slug="look-up",
            action_label="Ask the server now",
            conditions=stuck_operations,
            closes_by_hand=False,
        )
    )


def note_complaint(complaint: PriceComplaint) -> None:
    """Brings the item of a complaint to where it stands."""
    work_items.reconcile(
        kind=COMPLAINT,
        prefix=complaint.reference,
        conditions=lambda: standing_complaints([complaint.reference]),
        reason="The complaint was answered.",
    )


def standing_complaints(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every complaint that is not answered."""
    waiting = PriceComplaint.objects.exclude(state=ComplaintState.CLOSED.value).select_related(
        "account__server", "trade__server_symbol", "operation", "client"
    )
    if group_keys is not None:
        waiting = waiting.filter(reference__in=group_keys)
    return [_complaint(complaint) for complaint in waiting.order_by("pk")[:MAX_CONDITIONS]]


def _complaint(complaint: PriceComplaint) -> WorkCondition:
    problem = complaint.operation.problem if complaint.operation is not None else ""
    return WorkCondition(
        group_key=complaint.reference,
        title=f"{complaint.reference}: {complaint.disputed} price of {complaint.trade.server_symbol.name}",
        evidence={
            "account": str(complaint.account),
            "client": str(complaint.client or "none"),
            "trade": complaint.trade.ticket,
            "state": complaint.get_state_display(),
            "answer_by": complaint.due_at.isoformat(),
            "problem": problem,
            "consequence": "The client waits for an answer.",
        },
        entity_id=complaint.entity_id,
        target=complaint,
        since=complaint.opened_at,
    )


def stuck_operations(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Operations whose answer stays lost, that were given up, that cannot be sent, or whose deal does not come back."""
    now = clock.now()
    money = Q(kind=OperationKind.MOVE_MONEY.value)
    stuck = ServerOperation.objects.filter(
        Q(state=OperationState.UNCERTAIN.value, sent_at__lt=now - UNCERTAIN_MAY_LAST)
        | Q(state=OperationState.UNCERTAIN.value, next_try_at__isnull=True)
        | Q(state=OperationState.NOT_FOUND.value, attempts__gte=MAXIMUM_ATTEMPTS)
        | Q(state=OperationState.REQUESTED.value, requested_at__lt=now - UNSENT_MAY_LAST)
        | Q(money, state__in=["done", "found"], recognised_at__isnull=True, finished_at__lt=now - DEAL_MAY_TAKE)
    ).select_related("server", "account")
    if group_keys is not None:
        stuck = stuck.filter(reference__in=group_keys)
    return [_operation(operation) for operation in stuck.order_by("pk")[:MAX_CONDITIONS]]


def _operation(operation: ServerOperation) -> WorkCondition:
    state = OperationState(operation.state)
    what = {
        OperationState.UNCERTAIN: "the answer is lost",
        OperationState.NOT_FOUND: "was tried in vain",
        OperationState.REQUESTED: "could not be sent",
    }.get(state, "its deal has not come back")
    return WorkCondition(
        group_key=operation.reference,
        title=f"{operation.reference} on {operation.server.code}: {what}",
        evidence={
            "operation": operation.get_kind_display(),
            "login": operation.login,
            "amount": None if operation.amount is None else f"{operation.amount:+,.2f} {operation.currency}",
            "state": operation.get_state_display(),
            "attempts": operation.attempts,
            "problem": operation.problem,
            "consequence": "Whether it happened is looked up by its reference before it is sent again.",
        },
        entity_id=operation.entity_id,
        target=operation,
        since=operation.sent_at or operation.requested_at,
    )
