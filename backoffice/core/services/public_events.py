"""Public events: made of outbox events, in one order that nobody who reads along can miss anything of.

The ids of outbox events do not commit in their own order: one with a lower id may appear after one with a higher. So an
event gets its place here, when the outbox delivers it, under a lock that is held until commit: places become visible in
their own order, and a reader who has seen place N will never find something new below N.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from django.db import connection
from django.db.models import QuerySet

from backoffice.core.access import authorise, holds, visible_to
from backoffice.core.locks import advisory_key
from backoffice.core.models import OutboxEvent, PublicEvent, WebhookEndpoint
from backoffice.core.services import webhook_delivery
from backoffice.core.types import Actor
from backoffice.core.webhooks.topics import PublicTopic, find_public_topic, public_topics
from backoffice.kernel import clock
from backoffice.kernel.errors import NotFound

READ_EVENTS = "core.read_events"
KEEP_EVENTS = timedelta(days=90)
MAX_FORGOTTEN_AT_ONCE = 5_000
_ORDER_KEY = advisory_key("core", "order of public events")


def on_event(payload: dict[str, Any], event: OutboxEvent) -> None:
    """Gives an outbox event its place among the public ones and a delivery for each endpoint that wants it."""
    topic = find_public_topic(event.topic)
    described = topic.describe(payload) if topic is not None else None
    if topic is None or not described:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ORDER_KEY])
    if isinstance(described, dict):
        _place(topic, event, event.public_id, described)
        return
    for part in described:
        # What concerns several legal entities is told to each of them apart, under an id that stays the same too.
        _place(topic, event, uuid5(event.public_id, str(part["entity"])), part)


def _place(topic: PublicTopic, event: OutboxEvent, event_id: UUID, described: dict[str, Any]) -> None:
    data = dict(described)
    entity_id = data.pop("entity")
    made, is_new = PublicEvent.objects.get_or_create(
        event_id=event_id,
        defaults={
            "topic": topic.topic,
            "version": topic.version,
            "entity_id": entity_id,
            "data": data,
            "occurred_at": event.created_at,
        },
    )
    endpoints = WebhookEndpoint.objects.filter(
        entity_id=entity_id, state=WebhookEndpoint.State.ENABLED, topics__contains=[topic.topic]
    )
    if is_new:
        webhook_delivery.queue(event=made, endpoints=endpoints)


def readable_topics(actor: Actor) -> list[str]:
    """The topics that the actor may hear of."""
    return [topic.topic for topic in public_topics() if holds(actor, topic.capability)]


def readable_events(*, actor: Actor) -> QuerySet[PublicEvent]:
    """Events of the actor's legal entities, in their order, of the topics that the actor may hear of."""
    authorise(actor, READ_EVENTS)
    visible = visible_to(PublicEvent.objects.select_related("entity"), actor)
    return visible.filter(topic__in=readable_topics(actor)).order_by("id")


def events_after(
    *,
    actor: Actor,
    after: UUID | None = None,
    since: datetime | None = None,
    topics: Iterable[str] = (),
    limit: int,
) -> tuple[list[PublicEvent], bool]:
    """The next events after one that was read, or since a time, and whether there are more.

    Raises NotFound (`event_unknown`) for an *after* that is not the actor's, or was forgotten: then something may have
    been missed, and the reader must compare its books another way.
    """
    rows = readable_events(actor=actor)
    if after is not None:
        rows = rows.filter(id__gt=place_of(after, actor=actor))
    if since is not None:
        rows = rows.filter(created_at__gte=since)
    if wanted := list(topics):
        rows = rows.filter(topic__in=wanted)
    found = list(rows[: limit + 1])
    return found[:limit], len(found) > limit


def place_of(event_id: UUID, *, actor: Actor) -> int:
    """The place of an event that the actor may see."""
    place = readable_events(actor=actor).filter(event_id=event_id).values_list("id", flat=True).first()
    if place is None:
        raise NotFound(
            "No such event, or it is kept no more: something may have been missed.", code="event_unknown", field="after"
        )
    return place


def forget_old() -> int:
    """Removes events of ninety days ago with their deliveries, a bounded number at a time; returns how many."""
    old = PublicEvent.objects.filter(created_at__lte=clock.now() - KEEP_EVENTS).order_by("id")
    removed, _ = PublicEvent.objects.filter(pk__in=old.values("pk")[:MAX_FORGOTTEN_AT_ONCE]).delete()
    return removed
