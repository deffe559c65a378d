"""Events: written in the transaction that made them happen, delivered to their subscribers afterwards.

A handler runs in a transaction together with the note that it ran, so what it writes to the database happens once,
however often the process dies. It is short: it writes a fact or enqueues a job. Work that opens a durable
transaction of its own, or speaks to the outside world, belongs into a job.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q

from backoffice.core import crash_points
from backoffice.core.access import authorise
from backoffice.core.models import OutboxEvent
from backoffice.core.services import audit
from backoffice.core.services.backoff import delay_after
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Misconfigured, NotFound
from backoffice.kernel.registry import Registry

MAX_ATTEMPTS = 12
MAX_ERROR_LENGTH = 4000
KEEP_DELIVERED = timedelta(days=30)
MAX_FORGOTTEN_AT_ONCE = 10_000

Handler = Callable[[dict[str, Any], OutboxEvent], None]
_subscribers: dict[str, Registry[Handler]] = {}
crash_points.declare("core.outbox.before_commit", "core.outbox.after_commit")


def publish(*, topic: str, payload: dict[str, Any], shard_key: str = "") -> None:
    """Writes an event into the caller's transaction. Events of one *shard_key* are handled in the order of writing."""
    if not connection.in_atomic_block:
        raise Misconfigured("An event is published in the transaction that makes it happen.", topic=topic)
    OutboxEvent.objects.create(topic=topic, payload=payload, shard_key=shard_key)


def publish_all(*, topic: str, payloads: Sequence[dict[str, Any]], shard_key: str = "") -> None:
    """Like `publish`, for many events of a topic in one statement."""
    if not connection.in_atomic_block:
        raise Misconfigured("An event is published in the transaction that makes it happen.", topic=topic)
    OutboxEvent.objects.bulk_create(
        [OutboxEvent(topic=topic, payload=payload, shard_key=shard_key) for payload in payloads], batch_size=1_000
    )


def subscribe(topic: str, name: str, handler: Handler) -> None:
    """Has `handler(payload, event)` called for each event of the topic. *name* is kept with the event: never rename it."""
    _subscribers.setdefault(topic, Registry(f"subscribers of {topic}")).register(name, handler)


def subscriptions() -> dict[str, list[str]]:
    """The names of the subscribers of each topic."""
    return {topic: [name for name, _ in registry.items()] for topic, registry in sorted(_subscribers.items())}


def deliver_due(*, limit: int = 200) -> int:
    """Hands up to *limit* due events to their subscribers; returns how many were delivered to all of them.

    Several processes may deliver at once. A failing subscriber holds up neither the other subscribers of the event
    nor other events, except later ones of the same shard key.
    """
    return sum(_deliver(event_id) for event_id in _due_ids(limit))


def _undelivered() -> Q:
    return Q(delivered_at__isnull=True, dead_at__isnull=True)


def _due_ids(limit: int) -> list[int]:
    """The oldest due events, without those that stand behind an event of their key that waits for its next attempt."""
    now = clock.now()
    waiting = OutboxEvent.objects.filter(
        _undelivered(), shard_key=OuterRef("shard_key"), id__lt=OuterRef("id"), run_after__gt=now
    ).exclude(shard_key="")
    due = OutboxEvent.objects.filter(_undelivered(), ~Exists(waiting), run_after__lte=now)
    return list(due.order_by("id").values_list("id", flat=True)[:limit])


def _deliver(event_id: int) -> bool:
    """Calls each subscriber that has not handled the event yet. True when the event is now delivered."""
    topic = OutboxEvent.objects.values_list("topic", flat=True).get(pk=event_id)
    registry = _subscribers.get(topic)
    handlers = registry.items() if registry is not None else []
    failures: list[str] = []
    for name, handler in handlers:
        try:
            if not _handle(event_id, name, handler):
                return False
        except Exception as error:  # noqa: BLE001 - a poisoned event must not stop the others; it is kept and shown
            structlog.get_logger(__name__).exception(
                "event_not_handled", event_id=event_id, topic=topic, subscriber=name
            )
            failures.append(f"{name}: {type(error).__name__}: {error}")
    return _conclude(event_id, {name for name, _ in handlers}, failures)


def _handle(event_id: int, name: str, handler: Handler) -> bool:
    """Runs one handler and notes it, in one transaction. False when the event is another process's, or must wait."""
    with transaction.atomic():
        event = _lock(event_id)
        if event is None:
            return False
        if name in event.handled_by:
            return True
        handler(event.payload, event)
        event.handled_by.append(name)
        event.save(update_fields=["handled_by"])
        crash_points.reach("core.outbox.before_commit")
    crash_points.reach("core.outbox.after_commit")
    return True


def _lock(event_id: int) -> OutboxEvent | None:
    """The event, locked, unless another process works on it or an earlier event of its key is not through yet."""
    event = OutboxEvent.objects.select_for_update(skip_locked=True).filter(_undelivered(), pk=event_id).first()
    if event is None or not event.shard_key:
        return event
    earlier = OutboxEvent.objects.filter(_undelivered(), shard_key=event.shard_key, id__lt=event.pk)
    return None if earlier.exists() else event


def _conclude(event_id: int, names: set[str], failures: list[str]) -> bool:
    """Marks the event as delivered, or sets its next attempt, or gives it up after the last one."""
    with transaction.atomic():
        event = _lock(event_id)
        if event is None:
            return False
        now = clock.now()
        if names <= set(event.handled_by):
            event.delivered_at, event.last_error = now, ""
        else:
            event.attempts += 1
            event.last_error = "\n".join(failures)[:MAX_ERROR_LENGTH]
            event.run_after = now + delay_after(event.attempts)
            event.dead_at = now if event.attempts >= MAX_ATTEMPTS else None
        event.save(update_fields=["delivered_at", "attempts", "last_error", "run_after", "dead_at"])
        return event.delivered_at is not None


def retry_dead_event(*, event_id: int, actor: Actor, reason: str) -> None:
    """Brings a dead event back for another full round of attempts. Raises NotFound, or Conflict if it is not dead."""
    authorise(actor, "core.retry_work")
    with transaction.atomic():
        event = OutboxEvent.objects.select_for_update().filter(pk=event_id).first()
        if event is None:
            raise NotFound("No such event.", event_id=event_id)
        if event.dead_at is None:
            raise Conflict("Only an event that was given up can be retried.", event_id=event_id)
        event.dead_at, event.attempts, event.run_after = None, 0, clock.now()
        event.save(update_fields=["dead_at", "attempts", "run_after"])
        audit.record(actor=actor, action="core.retry_dead_event", target=event, reason=reason)


def forget_delivered() -> int:
    """Removes events that were delivered thirty days ago or earlier, a bounded number at a time; returns how many."""
    old = OutboxEvent.objects.filter(delivered_at__lte=clock.now() - KEEP_DELIVERED).order_by("id")
    removed, _ = OutboxEvent.objects.filter(pk__in=old.values("pk")[:MAX_FORGOTTEN_AT_ONCE]).delete()
    return removed


def lag() -> timedelta:
    """How long the oldest due event has been waiting; zero when there is none."""
    now = clock.now()
    oldest = OutboxEvent.objects.filter(_undelivered(), run_after__lte=now).order_by("run_after").first()
    return max(now - oldest.run_after, timedelta(0)) if oldest else timedelta(0)


def dead_count() -> int:
    """How many events were given up and wait for a person."""
    return OutboxEvent.objects.filter(dead_at__isnull=False, delivered_at__isnull=True).count()
