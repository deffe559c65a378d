"""What waits for approval is work: one item for each submitted change request, for those who may check its kind.

Each kind of change has a kind of work of its own, so that a desk is told, called in and muted by what it decides on. An
item closes with the decision and never by hand; the request's own page is where it is approved or rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any

from backoffice.core.access import capabilities
from backoffice.core.changes.kinds import ChangeKind, change_kinds
from backoffice.core.changes.rules import ChangeState
from backoffice.core.models import ChangeRequest, WorkItem
from backoffice.core.services import work_items
from backoffice.core.types import STAFF_ROLES
from backoffice.core.work.kinds import (
    MAX_TITLE_LENGTH,
    WorkCondition,
    WorkKind,
    due_from,
    is_registered,
    register_work_kind,
)
from backoffice.kernel import clock

DUE_HOURS = 8
MAX_TEXT_LENGTH = 1_000
_PREFIX = "approve:"

# What is said on an item that closes: the state that its request came to.
_DECIDED = {
    ChangeState.APPROVED.value: "It was approved.",
    ChangeState.REJECTED.value: "It was rejected.",
    ChangeState.WITHDRAWN.value: "It was withdrawn.",
}


def work_kind_of(change_kind: str) -> str:
    """The kind of work that approvals of a kind of change are."""
    return f"{_PREFIX}{change_kind}"


def register_work_kinds() -> None:
    """A kind of work for each kind of change. Called once, when every desk has registered its kinds and capabilities."""
    for kind in change_kinds():
        register_work_kind_of(kind)


def register_work_kind_of(kind: ChangeKind) -> None:
    """The kind of work for one kind of change, for the roles that hold its checker's capability."""
    register_work_kind(_work_kind(kind, capabilities()[kind.checker_capability]))


def follow_change(change: ChangeRequest) -> None:
    """Opens or clears the item of a request, as its state asks. Belongs into the transaction that moved the request."""
    kind = work_kind_of(change.kind)
    if not is_registered(kind):
        return
    if change.state != ChangeState.SUBMITTED:
        reason = _DECIDED.get(change.state, f"It is {change.get_state_display().lower()}.")
        work_items.clear_item(kind=kind, group_key=change.reference, reason=reason)
        return
    open_now = WorkItem.objects.filter(kind=kind, group_key=change.reference).exclude(state=WorkItem.State.CLOSED)
    if not open_now.filter(clears_at__isnull=True).exists():
        work_items.open_items(kind=kind, conditions=[_condition(change)])


def _work_kind(kind: ChangeKind, roles: frozenset[str]) -> WorkKind:
    return WorkKind(
        kind=work_kind_of(kind.kind),
        label=f"Approval: {kind.label[:1].lower()}{kind.label[1:]}",
        desk=kind.desk,
        roles=frozenset(roles & STAFF_ROLES),
        due_hours=DUE_HOURS,
        action_slug="approve",
        action_label="Look and approve",
        conditions=_conditions_of(kind.kind),
        closes_by_hand=False,
        is_of_whole_broker=True,
    )


def _conditions_of(kind: str) -> Callable[[list[str] | None], Iterable[WorkCondition]]:
    return partial(_waiting, kind)


def _waiting(kind: str, group_keys: list[str] | None) -> list[WorkCondition]:
    """Every submitted request of the kind, or those of the references."""
    waiting = ChangeRequest.objects.filter(kind=kind, state=ChangeState.SUBMITTED).order_by("pk")
    if group_keys is not None:
        waiting = waiting.filter(reference__in=group_keys)
    return [_condition(change) for change in waiting]


def _condition(change: ChangeRequest) -> WorkCondition:
    return WorkCondition(
        group_key=change.reference,
        title=f"{change.reference} waits for approval: {change.title}"[:MAX_TITLE_LENGTH],
        evidence=partial(_evidence, change),
        entity_id=change.entity_id,
        target=change,
        due_at=_due_at(change),
        since=change.submitted_at,
    )


def _due_at(change: ChangeRequest) -> datetime:
    """A working day of the market after it was handed in, or the moment it is to be carried out where that is sooner."""
    due_at = due_from(change.submitted_at or clock.now(), DUE_HOURS)
    return min(due_at, change.apply_at) if change.apply_at is not None else due_at


def _evidence(change: ChangeRequest) -> dict[str, Any]:
    return {
        "request": change.reference,
        "concerns": change.target_label,
        "made_by": change.made_by,
        "reason": change.reason[:MAX_TEXT_LENGTH],
        "impact": change.impact_summary[:MAX_TEXT_LENGTH],
        "carried_out_at": change.apply_at.isoformat() if change.apply_at else None,
        "consequence": "Nothing of it is carried out until somebody else than who made it decides.",
    }
