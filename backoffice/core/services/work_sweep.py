"""What time does to work items, and the proof that the inbox equals reality. Run by beat; every step is repeatable.

Each step commits on its own and locks rows that nobody else holds, so several processes may sweep at once.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Q, QuerySet

from backoffice.core.books import CheckOutcome, register_check
from backoffice.core.models import User, WorkItem, WorkItemEvent
from backoffice.core.services import outbox, work_delivery, work_items
from backoffice.core.work.kinds import WorkCondition, WorkKind, due_from, is_registered, work_kind, work_kinds
from backoffice.kernel import clock
from backoffice.kernel.errors import DomainError

BATCH = 200
# How long a condition that only time makes true may stand before its missing item is a contradiction: the sweep comes
# by every minute.
SWEEP_GRACE = timedelta(minutes=10)

_not_closed = ~Q(state=WorkItem.State.CLOSED)


def sweep() -> dict[str, int]:
    """Everything that time does, once; how many items each step changed."""
    return {
        # First, so that what came back unseen does not close.
        **rebuild_items(),
        "closed": close_what_stayed_clear(),
        "delivered": deliver_what_was_muted(),
        "escalated": escalate_overdue(),
        "put_back": put_back_of_leavers(),
    }


@transaction.atomic
def close_what_stayed_clear() -> int:
    """Closes items whose condition has been gone for as long as their kind waits."""
    now = clock.now()
    items = list(_locked(WorkItem.objects.filter(_not_closed, clears_at__lte=now).order_by("clears_at")))
    work_items.close_cleared(items, now=now)
    return len(items)


@transaction.atomic
def deliver_what_was_muted() -> int:
    """Delivers items that still stand after the mute over them has ended."""
    now = clock.now()
    silent = WorkItem.objects.filter(_not_closed, ~work_delivery.is_muted_now(now), delivered_at__isnull=True)
    items = list(_locked(silent.filter(clears_at__isnull=True).order_by("pk")))
    for kind in work_kinds():
        work_delivery.deliver_new(kind=kind, items=[item for item in items if item.kind == kind.kind], now=now)
    WorkItemEvent.objects.bulk_create(
        [
            WorkItemEvent(
                item=item, kind=WorkItemEvent.Kind.DELIVERED, actor=work_items.SYSTEM.label, text="The mute has ended."
            )
            for item in items
            if item.delivered_at is not None
        ]
    )
    return sum(item.delivered_at is not None for item in items)


@transaction.atomic
def escalate_overdue() -> int:
    """Calls in the next role for each item that is overdue and neither muted nor about to close."""
    now = clock.now()
    overdue = WorkItem.objects.filter(_not_closed, ~work_delivery.is_muted_now(now), escalates_at__lte=now)
    items = list(_locked(overdue.filter(clears_at__isnull=True).order_by("escalates_at")))
    for item in items:
        _escalate(item, now)
    work_delivery.announce_change([item for item in items if item.escalation_level], sound=True)
    return len(items)


def _escalate(item: WorkItem, now: datetime) -> None:
    """One level up; an item whose kind is gone, or that has no further level, is not looked at again."""
    roles = work_kind(item.kind).escalate_to_roles if is_registered(item.kind) else ()
    if item.escalation_level >= len(roles):
        item.escalates_at = None
        item.save(update_fields=["escalates_at"])
        return
    kind, role = work_kind(item.kind), str(roles[item.escalation_level])
    item.escalation_level += 1
    item.escalated_roles = sorted({*item.escalated_roles, role})
    is_last = item.escalation_level == len(roles)
    item.escalates_at = None if is_last else due_from(max(now, item.due_at), kind.escalate_after_hours)
    item.save(update_fields=["escalation_level", "escalated_roles", "escalates_at"])
    WorkItemEvent.objects.create(
        item=item,
        kind=WorkItemEvent.Kind.ESCALATED,
        actor=work_items.SYSTEM.label,
        text=f"Overdue since {item.due_at:%Y-%m-%d %H:%M} UTC.",
        data={"level": item.escalation_level, "role": role},
    )
    payload = work_delivery.payload_of(item, kind) | {"role": role}
    outbox.publish(topic=work_delivery.ITEM_ESCALATED, payload=payload, shard_key=f"work:{item.kind}")


def put_back_of_leavers() -> int:
    """Leaves to the desk what belongs to people who may not work on it any more."""
    put_back = 0
    owners = WorkItem.objects.filter(state=WorkItem.State.TAKEN).order_by().values("owner").distinct()
    for owner in User.objects.filter(pk__in=owners):
        with transaction.atomic():
            theirs = WorkItem.objects.filter(state=WorkItem.State.TAKEN, owner=owner)
            lost = [item.pk for item in theirs[:BATCH] if not work_items.may_own(owner, item)]
            for item in _locked(theirs.filter(pk__in=lost)):
                work_items.put_back(item, actor=work_items.SYSTEM, reason=f"{owner} may not work on it any more.")
                put_back += 1
    return put_back


def rebuild_items(*, kinds: list[str] | None = None) -> dict[str, int]:
    """Opens what stands without an item and clears what is gone, for the kinds whose condition can be read."""
    opened = cleared = 0
    for kind in work_kinds():
        if kind.conditions is None or (kinds is not None and kind.kind not in kinds):
            continue
        try:
            with transaction.atomic():
                missing, gone = _differences(kind, lenient_before=None)
                work_items.open_items(kind=kind.kind, conditions=missing)
                work_items.clear_items(kind=kind.kind, group_keys=gone, reason="The condition is gone.")
        except DomainError as error:  # one desk's mistake must not stop the others' sweep; the proof still shows it
            structlog.get_logger(__name__).error("work_not_rebuilt", kind=kind.kind, problem=error.message)
            continue
        opened += len(missing)
        cleared += len(gone)
    return {"opened": opened, "cleared": cleared}


def inbox_equals_reality() -> CheckOutcome:
    """No open item whose condition is gone, and no condition without an item."""
    rows: list[dict[str, Any]] = []
    for kind in work_kinds():
        if kind.conditions is None:
            continue
        missing, gone = _differences(kind, lenient_before=clock.now() - SWEEP_GRACE)
        rows += [{"kind": kind.kind, "group": key, "problem": "its condition is gone"} for key in gone]
        rows += [{"kind": kind.kind, "group": item.group_key, "problem": "no item is open"} for item in missing]
    return CheckOutcome.of(rows)


def _differences(kind: WorkKind, *, lenient_before: datetime | None) -> tuple[list[WorkCondition], list[str]]:
    """The conditions without an item, and the groups of open items without a condition (those that clear aside).

    With *lenient_before*, a condition that only time made true counts from that moment on.
    """
    assert kind.conditions is not None
    items = WorkItem.objects.filter(kind=kind.kind)
    open_keys = dict(items.filter(_not_closed).values_list("group_key", "clears_at"))
    # Read after the items: what begins in between may be opened twice, which only counts; it is never cleared.
    standing = {condition.group_key: condition for condition in kind.conditions(None)}
    missing = [condition for key, condition in sorted(standing.items()) if key not in open_keys]
    if kind.closes_by_hand and missing:
        keys = [condition.group_key for condition in missing]
        closed = dict(
            items.filter(group_key__in=keys, state=WorkItem.State.CLOSED)
            .order_by("closed_at")
            .values_list("group_key", "closed_at")
        )
        missing = [condition for condition in missing if not _is_settled(condition, closed.get(condition.group_key))]
    if lenient_before is not None:
        missing = [condition for condition in missing if condition.since is None or condition.since <= lenient_before]
    gone = sorted(key for key, clears_at in open_keys.items() if clears_at is None and key not in standing)
    returned = [standing[key] for key, clears_at in open_keys.items() if clears_at is not None and key in standing]
    return missing + (returned if lenient_before is None else []), gone


def _is_settled(condition: WorkCondition, closed_at: datetime | None) -> bool:
    """Whether a person closed the item of a condition that may be closed by hand, after it began."""
    return closed_at is not None and (condition.since is None or closed_at >= condition.since)


def _locked(items: QuerySet[WorkItem]) -> QuerySet[WorkItem]:
    return items.select_for_update(of=("self",), skip_locked=True)[:BATCH]


def register() -> None:
    """Adds the proof to `verify_books`; called once when the process starts."""
    register_check("work.inbox_equals_reality", inbox_equals_reality)
