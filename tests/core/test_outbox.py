"""Events: written with their act, handled once per subscriber, in order per key, retried, and given up visibly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import transaction

from backoffice.core.models import AuditRecord, IdempotencyRecord, OutboxEvent
from backoffice.core.services import outbox
from backoffice.core.services.outbox import deliver_due, publish, retry_dead_event
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, Denied, Misconfigured, NotFound

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
Subscribe = Callable[[str, str, outbox.Handler], None]

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscribe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Subscribe]:
    """Subscriptions of this test only."""
    monkeypatch.setattr(outbox, "_subscribers", {})
    yield outbox.subscribe


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    """Noon, until a test moves on."""
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def seen_by(name: str, seen: list[tuple[str, Any]]) -> outbox.Handler:
    """A handler that notes what it was given."""
    return lambda payload, event: seen.append((name, payload["n"]))


def test_every_subscriber_of_the_topic_handles_an_event_once(subscribe: Subscribe) -> None:
    seen: list[tuple[str, Any]] = []
    subscribe("t.happened", "a", seen_by("a", seen))
    subscribe("t.happened", "b", seen_by("b", seen))
    subscribe("t.other", "c", seen_by("c", seen))
    publish(topic="t.happened", payload={"n": 1})

    assert deliver_due() == 1
    assert deliver_due() == 0

    assert seen == [("a", 1), ("b", 1)]
    event = OutboxEvent.objects.get()
    assert (event.delivered_at, event.handled_by, event.attempts) == (NOON, ["a", "b"], 0)


def test_an_event_without_subscribers_is_delivered(subscribe: Subscribe) -> None:
    publish(topic="t.nobody", payload={})

    assert deliver_due() == 1
    assert OutboxEvent.objects.get().delivered_at == NOON


@pytest.mark.django_db(transaction=True)
def test_an_event_is_refused_outside_of_a_transaction() -> None:
    with pytest.raises(Misconfigured):
        publish(topic="t.happened", payload={})

    assert not OutboxEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_event_of_a_failed_act_is_never_sent(subscribe: Subscribe) -> None:
    seen: list[tuple[str, Any]] = []
    subscribe("t.happened", "a", seen_by("a", seen))
    with pytest.raises(RuntimeError), transaction.atomic():
        publish(topic="t.happened", payload={"n": 1})
        raise RuntimeError("the act failed")

    assert deliver_due() == 0
    assert seen == []


def test_a_failing_subscriber_is_retried_with_growing_pauses_and_holds_up_nobody(
    subscribe: Subscribe, clock: time_machine.Traveller
) -> None:
    seen: list[tuple[str, Any]] = []

    def fail(payload: dict[str, Any], event: OutboxEvent) -> None:
        IdempotencyRecord.objects.create(scope="half", key="done", request_hash=b"")
        raise RuntimeError("not now")

    subscribe("t.happened", "bad", fail)
    subscribe("t.happened", "good", seen_by("good", seen))
    publish(topic="t.happened", payload={"n": 1})

    assert deliver_due() == 0

    event = OutboxEvent.objects.get()
    assert seen == [("good", 1)]
    assert not IdempotencyRecord.objects.exists()
    assert (event.attempts, event.handled_by, event.delivered_at) == (1, ["good"], None)
    assert event.run_after == NOON + timedelta(seconds=1)
    assert event.last_error == "bad: RuntimeError: not now"
    clock.shift(timedelta(seconds=1))
    deliver_due()
    assert seen == [("good", 1)]
    assert OutboxEvent.objects.get().run_after == NOON + timedelta(seconds=1 + 2)


def test_an_event_is_given_up_after_the_last_attempt_and_can_be_retried(
    subscribe: Subscribe, clock: time_machine.Traveller
) -> None:
    failing = [True]
    seen: list[int] = []

    def handle(payload: dict[str, Any], event: OutboxEvent) -> None:
        if failing[0]:
            raise RuntimeError("broken")
        seen.append(payload["n"])

    subscribe("t.happened", "a", handle)
    publish(topic="t.happened", payload={"n": 1})
    for _ in range(outbox.MAX_ATTEMPTS + 3):
        deliver_due()
        clock.shift(timedelta(hours=1))

    event = OutboxEvent.objects.get()
    assert event.attempts == outbox.MAX_ATTEMPTS
    assert event.dead_at is not None
    assert outbox.dead_count() == 1

    failing[0] = False
    operator = Actor(label="op", user_id=1, roles=frozenset({"platform_operations"}))
    retry_dead_event(event_id=event.pk, actor=operator, reason="mended")
    assert deliver_due() == 1
    assert seen == [1]
    assert AuditRecord.objects.get().action == "core.retry_dead_event"


def test_only_who_may_retries_and_only_what_is_dead() -> None:
    publish(topic="t.happened", payload={})
    event = OutboxEvent.objects.get()
    sales = Actor(label="s", user_id=1, roles=frozenset({"sales"}))
    operator = Actor(label="op", user_id=1, roles=frozenset({"platform_operations"}))

    with pytest.raises(Denied):
        retry_dead_event(event_id=event.pk, actor=sales, reason="")
    with pytest.raises(Conflict):
        retry_dead_event(event_id=event.pk, actor=operator, reason="")
    with pytest.raises(NotFound):
        retry_dead_event(event_id=event.pk + 1, actor=operator, reason="")

    assert OutboxEvent.objects.get() == event
    assert not AuditRecord.objects.exists()


def test_events_of_one_key_keep_their_order_behind_a_failure(
    subscribe: Subscribe, clock: time_machine.Traveller
) -> None:
    failing, seen = [True], []

    def handle(payload: dict[str, Any], event: OutboxEvent) -> None:
        if payload["n"] == 1 and failing[0]:
            raise RuntimeError("first fails")
        seen.append(payload["n"])

    subscribe("t.happened", "a", handle)
    for number, key in ((1, "account 7"), (2, "account 7"), (3, "account 8"), (4, "")):
        publish(topic="t.happened", payload={"n": number}, shard_key=key)

    deliver_due()
    assert seen == [3, 4]
    deliver_due()
    assert seen == [3, 4]

    failing[0] = False
    clock.shift(timedelta(seconds=1))
    deliver_due()
    assert seen == [3, 4, 1, 2]


def test_a_blocked_key_does_not_fill_the_window_of_a_delivery(subscribe: Subscribe) -> None:
    seen: list[int] = []

    def handle(payload: dict[str, Any], event: OutboxEvent) -> None:
        if event.shard_key:
            raise RuntimeError("blocked")
        seen.append(payload["n"])

    subscribe("t.happened", "a", handle)
    for number in range(5):
        publish(topic="t.happened", payload={"n": number}, shard_key="one")
    publish(topic="t.happened", payload={"n": 9})

    deliver_due(limit=3)
    deliver_due(limit=3)

    assert seen == [9]


def test_one_delivery_is_bounded(subscribe: Subscribe) -> None:
    for number in range(5):
        publish(topic="t.happened", payload={"n": number})

    assert deliver_due(limit=2) == 2
    assert OutboxEvent.objects.filter(delivered_at__isnull=True).count() == 3


def test_lag_is_the_wait_of_the_oldest_due_event(clock: time_machine.Traveller) -> None:
    assert outbox.lag() == timedelta(0)
    publish(topic="t.happened", payload={})
    clock.shift(timedelta(seconds=40))

    assert outbox.lag() == timedelta(seconds=40)


def test_delivered_events_are_forgotten_after_a_month_and_others_never(
    subscribe: Subscribe, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        publish(topic="t.nobody", payload={"n": number})
    deliver_due()
    clock.shift(timedelta(days=30) - timedelta(seconds=1))
    assert outbox.forget_delivered() == 0
    publish(topic="t.undelivered", payload={})
    clock.shift(timedelta(seconds=1))
    monkeypatch.setattr(outbox, "MAX_FORGOTTEN_AT_ONCE", 2)

    assert [outbox.forget_delivered(), outbox.forget_delivered(), outbox.forget_delivered()] == [2, 1, 0]
    assert OutboxEvent.objects.get().topic == "t.undelivered"


def test_a_subscriber_has_its_name_once_per_topic(subscribe: Subscribe) -> None:
    subscribe("t.happened", "a", seen_by("a", []))

    with pytest.raises(Misconfigured):
        subscribe("t.happened", "a", seen_by("a", []))
    assert outbox.subscriptions() == {"t.happened": ["a"]}
