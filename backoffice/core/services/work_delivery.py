"""Telling people of work items: the event that mail and webhooks start from, and the badge of the desk.

An item is delivered once when it opens and once for each level of its escalation. While a mute covers it, it is not;
the tick delivers it when the mute ends and it still stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from backoffice.core.models import LegalEntity, User, WorkItem, WorkItemMute
from backoffice.core.services import outbox
from backoffice.core.streams import announce
from backoffice.core.work.kinds import WorkKind, is_registered, work_kind
from backoffice.kernel import clock

ITEM_OPENED = "work.item_opened"
ITEM_ESCALATED = "work.item_escalated"
MAX_PEOPLE_TOLD = 100


def is_muted_now(now: datetime | None = None) -> Exists:
    """A condition on WorkItem: a mute covers it at this moment."""
    mutes = WorkItemMute.objects.filter(
        Q(group_key="") | Q(group_key=OuterRef("group_key")),
        Q(entity__isnull=True) | Q(entity=OuterRef("entity")),
        kind=OuterRef("kind"),
        until__gt=now or clock.now(),
    )
    return Exists(mutes)


def mutes_covering(*, kind: str, group_key: str, entity_id: int | None) -> QuerySet[WorkItemMute]:
    """The mutes in force that cover a group."""
    of_entity = Q(entity__isnull=True) if entity_id is None else Q(entity__isnull=True) | Q(entity_id=entity_id)
    groups = Q(group_key="") | Q(group_key=group_key)
    return WorkItemMute.objects.filter(of_entity, groups, kind=kind, until__gt=clock.now())


def items_covered_by(mute: WorkItemMute) -> QuerySet[WorkItem]:
    """The items that a mute speaks of, whether it is in force or not."""
    items = WorkItem.objects.filter(kind=mute.kind)
    if mute.group_key:
        items = items.filter(group_key=mute.group_key)
    return items if mute.entity_id is None else items.filter(entity=mute.entity_id)


def deliver_new(*, kind: WorkKind, items: Sequence[WorkItem], now: datetime) -> None:
    """Delivers items that have just opened, unless they are muted."""
    if not items:
        return
    waiting = WorkItem.objects.filter(pk__in=[item.pk for item in items])
    audible = set(waiting.filter(~is_muted_now(now)).values_list("pk", flat=True))
    WorkItem.objects.filter(pk__in=audible).update(delivered_at=now)
    delivered = [item for item in items if item.pk in audible]
    for item in delivered:
        item.delivered_at = now
    outbox.publish_all(
        topic=ITEM_OPENED,
        payloads=[payload_of(item, kind) for item in delivered],
        shard_key=f"work:{kind.kind}",
    )
    announce_change(delivered, sound=True)


def payload_of(item: WorkItem, kind: WorkKind) -> dict[str, Any]:
    """What the outside is told: which item, of what kind, how urgent, where; no evidence, which may name people."""
    return {
        "item_id": str(item.public_id),
        "kind": item.kind,
        "kind_label": kind.label,
        "desk": kind.desk,
        "title": item.title,
        "severity": item.get_severity_display().lower(),
        "entity_id": item.entity_id,
        "opened_at": item.opened_at.isoformat(),
        "due_at": item.due_at.isoformat(),
        "escalation_level": item.escalation_level,
    }


def people_who_see(item: WorkItem) -> QuerySet[User]:
    """The staff whose roles and legal entities open the item to them."""
    roles = {str(role) for role in work_kind(item.kind).roles} if is_registered(item.kind) else set()
    people = people_of(roles | set(item.escalated_roles), item.entity_id)
    if item.entity_id is None and is_registered(item.kind) and work_kind(item.kind).is_of_whole_broker:
        theirs = User.entities.through.objects.filter(user=OuterRef(OuterRef("pk")), legalentity=OuterRef("pk"))
        people = people.filter(~Exists(LegalEntity.objects.filter(~Exists(theirs))))
    return people


def people_of(roles: Iterable[str], entity_id: int | None) -> QuerySet[User]:
    """Active people with any of the roles, of the legal entity if there is one."""
    people = User.objects.filter(is_active=True, roles__overlap=sorted(roles))
    if entity_id is not None:
        people = people.filter(pk__in=User.entities.through.objects.filter(legalentity=entity_id).values("user_id"))
    return people.order_by("pk")


def announce_change(items: Sequence[WorkItem], *, also: Sequence[int] = (), sound: bool = False) -> None:
    """Has the badge of everybody who sees the items read again, once this transaction is committed."""
    groups: dict[tuple[str, int | None, tuple[str, ...]], None] = {}
    for item in items:
        groups.setdefault((item.kind, item.entity_id, tuple(sorted(item.escalated_roles))))
    if groups or also:
        transaction.on_commit(partial(_announce_groups, list(groups), list(also), sound), robust=True)


def announce_kind(kind: WorkKind, entity_id: int | None) -> None:
    """Like `announce_change`, for all items of a kind."""
    transaction.on_commit(partial(_announce_groups, [(kind.kind, entity_id, ())], [], False), robust=True)


def _announce_groups(groups: list[tuple[str, int | None, tuple[str, ...]]], also: list[int], sound: bool) -> None:
    told = set(also)
    for kind, entity_id, escalated in groups:
        roles = {str(role) for role in work_kind(kind).roles} if is_registered(kind) else set()
        told |= set(people_of(roles | set(escalated), entity_id).values_list("pk", flat=True)[:MAX_PEOPLE_TOLD])
    _announce(sorted(told), sound)


def _announce(user_ids: Sequence[int], sound: bool) -> None:
    """Tells the open desks to read their badge again; what it counts, they ask for themselves."""
    for user_id in user_ids:
        announce(channel=f"desk:{user_id}", event="work", data={"is_new": sound})


def target_of(item: WorkItem) -> models.Model | None:
    """The object that the item is about, if it still exists. The caller asks the access door before showing it."""
    if not item.target_type:
        return None
    found: models.Model | None = apps.get_model(item.target_type)._default_manager.filter(pk=item.target_id).first()
    return found
