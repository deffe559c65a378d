"""Webhook endpoints: registering, changing, their secrets, retrying what died, replaying from a cursor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.messages.outgoing import checked_url
from backoffice.core.models import LegalEntity, PublicEvent, WebhookDelivery, WebhookEndpoint
from backoffice.core.services import audit, public_events, webhook_delivery
from backoffice.core.types import Actor
from backoffice.core.webhooks.signing import new_secret
from backoffice.core.webhooks.topics import register_public_topic
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput

__all__ = [
    "EndpointWithSecret",
    "change_endpoint",
    "disable_endpoint",
    "enable_endpoint",
    "register_endpoint",
    "register_public_topic",
    "remove_endpoint",
    "replay",
    "retry_delivery",
    "rotate_secret",
]

MANAGE = "core.manage_webhooks"
MAX_REPLAYED_AT_ONCE = 1_000
MAX_ENDPOINTS = 50
MAX_OVERLAP = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class EndpointWithSecret:
    """An endpoint and the secret, which is shown once."""

    endpoint: WebhookEndpoint
    secret: str


@transaction.atomic
def register_endpoint(
    *, entity_id: int, url: str, topics: Iterable[str], actor: Actor, description: str = ""
) -> EndpointWithSecret:
    """An endpoint that is told of topics of a legal entity, from now on; `replay` brings what was before.

    Raises InvalidInput for an address that is not https and public, or a topic that the actor may not hear of.
    """
    authorise(actor, MANAGE)
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    if WebhookEndpoint.objects.filter(entity=entity).count() >= MAX_ENDPOINTS:
        raise Conflict(f"An entity has at most {MAX_ENDPOINTS} endpoints.", code="too_many_endpoints")
    endpoint = WebhookEndpoint(
        entity=entity,
        url=checked_url(url),
        topics=_checked_topics(topics, actor),
        description=description.strip()[:120],
        created_by_id=actor.user_id,
    )
    secret = new_secret()
    endpoint.secret = secret
    endpoint.save(force_insert=True)
    changes = {"url": endpoint.url, "topics": endpoint.topics}
    audit.record(actor=actor, action="core.register_webhook_endpoint", target=endpoint, changes=changes)
    return EndpointWithSecret(endpoint, secret)


@transaction.atomic
def change_endpoint(
    *, endpoint_id: int, url: str, topics: Iterable[str], description: str, actor: Actor
) -> WebhookEndpoint:
    """Another address, other topics. What is on its way goes to the new address."""
    endpoint = _locked(endpoint_id, actor)
    before = {"url": endpoint.url, "topics": endpoint.topics, "description": endpoint.description}
    endpoint.url, endpoint.topics = checked_url(url), _checked_topics(topics, actor)
    endpoint.description = description.strip()[:120]
    after = {"url": endpoint.url, "topics": endpoint.topics, "description": endpoint.description}
    changes = {name: [before[name], after[name]] for name in before if before[name] != after[name]}
    if changes:
        endpoint.save(update_fields=["url", "topics", "description"])
        audit.record(actor=actor, action="core.change_webhook_endpoint", target=endpoint, changes=changes)
    return endpoint


@transaction.atomic
def rotate_secret(*, endpoint_id: int, overlap: timedelta, actor: Actor, reason: str) -> EndpointWithSecret:
    """A new secret; deliveries carry the old one's signature too for *overlap*, at most seven days."""
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise InvalidInput("Both secrets may sign for at most 7 days.", field="overlap_hours")
    endpoint = _locked(endpoint_id, actor)
    secret, now = new_secret(), clock.now()
    is_double = overlap > timedelta(0)
    endpoint.previous_secret = endpoint.secret if is_double else ""
    endpoint.previous_secret_until = now + overlap if is_double else None
    endpoint.secret = secret
    endpoint.save(update_fields=["secret", "previous_secret", "previous_secret_until"])
    changes = {"old_signs_until": endpoint.previous_secret_until}
    audit.record(actor=actor, action="core.rotate_webhook_secret", target=endpoint, reason=reason, changes=changes)
    return EndpointWithSecret(endpoint, secret)


@transaction.atomic
def disable_endpoint(*, endpoint_id: int, actor: Actor, reason: str) -> WebhookEndpoint:
    """Nothing is sent any more; what was on its way dies, and can be replayed later. Repeating it is a no-op."""
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    endpoint = _locked(endpoint_id, actor)
    if endpoint.state == WebhookEndpoint.State.ENABLED:
        endpoint.state, endpoint.disabled_reason = WebhookEndpoint.State.DISABLED, reason.strip()[:200]
        endpoint.save(update_fields=["state", "disabled_reason"])
        audit.record(actor=actor, action="core.disable_webhook_endpoint", target=endpoint, reason=reason)
    return endpoint


@transaction.atomic
def enable_endpoint(*, endpoint_id: int, actor: Actor, reason: str) -> WebhookEndpoint:
    """Events are sent again from now on; `replay` brings what was missed."""
    endpoint = _locked(endpoint_id, actor)
    if endpoint.state == WebhookEndpoint.State.DISABLED:
        endpoint.state, endpoint.disabled_reason = WebhookEndpoint.State.ENABLED, ""
        endpoint.failing_since = endpoint.resting_until = None
        endpoint.save(update_fields=["state", "disabled_reason", "failing_since", "resting_until"])
        audit.record(actor=actor, action="core.enable_webhook_endpoint", target=endpoint, reason=reason)
    return endpoint


@transaction.atomic
def remove_endpoint(*, endpoint_id: int, actor: Actor, reason: str) -> None:
    """Forgets an endpoint with the record of its deliveries; the audit and the row's history stay."""
    endpoint = _locked(endpoint_id, actor)
    audit.record(actor=actor, action="core.remove_webhook_endpoint", target=endpoint, reason=reason)
    endpoint.delete()


@transaction.atomic
def retry_delivery(*, delivery_id: int, actor: Actor) -> WebhookDelivery:
    """Brings a dead delivery back for another full round of attempts. Raises Conflict if it is not dead."""
    authorise(actor, MANAGE)
    visible = get_visible(WebhookDelivery.objects.all(), actor, pk=delivery_id)
    delivery = WebhookDelivery.objects.select_for_update(of=("self",)).select_related("endpoint").get(pk=visible.pk)
    if delivery.state != WebhookDelivery.State.DEAD:
        raise Conflict("Only a delivery that was given up can be retried.", code="not_dead")
    _require_enabled(delivery.endpoint)
    _start_round(delivery)
    audit.record(actor=actor, action="core.retry_webhook", target=delivery, entity_id=delivery.endpoint.entity_id)
    return delivery


@transaction.atomic
def replay(
    *, endpoint_id: int, actor: Actor, after: UUID | None = None, since: datetime | None = None
) -> tuple[int, UUID | None]:
    """Sends again every event after a cursor (an event's id) or since a time, delivered or not, in their order.

    Returns how many, and the cursor to go on from when there were more than can be replayed at once.
    """
    if (after is None) == (since is None):
        raise InvalidInput("Replay after an event, or since a time.", field="after")
    endpoint = _locked(endpoint_id, actor)
    _require_enabled(endpoint)
    rows = PublicEvent.objects.filter(entity_id=endpoint.entity_id, topic__in=endpoint.topics).order_by("id")
    if after is not None:
        rows = rows.filter(id__gt=public_events.place_of(after, actor=actor))
    if since is not None:
        rows = rows.filter(created_at__gte=since)
    found = list(rows[: MAX_REPLAYED_AT_ONCE + 1])
    events, is_more = found[:MAX_REPLAYED_AT_ONCE], len(found) > MAX_REPLAYED_AT_ONCE
    known = {
        delivery.event_id: delivery
        for delivery in WebhookDelivery.objects.select_for_update(of=("self",)).filter(
            endpoint=endpoint, event__in=[event.pk for event in events]
        )
    }
    for event in events:
        delivery = known.get(event.pk)
        if delivery is None:
            webhook_delivery.queue(event=event, endpoints=[endpoint])
        elif delivery.state != WebhookDelivery.State.PENDING:
            _start_round(delivery)
    changes = {"events": len(events), "after": after, "since": since}
    audit.record(actor=actor, action="core.replay_webhooks", target=endpoint, changes=changes)
    return len(events), events[-1].event_id if is_more else None


def _start_round(delivery: WebhookDelivery) -> None:
    delivery.state, delivery.attempts, delivery.delivered_at = WebhookDelivery.State.PENDING, 0, None
    delivery.round += 1
    delivery.next_attempt_at = clock.now()
    delivery.save(update_fields=["state", "attempts", "delivered_at", "round", "next_attempt_at"])
    webhook_delivery.enqueue_attempt(delivery)


def _require_enabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.state != WebhookEndpoint.State.ENABLED:
        raise Conflict("Enable the endpoint first.", code="endpoint_disabled")


def _locked(endpoint_id: int, actor: Actor) -> WebhookEndpoint:
    authorise(actor, MANAGE)
    return get_visible(WebhookEndpoint.objects.select_for_update(of=("self",)), actor, pk=endpoint_id)


def _checked_topics(topics: Iterable[str], actor: Actor) -> list[str]:
    wanted = sorted(set(topics))
    if not wanted:
        raise InvalidInput("Name at least one topic.", field="topics")
    unknown = sorted(set(wanted) - set(public_events.readable_topics(actor)))
    if unknown:
        raise InvalidInput(f"No such topic, or not yours to hear of: {', '.join(unknown)[:200]}.", field="topics")
    return wanted
