"""Drafting a change request, taking its diff and impact, and handing it in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection, models, transaction

from backoffice.core.access import authorise, holds
from backoffice.core.changes.kinds import ChangeKind, Impact, change_kind
from backoffice.core.changes.rules import (
    MAX_IMPACT_ROWS,
    MAX_TITLE_LENGTH,
    ChangeState,
    checked_moment,
    checked_reason,
    next_state,
    plain_json,
)
from backoffice.core.models import ApprovalPolicy, ChangeRequest
from backoffice.core.organisation.scope import require_stands_for
from backoffice.core.services.changes.applying import apply_change
from backoffice.core.services.changes.common import (
    locked_change,
    payload_digest,
    require_fresh,
    require_same_payload,
    take_diff,
    write_down,
)
from backoffice.core.services.changes.policies import policy_in_force
from backoffice.core.services.changes.waiting import follow_change
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, NotFound

_CLEARED_APPROVAL: dict[str, Any] = {
    "checker_id": None,
    "policy_id": None,
    "checked_by": "",
    "approved_at": None,
    "approved_hash": "",
    "approval_reason": "",
}


@transaction.atomic
def draft_change(
    *,
    kind: str,
    payload: dict[str, Any],
    actor: Actor,
    reason: str,
    entity_id: int | None = None,
    target: models.Model | None = None,
    apply_at: datetime | None = None,
) -> ChangeRequest:
    """A draft with its diff and the preview of its impact; nothing is changed by it yet.

    Without *entity_id* it concerns the whole broker, which is for those who see every legal entity. Raises Denied
    without the kind's maker capability, InvalidInput for a payload that the kind refuses, Conflict (`changes_nothing`)
    when the proposed state is the current one.
    """
    definition = change_kind(kind)
    authorise(actor, definition.maker_capability)
    why, when = checked_reason(reason), checked_moment(apply_at)
    plain = plain_json(payload, field="payload")
    definition.check(plain)
    entity_id = _entity_of(definition, plain, entity_id)
    require_stands_for(actor, entity_id)
    about = target or definition.target(plain)
    change = ChangeRequest(
        reference=_next_reference(),
        kind=definition.kind,
        desk=definition.desk,
        title=definition.title(plain)[:MAX_TITLE_LENGTH],
        entity_id=entity_id,
        target_type=about._meta.label_lower if about is not None else "",
        target_id=str(about.pk) if about is not None else "",
        target_label=str(about)[:200] if about is not None else "",
        reason=why,
        payload=plain,
        payload_hash=payload_digest(plain),
        maker_id=actor.user_id,
        made_by=actor.label[:200],
        created_at=clock.now(),
        apply_at=when,
    )
    take_diff(change, definition)
    _take_impact(change, definition, actor)
    change.save(force_insert=True)
    write_down(change, "draft", actor, text=why, changes={"payload_hash": change.payload_hash})
    return change


@transaction.atomic
def edit_change(
    *, change_id: int, payload: dict[str, Any], actor: Actor, reason: str, apply_at: datetime | None = None
) -> ChangeRequest:
    """Replaces the payload of a draft, by its maker; the diff and the impact are taken anew."""
    change = locked_change(change_id, actor)
    definition = change_kind(change.kind)
    authorise(actor, definition.maker_capability)
    _require_maker(change, actor)
    if change.state != ChangeState.DRAFT:
        raise Conflict("A submitted change request never changes; withdraw it and draft another.", code="change_frozen")
    change.reason, change.apply_at = checked_reason(reason), checked_moment(apply_at)
    change.payload = plain_json(payload, field="payload")
    definition.check(change.payload)
    if _entity_of(definition, change.payload, change.entity_id) != change.entity_id:
        raise Conflict("A change request stays with its legal entity; draft another.", code="other_entity")
    change.payload_hash = payload_digest(change.payload)
    change.title = definition.title(change.payload)[:MAX_TITLE_LENGTH]
    take_diff(change, definition)
    _take_impact(change, definition, actor)
    change.save()
    write_down(change, "edit", actor, text=change.reason, changes={"payload_hash": change.payload_hash})
    return change


@transaction.atomic
def refresh_change(*, change_id: int, actor: Actor) -> ChangeRequest:
    """Takes the diff and the impact anew, from the state that stands now. An approval given to the old diff falls."""
    change = locked_change(change_id, actor)
    definition = change_kind(change.kind)
    if not holds(actor, definition.checker_capability):
        authorise(actor, definition.maker_capability)
    was = ChangeState(change.state)
    state = next_state("refresh", change.state)
    definition.check(change.payload)
    old_diff = change.diff_hash
    if state is not None:
        change.state = state
    if was in (ChangeState.APPROVED, ChangeState.FAILED):
        for name, value in _CLEARED_APPROVAL.items():
            setattr(change, name, value)
        change.error, change.failed_at, change.attempts, change.next_attempt_at = "", None, 0, None
    take_diff(change, definition)
    _take_impact(change, definition, actor)
    change.save()
    text = "The diff is another one than before." if change.diff_hash != old_diff else "The diff is as before."
    write_down(change, "refresh", actor, text=text, changes={"from": was.value, "diff": [old_diff, change.diff_hash]})
    follow_change(change)
    return change


def submit_change(*, change_id: int, actor: Actor) -> ChangeRequest:
    """Hands a draft in for approval, by its maker; from here on the payload never changes.

    Where a policy of the kind is in force and the payload lies within its bounds, the policy version is recorded as the
    approval, and what is due is applied at once. Repeating it changes nothing.
    """
    change, policy = _submit(change_id=change_id, actor=actor)
    is_due = change.apply_at is None or change.apply_at <= clock.now()
    if policy is None or not is_due:
        return change
    return apply_change(change_id=change.pk, actor=_policy_actor(policy))


def is_stale(change: ChangeRequest) -> bool:
    """Whether an open request's diff no longer starts from the state that stands now. For screens."""
    if change.state not in ("draft", "submitted", "approved", "failed"):
        return False
    try:
        require_fresh(change, change_kind(change.kind))
    except (Conflict, NotFound):
        return True
    return False


@transaction.atomic
def _submit(*, change_id: int, actor: Actor) -> tuple[ChangeRequest, ApprovalPolicy | None]:
    change = locked_change(change_id, actor)
    definition = change_kind(change.kind)
    authorise(actor, definition.maker_capability)
    _require_maker(change, actor)
    state = next_state("submit", change.state)
    if state is None:
        return change, None
    definition.check(change.payload)
    require_same_payload(change)
    require_fresh(change, definition)
    change.state, change.submitted_at = state, clock.now()
    change.save()
    write_down(change, "submit", actor, text=change.reason)
    policy = _approve_by_policy(change, definition)
    follow_change(change)
    return change, policy


def _approve_by_policy(change: ChangeRequest, kind: ChangeKind) -> ApprovalPolicy | None:
    """The policy that approved the request just now, if one is in force and the request lies within its bounds."""
    policy = policy_in_force(kind=change.kind, entity_id=change.entity_id, at=clock.now())
    if policy is None or kind.outside_bounds is None:
        return None
    impact = Impact(change.impact_summary, change.impact_rows, change.impact_figures)
    outside = kind.outside_bounds(change.payload, impact, policy.bounds)
    actor = _policy_actor(policy)
    if outside:
        write_down(change, "leave_to_person", actor, text=f"{policy} does not approve it: {'; '.join(outside)}")
        return None
    change.state = ChangeState.APPROVED
    change.policy_id, change.checked_by = policy.pk, str(policy)
    change.approved_at, change.approved_hash = clock.now(), change.payload_hash
    change.approval_reason = "Within the bounds of the policy."
    change.save()
    write_down(
        change,
        "approve",
        actor,
        text=change.approval_reason,
        changes={"policy_id": policy.pk, "policy_version": policy.number, "approved_hash": change.approved_hash},
    )
    return policy


def _policy_actor(policy: ApprovalPolicy) -> Actor:
    return Actor.system(f"policy {policy.kind} v{policy.number}")


def _require_maker(change: ChangeRequest, actor: Actor) -> None:
    if change.maker_id != actor.user_id:
        raise Denied("Only who made a change request edits it and hands it in.", code="not_the_maker")


def _entity_of(kind: ChangeKind, payload: dict[str, Any], given: int | None) -> int | None:
    """The legal entity that the payload concerns; where the kind can tell, what the caller says must agree."""
    if kind.entity_of is None:
        return given
    found = kind.entity_of(payload)
    if given is not None and given != found:
        raise Conflict("The payload concerns another legal entity.", code="other_entity")
    return found


def _take_impact(change: ChangeRequest, kind: ChangeKind, actor: Actor) -> None:
    """Asks the desk what the change would do. Whatever the preview writes to find out is rolled back."""
    with transaction.atomic():
        impact = kind.preview(change.payload, actor)
        transaction.set_rollback(True)
    change.impact_summary = impact.summary
    change.impact_rows = plain_json(impact.rows[:MAX_IMPACT_ROWS], field="impact")
    figures = dict(impact.figures)
    if len(impact.rows) > MAX_IMPACT_ROWS:
        figures["Rows not shown"] = len(impact.rows) - MAX_IMPACT_ROWS
    change.impact_figures = plain_json(figures, field="impact")
    change.shown_order = {
        **(change.shown_order or {}),
        "columns": list(impact.rows[0]) if impact.rows else [],
        "figures": list(figures),
    }
    change.impact_at = clock.now()


def _next_reference() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('core_change_reference')")
        return f"CR-{cursor.fetchone()[0]:06d}"
