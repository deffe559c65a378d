"""Bringing public events to endpoints: one job for each attempt, no HTTP inside a transaction.

An attempt sends first and writes down afterwards what came of it, together with the next attempt if one is due. A worker
that dies in between sends again: a receiver may get an event twice and tells so by its id. After a failure the endpoint
rests, so that one that hangs costs one time-out per rest and not one per event.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import Exists, OuterRef, TextField, Value
from django.db.models.functions import Cast, Concat

from backoffice.core.messages import outgoing
from backoffice.core.models import Job, PublicEvent, WebhookDelivery, WebhookEndpoint
from backoffice.core.services import audit, jobs
from backoffice.core.types import Actor
from backoffice.core.webhooks import signing as webhook_signing
from backoffice.kernel import clock

JOB_KIND = "core.webhook"
# Seconds to the next attempt, after each failed one: twelve attempts over about three days.
BACK_OFF = (5, 30, 120, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 24 * 3600)
MAX_ATTEMPTS = len(BACK_OFF) + 1
JITTER = 0.2
REST_SECONDS = 30
LONGEST_REST_SECONDS = 3600
GIVE_UP_ENDPOINT_AFTER = timedelta(days=5)
STRANDED_AFTER = timedelta(minutes=15)
MAX_QUEUED_AT_ONCE = 1_000
GONE = 410
USER_AGENT = "BrokerBackOffice-Webhooks/1"
_random = secrets.SystemRandom()


def queue(*, event: PublicEvent, endpoints: Iterable[WebhookEndpoint]) -> None:
    """A delivery for each endpoint, due now, in the caller's transaction."""
    now = clock.now()
    made = [WebhookDelivery(endpoint=endpoint, event=event, next_attempt_at=now) for endpoint in endpoints]
    for delivery in WebhookDelivery.objects.bulk_create(made):
        enqueue_attempt(delivery)


def enqueue_attempt(delivery: WebhookDelivery, *, deferred: int = 0, mark: str = "") -> None:
    """The job of a delivery's next attempt. The key names round and attempt, so that an attempt is made by one job."""
    jobs.enqueue(
        kind=JOB_KIND,
        key=f"{delivery.pk}:{delivery.round}:{delivery.attempts + 1}:{deferred}{mark}",
        payload={
            "delivery_id": delivery.pk,
            "round": delivery.round,
            "attempt": delivery.attempts + 1,
            "deferred": deferred,
        },
        run_after=delivery.next_attempt_at,
    )


def run_attempt(job: Job, owner: str) -> dict[str, Any]:
    """One attempt. A job that came too late (delivered meanwhile, retried by hand, endpoint disabled) does nothing."""
    delivery = (
        WebhookDelivery.objects.select_related("endpoint", "event__entity")
        .filter(pk=job.payload["delivery_id"])
        .first()
    )
    if delivery is None or not _is_due(delivery, job):
        return {"outcome": "nothing to do"}
    endpoint = delivery.endpoint
    if endpoint.state == WebhookEndpoint.State.DISABLED:
        return _bury(delivery, job, owner)
    if endpoint.resting_until is not None and endpoint.resting_until > clock.now():
        return _defer(delivery, endpoint.resting_until, job, owner)
    answer = _send(delivery)
    return _note(delivery.pk, answer, job, owner)


def _is_due(delivery: WebhookDelivery, job: Job) -> bool:
    wanted = (job.payload["round"], job.payload["attempt"])
    return delivery.state == WebhookDelivery.State.PENDING and (delivery.round, delivery.attempts + 1) == wanted


def body_of(event: PublicEvent) -> bytes:
    """What is sent, the same bytes at every attempt."""
    return json.dumps(message_of(event), cls=DjangoJSONEncoder, separators=(",", ":")).encode()


def message_of(event: PublicEvent) -> dict[str, Any]:
    """An event as other systems read it."""
    return {
        "id": str(event.event_id),
        "type": event.topic,
        "version": event.version,
        "timestamp": event.occurred_at.isoformat(),
        "entity": event.entity.code if event.entity else None,
        "data": event.data,
    }


def valid_secrets(endpoint: WebhookEndpoint) -> list[str]:
    """The secrets that sign now: the present one, and the one before while it lasts."""
    until = endpoint.previous_secret_until
    is_double = bool(endpoint.previous_secret) and until is not None and until > clock.now()
    return [endpoint.secret, *([endpoint.previous_secret] if is_double else [])]


def _send(delivery: WebhookDelivery) -> outgoing.Answer:
    body = body_of(delivery.event)
    signed = webhook_signing.headers_of(
        secret_texts=valid_secrets(delivery.endpoint),
        message_id=str(delivery.event.event_id),
        timestamp=int(clock.now().timestamp()),
        body=body,
    )
    headers = {"Content-Type": "application/json", "User-Agent": USER_AGENT, "Accept": "*/*", **signed}
    return outgoing.post(url=delivery.endpoint.url, body=body, headers=headers)


def _note(delivery_id: int, answer: outgoing.Answer, job: Job, owner: str) -> dict[str, Any]:
    """Writes down what came of an attempt, and queues the next one if it failed."""
    with transaction.atomic():
        delivery = (
            WebhookDelivery.objects.select_for_update(of=("self",)).select_related("endpoint").get(pk=delivery_id)
        )
        now = clock.now()
        if _is_due(delivery, job):
            delivery.attempts += 1
            delivery.last_attempt_at, delivery.duration_ms = now, answer.duration_ms
            delivery.status_code, delivery.error = answer.status, answer.error
            delivery.response_excerpt = answer.excerpt
            if answer.is_success:
                delivery.state, delivery.delivered_at, delivery.next_attempt_at = "delivered", now, None
                _endpoint_answers(delivery.endpoint_id, now)
            else:
                _plan_next(delivery, now)
                _endpoint_fails(delivery.endpoint, answer, now)
            delivery.save()
        result = {"outcome": delivery.state, "status": answer.status, "ms": answer.duration_ms}
        jobs.finish(job=job, owner=owner, result=result)
    return result


def _plan_next(delivery: WebhookDelivery, now: datetime) -> None:
    if delivery.attempts >= MAX_ATTEMPTS:
        delivery.state, delivery.next_attempt_at = WebhookDelivery.State.DEAD, None
        structlog.get_logger(__name__).warning("webhook_given_up", delivery_id=delivery.pk)
        return
    delivery.next_attempt_at = now + _jittered(BACK_OFF[delivery.attempts - 1])
    enqueue_attempt(delivery)


def _jittered(seconds: float) -> timedelta:
    """About that long, so that what failed together does not come back together."""
    return timedelta(seconds=seconds * _random.uniform(1 - JITTER, 1 + JITTER))


def _endpoint_answers(endpoint_id: int, now: datetime) -> None:
    WebhookEndpoint.objects.filter(pk=endpoint_id).update(failing_since=None, resting_until=None, last_success_at=now)


def _endpoint_fails(endpoint: WebhookEndpoint, answer: outgoing.Answer, now: datetime) -> None:
    """The endpoint rests, as long as it asked for within bounds; one that says it is gone is sent nothing more."""
    rest = min(max(answer.retry_after or REST_SECONDS, 1), LONGEST_REST_SECONDS)
    rows = WebhookEndpoint.objects.filter(pk=endpoint.pk)
    rows.filter(failing_since=None).update(failing_since=now)
    rows.update(resting_until=now + timedelta(seconds=rest))
    if answer.status == GONE:
        disable(endpoint_id=endpoint.pk, reason="The receiver answered that it is gone (410).")


def _defer(delivery: WebhookDelivery, until: datetime, job: Job, owner: str) -> dict[str, Any]:
    """The endpoint rests: the attempt is not made, and not counted."""
    with transaction.atomic():
        delivery.next_attempt_at = until + _jittered(2)
        WebhookDelivery.objects.filter(pk=delivery.pk, state="pending").update(next_attempt_at=delivery.next_attempt_at)
        enqueue_attempt(delivery, deferred=job.payload["deferred"] + 1)
        jobs.finish(job=job, owner=owner, result={"outcome": "endpoint rests"})
    return {"outcome": "endpoint rests"}


def _bury(delivery: WebhookDelivery, job: Job, owner: str) -> dict[str, Any]:
    with transaction.atomic():
        WebhookDelivery.objects.filter(pk=delivery.pk, state="pending").update(
            state=WebhookDelivery.State.DEAD, next_attempt_at=None, error="The endpoint was disabled."
        )
        jobs.finish(job=job, owner=owner, result={"outcome": "endpoint disabled"})
    return {"outcome": "endpoint disabled"}


def disable(*, endpoint_id: int, reason: str) -> None:
    """Stops sending to an endpoint, as the machinery's own act."""
    with transaction.atomic():
        endpoint = WebhookEndpoint.objects.select_for_update().get(pk=endpoint_id)
        if endpoint.state == WebhookEndpoint.State.DISABLED:
            return
        endpoint.state, endpoint.disabled_reason = WebhookEndpoint.State.DISABLED, reason[:200]
        endpoint.save(update_fields=["state", "disabled_reason"])
        audit.record(
            actor=Actor.system("core.webhooks"), action="core.disable_webhook_endpoint", target=endpoint, reason=reason
        )


def disable_failing() -> int:
    """Disables endpoints that have answered nothing but failures for five days; returns how many."""
    failing = WebhookEndpoint.objects.filter(
        state=WebhookEndpoint.State.ENABLED, failing_since__lte=clock.now() - GIVE_UP_ENDPOINT_AFTER
    )
    found = list(failing.values_list("pk", flat=True)[:MAX_QUEUED_AT_ONCE])
    for endpoint_id in found:
        disable(endpoint_id=endpoint_id, reason="Nothing but failures for five days.")
    return len(found)


def requeue_stranded() -> int:
    """Gives pending deliveries without a living job a new one; returns how many.

    It happens when a worker was killed at one attempt as often as jobs are tried.
    """
    now = clock.now()
    prefix = Concat(Cast(OuterRef("pk"), TextField()), Value(":"))
    alive = Job.objects.filter(kind=JOB_KIND, state__in=["ready", "leased"], key__startswith=prefix)
    stranded = WebhookDelivery.objects.filter(
        ~Exists(alive), state=WebhookDelivery.State.PENDING, next_attempt_at__lte=now - STRANDED_AFTER
    ).order_by("id")[:MAX_QUEUED_AT_ONCE]
    count = 0
    for delivery in stranded:
        delivery.next_attempt_at = now
        delivery.save(update_fields=["next_attempt_at"])
        enqueue_attempt(delivery, mark=f":again-{int(now.timestamp())}")
        count += 1
    return count


def register() -> None:
    """Names the runner; called once, when the process starts."""
    jobs.register_runner(JOB_KIND, run_attempt)
