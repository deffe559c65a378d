"""Operations recognised in the server's own history: by their ticket, or by the reference in the comment.

The deal alone moves the books. An operation whose answer was lost is settled by it too, without asking the server.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction

from backoffice.kernel import clock
from platform_ops.models import BalanceOperation, IngestBatch, ServerOperation
from platform_ops.rules.operations import (
    CLOCK_SLACK,
    OperationKind,
    OperationState,
    Step,
    can,
    references_in,
)
from platform_ops.services.account_operations.common import MAX_NOTE, WORKER, locked, move_on

MAX_RECOGNISED = 2_000
LOOKS_BACK = timedelta(days=40)


def recognise_batch(payload: dict[str, Any], event: object = None) -> None:
    """The handler of `platform.trades_changed`: looks for our operations when balance operations came in."""
    batch = IngestBatch.objects.filter(pk=payload["batch_id"]).first()
    if batch is not None and batch.changed_operations:
        recognise_server(server_id=batch.server_id)


def recognise_server(*, server_id: int) -> int:
    """Marks the operations of a server whose deals are in the books by now; returns how many."""
    unseen = ServerOperation.objects.filter(
        server=server_id, kind=OperationKind.MOVE_MONEY.value, recognised_at__isnull=True
    ).exclude(state__in=[OperationState.REFUSED.value, OperationState.REQUESTED.value])
    recent = unseen.filter(requested_at__gte=clock.now() - LOOKS_BACK)
    return sum(_recognise(operation_id) for operation_id in recent.values_list("pk", flat=True)[:MAX_RECOGNISED])


@transaction.atomic
def _recognise(operation_id: int) -> bool:
    operation = locked(operation_id)
    if operation.recognised_at is not None or operation.state == OperationState.SENDING:
        return False
    deal = _deal_of(operation)
    if deal is None:
        return False
    if not OperationState(operation.state).took_effect:
        if not can(operation.state, Step.FIND):
            return False
        if (deal.kind, deal.amount) != (operation.deal_kind, operation.amount):
            operation.problem = f"Deal {deal.ticket} carries the reference, but moved {deal.amount}."[:MAX_NOTE]
            operation.save(update_fields=["problem"])
            return False
        move_on(
            operation,
            Step.FIND,
            WORKER,
            f"Deal {deal.ticket} came in with the reference.",
            deal_ticket=deal.ticket,
            problem="",
        )
    operation.recognised_at = clock.now()
    operation.save(update_fields=["recognised_at"])
    return True


def _deal_of(operation: ServerOperation) -> BalanceOperation | None:
    """The deal in the books that is this operation."""
    told = BalanceOperation.objects.filter(account=operation.account_id, is_opening=False)
    if operation.deal_ticket is not None:
        return told.filter(ticket=operation.deal_ticket).first()
    near = told.filter(at__gte=operation.requested_at - CLOCK_SLACK, comment__contains=operation.reference)
    return next((deal for deal in near[:10] if operation.reference in references_in(deal.comment)), None)
