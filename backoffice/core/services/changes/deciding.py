"""Deciding on a change request: approved or rejected by another person, withdrawn by who made it, moved in time."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from backoffice.core.access import authorise
from backoffice.core.changes.kinds import change_kind
from backoffice.core.changes.rules import ChangeState, checked_moment, checked_reason, next_state
from backoffice.core.models import ChangeRequest
from backoffice.core.services.changes.common import (
    is_checker,
    locked_change,
    require_fresh,
    require_person,
    require_same_payload,
    require_second_person,
    write_down,
)
from backoffice.core.services.changes.waiting import follow_change
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict


@transaction.atomic
def approve_change(*, change_id: int, actor: Actor, reason: str, seen_diff: str = "") -> ChangeRequest:
    """Approves a request, by another person than its maker. What was approved already stays as it is.

    *seen_diff* is the `diff_hash` that the person looked at, where a screen knows it. Raises Denied for the maker, for
    an API key and for a job; Conflict when the state that the diff starts from has moved (`change_stale`), or the diff
    was taken anew since the person looked (`diff_changed`).
    """
    change = locked_change(change_id, actor)
    kind = change_kind(change.kind)
    authorise(actor, kind.checker_capability)
    require_person(actor)
    require_second_person(change, actor)
    why = checked_reason(reason)
    state = next_state("approve", change.state)
    if state is None:
        return change
    if seen_diff and seen_diff != change.diff_hash:
        raise Conflict("The diff was taken anew since you looked: look again.", code="diff_changed")
    kind.check(change.payload)
    require_same_payload(change)
    require_fresh(change, kind)
    change.state = state
    change.checker_id, change.checked_by = actor.user_id, actor.label[:200]
    change.approved_at, change.approved_hash, change.approval_reason = clock.now(), change.payload_hash, why
    change.save()
    write_down(
        change,
        "approve",
        actor,
        text=why,
        changes={"approved_hash": change.approved_hash, "diff_hash": change.diff_hash},
    )
    follow_change(change)
    return change


@transaction.atomic
def reject_change(*, change_id: int, actor: Actor, reason: str) -> ChangeRequest:
    """Refuses a submitted request for good, by another person than its maker (who withdraws)."""
    change = locked_change(change_id, actor)
    authorise(actor, change_kind(change.kind).checker_capability)
    require_person(actor)
    require_second_person(change, actor)
    return _close(change, "reject", actor, reason)


@transaction.atomic
def withdraw_change(*, change_id: int, actor: Actor, reason: str) -> ChangeRequest:
    """Takes back a request that was not carried out: by its maker at any time, or by who may check the kind."""
    change = locked_change(change_id, actor)
    if change.maker_id != actor.user_id:
        authorise(actor, change_kind(change.kind).checker_capability)
    return _close(change, "withdraw", actor, reason)


@transaction.atomic
def schedule_change(*, change_id: int, apply_at: datetime | None, actor: Actor, reason: str) -> ChangeRequest:
    """Sets when the request is carried out; None: when somebody says so.

    Its maker says so for a draft; afterwards who may check the kind does, for the moment is part of what was approved.
    """
    change = locked_change(change_id, actor)
    kind = change_kind(change.kind)
    if not (change.state == ChangeState.DRAFT and change.maker_id == actor.user_id):
        authorise(actor, kind.checker_capability)
    why, when = checked_reason(reason), checked_moment(apply_at)
    state = next_state("schedule", change.state)
    if state is None or when == change.apply_at:
        return change
    if change.state != ChangeState.DRAFT and not actor.is_system:
        require_person(actor)
        if change.state == ChangeState.APPROVED and is_checker(actor, kind):
            require_second_person(change, actor)
    before, change.apply_at = change.apply_at, when
    change.attempts, change.next_attempt_at = 0, None
    change.save()
    write_down(change, "schedule", actor, text=why, changes={"apply_at": [before, when]})
    return change


def _close(change: ChangeRequest, verb: str, actor: Actor, reason: str) -> ChangeRequest:
    why = checked_reason(reason)
    state = next_state(verb, change.state)
    if state is None:
        return change
    change.state = state
    change.closed_at, change.closed_by, change.closed_by_user_id = clock.now(), actor.label[:200], actor.user_id
    change.closing_reason = why
    change.save()
    write_down(change, verb, actor, text=why)
    follow_change(change)
    return change
