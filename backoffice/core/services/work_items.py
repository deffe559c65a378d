"""Work items: opened and cleared by the desks' use cases, taken, discussed and closed by people.

Opening is one statement, so of one kind and group there is never a second open item, however many processes see the
condition at once: repeats are counted on the item, and only the first one is told to people. Rows are written in the
order of their group keys, so that two loads that open the same items never wait for each other in a circle.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, connection, models, transaction

from backoffice.core.access import authorise, get_visible, holds, visible_to
from backoffice.core.actors import actor_of_user
from backoffice.core.models import Severity, User, WorkDelivery, WorkItem, WorkItemEvent, WorkItemMute
from backoffice.core.organisation.scope import require_stands_for
from backoffice.core.services import audit, work_delivery
from backoffice.core.types import Actor
from backoffice.core.work.kinds import (
    MAX_GROUP_KEY_LENGTH,
    MAX_TITLE_LENGTH,
    WorkCondition,
    WorkKind,
    due_from,
    is_registered,
    work_kind,
)
from backoffice.core.work.rules import checked_mute_end, checked_text, next_state
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, DomainError, InvalidInput, Misconfigured
from backoffice.kernel.ids import uuid7

MAX_EVIDENCE_BYTES = 20_000
MAX_ITEMS_AT_ONCE = 200
SYSTEM = Actor.system("work")

_NEVER = datetime.max.replace(tzinfo=UTC)
_State = WorkItem.State
_Event = WorkItemEvent.Kind

_OPEN_SQL = """
    INSERT INTO core_workitem AS item (
        public_id, kind, group_key, title, severity, state, entity_id, target_type, target_id, url, evidence,
        occurrences, opened_at, last_seen_at, due_at, clear_reason, escalation_level, escalated_roles, escalates_at,
        closed_by, resolution)
    SELECT given.public_id, %(kind)s, given.group_key, given.title, given.severity, 'open', given.entity_id,
           given.target_type, given.target_id, given.url, given.evidence, 1, %(now)s, %(now)s, given.due_at, '', 0,
           '{}', given.escalates_at, '', ''
      FROM jsonb_to_recordset(%(rows)s::jsonb) AS given(
        public_id uuid, group_key text, title text, severity smallint, entity_id bigint, target_type text,
        target_id text, url text, evidence jsonb, due_at timestamptz, escalates_at timestamptz)
     ORDER BY given.group_key
    ON CONFLICT (kind, group_key) WHERE NOT (state = 'closed') DO UPDATE SET
        occurrences = item.occurrences + 1,
        last_seen_at = greatest(item.last_seen_at, EXCLUDED.last_seen_at),
        title = EXCLUDED.title, evidence = EXCLUDED.evidence, url = EXCLUDED.url,
        severity = greatest(item.severity, EXCLUDED.severity),
        clearing_since = NULL, clears_at = NULL, clear_reason = ''
    RETURNING new.id, new.group_key, new.entity_id, old.id IS NULL, old.clearing_since IS NOT NULL
"""


def open_item(
    *,
    kind: str,
    group_key: str,
    title: str,
    evidence: dict[str, Any] | None = None,
    entity_id: int | None = None,
    target: models.Model | None = None,
    url: str = "",
    due_at: datetime | None = None,
    severity: Severity | None = None,
) -> WorkItem:
    """Says that something waits for a person. While an item of the group is open, a repeat is counted on it.

    A group key means one thing of one legal entity. A muted item is recorded, not delivered. Raises NotFound for an
    unknown kind, InvalidInput for a text or evidence that is too large, Misconfigured for a group of another entity.
    """
    condition = WorkCondition(
        group_key=group_key,
        title=title,
        evidence=evidence or {},
        entity_id=entity_id,
        target=target,
        url=url,
        due_at=due_at,
        severity=severity,
    )
    return open_items(kind=kind, conditions=[condition])[0]


@transaction.atomic
def open_items(*, kind: str, conditions: Iterable[WorkCondition]) -> list[WorkItem]:
    """Like `open_item`, for many groups of a kind in a few statements. The items, in the order of their group keys."""
    definition = work_kind(kind)
    by_key = {condition.group_key: condition for condition in conditions}
    if not by_key:
        return []
    now = clock.now()
    rows = [_row(definition, by_key[key], now) for key in sorted(by_key)]
    with connection.cursor() as cursor:
        cursor.execute(_OPEN_SQL, {"kind": kind, "now": now, "rows": json.dumps(rows, cls=DjangoJSONEncoder)})
        written = cursor.fetchall()
    for _, group_key, entity_id, _, _ in written:
        if entity_id != by_key[group_key].entity_id:
            raise Misconfigured(
                "A group of work items belongs to one legal entity; put the entity into its key.",
                kind=kind,
                group_key=group_key,
            )
    opened = {item_id for item_id, _, _, is_new, _ in written if is_new}
    came_back = {item_id for item_id, _, _, _, was_clearing in written if was_clearing}
    items = list(WorkItem.objects.filter(pk__in=[row[0] for row in written]).order_by("group_key"))
    _note_bulk(
        [_event(item, _Event.OPENED, SYSTEM, data=item.evidence) for item in items if item.pk in opened]
        + [_event(item, _Event.CAME_BACK, SYSTEM) for item in items if item.pk in came_back]
    )
    work_delivery.deliver_new(kind=definition, items=[item for item in items if item.pk in opened], now=now)
    return items


def _row(kind: WorkKind, condition: WorkCondition, now: datetime) -> dict[str, Any]:
    key, title = condition.group_key, condition.title.strip()
    if not key or len(key) > MAX_GROUP_KEY_LENGTH:
        raise InvalidInput(f"A group key has 1 to {MAX_GROUP_KEY_LENGTH} letters.", field="group_key", value=key)
    if not title:
        raise InvalidInput("A work item needs a title.", field="title")
    if condition.url and (not condition.url.startswith("/") or condition.url.startswith(("//", "/\\"))):
        raise InvalidInput("A work item leads to a page of this installation.", field="url", value=condition.url)
    evidence = condition.evidence() if callable(condition.evidence) else condition.evidence
    if len(json.dumps(evidence, cls=DjangoJSONEncoder)) > MAX_EVIDENCE_BYTES:
        raise InvalidInput(f"Evidence has at most {MAX_EVIDENCE_BYTES} bytes.", field="evidence")
    due_at = condition.due_at or due_from(now, kind.due_hours)
    escalates_at = due_from(due_at, kind.escalate_after_hours) if kind.escalate_to_roles else None
    target = condition.target
    return {
        "public_id": str(uuid7()),
        "group_key": key,
        "title": title[:MAX_TITLE_LENGTH],
        "severity": int(condition.severity or kind.severity),
        "entity_id": condition.entity_id,
        "target_type": target._meta.label_lower if target is not None else "",
        "target_id": str(target.pk) if target is not None else "",
        "url": condition.url,
        "evidence": evidence,
        "due_at": due_at.isoformat(),
        "escalates_at": escalates_at.isoformat() if escalates_at else None,
    }


@transaction.atomic
def reconcile(*, kind: str, prefix: str, conditions: Callable[[], Iterable[WorkCondition]], reason: str) -> set[str]:
    """Makes the open items whose group key starts with *prefix* those of *conditions*: opens what is missing, clears
    what is gone. What is open already is not counted again. Returns the group keys that it opened.
    """
    of_prefix = WorkItem.objects.filter(kind=kind, group_key__startswith=prefix).exclude(state=_State.CLOSED)
    open_now = dict(of_prefix.values_list("group_key", "clears_at"))
    # Read after the items: what another transaction adds in between is then opened twice, which counts, not cleared.
    standing = {condition.group_key: condition for condition in conditions()}
    missing = [condition for key, condition in standing.items() if open_now.get(key, _NEVER) is not None]
    open_items(kind=kind, conditions=missing)
    gone = [key for key, clears_at in open_now.items() if clears_at is None and key not in standing]
    if gone:
        clear_items(kind=kind, group_keys=gone, reason=reason)
    return {condition.group_key for condition in missing}


def clear_item(*, kind: str, group_key: str, reason: str) -> WorkItem | None:
    """Says that the condition is gone. The item closes at once, or after the time that its kind waits for a return.

    None when no item of the group is open.
    """
    cleared = clear_items(kind=kind, group_keys=[group_key], reason=reason)
    return cleared[0] if cleared else None


@transaction.atomic
def clear_items(*, kind: str, group_keys: Iterable[str], reason: str) -> list[WorkItem]:
    """Like `clear_item`, for many groups of a kind."""
    definition = work_kind(kind)
    why = checked_text(reason, field="reason", question="Say why the condition is gone.")
    open_now = (
        WorkItem.objects.select_for_update(of=("self",))
        .filter(kind=kind, group_key__in=list(group_keys))
        .exclude(state=_State.CLOSED)
        .order_by("group_key")
    )
    now = clock.now()
    items = [item for item in open_now if item.clears_at is None]
    if definition.clears_after_seconds == 0:
        close_cleared(items, reason=why, now=now)
        return items
    for item in items:
        item.clearing_since, item.clear_reason = now, why
        item.clears_at = now + timedelta(seconds=definition.clears_after_seconds)
        item.save(update_fields=["clearing_since", "clears_at", "clear_reason"])
    _note_bulk([_event(item, _Event.CLEARING, SYSTEM, text=why) for item in items])
    return items


def close_cleared(items: Sequence[WorkItem], *, reason: str = "", now: datetime) -> None:
    """Closes locked items whose condition is gone."""
    if not items:
        return
    events = []
    for item in items:
        why = reason or item.clear_reason
        _set_closed(item, closed_by=SYSTEM.label, resolution=why, now=now)
        events.append(_event(item, _Event.CLOSED, SYSTEM, text=why))
    _note_bulk(events)
    work_delivery.announce_change(items)


def take_item(*, item_id: int, actor: Actor) -> WorkItem:
    """Makes the actor the owner. Raises Conflict when somebody else has it already."""
    with transaction.atomic():
        item = _locked(item_id, actor)
        if item.state == _State.TAKEN and item.owner_id == actor.user_id:
            return item
        if item.state == _State.TAKEN:
            raise Conflict(f"{item.owner} has taken it already.", code="already_taken")
        item.state = next_state("take", item.state)
        item.owner_id = _person(actor)
        item.save(update_fields=["state", "owner"])
        _note(item, _Event.TAKEN, actor)
        work_delivery.announce_change([item])
    return item


def assign_item(*, item_id: int, user_id: int, actor: Actor, reason: str = "") -> WorkItem:
    """Gives an item to a person who may see it and work on it. Raises InvalidInput for anybody else."""
    with transaction.atomic():
        item = _locked(item_id, actor)
        if item.state == _State.TAKEN and item.owner_id == user_id:
            return item
        new_owner = User.objects.filter(pk=user_id).first()
        if new_owner is None or not may_own(new_owner, item):
            raise InvalidInput("This person does not see the item, or may not work on it.", field="owner")
        before, item.state = item.owner, next_state("assign", item.state)
        item.owner = new_owner
        item.save(update_fields=["state", "owner"])
        _note(item, _Event.ASSIGNED, actor, text=reason.strip(), data={"to": str(new_owner)})
        changes = {"owner": [str(before) if before else None, str(new_owner)]}
        audit.record(actor=actor, action="core.assign_work_item", target=item, reason=reason, changes=changes)
        work_delivery.announce_change([item], also=[before.pk] if before else [])
    return item


def put_back_item(*, item_id: int, actor: Actor, reason: str = "") -> WorkItem:
    """Leaves a taken item to the desk again."""
    with transaction.atomic():
        item = _locked(item_id, actor)
        if item.state == _State.OPEN:
            return item
        put_back(item, actor=actor, reason=reason)
    return item


def put_back(item: WorkItem, *, actor: Actor, reason: str) -> None:
    """Takes a locked item from its owner."""
    item.state = next_state("put_back", item.state)
    before, item.owner = item.owner_id, None
    item.save(update_fields=["state", "owner"])
    _note(item, _Event.PUT_BACK, actor, text=reason.strip())
    work_delivery.announce_change([item], also=[before] if before else [])


def comment_item(*, item_id: int, text: str, actor: Actor) -> WorkItemEvent:
    """Adds what the actor found out to the timeline, also of a closed item."""
    said = checked_text(text, field="text", question="Write something.")
    with transaction.atomic():
        return _note(_locked(item_id, actor), _Event.COMMENTED, actor, text=said)


def close_item(*, item_id: int, resolution: str, actor: Actor) -> WorkItem:
    """Closes an item with what was done. Raises Conflict while the condition of a kind that closes itself stands."""
    what = checked_text(resolution, field="resolution", question="Say what was done.")
    with transaction.atomic():
        item = _locked(item_id, actor)
        if item.state == _State.CLOSED:
            return item
        next_state("close", item.state)
        _refuse_standing(item)
        before = item.state
        _set_closed(item, closed_by=actor.label, resolution=what, now=clock.now())
        _note(item, _Event.CLOSED, actor, text=what)
        changes = {"state": [before, item.state]}
        audit.record(actor=actor, action="core.close_work_item", target=item, reason=what, changes=changes)
        work_delivery.announce_change([item])
    return item


def reopen_item(*, item_id: int, reason: str, actor: Actor) -> WorkItem:
    """Opens a closed item again, with a new due time. Raises Conflict when its group has an open item by now."""
    why = checked_text(reason, field="reason", question="Say why it is opened again.")
    with transaction.atomic():
        item = _locked(item_id, actor)
        if item.state != _State.CLOSED:
            return item
        _set_reopened(item)
        try:
            with transaction.atomic():
                item.save()
        except IntegrityError:
            raise Conflict("A newer item of the same thing is open already.", code="newer_item_open") from None
        _note(item, _Event.REOPENED, actor, text=why)
        audit.record(actor=actor, action="core.reopen_work_item", target=item, reason=why)
        work_delivery.announce_change([item])
    return item


def _set_reopened(item: WorkItem) -> None:
    item.state, item.owner = next_state("reopen", item.state), None
    item.closed_at, item.closed_by, item.resolution = None, "", ""
    item.escalation_level, item.escalated_roles, item.escalates_at = 0, [], None
    if is_registered(item.kind):
        kind = work_kind(item.kind)
        item.due_at = due_from(clock.now(), kind.due_hours)
        item.escalates_at = due_from(item.due_at, kind.escalate_after_hours) if kind.escalate_to_roles else None


def take_items(*, item_ids: Sequence[int], actor: Actor) -> tuple[int, list[str]]:
    """Takes each; how many were taken, and why others were not."""
    return _each(item_ids, lambda item_id: take_item(item_id=item_id, actor=actor))


def close_items(*, item_ids: Sequence[int], resolution: str, actor: Actor) -> tuple[int, list[str]]:
    """Closes each with the same resolution; how many were closed, and why others were not."""
    return _each(item_ids, lambda item_id: close_item(item_id=item_id, resolution=resolution, actor=actor))


def _each(item_ids: Sequence[int], act: Any) -> tuple[int, list[str]]:
    if len(item_ids) > MAX_ITEMS_AT_ONCE:
        raise InvalidInput(f"At most {MAX_ITEMS_AT_ONCE} items at once.", field="items")
    done, refused = 0, []
    for item_id in sorted(set(item_ids)):
        try:
            act(item_id)
            done += 1
        except DomainError as error:
            refused.append(f"#{item_id}: {error.message}")
    return done, refused


@transaction.atomic
def mute_items(
    *, kind: str, until: datetime, reason: str, actor: Actor, group_key: str = "", entity_id: int | None = None
) -> WorkItemMute:
    """Keeps items of a kind, or of one group of it, from being delivered until a moment. They are still recorded.

    Raises Denied for a kind that is not the actor's or a broker they see in part, InvalidInput without a reason or for
    an end that is past or more than 92 days away.
    """
    authorise(actor, "core.work_on_items")
    definition = work_kind(kind)
    if not actor.is_system and not actor.has_role(*(str(role) for role in definition.roles)):
        raise Denied("Another desk looks after these items.", kind=kind)
    require_stands_for(actor, entity_id)
    why = checked_text(reason, field="reason", question="Say why it is muted.")
    now = clock.now()
    mute = WorkItemMute.objects.create(
        kind=kind,
        group_key=group_key,
        entity_id=entity_id,
        reason=why,
        muted_by=actor.label,
        muted_by_user_id=actor.user_id,
        muted_at=now,
        until=checked_mute_end(until, now=now),
    )
    changes = {"kind": kind, "group_key": group_key, "until": mute.until}
    audit.record(actor=actor, action="core.mute_work_items", target=mute, reason=why, changes=changes)
    work_delivery.announce_kind(definition, entity_id)
    return mute


@transaction.atomic
def end_mute(*, mute_id: int, reason: str, actor: Actor) -> WorkItemMute:
    """Ends a mute now. What it kept back is delivered at the next tick."""
    authorise(actor, "core.work_on_items")
    why = checked_text(reason, field="reason", question="Say why.")
    visible = get_visible(WorkItemMute.objects.all(), actor, pk=mute_id)
    require_stands_for(actor, visible.entity_id)
    mute = WorkItemMute.objects.select_for_update(of=("self",)).get(pk=visible.pk)
    now = clock.now()
    if mute.until > now:
        before, mute.until = mute.until, now
        mute.save(update_fields=["until"])
        changes = {"until": [before, now]}
        audit.record(actor=actor, action="core.end_mute", target=mute, reason=why, changes=changes)
        if is_registered(mute.kind):
            work_delivery.announce_kind(work_kind(mute.kind), mute.entity_id)
    return mute


@transaction.atomic
def set_delivery(*, actor: Actor, plays_sound: bool, mail_from: int | None) -> WorkDelivery:
    """Says how the actor wants to hear of new items: with a sound, and by mail from a severity on (None: no mail)."""
    authorise(actor, "core.view_inbox")
    if mail_from is not None and mail_from not in set(Severity.values):
        raise InvalidInput("There is no such severity.", field="mail_from", value=mail_from)
    wanted, _ = WorkDelivery.objects.update_or_create(
        user_id=_person(actor), defaults={"plays_sound": plays_sound, "mail_from": mail_from}
    )
    return wanted


def may_own(user: User, item: WorkItem) -> bool:
    """Whether the item may be given to the person: active, with a role that sees it, in its entity, allowed to act."""
    actor = actor_of_user(user)
    return holds(actor, "core.work_on_items") and visible_to(WorkItem.objects.filter(pk=item.pk), actor).exists()


def _locked(item_id: int, actor: Actor) -> WorkItem:
    """The item that the actor may work on, locked."""
    authorise(actor, "core.work_on_items")
    visible = get_visible(WorkItem.objects.all(), actor, pk=item_id)
    return WorkItem.objects.select_for_update(of=("self",)).select_related("owner").get(pk=visible.pk)


def _person(actor: Actor) -> int:
    if actor.user_id is None:
        raise InvalidInput("An item is taken by a person.", field="owner")
    return actor.user_id


def _refuse_standing(item: WorkItem) -> None:
    """What would come back at the next sweep is not closed by hand."""
    if not is_registered(item.kind):
        return
    kind = work_kind(item.kind)
    if kind.closes_by_hand or kind.conditions is None:
        return
    if any(condition.group_key == item.group_key for condition in kind.conditions([item.group_key])):
        raise Conflict(
            "It still stands, and closes by itself once it is solved. Mute it if it should be quiet until then.",
            code="condition_stands",
        )


def _set_closed(item: WorkItem, *, closed_by: str, resolution: str, now: datetime) -> None:
    item.state, item.closed_at, item.closed_by, item.resolution = _State.CLOSED, now, closed_by, resolution
    item.clearing_since = item.clears_at = None
    item.save(
        update_fields=["state", "closed_at", "closed_by", "resolution", "clearing_since", "clears_at", "clear_reason"]
    )


def _event(
    item: WorkItem, kind: WorkItemEvent.Kind, actor: Actor, *, text: str = "", data: dict[str, Any] | None = None
) -> WorkItemEvent:
    return WorkItemEvent(item=item, kind=kind, actor=actor.label, user_id=actor.user_id, text=text, data=data or {})


def _note(
    item: WorkItem, kind: WorkItemEvent.Kind, actor: Actor, *, text: str = "", data: dict[str, Any] | None = None
) -> WorkItemEvent:
    event = _event(item, kind, actor, text=text, data=data)
    event.save(force_insert=True)
    return event


def _note_bulk(events: Sequence[WorkItemEvent]) -> None:
    WorkItemEvent.objects.bulk_create(events, batch_size=1_000)
